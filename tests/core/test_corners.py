"""Rare turns of a rollout, look by look: what a living swarm seldom shows."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from swarmroll.core.phases import Phase
from swarmroll.core.plan import Policy, baseline_of
from swarmroll.core.snapshot import Depth, Task, TaskState, UpdateState, UpdateStatus
from swarmroll.core.spec import ServiceSpec
from swarmroll.core.state import Ask, Purpose, Sent, State
from swarmroll.core.strategy import PlanStep, Rolling

from .histories import Driver, look, nodes, plan_for, running, service, spec, task

OLD = spec("app:1", 2)
NEW = spec("app:2", 2)


def status(state: UpdateState, message: str = "") -> UpdateStatus:
    return UpdateStatus(state=state, message=message, started_at=5.0)


def driver(live: ServiceSpec = OLD, target: ServiceSpec = NEW) -> Driver:
    """One whose first step is written and stored, at 1 s, as version 11."""
    made = Driver(State(plan=plan_for(live, target)))
    made.see(look(live, at=1.0, tasks=running(live)))
    assert made.phase == "updating"
    made.store(at=1.1, version=11, depth=Depth.SERVICE)
    return made


def stored(made: Driver) -> ServiceSpec:
    return made.written[-1].spec


# --- before the first write


def test_a_service_with_a_slot_in_flight_is_waited_for() -> None:
    """Two tasks in one slot: somebody's start-first replacement is half-way."""
    made = Driver(State(plan=plan_for(OLD, NEW, policy=Policy(deadline=60))))
    two = (*running(OLD), task("extra", 1, OLD))
    decision = made.see(look(OLD, at=1.0, tasks=two))
    assert made.phase == "preparing"
    assert decision.look is not None
    made.see(look(OLD, at=30.0, tasks=two))
    assert made.phase == "preparing"
    made.see(look(OLD, at=70.0, tasks=two))
    assert made.phase == "refused"
    assert "slots 1 of web have two tasks each" in made.state.transitions[-1].reason
    assert made.written == []


def test_a_driver_that_died_before_it_sent_finds_out() -> None:
    """An intent that nobody knows the fate of is looked at, and sent with the same version."""
    made = Driver(State(plan=plan_for(OLD, NEW)))
    made.see(look(OLD, at=1.0, tasks=running(OLD)), answer=Sent.NOT_YET)
    made.see(look(OLD, at=2.0, depth=Depth.SERVICE))
    first, second = made.written
    assert (first.spec, first.version) == (second.spec, second.version)


def test_an_older_answer_is_not_believed() -> None:
    """A manager that lags behind shows a version that is past."""
    made = driver()
    before = made.state
    made.see(look(OLD, at=2.0, version=10, tasks=running(OLD)))
    assert made.state == before


def test_an_accepted_write_that_is_not_shown_yet_is_waited_for() -> None:
    """It is not sent again."""
    plan = plan_for(OLD, NEW)
    made = Driver(State(plan=plan))
    made.see(look(OLD, at=1.0, tasks=running(OLD)))
    made.see(look(OLD, at=1.2, depth=Depth.SERVICE))
    assert len(made.written) == 1
    assert made.state.intent is not None


def test_a_lost_write_over_which_somebody_wrote_ends_the_rollout() -> None:
    """Nobody knows whether it was stored before."""
    made = Driver(State(plan=plan_for(OLD, NEW)))
    made.see(look(OLD, at=1.0, tasks=running(OLD)), answer=Sent.LOST)
    made.see(look(OLD.with_label("a", "b"), at=2.0, version=12, depth=Depth.SERVICE))
    assert made.phase == "superseded"
    assert len(made.written) == 1


