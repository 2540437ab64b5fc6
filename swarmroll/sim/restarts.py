"""
The restart policy: what becomes of a task that ended, and when its replacement may start.

After swarmkit manager/orchestrator/restart/restart.go.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import attrs

from swarmroll.core.snapshot import Availability, NodeState, TaskState, UpdateState
from swarmroll.sim.clock import Scope, Signal
from swarmroll.sim.nodes import SimNode
from swarmroll.sim.services import SimService
from swarmroll.sim.store import Store
from swarmroll.sim.tasks import SimTask
from swarmroll.sim.timing import Timing

Instance = tuple[str, "int | str | None"]


@attrs.define
class _History:
    """Restarts of one slot, for one spec version."""

    version: int
    total: int = 0
    times: list[float] = attrs.field(factory=list)


class _Delay:
    """A new task in desired READY, waiting for the old one to stop or for its restart delay."""

    __slots__ = ("done", "elapsed", "new", "old", "over", "stopped", "waiter")

    def __init__(self, new: SimTask, old: SimTask | None, *, wait: bool) -> None:
        self.new = new
        self.old = old if wait else None
        self.elapsed = False
        self.stopped = not wait
        self.over = False
        self.waiter = False
        self.done = Signal()


class Restarts:
    """The leader's restart supervisor; a new leader starts with an empty one."""

    def __init__(self, store: Store, scope: Scope, timing: Timing) -> None:
        self._store = store
        self._scope = scope
        self._timing = timing
        self._delays: dict[str, _Delay] = {}
        self._waiting_on: dict[str, list[_Delay]] = {}
        self._history: dict[Instance, _History] = {}

    # Hearing

    def task_changed(self, task: SimTask) -> None:
        """The old task of a delay may have stopped."""
        if task.ended and task.id in self._waiting_on:
            for delay in self._waiting_on.pop(task.id):
                delay.stopped = True
                self._maybe(delay)

    def task_removed(self, task: SimTask) -> None:
        """A task that is gone is not started any more."""
        delay = self._delays.get(task.id)
        if delay is not None:
            self._finish(delay, start=False)

    def node_changed(self, node: SimNode) -> None:
        """Nobody waits for an old task on a node that is down."""
        if node.state is not NodeState.DOWN:
            return
        for task_id in [t for t in node.tasks if t in self._waiting_on]:
            for delay in self._waiting_on.pop(task_id):
                delay.stopped = True
                self._maybe(delay)

    # Asking

    def should_restart(self, task: SimTask) -> bool:
        """
        Whether the policy of an ended task wants a replacement (Supervisor.shouldRestart).

        ``on-failure`` does not restart a task that completed; attempts count per slot and spec
        version, and with a window only those inside it.
        """
        policy = task.spec.restart
        if policy.condition == "none":
            return False
        if policy.condition == "on-failure" and task.state is TaskState.COMPLETE:
            return False
        if policy.max_attempts == 0:
            return True
        history = self._history.get(_instance(task))
        if history is None or history.version != task.spec.version:
            return True
        if not policy.window:
            return history.total < policy.max_attempts
        look_back = task.state_at - policy.window
        history.times = [at for at in history.times if at > look_back]
        return sum(1 for at in history.times if at < task.state_at) < policy.max_attempts

    def updatable(self, slot: Sequence[SimTask], service: SimService) -> list[SimTask]:
        """
        The tasks of a slot that an updater may replace (Supervisor.UpdatableTasksInSlot).

        All that are runnable; if there is none, the newest dead one, provided that its policy
        leaves it dead; and never a dead one while a rollback runs.
        """
        runnable = [task for task in slot if task.runnable]
        if runnable or not slot:
            return runnable
        if service.status is not None and service.status.state is UpdateState.ROLLBACK_STARTED:
            return []
        newest = max(slot, key=_last_heard)
        return [] if self.should_restart(newest) else [newest]

    # Acting

    def restart(self, service: SimService, task: SimTask) -> None:
        """
        Shut a task down and replace it as its policy says (Supervisor.Restart).

        The replacement is made from the service's current spec, whatever the old task's was.
        """
        delay = self._delays.get(task.id)
        if delay is not None:
            if not delay.waiter:
                delay.waiter = True
                delay.done.then(partial(self._soon, task))
            return
        if not task.runnable:
            return
        self._store.want(task, TaskState.SHUTDOWN)
        if not self.should_restart(task):
            return
        node = task.node
        wait = 0.0
        if node is None or node.availability is not Availability.DRAIN:
            wait = task.spec.restart.delay
        wait_stop = not task.ended and not (node is not None and node.state is NodeState.DOWN)
        replacement = self._store.add_task(
            service,
            slot=task.slot,
            node=node if service.spec.per_node else None,
            desired=TaskState.READY,
        )
        self.record(replacement)
        self.delay_start(replacement, task, wait, wait_stop=wait_stop)

    def restart_job(self, service: SimService, task: SimTask) -> bool:
        """Try a task of a job again that failed, unless its policy says no; whether it does."""
        if task.desired > TaskState.COMPLETE:
            return False
        self._store.want(task, TaskState.SHUTDOWN)
        if not self.should_restart(task):
            return False
        again = self._store.add_task(
            service,
            slot=task.slot,
            node=task.node if service.spec.per_node else None,
            desired=TaskState.READY,
        )
        self.record(again)
        self.delay_start(again, None, task.spec.restart.delay, wait_stop=False)
        return True

    def record(self, replacement: SimTask) -> None:
        """Count a restart (Supervisor.RecordRestartHistory)."""
        if not replacement.spec.restart.max_attempts:
            return
        instance = _instance(replacement)
        history = self._history.get(instance)
        if history is None or history.version != replacement.spec.version:
            history = self._history[instance] = _History(replacement.spec.version)
        history.total += 1
        if replacement.spec.restart.window:
            history.times.append(replacement.created_at)

    def forget(self, service: SimService) -> None:
        """Drop the history of a service that is gone."""
        for instance in [i for i in self._history if i[0] == service.id]:
            del self._history[instance]

    def delay_start(
        self,
        new: SimTask,
        old: SimTask | None,
        seconds: float,
        *,
        wait_stop: bool,
        seen: TaskState | None = None,
    ) -> Signal:
        """
        Let a task run once its delay is over and the old one has stopped (DelayStart).

        The old task is waited for 60 s at most, counted from now. Nobody looks whether it has
        stopped already: what counts is the state in which the caller saw it.

        Args:
            new: Is in desired READY, and waits.
            old: What it replaces, if anything.
            seconds: The restart delay.
            wait_stop: Whether it waits for the old one as well.
            seen: Observed state of the old task as the caller knows it; now, if not given.
        """
        former = self._delays.get(new.id)
        if former is not None:
            self._finish(former, start=False)
        wait = wait_stop and old is not None
        if wait and old is not None:
            wait = (old.state if seen is None else seen) <= TaskState.RUNNING
        delay = _Delay(new, old, wait=wait)
        self._delays[new.id] = delay
        if wait and old is not None:
            self._waiting_on.setdefault(old.id, []).append(delay)
            self._scope.later(self._timing.old_task, self._give_up, delay)
        self._scope.later(seconds, self._elapse, delay)
        return delay.done

    def start_now(self, task: SimTask) -> None:
        """Let a task run; one of a job, until it is complete (StartNow)."""
        if task.in_store and task.desired < TaskState.RUNNING:
            self._store.want(task, TaskState.COMPLETE if task.spec.job else TaskState.RUNNING)

    def _elapse(self, delay: _Delay) -> None:
        delay.elapsed = True
        self._maybe(delay)

    def _give_up(self, delay: _Delay) -> None:
        delay.stopped = True
        self._maybe(delay)

    def _maybe(self, delay: _Delay) -> None:
        if delay.elapsed and delay.stopped and not delay.over:
            self._finish(delay, start=True)

    def _finish(self, delay: _Delay, *, start: bool) -> None:
        delay.over = True
        if self._delays.get(delay.new.id) is delay:
            del self._delays[delay.new.id]
        if delay.old is not None:
            waiting = self._waiting_on.get(delay.old.id)
            if waiting is not None and delay in waiting:
                waiting.remove(delay)
                if not waiting:
                    del self._waiting_on[delay.old.id]
        if start:
            self.start_now(delay.new)
        delay.done.fire()

    def _soon(self, task: SimTask) -> None:
        self._scope.later(0.0, self._restart_later, task)

    def _restart_later(self, task: SimTask) -> None:
        service = self._store.services.get(task.service_id)
        if service is not None and task.in_store and task.runnable:
            self.restart(service, task)


def _last_heard(task: SimTask) -> tuple[float, float]:
    """When the managers last heard of it (orchestrator/task.go, TasksByTimestamp)."""
    return max(task.state_at, task.applied_at), task.created_at


def _instance(task: SimTask) -> Instance:
    if task.slot is not None:
        return task.service_id, task.slot
    return task.service_id, None if task.node is None else task.node.id
