"""The time of this machine, as the engine port wants it."""

from __future__ import annotations

import time


class SystemClock:
    """The clock that everybody uses but tests and the simulated swarm."""

    def monotonic(self) -> float:
        """Seconds that only ever increase."""
        return time.monotonic()

    def wall(self) -> float:
        """Seconds since the epoch."""
        return time.time()
