"""Requests that go wrong: which ones, and how."""

from __future__ import annotations

from collections import Counter, deque

VERSIONED = frozenset({"ServiceUpdate", "NodeUpdate", "ConfigUpdate", "SecretUpdate"})
WRITES = VERSIONED | {
    f"{thing}{verb}"
    for thing in ("Service", "Config", "Secret", "Network")
    for verb in ("Create", "Delete")
}
READS = frozenset(
    f"{thing}{verb}"
    for thing in ("Service", "Task", "Node", "Config", "Secret", "Network", "Container")
    for verb in ("List", "Inspect")
) | {
    "SystemPing",
    "SystemInfo",
    "SystemVersion",
    "SwarmInspect",
    "DistributionInspect",
    "ServiceLogs",
    "TaskLogs",
    "ContainerLogs",
}
STREAMS = frozenset({"SystemEvents"})

_LOST = frozenset({"reset-before-commit", "500", "503", "timeout"})
SPOILT = frozenset({"truncated", "malformed", "wrong-type", "duplicated", "drip"})
"""An answer that cannot be read, of something that was carried out."""

_ANY = _LOST | SPOILT | {"404"}
_WRITTEN = _ANY | {"409", "reset-after-commit", "timeout-after-commit"}
_KINDS = {
    **dict.fromkeys(WRITES, _WRITTEN),
    **dict.fromkeys(VERSIONED, _WRITTEN | {"out-of-sequence"}),
    **dict.fromkeys(READS, _ANY | {"stale-read"}),
    **dict.fromkeys(STREAMS, _LOST),
}


def kinds(operation: str) -> tuple[str, ...]:
    """In which ways a request can fail, in order; none for what is no operation."""
    return tuple(sorted(_KINDS.get(operation, ())))


class Faults:
    """
    Faults that wait for their request, in the order in which they were asked for.

    ``reset-before-commit``: the connection breaks, nothing was carried out.
    ``reset-after-commit``: it was carried out, and the answer is lost.
    ``timeout``, ``timeout-after-commit``: likewise, after the whole request time-out.
    ``500``, ``503``: the engine says so, and nothing was carried out.
    ``404``, ``409``: likewise; that it is not there, though it is, or that something is in the way.
    ``out-of-sequence``: the engine says that the version is not the present one.
    ``truncated``: the answer ends in the middle; a write was carried out.
    ``malformed``: the answer is no JSON; a write was carried out.
    ``wrong-type``: the answer is JSON of another shape; a write was carried out.
    ``duplicated``: the answer's body comes twice over; a write was carried out.
    ``drip``: the answer comes byte by byte, until the client has had enough; likewise.
    ``stale-read``: the answer is the one that the same request got the last time.

    Attributes:
        asked: How many requests of each operation there were so far.
    """

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self._waiting: dict[str, deque[str | None]] = {}

    def add(self, operation: str, kind: str | int, *, times: int = 1, after: int = 0) -> None:
        """
        Let requests fail.

        Args:
            operation: The Engine API's name of it, as ``ServiceUpdate``.
            kind: How they fail: see the class.
            times: So many in a row.
            after: So many of that operation go well before.

        Raises:
            ValueError: There is no such operation, or it cannot fail in that way.
        """
        possible = _KINDS.get(operation)
        if possible is None:
            known = ", ".join(sorted(_KINDS))
            raise ValueError(f"fail_next: operation must be one of {known}, got {operation!r}")
        name = str(kind)
        if name not in possible:
            raise ValueError(
                f"fail_next: {operation} can fail as {', '.join(sorted(possible))}, got {kind!r}"
            )
        if times < 1 or after < 0:
            raise ValueError(
                f"fail_next: times must be at least 1 and after at least 0, got {times} and {after}"
            )
        waiting = self._waiting.setdefault(operation, deque())
        waiting.extend([None] * after + [name] * times)

    @staticmethod
    def commits(kind: str | None) -> bool:
        """Whether a write that fails in this way was carried out all the same."""
        return kind is None or kind.endswith("-after-commit") or kind in SPOILT

    def take(self, operation: str) -> str | None:
        """How the request that is being made now fails, or None."""
        self.asked[operation] += 1
        waiting = self._waiting.get(operation)
        return waiting.popleft() if waiting else None
