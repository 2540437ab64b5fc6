"""``SimSwarm``: a Docker Swarm that behaves like the real one, in process and in virtual time."""

from __future__ import annotations

import base64
import hashlib
import itertools
import math
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, Unpack

from swarmroll.core.snapshot import Availability, NodeState, Service, Task, UpdateState
from swarmroll.core.spec import ServiceSpec
from swarmroll.sim import versions
from swarmroll.sim.agent import KILLED, Agents
from swarmroll.sim.clock import VirtualClock
from swarmroll.sim.cluster import Cluster
from swarmroll.sim.control import Control
from swarmroll.sim.documents import service_document
from swarmroll.sim.engine import SimEngine, template
from swarmroll.sim.events import Event
from swarmroll.sim.faults import Faults
from swarmroll.sim.images import BehaviourWords, Images
from swarmroll.sim.inline import InlineExecutor
from swarmroll.sim.nodes import SimNode
from swarmroll.sim.objects import Objects
from swarmroll.sim.pump import Pump
from swarmroll.sim.server import Server
from swarmroll.sim.store import Happening, Store
from swarmroll.sim.tasks import SimTask
from swarmroll.sim.timing import Timing
from swarmroll.swarm import Swarm

if TYPE_CHECKING:
    from swarmroll.journal.port import Journal
    from swarmroll.runner import Observer

Change = Callable[[ServiceSpec], "ServiceSpec | Mapping[str, Any]"]


class NodeHandle:
    """What a test may do to one node; to one that was removed, nothing (ValueError)."""

    def __init__(self, sim: SimSwarm, node: SimNode) -> None:
        self._sim = sim
        self._found = node

    @property
    def _node(self) -> SimNode:
        if self._found.id not in self._sim.store.nodes:
            raise ValueError(f"{self._found.hostname} was removed from the swarm")
        return self._found

    @property
    def id(self) -> str:
        """The node's id."""
        return self._found.id

    @property
    def hostname(self) -> str:
        """The node's name."""
        return self._found.hostname

    @property
    def state(self) -> NodeState:
        """What the managers think of it now."""
        return self._node.state

    @property
    def leads(self) -> bool:
        """Whether it is the leader now."""
        return self._node.leader

    def down(self) -> None:
        """Its power fails: containers end, and after some heartbeats it is found to be down."""
        with self._sim.moment():
            self._sim.cluster.disconnect(self._node, power=True)

    def cut_off(self) -> None:
        """It cannot reach the managers; its containers go on."""
        with self._sim.moment():
            self._sim.cluster.disconnect(self._node, power=False)

    def up(self) -> None:
        """Power and network are back."""
        with self._sim.moment():
            self._sim.cluster.reconnect(self._node)

    def drain(self) -> None:
        """Its tasks are to leave it."""
        self._set(Availability.DRAIN)

    def pause(self) -> None:
        """It gets no new tasks."""
        self._set(Availability.PAUSE)

    def activate(self) -> None:
        """It may be used again."""
        self._set(Availability.ACTIVE)

    def _set(self, availability: Availability) -> None:
        with self._sim.moment():
            self._sim.cluster.set_availability(self._node, availability)

    def remove(self, *, force: bool = False) -> None:
        """
        Somebody takes it out of the swarm: its tasks are given up, its containers go on.

        Raises:
            EngineError: It is a manager, or it is not down and not forced to go.
        """
        with self._sim.moment():
            self._sim.cluster.remove(self._node, force=force)

    def label(self, **labels: str | None) -> None:
        """Add node labels; None removes one."""
        with self._sim.moment():
            self._sim.cluster.set_labels(self._node, labels)

    def clock_off(self, seconds: float) -> None:
        """
        Its clock is wrong by so much, ahead or (negative) behind.

        Its agent's reports bear that time; when tasks were made and written, the managers say.

        Raises:
            ValueError: No number of seconds.
        """
        if not math.isfinite(seconds):
            raise ValueError(f"clock_off: seconds must be a number, got {seconds}")
        with self._sim.moment():
            self._node.skew = float(seconds)
            self._sim.store.note("node", self._node.hostname, f"clock off by {seconds:+g} s")


