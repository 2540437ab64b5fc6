"""``SimSwarm``: a Docker Swarm that behaves like the real one, in process and in virtual time."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, Unpack

from swarmroll.core.snapshot import Availability, NodeState, Service, Task, UpdateState
from swarmroll.core.spec import ServiceSpec
from swarmroll.journal.memory import MemoryJournal
from swarmroll.sim.agent import KILLED, Agents
from swarmroll.sim.clock import VirtualClock
from swarmroll.sim.cluster import Cluster
from swarmroll.sim.control import Control, remove_reference
from swarmroll.sim.documents import service_document
from swarmroll.sim.engine import SimEngine, template
from swarmroll.sim.faults import Faults
from swarmroll.sim.images import BehaviourWords, Images
from swarmroll.sim.inline import InlineExecutor
from swarmroll.sim.nodes import SimNode
from swarmroll.sim.store import Happening, Store
from swarmroll.sim.tasks import SimTask
from swarmroll.sim.timing import Timing
from swarmroll.swarm import Swarm

if TYPE_CHECKING:
    from swarmroll.journal.port import Journal
    from swarmroll.runner import Observer

Change = Callable[[ServiceSpec], "ServiceSpec | Mapping[str, Any]"]


class NodeHandle:
    """What a test may do to one node."""

    def __init__(self, sim: SimSwarm, node: SimNode) -> None:
        self._sim = sim
        self._node = node

    @property
    def id(self) -> str:
        """The node's id."""
        return self._node.id

    @property
    def state(self) -> NodeState:
        """What the managers think of it now."""
        return self._node.state

    def down(self) -> None:
        """Its power fails: containers end, and after some heartbeats it is found to be down."""
        self._sim.cluster.disconnect(self._node, power=True)

    def cut_off(self) -> None:
        """It cannot reach the managers; its containers go on."""
        self._sim.cluster.disconnect(self._node, power=False)

    def up(self) -> None:
        """Power and network are back."""
        self._sim.cluster.reconnect(self._node)

    def drain(self) -> None:
        """Its tasks are to leave it."""
        self._sim.cluster.set_availability(self._node, Availability.DRAIN)

    def pause(self) -> None:
        """It gets no new tasks."""
        self._sim.cluster.set_availability(self._node, Availability.PAUSE)

    def activate(self) -> None:
        """It may be used again."""
        self._sim.cluster.set_availability(self._node, Availability.ACTIVE)

    def label(self, **labels: str | None) -> None:
        """Add node labels; None removes one."""
        self._sim.cluster.set_labels(self._node, labels)