def test_a_second_step_that_the_engine_refuses_is_a_failure() -> None:
    """Something is written already, so there is something to undo."""
    up = spec("app:1", 2)
    made = driver(up, spec("app:2", 3))
    tasks = running(stored(made))
    made.see(look(stored(made), at=2.0, version=11, tasks=tasks))
    made.see(look(stored(made), at=20.0, version=11, tasks=tasks), answer=Sent.REFUSED, words="no")
    assert made.written[-1].purpose is Purpose.STEP
    made.see(look(made.written[0].spec, at=21.0, version=11, tasks=tasks))
    assert made.phase == "rolling_back"
    assert "the engine refused the spec: no" in made.state.transitions[-1].reason


# --- while the engine is at work


def test_the_engine_asked_to_stand_still_may_pause_by_itself() -> None:
    """For a displaced task, while a person wants a pause: then it stands still."""
    made = driver()
    here = running(stored(made), "n")
    made.state = made.state.asking(Ask.PAUSE)
    at_work = status(UpdateState.UPDATING)
    made.see(look(stored(made), at=2.0, version=12, update_status=at_work, depth=Depth.SERVICE))
    gone = (attrs.evolve(here[0], state=TaskState.SHUTDOWN, desired=TaskState.SHUTDOWN), here[1])
    stopped = status(UpdateState.PAUSED, "update paused due to task n1")
    made.see(look(stored(made), at=3.0, version=13, tasks=gone, update_status=stopped))
    assert made.phase == "paused"
    assert made.state.transitions[-1].reason == "asked to pause"


def test_the_engine_is_not_told_to_go_on_while_a_new_task_comes_up() -> None:
    """Going on would stop the old task of that slot at once (F 1.12)."""
    made = driver()
    gone = task("n1", 1, stored(made), TaskState.SHUTDOWN, desired=TaskState.SHUTDOWN)
    old = task("t2", 2, OLD)
    coming = task("n2", 2, stored(made), TaskState.STARTING, created_at=5.0)
    stopped = status(UpdateState.PAUSED, "update paused due to task n1")
    new = frozenset({"n1", "n2"})
    half = (gone, old, coming)
    seen: dict[str, Any] = {"version": 13, "update_status": stopped, "up_to_date": new}
    made.see(look(stored(made), at=3.0, tasks=half, **seen))
    assert len(made.written) == 1
    up = (gone, old, attrs.evolve(coming, state=TaskState.RUNNING))
    made.see(look(stored(made), at=4.0, tasks=up, **seen))
    assert len(made.written) == 2
    assert "told to go on" in made.state.notes[-1]


def test_all_tasks_are_looked_at_before_the_engine_is_told_to_go_on() -> None:
    """A look at the new tasks alone does not show whether an old one would be stopped by it."""
    made = driver()
    lost = task("n1", 1, stored(made), TaskState.ASSIGNED)
    made.state = attrs.evolve(made.state, displaced={"n1": 1})
    seen: dict[str, Any] = {"version": 12, "update_status": status(UpdateState.UPDATING)}
    decision = made.see(look(stored(made), at=3.0, tasks=(lost,), depth=Depth.TARGET, **seen))
    assert decision.look is not None
    assert (Depth.FULL, 0.0) == (decision.look.depth, decision.look.within)
    made.see(look(stored(made), at=3.1, tasks=(lost, task("t2", 2, OLD)), **seen))
    assert len(made.written) == 2
    assert "waits for a task whose node is lost; told to go on" in made.state.notes[-1]


def test_a_persons_rollback_and_its_own_undoing_leave_the_engines_word_in_doubt() -> None:
    """The spec is ours again, but the status is of somebody's rollback: we watch ourselves."""
    made = driver()
    tasks = running(stored(made), "n")
    twice = status(UpdateState.ROLLBACK_COMPLETED)
    decision = made.see(look(stored(made), at=2.0, version=14, tasks=tasks, update_status=twice))
    assert made.phase == "verifying"
    assert decision.look is not None
    made.see(look(stored(made), at=8.0, version=14, tasks=tasks, update_status=twice))
    assert made.phase == "completed"
    assert {proof.proven_by for proof in made.state.proofs} == {"watch"}


# --- on the way back


