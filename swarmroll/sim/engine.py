"""
The in-process door to the simulated swarm: ``swarmroll.engine.port.Engine`` in virtual time.

Every request takes a little virtual time, and so may see what the request before did not. Waiting
moves time to the next hint. Meant for one thread; calls from several are let in one by one.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Hashable, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, TypeVar

from swarmroll.core.snapshot import Depth, Node, Service, Snapshot, Task
from swarmroll.core.spec import ServiceSpec
from swarmroll.engine.port import Resolved, StoredConfig
from swarmroll.errors import Conflict, EngineError, EngineUnavailable, ServiceNotFound
from swarmroll.sim.clock import VirtualClock
from swarmroll.sim.dirty import up_to_date
from swarmroll.sim.faults import SPOILT, WRITES
from swarmroll.sim.objects import OUT_OF_SEQUENCE, Blob
from swarmroll.sim.services import SimService, read
from swarmroll.sim.specs import StoredSpec

if TYPE_CHECKING:
    from swarmroll.sim.swarm import SimSwarm

T = TypeVar("T")

_WORDS = {
    "reset-before-commit": "connection reset by peer",
    "reset-after-commit": "connection reset by peer",
    "timeout": "no answer within {timeout:g} s",
    "timeout-after-commit": "no answer within {timeout:g} s",
    "500": "rpc error: code = DeadlineExceeded desc = context deadline exceeded",
    "503": "service unavailable",
    "truncated": "its answer was cut off",
    "malformed": "its answer is no JSON",
    "wrong-type": "its answer is not what was asked for",
    "duplicated": "its answer goes on after its end",
    "drip": "no answer within {timeout:g} s",
}
_REFUSED = {
    "404": (404, "rpc error: code = NotFound desc = not found"),
    "409": (409, "rpc error: code = FailedPrecondition desc = something is in the way"),
}
NO_LEADER = (
    "rpc error: code = Unknown desc = The swarm does not have a leader. It's possible that too few "
    "managers are online. Make sure more than half of the managers are online."
)
NOT_FOUND, CONFLICT = 404, 409
_OF_A_SERVICE = frozenset({"ServiceInspect", "ServiceUpdate", "TaskList"})
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0
_SECOND_LOOK_AFTER = 0.2


class SimClock:
    """``swarmroll.engine.port.Clock`` in virtual time."""

    def __init__(self, clock: VirtualClock, lock: AbstractContextManager[object]) -> None:
        self._clock = clock
        self._lock = lock

    def monotonic(self) -> float:
        """Virtual seconds since the swarm was made."""
        return self._clock.now

    def wall(self) -> float:
        """Virtual seconds since the epoch."""
        return self._clock.wall

    def boottime(self) -> float:
        """Virtual seconds: the machine never sleeps."""
        return self._clock.now

    def sleep(self, seconds: float) -> None:
        """Let virtual time pass."""
        with self._lock:
            self._clock.run_until(self._clock.now + max(0.0, seconds))


class SimWatch:
    """``swarmroll.engine.port.Watch``: waiting moves virtual time."""

    def __init__(self, engine: SimEngine, service_id: str) -> None:
        self._engine = engine
        self.service_id = service_id
        self._hinted = False

    def wait(self, seconds: float) -> bool:
        """Move time to the next hint for this service, or to the end of the wait."""
        with self._engine.sim.lock:
            clock = self._engine.sim.clock
            woken = clock.run_until(clock.now + max(0.0, seconds), self._is_hinted)
            woken = woken or self._hinted
            self._hinted = False
            return woken

    def wake(self) -> None:
        """End the present wait, or the next one."""
        self._hinted = True

    @property
    def unbroken_since(self) -> float | None:
        """Since when no event can have been missed."""
        return self._engine.unbroken_since

    def close(self) -> None:
        """Stop being woken."""
        self._engine.forget(self)

    def _is_hinted(self) -> bool:
        return self._hinted


class SimEngine:
    """
    ``swarmroll.engine.port.Engine`` on a simulated swarm.

    Reads that fail are repeated, with pauses, until ``patience`` is over; a write is sent once.
    """

    def __init__(self, sim: SimSwarm, *, request_timeout: float, patience: float) -> None:
        self.sim = sim
        self._clock = SimClock(sim.clock, sim.lock)
        self._timeout = request_timeout
        self._patience = patience
        self._requests = 0
        self._watches: list[SimWatch] = []
        self._stream_since: float | None = None
        self._last: dict[Hashable, object] = {}
        self._seen: set[str] = set()

    @property
    def host(self) -> str:
        """A name for messages."""
        return "sim://node-1"

    @property
    def requests(self) -> int:
        """Requests made so far, repetitions included."""
        return self._requests

    @property
    def clock(self) -> SimClock:
        """Virtual time."""
        return self._clock

    @property
    def request_timeout(self) -> float:
        """Seconds after which a request is given up."""
        return self._timeout

    # Reading

    def service(self, ref: str) -> Service:
        """See ``swarmroll.engine.port.Engine.service``."""
        try:
            found = self._service(ref)
        except ServiceNotFound:
            if ref not in self._seen:
                raise
            # One that was there a moment ago is gone only when it is gone twice.
            self._clock.sleep(_SECOND_LOOK_AFTER)
            found = self._service(ref)
        self._seen |= {ref, found.id}
        return found

    def _service(self, ref: str) -> Service:
        return self._ask("ServiceInspect", ref, lambda: self.sim.control.find(ref).seen())

    def look(self, service_id: str, depth: Depth, *, after: Snapshot | None = None) -> Snapshot:
        """See ``swarmroll.engine.port.Engine.look``."""
        service = None if after is None else after.service
        known = 0 if after is None else int(after.depth)
        tasks = () if after is None else after.tasks
        current = None if after is None else after.up_to_date
        nodes = {} if after is None else dict(after.nodes)
        try:
            if service is None:
                service = self.service(service_id)
            if depth >= Depth.TARGET and known < Depth.TARGET:
                tasks = self._current_tasks(service.id)
                current = frozenset(task.id for task in tasks)
            if depth >= Depth.FULL and known < Depth.FULL:
                tasks = self.tasks(service.id)
        except ServiceNotFound:
            service, tasks, current = None, (), None
        if depth >= Depth.NODES and known < Depth.NODES:
            nodes = {node.id: node for node in self.nodes()}
        return Snapshot(
            taken_at=self._clock.monotonic(),
            wall=self._clock.wall(),
            service=service,
            depth=depth if after is None else max(depth, after.depth),
            tasks=tasks,
            up_to_date=current,
            nodes=nodes,
            unbroken_since=self.unbroken_since,
        )

    def tasks(self, service_id: str) -> tuple[Task, ...]:
        """See ``swarmroll.engine.port.Engine.tasks``."""
        return self._listed(service_id, service_id, lambda: self._tasks(service_id))

    def _listed(
        self, service_id: str, about: str, answer: Callable[[], tuple[Task, ...]]
    ) -> tuple[Task, ...]:
        try:
            return self._ask("TaskList", about, answer)
        except ServiceNotFound:
            # Raises the same if it is gone indeed.
            self.service(service_id)
            return self._ask("TaskList", about, answer)

    def nodes(self) -> tuple[Node, ...]:
        """See ``swarmroll.engine.port.Engine.nodes``."""
        return self._ask(
            "NodeList", "", lambda: tuple(node.seen() for node in self.sim.store.nodes.values())
        )

    def resolve(self, image: str, *, timeout: float) -> Resolved:
        """See ``swarmroll.engine.port.Engine.resolve``."""
        with self.sim.lock:
            fault = self._begin("DistributionInspect")
            if fault is not None:
                self._pass(timeout if fault in ("timeout", "drip") else 0.0)
                return Resolved(reason=f"the registry of {image} did not answer: {fault}")
            digest = self.sim.images.digest(image)
            if digest is None:
                return Resolved(reason=f"no registry knows {image}")
            return Resolved(digest=digest, platforms=("linux/amd64",))

    def logs(self, task: Task, *, lines: int) -> tuple[str, ...]:
        """See ``swarmroll.engine.port.Engine.logs``."""
        with self.sim.lock:
            if self._begin("TaskLogs") is not None:
                return ()
            if not task.container_id or lines < 1:
                return ()
            node = self.sim.store.nodes.get(task.node_id)
            if node is None or not node.reachable:
                return ()
            return self.sim.images.behaviour(task.image, node.hostname, task.slot).logs[-lines:]

    def health_output(self, task: Task) -> tuple[str, ...]:
        """See ``swarmroll.engine.port.Engine.health_output``."""
        with self.sim.lock:
            node = self.sim.store.nodes.get(task.node_id)
            if node is None or node.hostname != "node-1":
                return ()
            told = self.sim.images.behaviour(task.image, node.hostname, task.slot)
            return ("unhealthy",) if told.unhealthy_after is not None else ()

    # Writing

    def update(
        self,
        service_id: str,
        version: int,
        spec: ServiceSpec,
        *,
        auth_for: str | None = None,  # noqa: ARG002 (no registry here asks for a login)
        last_check: Callable[[], None] | None = None,
    ) -> tuple[str, ...]:
        """See ``swarmroll.engine.port.Engine.update``."""
        with self.sim.lock:
            if last_check is not None:
                last_check()
            fault = self._begin("ServiceUpdate")
            self._need_leader()
            self._refuse("ServiceUpdate", fault)
            if self.sim.faults.commits(fault):
                self.sim.control.update(service_id, version, spec.to_engine(), who="swarmroll")
            self._answer_write("ServiceUpdate", fault)
            return ()

    # Configs

    def config(self, ref: str) -> StoredConfig | None:
        """See ``swarmroll.engine.port.Engine.config``."""
        try:
            return self._ask(
                "ConfigInspect", ref, lambda: _stored(self.sim.objects.find("config", ref))
            )
        except EngineError as exc:
            if exc.status == NOT_FOUND:
                return None
            raise

    def configs(self, label: str, value: str) -> tuple[StoredConfig, ...]:
        """See ``swarmroll.engine.port.Engine.configs``."""

        def answer() -> tuple[StoredConfig, ...]:
            held = self.sim.store.configs.values()
            return tuple(_stored(one) for one in held if one.labels.get(label) == value)

        return self._ask("ConfigList", f"{label}={value}", answer)

    def create_config(self, name: str, data: bytes, labels: Mapping[str, str]) -> None:
        """See ``swarmroll.engine.port.Engine.create_config``."""
        doc = _blob_document(name, data, labels)
        try:
            self._do("ConfigCreate", lambda: self.sim.objects.create("config", doc))
        except EngineError as exc:
            if exc.status == CONFLICT:
                raise Conflict(str(exc), status=exc.status) from exc
            raise

    def label_config(self, config: StoredConfig, labels: Mapping[str, str]) -> None:
        """See ``swarmroll.engine.port.Engine.label_config``."""
        doc = _blob_document(config.name, config.data, labels)
        try:
            self._do(
                "ConfigUpdate",
                lambda: self.sim.objects.update("config", config.id, config.version, doc),
            )
        except EngineError as exc:
            if exc.status == NOT_FOUND:
                raise Conflict(str(exc), status=exc.status) from exc
            raise

    def remove_config(self, ref: str) -> None:
        """See ``swarmroll.engine.port.Engine.remove_config``."""
        try:
            self._do("ConfigDelete", lambda: self.sim.objects.remove("config", ref))
        except EngineError as exc:
            if exc.status != NOT_FOUND:
                raise

    def _do(self, operation: str, do: Callable[[], object]) -> None:
        """A write: sent once."""
        with self.sim.lock:
            fault = self._begin(operation)
            self._need_leader()
            self._refuse(operation, fault)
            if self.sim.faults.commits(fault):
                do()
            self._answer_write(operation, fault)

    def _refuse(self, operation: str, fault: str | None) -> None:
        """The engine says no, and has done nothing."""
        if fault == "out-of-sequence":
            raise Conflict(OUT_OF_SEQUENCE, status=500)
        if fault not in _REFUSED:
            return
        status, words = _REFUSED[fault]
        text = f"{self.host}: {operation}: {words}"
        if status == CONFLICT and operation in WRITES:
            raise Conflict(text, status=status)
        if operation in _OF_A_SERVICE:
            raise ServiceNotFound(text, status=status)
        raise EngineError(text, status=status)

    def _answer_write(self, operation: str, fault: str | None) -> None:
        """It was done: that the answer cannot be read does not undo it."""
        if fault == "drip":
            self._pass(self._timeout)
        elif fault is not None and fault not in SPOILT:
            raise self._failure(operation, fault)

    # Watching

    def watch(self, service_id: str) -> SimWatch:
        """See ``swarmroll.engine.port.Engine.watch``."""
        watch = SimWatch(self, service_id)
        if not self._watches:
            self._stream_since = self._clock.monotonic()
        self._watches.append(watch)
        return watch

    def forget(self, watch: SimWatch) -> None:
        """Close a watch; the stream ends with the last one."""
        if watch in self._watches:
            self._watches.remove(watch)
        if not self._watches:
            self._stream_since = None

    @property
    def unbroken_since(self) -> float | None:
        """Since when the event stream runs, with one leader and without a gap."""
        opened = self._stream_since
        if opened is None or not self.sim.events_flow:
            return None
        return max(opened, self.sim.unbroken_since)

    def hint(self, service_id: str, *, everybody: bool) -> None:
        """An event has arrived."""
        if not self._watches or self._stream_since is None or not self.sim.events_flow:
            return
        if self.sim.faults.take("SystemEvents") is not None:
            self.sim.break_events()
            return
        for watch in self._watches:
            if everybody or watch.service_id == service_id:
                watch.wake()

    def close(self) -> None:
        """Close every watch."""
        self._watches.clear()
        self._stream_since = None

    # Requests

    def _ask(self, operation: str, about: str, answer: Callable[[], T]) -> T:
        with self.sim.lock:
            until = self.sim.clock.now + self._patience
            pause = _FIRST_PAUSE
            while True:
                fault = self._begin(operation)
                key = (operation, about)
                try:
                    self._need_leader()
                    self._refuse(operation, fault)
                    if fault == "stale-read" and key in self._last:
                        return self._last[key]  # type: ignore[return-value]
                    if fault is None or fault == "stale-read":
                        found = answer()
                        self._last[key] = found
                        return found
                    raise self._failure(operation, fault)
                except EngineUnavailable:
                    if self.sim.clock.now + pause > until:
                        raise
                    self._pass(pause)
                    pause = min(2 * pause, _LONGEST_PAUSE)

    def _begin(self, operation: str) -> str | None:
        self._requests += 1
        fault = self.sim.faults.take(operation)
        slow = self.sim.slowness
        if slow >= self._timeout and fault is None:
            # Nobody waits that long; a write is carried out nevertheless.
            fault = "timeout-after-commit" if operation in WRITES else "timeout"
        else:
            self._pass(self.sim.timing.request + slow)
        if fault is not None:
            self.sim.store.note("fault", operation, fault)
        return fault

    def _need_leader(self) -> None:
        """Requests hang while nobody leads, and then fail with HTTP 500."""
        cluster = self.sim.cluster
        if cluster.leader is not None:
            return
        clock = self.sim.clock
        limit = min(self._timeout, self.sim.timing.leader_timeout)
        if clock.run_until(clock.now + limit, lambda: cluster.leader is not None):
            return
        if cluster.leader is None:
            raise EngineUnavailable(f"{self.host}: {NO_LEADER}", status=500)

    def _failure(self, operation: str, fault: str) -> EngineUnavailable:
        if fault.startswith("timeout") or fault == "drip":
            self._pass(self._timeout)
        words = _WORDS[fault].format(timeout=self._timeout)
        status = int(fault) if fault.isdigit() else None
        return EngineUnavailable(f"{self.host}: {operation}: {words}", status=status)

    def _pass(self, seconds: float) -> None:
        clock = self.sim.clock
        clock.run_until(clock.now + seconds)

    def _find(self, service_id: str) -> SimService:
        return self.sim.control.find(service_id)

    def _tasks(self, service_id: str) -> tuple[Task, ...]:
        service = self._find(service_id)
        return tuple(task.seen(template) for task in self.sim.store.tasks_of(service.id))

    def _current_tasks(self, service_id: str) -> tuple[Task, ...]:
        def answer() -> tuple[Task, ...]:
            service = self._find(service_id)
            return tuple(
                task.seen(template)
                for task in self.sim.store.tasks_of(service.id)
                if up_to_date(service, task)
            )

        return self._listed(service_id, f"{service_id} _up-to-date", answer)


def _stored(blob: Blob) -> StoredConfig:
    return StoredConfig(
        id=blob.id, name=blob.name, version=blob.version, labels=dict(blob.labels), data=blob.data
    )


def _blob_document(name: str, data: bytes, labels: Mapping[str, str]) -> dict[str, object]:
    return {"Name": name, "Labels": dict(labels), "Data": base64.b64encode(data).decode()}


def template(spec: StoredSpec) -> object:
    """The task template of a stored spec, as ``ServiceSpec.template`` gives it."""
    return read(spec).template