class SimSwarm:
    """
    A simulated swarm.

    Nothing happens unless time moves: by ``run``, ``settle``, and by whatever waits or asks
    through an engine made here. The same calls on the same seed give the same ``trace``.

    With ``serve=True`` time moves by itself as well, and the real Engine API is served at ``url``
    and ``tcp_url`` to any Docker client. ``run``, ``settle`` and ``run_until`` still jump ahead;
    ``wait_until`` waits as a bystander does.

    Args:
        nodes: Number of nodes, managers included; they are called ``node-1``, ``node-2``, ...
        managers: How many of them, the first ones, are managers.
        seed: Of everything that is left to chance.
        timing: How long things take.
        history: Tasks kept per slot (TaskHistoryRetentionLimit).
        serve: Whether to serve the Engine API.
        speed: Virtual seconds in a real one, where it is served.
        api_version: The newest API version that is served, "1.41" to "1.51"; the engine's own
            version goes with it.
        socket: Path of the unix socket; one in a new directory, if not given.
        port: TCP port on the loopback interface; 0 takes any.

    Raises:
        ValueError: A number of nodes or managers that makes no swarm, a speed at which time would
            stand still, an API version that no engine here speaks.
    """

    def __init__(
        self,
        *,
        nodes: int = 3,
        managers: int = 1,
        seed: int = 7,
        timing: Timing | None = None,
        history: int = 5,
        serve: bool = False,
        speed: float = 1.0,
        api_version: str = versions.NEWEST,
        socket: str | Path | None = None,
        port: int = 0,
    ) -> None:
        if nodes < 1:
            raise ValueError(f"SimSwarm: nodes must be at least 1, got {nodes}")
        if not 1 <= managers <= nodes:
            raise ValueError(f"SimSwarm: managers must be 1 to {nodes}, got {managers}")
        if not 0 < speed < math.inf:
            raise ValueError(f"SimSwarm: speed must be more than 0, got {speed}")
        self.speed = speed
        self._seed = seed
        self._rollouts = 0
        self.release = versions.release(api_version)
        self.history = history
        self.lock = threading.Condition(threading.RLock())
        # A served swarm lives in our time, as those do who look at it.
        self.clock = VirtualClock(time.time()) if serve else VirtualClock()
        self.timing = Timing() if timing is None else timing
        self.images = Images()
        self.faults = Faults()
        rng = random.Random(seed)
        self.store = Store(self.clock, rng)
        self.objects = Objects(self.store)
        self.control = Control(self.store, self.objects)
        self.events_flow = True
        self.stream_broken = False
        self.unbroken_since = 0.0
        self.slowness = 0.0
        self._late = self._again = self._spread = 0.0
        self._disorder = random.Random(seed)
        self._engines: list[SimEngine] = []
        self._conditions: list[tuple[Callable[[], bool], Callable[[], object]]] = []
        self.pump: Pump | None = None
        self._server: Server | None = None
        self.objects.begin()
        agents = self.agents = Agents(self.store, self.images, self.timing)
        self._numbers = itertools.count(1)
        for number in range(1, nodes + 1):
            self._make_node("manager" if number <= managers else "worker")
        self.cluster = Cluster(self.store, agents, self.timing, rng, history)
        self.store.hint = self._hint
        self.store.events.publish = self._publish
        self.cluster.begin()
        if serve:
            self.pump = Pump(self.clock, self.lock, speed)
            self._server = Server(self, socket=socket, port=port)
            self.store.events.here = next(iter(self.store.nodes.values()))
            self.pump.start()

    def __enter__(self) -> Self:
        """Nothing needs to be opened."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close; what the body raised is not hidden by why the swarm had stopped."""
        try:
            self.close()
        except RuntimeError:
            if exc is None:
                raise

    def close(self) -> None:
        """
        Close the engines that were made here, and the served door; a second call does nothing.

        Raises:
            RuntimeError: What was to be done at some time (``at``) had failed, and with it the
                served swarm.
        """
        for engine in self._engines:
            engine.close()
        self._engines.clear()
        server, self._server = self._server, None
        if server is not None:
            server.close()
        pump, self.pump = self.pump, None
        if pump is not None:
            pump.stop()
            pump.check()

    @property
    def now(self) -> float:
        """Virtual seconds since the swarm was made."""
        return self.clock.now

    @property
    def trace(self) -> Sequence[Happening]:
        """Everything that happened, in order."""
        return self.store.trace

    @property
    def url(self) -> str:
        """
        Where the Engine API is served: ``unix://`` and the path of the socket.

        Raises:
            RuntimeError: It is not served.
        """
        return self.server.url

    @property
    def tcp_url(self) -> str:
        """
        Where the Engine API is served on the loopback interface: ``tcp://127.0.0.1:`` and port.

        Raises:
            RuntimeError: It is not served.
        """
        return self.server.tcp_url

    @contextmanager
    def moment(self) -> Iterator[None]:
        """The swarm to oneself, at this moment; where it is served, others wait."""
        with self.lock:
            pump = self.pump
            if pump is None:
                yield
                return
            pump.catch_up()
            pump.check()
            try:
                yield
            finally:
                self.lock.notify_all()

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
        with self.moment():
            if on_nodes is not None:
                on_nodes = [self._node(hostname).hostname for hostname in on_nodes]
            self.images.tell(name, behaviour, on_nodes=on_nodes, on_slots=on_slots)

    def any_image(self, **behaviour: Unpack[BehaviourWords]) -> None:
        """
        Let images that nobody told of be there as well, instead of missing.

        Args:
            **behaviour: Fields of ``Behaviour``.
        """
        with self.moment():
            self.images.tell_of_others(behaviour)

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
        _check_time("create_service: settle", settle)
        if spec is None:
            if image is None:
                raise ValueError(f"create_service: {name!r} needs an image or a spec")
            spec = service_document(name, image=image, **shorthand)
        elif shorthand or image is not None:
            raise ValueError("create_service: give a spec or shorthand words, not both")
        spec = {**spec, "Name": name}
        template = spec.get("TaskTemplate") or {}
        used = (template.get("ContainerSpec") or {}).get("Image", "")
        with self.moment():
            if used and not self.images.knows(used):
                self.image(used)
            if image is not None:
                self._make_networks(shorthand.get("networks", ()))
            service = self.control.create(spec)
            if settle and not self.clock.running:
                self.settle(settle)
            return service.seen()

    def _make_networks(self, names: Iterable[str]) -> None:
        known = {network.name for network in self.store.networks.values()}
        for name in names:
            if name not in known:
                self.network(name)

    def add_node(self, *, role: str = "worker") -> NodeHandle:
        """
        A new node joins.

        Raises:
            ValueError: A role that no node has.
        """
        if role not in ("manager", "worker"):
            raise ValueError(f"add_node: role must be manager or worker, got {role!r}")
        with self.moment():
            node = self._make_node(role)
            self.store.node_written(node, "joined", action="create")
            return NodeHandle(self, node)

    def secret(
        self, name: str, data: bytes = b"secret", *, labels: Mapping[str, str] | None = None
    ) -> str:
        """Create a secret; returns its id."""
        return self._blob("secret", name, data, labels)

    def config(
        self, name: str, data: bytes = b"config", *, labels: Mapping[str, str] | None = None
    ) -> str:
        """Create a config; returns its id."""
        return self._blob("config", name, data, labels)

    def network(self, name: str, **words: Any) -> str:
        """
        Create a network; returns its id.

        Args:
            name: The network's name.
            **words: Other keys of the Engine API's request, as ``Attachable=True``.
        """
        with self.moment():
            return self.objects.create_network({"Name": name, "Driver": "overlay", **words}).id

    def remove_secret(self, name: str) -> None:
        """Remove a secret, as the engine allows it or refuses."""
        with self.moment():
            self.objects.remove("secret", name)

    def remove_config(self, name: str) -> None:
        """Remove a config, as the engine allows it or refuses."""
        with self.moment():
            self.objects.remove("config", name)

    def remove_network(self, name: str) -> None:
        """Remove a network, as the engine allows it or refuses."""
        with self.moment():
            self.objects.remove_network(name)

    def _blob(self, kind: str, name: str, data: bytes, labels: Mapping[str, str] | None) -> str:
        doc = {
            "Name": name,
            "Labels": dict(labels or {}),
            "Data": base64.b64encode(data).decode(),
        }
        with self.moment():
            return self.objects.create(kind, doc).id

    # Looking on, without taking time

    def service(self, name: str) -> Service:
        """A service as it is stored now."""
        with self.moment():
            return self.control.find(name).seen()

    def tasks(self, name: str) -> tuple[Task, ...]:
        """Every task of a service that is remembered."""
        with self.moment():
            service = self.control.find(name)
            return tuple(task.seen(template) for task in self.store.tasks_of(service.id))

    def update_states(self, name: str) -> list[tuple[float, UpdateState | None]]:
        """Every update state that a service has had, with its time; None where absent."""
        with self.moment():
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
        if election is not None:
            _check_time("change_leader: election", election)
        with self.moment():
            self.cluster.depose(election=election, power=power, health_bypass=health_bypass)

    def fail_next(self, operation: str, kind: str | int, *, times: int = 1, after: int = 0) -> None:
        """Let coming requests fail: see ``Faults``."""
        with self.moment():
            self.faults.add(operation, kind, times=times, after=after)

    def slow(self, seconds: float) -> None:
        """
        From now on the engine takes so much longer for every request; 0 ends it.

        Raises:
            ValueError: A negative time.
        """
        _check_time("slow: seconds", seconds)
        with self.moment():
            self.slowness = seconds
            self.store.note("fault", "engine", f"slower by {seconds:g} s")

    def events_off(self) -> None:
        """
        No event reaches anybody.

        In process the stream is known to be broken; a served one stays open, and is silent.
        """
        with self.moment():
            self.events_flow = False

    def events_on(self) -> None:
        """Events are delivered again; what happened meanwhile is lost."""
        with self.moment():
            self.events_flow = True
            self.stream_broken = False
            self.unbroken_since = self.now

    def events_late(self, seconds: float) -> None:
        """
        From now on every event arrives so much later; 0 ends it.

        Raises:
            ValueError: A negative time.
        """
        _check_time("events_late: seconds", seconds)
        with self.moment():
            self._late = seconds

    def events_doubled(self, seconds: float = 0.5) -> None:
        """
        From now on every event comes a second time, so much later; 0 ends it.

        Raises:
            ValueError: A negative time.
        """
        _check_time("events_doubled: seconds", seconds)
        with self.moment():
            self._again = seconds

    def events_shuffled(self, seconds: float) -> None:
        """
        From now on each event arrives up to so much later, and so in another order; 0 ends it.

        Raises:
            ValueError: A negative time.
        """
        _check_time("events_shuffled: seconds", seconds)
        with self.moment():
            self._spread = seconds

    def replay_events(self) -> None:
        """Every event that is still kept (256) is sent once more, old as it is."""
        with self.moment():
            self.store.note("fault", "SystemEvents", "replayed")
            for event in tuple(self.store.events.kept):
                self.store.events.send(event)
                for engine in self._engines:
                    engine.hint(event.subject, everybody=event.kind == "node")

    def break_events(self, seconds: float = 1.0) -> None:
        """
        The event stream breaks, and is there again after a while.

        Raises:
            ValueError: A negative time.
        """
        _check_time("break_events: seconds", seconds)
        with self.moment():
            self.events_off()
            self.stream_broken = True
            self.store.note("fault", "SystemEvents", "broken")
            self.clock.later(seconds, self.events_on)
            if self._server is not None:
                self._server.break_streams()

    def kill_container(self, name: str, slot: int, *, exit_code: int = KILLED) -> None:
        """
        Somebody kills the container that runs in a slot.

        Raises:
            ValueError: None runs there.
        """
        with self.moment():
            self.agents.exited(self._running(name, slot), exit_code)

    def make_unhealthy(self, name: str, slot: int) -> None:
        """
        The container that runs in a slot turns unhealthy.

        Raises:
            ValueError: None runs there.
        """
        with self.moment():
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
        image = words.pop("image", None)
        if words:
            raise TypeError(f"update_service: unknown words {', '.join(words)}")
        with self.moment():
            service = self.control.find(name)
            spec = service.seen().spec
            wanted: ServiceSpec | Mapping[str, Any] = spec if change is None else change(spec)
            doc = wanted.to_engine() if isinstance(wanted, ServiceSpec) else dict(wanted)
            if image is not None:
                template = doc["TaskTemplate"]
                container = {**template["ContainerSpec"], "Image": image}
                doc = {**doc, "TaskTemplate": {**template, "ContainerSpec": container}}
            self.control.update(service.id, service.version, doc, who="somebody")

    def rollback_service(self, name: str) -> None:
        """Somebody else asks for ``docker service rollback``."""
        with self.moment():
            service = self.control.find(name)
            self.control.update(
                service.id, service.version, service.spec.doc, rollback="previous", who="somebody"
            )

    def scale(self, name: str, replicas: int) -> None:
        """
        Somebody else scales a service.

        Raises:
            ValueError: Less than no replicas.
        """
        if replicas < 0:
            raise ValueError(f"scale: replicas must be at least 0, got {replicas}")
        self.update_service(
            name, lambda spec: {**spec.to_engine(), "Mode": {"Replicated": {"Replicas": replicas}}}
        )

    def remove_service(self, name: str) -> None:
        """Somebody else removes a service."""
        with self.moment():
            self.control.remove(self.control.find(name))

    # Time

    def run(self, seconds: float) -> None:
        """
        Let so much time pass.

        Raises:
            ValueError: A negative time.
        """
        _check_time("run: seconds", seconds)
        with self.moment():
            self.clock.run_until(self.now + seconds)

    def run_until(self, condition: Callable[[], bool], limit: float = 3600.0) -> bool:
        """
        Let time pass until something is so; False when the limit came first.

        Raises:
            ValueError: A negative time.
        """
        _check_time("run_until: limit", limit)
        with self.moment():
            return self.clock.run_until(self.now + limit, condition) or condition()

    def settle(self, limit: float = 600.0) -> bool:
        """
        Let time pass until nothing moves any more.

        Returns:
            False when the limit came first: something crashes again and again, or waits.

        Raises:
            ValueError: A negative time.
        """
        return self.run_until(self._settled, limit)

    def wait_until(self, condition: Callable[[], bool], timeout: float = 30.0) -> bool:
        """
        Wait, in real time, until something is so; only where the swarm is served.

        Args:
            condition: Asked whenever something has happened in the swarm.
            timeout: Real seconds.

        Returns:
            False when the time was over.

        Raises:
            RuntimeError: The swarm is not served: nothing would ever happen.
        """
        pump = self.pump
        _check_time("wait_until: timeout", timeout)
        if pump is None:
            raise RuntimeError("wait_until: time passes by itself only with SimSwarm(serve=True)")
        with self.lock:
            return pump.wait_for(condition, timeout)

    def at(self, when: float | Callable[[], bool], do: Callable[[], object]) -> None:
        """
        Do something at a virtual time, or once, as soon as something is so.

        Raises:
            ValueError: That time has passed.
        """
        with self.moment():
            if callable(when):
                if self._check_conditions not in self.clock.hooks:
                    self.clock.hooks.append(self._check_conditions)
                self._conditions.append((when, do))
                return
            if not self.now <= when < math.inf:
                if not math.isfinite(when):
                    raise ValueError(f"at: when must be a number of seconds, got {when}")
                raise ValueError(f"at: {when:g} s has passed, it is {self.now:g} s")
            self.clock.later(when - self.now, do)

    def after(self, seconds: float, do: Callable[[], object]) -> None:
        """
        Do something when so much time has passed from now.

        Raises:
            ValueError: A negative time.
        """
        _check_time("after: seconds", seconds)
        with self.moment():
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
            journal: Where rollouts are recorded; None keeps them in the simulated swarm.
            observers: Told of every event.
            request_timeout: See ``engine``.
            patience: See ``engine``.
            **habits: What else ``Swarm`` takes, as ``heartbeat``.
        """
        engine = self.engine(request_timeout=request_timeout, patience=patience)
        habits.setdefault("executor", InlineExecutor())
        habits.setdefault("new_id", self._new_id)
        return Swarm(engine, journal=journal, observers=observers, **habits)

    # Inside

    def _new_id(self) -> str:
        """Names a rollout: the same for the same seed."""
        self._rollouts += 1
        return hashlib.sha256(f"{self._seed} {self._rollouts}".encode()).hexdigest()[:12]

    def _hint(self, service_id: str, action: str) -> None:
        if action == "leader":
            self.unbroken_since = self.now
        everybody = action in ("node", "leader")
        for engine in self._engines:
            self._deliver(partial(engine.hint, service_id, everybody=everybody))

    def _publish(self, event: Event) -> None:
        if not self.events_flow:
            return
        followed = self._server is not None and self._server.followed
        if followed and self.faults.take("SystemEvents") is not None:
            self.break_events()
            return
        self._deliver(partial(self.store.events.deliver, event))

    def _deliver(self, tell: Callable[[], None]) -> None:
        """Now, or as late, as often and in such disorder as was said."""
        late = self._late + (self._disorder.uniform(0, self._spread) if self._spread else 0.0)
        if late:
            self.clock.later(late, tell)
        else:
            tell()
        if self._again:
            self.clock.later(late + self._again, tell)

    @property
    def server(self) -> Server:
        """
        The served door.

        Raises:
            RuntimeError: There is none.
        """
        if self._server is None:
            raise RuntimeError("the Engine API is served only with SimSwarm(serve=True)")
        return self._server

    def _make_node(self, role: str) -> SimNode:
        number = next(self._numbers)
        node = SimNode(
            node_id=self.store.identity(),
            hostname=f"node-{number}",
            role=role,
            addr=f"10.0.{number // 250}.{number % 250 + 1}",
            engine_version=self.release.engine,
            at=self.clock.wall,
        )
        self.store.nodes[node.id] = node
        self.store.events.know(node)
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


def _check_time(what: str, seconds: float) -> None:
    """
    Refuse a time that cannot pass.

    Raises:
        ValueError: It is negative or no number, naming what it was given for.
    """
    if not 0 <= seconds < math.inf:
        raise ValueError(f"{what} must be at least 0, got {seconds}")
