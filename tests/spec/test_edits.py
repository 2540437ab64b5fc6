"""An edit changes its own path, and nothing else."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, TypeAlias

import attrs
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from swarmroll.core.image import ImageReference
from swarmroll.core.spec import (
    Config,
    Healthcheck,
    LogDriver,
    Mount,
    Network,
    Placement,
    Platform,
    Port,
    Resources,
    RestartPolicy,
    Secret,
    ServiceSpec,
    UpdateConfig,
)
from swarmroll.errors import SpecError

from .shapes import leaves, same, spec_documents

Edit: TypeAlias = Callable[[ServiceSpec], ServiceSpec]
_CONTAINER = "TaskTemplate.ContainerSpec"

# Each edit, and the path that it may change. Together they are every with_… method.
EDITS: list[tuple[str, str, Edit]] = [
    ("image", f"{_CONTAINER}.Image", lambda s: s.with_image("app:2")),
    ("env", f"{_CONTAINER}.Env", lambda s: s.with_env({"A-B": "x"}, LOG="debug", DB_PASSWORD=None)),
    ("label", "Labels", lambda s: s.with_label("a.b", "x")),
    ("labels", "Labels", lambda s: s.with_labels({"team": None, "b": "y"})),
    ("container_label", f"{_CONTAINER}.Labels", lambda s: s.with_container_label("a", "x")),
    ("container_labels", f"{_CONTAINER}.Labels", lambda s: s.with_container_labels({"a": None})),
    ("command", f"{_CONTAINER}.Command", lambda s: s.with_command(["run"])),
    ("args", f"{_CONTAINER}.Args", lambda s: s.with_args(None)),
    ("replicas", "Mode.Replicated.Replicas", lambda s: s.with_replicas(7)),
    ("hostname", f"{_CONTAINER}.Hostname", lambda s: s.with_hostname("h-{{.Task.Slot}}")),
    ("stop_grace", f"{_CONTAINER}.StopGracePeriod", lambda s: s.with_stop_grace("1m30s")),
    ("stop_signal", f"{_CONTAINER}.StopSignal", lambda s: s.with_stop_signal("SIGQUIT")),
    (
        "healthcheck",
        f"{_CONTAINER}.HealthCheck",
        lambda s: s.with_healthcheck(test=["CMD", "x"], interval=2),
    ),
    ("healthcheck", f"{_CONTAINER}.HealthCheck", lambda s: s.with_healthcheck(None)),
    ("resources", "TaskTemplate.Resources", lambda s: s.with_resources(cpu_limit=1.5, swap=-1)),
    ("placement", "TaskTemplate.Placement", lambda s: s.with_placement(max_replicas=1)),
    ("constraints", "TaskTemplate.Placement", lambda s: s.with_constraints(["node.id == x1"])),
    (
        "placement_of",
        "TaskTemplate.Placement",
        lambda s: s.with_placement_of(s.with_constraints(["node.id == x1"])),
    ),
    (
        "update_config_of",
        "UpdateConfig",
        lambda s: s.with_update_config_of(s.with_update_config(parallelism=7)),
    ),
    (
        "restart_policy",
        "TaskTemplate.RestartPolicy",
        lambda s: s.with_restart_policy(condition="none", delay="1s"),
    ),
    ("log_driver", "TaskTemplate.LogDriver", lambda s: s.with_log_driver(options={"a": "b"})),
    ("update_config", "UpdateConfig", lambda s: s.with_update_config(delay="10s")),
    ("rollback_config", "RollbackConfig", lambda s: s.with_rollback_config(UpdateConfig())),
    ("mounts", f"{_CONTAINER}.Mounts", lambda s: s.with_mounts([Mount(target="/x")])),
    ("networks", "TaskTemplate.Networks", lambda s: s.with_networks(["n", Network(target="m")])),
    ("secrets", f"{_CONTAINER}.Secrets", lambda s: s.with_secrets([Secret(id="i", file="f")])),
    ("configs", f"{_CONTAINER}.Configs", lambda s: s.with_configs([Config(id="i", file="f")])),
    ("ports", "EndpointSpec.Ports", lambda s: s.with_ports([Port(target_port=80)])),
    ("force_update", "TaskTemplate.ForceUpdate", lambda s: s.with_force_update()),
    ("path", f"{_CONTAINER}.TTY", lambda s: s.with_path(f"{_CONTAINER}.TTY", True)),
]


def test_every_edit_is_tried_below() -> None:
    """A new one belongs into the list."""
    methods = {name.removeprefix("with_") for name in dir(ServiceSpec) if name.startswith("with_")}
    assert methods == {name for name, _, _ in EDITS}


@settings(max_examples=1500, deadline=None)
@given(spec_documents(), st.sampled_from(EDITS))
def test_an_edit_changes_its_own_path_and_nothing_else(
    document: dict[str, Any], edit: tuple[str, str, Edit]
) -> None:
    """Every other leaf keeps its value, its type and its place."""
    name, path, change = edit
    spec = ServiceSpec.from_engine(document)
    assume(name != "replicas" or spec.mode == "replicated")
    # Not documented so, but what engines send and store.
    path = path if spec.healthcheck else path.replace("HealthCheck", "Healthcheck")
    own = tuple(path.split("."))
    after = leaves(change(spec).to_engine())
    kept = {at: leaf for at, leaf in after.items() if at[: len(own)] != own}
    before = {
        at: leaf
        for at, leaf in leaves(document).items()
        # A parent that was null or empty had to become an object.
        if at[: len(own)] != own and own[: len(at)] != at
    }
    before_kept = {at: leaf for at, leaf in kept.items() if own[: len(at)] != at}
    assert list(before.items()) == list(before_kept.items())
    assert all(same(leaf, before_kept[at]) for at, leaf in before.items())
    assert same(document, spec.to_engine())


@settings(max_examples=400, deadline=None)
@given(spec_documents())
def test_writing_back_what_was_read_changes_nothing(document: dict[str, Any]) -> None:
    """Not even what the typed value does not know."""
    spec = ServiceSpec.from_engine(document)
    result = (
        spec.with_env(dict(spec.env) if len(set(spec.env.entries)) == len(spec.env) else {})
        if "" not in spec.env
        else spec
    )
    for part in ("update_config", "rollback_config", "restart_policy", "healthcheck", "log_driver"):
        value = getattr(spec, part)
        result = result if value is None else getattr(result, f"with_{part}")(value)
    for row in ("mounts", "secrets", "configs", "ports"):
        value = getattr(spec, row)
        result = getattr(result, f"with_{row}")(value) if value else result
    assert same(spec.to_engine(), result.to_engine())


def test_health_check_is_read_and_written_as_engines_send_it() -> None:
    """The API's document has another capital letter in it, and an engine takes either."""
    sent = {"TaskTemplate": {"ContainerSpec": {"Healthcheck": {"Test": ["NONE"], "Retries": 2}}}}
    spec = ServiceSpec.from_engine(sent)
    assert spec.healthcheck == Healthcheck(test=["NONE"], retries=2)
    edited = spec.with_healthcheck(retries=3)
    assert ["TaskTemplate.ContainerSpec.Healthcheck.Retries"] == [c.path for c in spec.diff(edited)]
    made = ServiceSpec.from_engine({}).with_healthcheck(test=["NONE"])
    assert made.to_engine() == {
        "TaskTemplate": {"ContainerSpec": {"Healthcheck": {"Test": ["NONE"]}}}
    }


