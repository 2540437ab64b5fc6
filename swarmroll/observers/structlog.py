"""Logs every event with structlog: a name and keys, no sentences."""

from __future__ import annotations

import re
from typing import Any

from swarmroll.core import events
from swarmroll.core.events import Event
from swarmroll.core.gate import Answer

_WORDS = re.compile(r"(?<=[a-z])(?=[A-Z])")

# Told of a failed task, of a refused plan, of the bad end: everything else is routine.
_WARN = (events.TaskFailed, events.TaskDisplaced, events.Found)


class StructlogObserver:
    """
    An observer that logs.

    Each event is logged as ``rollout.<name>``, such as ``rollout.moved`` or
    ``rollout.task_failed``, with its fields as keys. structlog is used as the application has
    configured it; this never configures it.
    """

    def __init__(self, logger: Any = None) -> None:
        """
        Args:
            logger: A structlog logger to use; None takes ``structlog.get_logger("swarmroll")``.
        """
        if logger is None:
            import structlog  # noqa: PLC0415 - slow to import, and seldom needed

            logger = structlog.get_logger("swarmroll")
        self._logger = logger

    def __call__(self, event: Event) -> None:
        """Log one event."""
        name = "rollout." + _WORDS.sub("_", type(event).__name__).lower()
        log = self._logger.bind(service=event.service, rollout=event.rollout_id)
        level = log.warning if _is_bad(event) else log.info
        level(name, **_keys(event))


def _is_bad(event: Event) -> bool:
    if isinstance(event, events.Finished):
        return not event.report.ok
    if isinstance(event, events.GateJudged):
        return event.answer.answer is Answer.FAILED
    return isinstance(event, _WARN)


def _keys(event: Event) -> dict[str, Any]:  # noqa: C901 - a table, one row a kind of event
    match event:
        case events.Started(plan=plan):
            return {
                "steps": len(plan.steps),
                "restarts": len(plan.restarts),
                "on_failure": plan.on_failure,
                "findings": [finding.code for finding in plan.findings],
            }
        case events.Moved(transition=move):
            return {
                "phase": str(move.target),
                "came_from": str(move.source),
                "trigger": str(move.trigger),
                "reason": move.reason,
            }
        case events.Wrote():
            return {"purpose": str(event.purpose), "image": event.image}
        case events.TaskMade() | events.TaskRunning() | events.TaskDisplaced():
            return {"slot": event.slot, "task": event.task_id}
        case events.TaskFailed(failure=failure):
            return {
                "slot": failure.slot,
                "task": failure.task_id,
                "node": failure.node,
                "state": failure.state,
                "error": failure.error,
                "exit_code": failure.exit_code,
            }
        case events.EvidenceSaved(evidence=evidence):
            return {
                "slot": evidence.slot,
                "task": evidence.task_id,
                "log_lines": len(evidence.logs),
                "likely_cause": evidence.likely_cause,
            }
        case events.GateJudged(answer=answer):
            return {
                "gate": answer.gate,
                "answer": str(answer.answer),
                "reason": answer.reason,
                "times": answer.times,
            }
        case events.Adopted(change=change):
            return {"change": change}
        case events.Noted(note=note):
            return {"note": note}
        case events.Found(finding=finding):
            return {"code": finding.code, "severity": str(finding.severity)}
        case events.Finished(report=report):
            return {
                "outcome": str(report.outcome),
                "seconds": round(report.finished_at - report.started_at, 3),
                "engine_requests": report.engine_requests,
            }
        case _:
            return {}