def going_back() -> Driver:
    """One that was asked to go back, and whose write for that is stored, as version 21."""
    made = driver()
    made.state = made.state.asking(Ask.ROLL_BACK)
    made.see(look(stored(made), at=2.0, version=20, depth=Depth.SERVICE))
    assert made.phase == "rolling_back"
    made.store(at=2.1, version=21, depth=Depth.SERVICE)
    return made


def test_putting_back_without_a_word_of_the_engine_is_watched() -> None:
    """No update status at all: the tasks say it."""
    made = going_back()
    decision = made.see(look(stored(made), at=3.0, version=21, depth=Depth.SERVICE))
    assert decision.look is not None
    assert decision.look.depth is Depth.TARGET
    back = running(stored(made), "b")
    made.see(look(stored(made), at=4.0, version=21, tasks=back, depth=Depth.TARGET))
    made.see(look(stored(made), at=4.1, version=21, tasks=back))
    made.see(look(stored(made), at=12.0, version=21, tasks=back))
    assert made.phase == "restoring"
    assert made.written[-1].purpose is Purpose.GIVE_BACK


def test_giving_back_waits_for_a_slot_in_flight() -> None:
    """Any write would stop the old task of a slot whose new one is not up."""
    made = going_back()
    back = running(stored(made), "b")
    made.see(look(stored(made), at=4.0, version=21, tasks=back))
    made.state = attrs.evolve(made.state, phase=Phase.RESTORING)
    writes = len(made.written)
    made.see(look(stored(made), at=5.0, version=21, depth=Depth.SERVICE))
    made.see(look(stored(made), at=6.0, version=21, tasks=(*back, task("x", 1, stored(made)))))
    assert len(made.written) == writes
    made.see(look(stored(made), at=7.0, version=21, tasks=back))
    assert made.written[-1].purpose is Purpose.GIVE_BACK


def test_a_task_that_giving_back_lost_is_proven_again() -> None:
    """The old spec must run in the end, not only in between."""
    made = going_back()
    back = running(stored(made), "b")
    made.see(look(stored(made), at=4.0, version=21, tasks=back))
    made.see(look(stored(made), at=12.0, version=21, tasks=back))
    assert made.phase == "restoring"
    made.see(look(stored(made), at=13.0, version=22, tasks=back[:1]))
    assert made.phase == "restoring"
    again = (back[0], task("b9", 2, stored(made)))
    made.see(look(stored(made), at=14.0, version=22, tasks=again))
    assert made.phase == "restoring"
    made.see(look(stored(made), at=20.0, version=22, tasks=again))
    assert made.phase == "aborted"


def test_the_engine_that_undoes_our_way_back_fails_it() -> None:
    """A rollback is never itself rolled back; if it is, a person is needed."""
    made = going_back()
    bad = made.written[0].spec
    undone = status(UpdateState.ROLLBACK_STARTED, "because")
    made.see(look(bad, at=3.0, version=22, update_status=undone, tasks=running(bad)))
    assert made.phase == "rollback_failed"
    assert "it undid what put the old spec back" in made.state.transitions[-1].reason


def test_a_wish_to_go_back_without_a_baseline_is_noted() -> None:
    """It is not refused only by the handle."""
    plan = plan_for(OLD, NEW, no_baseline=True)
    made = Driver(State(plan=plan))
    made.see(look(OLD, at=1.0, tasks=running(OLD)))
    made.store(at=1.1, version=11, depth=Depth.SERVICE)
    made.state = made.state.asking(Ask.ROLL_BACK)
    made.see(look(stored(made), at=2.0, version=11, depth=Depth.SERVICE))
    assert made.phase == "updating"
    assert made.state.notes == ("cannot roll back: there is no last known good spec",)


def test_telling_needs_a_write() -> None:
    """What became of nothing cannot be told."""
    with pytest.raises(ValueError, match="no write is under way"):
        State(plan=plan_for(OLD, NEW)).told(Sent.ACCEPTED)


# --- plans


