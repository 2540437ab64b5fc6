"""What a report says, what is read back of it, and whose fault a task's end is."""

from __future__ import annotations

import attrs
import pytest

from swarmroll.core.failure import Fate, fate
from swarmroll.core.phases import Trigger
from swarmroll.core.record import from_document
from swarmroll.core.report import Report, make_report
from swarmroll.core.snapshot import (
    Depth,
    NodeState,
    Snapshot,
    Task,
    TaskState,
    UpdateState,
    UpdateStatus,
)
from swarmroll.core.state import Ask, Sent, State

from .histories import Driver, look, nodes, plan_for, running, spec, task

OLD = spec("app:1")
NEW = spec("app:2")


def report_of(state: State, trouble: str = "") -> Report:
    return make_report(
        state, evidence={}, started_at=0.0, finished_at=1.0, engine_requests=0, trouble=trouble
    )


def moved(*triggers: Trigger) -> State:
    state = State(plan=plan_for(OLD, NEW))
    for trigger in triggers:
        state = state.move(trigger, f"for {trigger}", Snapshot(taken_at=1.0))
    return state


def test_a_driver_that_never_began_tells_its_trouble() -> None:
    assert "web detached: no answer" == report_of(moved(), "no answer").headline


def test_a_driver_that_left_tells_where() -> None:
    """Before the first write the engine has nothing to go on with."""
    headline = report_of(moved(Trigger.START), "no answer").headline
    assert "web detached: no answer; the rollout was preparing" == headline


def test_a_driver_that_left_tells_what_the_engine_will_do() -> None:
    headline = report_of(moved(Trigger.START, Trigger.READY), "no answer").headline
    assert (
        "web detached: no answer; the rollout was updating, and the engine goes on by itself;"
        " on a failure it will rollback"
    ) == headline


def test_a_failed_way_back_tells_both_reasons() -> None:
    state = moved(
        Trigger.START, Trigger.READY, Trigger.FAILURES_EXCEEDED, Trigger.DEADLINE_EXCEEDED
    )
    expected = "web rollback failed: for failures_exceeded; then: for deadline_exceeded"
    assert expected == report_of(state).headline


@attrs.frozen(kw_only=True)
class Parcel:
    label: str = "none"
    weight: float


def test_what_an_older_document_lacks_has_its_default() -> None:
    assert Parcel(weight=2.0) == from_document(Parcel, {"weight": 2})


def test_what_must_be_there_is_missed_by_name() -> None:
    with pytest.raises(ValueError, match=r"^\$: weight is missing$"):
        from_document(Parcel, {"label": "a"})


def ended(**words: object) -> Task:
    base = task("t1n", 1, NEW, TaskState.FAILED, exit_code=1)
    return attrs.evolve(base, **words)  # type: ignore[arg-type]


def test_a_node_that_nobody_knows_excuses_nothing() -> None:
    """Even where its engine seems to have died: it may be the program's own exit code."""
    assert Fate.FAILED is fate(ended(exit_code=255, node_id="gone"), nodes())


CAME_BACK = {key: attrs.evolve(node, updated_at=9.0) for key, node in nodes().items()}
STOPPED = ended(state=TaskState.COMPLETE, exit_code=0, created_at=1.0, state_at=8.9, updated_at=9.3)


def test_a_node_that_changed_since_may_have_killed_it() -> None:
    """Or a network came to the node: its record does not say which."""
    assert Fate.DOUBTFUL is fate(ended(exit_code=255, created_at=1.0), CAME_BACK)


def test_a_node_that_is_away_has_killed_it() -> None:
    away = {key: attrs.evolve(node, state=NodeState.DOWN) for key, node in nodes().items()}
    assert Fate.DISPLACED is fate(ended(exit_code=255, created_at=1.0), away)


@pytest.mark.parametrize(
    ("ended_at", "told_at", "fate_then"),
    [(8.9, 9.3, Fate.DOUBTFUL), (9.1, 9.3, Fate.FAILED), (8.0, 8.2, Fate.FAILED)],
    ids=["told when the node came back", "ended after it", "told before it"],
)
def test_a_restarted_engine_may_have_stopped_it_in_an_orderly_way(
    ended_at: float, told_at: float, fate_then: Fate
) -> None:
    """It ends with an exit code of the program's own, and the manager is told when it is back."""
    stopped = attrs.evolve(STOPPED, state_at=ended_at, updated_at=told_at)
    assert fate_then is fate(stopped, CAME_BACK)


def rolled(*tasks: Task) -> Driver:
    """Slot 1 is on the new release, whose task has ended in a doubtful way."""
    made = Driver(State(plan=plan_for(OLD, NEW)))
    made.see(look(OLD, at=1.0, tasks=running(OLD)))
    made.store(at=1.1, version=11, depth=Depth.SERVICE)
    new = made.written[0].spec
    seen = look(new, at=2.0, version=11, tasks=(*running(OLD), *tasks))
    made.see(attrs.evolve(seen, nodes=CAME_BACK))
    return made


