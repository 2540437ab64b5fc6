"""Which tasks an update replaces: swarmkit's IsTaskDirty, row by row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import pytest

from swarmroll.core.constraints import Constraint, satisfies
from swarmroll.core.diff import ABSENT, dirty, restarts
from swarmroll.core.document import Document
from swarmroll.core.spec import Port, ServiceSpec
from swarmroll.errors import SpecError


@attrs.frozen(kw_only=True)
class _Node:
    id: str = "id1"
    hostname: str = "Web-1"
    role: str = "worker"
    labels: Mapping[str, str] = attrs.field(factory=lambda: {"disk": "ssd", "Zone": "a"})
    engine_labels: Mapping[str, str] = attrs.field(factory=lambda: {"gpu": "yes"})
    os: str = "linux"
    arch: str = "x86_64"
    addr: str = "10.0.0.7"


NODE = _Node()

_CONTAINER = "TaskTemplate.ContainerSpec"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (f"{_CONTAINER}.Image", "app:2"),
        (f"{_CONTAINER}.Env.0", "LOG=debug"),
        (f"{_CONTAINER}.Command", ["other"]),
        (f"{_CONTAINER}.Mounts", []),
        (f"{_CONTAINER}.Secrets.0.SecretID", "s2"),
        (f"{_CONTAINER}.Configs.0.ConfigID", "c2"),
        (f"{_CONTAINER}.Labels.role", "back"),
        (f"{_CONTAINER}.HealthCheck.Retries", 5),
        (f"{_CONTAINER}.StopGracePeriod", 1),
        ("TaskTemplate.Resources.Limits.MemoryBytes", 1),
        ("TaskTemplate.LogDriver.Name", "gelf"),
        ("TaskTemplate.Networks.0.Target", "net2"),
        ("TaskTemplate.ForceUpdate", 4),
        ("TaskTemplate.RestartPolicy.Condition", "none"),
        ("TaskTemplate.RestartPolicy.Delay", 1),
        ("EndpointSpec.Ports.0.PublishedPort", 81),
        ("EndpointSpec.Mode", "dnsrr"),
        # Structural, not semantic: unset becomes the default.
        ("TaskTemplate.RestartPolicy.Window", 0),
        (f"{_CONTAINER}.DNSConfig", {}),
    ],
)
def test_a_change_of_template_or_endpoint_restarts(
    web: ServiceSpec, path: str, value: object
) -> None:
    """Whatever it is in them."""
    after = web.with_path(path, value)
    assert restarts(web, after, NODE)
    assert web.diff(after).restarts_tasks


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("Labels.team", "other"),
        ("Mode.Replicated.Replicas", 9),
        ("UpdateConfig.Parallelism", 9),
        ("RollbackConfig", None),
        ("Name", "other"),
        (f"{_CONTAINER}.TTY", False),
        (f"{_CONTAINER}.Init", None),
    ],
)
def test_other_changes_restart_nothing(web: ServiceSpec, path: str, value: object) -> None:
    """Labels and size of the service, its update configs; and what is unset to the engine."""
    after = web.with_path(path, value)
    assert not restarts(web, after, NODE)
    assert not web.diff(after).restarts_tasks


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("TaskTemplate.Placement.Constraints", ["node.labels.disk == SSD"]),
        ("TaskTemplate.Placement.Preferences", []),
        ("TaskTemplate.Placement.MaxReplicas", 1),
        ("TaskTemplate.Placement.Platforms", []),
        ("TaskTemplate.Placement", None),
    ],
)
def test_a_placement_that_the_node_still_meets_restarts_nothing(
    web: ServiceSpec, path: str, value: object
) -> None:
    """Any part of the placement."""
    after = web.with_path(path, value)
    assert not restarts(web, after, NODE)


def test_a_placement_that_the_node_does_not_meet_restarts(web: ServiceSpec) -> None:
    """The task has to move."""
    assert restarts(web, web.with_constraints(["node.role == manager"]), NODE)


def test_a_placement_restarts_a_task_without_a_node(web: ServiceSpec) -> None:
    """It never had the benefit; and the diff tells the worst case."""
    after = web.with_placement(max_replicas=1)
    assert restarts(web, after, None)
    assert web.diff(after).restarts_tasks


def test_placement_and_endpoint_together_restart_nothing(web: ServiceSpec) -> None:
    """Swarm's oddity: the endpoint is not looked at, and the tasks keep the old one."""
    after = web.with_placement(max_replicas=1).with_ports([Port(target_port=81)])
    assert not restarts(web, after, NODE)
    assert restarts(web, after, _Node(role="manager"))


def test_a_placement_does_not_excuse_another_change(web: ServiceSpec) -> None:
    """Only placement, or nothing."""
    assert restarts(web, web.with_placement(max_replicas=1).with_image("app:2"), NODE)


