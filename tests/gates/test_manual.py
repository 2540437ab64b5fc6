"""ManualGate: who said what, to which question, and until when."""

from __future__ import annotations

import pytest

from swarmroll import Answer, Budget, ManualGate, Moment, PlanError, Verdict
from tests.gates.contexts import context

NEW_YEAR = 1_767_225_600.0


def test_it_waits() -> None:
    assert Verdict.waiting("waits for somebody's approval") == ManualGate().check(context())


def test_an_approval_passes_with_its_name() -> None:
    gate = ManualGate()
    gate.check(context())
    gate.approve(who="ada", note="looks good")
    assert Verdict.passed("approved by ada: looks good") == gate.check(context())
    assert Verdict.passed("approved by ada: looks good") == gate.check(context())


def test_a_refusal_fails_at_once_with_its_name() -> None:
    gate = ManualGate()
    gate.check(context())
    gate.refuse(who="ada", reason="errors in the shop")
    assert Verdict.failed("refused by ada: errors in the shop") == gate.check(context())
    assert Budget(consecutive=1) == gate.rules.budget


def test_the_last_word_counts() -> None:
    gate = ManualGate()
    gate.check(context())
    gate.approve(who="ada")
    gate.refuse(who="bob")
    assert Verdict.failed("refused by bob") == gate.check(context())


@pytest.mark.parametrize("changed", [{"step": 1}, {"phase": "verifying"}, {"rollout_id": "r2"}])
def test_the_next_question_is_asked_anew(changed: dict[str, object]) -> None:
    gate = ManualGate()
    gate.approve(who="ada")
    assert Answer.PASSED == gate.check(context()).answer
    assert Answer.WAITING == gate.check(context(**changed)).answer
    gate.approve(who="bob")
    assert Verdict.passed("approved by bob") == gate.check(context(**changed))


def test_a_second_word_on_a_wave_does_not_let_the_next_one_through() -> None:
    """Two people hear of the first wave, and both approve of it."""
    gate = ManualGate()
    with pytest.raises(ValueError, match="step 0 is not asked about now; nothing is"):
        gate.approve(who="ada", step=0)
    gate.check(context(step=0))
    gate.approve(who="ada", step=0)
    gate.check(context(step=1))
    with pytest.raises(ValueError, match="step 0 is not asked about now; step 1 is"):
        gate.approve(who="bob", step=0)
    assert Answer.WAITING == gate.check(context(step=1)).answer
    gate.refuse(who="bob", step=1)
    assert Verdict.failed("refused by bob") == gate.check(context(step=1))


def test_until_when_is_told_and_kept() -> None:
    gate = ManualGate(until="1h")
    told = gate.check(context(since=NEW_YEAR, now=NEW_YEAR + 3599))
    assert Verdict.waiting("waits for somebody's approval until 2026-01-01 01:00:00 UTC") == told
    told = gate.check(context(since=NEW_YEAR, now=NEW_YEAR + 3600))
    assert Verdict.failed("nobody approved until 2026-01-01 01:00:00 UTC") == told


def test_an_approval_in_time_stays_one() -> None:
    gate = ManualGate(until="1h")
    gate.approve(who="ada")
    assert Answer.PASSED == gate.check(context(since=NEW_YEAR, now=NEW_YEAR)).answer
    assert Answer.PASSED == gate.check(context(since=NEW_YEAR, now=NEW_YEAR + 9999)).answer


def test_it_asks_between_waves_and_at_the_end() -> None:
    rules = ManualGate().rules
    assert frozenset({Moment.BETWEEN, Moment.AT_END}) == rules.moments
    assert rules.limit is None


@pytest.mark.parametrize("who", ["", "  ", None])
def test_somebody_has_to_be_named(who: str) -> None:
    with pytest.raises(ValueError, match=r"who has approved\? A name is wanted"):
        ManualGate().approve(who=who)


def test_names_and_notes_have_no_power_over_a_terminal() -> None:
    gate = ManualGate()
    gate.approve(who="ada\x1b[2J", note="\nok")
    assert Verdict.passed(r"approved by ada\x1b[2J: \nok") == gate.check(context())


def test_a_wrong_until_is_named() -> None:
    with pytest.raises(PlanError, match="gate approval: until must say its unit"):
        ManualGate(until="5")
