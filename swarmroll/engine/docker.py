"""The engine port on a real swarm: docker-py's session and registry credentials, behind guards."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from threading import Event, Lock
from typing import Any, TypeVar
from urllib.parse import urlsplit

import attrs
import docker
import docker.auth
import docker.utils.config

from swarmroll.core.dirty import dirty
from swarmroll.core.image import ImageReference
from swarmroll.core.placement import any_placed, has_placement
from swarmroll.core.redact import mask_text
from swarmroll.core.snapshot import Depth, Node, Service, Snapshot, Task
from swarmroll.core.spec import ServiceSpec
from swarmroll.engine import wire
from swarmroll.engine.clock import SystemClock
from swarmroll.engine.connect import TLS, Address, parse
from swarmroll.engine.port import Clock, Resolved, StoredConfig
from swarmroll.engine.retry import Doors, Limits, read
from swarmroll.engine.transport import Ask, Door, path_to
from swarmroll.engine.trouble import Trouble, shown, translated
from swarmroll.engine.watch import Events, ServiceWatch
from swarmroll.errors import (
    Conflict,
    ConnectionClosed,
    EngineError,
    EngineUnavailable,
    NotAManager,
    ServiceNotFound,
    SpecError,
)

_T = TypeVar("_T")

# One service is two specs of at most a raft message (1 MB); lists have the caller's limit.
_SERVICE_BYTES = 8 * 1024 * 1024
_CONFIG_BYTES = 4 * 1024 * 1024
_JSON = {"Content-Type": "application/json"}
NOT_FOUND = 404
_LOG_BYTES, _LOG_SECONDS = 256 * 1024, 3.0
_LONGEST_PAUSE = 2.0
_SECOND_LOOK_AFTER = 0.2
_REMEMBERED = 10_000
_SECRET_WORDS = ("password", "Password", "auth", "identitytoken", "IdentityToken", "registrytoken")


class DockerEngine:
    """One swarm, through one or more of its managers; see ``port.Engine``."""

    def __init__(
        self,
        addresses: tuple[Address, ...],
        *,
        client: object = None,
        total: float = 30.0,
        each: float = 10.0,
        heartbeat: float = 5.0,
        max_body: int = 64 * 1024 * 1024,
        clock: Clock | None = None,
    ) -> None:
        self._clock = clock or SystemClock()
        self._limits = Limits(total=total, each=each)
        self._closed = Event()
        self._sent = _Counter()
        self._session = _own_client()
        self._credentials = self._session if client is None else _low_level(client)
        headers = _http_headers()
        self._doors = Doors(
            [
                Door(
                    address.url,
                    dial=address.dial(keepalive=heartbeat),
                    session=self._session,
                    headers=headers,
                    max_body=max_body,
                    sent=self._sent.add,
                )
                for address in addresses
            ]
        )
        self._events = Events(
            self._doors, self._clock, longest_pause=min(heartbeat, _LONGEST_PAUSE)
        )
        self._templates = wire.Templates()
        self._seen: dict[str, None] = {}
        self._placed: dict[str, bool] = {}

    @property
    def host(self) -> str:
        """The address in use, for messages."""
        return self._doors.current.host

    @property
    def requests(self) -> int:
        """HTTP requests sent so far, retries and event streams included."""
        return self._sent.count

    @property
    def clock(self) -> Clock:
        """The clock by which ``look`` stamps snapshots."""
        return self._clock

    @property
    def request_timeout(self) -> float:
        """
        Seconds after which a single request is given up.

        It is that of a write, which is the longer one: an engine gives up a write after 20 s
        (moby daemon/cluster/cluster.go, swarmRequestTimeout), and giving up earlier would leave
        open whether it was done.
        """
        return self._limits.total

    def close(self) -> None:
        """Give back sockets and threads; a second call does nothing."""
        self._closed.set()
        self._events.close()
        self._doors.close()
        self._session.close()

    # --- looking ------------------------------------------------------------------------------

    def service(self, ref: str) -> Service:
        """See ``port.Engine.service``."""
        if not ref:
            raise ServiceNotFound(f"{self.host}: a service without a name")
        found = self._confirmed(ref)
        self._seen[found.id] = self._seen[ref] = None
        while len(self._seen) > _REMEMBERED:
            del self._seen[next(iter(self._seen))]
        return found

    def _confirmed(self, ref: str) -> Service:
        """A service that was there a moment ago is gone only when it is gone twice."""
        ask = Ask(path=path_to("services", ref), service=ref, max_body=_SERVICE_BYTES)
        try:
            return self._read(ask, wire.service)
        except ServiceNotFound:
            if ref not in self._seen:
                raise
        self._closed.wait(_SECOND_LOOK_AFTER)
        return self._read(ask, wire.service)

    def look(self, service_id: str, depth: Depth, *, after: Snapshot | None = None) -> Snapshot:
        """See ``port.Engine.look``."""
        if after is not None and after.service is not None and after.depth >= depth:
            return after
        try:
            return self._look(service_id, depth, after)
        except ServiceNotFound:
            return self._stamped(Snapshot(taken_at=0.0, depth=depth))

    def _look(self, service_id: str, depth: Depth, after: Snapshot | None) -> Snapshot:
        if after is not None and after.service is not None:
            seen = after
        else:
            seen = Snapshot(taken_at=0.0, service=self.service(service_id))
        if seen.depth < Depth.TARGET <= depth:
            assert seen.service is not None
            target = self._up_to_date(seen.service)
            ids = frozenset(task.id for task in target)
            seen = attrs.evolve(seen, depth=Depth.TARGET, tasks=target, up_to_date=ids)
        if seen.depth < Depth.FULL <= depth:
            seen = attrs.evolve(seen, depth=Depth.FULL, tasks=self._tasks(service_id))
        if seen.depth < Depth.NODES <= depth:
            nodes = {node.id: node for node in self.nodes()}
            seen = attrs.evolve(seen, depth=Depth.NODES, nodes=nodes)
        return self._stamped(seen)

    def _stamped(self, snapshot: Snapshot) -> Snapshot:
        return attrs.evolve(
            snapshot,
            taken_at=self._clock.monotonic(),
            wall=self._clock.wall(),
            unbroken_since=self._events.unbroken_since,
        )

    def tasks(self, service_id: str) -> tuple[Task, ...]:
        """See ``port.Engine.tasks``."""
        return self._tasks(service_id)

    def _up_to_date(self, service: Service) -> tuple[Task, ...]:
        """
        The tasks that the engine calls up to date.

        Of a spec without placement it is not asked if a task was seen with one, since that can
        kill the manager (see ``core.placement``); then the same rule is followed here. A plan
        looks at every task before anything else does.
        """
        if has_placement(service.spec.template):
            return self._tasks(service.id, up_to_date=True)
        if not self._placed.get(service.id, False):
            return self._tasks(service.id, up_to_date=True)
        return tuple(
            task
            for task in self._tasks(service.id)
            if not dirty(task.template, None, service.spec, None)
        )

    def _tasks(self, service_id: str, *, up_to_date: bool = False) -> tuple[Task, ...]:
        wanted = wire.of_service(service_id, up_to_date=up_to_date)
        ask = Ask(path="/tasks", query={"filters": wire.filters(wanted)}, service=service_id)
        try:
            found = self._read(ask, self._decode_tasks)
        except ServiceNotFound:
            # Raises the same if it is gone indeed.
            self.service(service_id)
            found = self._read(ask, self._decode_tasks)
        if not up_to_date:
            self._placed[service_id] = any_placed(task.template for task in found)
        return found

    def _decode_tasks(self, body: bytearray) -> tuple[Task, ...]:
        return wire.tasks(body, self._templates)

    def nodes(self) -> tuple[Node, ...]:
        """See ``port.Engine.nodes``."""
        return self._read(Ask(path="/nodes"), wire.nodes)

    def _read(self, ask: Ask, decode: Callable[[bytearray], _T]) -> _T:
        self._check_open()
        return read(self._doors, ask, decode, self._limits, self._closed)

    def _check_open(self) -> None:
        if self._closed.is_set():
            raise ConnectionClosed(f"{self.host}: this connection has been closed; open another")

    def watch(self, service_id: str) -> ServiceWatch:
        """See ``port.Engine.watch``."""
        self._check_open()
        return self._events.watch(service_id)

    # --- writing ------------------------------------------------------------------------------

    def update(
        self,
        service_id: str,
        version: int,
        spec: ServiceSpec,
        *,
        auth_for: str | None = None,
        last_check: Callable[[], None] | None = None,
    ) -> tuple[str, ...]:
        """See ``port.Engine.update``."""
        self._check_open()
        header, complaint = self._registry_auth(auth_for) if auth_for else ({}, ())
        ask = Ask(
            path=path_to("services", service_id, "update"),
            query={"version": str(version)},
            body=wire.update_body(spec),
            headers={**_JSON, **header},
            service=service_id,
        )
        if last_check is not None:
            # Asking a credential helper can take long; the machine may have slept.
            last_check()
        try:
            return complaint + wire.warnings(self._write(ask))
        except EngineError as exc:
            exc.args = (mask_text(str(exc), _secrets_in(header)),)
            raise

    def _write(self, ask: Ask) -> bytearray:
        door = self._doors.current
        try:
            return door.ask(ask, self._limits.total)
        except Trouble as trouble:
            if isinstance(trouble.error, EngineUnavailable | NotAManager):
                self._doors.leave(door)
            raise _uncertain(trouble) from trouble.__cause__

    def _registry_auth(self, image: str) -> tuple[Mapping[str, str], tuple[str, ...]]:
        """The header with the docker CLI's credentials for the image's registry, if it has any."""
        try:
            if self._credentials is self._session:
                # A login since then counts.
                self._session.reload_config()
            registry, _ = docker.auth.resolve_repository_name(image)
            header = docker.auth.get_config_header(self._credentials, registry)
        except Exception as exc:  # noqa: BLE001 - docker-py raises whatever the helper makes it
            why = f"{type(exc).__name__}: {shown(str(exc))}"
            text = (
                f"registry credentials for {shown(image)} cannot be read ({why}); none were sent: "
                "the engine keeps those it has"
            )
            return {}, (text,)
        return ({"X-Registry-Auth": header.decode()} if header else {}), ()

    # --- configs ------------------------------------------------------------------------------

    def config(self, ref: str) -> StoredConfig | None:
        """See ``port.Engine.config``."""
        try:
            return self._read(
                Ask(path=path_to("configs", ref), max_body=_CONFIG_BYTES), wire.config
            )
        except EngineError as exc:
            if exc.status == NOT_FOUND:
                return None
            raise

    def configs(self, label: str, value: str) -> tuple[StoredConfig, ...]:
        """See ``port.Engine.configs``."""
        wanted = wire.filters({"label": [f"{label}={value}"]})
        return self._read(Ask(path="/configs", query={"filters": wanted}), wire.configs)

    def create_config(self, name: str, data: bytes, labels: Mapping[str, str]) -> None:
        """See ``port.Engine.create_config``."""
        self._check_open()
        body = wire.config_body(name, data, labels)
        self._write(Ask(path="/configs/create", body=body, headers=_JSON))

    def label_config(self, config: StoredConfig, labels: Mapping[str, str]) -> None:
        """See ``port.Engine.label_config``."""
        self._check_open()
        ask = Ask(
            path=path_to("configs", config.id, "update"),
            query={"version": str(config.version)},
            body=wire.config_body(config.name, config.data, labels),
            headers=_JSON,
        )
        try:
            self._write(ask)
        except EngineError as exc:
            if exc.status == NOT_FOUND:
                raise Conflict(f"config {config.name} was removed", status=exc.status) from exc
            raise

    def remove_config(self, ref: str) -> None:
        """See ``port.Engine.remove_config``."""
        self._check_open()
        try:
            self._write(Ask(path=path_to("configs", ref), remove=True))
        except EngineError as exc:
            if exc.status != NOT_FOUND:
                raise

    # --- asking around ------------------------------------------------------------------------

    def resolve(self, image: str, *, timeout: float) -> Resolved:
        """See ``port.Engine.resolve``."""
        try:
            # Also keeps credentials that somebody wrote into a reference out of a URL.
            name = str(ImageReference.parse(image))
        except SpecError as exc:
            return Resolved(reason=str(exc))
        header, complaint = self._registry_auth(name)
        path = path_to("distribution", *name.split("/"), "json")
        ask = Ask(path=path, headers=header)
        door = self._doors.current
        try:
            return wire.resolved(door.ask(ask, timeout))
        except Exception as exc:  # noqa: BLE001 - whatever it is, the image stays unpinned
            why = mask_text(str(translated(exc, door.host)), _secrets_in(header))
            return Resolved(reason="; ".join([*complaint, why]))

    def logs(self, task: Task, *, lines: int) -> tuple[str, ...]:
        """See ``port.Engine.logs``."""
        ask = Ask(
            path=path_to("tasks", task.id, "logs"),
            query={"stdout": "1", "stderr": "1", "tail": str(lines)},
        )
        try:
            body = self._doors.current.tail(ask, _LOG_SECONDS, _LOG_BYTES)
        except Trouble:
            return ()
        return wire.log_lines(body)[-lines:] if lines > 0 else ()

    def health_output(self, task: Task) -> tuple[str, ...]:
        """See ``port.Engine.health_output``."""
        if not task.container_id:
            return ()
        door = self._doors.current
        ask = Ask(path=path_to("containers", task.container_id, "json"))
        try:
            return wire.health_outputs(door.ask(ask, self._limits.each))
        except Exception:  # noqa: BLE001 - evidence is welcome, not needed
            return ()


def _secrets_in(header: Mapping[str, str]) -> frozenset[str]:
    """The header with registry credentials, and what is secret in it: engines may quote it."""
    text = header.get("X-Registry-Auth", "")
    if not text:
        return frozenset()
    found = json.loads(base64.urlsafe_b64decode(text))
    user = found.get("username") or found.get("Username")
    pair = f"{user}:{found.get('password') or found.get('Password')}"
    basic = base64.b64encode(pair.encode()).decode()
    return frozenset({text, basic, *(str(found[key]) for key in _SECRET_WORDS if found.get(key))})


def _uncertain(trouble: Trouble) -> EngineError:
    """Of a write without an answer, say whether it may have been done."""
    if not isinstance(trouble.error, EngineUnavailable):
        return trouble.error
    known = "it may or may not have been written" if trouble.sent else "nothing was written"
    return EngineUnavailable(f"{trouble.error}; {known}", status=trouble.error.status)


class _Counter:
    """Counts, from many threads."""

    def __init__(self) -> None:
        self.count = 0
        self._lock = Lock()

    def add(self) -> None:
        with self._lock:
            self.count += 1


def _own_client() -> docker.APIClient:
    """
    docker-py's session, which prepares our requests; the version keeps it from asking for one.

    Raises:
        EngineUnavailable: docker-py cannot read the docker CLI's configuration.
    """
    try:
        client = docker.APIClient(base_url="unix:///var/run/docker.sock", version="1.41")
    except Exception as exc:
        raise EngineUnavailable(
            f"the docker CLI's config.json cannot be used ({type(exc).__name__}: {shown(str(exc))})"
        ) from exc
    # No proxies, netrc passwords and CA bundles from the environment (REQUESTS_CA_BUNDLE).
    client.trust_env = False
    return client


def _http_headers() -> Mapping[str, str]:
    """``HttpHeaders`` of the docker CLI's config.json, which it sends with every request."""
    headers = docker.utils.config.load_general_config().get("HttpHeaders")
    if not isinstance(headers, dict):
        return {}
    return {str(name): str(value) for name, value in headers.items()}


