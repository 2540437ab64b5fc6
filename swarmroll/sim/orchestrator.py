"""
The orchestrators: how many slots there should be, and which tasks must be replaced.

After swarmkit manager/orchestrator/replicated (services.go, tasks.go, slot.go),
manager/orchestrator/global/global.go and manager/orchestrator/jobs.
"""

from __future__ import annotations

from swarmroll.core.snapshot import Availability, NodeState, TaskState
from swarmroll.sim.clock import Scope
from swarmroll.sim.dirty import is_dirty
from swarmroll.sim.nodes import SimNode
from swarmroll.sim.restarts import Restarts
from swarmroll.sim.services import SimService
from swarmroll.sim.specs import satisfies
from swarmroll.sim.store import Store
from swarmroll.sim.tasks import SimTask
from swarmroll.sim.timing import Timing
from swarmroll.sim.updater import Updates


class Orchestrator:
    """Service-level and task-level reconciliation of the present leader."""

    def __init__(self, store: Store, scope: Scope, timing: Timing) -> None:
        self._store = store
        self._scope = scope
        self._timing = timing
        self.restarts = Restarts(store, scope, timing)
        self.updates = Updates(store, self.restarts, scope, timing)
        self._to_reconcile: dict[str, None] = {}
        self._to_restart: dict[str, SimTask] = {}
        self._due = False
        self._job_runs: dict[str, int] = {}

    @property
    def busy(self) -> bool:
        """Whether a reaction is due or an updater runs."""
        return self._due or self.updates.any

    # Hearing

    def service_changed(self, service: SimService) -> None:
        """Every write of a service, also the engine's own, leads to a reconcile."""
        self._to_reconcile[service.id] = None
        self._soon()

    def service_removed(self, service: SimService) -> None:
        """Its tasks are to go; the reaper forgets them when they have stopped."""
        self.updates.stop(service)
        self.restarts.forget(service)
        self._to_reconcile.pop(service.id, None)
        for task in self._store.tasks_of(service.id):
            self._store.want(task, TaskState.REMOVE)

    def task_changed(self, task: SimTask) -> None:
        """A runnable task that ended, or whose node is lost, is marked for restart."""
        self.restarts.task_changed(task)
        self.updates.task_changed(task)
        if task.spec.job and task.ended and task.service_id in self._store.services:
            self._to_reconcile[task.service_id] = None
            self._soon()
        if not task.runnable:
            return
        lost = task.node is not None and task.node.invalid
        if (task.ended or (lost and not task.spec.per_node)) and not task.spec.job:
            self._to_restart[task.id] = task
            self._soon()

    def task_removed(self, task: SimTask) -> None:
        """A runnable task that vanished leaves a slot to fill."""
        self.restarts.task_removed(task)
        if task.runnable and task.service_id in self._store.services:
            self._to_reconcile[task.service_id] = None
            self._soon()

    def node_changed(self, node: SimNode) -> None:
        """Tasks leave a node that is down or drained; global services follow the nodes."""
        self.restarts.node_changed(node)
        if node.invalid:
            for task in tuple(node.tasks.values()):
                if task.runnable and not task.spec.per_node and not task.spec.job:
                    self._to_restart[task.id] = task
                    self._soon()
        for service in tuple(self._store.services.values()):
            if service.spec.mode == "global":
                self._reconcile_node(service, node)

    def adopt(self) -> None:
        """
        What a new leader does first (taskinit/init.go, CheckTasks).

        Tasks in desired READY are released after the rest of their restart delay; the restart
        history is made up from the tasks that are remembered; then every service is reconciled.
        """
        for task in tuple(self._store.tasks.values()):
            if task.service_id not in self._store.services:
                self._store.want(task, TaskState.REMOVE)
                continue
            if task.spec.job:
                self.restarts.start_now(task)
                continue
            lost = task.node is not None and task.node.invalid
            if task.runnable and (task.ended or lost):
                self._to_restart[task.id] = task
            if task.desired is TaskState.READY and not task.ended:
                since = self._store.clock.wall - task.state_at
                rest = task.spec.restart.delay - since
                if rest > 0:
                    self.restarts.delay_start(task, None, rest, wait_stop=True)
                else:
                    self.restarts.start_now(task)
        self._recount()
        for service in self._store.services.values():
            if service.spec.job:
                self._job_runs[service.id] = service.jobs
            self._to_reconcile[service.id] = None
        self._soon()

    def _recount(self) -> None:
        slots: dict[tuple[str, int | str | None], list[SimTask]] = {}
        for task in self._store.tasks.values():
            key: int | str | None = task.slot
            if key is None and task.node is not None:
                key = task.node.id
            slots.setdefault((task.service_id, key), []).append(task)
        for tasks in slots.values():
            newest = max(task.spec.version for task in tasks)
            made = sorted(
                (task for task in tasks if task.spec.version == newest),
                key=lambda task: task.created_at,
            )
            for task in made[1:]:
                self.restarts.record(task)

    # Reacting

    def _soon(self) -> None:
        if not self._due:
            self._due = True
            self._scope.later(self._timing.react, self._tick)

    def _tick(self) -> None:
        self._due = False
        restarts, self._to_restart = self._to_restart, {}
        for task in restarts.values():
            service = self._store.services.get(task.service_id)
            if service is None or not task.in_store or not task.runnable:
                continue
            if service.spec.mode == "global":
                self._restart_global(service, task)
            else:
                self.restarts.restart(service, task)
        services, self._to_reconcile = self._to_reconcile, {}
        for service_id in services:
            service = self._store.services.get(service_id)
            if service is None:
                continue
            if service.spec.job:
                self._run_job(service)
            elif service.spec.mode == "global":
                self._reconcile_global(service)
            else:
                self._reconcile(service)

    # Replicated services

    def _reconcile(self, service: SimService) -> None:
        """Compare the slots that there are with those that there should be (reconcile)."""
        updatable, dead = self._slots(service)
        slots = list(updatable.values())
        self._store.rng.shuffle(slots)
        wanted = service.spec.replicas
        if wanted < len(slots):
            slots = _keep_first(slots)
            self.updates.update(service, slots[:wanted])
            self._forget(dead)
            for slot in slots[wanted:]:
                for task in slot:
                    self._store.want(task, TaskState.REMOVE)
            return
        missing = wanted - len(slots)
        if missing:
            self.updates.update(service, slots)
            number = 0
            for _ in range(missing):
                number += 1
                while number in updatable:
                    number += 1
                dead.pop(number, None)
                self._store.add_task(service, slot=number)
            self._forget(dead)
        else:
            self._forget(dead)
            self.updates.update(service, slots)

    def _slots(
        self, service: SimService
    ) -> tuple[dict[int, list[SimTask]], dict[int, list[SimTask]]]:
        slots: dict[int, list[SimTask]] = {}
        for task in self._store.tasks_of(service.id):
            if task.slot is not None:
                slots.setdefault(task.slot, []).append(task)
        updatable: dict[int, list[SimTask]] = {}
        dead: dict[int, list[SimTask]] = {}
        for number, tasks in slots.items():
            found = self.restarts.updatable(tasks, service)
            if found:
                updatable[number] = found
            else:
                dead[number] = tasks
        return updatable, dead

    def _forget(self, slots: dict[int, list[SimTask]]) -> None:
        for tasks in slots.values():
            for task in tasks:
                self._store.remove_task(task)

    # Global services

    def _reconcile_global(self, service: SimService) -> None:
        """One task on each node that is up, not drained and matches (reconcileServices)."""
        by_node: dict[str, list[SimTask]] = {}
        for task in self._store.tasks_of(service.id):
            if task.node is not None:
                by_node.setdefault(task.node.id, []).append(task)
        nodes = list(self._store.nodes.values())
        self._store.rng.shuffle(nodes)
        slots: list[list[SimTask]] = []
        for node in nodes:
            found = self.restarts.updatable(by_node.pop(node.id, []), service)
            if node.invalid or not satisfies(service.spec, node):
                self._shut_down(found)
            elif node.availability is Availability.PAUSE:
                continue
            elif found:
                slots.append(found)
            else:
                self._store.add_task(service, slot=None, node=node)
        for tasks in by_node.values():
            self._shut_down(tasks)
        if slots:
            self.updates.update(service, slots)

    def _reconcile_node(self, service: SimService, node: SimNode) -> None:
        """
        Follow a change of one node (reconcileOneNode).

        Not a rolling update: it neither observes its parameters nor shows in its status.
        """
        tasks = [t for t in node.tasks.values() if t.service_id == service.id]
        if node.invalid:
            self._shut_down(tasks)
            return
        if node.availability is Availability.PAUSE:
            return
        if not satisfies(service.spec, node):
            return
        found = self.restarts.updatable(tasks, service)
        if not found:
            self._store.add_task(service, slot=None, node=node)
            return
        dirty = [task for task in found if is_dirty(service.spec, task)]
        clean = [task for task in found if task not in dirty]
        if not clean:
            self._store.add_task(service, slot=None, node=node)
        self._shut_down(dirty + clean[1:])

    def _restart_global(self, service: SimService, task: SimTask) -> None:
        node = task.node
        if node is None or node.invalid:
            return
        matches = satisfies(service.spec, node)
        if node.availability is Availability.PAUSE or not matches:
            self._store.want(task, TaskState.SHUTDOWN)
        else:
            self.restarts.restart(service, task)

    def _shut_down(self, tasks: list[SimTask]) -> None:
        for task in tasks:
            if task.desired < TaskState.SHUTDOWN:
                self._store.want(task, TaskState.SHUTDOWN)

    # Jobs

    def _run_job(self, service: SimService) -> None:
        """
        Any update runs the whole job again; slots of a job begin with 0 (jobs/replicated, global).

        What failed is tried again, as its restart policy says; what is complete stays so.
        """
        current = [t for t in self._store.tasks_of(service.id) if t.iteration == service.jobs]
        if self._job_runs.get(service.id) != service.jobs:
            self._job_runs[service.id] = service.jobs
            for task in self._store.tasks_of(service.id):
                if task not in current and not task.ended:
                    self._store.want(task, TaskState.REMOVE)
        running = sum(1 for t in current if t.desired <= TaskState.COMPLETE and not t.ended)
        for task in current:
            if task.ended and task.state is not TaskState.COMPLETE:
                running += self.restarts.restart_job(service, task)
        desired = TaskState.COMPLETE
        if service.spec.per_node:
            held = {task.node for task in current}
            for node in tuple(self._store.nodes.values()):
                if node not in held and not node.invalid and satisfies(service.spec, node):
                    self._store.add_task(service, slot=None, node=node, desired=desired)
            return
        used = {task.slot for task in current}
        free = [number for number in range(service.spec.replicas) if number not in used]
        for number in free[: max(0, service.spec.concurrent - running)]:
            self._store.add_task(service, slot=number, desired=desired)


