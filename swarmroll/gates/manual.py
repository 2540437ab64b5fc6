"""A gate that waits for a person."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from datetime import UTC, datetime

import attrs

from swarmroll.core.gate import Budget, GateContext, Moment, Verdict
from swarmroll.core.redact import shown
from swarmroll.core.units import Duration
from swarmroll.gates.base import LONGEST_QUOTE, Asked, cut, duration_of, is_text
from swarmroll.printable import printable

_Question = tuple[str, str, int]


@attrs.define
class _Desk:
    """What has been asked, and what people said."""

    lock: threading.Lock = attrs.field(factory=threading.Lock)
    asked: _Question | None = None
    early: Verdict | None = None
    said: dict[_Question, Verdict] = attrs.field(factory=dict)


@attrs.frozen(repr=False, eq=False)
class ManualGate(Asked):
    """
    Waits until somebody approves, in this process: ``gate.approve(who="ada")``, from any thread.

    Each wave and the end of the rollout ask anew. What is said before the first question answers
    that one; the last word on a question counts. A refusal fails the gate at once.

    Attributes:
        until: From the begin of the wave's hold (or of the end), how long it waits; None waits
            for ever. Nobody's word is a failure then.
        **: See ``Asked``; other defaults, since asking costs nothing, one refusal is enough, and
            nobody can approve of what is not there yet.

    Raises:
        PlanError: An argument is wrong; the message names it.
    """

    until: Duration | None = attrs.field(default=None, kw_only=True)
    interval: Duration = attrs.field(default=1.0, kw_only=True)
    budget: Budget = attrs.field(factory=lambda: Budget(consecutive=1), kw_only=True)
    limit: Duration | None = attrs.field(default=None, kw_only=True)
    moments: Iterable[Moment | str] = attrs.field(
        default=frozenset({Moment.BETWEEN, Moment.AT_END}), kw_only=True
    )
    _seconds: float | None = attrs.field(init=False)
    _desk: _Desk = attrs.field(init=False, factory=_Desk)

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        what = f"gate {self.name}: until"
        object.__setattr__(
            self, "_seconds", None if self.until is None else duration_of(self.until, what)
        )

    def approve(self, who: str, note: str = "", *, step: int | None = None) -> None:
        """
        Let the rollout go on.

        Args:
            who: Stands in the report.
            note: The same.
            step: The step that is meant, where several people may approve: the second word on a
                wave must not let the next one through unseen.

        Raises:
            ValueError: Nobody is named, or another step is asked about now.
        """
        self._say(Verdict.passed(_sentence("approved", who, note)), step)

    def refuse(self, who: str, reason: str = "", *, step: int | None = None) -> None:
        """
        Fail the gate.

        Args:
            who: Stands in the report.
            reason: The same.
            step: As for ``approve``.

        Raises:
            ValueError: Nobody is named, or another step is asked about now.
        """
        self._say(Verdict.failed(_sentence("refused", who, reason)), step)

    def check(self, context: GateContext) -> Verdict:
        """See whether somebody has said something."""
        desk, question = self._desk, (context.rollout_id, context.phase, context.step)
        with desk.lock:
            desk.asked = question
            if desk.early is not None:
                desk.said[question], desk.early = desk.early, None
            said = desk.said.get(question)
        if said is not None:
            return said
        if self._seconds is None:
            return Verdict.waiting("waits for somebody's approval")
        ends = context.since + self._seconds
        until = datetime.fromtimestamp(ends, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        if context.now >= ends:
            return Verdict.failed(f"nobody approved until {until}")
        return Verdict.waiting(f"waits for somebody's approval until {until}")

    def _own_name(self) -> str:
        return "approval"

    def _say(self, verdict: Verdict, step: int | None) -> None:
        desk = self._desk
        with desk.lock:
            if step is not None and (desk.asked is None or desk.asked[2] != step):
                now = "nothing" if desk.asked is None else f"step {desk.asked[2]}"
                raise ValueError(f"step {step} is not asked about now; {now} is")
            if desk.asked is None:
                desk.early = verdict
            else:
                desk.said[desk.asked] = verdict


def _sentence(what: str, who: str, words: str) -> str:
    if not is_text(who):
        raise ValueError(f"who has {what}? A name is wanted, got {shown(who)}")
    name = cut(printable(who.strip()), 100)
    return f"{what} by {name}" + (f": {cut(printable(words), LONGEST_QUOTE)}" if words else "")
