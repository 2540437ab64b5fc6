"""What a spec says, typed; and what the engine makes of what it does not say."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings

from swarmroll.core.document import ABSENT
from swarmroll.core.environment import Environment, TextMap
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

from .shapes import spec_documents

_READINGS = [
    name
    for name, value in vars(ServiceSpec).items()
    if isinstance(value, property) and name != "image_reference"
]


def _spec(**keys: Any) -> ServiceSpec:
    return ServiceSpec.from_engine(keys)


@settings(max_examples=400, deadline=None)
@given(spec_documents())
def test_whatever_the_api_allows_can_be_read(document: dict[str, Any]) -> None:
    """Every property has an answer for every document of the right shape."""
    spec = ServiceSpec.from_engine(document)
    for name in _READINGS:
        getattr(spec, name)
    assert repr(spec).startswith("<ServiceSpec ")


def test_a_spec_tells_what_it_holds(web: ServiceSpec) -> None:
    """Typed, with seconds for durations and cores for CPUs."""
    assert (web.name, web.mode, web.replicas, web.force_update) == ("web", "replicated", 3, 3)
    assert (web.image, web.image_reference.tag) == ("app:1", "1")
    assert (web.command, web.args) == (("serve",), ("--port", "80"))
    assert (web.hostname, web.user, web.workdir) == ("h", "", "")
    assert (web.stop_grace, web.effective_stop_grace, web.stop_signal) == (10.0, 10.0, "SIGINT")
    assert web.labels["team"] == "web"
    assert web.container_labels == {"role": "front"}
    assert web.endpoint_mode == "vip"
    assert web.rollout_label == ""
    assert not web.has_legacy_networks


def test_a_spec_tells_its_parts(web: ServiceSpec) -> None:
    """As frozen values."""
    assert web.healthcheck == Healthcheck(test=["CMD", "true"], interval=5)
    assert web.resources == Resources(cpu_limit=0.5, memory_limit=104_857_600)
    assert web.restart_policy == RestartPolicy(condition="any", delay=5, max_attempts=0)
    assert web.placement == Placement(
        constraints=["node.role == worker"],
        preferences=["node.labels.rack"],
        max_replicas=2,
        platforms=[Platform(os="linux", arch="amd64")],
    )
    assert web.networks == (Network(target="net1", aliases=["web"]),)
    assert web.log_driver == LogDriver(name="json-file", options={"max-size": "10m"})
    assert web.mounts == (Mount(type="volume", source="data", target="/data"),)
    assert web.secrets == (Secret(id="s1", name="db", file="db", uid="0", gid="0", mode=292),)
    assert web.configs == (
        Config(id="c1", name="app", file="/etc/app", uid="0", gid="0", mode=292),
    )
    assert web.ports == (
        Port(target_port=80, published_port=8080, protocol="tcp", publish_mode="ingress"),
    )
    assert len({web.mounts, web.networks, web.log_driver}) == 3


def test_an_update_config_tells_what_the_engine_will_do(web: ServiceSpec) -> None:
    """Durations in seconds."""
    assert web.update_config == UpdateConfig(
        parallelism=2,
        delay=1,
        failure_action="rollback",
        monitor=15,
        max_failure_ratio=0.25,
        order="start-first",
    )


def test_an_absent_update_config_is_the_engines_default() -> None:
    """One at a time, five seconds of monitoring, pause, stop first."""
    spec = _spec()
    assert spec.update_config is None
    assert spec.effective_update_config == spec.effective_rollback_config
    assert spec.effective_update_config == UpdateConfig(
        parallelism=1,
        delay=0,
        failure_action="pause",
        monitor=5,
        max_failure_ratio=0,
        order="stop-first",
    )


def test_a_config_without_parallelism_replaces_all_at_once() -> None:
    """The trap: an object that is there has no default of 1."""
    spec = _spec(UpdateConfig={"Delay": 10**9}, RollbackConfig={})
    assert spec.effective_update_config == UpdateConfig(parallelism=0, delay=1)
    assert spec.effective_rollback_config == UpdateConfig(parallelism=0)


def test_a_monitor_of_zero_is_five_seconds() -> None:
    """The engine cannot express zero, nor an action without a name."""
    spec = _spec(UpdateConfig={"Monitor": 0, "FailureAction": "", "Order": ""})
    assert spec.effective_update_config == UpdateConfig(parallelism=0)


def test_an_odd_rollback_config_can_be_read() -> None:
    """The engine does not validate it: a ratio of 2, action rollback."""
    spec = _spec(RollbackConfig={"MaxFailureRatio": 2, "FailureAction": "rollback"})
    assert spec.effective_rollback_config.max_failure_ratio == 2
    assert spec.effective_rollback_config.failure_action == "rollback"


@pytest.mark.parametrize(
    ("mode", "expected", "replicas"),
    [
        (None, "replicated", 1),
        ({}, "replicated", 1),
        ({"Replicated": {}}, "replicated", 1),
        ({"Replicated": {"Replicas": 0}}, "replicated", 0),
        ({"Global": {}}, "global", None),
        ({"Global": None, "Replicated": {"Replicas": 2}}, "replicated", 2),
        ({"ReplicatedJob": {"MaxConcurrent": 1}}, "replicated-job", None),
        ({"GlobalJob": {}}, "global-job", None),
    ],
)
def test_the_mode_says_whether_there_are_replicas(
    mode: object, expected: str, replicas: int | None
) -> None:
    """Without any, the engine makes one replica."""
    assert (expected, replicas) == (_spec(Mode=mode).mode, _spec(Mode=mode).replicas)


@pytest.mark.parametrize("mode", [{"Global": {}, "Replicated": {}}, "global"])
def test_a_mode_must_be_one(mode: object) -> None:
    """The engine refuses two."""
    with pytest.raises(SpecError, match="Mode must be"):
        _ = _spec(Mode=mode).mode


def test_the_last_of_duplicate_variables_counts() -> None:
    """As for the container; all entries survive."""
    env = _spec(TaskTemplate={"ContainerSpec": {"Env": ["A=1", "B", "A=2=3", "=C"]}}).env
    assert dict(env) == {"A": "2=3", "": "C"}
    assert env.entries == ("A=1", "B", "A=2=3", "=C")


def test_an_environment_is_compared_by_its_values() -> None:
    """As any mapping; what has no value is in the entries."""
    assert Environment(["A=1", "B"]) == {"A": "1"}
    assert len({Environment(["A=1"]), Environment(["A=0", "A=1"]), TextMap({"A": "1"})}) == 1


def test_top_level_networks_are_read_where_the_template_has_none() -> None:
    """Old specs have them there."""
    spec = _spec(Networks=[{"Target": "old"}])
    assert spec.has_legacy_networks
    assert spec.networks == (Network(target="old"),)
    assert spec.with_networks(["new"]).networks == (Network(target="new"),)


def test_an_empty_endpoint_is_not_an_absent_one() -> None:
    """To the engine they differ, and that restarts tasks."""
    assert _spec().endpoint is ABSENT
    assert _spec(EndpointSpec={}).endpoint is not ABSENT
    assert _spec(EndpointSpec={}).endpoint_mode == "vip"


def test_what_is_not_declared_is_empty() -> None:
    """No property fails on an empty spec, nor on nulls."""
    for spec in (_spec(), _spec(TaskTemplate=None, Labels=None), _spec(TaskTemplate={})):
        assert not spec.env
        assert not spec.labels
        assert spec.args == ()
        assert spec.placement.constraints == ()
        assert spec.placement_document is ABSENT
        assert spec.stop_grace is None
        assert spec.effective_stop_grace == 10
        assert spec.healthcheck is None
        assert spec.log_driver is None
        assert spec.restart_policy is None


def test_a_health_check_may_switch_checks_off() -> None:
    """And inherits the engine's interval."""
    assert Healthcheck(test=("NONE",)).disabled
    assert not Healthcheck().disabled
    assert Healthcheck().effective_interval == 30
    assert Healthcheck(interval="5s").effective_interval == 5


