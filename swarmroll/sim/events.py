"""
What the engine tells its listeners: events with the attributes that changed.

After moby daemon/events.go (logServiceEvent, logNodeEvent) and daemon/events/events.go. There are
no events of tasks; of containers, only those of the node that is asked.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from swarmroll.sim.nodes import SimNode
from swarmroll.sim.services import SimService

KEPT = 256
"""So many events are kept for who asks ``since`` (daemon/events/events.go, eventsLimit)."""


class Event(NamedTuple):
    """
    One event.

    Attributes:
        at: Seconds since the epoch, by the managers' clock; a container's, by that of its node.
        kind: ``service``, ``node``, ``config``, ``secret``, ``network`` or ``container``.
        action: ``create``, ``update`` or ``remove``; of containers ``start``, ``die``, ...
        subject: The object's id.
        attributes: Its name, and what changed as ``<what>.old`` and ``<what>.new``; of a container
            its labels.
    """

    at: float
    kind: str
    action: str
    subject: str
    attributes: Mapping[str, str]

    @property
    def scope(self) -> str:
        """``swarm``: every manager tells of it; ``local``: only the node where it happens."""
        return "local" if self.kind == "container" else "swarm"

    def document(self) -> dict[str, Any]:
        """As ``GET /events`` writes it; containers also in the words of older APIs."""
        nano = round(self.at * 1_000_000_000)
        old = {"status": self.action, "id": self.subject, "from": self.attributes.get("image", "")}
        return {
            **(old if self.kind == "container" else {}),
            "Type": self.kind,
            "Action": self.action,
            "Actor": {"ID": self.subject, "Attributes": dict(self.attributes)},
            "scope": self.scope,
            "time": nano // 1_000_000_000,
            "timeNano": nano,
        }


class Events:
    """
    The events of a swarm, and who hears them.

    Attributes:
        kept: The last ones.
        listeners: Called with each one, when it happens.
        here: The node whose containers are told of; None tells of none.
    """

    def __init__(self) -> None:
        self.kept: deque[Event] = deque(maxlen=KEPT)
        self.listeners: list[Callable[[Event], None]] = []
        self.publish: Callable[[Event], None] = self.deliver
        self.here: SimNode | None = None
        self._services: dict[str, Mapping[str, str]] = {}
        self._nodes: dict[str, Mapping[str, str]] = {}

    def deliver(self, event: Event) -> None:
        """An event reaches the daemon: it is kept, and sent to whoever listens."""
        self.kept.append(event)
        self.send(event)

    def send(self, event: Event) -> None:
        """An event is sent to whoever listens."""
        for listener in tuple(self.listeners):
            listener(event)

    def service(self, service: SimService, action: str, at: float) -> None:
        """A service was created, written or removed."""
        changed: dict[str, str] = {}
        if action == "remove":
            self._services.pop(service.id, None)
        else:
            facts = _service_facts(service)
            if action == "update":
                changed = _changes(self._services.get(service.id, facts), facts)
            self._services[service.id] = facts
        attributes = {"name": service.name, **changed}
        self.publish(Event(at, "service", action, service.id, attributes))

    def node(self, node: SimNode, action: str, at: float) -> None:
        """A node joined or was written."""
        facts = _node_facts(node)
        known = self._nodes.get(node.id, facts)
        changed = _changes(known, facts) if action == "update" else {}
        if action == "remove":
            self._nodes.pop(node.id, None)
        else:
            self._nodes[node.id] = facts
        self.publish(Event(at, "node", action, node.id, {"name": node.hostname, **changed}))

    def know(self, node: SimNode) -> None:
        """A node is there from the beginning."""
        self._nodes[node.id] = _node_facts(node)

    def node_changed(self, node: SimNode) -> bool:
        """Whether anything that an event tells of a node is new."""
        return self._nodes.get(node.id) != _node_facts(node)

    def thing(self, kind: str, action: str, subject: str, name: str, at: float) -> None:
        """A config, secret or network was created, written or removed."""
        self.publish(Event(at, kind, action, subject, {"name": name}))


def _service_facts(service: SimService) -> dict[str, str]:
    facts = {"image": service.spec.image}
    if service.spec.mode == "replicated":
        facts["replicas"] = str(service.spec.replicas)
    if service.status is not None:
        facts["updatestate"] = service.status.state.value
    return facts


def _node_facts(node: SimNode) -> dict[str, str]:
    facts = {
        "state": node.state.value,
        "availability": node.availability.value,
        "role": node.role,
    }
    if node.role == "manager":
        facts["leader"] = str(node.leader).lower()
        facts["reachability"] = node.reachability
    return facts


def _changes(old: Mapping[str, str], new: Mapping[str, str]) -> dict[str, str]:
    """What is new; what is gone (an update state that was cleared) is not told."""
    found = {}
    for key, value in new.items():
        before = old.get(key)
        if before == value:
            continue
        if before is not None:
            found[f"{key}.old"] = before
        found[f"{key}.new"] = value
    return found
