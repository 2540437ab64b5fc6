"""What a look proves, and when to look again."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from swarmroll.core.proof import Proof, Standard, prove
from swarmroll.core.snapshot import Depth, TaskState, by_slot
from swarmroll.core.turn import Turn

LOOK_EVERY = 1.0
"""Seconds between looks at tasks while only we watch them."""

NONE_YET: Mapping[str, str] = MappingProxyType({})


def prove_slots(
    turn: Turn, *, monitor: float, bake: float = 0.0, proven: Mapping[str, str] = NONE_YET
) -> Proof:
    """
    Judge every slot by what the rollout knows, and keep what was found.

    Args:
        monitor: Seconds that a new task must have been seen running, unless the engine saw it.
        bake: Seconds that it must be watched after that; the engine knows nothing of those.
        proven: Who proved a task before, by its id.
    """
    state = turn.state
    standard = Standard(
        spec=turn.service.spec,
        monitor=monitor + bake,
        older=state.older,
        stale=state.stale,
        unbroken=not state.witness_lost,
        witness=state.engine_done and not state.witness_lost and not state.resumed and not bake,
        trouble=state.trouble,
        proven=proven,
    )
    proof = prove(standard, turn.snapshot, state.seen, state.nodes)
    remember(turn, proof)
    return proof


def remember(turn: Turn, proof: Proof) -> None:
    """Keep what a look has proven, and what it is still missing."""
    turn.set(
        proofs=proof.slots,
        skipped=proof.skipped,
        waiting_for=proof.missing,
        proof_due=proof.due,
    )


def slots_in_flight(turn: Turn) -> tuple[object, ...]:
    """Slots with two tasks that should run: start-first, half-way."""
    slots = by_slot(task for task in turn.snapshot.tasks if task.runnable)
    return tuple(key for key, tasks in slots.items() if len(tasks) > 1)


def half_way(turn: Turn) -> tuple[object, ...]:
    """Slots in flight whose new task does not run: any write would stop the old one now."""
    slots = by_slot(task for task in turn.snapshot.tasks if task.runnable)
    return tuple(key for key, tasks in slots.items() if len(tasks) > 1 and not tasks[0].running)


def full(turn: Turn) -> Depth:
    """A proof needs every task; of a global service, the nodes that it should run on too."""
    return Depth.NODES if turn.state.goal.replicas is None else Depth.FULL


def tasks_due(turn: Turn, every: float) -> float:
    """Seconds until tasks are to be looked at again, looking so often."""
    return turn.state.looked_at + every - turn.now


def soon(turn: Turn, proof: Proof) -> float:
    """When a proof is only a matter of time, that time; else the usual."""
    left = proof.due - turn.now
    return min(left, LOOK_EVERY) if proof.settled and left > 0 else LOOK_EVERY


def watchful(turn: Turn) -> float:
    """
    Seconds until tasks must be looked at, while the engine's updater is at work.

    As long as it watches every new task itself, and its events reach us, nothing is at stake.
    From the moment when some task may have outlived the engine's monitor, only we watch it.
    """
    state = turn.state
    if state.witness_lost:
        return tasks_due(turn, LOOK_EVERY)
    monitor = state.plan.steps[state.step].monitor
    running = [s.running_after for s in state.seen.values() if s.running_since is not None]
    first = min(running, default=max(state.looked_at, state.written_at))
    # A look shows whatever ended since the one before: the first one can come that much later.
    return max(first + monitor + LOOK_EVERY - turn.now, tasks_due(turn, LOOK_EVERY))


def stuck(turn: Turn) -> str:
    """What the tasks that do not get on say for themselves."""
    words = []
    for key, tasks in by_slot(t for t in turn.snapshot.tasks if t.runnable).items():
        task = tasks[0]
        if task.state is not TaskState.RUNNING:
            error = f" ({task.error})" if task.error else ""
            words.append(f"slot {key} is {task.state.name.lower()}{error}")
    return "; ".join(words) or "; ".join(turn.state.waiting_for) or "no slot has a new task"


def waited_for_in_vain(turn: Turn) -> frozenset[str]:
    """
    Tasks that the engine's updater will wait for until the end of time.

    It waits for each task that it made to run or to end, and one whose node is lost before does
    neither (swarmkit manager/orchestrator/update/updater.go, updateTask).
    """
    state = turn.state
    lost = {t.id for t in turn.snapshot.tasks if t.state < TaskState.RUNNING}
    return frozenset(lost & state.displaced.keys()) - state.unstuck
