"""What verdicts add up to: records, budgets, rules, and what a report tells of them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmroll.core.gate import (
    Budget,
    GateAnswer,
    GateContext,
    GateRecord,
    GateRules,
    Moment,
    NoData,
    Verdict,
    noted,
)
from swarmroll.core.snapshot import Task
from swarmroll.errors import PlanError

PASSED = Verdict.passed("fine")
FAILED = Verdict.failed("HTTP 503")
WAITING = Verdict.waiting("warming up")
NOTHING = Verdict.inconclusive("no series")
LETTERS = {"p": PASSED, "f": FAILED, "w": WAITING, "n": NOTHING}


def rules(**changes: Any) -> GateRules:
    return GateRules(**{"name": "http", **changes})


def record(history: str = "", **changes: Any) -> GateRecord:
    """What a gate has said: p(assed), f(ailed), w(aiting), n(othing to tell by)."""
    told = GateRecord(phase="holding", step=0, due=0.0)
    for letter in history:
        told = told.judged(LETTERS[letter], rules(**changes), now=10.0)
    return told


def test_a_verdict_is_not_asked_for_its_truth() -> None:
    """A failed one would be true."""
    with pytest.raises(TypeError, match=r"ask verdict\.answer"):
        bool(FAILED)


def test_an_answer_ends_the_check_and_sets_the_next() -> None:
    asked = GateRecord(phase="holding", step=1, due=3.0, asked_at=4.0)
    heard = asked.judged(WAITING, rules(interval=2.0), now=5.0)
    assert GateRecord(phase="holding", step=1, due=7.0, last=WAITING) == heard


@pytest.mark.parametrize(
    ("history", "counts"),
    [
        # checks, failed, failed in a row, passed in a row
        ("", (0, 0, 0, 0)),
        ("pp", (2, 0, 0, 2)),
        ("ppf", (3, 1, 1, 0)),
        ("ffp", (3, 2, 0, 1)),
        ("pwp", (2, 0, 0, 2)),
        ("fwf", (2, 2, 2, 0)),
    ],
)
def test_answers_are_counted(history: str, counts: tuple[int, ...]) -> None:
    told = record(history)
    assert counts == (told.checks, told.failed, told.failed_in_row, told.passed_in_row)


@pytest.mark.parametrize(
    ("policy", "counts"),
    [(NoData.FAIL, (1, 1, 0)), (NoData.HOLD, (0, 0, 0)), (NoData.PASS, (1, 0, 1))],
)
def test_no_data_counts_for_what_was_asked(policy: NoData, counts: tuple[int, ...]) -> None:
    told = record("n", no_data=policy)
    assert counts == (told.checks, told.failed, told.passed_in_row)
    assert NOTHING == told.last


@pytest.mark.parametrize(
    ("history", "passes", "expected"),
    [
        ("", 1, False),
        ("p", 1, True),
        ("p", 2, False),
        ("pp", 2, True),
        ("pfp", 2, False),
        ("pwp", 2, True),
    ],
)
def test_it_passes_after_so_many_in_a_row(history: str, passes: int, *, expected: bool) -> None:
    assert expected is record(history).passing(rules(passes=passes))


@pytest.mark.parametrize(
    ("history", "policy", "expected"),
    [
        ("pw", NoData.PASS, False),
        ("pn", NoData.HOLD, False),
        ("pn", NoData.PASS, True),
        ("pnp", NoData.HOLD, True),
    ],
)
def test_a_gate_that_says_wait_is_waited_for(
    history: str, policy: NoData, *, expected: bool
) -> None:
    """Also when it has passed before: what it saw then is not what is now."""
    told = record(history, no_data=policy)
    assert expected is told.passing(rules(no_data=policy))


@given(st.text("pfwn", max_size=30), st.sampled_from(NoData), st.integers(1, 4))
def test_whatever_it_said_the_counts_agree(history: str, policy: NoData, passes: int) -> None:
    how = rules(no_data=policy, passes=passes, budget=Budget(consecutive=None, count=0))
    told = record(history, no_data=policy)
    assert told.failed_in_row <= told.failed <= told.checks <= len(history)
    assert 0 in (told.failed_in_row, told.passed_in_row)
    assert not (told.passing(how) and history[-1] in "fw")
    assert bool(told.failure(how)) == bool(told.failed)


@pytest.mark.parametrize(
    ("history", "budget", "why"),
    [
        ("ff", Budget(), ""),
        ("fff", Budget(), "3 failed in a row"),
        ("ffpff", Budget(), ""),
        ("ffpfff", Budget(), "3 failed in a row"),
        ("f", Budget(consecutive=1), "1 failed in a row"),
        ("fff", Budget(consecutive=None), ""),
        ("f", Budget(consecutive=None, count=0), "1 checks failed (limit 0)"),
        ("fpf", Budget(consecutive=None, count=2), ""),
        ("fpfpf", Budget(consecutive=None, count=2), "3 checks failed (limit 2)"),
        ("ffff", Budget(consecutive=None, ratio=0.5), ""),
        ("ffpppp", Budget(consecutive=None, ratio=0.5), ""),
        ("ppfff", Budget(consecutive=None, ratio=0.6), ""),
        ("ppfff", Budget(consecutive=None, ratio=0.5), "3 of 5 checks failed (limit 0.5)"),
    ],
)
def test_a_budget_ends(history: str, budget: Budget, why: str) -> None:
    expected = f"gate http failed: {record(history).words} ({why})" if why else ""
    assert expected == record(history).failure(rules(budget=budget))


@pytest.mark.parametrize(
    ("history", "limit", "waited", "overdue"),
    [
        ("w", None, 1e9, False),
        ("w", 60.0, 60.0, False),
        ("w", 60.0, 60.1, True),
        ("", 60.0, 61.0, True),
        ("p", 60.0, 61.0, False),
    ],
)
def test_it_may_keep_a_rollout_waiting_for_so_long(
    history: str, limit: float | None, waited: float, *, overdue: bool
) -> None:
    told = record(history)
    expected = f"gate http did not pass within 1m: {told.words}" if overdue else ""
    assert expected == told.overdue(rules(limit=limit), waited)


@pytest.mark.parametrize(
    ("last", "words"),
    [
        (None, "no answer yet"),
        (Verdict.passed(), "passed"),
        (Verdict.failed("\x1b[1mno"), r"\x1b[1mno"),
    ],
)
def test_its_last_words_are_fit_to_be_shown(last: Verdict | None, words: str) -> None:
    assert words == GateRecord(phase="holding", step=0, due=0.0, last=last).words


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Budget(consecutive=0), "Budget.consecutive must be a whole number, at least 1"),
        (lambda: Budget(consecutive=2.5), "Budget.consecutive must be a whole number"),  # type: ignore[arg-type]
        (lambda: Budget(count=-1), "Budget.count must be a whole number, at least 0, got -1"),
        (lambda: Budget(count=True), "Budget.count must be a whole number"),
        (lambda: Budget(ratio=1.1), "Budget.ratio must be 0 to 1, got 1.1"),
        (lambda: Budget(ratio=float("nan")), "Budget.ratio must be 0 to 1, got nan"),
        (lambda: Budget(ratio="5%"), 'Budget.ratio must be 0 to 1, got "5%"'),  # type: ignore[arg-type]
        (lambda: rules(name=" "), "a gate needs a name"),
        (lambda: rules(interval=0.0), "gate http: interval must be more than 0 seconds, got 0.0"),
        (lambda: rules(timeout="5s"), 'gate http: timeout must be more than 0 seconds, got "5s"'),
        (lambda: rules(limit=-1.0), "gate http: limit must be more than 0 seconds, got -1.0"),
        (lambda: rules(passes=0), "gate http: passes must be a whole number, at least 1, got 0"),
        (lambda: rules(moments=frozenset()), "gate http is checked at no moment at all"),
    ],
)
def test_a_wrong_value_is_named(make: Any, message: str) -> None:
    with pytest.raises(PlanError) as raised:
        make()
    assert message in str(raised.value)


def test_without_a_reader_no_log_can_be_had() -> None:
    told = GateContext(
        rollout_id="r1",
        service="web",
        service_id="s1",
        moment=Moment.DURING,
        phase="updating",
        step=0,
        steps=1,
        image="app:2",
    )
    assert () == told.logs(Task(id="t1"), 10)


# --- what a report tells


def answer(verdict: Verdict, at: float, until: float, times: int, **changes: Any) -> GateAnswer:
    given = {"gate": "http", "phase": "holding", "step": 0, "answer": verdict.answer}
    stamps = {"reason": verdict.reason, "first_at": at, "last_at": until, "times": times}
    return GateAnswer(**{**given, **stamps, **changes})


def test_the_same_again_is_told_once_with_its_last_reason() -> None:
    answers = noted((), record(), "http", WAITING, at=1.0)
    later = Verdict.waiting("almost warm")
    assert (answer(later, 1.0, 2.0, 2),) == noted(answers, record(), "http", later, at=2.0)


def test_another_gate_in_between_does_not_break_a_series() -> None:
    answers = noted((), record(), "http", FAILED, at=1.0)
    answers = noted(answers, record(), "tcp", PASSED, at=2.0)
    answers = noted(answers, record(), "http", FAILED, at=3.0)
    expected = (answer(FAILED, 1.0, 3.0, 2), answer(PASSED, 2.0, 2.0, 1, gate="tcp"))
    assert expected == answers


@pytest.mark.parametrize(
    ("told", "verdict"),
    [
        (GateRecord(phase="holding", step=0, due=0.0), PASSED),
        (GateRecord(phase="holding", step=1, due=0.0), FAILED),
        (GateRecord(phase="verifying", step=0, due=0.0), FAILED),
    ],
    ids=["another answer", "another step", "another phase"],
)
def test_something_new_is_told_anew(told: GateRecord, verdict: Verdict) -> None:
    answers = noted((), record(), "http", FAILED, at=1.0)
    answers = noted(answers, told, "http", verdict, at=2.0)
    expected = answer(verdict, 2.0, 2.0, 1, phase=told.phase, step=told.step)
    assert (answer(FAILED, 1.0, 1.0, 1), expected) == answers


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (answer(FAILED, 1, 2, 3), "gate http failed (3 times) while holding: HTTP 503"),
        (answer(Verdict.passed(), 1, 1, 1), "gate http passed while holding"),
        (answer(Verdict.failed("\n"), 1, 1, 1), r"gate http failed while holding: \n"),
    ],
)
def test_an_answer_is_a_sentence(given: GateAnswer, text: str) -> None:
    assert text == str(given)


def test_of_a_gate_that_changes_its_mind_all_the_time_the_last_answers_are_kept() -> None:
    """A hold may last for days."""
    answers: tuple[GateAnswer, ...] = ()
    record = GateRecord(phase="holding", step=0, due=0.0)
    for number in range(500):
        verdict = Verdict.passed() if number % 2 else Verdict.failed(str(number))
        answers = noted(answers, record, "http", verdict, float(number))
    assert 100 == len(answers)
    assert 499.0 == answers[-1].last_at
