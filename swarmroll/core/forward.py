"""The way forward, phase by phase: from ``preparing`` to ``finalizing``."""

from __future__ import annotations

from collections import Counter

from swarmroll.core.checks import held, of_service
from swarmroll.core.commands import Decision
from swarmroll.core.findings import refusing
from swarmroll.core.gating import gates_pass
from swarmroll.core.looking import (
    LOOK_EVERY,
    full,
    prove_slots,
    remember,
    slots_in_flight,
    soon,
    stuck,
    tasks_due,
    waited_for_in_vain,
    watchful,
)
from swarmroll.core.phases import Trigger
from swarmroll.core.proof import Standard, clean, prove
from swarmroll.core.snapshot import BUSY, Depth, UpdateState
from swarmroll.core.standing import hold_engine
from swarmroll.core.state import Ask, Purpose
from swarmroll.core.steps import next_step
from swarmroll.core.trouble import engine_paused, fail, failures_exceeded, go_on, overdue
from swarmroll.core.turn import Turn
from swarmroll.core.units import duration_text
from swarmroll.core.waves import account, moved_slots, prove_wave

ENGINE_STOPPED = (UpdateState.PAUSED, UpdateState.ROLLBACK_PAUSED)


def preparing(turn: Turn) -> Decision:
    """Wait until the service is quiet; then begin, find nothing to do, or refuse."""
    plan = turn.state.plan
    refusals = plan.refusals or refusing(of_service(turn.service), plan.allow)
    if refusals:
        return turn.move(Trigger.REFUSED, "; ".join(f.message for f in refusals))
    late = turn.now - turn.state.since > plan.deadline
    status = turn.service.update_status
    if status is not None and status.state in BUSY and not held(turn.service):
        if late:
            return turn.move(
                Trigger.REFUSED,
                f"update-in-progress: another update of {plan.service} is {status.state} for"
                f" more than {duration_text(plan.deadline)}",
            )
        return turn.look(Depth.SERVICE, LOOK_EVERY)
    if turn.snapshot.depth < full(turn):
        return turn.look(full(turn))
    if not plan.steps:
        return _unchanged(turn, late=late)
    moving = slots_in_flight(turn)
    if moving and not (status is not None and status.state in ENGINE_STOPPED):
        names = ", ".join(str(slot) for slot in moving)
        if late:
            return turn.move(
                Trigger.REFUSED,
                f"update-in-progress: slots {names} of {plan.service} have two tasks each for"
                f" more than {duration_text(plan.deadline)}",
            )
        return turn.look(full(turn), LOOK_EVERY)
    return next_step(turn, Trigger.READY, _announce(turn))


def _announce(turn: Turn) -> str:
    plan = turn.state.plan
    return f"version {plan.version} is quiet; {len(plan.steps)} step(s) to go"


def _unchanged(turn: Turn, *, late: bool) -> Decision:
    """Nothing to write; but ``unchanged`` is a claim that needs its proof too."""
    if turn.snapshot.up_to_date is None:
        return turn.look(full(turn))
    status = turn.service.update_status
    proven = status is not None and status.state in (
        UpdateState.COMPLETED,
        UpdateState.ROLLBACK_COMPLETED,
    )
    ended = status.completed_at if proven and status is not None else None
    plan = turn.state.plan
    tasks = [t for t in turn.snapshot.tasks if clean(t, plan.live, turn.state.nodes)]
    # The engine watched one task of each slot: it says nothing of a later one, or of a second.
    count = Counter(t.slot_key for t in tasks)
    newer = {t.slot_key for t in tasks if ended is not None and t.created_at > ended}
    again = {slot for slot, made in count.items() if made > 1}
    standard = Standard(
        spec=plan.live,
        monitor=plan.live.effective_update_config.monitor,
        unbroken=True,
        witness=ended is not None,
        trouble=frozenset(newer | again),
    )
    proof = prove(standard, turn.snapshot, turn.state.seen, turn.state.nodes)
    remember(turn, proof)
    if proof.whole:
        return turn.move(Trigger.NOTHING_TO_DO, "the spec is unchanged, and every slot runs it")
    if late:
        return turn.move(
            Trigger.REFUSED, f"the spec is unchanged, but not proven: {'; '.join(proof.missing)}"
        )
    return turn.look(full(turn), soon(turn, proof))