def test_a_part_is_replaced_by_another() -> None:
    """And is then exactly that."""
    spec = ServiceSpec.from_engine({})
    policy = RestartPolicy(condition="on-failure", delay=1, max_attempts=3, window="1m")
    check = Healthcheck(test=["CMD-SHELL", "x"], timeout=3, start_period=9, start_interval="1s")
    resources = Resources(
        cpu_limit=0.25,
        memory_limit=10,
        pids_limit=9,
        cpu_reservation=0.1,
        memory_reservation=5,
        swap=0,
        swappiness=-1,
    )
    placement = Placement(
        constraints=["node.role != manager"],
        preferences=["node.labels.az"],
        max_replicas=1,
        platforms=[Platform(os="linux", arch="arm64")],
    )
    driver = LogDriver(name="gelf", options={"tag": "x"})
    assert spec.with_restart_policy(policy).restart_policy == policy
    assert spec.with_healthcheck(check).healthcheck == check
    assert spec.with_resources(resources).resources == resources
    assert spec.with_placement(placement).placement == placement
    assert spec.with_log_driver(driver).log_driver == driver


def test_a_new_update_config_is_written_in_full() -> None:
    """Nothing is left to defaults that differ between engines and clients."""
    assert ServiceSpec.from_engine({}).with_update_config(monitor="20s").to_engine() == {
        "UpdateConfig": {
            "Parallelism": 1,
            "Delay": 0,
            "FailureAction": "pause",
            "Monitor": 20_000_000_000,
            "MaxFailureRatio": 0,
            "Order": "stop-first",
        }
    }


