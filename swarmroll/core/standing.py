"""Standing still: how the engine is held, and what leads on from ``paused``."""

from __future__ import annotations

import attrs

from swarmroll.core.checks import YEARS, held
from swarmroll.core.commands import Decision
from swarmroll.core.looking import (
    LOOK_EVERY,
    full,
    half_way,
    slots_in_flight,
    tasks_due,
    waited_for_in_vain,
)
from swarmroll.core.phases import Phase, Trigger
from swarmroll.core.snapshot import Depth
from swarmroll.core.state import Ask, Purpose
from swarmroll.core.steps import write_step
from swarmroll.core.turn import Turn
from swarmroll.core.way_back import putting_back


def hold_engine(turn: Turn) -> Decision:
    """
    Make the engine's updater stop after the slots in motion.

    It has no such command. The same template with another update config replaces the updater;
    but doing so stops the old task of any slot whose new task is still starting (start-first), so
    it is done only when there is none.
    """
    if turn.snapshot.depth < full(turn):
        return turn.look(full(turn), tasks_due(turn, LOOK_EVERY))
    state = turn.state
    moving = slots_in_flight(turn)
    if moving and held(turn.service):
        return _stand_still(turn, "the engine is held")
    if moving and turn.now - max(state.progress_at, state.since) > state.plan.deadline:
        # It may never end, and what is asked for is to stop.
        return _stand_still(turn, f"slot {moving[0]} is half way, and the engine is not held")
    if moving:
        return turn.look(full(turn), LOOK_EVERY)
    config = attrs.evolve(
        state.goal.effective_update_config, parallelism=1, delay=YEARS, failure_action="pause"
    )
    if turn.service.spec.update_config == config:
        return _stand_still(turn, "the engine is held")
    return turn.write(Purpose.STAND_STILL, turn.service.spec.with_update_config(config))


def _stand_still(turn: Turn, how: str) -> Decision:
    state = turn.state
    return turn.move(
        state.standing_still or Trigger.PAUSE_ASKED,
        f"{state.standing_still_for}; {how}",
        standing_still=None,
    )


def paused(turn: Turn) -> Decision:
    """Only a person's wish leads on; the rest is told by ``judge_spec``."""
    state = turn.state
    if state.asked is not Ask.RESUME:
        return turn.look(Depth.SERVICE, LOOK_EVERY)
    if turn.snapshot.depth < full(turn):
        return turn.look(full(turn))
    stuck = half_way(turn)
    if stuck:
        since = turn.now if state.waiting_since is None else state.waiting_since
        turn.set(waiting_since=since)
        if turn.now - since <= state.plan.deadline:
            return turn.look(full(turn), LOOK_EVERY)
        turn.note(
            f"cannot resume: the new task of slot {stuck[0]} does not run, and going on would"
            " stop the old one, which does; roll back instead"
        )
        turn.set(asked=None, waiting_since=None)
        return turn.look(Depth.SERVICE, LOOK_EVERY)
    turn.set(
        forgiven=len(state.failures),
        progress=0,
        progress_at=turn.now,
        standing_still=None,
        waiting_since=None,
        gates={},
        # The engine's new updater watches only what is left to do.
        resumed=True,
    )
    turn.state = turn.state.move(
        Trigger.RESUME_ASKED, "asked to resume; writing the step again", turn.snapshot
    )
    return write_step(turn)


def tell_to_go_on(turn: Turn, why: str) -> Decision:
    """The same once more, for which the engine makes a new updater."""
    if turn.snapshot.depth < full(turn):
        return turn.look(full(turn))
    if half_way(turn) and turn.state.phase is Phase.UPDATING:
        return turn.look(full(turn), LOOK_EVERY)
    turn.note(f"the engine {why}; told to go on")
    # Its new updater watches only what is left to do.
    turn.set(resumed=True, unstuck=turn.state.unstuck | waited_for_in_vain(turn))
    if turn.state.phase is Phase.UPDATING:
        return write_step(turn)
    state = turn.state
    back = putting_back(state, turn.service.spec, state.plan.baseline or state.goal)
    turn.set(back=back, step=0, engine_rolled_back=False)
    return turn.write(Purpose.PUT_BACK, back[0])
