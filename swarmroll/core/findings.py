"""What a plan says about itself before it starts: a finding names the trap and the way out."""

from __future__ import annotations

import enum
from collections.abc import Iterable

import attrs


class Severity(enum.StrEnum):
    """``error`` refuses the rollout unless its code is allowed; the others only tell."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@attrs.frozen(kw_only=True)
class Finding:
    """
    One trap that the plan would walk into.

    Attributes:
        code: Stable word for machines and for ``allow``.
        message: Names the culprit, for people.
        fix: What to do about it; empty where there is nothing to do.
    """

    code: str
    severity: Severity
    message: str
    fix: str = ""

    def __str__(self) -> str:
        fix = f" ({self.fix})" if self.fix else ""
        return f"{self.severity}: [{self.code}] {self.message}{fix}"


def refusing(findings: Iterable[Finding], allow: Iterable[str]) -> tuple[Finding, ...]:
    """The findings that stand in the way: severity error and not allowed by code or ``*``."""
    allowed = frozenset(allow)
    if "*" in allowed:
        return ()
    return tuple(f for f in findings if f.severity is Severity.ERROR and f.code not in allowed)