def baseline(*tasks: Task, of: ServiceSpec = OLD, now: float = 100.0) -> str:
    """Why these tasks are no baseline; empty if they are."""
    return baseline_of(service(of), tasks, nodes(), now).why_not


def test_a_baseline_is_proven_slot_by_slot() -> None:
    """What is not proven now is not called the last known good."""
    here = running(OLD)
    assert baseline(*here) == ""
    assert baseline(here[0]) == "1 of 2 slots have a task"
    assert baseline(*here, task("x", 1, OLD)) == "slot 1 has 2 tasks"
    starting = attrs.evolve(here[1], state=TaskState.STARTING, error="why")
    assert baseline(here[0], starting) == "slot 2 is starting (why)"
    assert baseline(here[0], task("t2", 2, NEW)) == "slot 2 runs another spec"
    dead = [
        task(f"d{i}", 2, OLD, TaskState.FAILED, desired=TaskState.SHUTDOWN, created_at=90.0 + i)
        for i in range(2)
    ]
    young = attrs.evolve(here[1], created_at=98.0)
    assert baseline(here[0], young, *dead) == "slot 2 keeps failing"
    assert baseline(here[0], young, *dead, now=1000.0) == ""


def test_a_global_baseline_wants_a_task_on_every_node() -> None:
    """A node without one is not proven."""
    everywhere = spec("app:1", None)
    tasks = [task(f"t{i}", None, everywhere, node_id=f"n{i}") for i in (1, 2, 3)]
    assert baseline(*tasks, of=everywhere) == ""
    assert baseline(*tasks[:2], of=everywhere) == "node node-3 has no task"


def test_a_plan_tells_what_it_will_do() -> None:
    """The dry run, for people."""
    plan = plan_for(OLD, NEW)
    assert str(plan).splitlines()[0] == "plan for web (version 10)"
    assert "  restarts 2 of 2 slots: 1, 2" in str(plan).splitlines()
    assert "  step 1: update: stop-first, 1 at a time, delay 0s, monitor 5s" in str(plan)
    assert "  on failure: put the old spec back" in str(plan)
    nothing = plan_for(OLD, OLD)
    assert str(nothing).splitlines() == [
        "plan for web (version 10)",
        "  no change",
        "  restarts nothing",
    ]
    label = plan_for(OLD, OLD.with_label("a", "b"))
    assert "  step 1: update, restarting nothing" in str(label).splitlines()


def test_a_start_period_is_part_of_the_deadline_and_of_the_estimate() -> None:
    """A program that needs a minute is given it."""
    slow = NEW.with_healthcheck(
        test=["CMD", "true"], interval=10, start_period=60, start_interval=2
    )
    usual = NEW.with_healthcheck(test=["CMD", "true"], interval=10)
    assert plan_for(OLD, slow).deadline == plan_for(OLD, usual).deadline + 60
    assert plan_for(OLD, slow).predicted < plan_for(OLD, usual).predicted
    assert plan_for(OLD, usual).predicted > plan_for(OLD, NEW).predicted


def test_a_hold_is_over_only_when_nothing_is_in_motion() -> None:
    """A task that was displaced may be coming back just then."""

    class Waves(Rolling):
        def cut(self, step: PlanStep) -> tuple[PlanStep, ...]:
            return (attrs.evolve(step, hold=5.0), step)

    made = Driver(State(plan=plan_for(OLD, NEW, strategy=Waves())))
    made.see(look(OLD, at=1.0, tasks=running(OLD)))
    made.store(at=1.1, version=11, depth=Depth.SERVICE)
    here = running(stored(made), "n")
    made.see(look(stored(made), at=2.0, version=11, tasks=here))
    made.see(look(stored(made), at=8.0, version=11, tasks=here))
    assert made.phase == "holding"
    two = (*here, task("x", 1, stored(made)))
    made.see(look(stored(made), at=20.0, version=11, tasks=two))
    assert made.phase == "holding"
    made.see(look(stored(made), at=21.0, version=11, tasks=here))
    assert made.phase == "updating"
    assert len(made.written) == 2
