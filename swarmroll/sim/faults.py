"""Requests that go wrong: which ones, and how."""

from __future__ import annotations

from collections import deque

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
_SPOILT = frozenset({"truncated", "malformed"})
_KINDS = {
    **dict.fromkeys(WRITES, _LOST | _SPOILT | {"reset-after-commit", "timeout-after-commit"}),
    **dict.fromkeys(
        VERSIONED,
        _LOST | _SPOILT | {"reset-after-commit", "timeout-after-commit", "out-of-sequence"},
    ),
    **dict.fromkeys(READS, _LOST | _SPOILT | {"stale-read"}),
    **dict.fromkeys(STREAMS, _LOST),
}


class Faults:
    """
    Faults that wait for their request, in the order in which they were asked for.

    ``reset-before-commit``: the connection breaks, nothing was carried out.
    ``reset-after-commit``: it was carried out, and the answer is lost.
    ``timeout``, ``timeout-after-commit``: likewise, after the whole request time-out.
    ``500``, ``503``: the engine says so, and nothing was carried out.
    ``out-of-sequence``: the engine says that the version is not the present one.
    ``truncated``: the answer ends in the middle; a write was carried out.
    ``malformed``: the answer is no JSON; a write was carried out.
    ``stale-read``: the answer is the one that the same request got the last time.
    """

    def __init__(self) -> None:
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
        kinds = _KINDS.get(operation)
        if kinds is None:
            known = ", ".join(sorted(_KINDS))
            raise ValueError(f"fail_next: operation must be one of {known}, got {operation!r}")
        name = str(kind)
        if name not in kinds:
            raise ValueError(
                f"fail_next: {operation} can fail as {', '.join(sorted(kinds))}, got {kind!r}"
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
        return kind is None or kind.endswith("-after-commit") or kind in _SPOILT

    def take(self, operation: str) -> str | None:
        """How the request that is being made now fails, or None."""
        waiting = self._waiting.get(operation)
        return waiting.popleft() if waiting else None
