"""
The updater: one update of one service, in the leader's memory.

After swarmkit manager/orchestrator/update/updater.go. Its goroutines are processes here, and where
Go's select chooses at random among what is ready, so does the seeded generator.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

import attrs

from swarmroll.core.snapshot import TaskState, UpdateState, UpdateStatus
from swarmroll.sim.clock import Process, Scope, Signal, Wait
from swarmroll.sim.dirty import is_dirty
from swarmroll.sim.restarts import Restarts
from swarmroll.sim.services import SimService
from swarmroll.sim.specs import StoredSpec, UpdaterConfig
from swarmroll.sim.store import Store
from swarmroll.sim.tasks import SimTask
from swarmroll.sim.timing import Timing


class Seen(NamedTuple):
    """A task as a reconcile saw it; the updater acts on that, however old it is by then."""

    task: SimTask
    desired: TaskState
    state: TaskState


Slot = tuple[Seen, ...]


class Updates:
    """At most one updater a service (updater.go, Supervisor)."""

    def __init__(self, store: Store, restarts: Restarts, scope: Scope, timing: Timing) -> None:
        self._react = timing.react
        self._store = store
        self._restarts = restarts
        self._scope = scope
        self._running: dict[str, Updater] = {}

    def update(self, service: SimService, slots: Sequence[Sequence[SimTask]]) -> None:
        """
        Start an update, unless one for an equal spec runs (Supervisor.Update).

        Whatever ran before is cancelled, and forgets its counts, delays and monitoring.
        """
        running = self._running.get(service.id)
        if running is not None:
            if running.spec.doc == service.spec.doc and running.spec.auth == service.spec.auth:
                return
            running.cancel()
        seen = [tuple(Seen(t, t.desired, t.state) for t in slot) for slot in slots]
        self._running[service.id] = Updater(
            self._store,
            self._restarts,
            self._scope,
            service=service,
            slots=seen,
            react=self._react,
            ended=self._ended,
        )

    def task_changed(self, task: SimTask) -> None:
        """Tell the updater of the task's service."""
        running = self._running.get(task.service_id)
        if running is not None:
            running.task_changed(task)

    def stop(self, service: SimService) -> None:
        """End the updater of a service that is gone."""
        running = self._running.pop(service.id, None)
        if running is not None:
            running.cancel()

    @property
    def any(self) -> bool:
        """Whether an updater of any service is in memory."""
        return bool(self._running)

    def _ended(self, updater: Updater) -> None:
        if self._running.get(updater.service.id) is updater:
            del self._running[updater.service.id]