def updating(turn: Turn) -> Decision:
    """Watch the engine replace tasks; go on when it is done, turn back when they fail."""
    state = turn.state
    status = turn.service.update_status
    if status is not None and status.state in ENGINE_STOPPED:
        stopped = engine_paused(turn, status.message)
        if stopped:
            return stopped
    failed = failures_exceeded(turn)
    if failed:
        return failed
    if state.plan.steps[state.step].wave:
        return _moving_wave(turn)
    if status is not None and status.state is UpdateState.COMPLETED:
        turn.set(engine_done=True)
    elif status is not None and status.state is not UpdateState.ROLLBACK_COMPLETED:
        if state.standing_still:
            return hold_engine(turn)
        if waited_for_in_vain(turn):
            return go_on(turn, "waits for a task whose node is lost")
        return overdue(turn) or turn.look(Depth.TARGET, watchful(turn))
    if state.standing_still:
        return turn.move(state.standing_still, state.standing_still_for, standing_still=None)
    return _converging(turn)


def _moving_wave(turn: Turn) -> Decision:
    """
    The engine is held after the wave, so that it never says done: only we can tell.

    It takes all slots of a wave at once. One whose node is lost it would wait for in vain, but
    nothing depends on that: the next wave replaces its updater.
    """
    state = turn.state
    step = state.plan.steps[state.step]
    if turn.snapshot.depth < full(turn):
        watched = state.waiting_for and turn.now < state.proof_due
        if state.progress < step.wave or watched:
            return overdue(turn) or turn.look(Depth.TARGET, tasks_due(turn, LOOK_EVERY))
        return turn.look(full(turn))
    account(turn)
    proof = prove_wave(turn)
    if not proof.whole:
        return overdue(turn) or turn.look(Depth.TARGET, soon(turn, proof))
    if state.standing_still:
        reason = f"{state.standing_still_for}; {step.name}: proven, and the engine is held"
        return turn.move(state.standing_still, reason, standing_still=None)
    if step.hold == 0.0 and not state.plan.gates:
        return next_step(turn, Trigger.STEP_CONVERGED, f"{step.name}: proven")
    return turn.move(Trigger.WAVE_CONVERGED, f"{step.name}: proven; holding")


def _converging(turn: Turn) -> Decision:
    """The engine has nothing in motion that it tells of: do all slots run the step's spec?"""
    state = turn.state
    plan = state.plan
    step = plan.steps[state.step]
    if turn.snapshot.depth < full(turn) and (state.engine_done or _may_be_whole(turn)):
        return turn.look(full(turn))
    if turn.snapshot.depth >= full(turn):
        last = state.step == len(plan.steps) - 1
        proof = prove_slots(turn, monitor=step.spec.effective_update_config.monitor)
        if last and proof.settled:
            return turn.move(Trigger.ALL_CONVERGED, f"all {proof.wanted} slots run the target")
        if proof.whole and step.hold != 0.0:
            return turn.move(Trigger.WAVE_CONVERGED, f"{step.name}: proven; holding")
        if proof.whole:
            return next_step(turn, Trigger.STEP_CONVERGED, f"{step.name}: proven")
        return overdue(turn) or turn.look(Depth.TARGET, soon(turn, proof))
    return overdue(turn) or turn.look(Depth.TARGET, tasks_due(turn, LOOK_EVERY))


def _may_be_whole(turn: Turn) -> bool:
    """Whether a look at up-to-date tasks alone leaves hope that every slot is there."""
    if turn.state.goal.replicas is None:
        return turn.snapshot.depth >= Depth.TARGET
    if turn.snapshot.depth < Depth.TARGET:
        # Nothing will be replaced: the engine has no say in it, so ask for the tasks at once.
        return not turn.state.plan.steps[turn.state.step].restarts
    running = {task.slot_key for task in turn.snapshot.tasks if task.running}
    return len(running) >= (turn.service.spec.replicas or 0)


