"""When a release fails: too many failures, no progress, an engine that stopped or refused."""

from __future__ import annotations

from typing import assert_never

from swarmroll.core.backward import go_back
from swarmroll.core.commands import Decision
from swarmroll.core.estimate import update_seconds
from swarmroll.core.looking import LOOK_EVERY, full, half_way, stuck
from swarmroll.core.phases import Phase, Trigger
from swarmroll.core.plan import ROLLBACK
from swarmroll.core.snapshot import Depth, UpdateState
from swarmroll.core.standing import hold_engine, tell_to_go_on
from swarmroll.core.state import Purpose
from swarmroll.core.suspicion import Suspect, excused, only_on, suspect, too_many
from swarmroll.core.turn import Turn
from swarmroll.core.units import duration_text
from swarmroll.core.waves import left_to_move
from swarmroll.core.writes import judge_spec, refused

ENGINE_ACTS_FIRST = 2.0
"""Seconds that the engine gets to act on a failure that it should count."""

ENGINE_LAGS = 0.5
"""Seconds by which the engine's watch of a task may begin after the task was seen running."""


def refused_write(turn: Turn) -> Decision | None:
    """The engine would not take a write: its words say why."""
    intent = refused(turn)
    if intent is None:
        return None
    # What follows may write: not over what somebody else wrote meanwhile.
    forced = judge_spec(turn)
    if forced is not None:
        return forced
    reason = f"the engine refused the spec: {intent.answer}"
    match intent.purpose:
        case Purpose.STEP if turn.state.expected is None:
            return turn.move(Trigger.REFUSED, reason)
        case Purpose.STEP:
            return fail(turn, Trigger.FAILURES_EXCEEDED, reason)
        case Purpose.STAND_STILL:
            turn.note(f"could not be held: {reason}")
            turn.set(standing_still=None)
            return turn.again()
        case Purpose.GIVE_BACK if turn.state.phase is Phase.FINALIZING:
            turn.note(f"the service keeps the update config of the last wave: {reason}")
            return turn.move(Trigger.DONE, "the release is complete")
        case Purpose.PUT_BACK | Purpose.GIVE_BACK:
            return turn.move(Trigger.FAILURES_EXCEEDED, reason)
        case never:
            assert_never(never)


def fail(turn: Turn, trigger: Trigger, reason: str) -> Decision:
    """Do with a failure what the policy says."""
    if turn.state.plan.on_failure == ROLLBACK:
        return go_back(turn, trigger, reason)
    status = turn.service.update_status
    busy = status is not None and status.state is UpdateState.UPDATING
    if busy and turn.state.phase is Phase.UPDATING:
        if turn.state.standing_still is None:
            turn.set(standing_still=Trigger.STOPPED_ON_FAILURE, standing_still_for=reason)
        return hold_engine(turn)
    return turn.move(Trigger.STOPPED_ON_FAILURE, reason, standing_still=None)


def failures_exceeded(turn: Turn) -> Decision | None:
    """Turn back or stop when too much has failed; the engine gets a moment to do so itself."""
    state = turn.state
    reason = too_many(state)
    if not reason:
        return None
    config = state.plan.steps[state.step].spec.effective_update_config
    if _engine_should_act(turn, config.monitor):
        if state.engine_failed_at is None:
            turn.set(engine_failed_at=turn.now)
        left = (turn.state.engine_failed_at or 0.0) + ENGINE_ACTS_FIRST - turn.now
        if left > 0:
            return turn.look(Depth.SERVICE, left)
    return fail(turn, Trigger.FAILURES_EXCEEDED, reason)


def _engine_should_act(turn: Turn, monitor: float) -> bool:
    """Whether the engine's updater watches the slot that failed last, as far as one can tell."""
    status = turn.service.update_status
    if status is None or status.state is not UpdateState.UPDATING or turn.state.witness_lost:
        return False
    sighting = turn.state.seen.get(turn.state.open_failures[-1].task_id)
    if sighting is None or sighting.running_since is None:
        return True
    # A task that was still seen running after its watch was over is none of the engine's.
    return sighting.running_until - sighting.running_since <= monitor + ENGINE_LAGS


def overdue(turn: Turn) -> Decision | None:
    """Whether nothing has moved for longer than the progress deadline."""
    state = turn.state
    step = state.plan.steps[state.step]
    config = step.pace
    allowed = state.plan.deadline + config.delay
    wanted = step.wave or step.restarts + step.adds
    if state.phase is Phase.VERIFYING or state.progress >= wanted:
        # Every slot is there: what is waited for is the engine's delays and its watch.
        allowed += update_seconds(step.spec, config, step.restarts) + config.monitor + step.bake
    if turn.now - max(state.progress_at, state.since) <= allowed:
        return None
    if turn.snapshot.depth < full(turn):
        return turn.look(full(turn))
    return fail(
        turn,
        Trigger.DEADLINE_EXCEEDED,
        f"no further slot converged within {duration_text(state.plan.deadline)}: {stuck(turn)}",
    )


def engine_paused(turn: Turn, message: str) -> Decision | None:
    """
    The engine counted enough failures to stop.

    Returns:
        None if it has nothing left to do before it would be held anyway.
    """
    if turn.snapshot.depth < Depth.NODES:
        return turn.look(Depth.NODES)
    state = turn.state
    if (state.displaced or excused(state)) and not too_many(state):
        return _engine_misled(turn, message)
    culprit = f": {state.open_failures[-1].headline}" if state.open_failures else ""
    reason = f"the engine paused ({message}){culprit}{only_on(state)}"
    if state.plan.on_failure == ROLLBACK:
        return go_back(turn, Trigger.FAILURES_EXCEEDED, reason)
    return turn.move(Trigger.STOPPED_ON_FAILURE, reason, standing_still=None)


def _engine_misled(turn: Turn, message: str) -> Decision | None:
    """The engine stopped for a task that is not held against the release: tell it to go on."""
    state = turn.state
    if state.plan.steps[state.step].wave and left_to_move(turn) < 1:
        return None
    if state.standing_still:
        return turn.move(state.standing_still, state.standing_still_for, standing_still=None)
    if not excused(state):
        return go_on(turn, f"paused for a displaced task ({message})")
    if suspect(state) is Suspect.UNDECIDED:
        return overdue(turn) or turn.look(Depth.NODES, LOOK_EVERY)
    node = state.open_failures[-1].node
    return go_on(turn, f"paused for failures on node {node} alone ({message})")


def go_on(turn: Turn, why: str) -> Decision:
    """Tell the engine to go on, unless that has been waited for too long."""
    waiting = half_way(turn) and turn.state.phase is Phase.UPDATING
    late = overdue(turn) if waiting else None
    return late or tell_to_go_on(turn, why)
