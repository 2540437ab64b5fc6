"""Time that passes by itself: a thread that moves a virtual clock as real time goes by."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from swarmroll.sim.clock import VirtualClock

_LONGEST_SLEEP = 0.5
_GLANCE = 0.05
"""Seconds after which a condition is asked again, though nothing has happened: it may be a time."""


class Pump:
    """
    Moves a clock with real time, ``speed`` virtual seconds a second.

    Whoever holds the lock may move the clock ahead as well; time goes on from there. Whoever
    changes anything, notifies the lock, for the next thing to come may be nearer then.

    Attributes:
        speed: Virtual seconds in a real one.
        stopped: Whether it has ended.
    """

    def __init__(self, clock: VirtualClock, lock: threading.Condition, speed: float) -> None:
        self.speed = speed
        self.stopped = False
        self._clock = clock
        self._lock = lock
        self._error: BaseException | None = None
        self._real = time.monotonic()
        self._virtual = clock.now
        self._thread = threading.Thread(target=self._run, name="swarmroll-sim-clock", daemon=True)

    def start(self) -> None:
        """Let time pass from now on."""
        self._real, self._virtual = time.monotonic(), self._clock.now
        self._thread.start()

    def stop(self) -> None:
        """Time stands still, and nobody waits any more."""
        with self._lock:
            self.stopped = True
            self._lock.notify_all()
        if self._thread is not threading.current_thread():
            self._thread.join()

    def check(self) -> None:
        """
        Say what ended the swarm.

        Raises:
            RuntimeError: Something that was to happen in it had failed.
        """
        if self._error is not None:
            raise RuntimeError(f"the served swarm has stopped: {self._error!r}") from self._error

    def catch_up(self) -> None:
        """Carry out what is due by now; the caller has the lock."""
        clock = self._clock
        if clock.running or self.stopped:
            return
        now = time.monotonic()
        due = self._virtual + (now - self._real) * self.speed
        if clock.now > due:
            # Somebody jumped ahead.
            self._real, self._virtual = now, clock.now
            return
        try:
            clock.run_until(due)
        except Exception as exc:  # noqa: BLE001 - what a user had planned may raise anything
            self._error = exc
            self.stopped = True
            self._lock.notify_all()

    def wait_for(self, condition: Callable[[], bool], seconds: float) -> bool:
        """
        Wait real seconds at most until something is so; the caller has the lock.

        Returns:
            Whether it is so; False also when the swarm is closed.
        """
        end = time.monotonic() + seconds
        while True:
            self.catch_up()
            if condition():
                return True
            left = end - time.monotonic()
            if left <= 0 or self.stopped:
                return False
            self._lock.wait(min(left, _GLANCE, self._until_next()))

    def wait_virtual(self, condition: Callable[[], bool], seconds: float) -> bool:
        """As ``wait_for``, for so many virtual seconds."""
        until = self._clock.now + seconds
        while True:
            self.catch_up()
            if condition():
                return True
            left = until - self._clock.now
            if left <= 0 or self.stopped:
                return False
            self._lock.wait(min(left / self.speed + 0.001, self._until_next()))

    def _until_next(self) -> float:
        """Real seconds to the next thing to come."""
        at = self._clock.next_at()
        if at is None:
            return _LONGEST_SLEEP
        due = self._real + (at - self._virtual) / self.speed
        return min(max(due - time.monotonic(), 0.0002), _LONGEST_SLEEP)

    def _run(self) -> None:
        with self._lock:
            while not self.stopped:
                before = self._clock.next_at()
                self.catch_up()
                if before is not None and before <= self._clock.now:
                    self._lock.notify_all()
                self._lock.wait(self._until_next())