def test_one_field_of_an_update_config_leaves_the_others(document: dict[str, Any]) -> None:
    """Also those that nobody knows."""
    document["UpdateConfig"]["FromTheFuture"] = [1]
    changed = ServiceSpec.from_engine(document).with_update_config(parallelism=5).to_engine()
    document["UpdateConfig"]["Parallelism"] = 5
    assert same(document, changed)


@pytest.mark.parametrize(
    ("ratio", "written"), [(0.1, 0.1), (1 / 3, 0.33333334), (1, 1), (0.0, 0), (1e-9, 1e-9)]
)
def test_a_ratio_is_written_as_the_engine_will_give_it_back(ratio: float, written: float) -> None:
    """It keeps a float32."""
    spec = ServiceSpec.from_engine({}).with_update_config(max_failure_ratio=ratio)
    assert same(written, spec.to_engine()["UpdateConfig"]["MaxFailureRatio"])


def test_none_removes_a_part(web: ServiceSpec) -> None:
    """The engine's own default applies again."""
    bare = (
        web.with_update_config(None)
        .with_rollback_config(None)
        .with_restart_policy(None)
        .with_log_driver(None)
        .with_placement(None)
        .with_resources(None)
        .with_healthcheck(None)
        .with_stop_grace(None)
        .with_stop_signal(None)
        .with_hostname(None)
        .with_command(None)
    )
    assert set(bare.to_engine()) == {"Name", "Labels", "TaskTemplate", "Mode", "EndpointSpec"}
    assert set(bare.template) == {"ContainerSpec", "Networks", "ForceUpdate", "Runtime"}
    assert bare.with_placement_of(bare) is bare
    assert bare.with_update_config_of(bare) is bare
    assert bare.with_update_config(delay=1).with_update_config_of(bare) == bare


def test_a_variable_keeps_its_place_when_it_changes(web: ServiceSpec) -> None:
    """New ones come last, removed ones leave no gap."""
    changed = web.with_env(PORT="81", LOG="debug", NEW=1, BARE=None)
    assert changed.env.entries == ("LOG=debug", "PORT=81", "NEW=1")
    assert changed.with_env(LOG=None).env.entries == ("PORT=81", "NEW=1")


def test_of_duplicate_variables_the_last_is_changed_and_all_are_removed() -> None:
    """The last one counts."""
    spec = ServiceSpec.from_engine({"TaskTemplate": {"ContainerSpec": {"Env": ["A=1", "A=2"]}}})
    assert spec.with_env(A="3").env.entries == ("A=1", "A=3")
    assert spec.with_env(A=None).env.entries == ()


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s.with_env(LOG="info"),
        lambda s: s.with_env(NEVER=None),
        lambda s: s.with_env(),
        lambda s: s.with_label("team", "web"),
        lambda s: s.with_label("never", None),
        lambda s: s.with_args(s.args),
        lambda s: s.with_stop_grace(10),
        lambda s: s.with_replicas(3),
        lambda s: s.with_update_config(parallelism=2),
        lambda s: s.with_placement(s.placement),
        lambda s: s.with_mounts(s.mounts),
        lambda s: s.with_networks(s.networks),
    ],
)
def test_an_edit_that_changes_nothing_returns_the_same_spec(web: ServiceSpec, change: Edit) -> None:
    """No task restarts by accident."""
    assert change(web) is web


