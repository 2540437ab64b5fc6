"""
Durations and shares, as users write them and as the engine stores them.

Inside swarmroll a duration is a ``float`` of seconds. The engine's JSON holds integer nanoseconds.
"""

from __future__ import annotations

import re
from datetime import timedelta
from math import isfinite
from typing import TypeAlias

import attrs

from swarmroll.core.redact import shown
from swarmroll.errors import SpecError

Duration: TypeAlias = float | int | timedelta | str
"""Seconds, a ``timedelta``, or a Docker duration string such as ``"1m30s"``."""

MAX_SECONDS = 100 * 365 * 24 * 3600
"""A hundred years. The engine's int64 nanoseconds would end at 292."""

NANOSECONDS = 10**9

# Nanoseconds per unit: Go, time.ParseDuration, which the docker CLI uses. Both signs for micro.
_UNITS = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,
    "μs": 10**3,
    "ms": 10**6,
    "s": NANOSECONDS,
    "m": 60 * NANOSECONDS,
    "h": 3600 * NANOSECONDS,
}
_NUMBER = r"(\d{1,15}\.?\d{0,15}|\.\d{1,15})"
_PIECE = re.compile(_NUMBER + r"(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_WHOLE = re.compile(rf"(?:{_PIECE.pattern})+", re.ASCII)
_DURATION_WANTED = 'seconds, a timedelta or a duration such as "1m30s"'


def seconds(value: Duration, *, name: str) -> float:
    """
    Read a duration as a user may write it.

    Args:
        value: Seconds, a ``timedelta``, or a Go duration string (``"1.5h"``, ``"100ms"``).
        name: What the value is for, as the error should call it.

    Returns:
        Seconds: finite, not negative, at most a hundred years.

    Raises:
        SpecError: It is none of these.

    """
    if isinstance(value, timedelta):
        found = value.total_seconds()
    elif isinstance(value, str):
        found = _parsed(value, name)
    elif not isinstance(value, bool) and _is_number(value):
        found = _number(value)
    else:
        raise SpecError(f"{name} must be {_DURATION_WANTED}, got {shown(value, key=name)}")
    if not isfinite(found):
        raise SpecError(f"{name} must be a finite number of seconds, got {shown(value)}")
    if found < 0:
        raise SpecError(f"{name} must be at least 0 seconds, got {shown(value)}")
    if found > MAX_SECONDS:
        raise SpecError(f"{name} must be at most 100 years, got {shown(value)}")
    return found


def _is_number(value: object) -> bool:
    return isinstance(value, int | float)


def _number(value: int | float) -> float:
    try:
        return float(value)
    except OverflowError:
        return float("inf")


def _parsed(text: str, name: str) -> float:
    bare = text.strip()
    if bare == "0":
        return 0.0
    if bare.startswith("-"):
        raise SpecError(f"{name} must be at least 0 seconds, got {shown(text)}")
    if re.fullmatch(_NUMBER, bare, re.ASCII):
        raise SpecError(f'{name} must say its unit, such as "{bare}s", got {shown(text)}')
    if not _WHOLE.fullmatch(bare):
        raise SpecError(f"{name} must be {_DURATION_WANTED}, got {shown(text, key=name)}")
    total = sum(_scaled(number, _UNITS[unit]) for number, unit in _PIECE.findall(bare))
    return total / NANOSECONDS


def _scaled(number: str, nanoseconds_per_unit: int) -> int:
    # Integer arithmetic: "0.1s" is exactly 100,000,000 ns. What is below 1 ns is cut off.
    whole, _, fraction = number.partition(".")
    scale: int = 10 ** len(fraction)
    return int(whole + fraction) * nanoseconds_per_unit // scale


def nanoseconds(value: float) -> int:
    """
    Seconds as the engine's integer nanoseconds.

    Whole seconds and anything shorter than 46 days come out exact, to the nanosecond.
    """
    whole = int(value)
    return whole * NANOSECONDS + round((value - whole) * NANOSECONDS)


def from_nanoseconds(value: int) -> float:
    """The engine's nanoseconds as seconds, correctly rounded."""
    return value / NANOSECONDS


def duration_text(value: float) -> str:
    """
    Seconds for people: ``1h30m``, ``1m30s``, ``2.5s``, ``100ms``, ``0s``.

    Exact to the millisecond, and to the microsecond below one second.
    """
    if value < 0:
        return f"-{duration_text(-value)}"
    if value < 0.9995:
        return _small_text(round(value * 1_000_000))
    milliseconds = round(value * 1000)
    minutes, milliseconds = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    text = f"{hours}h" if hours else ""
    text += f"{minutes}m" if minutes else ""
    return text + (f"{milliseconds / 1000:g}s" if milliseconds else "")


def _small_text(microseconds: int) -> str:
    if not microseconds:
        return "0s"
    if microseconds < 1000:
        return f"{microseconds}µs"
    return f"{microseconds / 1000:g}ms"


@attrs.frozen(kw_only=True)
class Share:
    """
    A number of tasks, or a part of them.

    Exactly one of the two is set; ``share()`` makes one from what a user writes.

    Attributes:
        count: A fixed number of tasks, at least 0. What 0 means is the caller's business: an
            update config takes it for "all of them".
        millipercent: Thousandths of a percent: ``25000`` is 25 %. An integer, as 7 % of 100
            tasks must not come out as 8.

    """

    count: int | None = None
    millipercent: int | None = None

    def resolve(self, total: int) -> int:
        """
        How many of ``total`` tasks this is.

        A percentage is rounded up, so it is at least 1 whenever there is a task at all, as
        Kubernetes does for ``maxSurge``: a small service still moves. A count is returned as it
        is, also when it exceeds ``total``.
        """
        if self.count is not None:
            return self.count
        return -(-(self.millipercent or 0) * total // 100_000)

    def __str__(self) -> str:
        if self.count is not None:
            return str(self.count)
        return f"{(self.millipercent or 0) / 1000:g}%"


_PERCENT = re.compile(r"(\d{1,3})(?:\.(\d{1,3}))?%", re.ASCII)


def share(value: int | str | Share, *, name: str) -> Share:
    """
    Read a number of tasks (``3``, ``"3"``) or a part of them (``"25%"``, ``"12.5%"``).

    Raises:
        SpecError: It is neither, or not above 0 % and up to 100 %.

    """
    if isinstance(value, Share):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        if value < 0:
            raise SpecError(f"{name} must be at least 0, got {shown(value)}")
        return Share(count=value)
    if isinstance(value, str):
        if re.fullmatch(r"\d{1,9}", value, re.ASCII):
            return Share(count=int(value))
        if match := _PERCENT.fullmatch(value):
            return _percentage(match, name)
    raise SpecError(
        f'{name} must be a number of tasks or a percentage such as "25%", '
        f"got {shown(value, key=name)}"
    )


def _percentage(match: re.Match[str], name: str) -> Share:
    millipercent = int(match[1]) * 1000 + int((match[2] or "").ljust(3, "0"))
    if not 0 < millipercent <= 100_000:
        raise SpecError(f"{name} must be above 0% and at most 100%, got {shown(match[0])}")
    return Share(millipercent=millipercent)
