"""
The scheduler: which node a task goes to, or why to none.

After swarmkit manager/scheduler (scheduler.go, filter.go, nodeinfo.go, pipeline.go).
"""

from __future__ import annotations

from swarmroll.core.snapshot import TaskState
from swarmroll.sim.clock import Scope
from swarmroll.sim.nodes import SimNode
from swarmroll.sim.specs import satisfies, supports
from swarmroll.sim.store import Store
from swarmroll.sim.tasks import SimTask
from swarmroll.sim.timing import Timing

MAX_FAILURES = 5
"""From so many recent failures on, other nodes are preferred (scheduler.go, maxFailures)."""

_REASONS = (
    ("1 node not available for new tasks", "{} nodes not available for new tasks"),
    ("insufficient resources on 1 node", "insufficient resources on {} nodes"),
    (
        "scheduling constraints not satisfied on 1 node",
        "scheduling constraints not satisfied on {} nodes",
    ),
    ("unsupported platform on 1 node", "unsupported platform on {} nodes"),
    ("host-mode port already in use on 1 node", "host-mode port already in use on {} nodes"),
    ("max replicas per node limit exceed", "max replicas per node limit exceed"),
)
_READY, _RESOURCES, _CONSTRAINTS, _PLATFORM, _PORTS, _REPLICAS = range(6)


class Scheduler:
    """The leader's scheduler; it gathers changes for a moment, then decides."""

    def __init__(self, store: Store, scope: Scope, timing: Timing) -> None:
        self._store = store
        self._scope = scope
        self._timing = timing
        self._pending: dict[str, SimTask] = {}
        self._due = False

    @property
    def busy(self) -> bool:
        """Whether a decision is due."""
        return self._due

    def task_changed(self, task: SimTask) -> None:
        """A task waits for a node, or one that ended gave back what it held."""
        if task.state is TaskState.PENDING:
            self._pending[task.id] = task
            self._soon()
        elif task.ended:
            self._failed(task)
            if self._pending:
                self._soon()

    def task_removed(self, task: SimTask) -> None:
        """A removed task gives back what it held."""
        self._pending.pop(task.id, None)
        if self._pending:
            self._soon()

    def node_changed(self, _node: SimNode) -> None:
        """A node changed; what waits may fit now."""
        if self._pending:
            self._soon()

    def adopt(self) -> None:
        """Take over what waits when this leader begins."""
        for task in self._store.tasks.values():
            if task.state is TaskState.PENDING:
                self._pending[task.id] = task
        if self._pending:
            self._soon()

    def _soon(self) -> None:
        if not self._due:
            self._due = True
            self._scope.later(self._timing.schedule, self._tick)

    def _tick(self) -> None:
        self._due = False
        waiting = [t for t in self._pending.values() if t.in_store and t.state is TaskState.PENDING]
        self._pending = {task.id: task for task in waiting}
        for task in waiting:
            if task.node is not None:
                self._confirm(task, task.node)
        for task in waiting:
            if task.node is None:
                self._place(task)
        self._due = False
        for task in waiting:
            if task.state is not TaskState.PENDING:
                self._pending.pop(task.id, None)

    def _confirm(self, task: SimTask, node: SimNode) -> None:
        """A task of a global service fits its node, or says why not (taskFitNode)."""
        if task.desired > TaskState.COMPLETE:
            return
        failed = _obstacle(task, node)
        if failed is None:
            self._assign(task, node, "scheduler confirmed task can run on preassigned node")
        else:
            self._explain(task, _explain([failed]))

    def _place(self, task: SimTask) -> None:
        """
        Give a task the best node that fits it (scheduleTaskGroup).

        One that nobody wants any more is no exception: it gets a node, whose agent ends it.
        """
        obstacles: list[int] = []
        fitting: list[SimNode] = []
        for node in self._store.nodes.values():
            failed = _obstacle(task, node)
            if failed is None:
                fitting.append(node)
            else:
                obstacles.append(failed)
        if not fitting:
            if task.desired > TaskState.COMPLETE and self._outdated(task):
                return
            reasons = _explain(obstacles)
            self._explain(task, f"no suitable node ({reasons})" if reasons else "no suitable node")
            return
        self._assign(task, self._best(task, fitting), "scheduler assigned task to node")

    def _best(self, task: SimTask, nodes: list[SimNode]) -> SimNode:
        """Fewest recent failures, then spread, then fewest tasks; a tie is a toss (nodeLess)."""
        now = self._store.clock.now
        service = task.service_id
        version = task.spec.version
        if task.spec.spread:
            nodes = self._spread(task, nodes)
        ranked = [
            (
                failures if failures >= MAX_FAILURES else 0,
                node.active_by_service.get(service, 0),
                node.active,
                node,
            )
            for node in nodes
            for failures in (node.recent_failures(service, version, now),)
        ]
        least = min(rank[:3] for rank in ranked)
        ties = [rank[3] for rank in ranked if rank[:3] == least]
        return ties[0] if len(ties) == 1 else self._store.rng.choice(ties)

    def _spread(self, task: SimTask, nodes: list[SimNode]) -> list[SimNode]:
        """Keep only the branch with the fewest tasks, one preference after the other."""
        for descriptor in task.spec.spread:
            branches: dict[str, list[SimNode]] = {}
            for node in nodes:
                branches.setdefault(_branch(descriptor, node), []).append(node)
            counts = {
                value: sum(node.active_by_service.get(task.service_id, 0) for node in branch)
                for value, branch in branches.items()
            }
            nodes = branches[min(counts, key=lambda value: counts[value])]
        return nodes

    def _assign(self, task: SimTask, node: SimNode, message: str) -> None:
        task.node = node
        node.tasks[task.id] = task
        task.state = TaskState.ASSIGNED
        task.message = message
        task.error = ""
        task.state_at = self._store.clock.wall
        self._store.task_written(task, f"ASSIGNED to {node.hostname}")
        self._store.desired_changed(task)

    def _explain(self, task: SimTask, error: str) -> None:
        if task.error == error:
            return
        task.message = "pending task scheduling"
        task.error = error
        task.state_at = self._store.clock.wall
        self._store.task_written(task, f"PENDING: {error}")

    def _outdated(self, task: SimTask) -> bool:
        """
        Clean up a task that nobody wants and no node can have (scheduler.go, noSuitableNode).

        Only where the service's spec version is the newer one: in a rollback it is the older,
        and then the updater waits for this task in vain.
        """
        service = self._store.services.get(task.service_id)
        if service is None or service.spec.version <= task.spec.version:
            return False
        task.state = TaskState.SHUTDOWN
        task.error = ""
        task.state_at = self._store.clock.wall
        self._store.task_written(task, "SHUTDOWN, never assigned")
        return True

    def _failed(self, task: SimTask) -> None:
        if task.node is None or task.state not in (TaskState.FAILED, TaskState.REJECTED):
            return
        now = self._store.clock.now
        if task.state_at == self._store.clock.wall:
            failures = task.node.failures.setdefault((task.service_id, task.spec.version), [])
            if not failures or failures[-1] != now:
                failures.append(now)
                del failures[: -2 * MAX_FAILURES]