def test_a_slot_has_the_benefit_of_the_doubt_once() -> None:
    """A release that crashes again and again is not excused for ever."""
    once = rolled(STOPPED)
    assert ({"t1n": 1}, ()) == (once.state.displaced, once.state.failures)
    twice = rolled(STOPPED, attrs.evolve(STOPPED, id="again"))
    assert {"t1n": 1} == twice.state.displaced
    assert ["again"] == [failure.task_id for failure in twice.state.failures]


OTHER = attrs.evolve(STOPPED, id="other", slot=2)


def undone(made: Driver, words: str, *tasks: Task) -> str:
    """Why the rollout goes back, when the engine has rolled back in these words."""
    status = UpdateStatus(state=UpdateState.ROLLBACK_STARTED, message=words)
    seen = look(OLD, at=3.0, version=12, update_status=status, tasks=(*tasks, *running(OLD)))
    made.see(attrs.evolve(seen, nodes=CAME_BACK))
    assert "rolling_back" == made.phase
    return made.state.transitions[-1].reason


def test_whom_the_engine_blames_has_no_benefit_of_the_doubt() -> None:
    """It rolled back for this very task, so this is the one to show."""
    made = rolled(STOPPED, OTHER)
    reason = undone(made, "rolled back due to failure of task t1n", STOPPED, OTHER)
    assert {"other": 2} == made.state.displaced
    assert "slot 1 on node node-1: ended by itself (complete, exit code 0)" in reason


def test_doubt_ends_when_there_is_nobody_else_to_blame() -> None:
    """The engine is done with going back, and does not say any more whom it was for."""
    made = rolled(STOPPED)
    reason = undone(made, "rollback completed", STOPPED)
    assert {} == made.state.displaced
    assert "slot 1 on node node-1: ended by itself (complete, exit code 0)" in reason


def test_doubt_stays_when_somebody_else_may_be_to_blame() -> None:
    """Another task failed beyond doubt."""
    failed = attrs.evolve(OTHER, state_at=9.1)
    made = rolled()
    undone(made, "rollback completed", STOPPED, failed)
    assert {"t1n": 1} == made.state.displaced
    assert ["other"] == [failure.task_id for failure in made.state.failures]


def test_a_global_service_is_put_back_on_every_node() -> None:
    """Without a word of the engine, every look at its tasks asks for the nodes, too."""
    old, new = spec("app:1", None), spec("app:2", None)
    here = tuple(task(f"t{i}", None, old, node_id=f"n{i}") for i in (1, 2, 3))
    made = Driver(State(plan=plan_for(old, new, tasks=here)))
    made.see(look(old, at=1.0, tasks=here))
    made.store(at=1.1, version=11, depth=Depth.SERVICE)
    made.state = made.state.asking(Ask.ROLL_BACK)
    made.see(look(made.written[0].spec, at=2.0, version=11, tasks=here))
    back = made.written[1].spec
    made.store(at=2.1, version=21, depth=Depth.SERVICE)
    deeper = made.see(look(back, at=3.5, version=21, tasks=here, depth=Depth.TARGET)).look
    assert deeper is not None
    assert (Depth.NODES, 0.0) == (deeper.depth, deeper.within)
    made.see(look(back, at=3.6, version=21, tasks=here))
    assert "aborted" == made.phase or made.written[2].spec.same_as(old)


def test_a_refusal_is_no_leave_to_write_over_others() -> None:
    """The old spec is put back after a refusal, but not over what came meanwhile."""
    bigger = spec("app:2", 3)
    made = Driver(State(plan=plan_for(OLD, bigger)))
    made.see(look(OLD, at=1.0, tasks=running(OLD)))
    made.store(at=1.1, version=11, depth=Depth.SERVICE)
    scaled = made.written[0].spec
    three = (*running(OLD), task("n3", 3, scaled))
    made.see(look(scaled, at=2.0, version=11, tasks=three))
    made.see(look(scaled, at=9.0, version=11, tasks=three), answer=Sent.REFUSED, words="no")
    assert 2 == len(made.written)
    theirs = scaled.with_image("theirs:1")
    made.see(look(theirs, at=9.1, version=12, tasks=three, previous_spec=scaled))
    assert "superseded" == made.phase
    assert 2 == len(made.written)


def test_the_last_of_two_strangers_does_not_hide_the_first() -> None:
    """Both kept our label: what the engine calls the previous spec then is not ours."""
    made = Driver(State(plan=plan_for(OLD, NEW)))
    made.see(look(OLD, at=1.0, tasks=running(OLD)))
    theirs = made.written[0].spec.with_image("theirs:1")
    more = theirs.with_replicas(5)
    made.see(look(more, at=1.1, version=13, tasks=running(OLD), previous_spec=theirs))
    assert "superseded" == made.phase
    assert 1 == len(made.written)