class SimSwarm:
    """
    A simulated swarm.

    Nothing happens unless time moves: by ``run``, ``settle``, and by whatever waits or asks
    through an engine made here. The same calls on the same seed give the same ``trace``.

    Args:
        nodes: Number of nodes, managers included; they are called ``node-1``, ``node-2``, ...
        managers: How many of them, the first ones, are managers.
        seed: Of everything that is left to chance.
        timing: How long things take.
        history: Tasks kept per slot (TaskHistoryRetentionLimit).

    Raises:
        ValueError: A number of nodes or managers that makes no swarm.
    """

    def __init__(
        self,
        *,
        nodes: int = 3,
        managers: int = 1,
        seed: int = 7,
        timing: Timing | None = None,
        history: int = 5,
    ) -> None:
        if nodes < 1:
            raise ValueError(f"SimSwarm: nodes must be at least 1, got {nodes}")
        if not 1 <= managers <= nodes:
            raise ValueError(f"SimSwarm: managers must be 1 to {nodes}, got {managers}")
        self.lock = threading.RLock()
        self.clock = VirtualClock()
        self.timing = Timing() if timing is None else timing
        self.images = Images()
        self.faults = Faults()
        rng = random.Random(seed)
        self.store = Store(self.clock, rng)
        self.control = Control(self.store)
        self.events_flow = True
        self.unbroken_since = 0.0
        self._engines: list[SimEngine] = []
        self._conditions: list[tuple[Callable[[], bool], Callable[[], object]]] = []
        self._journal: Journal | None = None
        agents = self.agents = Agents(self.store, self.images, self.timing)
        for number in range(1, nodes + 1):
            self._make_node("manager" if number <= managers else "worker")
        self.cluster = Cluster(self.store, agents, self.timing, rng, history)
        self.store.hint = self._hint
        self.cluster.begin()

    def __enter__(self) -> Self:
        """Nothing needs to be opened."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()

    def close(self) -> None:
        """Close the engines that were made here; a second call does nothing."""
        for engine in self._engines:
            engine.close()
        self._engines.clear()

    @property
    def now(self) -> float:
        """Virtual seconds since the swarm was made."""
        return self.clock.now

    @property
    def trace(self) -> Sequence[Happening]:
        """Everything that happened, in order."""
        return self.store.trace

    # Setting the scene

    def image(
        self,
        name: str,
        *,
        on_nodes: Iterable[str] | None = None,
        on_slots: Iterable[int] | None = None,
        **behaviour: Unpack[BehaviourWords],
    ) -> None:
        """
        Say how an image behaves: see ``Behaviour`` for the words.

        Args:
            name: Reference of the image, as a spec names it.
            **behaviour: Fields of ``Behaviour``.
            on_nodes: Hostnames; an exception for these only, added to what was said before.
            on_slots: Slot numbers, likewise.

        Raises:
            ValueError: A node that does not exist, or a negative time.
            TypeError: A word that no image understands.
        """
        if on_nodes is not None:
            on_nodes = [self._node(hostname).hostname for hostname in on_nodes]
        self.images.tell(name, behaviour, on_nodes=on_nodes, on_slots=on_slots)

    def create_service(
        self,
        name: str,
        *,
        spec: Mapping[str, Any] | None = None,
        image: str | None = None,
        settle: float = 120.0,
        **shorthand: Any,
    ) -> Service:
        """
        Create a service, and let it settle.

        Args:
            name: The service's name.
            **shorthand: Words of ``service_document``, in place of a spec.
            spec: The whole spec as an Engine-API document; or else the image and the words of
                ``service_document``.
            image: Made known with the default behaviour if nobody told of it.
            settle: Virtual seconds after which a service that does not settle is left alone.
        """
        if spec is None:
            if image is None:
                raise ValueError(f"create_service: {name!r} needs an image or a spec")
            spec = service_document(name, image=image, **shorthand)
        elif shorthand or image is not None:
            raise ValueError("create_service: give a spec or shorthand words, not both")
        spec = {**spec, "Name": name}
        container = (spec.get("TaskTemplate") or {}).get("ContainerSpec") or {}
        used = container.get("Image", "")
        if used and not self.images.knows(used):
            self.image(used)
        service = self.control.create(spec)
        if settle and not self.clock.running:
            self.settle(settle)
        return service.seen()

    def add_node(self, *, role: str = "worker") -> NodeHandle:
        """
        A new node joins.

        Raises:
            ValueError: A role that no node has.
        """
        if role not in ("manager", "worker"):
            raise ValueError(f"add_node: role must be manager or worker, got {role!r}")
        node = self._make_node(role)
        self.store.node_written(node, "joined")
        return NodeHandle(self, node)

    def secret(self, name: str) -> str:
        """Make a secret known; returns its id."""
        key = self.store.identity()
        self.store.secrets[key] = name
        return key

    def remove_secret(self, name: str) -> None:
        """Remove a secret, as the engine allows it or refuses."""
        remove_reference(self.store, "Secret", name)

    # Looking on, without taking time

    def service(self, name: str) -> Service:
        """A service as it is stored now."""
        return self.control.find(name).seen()

    def tasks(self, name: str) -> tuple[Task, ...]:
        """Every task of a service that is remembered."""
        service = self.control.find(name)
        return tuple(task.seen(template) for task in self.store.tasks_of(service.id))

    def update_states(self, name: str) -> list[tuple[float, UpdateState | None]]:
        """Every update state that a service has had, with its time; None where absent."""
        return list(self.control.find(name).states)

    # Misfortune

    def node(self, hostname: str) -> NodeHandle:
        """
        A handle on a node.

        Raises:
            ValueError: There is no such node.
        """
        return NodeHandle(self, self._node(hostname))

    def change_leader(
        self, *, election: float | None = None, power: bool = False, health_bypass: bool = False
    ) -> None:
        """
        The leader loses its office, and with it the updaters in its memory.

        Args:
            election: Seconds without a leader; from the timing, if not given.
            power: The old leader's machine goes down as well.
            health_bypass: Containers that are not healthy yet are reported as running, as was
                seen after changes of leader.
        """
        self.cluster.depose(election=election, power=power, health_bypass=health_bypass)

    def fail_next(self, operation: str, kind: str | int, *, times: int = 1, after: int = 0) -> None:
        """Let coming requests fail: see ``Faults``."""
        self.faults.add(operation, kind, times=times, after=after)

    def events_off(self) -> None:
        """No event reaches anybody."""
        self.events_flow = False

    def events_on(self) -> None:
        """Events are delivered again; what happened meanwhile is lost."""
        self.events_flow = True
        self.unbroken_since = self.now

    def break_events(self, seconds: float = 1.0) -> None:
        """The event stream breaks, and is there again after a while."""
        self.events_off()
        self.store.note("fault", "SystemEvents", "broken")
        self.clock.later(seconds, self.events_on)

    def kill_container(self, name: str, slot: int, *, exit_code: int = KILLED) -> None:
        """Somebody kills the container that runs in a slot."""
        self.agents.exited(self._running(name, slot), exit_code)

    def make_unhealthy(self, name: str, slot: int) -> None:
        """The container that runs in a slot turns unhealthy."""
        self.agents.unhealthy(self._running(name, slot))

    # Somebody else

    def update_service(self, name: str, change: Change | None = None, **words: Any) -> None:
        """
        Somebody else updates a service, now and without taking time.

        Args:
            name: The service's name.
            change: From the present spec to the new one.
            words: ``image=`` in place of a change, or in addition to it.
        """
        service = self.control.find(name)
        spec = service.seen().spec
        wanted: ServiceSpec | Mapping[str, Any] = spec if change is None else change(spec)
        doc = wanted.to_engine() if isinstance(wanted, ServiceSpec) else dict(wanted)
        image = words.pop("image", None)
        if words:
            raise TypeError(f"update_service: unknown words {', '.join(words)}")
        if image is not None:
            template = doc["TaskTemplate"]
            container = {**template["ContainerSpec"], "Image": image}
            doc = {**doc, "TaskTemplate": {**template, "ContainerSpec": container}}
        self.control.update(service.id, service.version, doc, who="somebody")

    def rollback_service(self, name: str) -> None:
        """Somebody else asks for ``docker service rollback``."""
        service = self.control.find(name)
        self.control.update(
            service.id, service.version, service.spec.doc, rollback="previous", who="somebody"
        )

    def scale(self, name: str, replicas: int) -> None:
        """Somebody else scales a service."""
        self.update_service(
            name, lambda spec: {**spec.to_engine(), "Mode": {"Replicated": {"Replicas": replicas}}}
        )

    def remove_service(self, name: str) -> None:
        """Somebody else removes a service."""
        self.control.remove(self.control.find(name))

    # Time

    def run(self, seconds: float) -> None:
        """Let so much time pass."""
        if seconds < 0:
            raise ValueError(f"run: seconds must be at least 0, got {seconds}")
        with self.lock:
            self.clock.run_until(self.now + seconds)

    def run_until(self, condition: Callable[[], bool], limit: float = 3600.0) -> bool:
        """Let time pass until something is so; False when the limit came first."""
        with self.lock:
            return self.clock.run_until(self.now + limit, condition) or condition()

    def settle(self, limit: float = 600.0) -> bool:
        """
        Let time pass until nothing moves any more.

        Returns:
            False when the limit came first: something crashes again and again, or waits.
        """
        return self.run_until(self._settled, limit)

    def at(self, when: float | Callable[[], bool], do: Callable[[], object]) -> None:
        """
        Do something at a virtual time, or once, as soon as something is so.

        Raises:
            ValueError: That time has passed.
        """
        if callable(when):
            self._conditions.append((when, do))
            if self._check_conditions not in self.clock.hooks:
                self.clock.hooks.append(self._check_conditions)
            return
        if when < self.now:
            raise ValueError(f"at: {when:g} s has passed, it is {self.now:g} s")
        self.clock.later(when - self.now, do)

    def after(self, seconds: float, do: Callable[[], object]) -> None:
        """Do something when so much time has passed from now."""
        self.at(self.now + seconds, do)

    # The doors

    def engine(self, *, request_timeout: float = 30.0, patience: float = 60.0) -> SimEngine:
        """
        The in-process engine door.

        Args:
            request_timeout: After which one request is given up.
            patience: After which a read is not repeated any more.
        """
        engine = SimEngine(self, request_timeout=request_timeout, patience=patience)
        self._engines.append(engine)
        return engine

    def connect(
        self,
        *,
        journal: Journal | None = None,
        observers: Iterable[Observer] = (),
        request_timeout: float = 30.0,
        patience: float = 60.0,
        **habits: Any,
    ) -> Swarm:
        """
        An ordinary ``swarmroll.Swarm`` on this swarm.

        Args:
            journal: Where rollouts are recorded; without one, all that are made here share one
                in memory.
            observers: Told of every event.
            request_timeout: See ``engine``.
            patience: See ``engine``.
            **habits: What else ``Swarm`` takes, as ``heartbeat``.
        """
        engine = self.engine(request_timeout=request_timeout, patience=patience)
        if journal is None:
            if self._journal is None:
                self._journal = MemoryJournal(engine.clock)
            journal = self._journal
        habits.setdefault("executor", InlineExecutor())
        return Swarm(engine, journal=journal, observers=observers, **habits)

    # Inside

    def _hint(self, service_id: str, action: str) -> None:
        if action == "leader":
            self.unbroken_since = self.now
        for engine in self._engines:
            engine.hint(service_id, everybody=action in ("node", "leader"))

    def _make_node(self, role: str) -> SimNode:
        number = len(self.store.nodes) + 1
        node = SimNode(
            node_id=self.store.identity(),
            hostname=f"node-{number}",
            role=role,
            addr=f"10.0.{number // 250}.{number % 250 + 1}",
        )
        self.store.nodes[node.id] = node
        return node

    def _node(self, hostname: str) -> SimNode:
        for node in self.store.nodes.values():
            if hostname in (node.hostname, node.id):
                return node
        known = ", ".join(node.hostname for node in self.store.nodes.values())
        raise ValueError(f"there is no node {hostname!r}, only {known}")

    def _running(self, name: str, slot: int) -> SimTask:
        service = self.control.find(name)
        for task in self.store.tasks_of(service.id):
            if task.slot == slot and task.container_id and not task.ended and not task.stopping:
                return task
        raise ValueError(f"no container runs in slot {slot} of {name}")

    def _settled(self) -> bool:
        leader = self.cluster.leader
        if leader is None or leader.busy or self.store.moving:
            return False
        return all(node.reachable or node.given_up for node in self.store.nodes.values())

    def _check_conditions(self) -> None:
        for entry in tuple(self._conditions):
            condition, do = entry
            if entry in self._conditions and condition():
                self._conditions.remove(entry)
                do()
