"""
Given where a rollout stands and what was just seen: what now?

Pure: the same state and look give the same decision, whoever asks and whenever. This is the only
place that chooses a trigger; the table in ``phases`` says where it leads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from swarmroll.core.backward import go_back, restoring, rolling_back
from swarmroll.core.checks import YEARS
from swarmroll.core.commands import Decision
from swarmroll.core.forward import finalizing, holding, preparing, updating, verifying
from swarmroll.core.gating import hurry, keep_gates
from swarmroll.core.looking import LOOK_EVERY
from swarmroll.core.observe import observe
from swarmroll.core.phases import Phase, Trigger
from swarmroll.core.snapshot import BUSY, Depth, Snapshot
from swarmroll.core.standing import paused
from swarmroll.core.state import Ask, State
from swarmroll.core.trouble import refused_write
from swarmroll.core.turn import Turn
from swarmroll.core.writes import judge_spec, settle, stream_broken

START_FIRST = "start-first"


def decide(state: State, snapshot: Snapshot) -> Decision:
    """
    Judge one look.

    Returns:
        The next state, what to do, and when to look again. In a terminal phase: nothing.
    """
    if state.phase.terminal:
        return Decision(state=state)
    if snapshot.service is None:
        gone = state.move(
            Trigger.SERVICE_REMOVED, f"service {state.plan.service} was removed", snapshot
        )
        return Decision(state=gone)
    turn = Turn(state, snapshot, snapshot.service)
    if turn.service.version < state.version:
        # A manager that lags behind: what it says is older than what is known.
        return turn.look(Depth.SERVICE, LOOK_EVERY)
    turn.set(version=turn.service.version)
    if stream_broken(turn):
        turn.set(witness_lost=True)
    decision = (
        refused_write(turn)
        or settle(turn)
        or judge_spec(turn)
        or _look_deeper(turn)
        or _answer(turn)
        or keep_gates(turn)
        or HANDLERS[turn.state.phase](turn)
    )
    return hurry(decision, turn.now)


def _look_deeper(turn: Turn) -> Decision | None:
    return None if observe(turn) else turn.look(Depth.NODES)


def _answer(turn: Turn) -> Decision | None:
    """Answer what a person asked; None goes on with the phase."""
    ask, phase = turn.state.asked, turn.state.phase
    if ask is None:
        return None
    turn.set(asked=None)
    baseline = turn.state.plan.baseline
    match ask, phase:
        case (Ask.ABORT | Ask.ROLL_BACK, Phase.PENDING | Phase.PREPARING):
            return turn.move(Trigger.ABORT_ASKED, "asked to abort; nothing was written")
        case (Ask.ABORT, Phase.UPDATING | Phase.HOLDING | Phase.VERIFYING | Phase.PAUSED):
            return turn.move(Trigger.ABORT_ASKED, _what_goes_on(turn))
        case (Ask.ROLL_BACK, Phase.UPDATING | Phase.HOLDING | Phase.VERIFYING | Phase.PAUSED):
            if baseline is not None:
                turn.set(aborting=True)
                return go_back(turn, Trigger.ROLLBACK_ASKED, "asked to abort and roll back")
            turn.note("cannot roll back: there is no last known good spec")
        case (Ask.PAUSE, Phase.UPDATING) if turn.state.standing_still is None:
            turn.set(standing_still=Trigger.PAUSE_ASKED, standing_still_for="asked to pause")
            turn.note(f"pausing: {_when_held(turn)}")
        case (Ask.PAUSE, Phase.HOLDING | Phase.VERIFYING):
            return turn.move(Trigger.PAUSE_ASKED, "asked to pause; nothing is in motion")
        case (Ask.RESUME, Phase.PAUSED) | (Ask.PROMOTE, Phase.HOLDING):
            # Answered there, as soon as nothing is in motion.
            turn.set(asked=ask)
        case _:
            turn.note(f"asked to {ask.replace('_', ' ')} while {phase}: not obeyed")
    return None


def _when_held(turn: Turn) -> str:
    if turn.state.plan.steps[turn.state.step].wave:
        return "when this wave is done"
    if turn.service.spec.effective_update_config.order == START_FIRST:
        return "the engine can be held only between two slots"
    return "one more slot may move"


def _what_goes_on(turn: Turn) -> str:
    status = turn.service.update_status
    config = turn.service.spec.effective_update_config
    if config.delay >= YEARS:
        return (
            "asked to abort; no further step is started, and the engine is held: the service's"
            " update config has a delay of years, until the next update gives it another"
        )
    if status is not None and status.state in BUSY:
        return (
            "asked to abort; no further step is started, but the engine goes on with the update"
            f" that it has begun, and on a failure it will {config.failure_action}"
        )
    return "asked to abort; no further step is started, and the engine has nothing in motion"


def _pending(turn: Turn) -> Decision:
    return turn.move(Trigger.START, "started", nodes=turn.state.plan.nodes)


HANDLERS: Mapping[Phase, Callable[[Turn], Decision]] = MappingProxyType(
    {
        Phase.PENDING: _pending,
        Phase.PREPARING: preparing,
        Phase.UPDATING: updating,
        Phase.HOLDING: holding,
        Phase.PAUSED: paused,
        Phase.VERIFYING: verifying,
        Phase.FINALIZING: finalizing,
        Phase.ROLLING_BACK: rolling_back,
        Phase.RESTORING: restoring,
    }
)
