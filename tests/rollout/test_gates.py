"""Gates: what must pass before a rollout goes on, and what becomes of it when it does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from swarmroll import Canary, PlanError, Rolling, Step
from swarmroll.core.events import Event, GateJudged
from swarmroll.core.gate import Budget, GateContext, GateRules, Moment, NoData, Verdict
from swarmroll.core.state import State
from swarmroll.sim import SimSwarm

from .conftest import Story, phases, why

ONE_THEN_ALL = Canary(steps=[Step(tasks=1, hold=10)])


class Scripted:
    """
    A gate that says what it is told to, and keeps what it was asked.

    Attributes:
        asked: Every context that it was asked with.
    """

    def __init__(self, say: Callable[[GateContext], Verdict], **rules: Any) -> None:
        self._say = say
        self.name = rules.setdefault("name", "scripted")
        self.rules = GateRules(**rules)
        self.asked: list[GateContext] = []

    def check(self, context: GateContext) -> Verdict:
        self.asked.append(context)
        return self._say(context)

    def moments(self) -> set[Moment]:
        return {context.moment for context in self.asked}


def passes(_: GateContext) -> Verdict:
    return Verdict.passed("all is well")


def fails_in(moment: Moment) -> Callable[[GateContext], Verdict]:
    """Passes but in one moment."""
    return lambda context: (
        Verdict.failed("too many errors") if context.moment is moment else Verdict.passed()
    )


# --- passing


def test_a_release_whose_gates_pass_is_completed(web: Story) -> None:
    """They were asked while it moved, before the next wave, and at the end."""
    web.service(3)
    gate = Scripted(passes)
    report = web.roll(strategy=ONE_THEN_ALL, gates=[gate])
    assert "completed" == report.outcome
    assert set(Moment) == gate.moments()
    assert "every gate passed" in why(report, "finalizing")
    assert {"scripted"} == {answer.gate for answer in report.gates}
    assert "gate scripted passed" in str(report)


def test_a_gate_is_told_what_it_is_asked_about(web: Story) -> None:
    """The tasks of the release, where they run, the image, and the step."""
    web.service(3)
    gate = Scripted(passes)
    web.roll(strategy=ONE_THEN_ALL, gates=[gate])
    first = next(c for c in gate.asked if c.moment is Moment.BETWEEN)
    assert ("web", "app:2", 0, 2, 3) == (
        first.service,
        first.image,
        first.step,
        first.steps,
        first.slots,
    )
    (task,) = first.tasks
    assert first.nodes[task.node_id].hostname
    last = gate.asked[-1]
    assert 3 == len(last.tasks)
    assert last.now >= last.since


def test_a_gate_reads_the_log_of_a_task(sim: SimSwarm, web: Story) -> None:
    """Through the engine; it needs no connection of its own."""
    sim.image("app:2", logs=("listening",))
    web.service(2)
    read: list[str] = []

    def listens(context: GateContext) -> bool:
        read.extend(line for task in context.tasks for line in context.logs(task, 5))
        return True

    web.roll(gates=[listens])
    assert "listening" in set(read)


def test_no_gate_is_asked_before_something_of_the_release_runs(sim: SimSwarm, web: Story) -> None:
    """There would be nothing to judge."""
    sim.image("app:2", starts_in=30.0)
    web.service(2)
    gate = Scripted(passes)
    web.roll(gates=[gate])
    assert all(context.tasks for context in gate.asked)


def test_a_gate_must_pass_so_often_in_a_row(sim: SimSwarm, web: Story) -> None:
    """Three times, ten seconds apart."""
    web.service(1)
    gate = Scripted(passes, passes=3, interval=10.0, moments={Moment.AT_END})
    begun = sim.now
    assert "completed" == web.roll(gates=[gate]).outcome
    assert 3 == len(gate.asked)
    assert sim.now - begun >= 20


def test_a_gate_that_waits_is_waited_for(sim: SimSwarm, web: Story) -> None:
    """Warming up is no failure."""
    web.service(2)
    ready = sim.now + 100

    def warm(_: GateContext) -> Verdict:
        return Verdict.passed() if sim.now > ready else Verdict.waiting("warming up")

    assert "completed" == web.roll(gates=[Scripted(warm)]).outcome
    assert sim.now > ready


def test_one_failed_check_is_forgiven(web: Story) -> None:
    """A budget of three in a row."""
    web.service(2)
    answers = iter([False, False])
    assert "completed" == web.roll(gates=[lambda _: next(answers, True)]).outcome


def test_a_service_that_does_not_change_is_not_asked_about(web: Story) -> None:
    """Nothing is released."""
    web.service(2)
    gate = Scripted(passes)
    assert "unchanged" == web.roll(image="app:1", gates=[gate]).outcome
    assert [] == gate.asked


# --- failing


@pytest.mark.parametrize(
    ("moment", "phase"),
    [
        (Moment.DURING, "updating"),
        (Moment.BETWEEN, "holding"),
        (Moment.AT_END, "verifying"),
    ],
)
def test_a_gate_that_fails_takes_the_release_back(
    sim: SimSwarm, web: Story, moment: Moment, phase: str
) -> None:
    """From wherever it stands; the reason names the gate and its words."""
    sim.image("app:2", starts_in=6.0)
    web.service(4)
    gate = Scripted(fails_in(moment), interval=1.0)
    report = web.roll(strategy=ONE_THEN_ALL, gates=[gate])
    assert ("rolled_back", "swarmroll") == (report.outcome, report.rolled_back_by)
    (turned,) = [move for move in report.transitions if move.target == "rolling_back"]
    assert (phase, "gate_failed") == (turned.source, turned.trigger)
    assert "gate scripted failed: too many errors (3 failed in a row)" == turned.reason
    assert "too many errors" in report.headline
    assert ["app:1"] * 4 == web.running()


def test_with_the_policy_to_pause_it_stands_still_and_asks_anew(web: Story) -> None:
    """Resumed, the gate is asked again, from the beginning."""
    web.service(3)
    well = False

    def healthy(_: GateContext) -> bool:
        return well

    plan = web.swarm.plan(
        "web",
        image="app:2",
        gates=[Scripted(lambda c: Verdict.passed() if healthy(c) else Verdict.failed("sick"))],
        on_failure="pause",
    )
    rollout = web.swarm.start(plan)
    report = rollout.wait(30, check=False)
    assert "paused" == report.outcome
    assert "gate scripted failed: sick" in report.headline
    well = True
    assert "completed" == rollout.resume().wait(30, check=False).outcome


def test_a_gate_that_hangs_has_failed(sim: SimSwarm, web: Story) -> None:
    """After its time-out, again and again."""
    web.service(1)

    def hangs(_: GateContext) -> Verdict:
        sim.run(60)
        return Verdict.passed()

    report = web.roll(gates=[Scripted(hangs, timeout=5.0)])
    assert "rolled_back" == report.outcome
    assert "did not answer within 5s" in report.headline


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda _: 1 / 0, "ZeroDivisionError"),
        (lambda _: "fine", "str"),
        (lambda _: None, "NoneType"),
    ],
    ids=["raises", "says a word", "says nothing"],
)
def test_a_gate_that_raises_or_talks_nonsense_has_failed(
    web: Story, function: Any, words: str
) -> None:
    """With the reason."""
    web.service(1)
    report = web.roll(gates=[function])
    assert "rolled_back" == report.outcome
    assert words in report.headline


def test_a_gate_that_never_passes_is_a_failure_in_the_end(sim: SimSwarm, web: Story) -> None:
    """It may keep the rollout for its limit, and not longer; a hold does not count."""
    web.service(2)
    begun = sim.now
    report = web.roll(
        strategy=ONE_THEN_ALL,
        gates=[Scripted(lambda _: Verdict.waiting("no traffic yet"), limit=60.0)],
    )
    assert "rolled_back" == report.outcome
    assert "gate scripted did not pass within 1m: no traffic yet" in report.headline
    assert 70 < sim.now - begun < 120


@pytest.mark.parametrize(
    ("no_data", "outcome"),
    [(NoData.FAIL, "rolled_back"), (NoData.PASS, "completed"), (NoData.HOLD, "rolled_back")],
)
def test_no_data_counts_for_what_was_asked(
    sim: SimSwarm, web: Story, no_data: NoData, outcome: str
) -> None:
    """Held, it is the limit that ends it."""
    web.service(1)
    begun = sim.now
    report = web.roll(
        gates=[Scripted(lambda _: Verdict.inconclusive("empty"), no_data=no_data, limit=100.0)]
    )
    assert outcome == report.outcome
    assert (sim.now - begun > 100) == (no_data is NoData.HOLD)


def test_a_share_of_failed_checks_is_a_budget_too(web: Story) -> None:
    """Every third check fails: never three in a row, but too many."""
    web.service(1)
    answers = iter([True, True, False] * 100)
    gate = Scripted(
        lambda _: Verdict.passed() if next(answers) else Verdict.failed("slow"),
        budget=Budget(consecutive=None, ratio=0.1),
        interval=1.0,
    )
    report = web.roll(strategy=Rolling(bake="1m"), gates=[gate])
    assert "rolled_back" == report.outcome
    assert "checks failed (limit 0.1)" in report.headline


def test_an_answer_to_a_question_of_an_earlier_phase_counts_for_nothing(web: Story) -> None:
    """It was about something else."""
    web.service(1)
    plan = web.swarm.plan("web", image="app:2", gates=[Scripted(passes)])
    state = State(plan=plan)
    assert state is state.heard("scripted", Verdict.failed("late"), now=1.0, wall=1.0)


def test_promote_goes_on_whatever_the_gates_say(sim: SimSwarm, web: Story) -> None:
    """A person has looked."""
    web.service(2)
    gate = Scripted(
        lambda _: Verdict.waiting("nobody has approved"), moments={Moment.BETWEEN}, limit=None
    )
    with web.starting(strategy=ONE_THEN_ALL, gates=[gate]) as rollout:
        sim.at(lambda: rollout.phase == "holding", lambda: sim.after(100, rollout.promote))
    report = rollout.wait(30, check=False)
    assert "completed" == report.outcome
    assert "promoted" in [move.trigger for move in report.transitions]


def test_a_hold_without_an_end_is_not_ended_by_a_gates_limit(sim: SimSwarm, web: Story) -> None:
    """Somebody is waited for anyway."""
    web.service(2)
    gate = Scripted(lambda _: Verdict.waiting("?"), moments={Moment.BETWEEN}, limit=5.0)
    canary = Canary(steps=[Step(tasks=1, hold=None)])
    with web.starting(strategy=canary, gates=[gate]) as rollout:
        sim.at(lambda: rollout.phase == "holding", lambda: sim.after(600, rollout.promote))
    assert "completed" == rollout.wait(30, check=False).outcome


# --- telling


def test_every_answer_is_an_event(web: Story) -> None:
    """The same once more too."""
    web.service(1)
    told: list[Event] = []
    gate = Scripted(passes, passes=3, moments={Moment.AT_END})
    web.roll(gates=[gate], observers=[told.append])
    answers = [event.answer for event in told if isinstance(event, GateJudged)]
    assert [1, 2, 3] == [answer.times for answer in answers]


def test_secrets_of_the_spec_are_not_quoted(web: Story) -> None:
    """Whatever a gate says."""
    web.service(1)
    report = web.roll(
        lambda spec: spec.with_env(DB_PASSWORD="hunter2hunter2"),
        gates=[Scripted(lambda _: Verdict.failed("login with hunter2hunter2 refused"))],
    )
    assert "rolled_back" == report.outcome
    assert "refused" in report.headline
    assert "hunter2hunter2" not in f"{report}{report.to_json()}{report.gates}"


# --- plans


def test_the_plan_names_its_gates(web: Story) -> None:
    """When each is asked, how often, and how long it may take."""
    web.service(2)
    gate = Scripted(passes, moments={Moment.AT_END, Moment.BETWEEN})
    plan = web.swarm.plan("web", image="app:2", gates=[gate])
    assert "gate scripted: at end, between; every 5s, limit 10m" in str(plan)
    assert ["scripted"] == plan.to_dict()["gates"]


def test_two_gates_of_one_name_are_refused(web: Story) -> None:
    """Nobody could tell them apart."""
    web.service(2)
    with pytest.raises(PlanError, match="two gates are called scripted"):
        web.roll(gates=[Scripted(passes), Scripted(passes)])
    assert 0 == web.writes()


@pytest.mark.parametrize("thing", ["http://here", 7, None, Scripted])
def test_what_is_no_gate_is_refused(web: Story, thing: Any) -> None:
    """Before anything is written."""
    web.service(2)
    with pytest.raises(PlanError, match="gate"):
        web.roll(gates=[thing])
    assert 0 == web.writes()


def test_a_plan_can_be_started_elsewhere_with_its_gates(web: Story) -> None:
    """A plan is a value: it knows its gates by name only."""
    web.service(2)
    gate = Scripted(passes)
    plan = web.swarm.plan("web", image="app:2", gates=[gate])
    elsewhere = web.connect()
    with pytest.raises(PlanError, match="'scripted'"):
        elsewhere.start(plan)
    report = elsewhere.start(plan, gates=[gate]).wait(30)
    assert "completed" == report.outcome
    assert gate.asked


def test_gates_are_forgotten_of_plans_that_nobody_starts(web: Story) -> None:
    """A platform plans all day long."""
    web.service(2)
    gate = Scripted(passes)
    first = web.swarm.plan("web", image="app:2", gates=[gate])
    for _ in range(100):
        web.swarm.plan("web", image="app:2", gates=[gate])
    with pytest.raises(PlanError, match="nothing here to check it with"):
        web.swarm.start(first)


def test_phases_are_those_of_any_rollout(web: Story) -> None:
    """Gates add no phase to a rolling update."""
    web.service(2)
    report = web.roll(gates=[passes])
    assert ["preparing", "updating", "verifying", "finalizing", "completed"] == phases(report)