def test_a_duration_is_written_in_nanoseconds(web: ServiceSpec) -> None:
    """Integers, exactly."""
    assert web.with_stop_grace(0.1).get("TaskTemplate.ContainerSpec.StopGracePeriod") == 10**8


def test_an_image_may_be_a_reference(web: ServiceSpec) -> None:
    """Pinned, for example."""
    pinned = ImageReference.parse("app:2").pinned("sha256:" + "0" * 64)
    assert web.with_image(pinned).image == str(pinned)


def test_force_update_counts_up(web: ServiceSpec) -> None:
    """Or is set."""
    assert web.with_force_update().force_update == 4
    assert web.with_force_update(0).force_update == 0


def test_options_that_a_mount_has_no_field_for_stay_with_its_target(web: ServiceSpec) -> None:
    """Also when other mounts come and go."""
    changed = web.with_mounts(
        [Mount(type="tmpfs", target="/tmp"), attrs.evolve(web.mounts[0], read_only=True)]
    )
    assert changed.to_engine()["TaskTemplate"]["ContainerSpec"]["Mounts"] == [
        {"Type": "tmpfs", "Target": "/tmp"},
        {"Type": "volume", "Source": "data", "Target": "/data", "New": 1, "ReadOnly": True},
    ]
    assert web.with_mounts([]).mounts == ()


def test_nested_options_are_written_and_removed_where_they_belong(web: ServiceSpec) -> None:
    """Without leaving empty ones behind where there were none."""
    rich = Mount(
        target="/data",
        type="volume",
        source="data",
        no_copy=True,
        volume_driver="nfs",
        volume_options={"o": "ro"},
    )
    changed = web.with_mounts([rich])
    assert changed.mounts == (rich,)
    assert changed.with_mounts([attrs.evolve(rich, no_copy=None)]).mounts[0].no_copy is None