def _low_level(client: object) -> Any:
    return getattr(client, "api", client)


def address_of(client: object) -> Address:
    """
    Where a docker-py client's engine is.

    Raises:
        TypeError: It is no docker-py client.
        EngineUnavailable: It speaks over a transport of its own.
    """
    api = _low_level(client)
    if not isinstance(api, docker.APIClient):
        raise TypeError(
            f"client must be a docker.DockerClient or docker.APIClient, got {type(client).__name__}"
        )
    adapter = api.get_adapter(api.base_url)
    if hasattr(adapter, "socket_path"):
        return parse(f"unix://{adapter.socket_path}", None)
    if hasattr(adapter, "ssh_host"):
        return parse(f"ssh://{adapter.ssh_host.removeprefix('ssh://')}", None)
    if urlsplit(api.base_url).scheme in ("http", "https") and "+" not in api.base_url:
        return parse(api.base_url, _tls_of(api))
    raise EngineUnavailable(
        f"{api.base_url}: a client over this transport cannot be used; give host="
    )


def _tls_of(api: docker.APIClient) -> TLS:
    cert, key = api.cert if isinstance(api.cert, tuple) else (api.cert, None)
    ca = api.verify if isinstance(api.verify, str) else None
    return TLS(ca=ca, cert=cert, key=key, verify=bool(api.verify))
