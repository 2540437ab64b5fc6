"""
Does every slot run what it should? Nothing is called done without this, slot by slot.

The engine's ``completed`` alone proves nothing: it may belong to another write, stand beside
tasks that crash, or follow a change of leader at once (docs/swarm.md).
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from swarmroll.core.constraints import satisfies
from swarmroll.core.dirty import dirty
from swarmroll.core.snapshot import (
    Availability,
    Node,
    SlotKey,
    Snapshot,
    Task,
    TaskState,
    by_slot,
)
from swarmroll.core.spec import ServiceSpec


@attrs.frozen(kw_only=True)
class Sighting:
    """
    What was seen of a task made in this rollout.

    Attributes:
        node_id: Where it is, or was last.
        running_since: Driver's monotonic clock, seconds, when it was first seen running; None
            as long as it was not.
        running_at: Driver's wall clock at that moment, seconds since the epoch.
        running_after: Driver's monotonic clock at the look before that one: it has not run longer.
        running_until: Driver's monotonic clock, when it was last seen running.
    """

    slot: SlotKey
    node_id: str = ""
    running_since: float | None = None
    running_at: float | None = None
    running_after: float = 0.0
    running_until: float = 0.0


@attrs.frozen(kw_only=True)
class SlotProof:
    """
    That one slot runs what it should.

    Attributes:
        node: Hostname, or the node's id where the name is not known.
        digest: That its image is pinned to; empty when it is not pinned.
        healthy_since: Driver's wall clock, seconds since the epoch: first seen running. With a
            health check, running means healthy. None for a task older than the rollout.
        health: ``engine`` (its health check), ``reported by the engine`` (a health check, but a
            manager changed meanwhile, after which the engine may report running too early), or
            ``process`` (no health check: the process was started).
        proven_by: ``engine`` (its own monitor), ``watch`` (ours) or ``running`` (its task is
            older than the rollout, and runs).
        spec_version: The rollout label of the spec that it was proven against.
    """

    slot: SlotKey
    task_id: str
    node: str
    node_id: str
    image: str
    digest: str
    healthy_since: float | None
    health: str
    proven_by: str
    spec_version: str = ""


@attrs.frozen(kw_only=True)
class Standard:
    """
    What is asked of each slot.

    Attributes:
        spec: What its task must have been made from.
        monitor: Seconds that a task made in this rollout must have been seen running.
        older: Ids of the tasks that existed before; they need no monitor.
        stale: Ids of tasks that can never do (the endpoint changed, which no task shows).
        unbroken: Whether no manager can have changed unseen since our write.
        witness: Whether the engine's own monitor counts: it completed our very write, and
            nothing happened since that made it forget.
        trouble: Slots in which a task of the release failed or was displaced: there only our
            own watch counts.
        proven: Who proved a task before, by its id: it needs no other proof of its monitor time.
    """

    spec: ServiceSpec
    monitor: float = 0.0
    older: frozenset[str] = frozenset()
    stale: frozenset[str] = frozenset()
    unbroken: bool = False
    witness: bool = False
    trouble: frozenset[SlotKey] = frozenset()
    proven: Mapping[str, str] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class Proof:
    """
    What a look proves.

    Attributes:
        slots: The slots that are proven.
        wanted: How many there should be.
        missing: Why the others are not, a sentence each.
        settled: Whether all slots run the spec, monitored or not.
        due: Driver's monotonic clock when our own watch of all running slots is over.
        skipped: Hostnames of paused nodes that a global service is not rolled on.
    """

    slots: tuple[SlotProof, ...]
    wanted: int
    missing: tuple[str, ...]
    settled: bool
    due: float
    skipped: tuple[str, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether every slot is proven, and nothing else runs."""
        return not self.missing


def clean(task: Task, spec: ServiceSpec, nodes: Mapping[str, Node]) -> bool:
    """Whether the task needs no replacement under this spec, as far as a task shows it."""
    return not dirty(task.template, None, spec, nodes.get(task.node_id))


def eligible(spec: ServiceSpec, node: Node) -> bool:
    """Whether a global service must run on this node: ready, active, constraints met."""
    return node.schedulable and satisfies(spec.placement.constraints, node)


