"""The step that is due: written for the first time, or written again."""

from __future__ import annotations

from swarmroll.core.commands import Decision
from swarmroll.core.phases import Trigger
from swarmroll.core.spec import ServiceSpec
from swarmroll.core.state import Purpose
from swarmroll.core.turn import Turn
from swarmroll.core.waves import left_to_move


def next_step(turn: Turn, trigger: Trigger, reason: str) -> Decision:
    """Write the step that is due, and go where the trigger leads."""
    state = turn.state
    first = trigger is Trigger.READY
    index = 0 if first else state.step + 1
    step = state.plan.steps[index]
    if first:
        known = state.plan.known | {task.id for task in turn.snapshot.tasks}
        turn.set(older=known, seen={})
    before = state.plan.live if first else state.goal
    turn.set(step=index, resumed=False)
    turn_to(turn, before, step.spec)
    turn.state = turn.state.move(trigger, f"{reason}; writing: {step.name}", turn.snapshot)
    return write_step(turn)


def turn_to(turn: Turn, before: ServiceSpec, spec: ServiceSpec) -> None:
    """
    Forget what was seen of tasks that the next spec makes outdated, and start the clock.

    Args:
        before: What was sent last, not what the engine made of it: it fills in an endpoint's
            mode, and names networks by id, which is no change.
        spec: What is sent next.
    """
    state = turn.state
    changes: dict[str, object] = {}
    if before.template != spec.template:
        changes |= {"older": state.ids, "seen": {}, "moved": frozenset()}
    if before.endpoint != spec.endpoint:
        changes |= {"stale": state.ids}
    turn.set(progress=0, progress_at=turn.now, **changes)


def write_step(turn: Turn) -> Decision:
    """
    Write the step that the rollout stands at, with what others changed meanwhile.

    In a look at every task: a wave moves as many slots as are left of it, whatever happened.
    """
    state = turn.state
    step = state.plan.steps[state.step]
    spec = state.keeping_adopted(step.spec, replicas=not step.scales)
    if step.wave:
        left = left_to_move(turn)
        if left < 1:
            # Leaks or overruns have done it; parallelism 0 would be all of them at once.
            return turn.again()
        spec = spec.with_update_config(parallelism=left)
    return turn.write(Purpose.STEP, spec)