def _obstacle(task: SimTask, node: SimNode) -> int | None:
    """The first filter that keeps a task off a node (pipeline.go, Process)."""
    spec = task.spec
    if not node.usable:
        return _READY
    reserved = spec.reservations
    if reserved.nano_cpus > node.free_cpus or reserved.memory > node.free_memory:
        return _RESOURCES
    if not satisfies(spec, node):
        return _CONSTRAINTS
    if not supports(spec, node):
        return _PLATFORM
    if any(node.host_ports.get(port) for port in spec.host_ports):
        return _PORTS
    if spec.max_replicas and node.active_by_service.get(task.service_id, 0) >= spec.max_replicas:
        return _REPLICAS
    return None


def _explain(obstacles: list[int]) -> str:
    """The engine's words, the most frequent reason first (pipeline.go, Explain)."""
    counts = sorted(
        ((obstacles.count(kind), kind) for kind in set(obstacles)), key=lambda c: (-c[0], c[1])
    )
    return "; ".join(_REASONS[kind][number > 1].format(number) for number, kind in counts)


def _branch(descriptor: str, node: SimNode) -> str:
    for prefix, labels in (("node.labels.", node.labels), ("engine.labels.", node.engine_labels)):
        if descriptor.startswith(prefix):
            return labels.get(descriptor[len(prefix) :], "")
    return ""
