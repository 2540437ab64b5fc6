"""Any value can be set by its path; a wrong path or value is named."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmroll.core.document import Document, format_path, parse_path
from swarmroll.core.spec import ServiceSpec
from swarmroll.errors import SpecError

from .shapes import leaves, same


@given(st.lists(st.text(st.characters(categories=("L", "N", "P")), min_size=1), min_size=1))
def test_a_printed_path_reads_back(keys: list[str]) -> None:
    """Dots and backslashes inside keys are escaped."""
    assert parse_path(format_path(keys)) == tuple(keys)


def test_a_path_may_be_keys_in_a_row() -> None:
    """No escapes needed."""
    assert parse_path(["Labels", "a.b", 0]) == parse_path("Labels.a\\.b.0")


@pytest.mark.parametrize(
    "path", ["", ".", "A.", ".A", "A..B", "A\\", "A\\x", (), (True,), (1.5,), None, 3]
)
def test_a_malformed_path_is_refused(path: Any) -> None:
    """The message shows what a path looks like."""
    with pytest.raises(SpecError, match="path must"):
        parse_path(path)


def test_the_empty_path_is_called_spec() -> None:
    """In messages about the whole document."""
    assert format_path(()) == "spec"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("TaskTemplate.ContainerSpec.Hostname", "h-{{.Task.Slot}}"),
        ("TaskTemplate.ContainerSpec.Env.0", "LOG=debug"),
        ("TaskTemplate.ContainerSpec.Env.3", "NEW=1"),
        ("TaskTemplate.ContainerSpec.DNSConfig.Nameservers", ["10.0.0.1"]),
        ("Labels.com\\.example\\.team", "web"),
        ("FromTheFuture.Deep.Key", {"any": [1, None, True]}),
        ("TaskTemplate.ContainerSpec.Mounts.0.New.Deep", None),
        ("UpdateConfig.MaxFailureRatio", 1),
        ("TaskTemplate.ContainerSpec.TTY", True),
    ],
)
def test_setting_a_path_sets_it_and_nothing_else(
    document: dict[str, Any], path: str, value: object
) -> None:
    """Other keys keep their values and their order; missing parents are made."""
    if path.endswith("Deep"):
        document["TaskTemplate"]["ContainerSpec"]["Mounts"][0]["New"] = None
    before = leaves(document)
    after = ServiceSpec.from_engine(document).with_path(path, value).to_engine()
    keys = parse_path(path)
    kept = {at: leaf for at, leaf in leaves(after).items() if at[: len(keys)] != keys}
    gone = {at: leaf for at, leaf in before.items() if at != keys and at != keys[:-1]}
    assert gone == kept
    assert list(gone) == list(kept)
    assert ServiceSpec.from_engine(after).get(path) == Document.from_engine({"": value}).get([""])


def test_removing_a_path_leaves_its_parents(web: ServiceSpec) -> None:
    """Even when they are empty then."""
    assert web.without_path("EndpointSpec.Ports.0").get("EndpointSpec.Ports") == ()
    assert "role" not in web.without_path("TaskTemplate.ContainerSpec.Labels.role").container_labels


@pytest.mark.parametrize(
    "path",
    ["Nothing", "Labels.x.y", "Labels.team.x", "EndpointSpec.Ports.7", "EndpointSpec.Ports.x"],
)
def test_removing_what_is_not_there_changes_nothing(web: ServiceSpec, path: str) -> None:
    """The very same spec comes back."""
    assert web.without_path(path) is web


@pytest.mark.parametrize("index", ["x", "-1", "4", "99999999999", "\u0661"])
def test_a_list_wants_an_index_in_range(web: ServiceSpec, index: str) -> None:
    """One past the end appends."""
    with pytest.raises(SpecError, match="Env is a list: wanted an index"):
        web.with_path(f"TaskTemplate.ContainerSpec.Env.{index}", "X=1")


def test_a_path_through_a_scalar_is_refused(web: ServiceSpec) -> None:
    """It says where the way ends."""
    odd = web.with_path("FromTheFuture", "x")
    with pytest.raises(SpecError, match=r'FromTheFuture\.X must lead .* FromTheFuture is "x"'):
        odd.with_path("FromTheFuture.X", 1)


@pytest.mark.parametrize(
    ("path", "value", "wanted"),
    [
        ("Name", 5, "Name must be a string, got 5"),
        ("TaskTemplate.ContainerSpec.Env", "A=1", 'Env must be a list, got "A=1"'),
        ("TaskTemplate.ContainerSpec.Env", ["A=1", 2], r"Env\.1 must be a string, got 2"),
        ("TaskTemplate.ContainerSpec.TTY", 1, "TTY must be true or false, got 1"),
        ("TaskTemplate.ForceUpdate", True, "ForceUpdate must be an integer, got True"),
        ("UpdateConfig.MaxFailureRatio", "1", 'MaxFailureRatio must be a number, got "1"'),
        ("UpdateConfig", [], "UpdateConfig must be an object, got a list"),
        ("Labels", {"a": 1}, r"Labels\.a must be a string, got 1"),
        ("Labels.a", 1, r"Labels\.a must be a string, got 1"),
        ("TaskTemplate.Networks.0.Target", 1, r"Networks\.0\.Target must be a string, got 1"),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused(
    web: ServiceSpec, path: str, value: object, wanted: str
) -> None:
    """Before the engine would; the message names path, wish and value."""
    with pytest.raises(SpecError, match=wanted):
        web.with_path(path, value)


def test_null_is_of_every_kind(web: ServiceSpec) -> None:
    """The engine takes it for unset."""
    assert same(None, web.with_path("Name", None).to_engine()["Name"])


def test_a_refused_secret_is_not_repeated(web: ServiceSpec) -> None:
    """Messages end up in logs."""
    with pytest.raises(SpecError, match="Options must be an object") as caught:
        web.with_path("TaskTemplate.LogDriver.Options", "password=canary")
    assert "canary" not in str(caught.value)


def test_nothing_is_put_inside_a_scalar(web: ServiceSpec) -> None:
    """Not even where there is none yet."""
    with pytest.raises(SpecError, match=r"Labels\.a must be a string: it has nothing inside"):
        web.with_path("Labels.a.b", "x")


def test_a_missing_list_is_made_as_a_list() -> None:
    """Not as an object with a key "0"."""
    empty = ServiceSpec.from_engine({})
    assert same(
        {"TaskTemplate": {"ContainerSpec": {"Mounts": [{"Target": "/x"}]}}},
        empty.with_path("TaskTemplate.ContainerSpec.Mounts.0.Target", "/x").to_engine(),
    )


def test_a_name_is_no_index() -> None:
    """Environment variables are set with with_env()."""
    with pytest.raises(SpecError, match='Env is a list: wanted an index, got "LOG"'):
        ServiceSpec.from_engine({}).with_path("TaskTemplate.ContainerSpec.Env.LOG", "x")
