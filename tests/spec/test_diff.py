"""A diff shows every change, which of them restart tasks, and no secret."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarmroll.core.diff import ABSENT, Diff
from swarmroll.core.document import Document
from swarmroll.core.redact import MASK
from swarmroll.core.spec import ROLLOUT_LABEL, Mount, Port, Secret, ServiceSpec

from .shapes import spec_documents
from .test_edits import EDITS, Edit

_NAMED = (
    "TaskTemplate.ContainerSpec.Env",
    "TaskTemplate.ContainerSpec.Mounts",
    "TaskTemplate.ContainerSpec.Secrets",
    "TaskTemplate.ContainerSpec.Configs",
    "TaskTemplate.ContainerSpec.Ulimits",
    "TaskTemplate.Networks",
    "EndpointSpec.Ports",
)


def _spec(**keys: Any) -> ServiceSpec:
    return ServiceSpec.from_engine(keys)


def _container(**keys: Any) -> ServiceSpec:
    return _spec(TaskTemplate={"ContainerSpec": keys})


def _applied(before: ServiceSpec, after: ServiceSpec, diff: Diff) -> ServiceSpec:
    """What ``before`` becomes by the changes; lists with named items are taken as a whole."""
    document = Document.from_engine(before.to_engine())
    for change in diff:
        keys: tuple[str, ...] = change.keys
        value: Any = change.after
        for name in _NAMED:
            path = tuple(name.split("."))
            if keys[: len(path)] == path:
                keys, value = path, after.get(path, "absent")
                value = ABSENT if value == "absent" else value
        if value is ABSENT:
            document = document.without_path(keys)
        else:
            document = document.with_path(keys, value)
    return ServiceSpec.from_engine(document.to_engine())


@settings(max_examples=400, deadline=None)
@given(spec_documents(), spec_documents())
def test_the_changes_lead_from_one_spec_to_the_other(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    """Nothing is left out, and there is a change exactly if they are not the same release."""
    before, after = ServiceSpec.from_engine(one), ServiceSpec.from_engine(other)
    diff = before.diff(after)
    assert bool(diff) is not before.same_as(after)
    assert _applied(before, after, diff).same_as(after)
    assert len(str(diff).splitlines()) == max(len(diff), 1)
    assert diff.to_dict()["restarts_tasks"] == diff.restarts_tasks


@settings(max_examples=400, deadline=None)
@given(spec_documents(), st.sampled_from(EDITS))
def test_the_changes_lead_to_any_edit(
    document: dict[str, Any], edit: tuple[str, str, Edit]
) -> None:
    """One edit, few changes."""
    before = ServiceSpec.from_engine(document)
    if edit[0] == "replicas" and before.mode != "replicated":
        return
    after = edit[2](before)
    diff = before.diff(after)
    assert _applied(before, after, diff).same_as(after)
    assert not after.diff(after)


@settings(max_examples=400, deadline=None)
@given(
    *[st.lists(st.sampled_from(["A=1", "A", "A=2", "B=1", "C=", "D"]), unique_by=lambda e: e[0])]
    * 2
)
def test_the_environment_is_compared_by_name(before: list[str], after: list[str]) -> None:
    """From the changes alone, and the order where it changed, the new one can be made."""
    entries = {entry[0]: entry for entry in before}
    order = None
    for change in _container(Env=before).diff(_container(Env=after)):
        name = change.keys[-1]
        if change.reordered:
            order = change.after
        elif change.after is ABSENT:
            del entries[name]
        elif change.keys[-2] == "Env":
            entries[name] = name if change.after is None else f"{name}={change.after}"
        assert change.restarts_tasks
    names = list(entries) if order is None else order
    assert isinstance(names, list | tuple)
    assert after == [entries[str(name)] for name in names]


def test_a_change_of_a_variable_is_one_line() -> None:
    """By its name, with a mark, as the engine will restart the task."""
    diff = _container(Env=["A=1", "LOG=info"]).diff(_container(Env=["A=1", "LOG=debug"]))
    expected = '~ TaskTemplate.ContainerSpec.Env.LOG: "info" -> "debug"  [restarts tasks]'
    assert expected == str(diff)


def test_a_printed_diff_is_for_people() -> None:
    """Durations in words, absence by name, a sign for what kind of change."""
    before = _spec(
        TaskTemplate={"ContainerSpec": {"StopGracePeriod": 10**10, "TTY": True, "Args": ["a"]}}
    )
    after = _spec(
        TaskTemplate={"ContainerSpec": {"StopGracePeriod": 9 * 10**10, "Init": None}},
        Labels={"a.b": "x"},
    )
    assert str(before.diff(after)).splitlines() == [
        "~ TaskTemplate.ContainerSpec.StopGracePeriod: 10s -> 1m30s  [restarts tasks]",
        "- TaskTemplate.ContainerSpec.TTY: true -> absent  [restarts tasks]",
        '- TaskTemplate.ContainerSpec.Args: ["a"] -> absent  [restarts tasks]',
        "+ TaskTemplate.ContainerSpec.Init: absent -> null",
        '+ Labels.a\\.b: absent -> "x"',
    ]


def test_equal_specs_have_no_change(web: ServiceSpec) -> None:
    """False, empty, and says so."""
    diff = web.diff(web)
    assert not diff
    assert list(diff) == []
    assert not diff.restarts_tasks
    assert str(diff) == "no change"


def test_the_rollout_label_is_no_change(web: ServiceSpec) -> None:
    """It names the rollout, and is no part of the release."""
    labelled = web.with_label(ROLLOUT_LABEL, "r1")
    assert not web.diff(labelled)
    assert web.same_as(labelled)
    assert web != labelled
    assert labelled.rollout_label == "r1"
    assert labelled.without_rollout_label() == web
    assert web.without_rollout_label() is web
    assert _spec().same_as(_spec().with_label(ROLLOUT_LABEL, "r1"))


def test_items_of_lists_go_by_their_names(web: ServiceSpec) -> None:
    """Mounts by target, ports by target port and protocol, secrets by file, networks by target."""
    after = (
        web.with_mounts([*web.mounts, Mount(type="tmpfs", target="/tmp")])
        .with_ports(
            [Port(target_port=80, published_port=81, protocol="tcp", publish_mode="ingress")]
        )
        .with_secrets([Secret(id="s2", name="db2", file="db", uid="0", gid="0", mode=292)])
        .with_networks(["net1", "net2"])
        .with_configs([])
    )
    assert [change.path for change in web.diff(after)] == [
        "TaskTemplate.ContainerSpec.Mounts./tmp",
        "TaskTemplate.ContainerSpec.Secrets.db.SecretID",
        "TaskTemplate.ContainerSpec.Secrets.db.SecretName",
        "TaskTemplate.ContainerSpec.Configs./etc/app",
        "TaskTemplate.Networks.net1.Aliases",
        "TaskTemplate.Networks.net2",
        "EndpointSpec.Ports.80/tcp.PublishedPort",
    ]


def test_items_without_names_are_compared_as_a_whole() -> None:
    """Two ports for one target have no name, nor has a mount without a target."""
    ports = [{"TargetPort": 80, "PublishedPort": 1}, {"TargetPort": 80, "PublishedPort": 2}]
    (change,) = _spec(EndpointSpec={"Ports": ports}).diff(_spec(EndpointSpec={"Ports": ports[:1]}))
    assert change.path == "EndpointSpec.Ports"
    (change,) = _container(Mounts=[{}]).diff(_container(Mounts=[{"Target": "/x"}]))
    assert change.path == "TaskTemplate.ContainerSpec.Mounts"


def test_a_new_order_is_a_change_of_its_own() -> None:
    """The engine compares lists item by item, so it restarts tasks."""
    (change,) = _container(Env=["A=1", "B=2"]).diff(_container(Env=["B=2", "A=1"]))
    expected = '~ TaskTemplate.ContainerSpec.Env (order): ["A", "B"] -> ["B", "A"]'
    assert str(change) == f"{expected}  [restarts tasks]"
    assert change.to_dict() == {
        "path": "TaskTemplate.ContainerSpec.Env",
        "before": ["A", "B"],
        "after": ["B", "A"],
        "restarts_tasks": True,
        "reordered": True,
    }


def test_a_long_value_is_cut() -> None:
    """A line stays a line."""
    diff = _spec().diff(_spec(Labels={"a": "x y " * 1000}))
    assert len(str(diff)) < 200


def test_what_machines_get_is_plain_json() -> None:
    """Absent values are left out; null is a value."""
    diff = _container(Env=["A"]).diff(_container(Env=["A=1"], Init=None))
    assert diff.to_dict() == {
        "changes": [
            {
                "path": "TaskTemplate.ContainerSpec.Env.A",
                "before": None,
                "after": "1",
                "restarts_tasks": True,
            },
            {
                "path": "TaskTemplate.ContainerSpec.Init",
                "after": None,
                "restarts_tasks": False,
            },
        ],
        "restarts_tasks": True,
    }


@pytest.mark.parametrize(
    ("path", "before", "after"),
    [
        ("TaskTemplate.ContainerSpec.TTY", ABSENT, False),
        ("TaskTemplate.ContainerSpec.Hostname", "", ABSENT),
        ("TaskTemplate.ContainerSpec.Isolation", ABSENT, "default"),
        ("TaskTemplate.ForceUpdate", ABSENT, 0),
        ("TaskTemplate.Runtime", ABSENT, "container"),
        ("TaskTemplate.Networks", ABSENT, []),
        ("EndpointSpec.Mode", "", "vip"),
        ("Labels.team", "a", "b"),
        ("Name", "a", "b"),
        ("Mode.Replicated.Replicas", 1, 2),
        ("UpdateConfig.Delay", 1, 2),
        ("RollbackConfig.Delay", ABSENT, 2),
        ("FromTheFuture", 1, 2),
    ],
)
def test_some_changes_restart_nothing(path: str, before: Any, after: Any) -> None:
    """Outside of template and endpoint, or the same to the engine."""
    common = _spec(
        EndpointSpec={"Ports": []}, TaskTemplate={"ContainerSpec": {"Image": "a"}}, Labels={"x": ""}
    )
    one, other = (
        common if value is ABSENT else common.with_path(path, value) for value in (before, after)
    )
    diff = one.diff(other)
    assert len(diff) == 1
    assert not diff.restarts_tasks


@pytest.mark.parametrize(
    ("path", "before", "after"),
    [
        ("TaskTemplate.ContainerSpec.Init", ABSENT, False),
        ("TaskTemplate.ContainerSpec.StopGracePeriod", ABSENT, 0),
        ("TaskTemplate.ContainerSpec.Args", ABSENT, []),
        ("TaskTemplate.ContainerSpec.Labels", ABSENT, {}),
        ("TaskTemplate.ContainerSpec.Labels.empty", ABSENT, ""),
        ("TaskTemplate.RestartPolicy", ABSENT, {}),
        ("TaskTemplate.FromTheFuture", ABSENT, "x"),
        ("EndpointSpec.Ports", ABSENT, [{"TargetPort": 80}]),
        ("Networks", ABSENT, [{"Target": "n"}]),
    ],
)
def test_some_changes_restart_tasks_though_they_look_like_none(
    path: str, before: Any, after: Any
) -> None:
    """Unset and a default are two things to the engine."""
    common = _spec(TaskTemplate={"ContainerSpec": {"Image": "a"}})
    one, other = (
        common if value is ABSENT else common.with_path(path, value) for value in (before, after)
    )
    assert one.diff(other).restarts_tasks


CANARY = "canary-7c4A"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.canary7c4A"

SECRET_PLACES: dict[str, Any] = {
    "TaskTemplate.ContainerSpec.Env": [
        f"DB_PASSWORD={CANARY}",
        f"URL=postgres://app:{CANARY}@db/app",
        f"JWT_VALUE={JWT}",
        f"OPTS=-Dpassword={CANARY}",
        f"HEADER=Authorization: Bearer {CANARY}",
    ],
    "TaskTemplate.ContainerSpec.Args": ["--token", CANARY, f"--api-key={CANARY}", "x"],
    "TaskTemplate.ContainerSpec.Command": ["sh", "-c", f"run --password {CANARY} --user x"],
    "TaskTemplate.ContainerSpec.Labels": {"proxy.auth": CANARY, "x": f"https://u:{CANARY}@h/"},
    "Labels": {"deploy-token": CANARY, f"https://u:{CANARY}@h": "x"},
    "TaskTemplate.LogDriver.Options": {"splunk-token": CANARY},
    "TaskTemplate.ContainerSpec.HealthCheck.Test": ["CMD-SHELL", f"curl https://u:{CANARY}@h"],
    "TaskTemplate.ContainerSpec.Image": f"user:{CANARY}@registry.example.com/app:1",
    "TaskTemplate.ContainerSpec.Mounts": [
        {
            "Target": "/x",
            "VolumeOptions": {"DriverConfig": {"Options": {"o": f"addr=h,password={CANARY}"}}},
        }
    ],
    "TaskTemplate.Networks": [{"Target": "n", "DriverOpts": {"secret": CANARY}}],
    "TaskTemplate.FromTheFuture": {"Password": CANARY, "Tokens": [CANARY, {"X": [CANARY]}]},
}


@pytest.mark.parametrize("place", SECRET_PLACES)
def test_a_secret_is_never_shown(place: str) -> None:
    """Not in a diff, its parts, the spec, its typed values; not added, removed or changed."""
    without = _spec(TaskTemplate={"ContainerSpec": {"Image": "app:1"}})
    with_secret = without.with_path(place, SECRET_PLACES[place])
    for before, after in ((without, with_secret), (with_secret, without)):
        diff = before.diff(after)
        assert diff
        texts = [str(diff), repr(diff), str(diff.to_dict()), *map(repr, diff), *map(str, diff)]
        typed = [
            repr(value)
            for name, item in vars(ServiceSpec).items()
            if isinstance(item, property)
            and name not in ("image", "image_reference", "args", "command")
            for value in [getattr(after, name)]
        ]
        shown = "\n".join([*texts, *typed, repr(after), repr(after.template)])
        assert "canary" not in shown
        assert MASK in shown


def test_a_changed_secret_is_seen_to_change() -> None:
    """Though neither value is."""
    diff = _container(Env=["TOKEN=one"]).diff(_container(Env=["TOKEN=two"]))
    assert f'Env.TOKEN: "{MASK}" -> "{MASK}" (changed)' in str(diff)


def test_true_and_one_are_a_change() -> None:
    """Though Python calls them equal; 1 and 1.0 are none."""
    assert _spec(Odd=[1]).diff(_spec(Odd=[True]))
    assert _spec(Odd=1).diff(_spec(Odd=True))
    assert not _spec(Odd=1).diff(_spec(Odd=1.0))


def test_control_characters_do_not_reach_the_terminal() -> None:
    """Neither from values nor from keys."""
    diff = _spec().diff(_spec(Labels={"\x1b[2J": "a\nb\u202e"}, Odd={"\x07": [1.5, True, None]}))
    assert str(diff).splitlines() == [
        r'+ Labels.\x1b[2J: absent -> "a\nb\u202e"',
        r"+ Odd.\x07: absent -> [1.5, true, null]",
    ]
    assert "{}" in str(_spec().diff(_spec(Odd={})))
