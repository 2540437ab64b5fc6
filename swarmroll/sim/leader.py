"""The leader's parts, which live in its memory and die with it."""

from __future__ import annotations

import itertools

from swarmroll.core.snapshot import TaskState
from swarmroll.sim.clock import Scope
from swarmroll.sim.nodes import SimNode
from swarmroll.sim.orchestrator import Enforcer, Orchestrator
from swarmroll.sim.reaper import Reaper
from swarmroll.sim.scheduler import Scheduler
from swarmroll.sim.services import SimService, needs_port
from swarmroll.sim.store import Store
from swarmroll.sim.tasks import SimTask
from swarmroll.sim.timing import Timing


class Leader:
    """
    Allocator, orchestrator, scheduler, reaper and enforcer of one term.

    What a leader change loses is what is kept here and not in the store: the updaters with their
    counts and timers, the delays, the restart history.
    """

    def __init__(self, store: Store, timing: Timing, history: int) -> None:
        self._store = store
        self._timing = timing
        self.scope = Scope(store.clock)
        self.orchestrator = Orchestrator(store, self.scope, timing)
        self._scheduler = Scheduler(store, self.scope, timing)
        self.reaper = Reaper(store, self.scope, timing, history)
        self._enforcer = Enforcer(store)
        self._allotting = 0
        self._endpoints: dict[str, object] = {
            service.id: service.spec.endpoint for service in store.services.values()
        }

    def take_over(self) -> None:
        """Begin a term in a swarm that has a past."""
        for task in tuple(self._store.tasks.values()):
            if task.state is TaskState.NEW:
                self._allocate_later(task)
        self.orchestrator.adopt()
        self._scheduler.adopt()
        self.reaper.adopt()

    def end(self) -> None:
        """Lose everything that is in memory."""
        self.scope.end()

    @property
    def busy(self) -> bool:
        """Whether it will do something by itself very soon, or runs an update."""
        return self._allotting > 0 or self._scheduler.busy or self.orchestrator.busy

    # Listener of the store

    def service_changed(self, service: SimService) -> None:
        """React, and allot an endpoint to a service that is new or has other ports."""
        if self._endpoints.get(service.id, _UNSEEN) != service.spec.endpoint:
            self._endpoints[service.id] = service.spec.endpoint
            self._allotting += 1
            self.scope.later(self._timing.allocate, self._allot, service)
        self.orchestrator.service_changed(service)

    def service_removed(self, service: SimService) -> None:
        """Remove what was of the service."""
        self._endpoints.pop(service.id, None)
        self.orchestrator.service_removed(service)

    def task_changed(self, task: SimTask) -> None:
        """Tell every part."""
        if task.state is TaskState.NEW:
            self._allocate_later(task)
        self._scheduler.task_changed(task)
        self.reaper.task_changed(task)
        self.orchestrator.task_changed(task)

    def task_removed(self, task: SimTask) -> None:
        """Tell every part."""
        self._scheduler.task_removed(task)
        self.orchestrator.task_removed(task)

    def node_changed(self, node: SimNode) -> None:
        """Tell every part."""
        self._enforcer.node_changed(node)
        self._scheduler.node_changed(node)
        self.orchestrator.node_changed(node)

    # The allocator

    def _allot(self, service: SimService) -> None:
        """Allot ports and addresses; a write of the service that nobody asked for."""
        self._allotting -= 1
        if service.id in self._store.services:
            self._give_ports(service)
            self._store.service_written(service, "endpoint allotted")

    def _give_ports(self, service: SimService) -> None:
        """A free port from 30000 on for each that names none (manager/allocator)."""
        ports = (service.spec.endpoint or {}).get("Ports") or ()
        taken = {
            port
            for other in self._store.services.values()
            if other is not service
            for port in other.given_ports
        }
        wanted = sum(1 for port in ports if needs_port(port))
        kept = service.given_ports[:wanted]
        free = (port for port in range(30_000, 32_768) if port not in taken and port not in kept)
        service.given_ports = (*kept, *itertools.islice(free, wanted - len(kept)))

    def _allocate_later(self, task: SimTask) -> None:
        self.scope.later(self._timing.allocate, self._allocate, task)

    def _allocate(self, task: SimTask) -> None:
        if task.in_store and task.state is TaskState.NEW:
            task.state = TaskState.PENDING
            task.message = "pending task scheduling"
            task.state_at = self._store.clock.wall
            self._store.task_written(task, "PENDING")


_UNSEEN: object = object()
