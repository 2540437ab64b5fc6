"""Waves: so many slots run the release, proven, and the engine is held before the others."""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from swarmroll.core.looking import prove_slots, slots_in_flight
from swarmroll.core.observe import made_here
from swarmroll.core.proof import Proof
from swarmroll.core.snapshot import NodeState, SlotKey, Task, TaskState, by_slot
from swarmroll.core.turn import Turn


def moved_slots(turn: Turn) -> frozenset[SlotKey]:
    """The slots that run the release, or are to; in a look at tasks."""
    return frozenset(task.slot_key for task in made_here(turn) if task.runnable)


def left_to_move(turn: Turn) -> int:
    """How many more slots the wave has to move; in a look at tasks."""
    state = turn.state
    return state.plan.steps[state.step].wave - len(moved_slots(turn))


def prove_wave(turn: Turn) -> Proof:
    """
    Whether the wave's slots run the release, proven, and nothing is in motion.

    In a look at every task. Slots that came to the release out of turn have to be proven too.
    """
    state = turn.state
    step = state.plan.steps[state.step]
    moved = moved_slots(turn)
    proof = prove_slots(turn, monitor=step.pace.monitor)
    mine = tuple(slot for slot in proof.slots if slot.slot in moved)
    moving = slots_in_flight(turn)
    missing = [f"slot {slot}: two tasks at once" for slot in moving]
    unproven = moved - {slot.slot for slot in mine} - set(moving)
    missing += [f"slot {slot}: not proven yet" for slot in sorted(unproven, key=str)]
    wanted = min(step.wave, _slots(turn))
    if len(moved) < wanted:
        missing.append(f"{len(moved)} of {wanted} slots have moved")
    turn.set(proofs=mine, waiting_for=tuple(missing))
    return attrs.evolve(
        proof,
        slots=mine,
        wanted=wanted,
        missing=tuple(missing),
        settled=len(moved) >= wanted and not moving,
    )


def _slots(turn: Turn) -> int:
    replicas = turn.service.spec.replicas
    return len(turn.state.plan.slots) if replicas is None else replicas


def account(turn: Turn) -> None:
    """
    Count the slots that came to the release beside the waves; in a look at every task.

    One whose old task ended came back on its own, a leak: its restart policy makes the new task
    from the current spec, outside of the updater (swarmkit manager/orchestrator/restart). Any
    other was moved by the engine, as a new leader does, which begins the wave again: an overrun.
    """
    state = turn.state
    wave = state.plan.steps[state.step].wave
    moved = moved_slots(turn)
    new = moved - state.moved
    beside = min(len(new), len(moved) - wave)
    if beside > 0:
        slots = by_slot(turn.snapshot.tasks)
        ended = [key for key in sorted(new, key=str) if _ended_by_itself(turn, slots[key])]
        leaked = ended[:beside]
        for slot in leaked:
            turn.note(f"slot {slot} leaked: its old task ended, and it came back as a new one")
        overrun = beside - len(leaked)
        if overrun:
            turn.note(f"the engine moved {overrun} slot(s) more than the wave was to")
        turn.set(leaks=state.leaks + len(leaked), overruns=state.overruns + overrun)
    turn.set(moved=state.moved | moved)


def _ended_by_itself(turn: Turn, tasks: Iterable[Task]) -> bool:
    """Whether the last task of the old release in a slot was not stopped by the updater."""
    old = [task for task in tasks if task.id in turn.state.older]
    if not old:
        return False
    last = max(old, key=lambda task: task.created_at)
    node = turn.state.nodes.get(last.node_id)
    lost = node is not None and (node.state is NodeState.DOWN or not node.schedulable)
    return lost or last.state in (TaskState.COMPLETE, TaskState.FAILED, TaskState.REJECTED)
