"""The table: what it has is a move, what it has not is a defect, and every way comes to an end."""

from __future__ import annotations

from itertools import product

import attrs
import pytest

from swarmroll.core.phases import TABLE, IllegalMove, Phase, Transition, Trigger, after
from swarmroll.core.report import Outcome, outcome_of
from swarmroll.core.snapshot import Snapshot
from swarmroll.core.state import State
from swarmroll.outcomes import FAILURES

from .worlds import a_plan

TERMINAL = {
    Phase.COMPLETED,
    Phase.UNCHANGED,
    Phase.REFUSED,
    Phase.ROLLED_BACK,
    Phase.ROLLBACK_FAILED,
    Phase.ABORTED,
    Phase.SUPERSEDED,
    Phase.SERVICE_GONE,
}
PAIRS = tuple(product(Phase, Trigger))
ROWS = tuple((phase, trigger) for phase, trigger in PAIRS if trigger in TABLE[phase])
HOLES = tuple((phase, trigger) for phase, trigger in PAIRS if trigger not in TABLE[phase])
GOING_BACK = {Phase.ROLLING_BACK, Phase.RESTORING}


def state_in(phase: Phase) -> State:
    return State(plan=a_plan(), phase=phase)


def reachable(start: Phase) -> set[Phase]:
    """Every phase that some way leads to, this one included."""
    found, ahead = {start}, [start]
    while ahead:
        ahead = [goal for phase in ahead for goal in TABLE[phase].values() if goal not in found]
        found |= set(ahead)
    return found


@pytest.mark.parametrize(("phase", "trigger"), ROWS)
def test_a_row_is_a_move(phase: Phase, trigger: Trigger) -> None:
    """The state goes where the table says, and keeps the reason."""
    moved = state_in(phase).move(trigger, "since", Snapshot(taken_at=7.0, wall=70.0))
    target = TABLE[phase][trigger]
    assert target is after(phase, trigger)
    assert target is moved.phase
    assert moved.since == 7.0
    assert moved.transitions == (
        Transition(source=phase, trigger=trigger, target=target, reason="since", at=70.0),
    )


@pytest.mark.parametrize(("phase", "trigger"), HOLES)
def test_a_missing_row_is_a_defect(phase: Phase, trigger: Trigger) -> None:
    """It names both, and the state stays what it was."""
    state = state_in(phase)
    before = attrs.evolve(state)
    with pytest.raises(IllegalMove, match=f"nothing leads from {phase} on {trigger}"):
        state.move(trigger, "since", Snapshot(taken_at=7.0))
    assert before == state


def test_every_phase_has_a_row() -> None:
    assert set(Phase) == TABLE.keys()


def test_terminal_phases_have_empty_rows() -> None:
    assert {phase for phase in Phase if not TABLE[phase]} == TERMINAL
    assert {phase for phase in Phase if phase.terminal} == TERMINAL


def test_every_trigger_is_used() -> None:
    assert {trigger for row in TABLE.values() for trigger in row} == set(Trigger)


def test_every_phase_can_be_reached() -> None:
    assert reachable(Phase.PENDING) == set(Phase)


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase not in TERMINAL])
def test_every_way_can_end(phase: Phase) -> None:
    assert reachable(phase) & TERMINAL


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase not in TERMINAL])
def test_others_can_end_it_from_anywhere(phase: Phase) -> None:
    """Somebody else's write, and the end of the service, are always heard."""
    assert TABLE[phase][Trigger.FOREIGN_WRITE] is Phase.SUPERSEDED
    assert TABLE[phase][Trigger.SERVICE_REMOVED] is Phase.SERVICE_GONE


def test_a_rollback_is_never_rolled_back() -> None:
    """Once the old spec is being put back, nothing but that, or its end, can follow."""
    assert reachable(Phase.ROLLING_BACK) <= GOING_BACK | TERMINAL
    assert reachable(Phase.RESTORING) <= GOING_BACK | TERMINAL


def test_nothing_goes_back_before_something_was_written() -> None:
    for phase in (Phase.PENDING, Phase.PREPARING):
        assert Phase.ROLLING_BACK not in TABLE[phase].values()


def test_success_has_one_way_in() -> None:
    """Proof, and nothing else, leads to the phase that leads to success."""
    ways = {(phase, t) for phase in Phase for t, goal in TABLE[phase].items() if goal in good()}
    assert ways == {
        (Phase.PREPARING, Trigger.NOTHING_TO_DO),
        (Phase.VERIFYING, Trigger.PROVEN),
        (Phase.FINALIZING, Trigger.DONE),
    }


def good() -> set[Phase]:
    return {Phase.UNCHANGED, Phase.FINALIZING, Phase.COMPLETED}


@pytest.mark.parametrize("phase", Phase)
def test_every_phase_has_its_outcome(phase: Phase) -> None:
    """A driver that stops in the midst of it has left it to others."""
    ends = TERMINAL | {Phase.PAUSED}
    expected = Outcome(phase.value) if phase in ends else Outcome.DETACHED
    assert expected is outcome_of(phase)


def test_only_success_exits_with_zero() -> None:
    assert {outcome for outcome in Outcome if outcome.exit_code == 0} == {
        Outcome.COMPLETED,
        Outcome.UNCHANGED,
    }


def test_every_failure_has_its_exception() -> None:
    """Refusals have exceptions of their own, by their cause."""
    others = {Outcome.COMPLETED, Outcome.UNCHANGED, Outcome.REFUSED}
    assert set(Outcome) - others == FAILURES.keys()
