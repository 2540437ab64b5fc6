"""The swarm at one moment, as far as one service is concerned, and pure questions about it."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping

import attrs

from swarmroll.core.document import Document
from swarmroll.core.redact import mask_document, mask_text
from swarmroll.core.spec import ServiceSpec


class TaskState(enum.IntEnum):
    """
    How far a task has come; an observed state only ever increases.

    The numbers are swarmkit's own (api/types.proto, TaskState), so that they compare as it does.
    """

    NEW = 0
    ALLOCATED = 32
    PENDING = 64
    ASSIGNED = 192
    ACCEPTED = 256
    PREPARING = 320
    READY = 384
    STARTING = 448
    RUNNING = 512
    COMPLETE = 576
    SHUTDOWN = 640
    FAILED = 704
    REJECTED = 768
    REMOVE = 800
    ORPHANED = 832

    @property
    def terminal(self) -> bool:
        """Whether a task in this observed state will never run again."""
        return self > TaskState.RUNNING


class UpdateState(enum.StrEnum):
    """What the engine says of its own updater (swarmkit api/types.proto, UpdateStatus)."""

    UPDATING = "updating"
    PAUSED = "paused"
    COMPLETED = "completed"
    ROLLBACK_STARTED = "rollback_started"
    ROLLBACK_PAUSED = "rollback_paused"
    ROLLBACK_COMPLETED = "rollback_completed"
    UNKNOWN = "unknown"


BUSY = (UpdateState.UPDATING, UpdateState.ROLLBACK_STARTED)
"""The engine's updater is at work."""


@attrs.frozen(kw_only=True)
class UpdateStatus:
    """
    The engine's word about its updater. A hint: see swarmroll.core.proof for what it proves.

    Attributes:
        started_at: Manager's clock, seconds since the epoch; kept by an automatic rollback.
        completed_at: Manager's clock; only for completed and rollback_completed.
    """

    state: UpdateState
    message: str = ""
    started_at: float | None = None
    completed_at: float | None = None


@attrs.frozen(kw_only=True)
class Service:
    """
    A service as the engine stores it.

    Attributes:
        version: Version index; a write is accepted only with exactly this number.
        update_status: None when the engine sends none, which proves nothing (never updated, a
            no-op update, or not reacted yet).
        created_at: Manager's clock, seconds since the epoch.
        updated_at: Manager's clock, seconds since the epoch.
        raw: The whole document, every key that the engine sent.
    """

    id: str
    name: str
    version: int
    spec: ServiceSpec
    previous_spec: ServiceSpec | None = None
    update_status: UpdateStatus | None = None
    created_at: float = 0.0
    updated_at: float = 0.0
    raw: Mapping[str, object] = attrs.field(factory=dict, eq=False, repr=False)


@attrs.frozen(kw_only=True, repr=False)
class Task:
    """
    One attempt to run one container of a service.

    Attributes:
        slot: Replica number from 1; None for tasks of a global service, whose slot is the node.
        node_id: Empty until the task is assigned.
        state: What the agent last reported (observed state).
        desired: What the manager wants.
        created_at: Manager's clock, seconds since the epoch.
        state_at: Agent's clock, seconds since the epoch: never compare it with the manager's.
        updated_at: Manager's clock, seconds since the epoch: when its record last changed, which
            for a task that has ended is when the manager was told so, or soon after.
        error: The engine's own words (``Status.Err``).
        exit_code: Of the container, when it has ended; None otherwise.
        template: The TaskTemplate that the task was made from, in a form that compares by value
            with ``ServiceSpec.template``.
    """

    id: str
    slot: int | None = None
    node_id: str = ""
    state: TaskState = TaskState.NEW
    desired: TaskState = TaskState.RUNNING
    created_at: float = 0.0
    state_at: float = 0.0
    updated_at: float = 0.0
    message: str = ""
    error: str = ""
    exit_code: int | None = None
    container_id: str = ""
    image: str = ""
    template: object = attrs.field(default=None, repr=False)

    def __repr__(self) -> str:
        # The engine likes to quote what a task was to run with.
        known: set[str] = set()
        if isinstance(self.template, Document):
            mask_document(("TaskTemplate",), self.template.to_engine(), known)
        words = (
            f"{field.name}={getattr(self, field.name)!r}"
            for field in attrs.fields(type(self))
            if field.name != "template"
        )
        return mask_text(f"Task({', '.join(words)})", known)

    @property
    def slot_key(self) -> SlotKey:
        """Replica number, or the node for a task of a global service."""
        return self.node_id if self.slot is None else self.slot

    @property
    def runnable(self) -> bool:
        """Whether the manager wants it to run, now or soon (desired state at most RUNNING)."""
        return self.desired <= TaskState.RUNNING

    @property
    def running(self) -> bool:
        """Whether it runs and is wanted; with a health check, RUNNING means healthy once."""
        return self.runnable and self.state == TaskState.RUNNING