_ANY: Any = 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.with_image("App"), r"ContainerSpec\.Image must have a lower case"),
        (lambda s: s.with_replicas(-1), "Replicas must be at least 0, got -1"),
        (lambda s: s.with_replicas(10**7), "Replicas must be at most 1000000"),
        (lambda s: s.with_replicas(True), "Replicas must be an integer, got True"),
        (lambda s: s.with_replicas(1.5), "Replicas must be an integer, got 1.5"),
        (lambda s: s.with_command("run me"), r'Command must be a list of strings, got "run me"'),
        (lambda s: s.with_args(["a", 1]), r"Args\.1 must be a string, got 1"),
        (lambda s: s.with_args(7), "Args must be a list of strings, got 7"),
        (lambda s: s.with_args(["a\0"]), r"Args\.0 must not contain a NUL"),
        (lambda s: s.with_env({"": "x"}), 'env must have names .* got ""'),
        (lambda s: s.with_env({"A=B": "x"}), "env must have names"),
        (lambda s: s.with_env({"A B": "x"}), "env must have names"),
        (lambda s: s.with_env({1: "x"}), "env must have names .* got 1"),
        (lambda s: s.with_env(["A=1"]), "env must be changed by a mapping"),
        (lambda s: s.with_env(A=True), r"env\.A must be a string, an integer, or None"),
        (lambda s: s.with_env(A=b"x"), r"env\.A must be a string, .* got a bytes"),
        (lambda s: s.with_env(A="x\0"), r"env\.A must not contain a NUL"),
        (lambda s: s.with_label("", "x"), 'Labels must have strings as keys, got ""'),
        (lambda s: s.with_label("a.b", 1), r"Labels\.a\\\.b must be a string, got 1"),
        (lambda s: s.with_labels([]), "Labels must be changed by a mapping"),
        (lambda s: s.with_stop_grace(-1), "StopGracePeriod must be at least 0 seconds, got -1"),
        (lambda s: s.with_update_config(parallelism=-1), r"UpdateConfig\.parallelism must be at"),
        (lambda s: s.with_update_config(order="last"), r"UpdateConfig\.order must be one of"),
        (lambda s: s.with_update_config(monitor=0), "monitor must be more than 0 .*5s.*got 0"),
        (lambda s: s.with_update_config(max_failure_ratio=2), "must be a number from 0 to 1"),
        (lambda s: s.with_update_config(max_failure_ratio=-1), "must be a number from 0"),
        (lambda s: s.with_update_config(max_failure_ratio="1"), "must be a number from 0"),
        (lambda s: s.with_update_config(parallelism=None), "parallelism must be an integer"),
        (lambda s: s.with_update_config(delay=None), "delay must be seconds, .* got None"),
        (lambda s: s.with_healthcheck(test=None), "test must be a list of strings, got None"),
        (lambda s: s.with_update_config(speed=1), r"by its fields \(parallelism, .*got speed"),
        (lambda s: s.with_update_config({"Parallelism": 1}), "must be a UpdateConfig, got a dict"),
        (
            lambda s: s.with_healthcheck(interval="1us"),
            "HealthCheck.Interval must be 0 or at least 1ms",
        ),
        (lambda s: s.with_resources(cpu_limit=-1), "cpu_limit must be a number from 0"),
        (lambda s: s.with_resources(swappiness=101), "swappiness must be at most 100"),
        (lambda s: s.with_log_driver(options=[1]), "options must be a mapping"),
        (lambda s: s.with_log_driver(options={1: "x"}), "a key of LogDriver.options must be"),
        (lambda s: s.with_placement(platforms="linux"), "platforms must be a list of Platform"),
        (lambda s: s.with_placement(platforms=["linux"]), "platforms must be a list of Platform"),
        (lambda s: s.with_constraints(["node.role=worker"]), r"Constraints\.0 must be such as"),
        (lambda s: s.with_mounts([{"Target": "/x"}]), "Mounts must be a list of Mount, got a dict"),
        (lambda s: s.with_mounts("x"), "Mounts must be a list, got"),
        (lambda s: s.with_networks("net"), 'networks must be a list, got "net"'),
        (lambda s: s.with_ports([Port(target_port=70000)]), "target_port must be at most 65535"),
        (lambda s: s.with_mounts([Mount(read_only=_ANY)]), "read_only must be True or False"),
        (lambda s: s.with_force_update(-1), "ForceUpdate must be at least 0"),
    ],
)
def test_a_wrong_value_is_refused_by_name(web: ServiceSpec, change: Edit, message: str) -> None:
    """Path or field, what was wanted, what came."""
    before = copy.deepcopy(web.to_engine())
    with pytest.raises(SpecError, match=message):
        change(web)
    assert before == web.to_engine()


def test_constraints_that_are_there_already_are_not_judged() -> None:
    """The engine took them; only new ones are checked."""
    spec = ServiceSpec.from_engine({"TaskTemplate": {"Placement": {"Constraints": ["odd"]}}})
    changed = spec.with_constraints(["odd", "node.id==x"])
    assert changed.placement.constraints == ("odd", "node.id==x")


@pytest.mark.parametrize("mode", ["Global", "ReplicatedJob", "GlobalJob"])
def test_only_a_replicated_service_is_scaled(mode: str) -> None:
    """The message says what it is."""
    spec = ServiceSpec.from_engine({"Mode": {mode: {}}})
    with pytest.raises(SpecError, match=f"a {spec.mode} service has no replicas"):
        spec.with_replicas(2)
