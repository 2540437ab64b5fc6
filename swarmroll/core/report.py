"""How a rollout ended, with its proof and its evidence: a value that can be kept and sent."""

from __future__ import annotations

import enum
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import attrs

from swarmroll.core.failure import Failure, likely_cause
from swarmroll.core.findings import Finding, Severity
from swarmroll.core.gate import GateAnswer
from swarmroll.core.phases import Phase, Transition
from swarmroll.core.plan import Plan
from swarmroll.core.proof import SlotProof
from swarmroll.core.record import from_document, to_document
from swarmroll.core.redact import mask_document, mask_text
from swarmroll.core.snapshot import SlotKey
from swarmroll.core.spec import ServiceSpec
from swarmroll.core.state import State
from swarmroll.core.units import duration_text
from swarmroll.printable import printable


class Outcome(enum.StrEnum):
    """How a rollout ended; ``PAUSED`` and ``DETACHED`` are not the end of it."""

    COMPLETED = "completed"
    UNCHANGED = "unchanged"
    REFUSED = "refused"
    ROLLED_BACK = "rolled_back"
    ROLLBACK_FAILED = "rollback_failed"
    PAUSED = "paused"
    ABORTED = "aborted"
    SUPERSEDED = "superseded"
    SERVICE_GONE = "service_gone"
    DETACHED = "detached"

    @property
    def exit_code(self) -> int:
        """What a deploy script should exit with."""
        return EXIT_CODES[self]


EXIT_CODES: Mapping[Outcome, int] = {
    Outcome.COMPLETED: 0,
    Outcome.UNCHANGED: 0,
    Outcome.REFUSED: 3,
    Outcome.ROLLED_BACK: 4,
    Outcome.ROLLBACK_FAILED: 5,
    Outcome.PAUSED: 6,
    Outcome.ABORTED: 6,
    Outcome.SUPERSEDED: 7,
    Outcome.SERVICE_GONE: 7,
    Outcome.DETACHED: 8,
}


def outcome_of(phase: Phase) -> Outcome:
    """The outcome of a rollout whose driver stops in this phase; detached in the midst of it."""
    if phase.terminal or phase is Phase.PAUSED:
        return Outcome(phase.value)
    return Outcome.DETACHED


@attrs.frozen(kw_only=True)
class Evidence:
    """
    What was saved about a failed task before Swarm forgot it.

    Attributes:
        logs: Its last log lines, oldest first; empty when they could not be had.
        health: Outputs of its last health checks; only where its node is the engine we talk to.
        likely_cause: A guess for people; empty when there is none.
    """

    task_id: str
    slot: SlotKey
    node: str
    state: str
    error: str
    exit_code: int | None
    image: str
    at: float
    in_rollback: bool = False
    logs: tuple[str, ...] = ()
    health: tuple[str, ...] = ()
    likely_cause: str = ""

    @classmethod
    def of(
        cls, failure: Failure, logs: tuple[str, ...] = (), health: tuple[str, ...] = ()
    ) -> Evidence:
        """Evidence of a failure, with what could be saved of it."""
        return cls(
            task_id=failure.task_id,
            slot=failure.slot,
            node=failure.node,
            state=failure.state,
            error=failure.error,
            exit_code=failure.exit_code,
            image=failure.image,
            at=failure.at,
            in_rollback=failure.in_rollback,
            logs=logs,
            health=health,
            likely_cause=likely_cause(failure),
        )

    def __str__(self) -> str:
        where = f" on {self.node}" if self.node else ""
        code = "" if self.exit_code is None else f", exit code {self.exit_code}"
        cause = f"; likely {self.likely_cause}" if self.likely_cause else ""
        error = self.error or "no error given"
        return printable(f"slot {self.slot}{where}: {self.state}: {error}{code}{cause}")


