"""Where a rollout is, why it moves, and the one table that says where each reason leads."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from types import MappingProxyType

import attrs


class Phase(enum.StrEnum):
    """Where a rollout is. What is true in each phase is told in docs/state-machine.md."""

    PENDING = "pending"
    PREPARING = "preparing"
    UPDATING = "updating"
    HOLDING = "holding"
    PAUSED = "paused"
    VERIFYING = "verifying"
    FINALIZING = "finalizing"
    ROLLING_BACK = "rolling_back"
    RESTORING = "restoring"
    COMPLETED = "completed"
    UNCHANGED = "unchanged"
    REFUSED = "refused"
    ROLLED_BACK = "rolled_back"
    ROLLBACK_FAILED = "rollback_failed"
    ABORTED = "aborted"
    SUPERSEDED = "superseded"
    SERVICE_GONE = "service_gone"

    @property
    def terminal(self) -> bool:
        """Whether nothing leads out of it."""
        return not TABLE[self]


class Trigger(enum.StrEnum):
    """Why a rollout moves: a word for machines; the reason for people stands in the transition."""

    START = "start"
    READY = "ready"
    NOTHING_TO_DO = "nothing_to_do"
    REFUSED = "refused"
    PLAN_STALE = "plan_stale"
    STEP_CONVERGED = "step_converged"
    WAVE_CONVERGED = "wave_converged"
    ALL_CONVERGED = "all_converged"
    HOLD_OVER = "hold_over"
    PROMOTED = "promoted"
    PROVEN = "proven"
    DONE = "done"
    FAILURES_EXCEEDED = "failures_exceeded"
    DEADLINE_EXCEEDED = "deadline_exceeded"
    GATE_FAILED = "gate_failed"
    ENGINE_ROLLED_BACK = "engine_rolled_back"
    STOPPED_ON_FAILURE = "stopped_on_failure"
    PAUSE_ASKED = "pause_asked"
    RESUME_ASKED = "resume_asked"
    ROLLBACK_ASKED = "rollback_asked"
    ABORT_ASKED = "abort_asked"
    ABORT_PROVEN = "abort_proven"
    FOREIGN_WRITE = "foreign_write"
    SERVICE_REMOVED = "service_removed"


_ANYWHERE = {
    # Nothing that someone else wrote is overwritten.
    Trigger.FOREIGN_WRITE: Phase.SUPERSEDED,
    Trigger.SERVICE_REMOVED: Phase.SERVICE_GONE,
}

_ON_FAILURE = {
    Trigger.FAILURES_EXCEEDED: Phase.ROLLING_BACK,
    Trigger.DEADLINE_EXCEEDED: Phase.ROLLING_BACK,
    Trigger.GATE_FAILED: Phase.ROLLING_BACK,
    Trigger.ENGINE_ROLLED_BACK: Phase.ROLLING_BACK,
    # The policy is to pause, or there is no baseline to put back.
    Trigger.STOPPED_ON_FAILURE: Phase.PAUSED,
}

_ON_REQUEST = {
    Trigger.PAUSE_ASKED: Phase.PAUSED,
    Trigger.ROLLBACK_ASKED: Phase.ROLLING_BACK,
    Trigger.ABORT_ASKED: Phase.ABORTED,
}

TABLE: Mapping[Phase, Mapping[Trigger, Phase]] = MappingProxyType(
    {
        Phase.PENDING: {
            Trigger.START: Phase.PREPARING,
            Trigger.ABORT_ASKED: Phase.ABORTED,
            **_ANYWHERE,
        },
        Phase.PREPARING: {
            Trigger.READY: Phase.UPDATING,
            Trigger.NOTHING_TO_DO: Phase.UNCHANGED,
            Trigger.REFUSED: Phase.REFUSED,
            Trigger.PLAN_STALE: Phase.REFUSED,
            Trigger.ABORT_ASKED: Phase.ABORTED,
            **_ANYWHERE,
        },
        Phase.UPDATING: {
            Trigger.STEP_CONVERGED: Phase.UPDATING,
            Trigger.WAVE_CONVERGED: Phase.HOLDING,
            Trigger.ALL_CONVERGED: Phase.VERIFYING,
            # The engine would not take the first spec, or somebody else wrote before it came:
            # nothing was written.
            Trigger.REFUSED: Phase.REFUSED,
            Trigger.PLAN_STALE: Phase.REFUSED,
            **_ON_FAILURE,
            **_ON_REQUEST,
            **_ANYWHERE,
        },
        Phase.HOLDING: {
            Trigger.HOLD_OVER: Phase.UPDATING,
            Trigger.PROMOTED: Phase.UPDATING,
            **_ON_FAILURE,
            **_ON_REQUEST,
            **_ANYWHERE,
        },
        Phase.PAUSED: {
            # The step is written again and judged again, so it ends where it was.
            Trigger.RESUME_ASKED: Phase.UPDATING,
            Trigger.ROLLBACK_ASKED: Phase.ROLLING_BACK,
            Trigger.ABORT_ASKED: Phase.ABORTED,
            Trigger.ENGINE_ROLLED_BACK: Phase.ROLLING_BACK,
            **_ANYWHERE,
        },
        Phase.VERIFYING: {
            Trigger.PROVEN: Phase.FINALIZING,
            **_ON_FAILURE,
            **_ON_REQUEST,
            **_ANYWHERE,
        },
        Phase.FINALIZING: {
            Trigger.DONE: Phase.COMPLETED,
            **_ANYWHERE,
        },
        Phase.ROLLING_BACK: {
            Trigger.PROVEN: Phase.RESTORING,
            # A rollback is never itself rolled back.
            Trigger.FAILURES_EXCEEDED: Phase.ROLLBACK_FAILED,
            Trigger.DEADLINE_EXCEEDED: Phase.ROLLBACK_FAILED,
            **_ANYWHERE,
        },
        Phase.RESTORING: {
            Trigger.DONE: Phase.ROLLED_BACK,
            Trigger.ABORT_PROVEN: Phase.ABORTED,
            Trigger.FAILURES_EXCEEDED: Phase.ROLLBACK_FAILED,
            Trigger.DEADLINE_EXCEEDED: Phase.ROLLBACK_FAILED,
            **_ANYWHERE,
        },
        Phase.COMPLETED: {},
        Phase.UNCHANGED: {},
        Phase.REFUSED: {},
        Phase.ROLLED_BACK: {},
        Phase.ROLLBACK_FAILED: {},
        Phase.ABORTED: {},
        Phase.SUPERSEDED: {},
        Phase.SERVICE_GONE: {},
    }
)


class IllegalMove(RuntimeError):
    """The table has no such row: a defect of swarmroll, not of the swarm."""


def after(phase: Phase, trigger: Trigger) -> Phase:
    """
    The phase that a trigger leads to.

    Raises:
        IllegalMove: The table has no row for it.
    """
    try:
        return TABLE[phase][trigger]
    except KeyError:
        raise IllegalMove(f"nothing leads from {phase} on {trigger}") from None


@attrs.frozen(kw_only=True)
class Transition:
    """
    One move of a rollout.

    Attributes:
        reason: For people: what was seen, in one sentence.
        at: Wall clock of the driver, seconds since the epoch.
    """

    source: Phase
    trigger: Trigger
    target: Phase
    reason: str
    at: float


def diagram() -> str:
    """The table as a Mermaid state diagram, for docs/state-machine.md."""
    lines = ["stateDiagram-v2", "    [*] --> pending"]
    for source, row in TABLE.items():
        for target in Phase:
            triggers = [trigger for trigger, goal in row.items() if goal is target]
            if triggers:
                lines.append(f"    {source} --> {target}: {', '.join(triggers)}")
        if not row:
            lines.append(f"    {source} --> [*]")
    return "\n".join(lines) + "\n"
