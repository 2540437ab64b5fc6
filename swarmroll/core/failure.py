"""Is a task that ended the release's fault, or was it merely moved out of the way?"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Mapping

import attrs

from swarmroll.core.snapshot import Node, NodeState, SlotKey, Task, TaskState
from swarmroll.core.spec import UpdateConfig
from swarmroll.printable import printable

CRASHES_OF_ONE_SLOT = 3
"""So many failures in one slot exceed any ratio."""

STOPPED_BY_SIGTERM = 143
KILLED = 137
LOST_BY_ENGINE = 255

DEAD = (LOST_BY_ENGINE, KILLED)


class Fate(enum.StrEnum):
    """
    What became of a task.

    ALIVE: it may still run. FAILED: it ended, and the release answers for it. DISPLACED: it was
    stopped by something that is no fault of the release; its slot has to be proven anew.
    DOUBTFUL: it may be either; taken for displaced once in a slot, unless the engine blames it.
    """

    ALIVE = "alive"
    FAILED = "failed"
    DISPLACED = "displaced"
    DOUBTFUL = "doubtful"


@attrs.frozen(kw_only=True)
class Failure:
    """
    A task of the new release that failed.

    Attributes:
        slot: Replica number, or the node's id for a global service.
        node: Hostname, or the node's id where the name is not known; empty if never placed.
        node_id: Its id; empty if never placed.
        error: The engine's own words.
        exit_code: Of its container; None if it never ran.
        message: The last good step that the engine reported.
        at: Wall clock of the driver when it was seen, seconds since the epoch.
        in_rollback: Whether it was a task of the old release that was being put back.
    """

    task_id: str
    slot: SlotKey
    node: str
    state: str
    error: str
    exit_code: int | None
    message: str
    image: str
    at: float
    in_rollback: bool = False
    node_id: str = ""

    @property
    def headline(self) -> str:
        """One line: ``slot 3 on node w2: task: non-zero exit (1) (failed, exit code 1)``."""
        where = f" on node {self.node}" if self.node else ""
        code = "" if self.exit_code is None else f", exit code {self.exit_code}"
        words = printable(self.error) or "ended by itself"
        return f"slot {self.slot}{where}: {words} ({self.state}{code})"


def fate(task: Task, nodes: Mapping[str, Node]) -> Fate:
    """
    What became of a task of the release that is being rolled out.

    Everything that the engine's updater counts is a failure, exit code 0 included (swarmkit
    manager/orchestrator/update/updater.go, failureTriggersAction), less what the release cannot
    help: a node lost, drained or restarted, the constraint enforcer, somebody's ``docker stop``.
    """
    node = nodes.get(task.node_id)
    if not task.state.terminal:
        lost = node is not None and node.state is NodeState.DOWN and not task.runnable
        return Fate.DISPLACED if lost else Fate.ALIVE
    match task.state:
        case TaskState.COMPLETE:
            return _by_its_node(task, node)
        case TaskState.REJECTED:
            # manager/orchestrator/constraintenforcer: "assigned node no longer meets constraints"
            moved = "no longer meets constraints" in task.error
            return Fate.DISPLACED if moved else Fate.FAILED
        case TaskState.FAILED:
            stopped = task.exit_code == STOPPED_BY_SIGTERM and "unhealthy" not in task.error
            return Fate.DISPLACED if stopped else _by_its_node(task, node)
        case _:
            # SHUTDOWN, REMOVE, ORPHANED: the manager or the end of its node stopped it.
            return Fate.DISPLACED


def _by_its_node(task: Task, node: Node | None) -> Fate:
    """
    Whether the task ended because its node's engine died under it.

    A restarted engine reports what it finds dead with exit code 255, or 137 where it was killed
    with its containers; what it finds alive it stops as any other task, so that this ends with
    an exit code of the program's own, 0 if it is a good one (moby daemon/daemon.go, restore).
    Either way the node's own record has changed since the task was made; in the second case it
    did so between the end, by the agent's clock, and the moment when the manager was told of it.

    But it also changes when the first task on an overlay network comes to the node, and when the
    last one ends, be it by a crash (swarmkit manager/allocator/network.go): it proves nothing.
    """
    if node is None:
        return Fate.FAILED
    changed = node.updated_at > task.created_at
    if task.exit_code in DEAD:
        if node.state is not NodeState.READY:
            return Fate.DISPLACED
        return Fate.DOUBTFUL if changed else Fate.FAILED
    came_back = task.state_at <= node.updated_at <= task.updated_at
    doubtful = changed and came_back and "unhealthy" not in task.error
    return Fate.DOUBTFUL if doubtful else Fate.FAILED


def likely_cause(failure: Failure) -> str:
    """A guess for people, from the engine's words and the exit code; empty when there is none."""
    error = failure.error
    causes = (
        ("unhealthy container" in error, "its health check failed"),
        ("No such image" in error, "the image does not exist, or the registry wants a login"),
        ("no suitable node" in error, "no node may run it"),
        ("executable file not found" in error, "its command is not in the image"),
        ("exec format error" in error, "the image is for another processor"),
        ("secret" in error and "not found" in error, "a secret that it needs was removed"),
        ("port is already allocated" in error, "a host port that it needs is taken"),
        (failure.exit_code == KILLED, "it was killed: out of memory, or somebody's docker kill"),
        (
            failure.state == "complete",
            "it ended with exit code 0: the program does not stay, or its health check failed",
        ),
        (failure.exit_code in (126, 127), "its command cannot be run"),
    )
    return next((cause for applies, cause in causes if applies), "")


def exceeds(failures: tuple[Failure, ...], config: UpdateConfig, slots: int) -> str:
    """Why these failures are too many, a sentence; empty if they are not."""
    if not failures:
        return ""
    last = failures[-1].headline
    counts = Counter(failure.slot for failure in failures)
    slot, most = counts.most_common(1)[0]
    if most >= CRASHES_OF_ONE_SLOT:
        return f"{last}; slot {slot} failed {most} times"
    if len(counts) / max(1, slots) > config.max_failure_ratio:
        return f"{last}; {len(counts)} of {slots} slots failed (limit {config.max_failure_ratio:g})"
    return ""