@attrs.frozen(kw_only=True)
class Report:
    """
    How a rollout ended.

    Attributes:
        baseline: The last known good spec; None if there was none.
        target: The spec that was to run.
        plan: What was to be done. After ``from_dict`` the secrets in its specs are masked.
        transitions: Every move with its reason, first to last.
        slots: The proof, slot by slot, of what runs now.
        failures: Evidence of each failed task.
        adopted: What others changed meanwhile and was let be.
        started_at: Driver's wall clock, seconds since the epoch.
        finished_at: Driver's wall clock, seconds since the epoch.
        engine_requests: HTTP requests sent to the engine for it, retries included.
        rolled_back_by: ``engine`` or ``swarmroll``; empty if nothing was rolled back.
        leaks: Old tasks that came back as new ones out of turn. Always 0 without waves.
        overruns: Slots that moved beyond a wave. Always 0 without waves.
        skipped: Paused nodes that a global service was not rolled on.
        trouble: Why the driver had to leave it: the engine out of reach, the lease lost.
        gates: What the gates have said, first to last.
    """

    outcome: Outcome
    service: str
    service_id: str
    rollout_id: str
    baseline: ServiceSpec | None
    target: ServiceSpec
    plan: Plan
    transitions: tuple[Transition, ...]
    slots: tuple[SlotProof, ...]
    failures: tuple[Evidence, ...]
    findings: tuple[Finding, ...]
    adopted: tuple[str, ...]
    notes: tuple[str, ...]
    skipped: tuple[str, ...]
    displaced: int
    started_at: float
    finished_at: float
    engine_requests: int
    rolled_back_by: str
    reason: str
    trouble: str = ""
    gates: tuple[GateAnswer, ...] = ()
    leaks: int = 0
    overruns: int = 0

    def __bool__(self) -> bool:
        raise TypeError("a report is neither true nor false: ask report.ok")

    @property
    def ok(self) -> bool:
        """Whether the target runs, proven."""
        return self.outcome in (Outcome.COMPLETED, Outcome.UNCHANGED)

    @property
    def exit_code(self) -> int:
        """What a deploy script should exit with."""
        return self.outcome.exit_code

    @property
    def headline(self) -> str:
        """One sentence: what happened to which service, and why."""
        what = f"{self.service} {self.outcome.replace('_', ' ')}"
        return printable(mask_text(": ".join(filter(None, (what, self._why())))))

    def _why(self) -> str:
        """The reason of the last move; of a rollback, what led to it."""
        if not self.transitions:
            return self.trouble
        last = self.transitions[-1]
        if self.trouble:
            return f"{self.trouble}; the rollout was {last.target}{self._left_to_engine(last)}"
        turn = next((t for t in self.transitions if t.target is Phase.ROLLING_BACK), last)
        if turn is last or self.outcome is Outcome.ROLLED_BACK:
            return turn.reason
        return f"{turn.reason}; then: {last.reason}"

    def _left_to_engine(self, last: Transition) -> str:
        """What the engine does without a driver."""
        if last.target is not Phase.UPDATING:
            return ""
        action = self.target.effective_update_config.failure_action
        return f", and the engine goes on by itself; on a failure it will {action}"

    def __str__(self) -> str:
        return mask_text("\n".join(self._lines()))

    def _lines(self) -> Iterator[str]:
        yield self.headline
        took = duration_text(round(self.finished_at - self.started_at, 1))
        yield f"  {_clock(self.started_at)}, took {took}, {self.engine_requests} engine requests"
        if self.reason:
            yield f"  reason: {printable(self.reason)}"
        if self.rolled_back_by:
            yield f"  rolled back by: {self.rolled_back_by}"
        yield "  what happened:"
        for move in self.transitions:
            yield f"    {_clock(move.at)}  {move.target:<15} {printable(move.reason)}"
        yield from self._failed_tasks()
        if self.slots:
            yield "  what runs now:"
        for proof in self.slots:
            yield (
                f"    slot {proof.slot} on {printable(proof.node)}: {printable(proof.image)}"
                f" (task {proof.task_id[:12]}, health by {proof.health},"
                f" proven by {proof.proven_by})"
            )
        yield from (f"  {answer}" for answer in self.gates)
        if self.leaks or self.overruns:
            yield f"  beside the waves: {self.leaks} leaked, {self.overruns} overrun"
        yield from (f"  adopted: {printable(text)}" for text in self.adopted)
        yield from (f"  note: {printable(text)}" for text in self.notes)
        for finding in self.findings:
            allowed = finding.severity is Severity.ERROR and finding not in self.plan.refusals
            yield f"  {'allowed ' if allowed else ''}{printable(str(finding))}"
        if self.skipped:
            yield f"  not rolled, paused nodes: {printable(', '.join(self.skipped))}"

    def _failed_tasks(self) -> Iterator[str]:
        if self.failures:
            yield "  failed tasks:"
        for evidence in self.failures:
            yield f"    {evidence}"
            yield from (f"      | {printable(line)}" for line in evidence.logs[-5:])
            yield from (f"      health: {printable(line)}" for line in evidence.health[-1:])

    def to_dict(self) -> dict[str, Any]:
        """
        For machines, secrets masked; ``Report.from_dict`` reads it back.

        Times are seconds since the epoch. What people look for first stands on top: ``outcome``,
        ``headline``, ``exit_code``, ``diff``.
        """
        document = to_document(self, spec=_masked, text=mask_text)
        return {
            "outcome": document.pop("outcome"),
            "headline": self.headline,
            "exit_code": self.exit_code,
            "diff": self.plan.diff.to_dict(),
            **document,
        }

    def to_json(self) -> str:
        """The same as one line of JSON."""
        return json.dumps(self.to_dict())

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Report:
        """
        Read back what ``to_dict`` gave.

        Raises:
            ValueError: It is not such a document; the message says where.
        """
        return from_document(cls, document)


def _masked(spec: ServiceSpec) -> object:
    return mask_document((), spec.to_engine())


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def make_report(
    state: State,
    *,
    evidence: Mapping[str, Evidence],
    started_at: float,
    finished_at: float,
    engine_requests: int,
    trouble: str = "",
) -> Report:
    """
    Sum up where a rollout stands.

    Args:
        evidence: What was saved, by task id; a failure without any is reported bare.
    """
    plan = state.plan
    return Report(
        outcome=outcome_of(state.phase),
        service=plan.service,
        service_id=plan.service_id,
        rollout_id=plan.id,
        baseline=plan.baseline,
        target=plan.target,
        plan=plan,
        transitions=state.transitions,
        slots=state.proofs,
        failures=tuple(
            evidence.get(failure.task_id) or Evidence.of(failure) for failure in state.failures
        ),
        findings=(*plan.findings, *state.findings),
        adopted=state.adopted,
        notes=state.notes,
        skipped=state.skipped,
        displaced=len(state.displaced),
        started_at=started_at,
        finished_at=finished_at,
        engine_requests=engine_requests,
        rolled_back_by=_rolled_back_by(state),
        reason=plan.reason,
        trouble=trouble,
        gates=state.answers,
        leaks=state.leaks,
        overruns=state.overruns,
    )


def _rolled_back_by(state: State) -> str:
    if not any(move.target is Phase.ROLLING_BACK for move in state.transitions):
        return ""
    return "engine" if state.engine_rolled_back else "swarmroll"
