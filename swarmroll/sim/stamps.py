"""Times as the Engine API writes them."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache


def stamp(at: float) -> str:
    """Seconds since the epoch as RFC 3339 with nanoseconds, in UTC."""
    whole, rest = divmod(round(at * 1_000_000_000), 1_000_000_000)
    return f"{_second(whole)}.{rest:09d}Z"


@lru_cache(maxsize=1024)
def _second(whole: int) -> str:
    return datetime.fromtimestamp(whole, UTC).strftime("%Y-%m-%dT%H:%M:%S")