@pytest.mark.parametrize(
    ("keys", "reading", "message"),
    [
        ({"TaskTemplate": "x"}, "image", 'TaskTemplate must be an object, got "x"'),
        ({"TaskTemplate": "x"}, "template", 'TaskTemplate must be an object, got "x"'),
        ({"EndpointSpec": 1}, "endpoint", "EndpointSpec must be an object, got 1"),
        ({"Name": 1}, "name", "Name must be a string, got 1"),
        ({"Labels": []}, "labels", "Labels must be a mapping"),
        ({"Labels": {"password": 1}}, "labels", r"Labels\[\"password\"\] must be a string, got 1"),
        ({"UpdateConfig": 1}, "update_config", "UpdateConfig must be an object"),
        ({"UpdateConfig": {"Delay": 1.5}}, "update_config", r"Delay must be integer nanosec"),
        ({"UpdateConfig": {"Delay": -1}}, "update_config", r"UpdateConfig\.Delay must be at least"),
        ({"UpdateConfig": {"Order": "odd"}}, "update_config", "Order must be one of stop-first"),
        ({"EndpointSpec": {"Ports": {}}}, "ports", "Ports must be a list, got a dict"),
        ({"EndpointSpec": {"Ports": [1]}}, "ports", r"Ports\.0 must be an object, got 1"),
        (
            {"TaskTemplate": {"Placement": {"Preferences": [{"Spread": 1}]}}},
            "placement",
            r"Preferences\.Spread must be an object",
        ),
        (
            {"TaskTemplate": {"ContainerSpec": {"Args": ["a", 1]}}},
            "args",
            r"Args\.1 must be a string, got 1",
        ),
        (
            {"TaskTemplate": {"Resources": {"Limits": {"NanoCPUs": 1.5}}}},
            "resources",
            "NanoCPUs must be an integer, got 1.5",
        ),
    ],
)
def test_a_document_of_the_wrong_shape_is_named_when_it_is_read(
    keys: dict[str, Any], reading: str, message: str
) -> None:
    """It survives, but cannot be understood."""
    spec = _spec(**keys)
    assert keys == spec.to_engine()
    with pytest.raises(SpecError, match=message):
        getattr(spec, reading)


def test_a_repr_is_short(web: ServiceSpec) -> None:
    """Name, image, size; and never an exception."""
    assert repr(web) == "<ServiceSpec web: app:1, replicas=3>"
    assert repr(_spec(Mode={"Global": {}})) == "<ServiceSpec unnamed: no image, global>"
    assert repr(_spec(Name=1)).startswith("<ServiceSpec malformed: Name must be a string")
    assert "\x1b" not in repr(_spec(Name="\x1b[2J"))
    assert repr(web.template).startswith("Document({'ContainerSpec'")
