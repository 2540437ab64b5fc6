"""The way back: putting the baseline back, proving it, giving back what it declared."""

from __future__ import annotations

from swarmroll.core.commands import Decision
from swarmroll.core.estimate import update_seconds
from swarmroll.core.failure import exceeds
from swarmroll.core.looking import (
    LOOK_EVERY,
    full,
    prove_slots,
    slots_in_flight,
    soon,
    stuck,
    tasks_due,
    waited_for_in_vain,
)
from swarmroll.core.phases import Trigger
from swarmroll.core.snapshot import BUSY, Depth, UpdateState
from swarmroll.core.spec import UpdateConfig
from swarmroll.core.standing import tell_to_go_on
from swarmroll.core.state import Purpose, State
from swarmroll.core.steps import turn_to
from swarmroll.core.turn import Turn
from swarmroll.core.units import duration_text
from swarmroll.core.way_back import putting_back, restored

ROLLBACK_DEADLINE = 120.0
"""A slot whose new task was never placed stalls the engine's rollback for 60 s."""


def go_back(turn: Turn, trigger: Trigger, reason: str) -> Decision:
    """Put the baseline back, whatever is in motion."""
    state = turn.state
    baseline = state.plan.baseline
    assert baseline is not None, "without a baseline the policy is to pause"
    live = turn.service.spec
    back = putting_back(turn.state, live, baseline)
    older = state.ids | {task.id for task in turn.snapshot.tasks}
    turn.set(
        back=back,
        step=0,
        older=older,
        stale=older - state.plan.known if live.endpoint != baseline.endpoint else frozenset(),
        seen={},
        progress=0,
        progress_at=turn.now,
        standing_still=None,
        intent=None,
        resumed=False,
    )
    turn.state = turn.state.move(trigger, reason, turn.snapshot)
    return turn.write(Purpose.PUT_BACK, back[0])


def rolling_back(turn: Turn) -> Decision:
    """Follow the way back, the engine's or our own, until every slot is proven or it failed."""
    state = turn.state
    status = turn.service.update_status
    if status is not None and _rollback_stopped(state, status.state):
        return _stopped_on_the_way_back(turn, status.message)
    failed = _rollback_failures_exceeded(turn)
    if failed:
        return failed
    done = status is not None and status.state in (
        UpdateState.COMPLETED,
        UpdateState.ROLLBACK_COMPLETED,
    )
    if done:
        turn.set(engine_done=True)
    elif status is not None and waited_for_in_vain(turn):
        return tell_to_go_on(turn, "waits for a task whose node is lost")
    elif status is not None:
        return _rollback_overdue(turn) or turn.look(Depth.TARGET, tasks_due(turn, LOOK_EVERY))
    if turn.snapshot.depth < full(turn):
        if done or _may_be_back(turn):
            return turn.look(full(turn))
        return _rollback_overdue(turn) or turn.look(Depth.TARGET, tasks_due(turn, LOOK_EVERY))
    proof = prove_slots(turn, monitor=_rollback_config(state).monitor)
    if not proof.whole:
        return _rollback_overdue(turn) or turn.look(Depth.TARGET, soon(turn, proof))
    if state.step + 1 < len(state.back):
        turn_to(turn, state.goal, state.back[state.step + 1])
        turn.set(step=state.step + 1)
        return turn.write(Purpose.PUT_BACK, state.back[state.step + 1])
    return turn.move(Trigger.PROVEN, f"all {proof.wanted} slots run the old spec again")


def _stopped_on_the_way_back(turn: Turn, message: str) -> Decision:
    """The engine stopped putting the old spec back."""
    if turn.snapshot.depth < Depth.NODES:
        return turn.look(Depth.NODES)
    state = turn.state
    if state.displaced.keys() & state.seen.keys() and not state.rollback_failures:
        return tell_to_go_on(turn, f"stopped for a displaced task ({message})")
    culprit = "".join(f": {f.headline}" for f in state.rollback_failures[-1:])
    return turn.move(
        Trigger.FAILURES_EXCEEDED,
        f"putting the old spec back failed, the engine says {message!r}{culprit}",
    )


def _rollback_stopped(state: State, engine: UpdateState) -> bool:
    """Whether the engine has given up on the way back."""
    if engine in (UpdateState.PAUSED, UpdateState.ROLLBACK_PAUSED):
        return True
    # A rollback whose own failure action is `rollback` ends as `completed`
    # (swarmkit manager/orchestrator/update/updater.go).
    return state.engine_rolled_back and engine is UpdateState.COMPLETED


def _may_be_back(turn: Turn) -> bool:
    if turn.snapshot.depth < Depth.TARGET:
        return False
    if turn.state.goal.replicas is None:
        return True
    running = {task.slot_key for task in turn.snapshot.tasks if task.running}
    return len(running) >= (turn.service.spec.replicas or 0)


def restoring(turn: Turn) -> Decision:
    """The old spec runs: give back its own update config and its number of replicas."""
    state = turn.state
    baseline = state.plan.baseline or turn.service.spec
    wanted = restored(state, baseline)
    trigger = Trigger.ABORT_PROVEN if state.aborting else Trigger.DONE
    if not turn.service.spec.same_as(wanted):
        if turn.snapshot.depth < full(turn):
            return turn.look(full(turn))
        if slots_in_flight(turn):
            return _rollback_overdue(turn) or turn.look(full(turn), LOOK_EVERY)
        turn.set(back=(wanted,), step=0)
        return turn.write(Purpose.GIVE_BACK, wanted)
    if turn.snapshot.depth < full(turn):
        return turn.look(full(turn))
    # What was proven stays so; only a task that giving back has made is watched.
    proven = {slot.task_id: slot.proven_by for slot in state.proofs}
    proof = prove_slots(turn, monitor=_rollback_config(state).monitor, proven=proven)
    if proof.whole:
        return turn.move(trigger, "the old spec runs, proven, and is declared as it was")
    failed = _rollback_failures_exceeded(turn)
    return failed or _rollback_overdue(turn) or turn.look(full(turn), soon(turn, proof))


def _rollback_failures_exceeded(turn: Turn) -> Decision | None:
    state = turn.state
    config = _rollback_config(state)
    slots = max(1, state.goal.replicas or len(state.plan.slots))
    reason = exceeds(state.rollback_failures, config, slots)
    status = turn.service.update_status
    if not reason or (status is not None and status.state in BUSY):
        return None
    return turn.move(Trigger.FAILURES_EXCEEDED, f"putting the old spec back failed: {reason}")


def _rollback_config(state: State) -> UpdateConfig:
    """What governs the way back: the engine's own is under the rollback config it restored."""
    goal = state.goal
    return (
        goal.effective_rollback_config if state.engine_rolled_back else goal.effective_update_config
    )


def _rollback_overdue(turn: Turn) -> Decision | None:
    state = turn.state
    spec = state.goal
    check = spec.healthcheck
    start = check.start_period if check is not None and check.start_period else 0.0
    config = _rollback_config(state)
    allowed = ROLLBACK_DEADLINE + spec.effective_stop_grace + start
    allowed += update_seconds(spec, config, spec.replicas or len(state.nodes))
    if turn.now - max(state.progress_at, state.since) <= allowed:
        return None
    if turn.snapshot.depth < full(turn):
        return turn.look(full(turn))
    return turn.move(
        Trigger.DEADLINE_EXCEEDED,
        f"the old spec did not come back within {duration_text(allowed)}: {stuck(turn)}",
    )
