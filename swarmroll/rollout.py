"""The live handle of a rollout that runs in the background."""

from __future__ import annotations

import functools
import queue
import threading
from collections.abc import Callable, Iterator

from swarmroll.core.events import Event
from swarmroll.core.phases import Phase
from swarmroll.core.plan import Plan
from swarmroll.core.report import Outcome, Report
from swarmroll.core.snapshot import Snapshot
from swarmroll.core.state import Ask, State
from swarmroll.errors import PlanError
from swarmroll.outcomes import raise_unless_ok
from swarmroll.runner import Observer, Runner

Hearer = Callable[[Event | None], object]
"""Told of each event, and of the end, or a pause, with None; from whichever thread."""


class Rollout:
    """
    A rollout in a thread of its own. Its methods may be called from any thread.

    When the process ends, so does the thread, and the engine goes on with what it was told.
    """

    def __init__(
        self,
        make_runner: Callable[[State, tuple[Observer, ...]], Runner],
        state: State,
        left: Report | None = None,
    ) -> None:
        """
        Args:
            make_runner: Makes a driver.
            state: Where it begins.
            left: Of one that stands paused: how somebody left it.
        """
        self._make_runner = make_runner
        self._hearers: list[Hearer] = []
        self._past: list[Event] = []
        self._lock = threading.Lock()
        self._report = left
        self._error: Exception | None = None
        self._done = threading.Event()
        self._thread: threading.Thread | None = None
        self._runner = make_runner(state, (self._hear,))
        if left is not None:
            # It stands still until it is asked to go on.
            self._done.set()

    def start(self, first: Snapshot | None = None) -> Rollout:
        """Begin in the background; returns itself."""
        self._done.clear()
        thread = threading.Thread(
            target=self._run, args=(first,), name=f"rollout of {self.plan.service}", daemon=True
        )
        self._thread = thread
        thread.start()
        return self

    def _run(self, first: Snapshot | None) -> None:
        try:
            self._report = self._runner.run(first)
        except Exception as exc:  # noqa: BLE001 - wait() raises it, whatever it is
            self._error = exc
            self._report = getattr(exc, "report", None)
        finally:
            with self._lock:
                self._done.set()
                hearers, self._hearers = self._hearers, []
            for hear in hearers:
                hear(None)

    # --- asking it

    @property
    def plan(self) -> Plan:
        """What is being carried out."""
        return self._runner.state.plan

    @property
    def state(self) -> State:
        """Where it stands, as a value."""
        return self._runner.state

    @property
    def phase(self) -> Phase:
        """Where it stands, in a word."""
        return self._runner.state.phase

    @property
    def report(self) -> Report | None:
        """How it ended, or was paused; None as long as it goes on."""
        return self._report if self._done.is_set() else None

    @property
    def running(self) -> bool:
        """Whether it is neither over nor paused, nor left to others."""
        return not self._done.is_set()

    def wait(self, timeout: float | None = None, *, check: bool = True) -> Report:
        """
        Wait until it is over or paused.

        Args:
            timeout: Seconds to wait at most; None waits as long as it takes.
            check: Raise for an outcome that is not ``COMPLETED`` or ``UNCHANGED``.

        Raises:
            TimeoutError: It still goes on.
            RolloutFailed: As ``Swarm.update`` does.
            EngineUnavailable: The engine was out of reach for too long.
            LeaseHeld: Somebody else rolls the service.
        """
        if not self._done.wait(timeout):
            raise TimeoutError(f"the rollout of {self.plan.service} is still {self.phase}")
        if self._error is not None:
            raise self._error
        assert self._report is not None
        if check:
            raise_unless_ok(self._report)
        return self._report

    def events(self) -> Iterator[Event]:
        """Every event from the beginning on; ends when the rollout is over or paused."""
        stream: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        stop = self.listen(stream.put)
        try:
            while (event := stream.get()) is not None:
                yield event
        finally:
            stop()

    def listen(self, hear: Hearer) -> Callable[[], None]:
        """
        Call a function with every event from the beginning on, and with None at the end.

        Args:
            hear: Called in this thread for what has happened, then in that of the rollout, which
                waits for it; it must not raise, nor ask the rollout for anything.

        Returns:
            What ends that.
        """
        with self._lock:
            for past in self._past:
                hear(past)
            over = self._done.is_set()
            if not over:
                self._hearers.append(hear)
        if over:
            hear(None)
        return functools.partial(self._forget, hear)

    def _forget(self, hear: Hearer) -> None:
        with self._lock:
            if hear in self._hearers:
                self._hearers.remove(hear)

    def _hear(self, event: Event) -> None:
        with self._lock:
            self._past.append(event)
            for hear in self._hearers:
                hear(event)

    # --- asking it for something

    def pause(self) -> None:
        """
        Start nothing more, and hold the engine's updater after the slots in motion.

        One more slot may move: the engine has no command to stop at once. Of a rollout that is
        over or paused: does nothing.

        Raises:
            PlanError: Its driver has lost it, to somebody else or for want of an engine.
        """
        self._ask(Ask.PAUSE)

    def resume(self) -> Rollout:
        """
        Go on with a paused rollout, in the background again; its earlier failures are forgiven.

        Raises:
            PlanError: It is not paused.
        """
        if self.phase is Phase.PAUSED:
            # It may be about to give its lease back.
            self._done.wait()
        if self.phase is not Phase.PAUSED:
            raise PlanError(f"the rollout of {self.plan.service} is {self.phase}, not paused")
        self._continue(Ask.RESUME)
        return self

    def promote(self) -> None:
        """
        End a hold that waits for it. Of a rollout that is over or paused: does nothing.

        Raises:
            PlanError: Its driver has lost it, to somebody else or for want of an engine.
        """
        self._ask(Ask.PROMOTE)

    def abort(self, *, rollback: bool = False) -> None:
        """
        Stop. Of a rollout that is over: does nothing.

        Args:
            rollback: Put the last known good spec back, and prove it. Otherwise no further step
                is started, and what the engine still does is told in the report.

        Raises:
            PlanError: There is no last known good spec to put back; or its driver has lost it, to
                somebody else or for want of an engine.
        """
        if self.phase.terminal:
            return
        if rollback and self.plan.baseline is None:
            raise PlanError(
                f"cannot roll {self.plan.service} back: there is no last known good spec"
            )
        ask = Ask.ROLL_BACK if rollback else Ask.ABORT
        if not self._ask(ask) and self.phase is Phase.PAUSED:
            self._continue(ask)

    def detach(self, *, wait: bool = True) -> None:
        """
        Let go of it: its driver stops, and the rollout is left as it stands, on record.

        When this returns, the lease is given back, as far as the engine can be reached, and
        anybody may ``attach``. What the engine was told it goes on with, as the plan says. Of a
        rollout that is over or paused: does nothing.

        Args:
            wait: False returns at once, as do observers, which the driver waits for.
        """
        self._runner.let_go()
        if wait and threading.current_thread() is not self._thread:
            self._done.wait()

    def _ask(self, ask: Ask) -> bool:
        """Ask the driver; False if there is none any more, since it is over or paused."""
        if not self._done.is_set() and self._runner.ask(ask):
            return True
        self._done.wait()
        left = self._error or ("it was let go" if self._let_go else None)
        if left is not None and not self.phase.terminal and self.phase is not Phase.PAUSED:
            raise PlanError(
                f"nobody drives the rollout of {self.plan.service} any more ({left});"
                " attach() takes it up again"
            )
        return False

    @property
    def _let_go(self) -> bool:
        return self._report is not None and self._report.outcome is Outcome.DETACHED

    def _continue(self, ask: Ask) -> None:
        """A paused rollout has no driver: take the lease again, look again, and answer."""
        self._report = None
        self._error = None
        self._runner = self._make_runner(self._runner.state.asking(ask), (self._hear,))
        self.start()