def test_an_endpoint_that_is_not_known_is_not_compared(web: ServiceSpec) -> None:
    """The API shows no task's endpoint."""
    after = web.with_ports([])
    assert not dirty(web.template, None, after, NODE)
    assert dirty(web.template, web.endpoint, after, NODE)


def test_an_absent_endpoint_differs_from_a_default_one(web: ServiceSpec) -> None:
    """Unset becomes the default: a restart."""
    bare = web.without_path("EndpointSpec")
    assert bare.endpoint is ABSENT
    assert restarts(bare, bare.with_path("EndpointSpec", {"Mode": "vip"}), NODE)
    assert not restarts(bare, bare, NODE)


def test_a_task_of_an_unknown_template_is_dirty(web: ServiceSpec) -> None:
    """Nothing is proven by not knowing."""
    assert dirty(None, None, web, NODE)


def test_an_empty_value_in_a_user_map_is_a_value(web: ServiceSpec) -> None:
    """Labels belong to the user; a missing one is not an empty one."""
    template = web.with_container_label("x", "").template
    assert dirty(template, None, web, NODE)
    assert not dirty(Document.from_engine(template.to_engine()), None, _with_x(web), NODE)


def _with_x(web: ServiceSpec) -> ServiceSpec:
    return web.with_container_label("x", "")


@pytest.mark.parametrize(
    "constraint",
    [
        "node.id==id1",
        "NODE.ID == ID1",
        "node.hostname == web-1",
        "node.hostname != web-2",
        " node.role==Worker ",
        "node.platform.os == Linux",
        "node.platform.arch == X86_64",
        "node.labels.disk == SSD",
        "node.labels.Zone == a",
        "node.labels.zone != a",
        "node.labels.none != x",
        "engine.labels.gpu == yes",
        "Engine.Labels.gpu != no",
        "node.ip == 10.0.0.7",
        "node.ip != 10.0.0.8",
        "node.ip == 10.0.0.1/24",
        "node.ip != 10.1.0.0/16",
        "node.ip == ::ffff:10.0.0.7",
    ],
)
def test_a_constraint_is_met(constraint: str) -> None:
    """Values and attributes without regard to case, label names with."""
    assert satisfies([constraint], NODE)


@pytest.mark.parametrize(
    "constraint",
    [
        "node.id != id1",
        "node.hostname == web",
        "node.hostname == web*",
        "node.role == manager",
        "node.labels.zone == a",
        "node.labels.none == x",
        "node.labels. == ssd",
        "node.name == web-1",
        "node.platform.arch == amd64",
        "node.ip != 10.0.0.7",
        "node.ip != 10.0.0.0/24",
        "node.ip == 10.0.0.8",
        "node.ip == somewhere",
        "node.ip != 10.0.0.0/255.0.0.0",
        "node.ip == 10.0.0.0/99",
    ],
)
def test_a_constraint_is_not_met(constraint: str) -> None:
    """Nor is one about something that Swarm does not know."""
    assert not satisfies([constraint], NODE)


def test_a_node_must_meet_all_constraints() -> None:
    """And meets none by being unknown."""
    assert satisfies([], NODE)
    assert not satisfies(["node.id == id1", "node.role == manager"], NODE)
    assert satisfies(["node.ip != 10.0.0.7", "node.ip != 10.0.0.0/8"], _Node(addr=""))


def test_constraints_that_cannot_be_read_do_not_count() -> None:
    """swarmkit ignores its parser's error here, and then checks none of them."""
    assert satisfies(["node.role == manager", "nonsense"], NODE)


def test_letters_are_folded_one_by_one() -> None:
    """As Go does."""
    assert not satisfies(["node.hostname == ss"], _Node(hostname="ß"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "nodeabc",
        "node ~ abc",
        "1node==a2",
        "no de== node1",
        "no*de==node1",
        "==node1",
        "node==",
        "node== ",
        "no$de==node1",
        "node.role=worker",
        "node.id == a;b",
        "a != b == c",
    ],
)
def test_a_malformed_constraint_is_refused(text: str) -> None:
    """Swarmkit's own examples, among others."""
    with pytest.raises(SpecError, match="constraint must be such as"):
        Constraint.parse(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" node == node1", ("node", True, "node1")),
        ("no.de!=node 1", ("no.de", False, "node 1")),
        ("_node==[a-b]+c*(n|b)/", ("_node", True, "[a-b]+c*(n|b)/")),
    ],
)
def test_a_constraint_is_read_as_swarmkit_does(text: str, expected: Any) -> None:
    """Spaces around are dropped, inside a value they are kept."""
    found = Constraint.parse(text)
    assert expected == (found.key, found.equal, found.value)
