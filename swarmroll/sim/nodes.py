"""Nodes: what they are, what the managers think of them, and what runs on them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swarmroll.core.snapshot import Availability, Node, NodeState

if TYPE_CHECKING:
    from swarmroll.sim.agent import Report
    from swarmroll.sim.tasks import SimTask

GIB = 1 << 30


class SimNode:
    """
    One machine of the simulated swarm.

    Attributes:
        state: What the managers think of it.
        availability: What somebody asked for.
        powered: Whether its engine runs; without power its containers are gone.
        linked: Whether it can reach the managers.
        session: Whether it is registered with the present leader.
        skew: Seconds that its clock is ahead of the managers'.
        tasks: Every task that the swarm remembers for it, by id.
        unsent: Reports of its agent that no manager has heard yet, in order.
        active: Tasks here that the managers want (desired state at most COMPLETE).
        failures: When tasks of a service and spec failed here, the last five minutes.
    """

    __slots__ = (
        "active",
        "active_by_service",
        "addr",
        "arch",
        "availability",
        "cpus",
        "created_at",
        "engine_labels",
        "engine_version",
        "failures",
        "free_cpus",
        "free_memory",
        "host_ports",
        "hostname",
        "id",
        "labels",
        "leader",
        "linked",
        "lost",
        "memory",
        "message",
        "os",
        "powered",
        "role",
        "session",
        "skew",
        "state",
        "tasks",
        "unsent",
        "updated_at",
        "value",
        "version",
    )

    def __init__(
        self,
        *,
        node_id: str,
        hostname: str,
        role: str,
        addr: str,
        cpus: int = 8,
        memory: int = 16 * GIB,
        engine_version: str = "28.5.2",
        at: float = 0.0,
    ) -> None:
        self.id = node_id
        self.hostname = hostname
        self.role = role
        self.addr = addr
        self.os = "linux"
        self.arch = "x86_64"
        self.labels: dict[str, str] = {}
        self.engine_labels: dict[str, str] = {}
        self.engine_version = engine_version
        self.created_at = at
        self.updated_at = at
        self.skew = 0.0
        self.state = NodeState.READY
        self.availability = Availability.ACTIVE
        self.message = ""
        self.leader = False
        self.powered = True
        self.linked = True
        self.session = True
        self.lost = 0
        self.cpus = cpus * 1_000_000_000
        self.memory = memory
        self.free_cpus = self.cpus
        self.free_memory = memory
        self.host_ports: dict[tuple[str, int], int] = {}
        self.tasks: dict[str, SimTask] = {}
        self.unsent: list[Report] = []
        self.active = 0
        self.active_by_service: dict[str, int] = {}
        self.failures: dict[tuple[str, int], list[float]] = {}
        self.version = 0
        self.value: Node | None = None

    @property
    def reachable(self) -> bool:
        """Whether the agent and the leader hear each other."""
        return self.powered and self.linked and self.session

    @property
    def reachability(self) -> str:
        """What the managers say of a manager."""
        return "reachable" if self.powered and self.linked else "unreachable"

    @property
    def given_up(self) -> bool:
        """Whether the managers know that it is lost, and it is not about to come back."""
        return self.state is NodeState.DOWN and not (self.powered and self.linked)

    @property
    def usable(self) -> bool:
        """Whether the scheduler may put tasks here (scheduler/filter.go, ReadyFilter)."""
        return self.state is NodeState.READY and self.availability is Availability.ACTIVE

    @property
    def invalid(self) -> bool:
        """Whether tasks cannot stay here (orchestrator/task.go, InvalidNode)."""
        return self.state is NodeState.DOWN or self.availability is Availability.DRAIN

    def seen(self) -> Node:
        """As the core sees it."""
        if self.value is None:
            self.value = Node(
                id=self.id,
                hostname=self.hostname,
                role=self.role,
                state=self.state,
                availability=self.availability,
                leader=self.leader,
                labels=dict(self.labels),
                engine_labels=dict(self.engine_labels),
                os=self.os,
                arch=self.arch,
                addr=self.addr,
                engine_version=self.engine_version,
                updated_at=self.updated_at,
            )
        return self.value

    def account(self, task: SimTask) -> None:
        """
        Bring the scheduler's books up to date with a task of this node.

        Active tasks go by the desired state; reservations and host-mode ports are held until
        the observed state passes RUNNING (swarmkit manager/scheduler/nodeinfo.go).
        """
        active = task.in_store and task.wanted_active
        if active is not task.counted_active:
            task.counted_active = active
            step = 1 if active else -1
            self.active += step
            by_service = self.active_by_service
            by_service[task.service_id] = by_service.get(task.service_id, 0) + step
        holds = task.in_store and task.holds_resources
        if holds is not task.counted_holding:
            task.counted_holding = holds
            step = 1 if holds else -1
            reserved = task.spec.reservations
            self.free_cpus -= step * reserved.nano_cpus
            self.free_memory -= step * reserved.memory
            for port in task.spec.host_ports:
                self.host_ports[port] = self.host_ports.get(port, 0) + step

    def recent_failures(self, service_id: str, version: int, now: float) -> int:
        """Failures here within five minutes (nodeinfo.go, countRecentFailures)."""
        found = self.failures.get((service_id, version))
        if not found:
            return 0
        return sum(1 for at in found if now - at <= 300.0)