class Enforcer:
    """
    Rejects tasks whose node does not meet their constraints any more.

    After swarmkit manager/orchestrator/constraintenforcer/constraint_enforcer.go. It uses the
    service's constraints as they are now, and writes the observed state, not the desired one.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def node_changed(self, node: SimNode) -> None:
        """A node's labels or role may have changed."""
        if node.availability is not Availability.ACTIVE or node.state is NodeState.DOWN:
            return
        for task in tuple(node.tasks.values()):
            if not task.runnable or task.desired < TaskState.ASSIGNED or task.ended:
                continue
            service = self._store.services.get(task.service_id)
            if not satisfies(task.spec if service is None else service.spec, node):
                task.state = TaskState.REJECTED
                task.message = "task rejected by constraint enforcer"
                task.error = "assigned node no longer meets constraints"
                task.state_at = self._store.clock.wall
                task.skew = 0.0
                self._store.task_written(task, "REJECTED by the constraint enforcer")
                self._store.desired_changed(task)


def _keep_first(slots: list[list[SimTask]]) -> list[list[SimTask]]:
    """
    Slots in the order in which a scale-down keeps them.

    Running before not running, then one copy of each node before a second one, then low slot
    numbers (replicated/slot.go, slotsByRunningState and slotsByIndex).
    """
    slots = sorted(
        slots,
        key=lambda slot: (
            not any(task.state is TaskState.RUNNING for task in slot),
            slot[0].slot or 0,
        ),
    )
    copies: dict[str, int] = {}
    ranked: list[tuple[int, int, list[SimTask]]] = []
    for position, slot in enumerate(slots):
        node = slot[0].node
        if len(slot) == 1 and node is not None:
            copies[node.id] = copies.get(node.id, 0) + 1
            ranked.append((copies[node.id], position, slot))
        else:
            ranked.append((len(slots) + 1, position, slot))
    ranked.sort(key=lambda entry: entry[:2])
    return [slot for _, _, slot in ranked]
