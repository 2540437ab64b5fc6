"""
Virtual time: a heap of things to come, and the little machinery that waits in it.

Nothing here reads a wall clock, sleeps or starts a thread. Whatever is due at the same moment runs
in the order in which it was asked for, so one seed always gives one history.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Generator

EPOCH = 1_767_225_600.0
"""Wall clock at virtual time 0, unless told otherwise: the first second of 2026, UTC."""


class Timer:
    """Something that will happen, unless it is cancelled or its scope has ended."""

    __slots__ = ("args", "call", "scope")

    def __init__(
        self, call: Callable[..., object] | None, args: tuple[object, ...], scope: Scope | None
    ) -> None:
        self.call = call
        self.args = args
        self.scope = scope

    def cancel(self) -> None:
        """Take it back; a second call does nothing."""
        self.call = None


class VirtualClock:
    """
    Time that jumps from one event to the next.

    Attributes:
        now: Virtual seconds since the swarm was made.
        running: Whether an event is being carried out now (time cannot be moved from inside).
        epoch: Wall clock at virtual time 0.
    """

    __slots__ = ("_heap", "_numbers", "epoch", "hooks", "now", "running")

    def __init__(self, epoch: float = EPOCH) -> None:
        self.now = 0.0
        self.epoch = epoch
        self.running = False
        self.hooks: list[Callable[[], None]] = []
        self._heap: list[tuple[float, int, Timer]] = []
        self._numbers = itertools.count()

    @property
    def wall(self) -> float:
        """The managers' wall clock, seconds since the epoch."""
        return self.epoch + self.now

    def later(self, seconds: float, call: Callable[..., object], *args: object) -> Timer:
        """Call ``call(*args)`` when ``seconds`` have passed."""
        return self.schedule(seconds, call, args, None)

    def schedule(
        self,
        seconds: float,
        call: Callable[..., object],
        args: tuple[object, ...],
        scope: Scope | None,
    ) -> Timer:
        """As ``later``, for a timer that ends with its scope."""
        timer = Timer(call, args, scope)
        heapq.heappush(self._heap, (self.now + seconds, next(self._numbers), timer))
        return timer

    def next_at(self) -> float | None:
        """When the next event is due, or None when nothing is to come."""
        heap = self._heap
        while heap:
            timer = heap[0][2]
            if timer.call is None or (timer.scope is not None and not timer.scope.alive):
                heapq.heappop(heap)
                continue
            return heap[0][0]
        return None

    def step(self) -> None:
        """Jump to the next event and carry it out; ``next_at`` must have named one."""
        at, _, timer = heapq.heappop(self._heap)
        self.now = max(self.now, at)
        call = timer.call
        if call is None or (timer.scope is not None and not timer.scope.alive):
            return
        timer.call = None
        self.running = True
        try:
            call(*timer.args)
            for hook in tuple(self.hooks):
                hook()
        finally:
            self.running = False

    def run_until(self, at: float, stop: Callable[[], bool] | None = None) -> bool:
        """
        Carry out everything that is due up to ``at``.

        Args:
            at: Virtual time at which to stand still.
            stop: Asked before each event; time stays where it is as soon as it says True.

        Returns:
            Whether ``stop`` ended the run.

        Raises:
            RuntimeError: Called from inside an event.
        """
        if self.running:
            raise RuntimeError("virtual time cannot be moved from inside one of its events")
        while True:
            if stop is not None and stop():
                return True
            due = self.next_at()
            if due is None or due > at:
                break
            self.step()
        self.now = max(self.now, at)
        return False


class Scope:
    """Timers that end together: those of one leader, or of one container."""

    __slots__ = ("_clock", "alive")

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self.alive = True

    def later(self, seconds: float, call: Callable[..., object], *args: object) -> Timer:
        """Call ``call(*args)`` when ``seconds`` have passed, unless the scope ends before."""
        return self._clock.schedule(seconds, call, args, self)

    def end(self) -> None:
        """Forget every timer of this scope."""
        self.alive = False


class Signal:
    """Something that happens once; who asks later is told at once."""

    __slots__ = ("_waiting", "fired", "value")

    def __init__(self) -> None:
        self.fired = False
        self.value: object = None
        self._waiting: list[Callable[[], None]] = []

    def fire(self, value: object = None) -> None:
        """Tell everybody who waits; a second call does nothing."""
        if self.fired:
            return
        self.fired = True
        self.value = value
        waiting, self._waiting = self._waiting, []
        for call in waiting:
            call()

    def then(self, call: Callable[[], None]) -> None:
        """Call ``call`` when it happens, or now if it has."""
        if self.fired:
            call()
        else:
            self._waiting.append(call)


Wait = Generator["float | Signal", None, None]
"""What a process is written as: a generator of what it waits for, seconds or a signal."""


class Process:
    """
    A goroutine in virtual time.

    The generator yields seconds to sleep or a ``Signal`` to wait for, and is resumed by an event
    of its own, never from inside the one that woke it.
    """

    __slots__ = ("_active", "_body", "_scope")

    def __init__(self, scope: Scope, body: Wait) -> None:
        self._scope = scope
        self._body: Wait | None = body
        self._active = False
        scope.later(0.0, self._resume)

    def stop(self) -> None:
        """End it where it stands."""
        if self._body is not None:
            body, self._body = self._body, None
            if not self._active:
                body.close()

    def _resume(self) -> None:
        if self._body is None:
            return
        self._active = True
        try:
            wanted = next(self._body)
        except StopIteration:
            self._body = None
            return
        finally:
            self._active = False
        if isinstance(wanted, Signal):
            wanted.then(self._soon)
        else:
            self._scope.later(wanted, self._resume)

    def _soon(self) -> None:
        self._scope.later(0.0, self._resume)
