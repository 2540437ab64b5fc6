"""Which exception tells of which outcome."""

from __future__ import annotations

from swarmroll.core.report import Outcome, Report
from swarmroll.errors import (
    Aborted,
    Detached,
    PlanError,
    PreflightError,
    RollbackFailed,
    RolledBack,
    RolloutFailed,
    RolloutPaused,
    ServiceGone,
    Superseded,
)

FAILURES: dict[Outcome, type[RolloutFailed]] = {
    Outcome.ROLLED_BACK: RolledBack,
    Outcome.ROLLBACK_FAILED: RollbackFailed,
    Outcome.PAUSED: RolloutPaused,
    Outcome.ABORTED: Aborted,
    Outcome.SUPERSEDED: Superseded,
    Outcome.SERVICE_GONE: ServiceGone,
    Outcome.DETACHED: Detached,
}


def raise_unless_ok(report: Report) -> None:
    """
    Raise what the outcome of a report means.

    Raises:
        PreflightError: It was refused by its plan's findings.
        PlanError: It was refused for another reason: stale, not quiet, or refused by the engine.
        RolloutFailed: Its child that stands for the outcome.
    """
    if report.ok:
        return
    if report.outcome is Outcome.REFUSED:
        if report.plan.refusals:
            raise PreflightError(report.plan.refusals, report)
        raise PlanError(report.headline, report)
    raise FAILURES[report.outcome](report)