class Updater:
    """
    One run of the updater (updater.go, Updater.Run).

    Attributes:
        service: The service, as stored now; the status that governs is that of the beginning.
        spec: The spec that it works towards.
    """

    def __init__(
        self,
        store: Store,
        restarts: Restarts,
        scope: Scope,
        *,
        service: SimService,
        slots: list[Slot],
        react: float,
        ended: Callable[[Updater], None],
    ) -> None:
        self._store = store
        self._restarts = restarts
        self._scope = scope
        self.service = service
        self.spec: StoredSpec = service.spec
        self._began = None if service.status is None else service.status.state
        self._slots = slots
        self._ended = ended
        self._react = react
        self._config: UpdaterConfig = self.spec.rollback if self._rolling_back else self.spec.update
        self._monitor = self._config.monitor
        self._processes: list[Process] = []
        self._idle: deque[_Worker] = deque()
        self._closed = False
        self._working = 0
        self._workers_done = Signal()
        self._wake: Signal | None = None
        self._watching = False
        self._events: deque[SimTask] = deque()
        self._made: dict[str, float | None] = {}
        self._reached: dict[str, Signal] = {}
        self._failed: set[str] = set()
        self._dirty = 0
        self._stopped = False
        self._processes.append(Process(scope, self._run()))

    @property
    def _rolling_back(self) -> bool:
        return self._began is UpdateState.ROLLBACK_STARTED

    def cancel(self) -> None:
        """Stop at once; slots in flight go on without it."""
        for process in self._processes:
            process.stop()

    def task_changed(self, task: SimTask) -> None:
        """A task of the service was written."""
        if task.state >= TaskState.RUNNING:
            signal = self._reached.get(task.id)
            if signal is not None and not signal.fired:
                signal.fire(task.state)
            if self._watching and task.ended:
                # The restart policy hears of it as well, and either may act first.
                late = self._store.rng.choice((0.0, 2 * self._react))
                self._scope.later(late, self._hear, task)

    def _hear(self, task: SimTask) -> None:
        self._events.append(task)
        self._rouse()

    # The main loop

    def _run(self) -> Wait:
        if self._began in (UpdateState.PAUSED, UpdateState.ROLLBACK_PAUSED):
            self._ended(self)
            return
        dirty = [slot for slot in self._slots if self._slot_dirty(slot)]
        if not dirty:
            # No slot is dirty: complete at once, without any monitoring.
            if self._began in (UpdateState.UPDATING, UpdateState.ROLLBACK_STARTED):
                self._complete()
            self._ended(self)
            return
        self._dirty = len(dirty)
        if self._began is None:
            self._mark_updating()
        self._watching = self._config.failure_action != "continue"
        self._working = self._config.parallelism or len(dirty)
        self._working = min(self._working, len(dirty))
        for _ in range(self._working):
            worker = _Worker(self)
            self._processes.append(Process(self._scope, worker.run()))
        yield from self._hand_out(dirty)
        self._closed = True
        for worker in self._idle:
            worker.offer.fire(None)
        if not self._workers_done.fired:
            yield self._workers_done
        if not self._stopped:
            yield from self._watch()
        if not self._stopped:
            self._complete()
        self._ended(self)

    def _hand_out(self, dirty: list[Slot]) -> Wait:
        """
        Give each dirty slot to a free worker; failures are looked at only meanwhile.

        When a failure and a free worker are there together, either may come first: one more
        slot can be started after the fatal failure.
        """
        for slot in dirty:
            while True:
                if self._events and (not self._idle or self._store.rng.random() < 0.5):
                    if self._triggers(self._events.popleft()):
                        return
                elif self._idle:
                    self._idle.popleft().offer.fire(slot)
                    break
                else:
                    yield self._sleep()

    def _watch(self) -> Wait:
        """
        Look at failures for one more monitoring time.

        With a delay not shorter than the monitor, the monitor becomes delay + 1 s, for the wait
        and for the age of a failure alike.
        """
        if self._config.delay >= self._monitor:
            self._monitor = self._config.delay + 1.0
        over = Signal()
        self._scope.later(self._monitor, self._fire, over)
        while not over.fired:
            if self._events:
                if self._triggers(self._events.popleft()):
                    return
            else:
                yield self._sleep()

    def _fire(self, over: Signal) -> None:
        over.fire()
        self._rouse()

    def _sleep(self) -> Signal:
        self._wake = Signal()
        return self._wake

    def _rouse(self) -> None:
        if self._wake is not None:
            wake, self._wake = self._wake, None
            wake.fire()

    # Failures

    def _triggers(self, task: SimTask) -> bool:
        """Whether a task that ended sets off the failure action (failureTriggersAction)."""
        if task.id in self._failed or task.id not in self._made:
            return False
        since = self._made[task.id]
        if since is not None and self._store.clock.now - since > self._monitor:
            return False
        self._failed.add(task.id)
        if not _exceeds(len(self._failed), self._dirty, self._config.max_failure_ratio):
            return False
        if self._config.failure_action == "pause":
            self._stopped = True
            self._pause(f"update paused due to failure or early termination of task {task.id}")
        elif self._rolling_back:
            # The real one forgets to stop here, and completes afterwards.
            self._pause(f"rollback paused due to failure or early termination of task {task.id}")
        else:
            self._stopped = True
            self._roll_back(
                f"update rolled back due to failure or early termination of task {task.id}"
            )
        return True

    # Workers

    def hire(self, worker: _Worker) -> bool:
        """A worker is free; False when there is nothing left to do."""
        if self._closed:
            return False
        worker.offer = Signal()
        self._idle.append(worker)
        self._rouse()
        return True

    def leave(self) -> None:
        """A worker has gone."""
        self._working -= 1
        if self._working == 0:
            self._workers_done.fire()

    def replace(self, slot: Slot) -> Wait:
        """Bring one slot up to date (updater.go, worker)."""
        ready: Seen | None = None
        for seen in slot:
            if is_dirty(self.spec, seen.task):
                continue
            if seen.desired is TaskState.RUNNING:
                yield from self._use(slot, seen)
                return
            if seen.desired < TaskState.RUNNING:
                ready = seen
        if ready is not None:
            yield from self._use(slot, ready)
        else:
            yield from self._renew(slot)

    @property
    def delay(self) -> float:
        """What a worker sleeps after each slot, the last one included."""
        return self._config.delay

    def _renew(self, slot: Slot) -> Wait:
        """Replace the tasks of a slot by a new one (updater.go, updateTask)."""
        start_first = self._config.start_first
        first = slot[0].task
        if self.service.id not in self._store.services:
            return
        if not start_first and not self._removable(slot):
            return
        new = self._store.add_task(
            self.service,
            slot=first.slot,
            node=first.node if self.spec.per_node else None,
            desired=TaskState.READY,
            spec=self.spec,
        )
        reached = self._reached[new.id] = Signal()
        self._made[new.id] = None
        if start_first:
            released = self._restarts.delay_start(new, None, 0.0, wait_stop=False)
        else:
            old = self._remove(slot)
            released = self._restarts.delay_start(
                new,
                None if old is None else old.task,
                0.0,
                wait_stop=True,
                seen=None if old is None else old.state,
            )
        yield released
        # No time-out here: a task that never gets this far blocks its worker for ever.
        yield reached
        self._made[new.id] = self._store.clock.now
        if start_first and reached.value is TaskState.RUNNING:
            self._remove(slot)

    def _use(self, slot: Slot, existing: Seen) -> Wait:
        """
        Keep a clean task and remove the others of its slot (updater.go, useExistingTask).

        Nobody looks whether the clean one is running.
        """
        others = tuple(seen for seen in slot if seen is not existing)
        old = None
        if others:
            if not self._removable(others):
                return
            old = self._remove(others)
        if existing.desired is not TaskState.RUNNING:
            yield self._restarts.delay_start(
                existing.task,
                None if old is None else old.task,
                0.0,
                wait_stop=True,
                seen=None if old is None else old.state,
            )

    def _removable(self, slot: Slot) -> bool:
        """Whether at least one of them can be shut down, or rests in peace (removeOldTasks)."""
        return any(
            seen.task.in_store
            and (seen.task.runnable or not self._restarts.should_restart(seen.task))
            for seen in slot
        )

    def _remove(self, slot: Slot) -> Seen | None:
        removed = None
        for seen in slot:
            task = seen.task
            if not task.in_store:
                continue
            if not task.runnable:
                if not self._restarts.should_restart(task):
                    removed = seen
                continue
            self._store.want(task, TaskState.SHUTDOWN)
            removed = seen
        return removed

    def _slot_dirty(self, slot: Slot) -> bool:
        return len(slot) > 1 or (len(slot) == 1 and is_dirty(self.spec, slot[0].task))

    # Writing the status. Each does nothing once the status is absent: somebody updated since.

    def _mark_updating(self) -> None:
        if self._gone or self.service.status is not None:
            return
        self.service.status = UpdateStatus(
            state=UpdateState.UPDATING,
            message="update in progress",
            started_at=self._store.clock.wall,
        )
        self._store.service_written(self.service, "update status updating")

    def _pause(self, message: str) -> None:
        status = self.service.status
        if self._gone or status is None:
            return
        back = status.state is UpdateState.ROLLBACK_STARTED
        state = UpdateState.ROLLBACK_PAUSED if back else UpdateState.PAUSED
        self.service.status = attrs.evolve(status, state=state, message=message)
        self._store.service_written(self.service, f"update status {state.value}: {message}")

    def _roll_back(self, message: str) -> None:
        service = self.service
        if self._gone or service.status is None or service.previous is None:
            return
        service.status = attrs.evolve(
            service.status, state=UpdateState.ROLLBACK_STARTED, message=message
        )
        service.spec, service.previous = service.previous, None
        self._store.service_written(service, f"update status rollback_started: {message}")

    def _complete(self) -> None:
        status = self.service.status
        if self._gone or status is None:
            return
        back = status.state is UpdateState.ROLLBACK_STARTED
        self.service.status = attrs.evolve(
            status,
            state=UpdateState.ROLLBACK_COMPLETED if back else UpdateState.COMPLETED,
            message="rollback completed" if back else "update completed",
            completed_at=self._store.clock.wall,
        )
        self._store.service_written(
            self.service, f"update status {self.service.status.state.value}"
        )

    @property
    def _gone(self) -> bool:
        return self.service.id not in self._store.services


class _Worker:
    """One worker: takes a slot, brings it up to date, sleeps, takes the next."""

    __slots__ = ("_updater", "offer")

    def __init__(self, updater: Updater) -> None:
        self._updater = updater
        self.offer = Signal()

    def run(self) -> Wait:
        updater = self._updater
        while updater.hire(self):
            yield self.offer
            slot = self.offer.value
            if slot is None:
                break
            assert isinstance(slot, tuple)
            yield from updater.replace(slot)
            if updater.delay:
                yield updater.delay
        updater.leave()


def _exceeds(failures: int, slots: int, ratio: float) -> bool:
    """Strictly greater, in the 32-bit floats that swarmkit divides in."""
    return _float32(failures / slots) > _float32(ratio)


def _float32(value: float) -> float:
    (rounded,) = struct.unpack("f", struct.pack("f", value))
    return float(rounded)
