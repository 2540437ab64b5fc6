"""
Reads are asked again, and of the next manager; a write never is.

A swarm that has lost its leader answers nothing, or HTTP 500, for 10 to 21 seconds; an engine that
restarts refuses connections for a few. Both are part of an ordinary day.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Event, Lock
from typing import TYPE_CHECKING, TypeVar

import attrs

from swarmroll.engine.transport import Ask, Door
from swarmroll.engine.trouble import Trouble, Worth, translated
from swarmroll.errors import EngineError, EngineUnavailable, NotAManager

if TYPE_CHECKING:
    import tenacity

_T = TypeVar("_T")
_FEW = 3


@attrs.frozen(kw_only=True)
class Limits:
    """
    How long the engine is waited for.

    Attributes:
        total: Seconds for a read with all its repetitions, and for a write.
        each: Seconds for one request of a read, from its first byte to the last of the answer.
    """

    total: float
    each: float


class Doors:
    """The managers of one swarm; one of them is asked until it fails."""

    def __init__(self, doors: list[Door]) -> None:
        self._doors = doors
        self._at = 0
        self._lock = Lock()

    def __len__(self) -> int:
        """How many."""
        return len(self._doors)

    @property
    def current(self) -> Door:
        """The one to ask."""
        return self._doors[self._at]

    @property
    def met(self) -> bool:
        """Whether any of them has ever answered."""
        return any(door.met for door in self._doors)

    def after(self, door: Door) -> Door:
        """The next one in the row."""
        return self._doors[(self._doors.index(door) + 1) % len(self._doors)]

    def leave(self, door: Door) -> None:
        """Ask another from now on, unless somebody has already gone on to one."""
        with self._lock:
            if self.current is door:
                self._at = self._doors.index(self.after(door))

    def close(self) -> None:
        """Close them all."""
        for door in self._doors:
            door.close()


def read(
    doors: Doors, ask: Ask, decode: Callable[[bytearray], _T], limits: Limits, closed: Event
) -> _T:
    """
    Ask until there is an answer that can be read, or the time is over.

    Args:
        doors: Whom to ask.
        ask: What.
        decode: Reads the answer; may raise ``Nonsense``.
        limits: How long.
        closed: Ends it early.

    Raises:
        EngineError: What the last try came to.
    """
    reading = _Reading(doors, ask, limits)
    try:
        return reading.once(decode)
    except Trouble as trouble:
        first = trouble
    try:
        return reading.repeat(decode, first, closed)
    except Trouble as trouble:
        raise _summary(trouble, reading.tries) from trouble.__cause__


def _summary(trouble: Trouble, tries: int) -> EngineError:
    if tries > 1 and isinstance(trouble.error, EngineUnavailable):
        text = f"{trouble.error} (tried {tries} times)"
        return EngineUnavailable(text, status=trouble.error.status)
    return trouble.error


class _Reading:
    """One read with its repetitions."""

    def __init__(self, doors: Doors, ask: Ask, limits: Limits) -> None:
        self._doors = doors
        self._ask = ask
        self._each = limits.each
        self._ends = time.monotonic() + limits.total
        self._nonsense = 0
        self.tries = 0

    def once(self, decode: Callable[[bytearray], _T]) -> _T:
        door = self._doors.current
        self.tries += 1
        left = max(self._ends - time.monotonic(), 0.05)
        try:
            return decode(door.ask(self._ask, min(self._each, left)))
        except Exception as exc:  # noqa: BLE001 - all are translated
            trouble = translated(exc, door.host)
            if _door_s_fault(trouble):
                self._doors.leave(door)
            raise trouble from (trouble.__cause__ if trouble is exc else exc)

    def repeat(self, decode: Callable[[bytearray], _T], first: Trouble, closed: Event) -> _T:
        """Try again as often as it is worth it, after a first try that came to this."""
        import tenacity  # noqa: PLC0415 - slow to import, and most reads need no second try

        pause = tenacity.wait_exponential(multiplier=0.1, max=2.0) + tenacity.wait_random(0.0, 0.1)
        failed = [first]

        def attempt() -> _T:
            if failed:
                raise failed.pop()
            return self.once(decode)

        def wait(state: tenacity.RetryCallState) -> float:
            # A manager that has not been asked yet need not be waited for.
            return 0.0 if self.tries < len(self._doors) else pause(state)

        left = max(self._ends - time.monotonic(), 0.0)
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(self._again),
            stop=tenacity.stop_before_delay(left) | tenacity.stop_when_event_set(closed),
            wait=wait,
            sleep=tenacity.sleep_using_event(closed),
            reraise=True,
        )
        answer: _T = retrying(attempt)
        return answer

    def _again(self, exc: BaseException) -> bool:
        if not isinstance(exc, Trouble):
            return False
        if _door_s_fault(exc) and self.tries < len(self._doors):
            return True
        if exc.worth is Worth.FEW:
            self._nonsense += 1
            return self._nonsense < _FEW
        return exc.worth is Worth.ALWAYS or (exc.worth is Worth.MET and self._doors.met)


def _door_s_fault(trouble: Trouble) -> bool:
    return isinstance(trouble.error, EngineUnavailable | NotAManager)
