"""
What the managers agree on: services, tasks and nodes, and the cluster-wide version counter.

Whoever changes an object says so here; the store counts the version up, writes the trace, and tells
the leader's parts, the agents and the readers of the event stream.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

from swarmroll.core.snapshot import TaskState
from swarmroll.sim.clock import VirtualClock
from swarmroll.sim.events import Events
from swarmroll.sim.nodes import SimNode
from swarmroll.sim.objects import Blob, SimNetwork
from swarmroll.sim.services import SimService
from swarmroll.sim.specs import StoredSpec
from swarmroll.sim.tasks import SimTask


class Happening(NamedTuple):
    """
    One line of the trace.

    Attributes:
        at: Virtual seconds since the swarm was made.
        kind: ``service``, ``task``, ``node``, ``fault`` or ``swarm``.
        subject: The service's name, ``service.slot.task id``, the hostname.
        what: What happened to it.
    """

    at: float
    kind: str
    subject: str
    what: str

    def __str__(self) -> str:
        """Time, kind, subject, what happened."""
        return f"{self.at:10.3f}  {self.kind:8} {self.subject}  {self.what}"


class Listener(Protocol):
    """The parts of the leader that hear of every change; none hears while there is no leader."""

    def service_changed(self, service: SimService) -> None:
        """A service was created or written."""

    def service_removed(self, service: SimService) -> None:
        """A service is gone."""

    def task_changed(self, task: SimTask) -> None:
        """A task was made or written."""

    def task_removed(self, task: SimTask) -> None:
        """A task was forgotten."""

    def node_changed(self, node: SimNode) -> None:
        """A node was written."""


class Store:
    """The replicated state, and its single way of changing."""

    def __init__(self, clock: VirtualClock, rng: random.Random) -> None:
        self.clock = clock
        self.rng = rng
        self.index = 10
        self.services: dict[str, SimService] = {}
        self.names: dict[str, str] = {}
        self.nodes: dict[str, SimNode] = {}
        self.tasks: dict[str, SimTask] = {}
        self.secrets: dict[str, Blob] = {}
        self.configs: dict[str, Blob] = {}
        self.networks: dict[str, SimNetwork] = {}
        self.events = Events()
        self.trace: list[Happening] = []
        self.leader: Listener | None = None
        self.desired_changed: Callable[[SimTask], None] = _nobody
        self.hint: Callable[[str, str], None] = _no_hint
        self.moving: set[str] = set()
        self._by_service: dict[str, dict[str, SimTask]] = {}

    def identity(self) -> str:
        """A new id, 25 characters as swarmkit's."""
        return f"{self.rng.getrandbits(100):025x}"

    def note(self, kind: str, subject: str, what: str) -> None:
        """Write a line of the trace."""
        self.trace.append(Happening(self.clock.now, kind, subject, what))

    def tasks_of(self, service_id: str) -> Iterator[SimTask]:
        """Every task of a service that is remembered, oldest first."""
        return iter(tuple(self._by_service.get(service_id, {}).values()))

    def counted(self) -> int:
        """The next version index; every write of anything takes one."""
        self.index += 1
        return self.index

    # Services

    def add_service(self, service: SimService) -> None:
        """Store a new service."""
        self.services[service.id] = service
        self.names[service.name] = service.id
        self._by_service.setdefault(service.id, {})
        self.service_written(service, "created", action="create")

    def service_written(self, service: SimService, what: str, *, action: str = "update") -> None:
        """Say that a service was changed."""
        service.touched(self.counted(), self.clock.wall, self.clock.now)
        self.note("service", service.name, what)
        if self.leader is not None:
            self.leader.service_changed(service)
        self.events.service(service, action, self.clock.wall)
        self.hint(service.id, action)

    def remove_service(self, service: SimService) -> None:
        """Forget a service; its tasks are removed by the orchestrator."""
        del self.services[service.id]
        del self.names[service.name]
        self.counted()
        self.note("service", service.name, "removed")
        if self.leader is not None:
            self.leader.service_removed(service)
        self.events.service(service, "remove", self.clock.wall)
        self.hint(service.id, "remove")

    # Tasks

    def add_task(
        self,
        service: SimService,
        *,
        slot: int | None,
        node: SimNode | None = None,
        desired: TaskState = TaskState.RUNNING,
        spec: StoredSpec | None = None,
    ) -> SimTask:
        """Make a task of a service (orchestrator/task.go, NewTask)."""
        task = SimTask(
            task_id=self.identity(),
            service_id=service.id,
            spec=service.spec if spec is None else spec,
            slot=slot,
            node=node,
            desired=desired,
            at=self.clock.wall,
            iteration=service.jobs,
        )
        self.tasks[task.id] = task
        self._by_service[service.id][task.id] = task
        if node is not None:
            node.tasks[task.id] = task
        self.task_written(task, f"created, desired {desired.name}")
        return task

    def task_written(self, task: SimTask, what: str) -> None:
        """Say that a task was changed."""
        task.version = self.counted()
        task.updated_at = self.clock.wall
        task.value = None
        if task.node is not None:
            task.node.account(task)
        if task.in_motion:
            self.moving.add(task.id)
        else:
            self.moving.discard(task.id)
        self.trace.append(Happening(self.clock.now, "task", self.title(task), what))
        if self.leader is not None:
            self.leader.task_changed(task)

    def want(self, task: SimTask, desired: TaskState) -> None:
        """Set the desired state, which never goes back."""
        if desired <= task.desired:
            return
        task.desired = desired
        self.task_written(task, f"desired {desired.name}")
        self.desired_changed(task)

    def remove_task(self, task: SimTask) -> None:
        """Forget a task; its container is still stopped by its agent."""
        if not task.in_store:
            return
        task.in_store = False
        del self.tasks[task.id]
        self._by_service.get(task.service_id, {}).pop(task.id, None)
        self.moving.discard(task.id)
        if task.node is not None:
            task.node.tasks.pop(task.id, None)
            task.node.account(task)
        self.counted()
        self.trace.append(Happening(self.clock.now, "task", self.title(task), "forgotten"))
        if self.leader is not None:
            self.leader.task_removed(task)
        self.desired_changed(task)

    def title(self, task: SimTask) -> str:
        """``service.slot.task``, as a task's container is named."""
        place = task.slot
        where = str(place) if place is not None else task.node.hostname if task.node else "-"
        return f"{task.spec.name}.{where}.{task.id[:6]}"

    # Nodes

    def node_written(self, node: SimNode, what: str, *, action: str = "update") -> None:
        """Say that a node was changed."""
        node.version = self.counted()
        node.updated_at = self.clock.wall
        node.value = None
        self.note("node", node.hostname, what)
        for task in node.tasks.values():
            if task.in_motion:
                self.moving.add(task.id)
            else:
                self.moving.discard(task.id)
        if self.leader is not None:
            self.leader.node_changed(node)
        self.events.node(node, action, self.clock.wall)
        self.hint("", "node")

    def tell_of(self, node: SimNode) -> None:
        """Say what a change of leader did to a node, which is no write of its own."""
        if self.events.node_changed(node):
            node.version = self.counted()
            node.updated_at = self.clock.wall
            node.value = None
            self.events.node(node, "update", self.clock.wall)


def _nobody(_: SimTask) -> None: ...


def _no_hint(_service: str, _action: str) -> None: ...
