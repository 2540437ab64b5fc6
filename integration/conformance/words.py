"""
What scenarios are written in: service specs in short, conditions, and acts.

Everything here is a value: a scenario is data, and `driver` alone does something with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import attrs

from integration.conformance.trace import Look
from swarmroll.sim.images import BehaviourWords

SECOND = 10**9
REGISTRY = "registry:5000"

#: What a scenario wants of a service unless it says otherwise. A failed task is restarted after a
#: minute, and that is after the end: a crash is seen once, and not in a loop.
_PACE = {"Parallelism": 1, "Delay": 0, "Monitor": SECOND, "FailureAction": "pause"}
_RESTART = {"Condition": "any", "Delay": 60 * SECOND}
_GRACE = 2 * SECOND

Document = dict[str, Any]


def pace(
    *,
    parallelism: int = 1,
    delay: float = 0,
    monitor: float = 1,
    on_failure: str = "pause",
    ratio: float = 0,
    order: str = "stop-first",
) -> Document:
    """An UpdateConfig or RollbackConfig; times are seconds."""
    return {
        "Parallelism": parallelism,
        "Delay": round(delay * SECOND),
        "Monitor": round(monitor * SECOND),
        "FailureAction": on_failure,
        "MaxFailureRatio": ratio,
        "Order": order,
    }


def restart(
    condition: str = "any", *, delay: float = 60, attempts: int = 0, window: float = 0
) -> Document:
    """A RestartPolicy; times are seconds."""
    return {
        "Condition": condition,
        "Delay": round(delay * SECOND),
        "MaxAttempts": attempts,
        "Window": round(window * SECOND),
    }


def service(
    image: str = "web:1",
    *,
    replicas: int | None = 3,
    update: Document | None = None,
    rollback: Document | None = None,
    policy: Document | None = None,
    container: Document | None = None,
    placement: Document | None = None,
    endpoint: Document | None = None,
    networks: tuple[str, ...] = (),
) -> Document:
    """
    A service spec without a name; no replicas make it global.

    It always has a placement: a spec without one, over tasks with one, can end an engine's manager.
    """
    mode = {"Global": {}} if replicas is None else {"Replicated": {"Replicas": replicas}}
    spec: Document = {
        "TaskTemplate": {
            "ContainerSpec": {
                "Image": f"{REGISTRY}/{image}",
                "StopGracePeriod": _GRACE,
                **(container or {}),
            },
            "RestartPolicy": policy or _RESTART,
            "Placement": placement or {},
        },
        "Mode": mode,
        "UpdateConfig": update or _PACE,
        "RollbackConfig": rollback or _PACE,
    }
    if networks:
        spec["TaskTemplate"]["Networks"] = [{"Target": name} for name in networks]
    if endpoint:
        spec["EndpointSpec"] = endpoint
    return spec


# Conditions


class Condition(Protocol):
    """Something that a look at the swarm may show."""

    def holds(self, look: Look) -> bool:
        """Whether it does."""


@attrs.frozen
class Now:
    """At once."""

    def holds(self, look: Look) -> bool:
        """Always."""
        return bool(look.at)


@attrs.frozen
class Status:
    """The update status is this; "" is none at all."""

    state: str

    def holds(self, look: Look) -> bool:
        """Whether it is."""
        return look.status == self.state


@attrs.frozen
class Tasks:
    """At least so many tasks of an image are in a state, and wanted in one."""

    image: str
    state: str = "running"
    count: int = 1
    wanted: str = ""

    def holds(self, look: Look) -> bool:
        """Whether they are."""
        found = [
            task
            for task in look.tasks
            if task.image == self.image
            and task.state == self.state
            and self.wanted in ("", task.desired)
        ]
        return len(found) >= self.count


@attrs.frozen
class Passed:
    """So many seconds have passed since the act before, or since the service was there."""

    seconds: float

    def holds(self, look: Look) -> bool:
        """Whether they have."""
        return look.since >= self.seconds


@attrs.frozen
class Settled:
    """Everybody runs who should, everybody has ended who should."""

    def holds(self, look: Look) -> bool:
        """Whether nothing moves."""
        return bool(look.tasks) and not any(task.moving(look.lost) for task in look.tasks)


@attrs.frozen
class NodeState:
    """The managers say this of a node."""

    node: str
    state: str

    def holds(self, look: Look) -> bool:
        """Whether they do."""
        return look.nodes.get(self.node) == self.state


@attrs.frozen
class All:
    """Several conditions at once."""

    conditions: tuple[Condition, ...]

    def holds(self, look: Look) -> bool:
        """Whether each holds."""
        return all(condition.holds(look) for condition in self.conditions)


def together(*conditions: Condition) -> All:
    """All of them at once."""
    return All(conditions)


# Acts


@attrs.frozen(kw_only=True)
class Update:
    """
    Write the service: the spec as it is now, with these changes merged in.

    Attributes:
        image: Another image.
        replicas: Another number of them.
        spec: Merged into the spec, object by object.
    """

    image: str | None = None
    replicas: int | None = None
    spec: Mapping[str, Any] = attrs.field(factory=dict)

    def applied(self, spec: Document) -> Document:
        """The changed spec."""
        changes: list[Mapping[str, Any]] = [self.spec]
        if self.image is not None:
            image = f"{REGISTRY}/{self.image}"
            changes.append({"TaskTemplate": {"ContainerSpec": {"Image": image}}})
        if self.replicas is not None:
            changes.append({"Mode": {"Replicated": {"Replicas": self.replicas}}})
        for change in changes:
            spec = _merged(spec, change)
        return spec


@attrs.frozen
class RollBack:
    """Ask the engine for the previous spec (`rollback=previous`)."""


@attrs.frozen(kw_only=True)
class Node:
    """Write a node: its availability, its labels."""

    name: str
    availability: str = "active"
    labels: Mapping[str, str] = attrs.field(factory=dict)


@attrs.frozen
class CutPower:
    """Everything on a node ends at once."""

    node: str


@attrs.frozen
class CutOff:
    """A node cannot be reached any more; its containers go on."""

    node: str


@attrs.frozen
class Repair:
    """A node that was lost is back."""

    node: str


@attrs.frozen
class Kill:
    """Somebody kills the container of a running task of this image; of the last slot, by number."""

    image: str


Act = Update | RollBack | Node | CutPower | CutOff | Repair | Kill


@attrs.frozen
class Step:
    """Do something as soon as something is so."""

    when: Condition
    do: Act


def at_first(do: Act) -> Step:
    """Do something as soon as the service is there."""
    return Step(Now(), do)


@attrs.frozen(kw_only=True)
class Scenario:
    """
    A story that is played on both swarms.

    Attributes:
        name: Short, for files and tests.
        tells: What a user would notice.
        spec: Of the service, without its name.
        steps: What is done, one after the other.
        ends: When it is over; then, unless `unsettled`, it is waited until nothing moves.
        begins: When the service counts as there.
        unsettled: It never comes to rest, or only long after.
        fast: Whether it is played in every test run.
        exclusive: It touches nodes, and so has the swarm to itself.
        networks: Overlay networks that have to be there.
        node_labels: Labels of nodes that have to be there: node -> labels.
        told: What an image does on the simulated swarm for want of commands: image -> words, and
            the slots that they hold for (none: all of them).
        varies: Facts that are left to chance on a real engine too -> why. For these the real
            trace has to be one of those that the simulator gives with different seeds.
        differs: Engines that do something else -> what, and why the simulator does not.
    """

    name: str
    tells: str
    spec: Document = attrs.field(factory=service)
    steps: tuple[Step, ...] = ()
    ends: Condition
    begins: Condition = attrs.field(factory=Settled)
    unsettled: bool = False
    fast: bool = False
    exclusive: bool = False
    networks: tuple[str, ...] = ()
    node_labels: Mapping[str, Mapping[str, str]] = attrs.field(factory=dict)
    told: tuple[tuple[str, tuple[int, ...], BehaviourWords], ...] = ()
    varies: Mapping[str, str] = attrs.field(factory=dict)
    differs: Mapping[str, str] = attrs.field(factory=dict)


def _merged(base: Mapping[str, Any], change: Mapping[str, Any]) -> Document:
    merged = dict(base)
    for key, value in change.items():
        before = merged.get(key)
        if isinstance(before, Mapping) and isinstance(value, Mapping) and value:
            merged[key] = _merged(before, value)
        else:
            merged[key] = value
    return merged
