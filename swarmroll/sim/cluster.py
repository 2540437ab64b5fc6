"""Nodes that come and go, and who leads."""

from __future__ import annotations

import random

from swarmroll.core.snapshot import Availability, NodeState, TaskState
from swarmroll.errors import EngineError
from swarmroll.sim.agent import Agents
from swarmroll.sim.leader import Leader
from swarmroll.sim.nodes import SimNode
from swarmroll.sim.store import Store
from swarmroll.sim.tasks import SimTask
from swarmroll.sim.timing import Timing

_UNKNOWN = 'Node moved to "unknown" state due to leadership change in cluster'


class Cluster:
    """
    The managers' view of the nodes (swarmkit manager/dispatcher), and the leader.

    Attributes:
        leader: Whose memory holds the updaters; None during an election.
        term: Counts the changes of leader.
    """

    def __init__(
        self, store: Store, agents: Agents, timing: Timing, rng: random.Random, history: int
    ) -> None:
        self._store = store
        self._agents = agents
        self._timing = timing
        self._rng = rng
        self._history = history
        self.leader: Leader | None = None
        self.term = 0
        self._electing = False
        self._health_bypass = False

    def begin(self) -> None:
        """The first leader takes office; nothing has happened yet."""
        self._crown(next(n for n in self._store.nodes.values() if n.role == "manager"))

    # Nodes

    def disconnect(self, node: SimNode, *, power: bool) -> None:
        """
        A node cannot be heard any more; without power its containers end as well.

        It is found to be down 8 to 16.5 s later, after three missed heartbeats.
        """
        if node.leader:
            self.depose(election=None, power=power, health_bypass=False)
            node.linked = node.linked and power
            return
        if power and node.powered:
            self._agents.lose_power(node)
            self._store.note("node", node.hostname, "lost its power")
        elif not power and node.linked:
            node.linked = False
            self._store.note("node", node.hostname, "cut off")
        node.session = False
        node.lost += 1
        beat = self._timing.heartbeat
        patience = 3 * self._rng.uniform(0.9 * beat, 1.1 * beat) - self._rng.uniform(0.0, beat)
        self._store.clock.later(patience, self._missed, node, node.lost)
        self._settle_moving(node)
        if node.role == "manager" and not self._quorum:
            self.depose(election=None, power=False, health_bypass=False)

    def reconnect(self, node: SimNode) -> None:
        """A node is back, and registers with the leader."""
        if not node.powered:
            self._agents.regain_power(node)
        node.linked = True
        node.lost += 1
        if self.leader is None:
            self._call_election(node, self._timing.election[0])
            return
        wait = self._rng.uniform(*self._timing.register) / 5
        self._store.clock.later(wait, self._register, node, node.lost)

    def remove(self, node: SimNode, *, force: bool) -> None:
        """
        Take a node out of the swarm, as somebody asked (controlapi/node.go, RemoveNode).

        Its tasks are given up at once, and made elsewhere; nobody ends its containers.

        Raises:
            EngineError: It is a manager, or it is not down and not forced to go.
        """
        if node.role == "manager":
            text = (
                f"node {node.id} is a cluster manager and is a member of the raft cluster. "
                "It must be demoted to worker before removal"
            )
            raise EngineError(f"rpc error: code = FailedPrecondition desc = {text}", status=400)
        if not force and node.state is NodeState.READY:
            text = f"node {node.id} is not down and can't be removed"
            raise EngineError(f"rpc error: code = FailedPrecondition desc = {text}", status=400)
        node.linked = node.session = False
        node.lost += 1
        node.state = NodeState.DOWN
        self._give_up_tasks(node)
        self._store.node_written(node, "removed", action="remove")
        del self._store.nodes[node.id]

    def set_availability(self, node: SimNode, availability: Availability) -> None:
        """Active, pause or drain, as somebody asked."""
        if node.availability is not availability:
            node.availability = availability
            self._store.node_written(node, f"availability {availability.value}")

    def set_role(self, node: SimNode, role: str) -> None:
        """
        Promote or demote a node, as somebody asked.

        A leader that is demoted hands over first.
        """
        if node.role == role:
            return
        node.role = role
        self._store.node_written(node, f"role {role}")
        if node.leader:
            self.depose(election=None, power=False, health_bypass=False)

    def replace_labels(self, node: SimNode, labels: dict[str, str]) -> None:
        """Set all labels, as a write of the whole node spec does."""
        if node.labels != labels:
            node.labels = dict(labels)
            self._store.node_written(node, f"labels {node.labels}")

    def set_labels(self, node: SimNode, labels: dict[str, str | None]) -> None:
        """Add labels, or remove those whose value is None."""
        merged = {**node.labels, **labels}
        node.labels = {key: value for key, value in merged.items() if value is not None}
        self._store.node_written(node, f"labels {node.labels}")

    def _missed(self, node: SimNode, lost: int) -> None:
        if node.lost == lost and self.leader is not None and node.state is not NodeState.DOWN:
            self._set_down(node, "heartbeat failure")

    def _set_down(self, node: SimNode, message: str) -> None:
        node.state = NodeState.DOWN
        node.message = message
        self._store.node_written(node, f"state down: {message}")
        self._store.clock.later(self._timing.orphan, self._orphan, node, node.lost)

    def _orphan(self, node: SimNode, lost: int) -> None:
        if node.lost != lost or node.state is not NodeState.DOWN:
            return
        self._give_up_tasks(node)

    def _give_up_tasks(self, node: SimNode) -> None:
        for task in tuple(node.tasks.values()):
            if TaskState.ASSIGNED <= task.state <= TaskState.RUNNING:
                task.state = TaskState.ORPHANED
                task.state_at = self._store.clock.wall
                task.skew = 0.0
                self._store.task_written(task, "ORPHANED")

    def _register(self, node: SimNode, lost: int) -> None:
        if node.lost != lost or not (node.powered and node.linked) or self.leader is None:
            return
        node.session = True
        if node.state is not NodeState.READY:
            node.state = NodeState.READY
            node.message = ""
            self._store.node_written(node, "state ready")
        self._agents.speak(node)
        self._settle_moving(node)

    def _settle_moving(self, node: SimNode) -> None:
        for task in node.tasks.values():
            if task.in_motion:
                self._store.moving.add(task.id)
            else:
                self._store.moving.discard(task.id)

    # Leaders

    @property
    def _quorum(self) -> bool:
        """Whether more than half of the managers hear each other: nobody leads otherwise."""
        managers = [node for node in self._store.nodes.values() if node.role == "manager"]
        return 2 * sum(1 for node in managers if node.powered and node.linked) > len(managers)

    def depose(self, *, election: float | None, power: bool, health_bypass: bool) -> None:
        """The leader is lost: everything in its memory is gone, and nobody leads for a while."""
        if self.leader is None:
            return
        old = next(node for node in self._store.nodes.values() if node.leader)
        self._store.note("swarm", old.hostname, "lost the leadership")
        self.leader.end()
        self.leader = None
        self._store.leader = None
        self._health_bypass = health_bypass
        self.term += 1
        old.leader = False
        old.value = None
        for node in self._store.nodes.values():
            node.session = False
            node.lost += 1
        if power:
            self._agents.lose_power(old)
        wait = self._rng.uniform(*self._timing.election) if election is None else election
        self._call_election(old, wait)

    def _call_election(self, old: SimNode, wait: float) -> None:
        if not self._electing:
            self._electing = True
            self._store.clock.later(wait, self._elect, old)

    def _elect(self, old: SimNode) -> None:
        self._electing = False
        managers = [
            node
            for node in self._store.nodes.values()
            if node.role == "manager" and node.powered and node.linked
        ]
        others = [node for node in managers if node is not old]
        if not self._quorum:
            text = "nobody can lead: not more than half of the managers are there"
            self._store.note("swarm", old.hostname, text)
            return
        for node in self._store.nodes.values():
            node.state = NodeState.UNKNOWN
            node.message = _UNKNOWN
            node.value = None
        self._crown(self._rng.choice(others or managers))
        for node in self._store.nodes.values():
            self._store.tell_of(node)
        self._store.hint("", "leader")
        for node in self._store.nodes.values():
            wait = self._rng.uniform(*self._timing.register)
            self._store.clock.later(wait, self._register, node, node.lost)
            # Two grace periods of three heartbeats, then it is down.
            limit = 2 * 3 * self._timing.heartbeat
            self._store.clock.later(limit, self._unheard, node, self.term)
        if self._health_bypass:
            self._bypass_health()

    def _crown(self, node: SimNode) -> None:
        node.leader = True
        node.value = None
        self.leader = Leader(self._store, self._timing, self._history)
        self._store.leader = self.leader
        self._store.node_written(node, "leads")
        self.leader.take_over()

    def _unheard(self, node: SimNode, term: int) -> None:
        if self.term == term and node.state is NodeState.UNKNOWN:
            self._set_down(node, 'heartbeat failure for node in "unknown" state')

    def _bypass_health(self) -> None:
        """
        Containers that run, but were never healthy, are reported as running.

        Seen on a real engine after changes of leader (controller.go, Do re-enters Start).
        """
        starting: list[SimTask] = [
            task for task in self._store.tasks.values() if task.local is TaskState.STARTING
        ]
        for task in starting:
            self._agents.report_running(task)
