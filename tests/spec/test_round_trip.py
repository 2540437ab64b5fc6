"""A spec comes back from ServiceSpec exactly as the engine sent it, and nobody can change it."""

from __future__ import annotations

import copy
import enum
import pickle
from typing import Any

import pytest
from hypothesis import given, settings

from swarmroll.core.document import ABSENT, Document
from swarmroll.core.shape import SHAPE
from swarmroll.core.spec import ServiceSpec
from swarmroll.errors import SpecError

from .shapes import VERSIONS, definitions, resolved, same, spec_documents


@pytest.mark.parametrize("version", VERSIONS)
def test_every_spec_of_every_api_version_survives_unchanged(version: str) -> None:
    """Unknown keys, nulls, empty lists, types and the order of keys are all kept."""

    @settings(max_examples=300, deadline=None)
    @given(spec_documents(version))
    def survives(document: dict[str, Any]) -> None:
        before = copy.deepcopy(document)
        assert same(before, ServiceSpec.from_engine(document).to_engine())
        assert same(before, document)

    survives()


def test_equal_documents_make_equal_specs_whatever_the_order_of_keys(
    document: dict[str, Any],
) -> None:
    """Engines do not promise an order."""
    turned = dict(reversed(document.items()))
    assert ServiceSpec.from_engine(document) == ServiceSpec.from_engine(turned)
    assert hash(ServiceSpec.from_engine(document)) == hash(ServiceSpec.from_engine(turned))


def test_true_is_not_one() -> None:
    """Python thinks so, JSON does not."""
    one = ServiceSpec.from_engine({"X": [1]})
    assert one != ServiceSpec.from_engine({"X": [True]})
    assert one.to_engine()["X"][0] is not True


def test_a_whole_float_equals_the_integer_but_survives_as_a_float() -> None:
    """The engine reads 1.0 as 1, so a ratio of 0.0 is no change from 0."""
    spec = ServiceSpec.from_engine({"X": 1.0})
    assert spec == ServiceSpec.from_engine({"X": 1})
    assert isinstance(spec.to_engine()["X"], float)


def test_null_is_not_the_same_as_absent() -> None:
    """Lossless means that a comparison of documents sees it."""
    assert ServiceSpec.from_engine({"Labels": None}) != ServiceSpec.from_engine({})


def test_a_spec_is_not_equal_to_its_document(document: dict[str, Any]) -> None:
    """Compare specs with specs."""
    spec = ServiceSpec.from_engine(document)
    assert spec != document
    assert spec.template != document["TaskTemplate"]


def test_changing_what_went_in_or_came_out_changes_no_spec(document: dict[str, Any]) -> None:
    """A spec is immutable."""
    spec = ServiceSpec.from_engine(document)
    document["Labels"]["team"] = "other"
    spec.to_engine()["TaskTemplate"]["ContainerSpec"]["Env"].append("X=1")
    assert spec.labels["team"] == "web"
    assert "X" not in spec.env


def test_a_spec_can_be_pickled_and_copied(web: ServiceSpec) -> None:
    """State is stored and sent to other processes."""
    assert hash(web) == hash(pickle.loads(pickle.dumps(web)))
    assert web == pickle.loads(pickle.dumps(web)) == copy.deepcopy(web)


def test_strings_and_numbers_of_other_classes_become_plain() -> None:
    """An enum member in a hand-written spec is its value."""

    class Word(enum.StrEnum):
        ANY = "any"

    class Number(enum.IntEnum):
        TWO = 2

    plain = ServiceSpec.from_engine({"X": Word.ANY, "Y": (Number.TWO,)}).to_engine()
    assert same({"X": "any", "Y": [2]}, plain)


@pytest.mark.parametrize("absurd", [None, [], "spec", 3, {1: "x"}, {"X": {2: 1}}])
def test_what_is_no_json_object_is_refused(absurd: object) -> None:
    """Not a dict, or keys that are not strings."""
    with pytest.raises(SpecError, match=r"must (be a JSON object|have strings as keys)"):
        ServiceSpec.from_engine(absurd)


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (float("nan"), "finite"),
        (float("inf"), "finite"),
        (2**64, "64 bits"),
        pytest.param(10**5000, "64 bits", id="huge"),
        ({1, 2}, "JSON"),
        (b"x", "JSON"),
    ],
)
def test_what_json_cannot_hold_is_refused_with_its_path(value: object, wanted: str) -> None:
    """The message says where it stands."""
    with pytest.raises(SpecError, match=rf"TaskTemplate\.Odd\.0 must .*{wanted}"):
        ServiceSpec.from_engine({"TaskTemplate": {"Odd": [value]}})


@pytest.mark.parametrize("container", [dict, list])
def test_endless_nesting_is_refused(container: type) -> None:
    """Also a document that holds itself; never a RecursionError."""
    endless: Any = container()
    if isinstance(endless, dict):
        endless["X"] = endless
    else:
        endless.append(endless)
    with pytest.raises(SpecError, match="nested less than 100 levels"):
        ServiceSpec.from_engine({"X": endless})


def test_a_document_reads_like_a_mapping_of_frozen_values() -> None:
    """What a spec hands out cannot be changed either."""
    found = Document.from_engine({"A": {"B": [1, {"C": None}]}, "D": True})
    assert list(found) == ["A", "D"]
    assert len(found) == 2
    assert "A" in found
    assert found.get("A.B.0") == 1
    assert found.get("A.B") == (1, Document.from_engine({"C": None}))
    assert found.get("A.B.1.C", "default") is None
    assert found.get("A.B.2", "default") == "default"
    assert found.get("D.E", "default") == "default"


def test_absent_says_so() -> None:
    """It stands in reprs and messages."""
    assert repr(ABSENT) == "ABSENT"


def _same_shape(shapes: dict[str, Any], api: dict[str, Any], ours: Any) -> None:
    api = resolved(shapes, api)
    if "properties" in api:
        for name, shape in api["properties"].items():
            _same_shape(shapes, shape, ours[name])
    elif api.get("type") == "array":
        _same_shape(shapes, api["items"], ours[0])
    elif api.get("type") == "object":
        assert ours == ({"*": str} if "additionalProperties" in api else {})
    else:
        kinds = {"string": str, "integer": int, "number": float, "boolean": bool}
        assert ours is kinds[api["type"]]


@pytest.mark.parametrize("version", VERSIONS)
def test_the_table_of_kinds_agrees_with_the_api(version: str) -> None:
    """with_path() checks values against it."""
    shapes = definitions(version)
    _same_shape(shapes, shapes["ServiceSpec"], SHAPE)