def holding(turn: Turn) -> Decision:
    """Watch the slots that run the target until the hold is over."""
    state = turn.state
    step = state.plan.steps[state.step]
    failed = failures_exceeded(turn)
    if failed:
        return failed
    promoted = state.asked is Ask.PROMOTE
    if not promoted and (step.hold is None or turn.now - state.since < step.hold):
        return _watch_hold(turn)
    if not promoted and not gates_pass(turn):
        return _watch_hold(turn)
    if turn.snapshot.depth < full(turn):
        return turn.look(full(turn))
    if step.wave:
        account(turn)
        proof = prove_wave(turn)
        if not proof.whole:
            return _held_up(turn, soon(turn, proof))
    elif slots_in_flight(turn):
        return _held_up(turn, LOOK_EVERY)
    turn.set(waiting_since=None)
    if promoted:
        return next_step(turn, Trigger.PROMOTED, "promoted")
    gates = ", and every gate passed" if turn.state.plan.gates else ""
    held = f"held for {duration_text(step.hold or 0.0)}{gates}"
    return next_step(turn, Trigger.HOLD_OVER, held)


def _held_up(turn: Turn, within: float) -> Decision:
    """The hold is over, and the slots are not as they should be: for so long, and no longer."""
    state = turn.state
    since = turn.now if state.waiting_since is None else state.waiting_since
    if turn.now - since <= state.plan.deadline:
        turn.set(waiting_since=since)
        return turn.look(full(turn), within)
    turn.set(waiting_since=None)
    late = duration_text(state.plan.deadline)
    return fail(
        turn,
        Trigger.DEADLINE_EXCEEDED,
        f"the hold is over, and not every slot of the wave was well within {late}: {stuck(turn)}",
    )


def _watch_hold(turn: Turn) -> Decision:
    """Look at what runs the release; and at everything, when it is more than it should be."""
    state = turn.state
    wave = state.plan.steps[state.step].wave
    if wave and turn.snapshot.depth >= Depth.TARGET and moved_slots(turn) - state.moved:
        if turn.snapshot.depth < full(turn):
            return turn.look(full(turn))
        account(turn)
    return turn.look(Depth.TARGET, tasks_due(turn, LOOK_EVERY))


def verifying(turn: Turn) -> Decision:
    """Watch until every slot is proven, and baked."""
    failed = failures_exceeded(turn)
    if failed:
        return failed
    status = turn.service.update_status
    if status is not None and status.state is UpdateState.COMPLETED:
        turn.set(engine_done=True)
    if turn.snapshot.depth < full(turn):
        if turn.state.waiting_for and turn.now < turn.state.proof_due:
            return overdue(turn) or turn.look(Depth.TARGET, tasks_due(turn, LOOK_EVERY))
        return turn.look(full(turn))
    step = turn.state.plan.steps[turn.state.step]
    proof = prove_slots(turn, monitor=step.spec.effective_update_config.monitor, bake=step.bake)
    if proof.whole and gates_pass(turn):
        gates = ", and every gate passed" if turn.state.plan.gates else ""
        return turn.move(Trigger.PROVEN, f"all {proof.wanted} slots are proven{gates}")
    if proof.whole:
        return turn.look(Depth.TARGET, LOOK_EVERY)
    return overdue(turn) or turn.look(Depth.TARGET, soon(turn, proof))


def finalizing(turn: Turn) -> Decision:
    """Give back the update config that the waves have borrowed."""
    state, spec = turn.state, turn.service.spec
    if not state.plan.borrows or spec.update_config == state.plan.target.update_config:
        return turn.move(Trigger.DONE, "the release is complete")
    return turn.write(Purpose.GIVE_BACK, spec.with_update_config_of(state.plan.target))
