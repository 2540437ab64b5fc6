"""
The task reaper: old tasks are forgotten.

After swarmkit manager/orchestrator/taskreaper/task_reaper.go.
"""

from __future__ import annotations

from swarmroll.core.snapshot import TaskState
from swarmroll.sim.clock import Scope
from swarmroll.sim.store import Store
from swarmroll.sim.tasks import SimTask
from swarmroll.sim.timing import Timing

Slot = tuple[str, "int | str | None"]


class Reaper:
    """
    Keeps a few tasks of each slot, the living one included.

    Attributes:
        limit: Tasks kept per slot (TaskHistoryRetentionLimit); negative keeps all. A service
            with restart attempts keeps attempts + 1 instead.
    """

    def __init__(self, store: Store, scope: Scope, timing: Timing, limit: int) -> None:
        self._store = store
        self._scope = scope
        self._timing = timing
        self.limit = limit
        self._slots: dict[Slot, None] = {}
        self._removed: dict[str, SimTask] = {}
        self._due = False

    def task_changed(self, task: SimTask) -> None:
        """A new task may push an old one out; one that is to be removed may have stopped."""
        if task.desired is TaskState.REMOVE:
            if task.ended or task.state < TaskState.ASSIGNED:
                self._removed[task.id] = task
                self._soon()
        elif task.state is TaskState.NEW:
            self._slots[_slot(task)] = None
            self._soon()

    def adopt(self) -> None:
        """Take over what was left to remove."""
        for task in self._store.tasks.values():
            self.task_changed(task)

    def _soon(self) -> None:
        if not self._due:
            self._due = True
            self._scope.later(self._timing.reap, self._tick)

    def _tick(self) -> None:
        self._due = False
        removed, self._removed = self._removed, {}
        for task in removed.values():
            self._store.remove_task(task)
        slots, self._slots = self._slots, {}
        by_slot: dict[Slot, list[SimTask]] = {slot: [] for slot in slots}
        for service_id in dict.fromkeys(slot[0] for slot in slots):
            for task in self._store.tasks_of(service_id):
                kept = by_slot.get(_slot(task))
                if kept is not None:
                    kept.append(task)
        for slot, tasks in by_slot.items():
            self._prune(slot, tasks)

    def _prune(self, slot: Slot, tasks: list[SimTask]) -> None:
        service = self._store.services.get(slot[0])
        if service is None or service.spec.job:
            return
        attempts = service.spec.restart.max_attempts
        limit = attempts + 1 if attempts else self.limit
        if limit < 0 or len(tasks) <= limit:
            return
        surplus = len(tasks) - limit
        for task in sorted(tasks, key=lambda t: t.state_at):
            if surplus == 0:
                break
            never = task.state < TaskState.ASSIGNED and not task.runnable
            if task.ended or never:
                self._store.remove_task(task)
                surplus -= 1
        if surplus:
            self._slots[slot] = None


def _slot(task: SimTask) -> Slot:
    if task.slot is not None:
        return task.service_id, task.slot
    return task.service_id, None if task.node is None else task.node.id