def prove(
    standard: Standard,
    snapshot: Snapshot,
    seen: Mapping[str, Sighting],
    nodes: Mapping[str, Node],
) -> Proof:
    """
    Judge every slot of a look at depth FULL or deeper.

    Args:
        nodes: The nodes as last seen, for names and for placement.
    """
    runnable = by_slot(task for task in snapshot.tasks if task.runnable)
    skipped: tuple[str, ...] = ()
    keys: list[SlotKey]
    if standard.spec.replicas is None:
        here = {key for key, node in nodes.items() if eligible(standard.spec, node)}
        idle = {key for key, n in nodes.items() if n.availability is Availability.PAUSE}
        keys = [*sorted(here), *sorted(str(key) for key in runnable if key not in here | idle)]
        skipped = tuple(sorted(nodes[key].hostname or key for key in idle))
        wanted = len(here)
    else:
        keys = sorted(runnable, key=str)
        wanted = standard.spec.replicas
    slots: list[SlotProof] = []
    missing: list[str] = []
    due = snapshot.taken_at
    running = 0
    for key in keys:
        tasks = runnable.get(key, ())
        flaw = _flaw(tasks, standard, snapshot, nodes)
        if flaw:
            missing.append(f"slot {key}: {flaw}")
            continue
        running += 1
        task = tasks[0]
        by, ends = _proven_by(task, standard, snapshot, seen)
        due = max(due, ends)
        if by:
            slots.append(_slot_proof(task, by, standard, seen, nodes))
        else:
            left = ends - snapshot.taken_at
            missing.append(f"slot {key}: running, watched for {left:.1f} s more")
    if len(keys) < wanted:
        missing.append(f"{len(keys)} of {wanted} slots have a task")
    elif len(keys) > wanted:
        missing.append(f"{len(keys)} slots have a task, {wanted} should")
    return Proof(
        slots=tuple(slots),
        wanted=wanted,
        missing=tuple(missing),
        settled=running == wanted == len(keys),
        due=due,
        skipped=skipped,
    )


def _flaw(
    tasks: tuple[Task, ...], standard: Standard, snapshot: Snapshot, nodes: Mapping[str, Node]
) -> str:
    """Why a slot does not run the spec; empty if it does."""
    if not tasks:
        return "no task"
    if len(tasks) > 1:
        return f"{len(tasks)} tasks at once"
    task = tasks[0]
    if not clean(task, standard.spec, nodes) or task.id in standard.stale:
        return "still runs the old spec"
    if snapshot.up_to_date is None or task.id not in snapshot.up_to_date:
        return "the engine does not call its task up to date"
    if task.state is not TaskState.RUNNING:
        words = f": {task.error}" if task.error else ""
        return f"its task is {task.state.name.lower()}{words}"
    return ""


def _proven_by(
    task: Task, standard: Standard, snapshot: Snapshot, seen: Mapping[str, Sighting]
) -> tuple[str, float]:
    """Who proved that the monitor time is over, or nobody yet; and when our own watch ends."""
    now = snapshot.taken_at
    if task.id in standard.older:
        return "running", now
    if task.id in standard.proven:
        return standard.proven[task.id], now
    if standard.witness and task.slot_key not in standard.trouble:
        return "engine", now
    sighting = seen.get(task.id)
    since = now if sighting is None or sighting.running_since is None else sighting.running_since
    ends = since + standard.monitor
    return ("watch" if now >= ends else ""), ends


def _slot_proof(
    task: Task,
    by: str,
    standard: Standard,
    seen: Mapping[str, Sighting],
    nodes: Mapping[str, Node],
) -> SlotProof:
    node = nodes.get(task.node_id)
    sighting = seen.get(task.id)
    if standard.spec.healthcheck is None:
        health = "process"
    else:
        health = "engine" if standard.unbroken else "reported by the engine"
    _, _, digest = task.image.partition("@")
    return SlotProof(
        slot=task.slot_key,
        task_id=task.id,
        node=(node.hostname if node else "") or task.node_id,
        node_id=task.node_id,
        image=task.image,
        digest=digest,
        healthy_since=sighting.running_at if sighting else None,
        health=health,
        proven_by=by,
        spec_version=standard.spec.rollout_label,
    )
