"""What a look teaches about tasks: who runs since when, who failed, who was displaced."""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

import attrs

from swarmroll.core.failure import Failure, Fate, fate
from swarmroll.core.phases import Phase
from swarmroll.core.proof import Sighting, clean
from swarmroll.core.redact import mask_text, secrets_of
from swarmroll.core.snapshot import Depth, SlotKey, Task
from swarmroll.core.spec import ServiceSpec
from swarmroll.core.state import State
from swarmroll.core.turn import Turn

BEFORE = (Phase.PENDING, Phase.PREPARING)
GOING_BACK = (Phase.ROLLING_BACK, Phase.RESTORING)


def observe(turn: Turn, undone_by: ServiceSpec | None = None) -> bool:
    """
    Take in the tasks of a look.

    Args:
        undone_by: What the engine has just put in the place of the release. Then every new task
            that was not made from this is the release's, also if its spec was never read back:
            the engine keeps a spec otherwise than it was sent, a network by its id for example.

    Returns:
        False if something can only be judged with the nodes in sight: look deeper first.
    """
    snapshot = turn.snapshot
    if snapshot.depth < Depth.TARGET:
        return True
    before = max(turn.state.looked_at, turn.state.written_at)
    turn.set(looked_at=snapshot.taken_at)
    if snapshot.depth >= Depth.NODES:
        turn.set(nodes=snapshot.nodes)
    mine = made_here(turn, undone_by)
    if turn.state.phase in BEFORE:
        _sight(turn, [task for task in mine if task.runnable], before)
        return True
    _sight(turn, mine, before)
    _measure_progress(turn, mine)
    ended = [task for task in mine if _newly_ended(turn, task)]
    if not ended:
        return True
    if snapshot.depth < Depth.NODES:
        return False
    for task in ended:
        _bury(turn, task)
    return True


def made_here(turn: Turn, undone_by: ServiceSpec | None = None) -> tuple[Task, ...]:
    """The tasks of a look that this direction of the rollout has made."""
    return tuple(task for task in turn.snapshot.tasks if _is_mine(turn, task, undone_by))


def _is_mine(turn: Turn, task: Task, undone_by: ServiceSpec | None) -> bool:
    """Whether it is a task that this direction of the rollout has made."""
    state = turn.state
    if task.id in state.older:
        return False
    if undone_by is not None and state.phase not in GOING_BACK:
        return not clean(task, undone_by, state.nodes)
    return clean(task, state.stored, state.nodes)


def _sight(turn: Turn, mine: Iterable[Task], before: float) -> None:
    now, wall = turn.snapshot.taken_at, turn.snapshot.wall
    seen = dict(turn.state.seen)
    for task in mine:
        sighting = seen.get(task.id) or Sighting(slot=task.slot_key)
        if task.node_id:
            sighting = attrs.evolve(sighting, node_id=task.node_id)
        if task.running and sighting.running_since is None:
            sighting = attrs.evolve(
                sighting, running_since=now, running_at=wall, running_after=before
            )
        if task.running:
            sighting = attrs.evolve(sighting, running_until=now)
        seen[task.id] = sighting
    turn.set(seen=seen)


def _measure_progress(turn: Turn, mine: Iterable[Task]) -> None:
    running = len({task.slot_key for task in mine if task.running})
    if running > turn.state.progress:
        turn.set(progress=running, progress_at=turn.now)


def _newly_ended(turn: Turn, task: Task) -> bool:
    state = turn.state
    if task.id in state.displaced or any(f.task_id == task.id for f in state.failures):
        return False
    # A task that nobody wanted to stop is to stop: its node may be lost, or drained.
    told = not task.runnable and task.node_id != "" and task.id not in state.fading
    return task.state.terminal or told


def _bury(turn: Turn, task: Task) -> None:
    """Record what became of a task that ended."""
    state = turn.state
    match fate(task, state.nodes):
        case Fate.ALIVE:
            turn.set(fading=state.fading | {task.id})
        case Fate.DISPLACED:
            turn.set(displaced={**state.displaced, task.id: task.slot_key})
        case Fate.DOUBTFUL if task.slot_key not in _excused(state):
            turn.set(
                displaced={**state.displaced, task.id: task.slot_key},
                doubtful=state.doubtful | {task.id},
            )
        case Fate.DOUBTFUL | Fate.FAILED:
            _fail(turn, task)
        case never:
            assert_never(never)


def _excused(state: State) -> set[SlotKey]:
    """The slots in which a task of this direction has had the benefit of the doubt."""
    return {state.displaced[task_id] for task_id in state.doubtful & state.seen.keys()}


def _fail(turn: Turn, task: Task) -> None:
    state = turn.state
    node = state.nodes.get(task.node_id)
    failure = Failure(
        task_id=task.id,
        slot=task.slot_key,
        node=(node.hostname if node else "") or task.node_id,
        node_id=task.node_id,
        state=task.state.name.lower(),
        error=mask_text(task.error, secrets_of(state.goal)),
        exit_code=task.exit_code,
        message=task.message,
        image=task.image,
        at=turn.snapshot.wall,
        in_rollback=state.phase in GOING_BACK,
    )
    turn.set(failures=(*state.failures, failure))
    turn.save(task, failure)


def blame(turn: Turn, words: str) -> None:
    """
    Take the benefit of the doubt from the task that the engine blames, in these words.

    Where they name none, as in ``rollback completed``, and nobody else is there to blame: from
    all that have it.
    """
    state = turn.state
    named = {task.id for task in turn.snapshot.tasks if task.id in words}
    nobody = not named and not state.open_failures and state.displaced.keys() <= state.doubtful
    for task in turn.snapshot.tasks:
        if task.id in state.doubtful and (nobody or task.id in named):
            displaced = dict(turn.state.displaced)
            del displaced[task.id]
            turn.set(displaced=displaced, doubtful=turn.state.doubtful - {task.id})
            _fail(turn, task)
