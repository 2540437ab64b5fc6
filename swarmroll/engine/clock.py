"""The time of this machine, as the engine port wants it."""

from __future__ import annotations

import time

_ALWAYS = getattr(time, "CLOCK_BOOTTIME", None)


class SystemClock:
    """The clock that everybody uses but tests and the simulated swarm."""

    def monotonic(self) -> float:
        """Seconds that only ever increase."""
        return time.monotonic()

    def wall(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def boottime(self) -> float:
        """Seconds that pass while the machine sleeps, too, where the system can tell."""
        return time.monotonic() if _ALWAYS is None else time.clock_gettime(_ALWAYS)

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        time.sleep(seconds)
