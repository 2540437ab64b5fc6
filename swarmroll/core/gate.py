"""Gates: checks that must pass before a rollout goes on, and what their verdicts add up to."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

import attrs

from swarmroll.core.redact import shown
from swarmroll.core.snapshot import Node, Task
from swarmroll.core.units import duration_text
from swarmroll.errors import PlanError
from swarmroll.printable import printable


class Answer(enum.StrEnum):
    """
    What one check says.

    PASSED and FAILED: it could tell. WAITING: it cannot tell yet, which counts for nothing.
    INCONCLUSIVE: it cannot tell, for want of data; the gate's rules say what that counts for.
    """

    PASSED = "passed"
    FAILED = "failed"
    WAITING = "waiting"
    INCONCLUSIVE = "inconclusive"


@attrs.frozen
class Verdict:
    """What one check of a gate says, and why: a sentence, to be shown to people."""

    answer: Answer
    reason: str = ""

    def __bool__(self) -> bool:
        raise TypeError("a verdict is more than true or false: ask verdict.answer")

    @classmethod
    def passed(cls, reason: str = "") -> Verdict:
        """All is well."""
        return cls(Answer.PASSED, reason)

    @classmethod
    def failed(cls, reason: str) -> Verdict:
        """It is not."""
        return cls(Answer.FAILED, reason)

    @classmethod
    def waiting(cls, reason: str) -> Verdict:
        """It is too early to tell."""
        return cls(Answer.WAITING, reason)

    @classmethod
    def inconclusive(cls, reason: str) -> Verdict:
        """There is nothing to tell it by: no data, nobody to ask."""
        return cls(Answer.INCONCLUSIVE, reason)


class Moment(enum.StrEnum):
    """
    When a gate is checked.

    DURING: while the engine replaces tasks, from the first new task that runs; only a failed
    gate matters then. BETWEEN: while a wave holds; it must pass before the next. AT_END: while
    every slot is proven; it must pass before the rollout is completed.
    """

    DURING = "during"
    BETWEEN = "between"
    AT_END = "at_end"


class NoData(enum.StrEnum):
    """What an inconclusive check counts for: a failed one, nothing yet, or a passed one."""

    FAIL = "fail"
    HOLD = "hold"
    PASS = "pass"


ANSWERS_KEPT = 100
"""A gate that says now this, now that, for days, must not fill the record."""

RATIO_FROM = 5
"""Checks from which on a share of failed ones says something."""


@attrs.frozen(kw_only=True)
class Budget:
    """
    How many checks may fail; what is None is not asked.

    Attributes:
        consecutive: So many failed checks in a row fail the gate.
        count: More failed checks than this fail it.
        ratio: A greater share of failed checks than this, 0 to 1, fails it, from the fifth
            check on.

    Raises:
        PlanError: A value out of its range; the message names it.
    """

    consecutive: int | None = 3
    count: int | None = None
    ratio: float | None = None

    def __attrs_post_init__(self) -> None:
        if self.consecutive is not None:
            _check_whole("Budget.consecutive", self.consecutive, 1)
        if self.count is not None:
            _check_whole("Budget.count", self.count, 0)
        if self.ratio is not None and not (_is_number(self.ratio) and 0 <= self.ratio <= 1):
            raise PlanError(f"Budget.ratio must be 0 to 1, got {shown(self.ratio)}")

    def exceeded(self, record: GateRecord) -> str:
        """Why too much has failed, in a few words; empty if it has not."""
        if self.consecutive is not None and record.failed_in_row >= self.consecutive:
            return f"{record.failed_in_row} failed in a row"
        if self.count is not None and record.failed > self.count:
            return f"{record.failed} checks failed (limit {self.count})"
        if self.ratio is None or record.checks < RATIO_FROM:
            return ""
        if record.failed / record.checks <= self.ratio:
            return ""
        return f"{record.failed} of {record.checks} checks failed (limit {self.ratio:g})"


def _as_frozenset(moments: Iterable[Moment]) -> frozenset[Moment]:
    return frozenset(moments)


@attrs.frozen(kw_only=True)
class GateRules:
    """
    How a gate is asked, and what its answers count for.

    Attributes:
        name: What it is called in plans, reports and logs; one of a kind in a rollout.
        interval: Seconds from one answer to the next check.
        timeout: Seconds that a check may take; one that takes longer has failed.
        passes: Checks in a row that must pass.
        budget: How many may fail.
        limit: Seconds that it may keep a rollout from going on before that is a failure; None
            waits for ever. The time of a hold, or of a bake, does not count.
        no_data: What an inconclusive check counts for.
        moments: When it is checked.

    Raises:
        PlanError: A value out of its range; the message names the gate and the value.
    """

    name: str
    interval: float = 5.0
    timeout: float = 10.0
    passes: int = 1
    budget: Budget = attrs.field(factory=Budget)
    limit: float | None = 600.0
    no_data: NoData = NoData.FAIL
    moments: frozenset[Moment] = attrs.field(default=frozenset(Moment), converter=_as_frozenset)

    def __attrs_post_init__(self) -> None:
        if not self.name.strip():
            raise PlanError("a gate needs a name")
        for field in ("interval", "timeout", "limit"):
            value = getattr(self, field)
            if value is not None and not (_is_number(value) and value > 0):
                raise PlanError(
                    f"gate {self.name}: {field} must be more than 0 seconds, got {shown(value)}"
                )
        _check_whole(f"gate {self.name}: passes", self.passes, 1)
        if not self.moments:
            raise PlanError(f"gate {self.name} is checked at no moment at all")

    def counts_as(self, answer: Answer) -> Answer:
        """What an answer counts for; WAITING is nothing."""
        if answer is not Answer.INCONCLUSIVE:
            return answer
        counted = {
            NoData.FAIL: Answer.FAILED,
            NoData.HOLD: Answer.WAITING,
            NoData.PASS: Answer.PASSED,
        }
        return counted[self.no_data]


@attrs.frozen(kw_only=True)
class GateRecord:
    """
    What a gate has said so far, at one moment of a rollout.

    Attributes:
        phase: The phase in which it was said, with ``step``: another one begins anew.
        checks: Answers that counted; ``failed`` of them failed.
        due: Driver's monotonic clock, seconds: the next check.
        asked_at: When the check under way was asked for; None when there is none.
        last: The last answer.
    """

    phase: str
    step: int
    due: float
    checks: int = 0
    failed: int = 0
    failed_in_row: int = 0
    passed_in_row: int = 0
    asked_at: float | None = None
    last: Verdict | None = None

    def judged(self, verdict: Verdict, rules: GateRules, now: float) -> GateRecord:
        """The record with one more answer."""
        heard = attrs.evolve(self, last=verdict, asked_at=None, due=now + rules.interval)
        match rules.counts_as(verdict.answer):
            case Answer.PASSED:
                return attrs.evolve(
                    heard,
                    checks=self.checks + 1,
                    failed_in_row=0,
                    passed_in_row=self.passed_in_row + 1,
                )
            case Answer.FAILED:
                return attrs.evolve(
                    heard,
                    checks=self.checks + 1,
                    failed=self.failed + 1,
                    failed_in_row=self.failed_in_row + 1,
                    passed_in_row=0,
                )
            case _:
                return heard

    def passing(self, rules: GateRules) -> bool:
        """Whether it would let the rollout go on now: its last word must not be to wait."""
        if self.last is None or rules.counts_as(self.last.answer) is not Answer.PASSED:
            return False
        return self.passed_in_row >= rules.passes

    def failure(self, rules: GateRules) -> str:
        """Why it stops the rollout, a sentence; empty if it does not."""
        why = rules.budget.exceeded(self)
        return f"gate {rules.name} failed: {self.words} ({why})" if why else ""

    def overdue(self, rules: GateRules, waited: float) -> str:
        """Why it has kept the rollout waiting for too long, a sentence; empty if it has not."""
        if rules.limit is None or waited <= rules.limit or self.passing(rules):
            return ""
        return f"gate {rules.name} did not pass within {duration_text(rules.limit)}: {self.words}"

    @property
    def words(self) -> str:
        """Its last answer, for people."""
        if self.last is None:
            return "no answer yet"
        return printable(self.last.reason) or self.last.answer.value


@attrs.frozen(kw_only=True)
class GateContext:
    """
    What a gate is told of the rollout that it is asked about.

    Attributes:
        rollout_id: Which rollout.
        service: Name of its service.
        moment: Why it is asked.
        phase: Where the rollout stands.
        step: Which of its steps, from 0 on, out of ``steps``.
        image: The image that is being rolled out.
        tasks: The tasks of the release that should run, as last seen.
        nodes: The nodes as last seen, by id.
        slots: How many slots the service has.
        since: Wall clock, seconds since the epoch: the begin of the phase.
        now: Wall clock, seconds since the epoch.
        logs: Reads the last lines of a task's log: the task, and how many; empty where they
            cannot be had.
    """

    rollout_id: str
    service: str
    service_id: str
    moment: Moment
    phase: str
    step: int
    steps: int
    image: str
    tasks: tuple[Task, ...] = ()
    nodes: Mapping[str, Node] = attrs.field(factory=dict)
    slots: int = 0
    since: float = 0.0
    now: float = 0.0
    logs: Callable[[Task, int], tuple[str, ...]] = attrs.field(
        default=lambda _task, _lines: (), eq=False, repr=False
    )


class Gate(Protocol):
    """A check of something outside of the swarm. What it raises, or never says, is a failure."""

    @property
    def name(self) -> str:
        """See ``GateRules``."""

    @property
    def rules(self) -> GateRules:
        """How it is asked."""

    def check(self, context: GateContext) -> Verdict:
        """
        Look once, in a thread of the gate's own.

        Should not take longer than ``rules.timeout``; nobody waits for it longer than that.
        """


@attrs.frozen(kw_only=True)
class GateAnswer:
    """
    What a gate has said, for the report: the same again and again is told once.

    Attributes:
        phase: Where the rollout stood, with ``step``.
        first_at: Driver's wall clock, seconds since the epoch; ``last_at`` the same.
        times: How often.
    """

    gate: str
    phase: str
    step: int
    answer: Answer
    reason: str
    first_at: float
    last_at: float
    times: int = 1

    def __str__(self) -> str:
        often = f" ({self.times} times)" if self.times > 1 else ""
        reason = f": {printable(self.reason)}" if self.reason else ""
        return f"gate {printable(self.gate)} {self.answer}{often} while {self.phase}{reason}"


def noted(
    answers: tuple[GateAnswer, ...], record: GateRecord, name: str, verdict: Verdict, at: float
) -> tuple[GateAnswer, ...]:
    """The answers with one more; the same as the gate's last one counts it up. The last 100."""
    for index in range(len(answers) - 1, -1, -1):
        last = answers[index]
        if last.gate == name:
            same = (last.phase, last.step, last.answer) == (
                record.phase,
                record.step,
                verdict.answer,
            )
            if not same:
                break
            again = attrs.evolve(last, reason=verdict.reason, last_at=at, times=last.times + 1)
            return (*answers[:index], again, *answers[index + 1 :])
    new = GateAnswer(
        gate=name,
        phase=record.phase,
        step=record.step,
        answer=verdict.answer,
        reason=verdict.reason,
        first_at=at,
        last_at=at,
    )
    return (*answers, new)[-ANSWERS_KEPT:]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _check_whole(what: str, value: object, least: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise PlanError(f"{what} must be a whole number, at least {least}, got {shown(value)}")
