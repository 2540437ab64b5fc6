"""Tasks: one attempt each to run one container."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from swarmroll.core.snapshot import Task, TaskState

if TYPE_CHECKING:
    from swarmroll.sim.clock import Scope
    from swarmroll.sim.nodes import SimNode
    from swarmroll.sim.specs import StoredSpec

_ASSIGNED = TaskState.ASSIGNED
_RUNNING = TaskState.RUNNING
_COMPLETE = TaskState.COMPLETE


class SimTask:
    """
    A task, as the managers store it and as its agent lives it.

    Attributes:
        spec: The stored spec that it was made from, with its spec version.
        iteration: Which run of a job it belongs to.
        state: Observed state, as last reported; only ever increases.
        desired: What the managers want; only ever increases.
        local: How far the agent has come, which the managers may not have heard yet.
        told: The desired state that the agent knows.
        exits_at: When its process ends by itself, if it is not stopped before.
        stopping: Whether the agent has begun to stop it.
        state_at: When it came to this state, or its agent last said so, by the managers' clock.
        applied_at: When its agent last said anything of it.
        skew: What the clock of the node that reported it adds to that.
        container: Timers of its container; they end with it.
    """

    __slots__ = (
        "applied_at",
        "container",
        "container_id",
        "counted_active",
        "counted_holding",
        "created_at",
        "desired",
        "error",
        "exit_code",
        "exits_at",
        "id",
        "in_store",
        "iteration",
        "local",
        "message",
        "node",
        "service_id",
        "skew",
        "slot",
        "spec",
        "state",
        "state_at",
        "stopping",
        "told",
        "updated_at",
        "value",
        "version",
    )

    def __init__(
        self,
        *,
        task_id: str,
        service_id: str,
        spec: StoredSpec,
        slot: int | None,
        node: SimNode | None,
        desired: TaskState,
        at: float,
        iteration: int = 0,
    ) -> None:
        self.id = task_id
        self.service_id = service_id
        self.spec = spec
        self.slot = slot
        self.node = node
        self.desired = desired
        self.state = TaskState.NEW
        self.local = TaskState.NEW
        self.told = TaskState.NEW
        self.exits_at: float | None = None
        self.stopping = False
        self.message = "created"
        self.error = ""
        self.exit_code: int | None = None
        self.container_id = ""
        self.created_at = at
        self.updated_at = at
        self.state_at = at
        self.applied_at = at
        self.skew = 0.0
        self.version = 0
        self.in_store = True
        self.iteration = iteration
        self.counted_active = False
        self.counted_holding = False
        self.container: Scope | None = None
        self.value: Task | None = None

    @property
    def runnable(self) -> bool:
        """Whether the managers want it to run, now or soon."""
        return self.desired <= _RUNNING

    @property
    def ended(self) -> bool:
        """Whether its observed state is past RUNNING."""
        return self.state > _RUNNING

    @property
    def wanted_active(self) -> bool:
        """Whether the scheduler counts it (nodeinfo.go, addTask)."""
        return self.desired <= _COMPLETE and _ASSIGNED <= self.state <= _RUNNING

    @property
    def holds_resources(self) -> bool:
        """Whether its reservations and host-mode ports are taken."""
        return _ASSIGNED <= self.state <= _RUNNING

    @property
    def in_motion(self) -> bool:
        """Whether something about it will change by itself."""
        if self.desired > _RUNNING and self.desired is not _COMPLETE:
            if self.ended:
                return False
            return self.node is None or self.node.reachable
        if self.state >= _RUNNING:
            return self.ended and self.desired <= _RUNNING
        if self.state <= TaskState.PENDING and self.error:
            return False
        return self.node is None or self.node.reachable

    def seen(self, template: Callable[[StoredSpec], object]) -> Task:
        """As the core sees it; built once for each change."""
        if self.value is None:
            self.value = Task(
                id=self.id,
                slot=self.slot,
                node_id="" if self.node is None else self.node.id,
                state=self.state,
                desired=self.desired,
                created_at=self.created_at,
                state_at=self.state_at + self.skew,
                message=self.message,
                error=self.error,
                exit_code=self.exit_code,
                container_id=self.container_id,
                image=self.spec.image,
                template=template(self.spec),
            )
        return self.value


def container_name(task: SimTask) -> str:
    """``service.slot.task``, as the engine names it."""
    place = task.slot if task.slot is not None else "" if task.node is None else task.node.id
    return f"{task.spec.name}.{place}.{task.id}"


def container_labels(task: SimTask) -> dict[str, str]:
    """The labels that swarm puts on it, and those of the spec."""
    spec = task.spec.template.get("ContainerSpec") or {}
    return {
        **(spec.get("Labels") or {}),
        "com.docker.swarm.node.id": "" if task.node is None else task.node.id,
        "com.docker.swarm.service.id": task.service_id,
        "com.docker.swarm.service.name": task.spec.name,
        "com.docker.swarm.task": "",
        "com.docker.swarm.task.id": task.id,
        "com.docker.swarm.task.name": container_name(task),
    }