SlotKey = int | str
"""Replica number of a replicated service, node id of a global one."""


class NodeState(enum.StrEnum):
    """UNKNOWN means "don't know": after a leader change every node is, for a while."""

    READY = "ready"
    DOWN = "down"
    DISCONNECTED = "disconnected"
    UNKNOWN = "unknown"


class Availability(enum.StrEnum):
    """Whether the scheduler may use a node."""

    ACTIVE = "active"
    PAUSE = "pause"
    DRAIN = "drain"


@attrs.frozen(kw_only=True)
class Node:
    """
    A machine of the swarm, with what placement constraints may ask about it.

    Attributes:
        updated_at: Manager's clock, seconds since the epoch: when the node last changed in any
            way (lost, back, drained, relabelled). Heartbeats do not count.
    """

    id: str
    hostname: str = ""
    role: str = "worker"
    state: NodeState = NodeState.READY
    availability: Availability = Availability.ACTIVE
    leader: bool = False
    labels: Mapping[str, str] = attrs.field(factory=dict)
    engine_labels: Mapping[str, str] = attrs.field(factory=dict)
    os: str = ""
    arch: str = ""
    addr: str = ""
    engine_version: str = ""
    updated_at: float = 0.0

    @property
    def schedulable(self) -> bool:
        """Whether it may be given new tasks now."""
        return self.state is NodeState.READY and self.availability is Availability.ACTIVE


class Depth(enum.IntEnum):
    """
    How much of the swarm a look takes in; each level costs the engine more.

    SERVICE is the service alone. TARGET adds the tasks that the engine lists as up to date with
    the current spec, dead ones too. FULL adds every task that the swarm remembers. NODES adds
    the nodes.
    """

    SERVICE = 1
    TARGET = 2
    FULL = 3
    NODES = 4


@attrs.frozen(kw_only=True)
class Snapshot:
    """
    What one look saw.

    Attributes:
        taken_at: The observer's monotonic clock, seconds, when the look was over.
        wall: The observer's wall clock at the same moment, seconds since the epoch; for people.
        service: None when the service is gone.
        depth: How much was looked at.
        tasks: Empty at depth SERVICE; only up-to-date tasks at TARGET; every task from FULL on.
        up_to_date: Ids of the tasks that the engine itself lists as up to date; None when it
            was not asked.
        nodes: By id; empty below depth NODES.
        unbroken_since: Observer's monotonic clock: since then the event stream has not been
            interrupted and no change of leader was seen; None when there is no stream now.
    """

    taken_at: float
    wall: float = 0.0
    service: Service | None = None
    depth: Depth = Depth.SERVICE
    tasks: tuple[Task, ...] = ()
    up_to_date: frozenset[str] | None = None
    nodes: Mapping[str, Node] = attrs.field(factory=dict)
    unbroken_since: float | None = None


def by_slot(tasks: Iterable[Task]) -> dict[SlotKey, tuple[Task, ...]]:
    """Tasks of each slot, newest first (by the manager's clock, then by id to be stable)."""
    slots: dict[SlotKey, list[Task]] = {}
    for task in tasks:
        slots.setdefault(task.slot_key, []).append(task)
    return {
        key: tuple(sorted(found, key=lambda t: (t.created_at, t.id), reverse=True))
        for key, found in slots.items()
    }
