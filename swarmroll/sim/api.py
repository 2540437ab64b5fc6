"""
The Engine API of a simulated swarm: which request does what, and what comes back.

One request is one moment of the swarm. What is streamed (events, logs that are followed) is only
begun here; ``swarmroll.sim.server`` sends it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple
from urllib.parse import unquote

import attrs

from swarmroll.core.snapshot import Availability, TaskState
from swarmroll.errors import Conflict, EngineError
from swarmroll.sim import answers, filters, versions
from swarmroll.sim.dirty import up_to_date
from swarmroll.sim.logs import Log, Reading
from swarmroll.sim.nodes import SimNode
from swarmroll.sim.objects import OUT_OF_SEQUENCE, Blob
from swarmroll.sim.shapes import network_spec, node_spec, service_spec
from swarmroll.sim.tasks import SimTask, container_labels, container_name
from swarmroll.sim.versions import Version

if TYPE_CHECKING:
    from swarmroll.sim.events import Event
    from swarmroll.sim.swarm import SimSwarm

JSON = "application/json"
_TRUE = frozenset({"1", "true", "True", "TRUE", "t", "T", "yes", "on"})


@attrs.frozen(kw_only=True)
class Request:
    """
    One request.

    Attributes:
        path: Without its version.
        parts: What the variable parts of the path are.
    """

    method: str
    path: str
    version: Version
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = attrs.field(repr=False)
    parts: tuple[str, ...] = ()

    @property
    def ref(self) -> str:
        """The first variable part of the path: an id or a name."""
        return self.parts[0]

    def flag(self, name: str) -> bool:
        """A parameter that is true or false (httputils.BoolValue)."""
        return self.query.get(name, "") in _TRUE

    def document(self) -> dict[str, Any]:
        """
        The body as JSON.

        Raises:
            EngineError: It is none, or is not said to be, HTTP 400.
        """
        kind = self.headers.get("content-type", "").partition(";")[0].strip()
        if kind != JSON and (kind or self.body):
            text = f"unsupported Content-Type header ({kind}): must be 'application/json'"
            raise EngineError(text, status=400)
        if not self.body:
            raise EngineError("invalid JSON: got EOF while reading request body", status=400)
        try:
            doc = json.loads(self.body)
        except (ValueError, RecursionError) as exc:
            raise EngineError(f"invalid JSON: {exc}", status=400) from None
        if not isinstance(doc, dict):
            raise EngineError("invalid JSON: the body is no object", status=400)
        return doc

    def index(self, what: str) -> int:
        """
        The version index that a write names.

        Raises:
            EngineError: It names none, HTTP 400.
        """
        text = self.query.get("version", "")
        if not re.fullmatch(r"[0-9]{1,19}", text):
            message = (
                f"invalid {what} version '{text}': strconv.ParseUint: parsing "
                f'"{text}": invalid syntax'
            )
            raise EngineError(message, status=400)
        return int(text)


@attrs.frozen
class Answer:
    """A whole answer."""

    body: bytes = attrs.field(default=b"", repr=False)
    status: int = 200
    kind: str = JSON
    headers: Mapping[str, str] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class Following:
    """
    A stream of events.

    Attributes:
        past: Events that have happened already.
        wanted: Which ones are asked for.
        until: Seconds since the epoch at which it ends, by the managers' clock.
    """

    past: tuple[Event, ...]
    wanted: Callable[[Event], bool]
    until: float | None


Result = Answer | Following | Reading


class Route(NamedTuple):
    """A method and a path, the Engine API's name of it, and who carries it out."""

    method: str
    pattern: re.Pattern[str]
    operation: str


def _route(method: str, path: str, operation: str) -> Route:
    pattern = re.sub(r"\{name\}", r"(.+)", re.sub(r"\{id\}", r"([^/]+)", path))
    return Route(method, re.compile(pattern + "$"), operation)


ROUTES = (
    _route("GET", "/_ping", "SystemPing"),
    _route("HEAD", "/_ping", "SystemPing"),
    _route("GET", "/version", "SystemVersion"),
    _route("GET", "/info", "SystemInfo"),
    _route("GET", "/events", "SystemEvents"),
    _route("GET", "/swarm", "SwarmInspect"),
    _route("GET", "/nodes", "NodeList"),
    _route("GET", "/nodes/{id}", "NodeInspect"),
    _route("POST", "/nodes/{id}/update", "NodeUpdate"),
    _route("DELETE", "/nodes/{id}", "NodeDelete"),
    _route("GET", "/services", "ServiceList"),
    _route("POST", "/services/create", "ServiceCreate"),
    _route("GET", "/services/{id}", "ServiceInspect"),
    _route("POST", "/services/{id}/update", "ServiceUpdate"),
    _route("DELETE", "/services/{id}", "ServiceDelete"),
    _route("GET", "/services/{id}/logs", "ServiceLogs"),
    _route("GET", "/tasks", "TaskList"),
    _route("GET", "/tasks/{id}", "TaskInspect"),
    _route("GET", "/tasks/{id}/logs", "TaskLogs"),
    _route("GET", "/configs", "ConfigList"),
    _route("POST", "/configs/create", "ConfigCreate"),
    _route("GET", "/configs/{id}", "ConfigInspect"),
    _route("POST", "/configs/{id}/update", "ConfigUpdate"),
    _route("DELETE", "/configs/{id}", "ConfigDelete"),
    _route("GET", "/secrets", "SecretList"),
    _route("POST", "/secrets/create", "SecretCreate"),
    _route("GET", "/secrets/{id}", "SecretInspect"),
    _route("POST", "/secrets/{id}/update", "SecretUpdate"),
    _route("DELETE", "/secrets/{id}", "SecretDelete"),
    _route("GET", "/networks", "NetworkList"),
    _route("POST", "/networks/create", "NetworkCreate"),
    _route("GET", "/networks/{id}", "NetworkInspect"),
    _route("DELETE", "/networks/{id}", "NetworkDelete"),
    _route("GET", "/distribution/{name}/json", "DistributionInspect"),
    _route("GET", "/containers/json", "ContainerList"),
    _route("GET", "/containers/{id}/json", "ContainerInspect"),
    _route("GET", "/containers/{id}/logs", "ContainerLogs"),
)
_ELSEWHERE = re.compile(
    r"/(auth|build|commit|containers|exec|images|networks|plugins|session|swarm|system|volumes)\b"
)
NEEDS_LEADER = re.compile("(Service|Task|Node|Config|Secret|Network|Swarm)[A-Z]")
_NO_MANAGER = (
    "This node is not a swarm manager. Worker nodes can't be used to view or modify cluster state. "
    "Please run this command on a manager node or promote the current node to a manager."
)


def find(request: Request) -> tuple[Request, str]:
    """
    What a request is about: itself with its variable parts, and the operation.

    Raises:
        EngineError: No engine knows it (404), or the simulated one does not do it (501).
    """
    for route in ROUTES:
        if route.method == request.method:
            found = route.pattern.match(request.path)
            if found is not None:
                parts = tuple(unquote(part) for part in found.groups())
                return attrs.evolve(request, parts=parts), route.operation
    if _ELSEWHERE.match(request.path):
        text = f"the simulated engine does not do {request.method} {request.path}"
        raise EngineError(text, status=501)
    raise EngineError("page not found", status=404)


def _of(kind: str, do: Callable[[Api, str, Request], Result]) -> Callable[[Api, Request], Result]:
    return lambda api, request: do(api, kind, request)


class Api:
    """Carries out requests; the caller has the swarm's lock."""

    def __init__(self, sim: SimSwarm) -> None:
        self._sim = sim
        self._store = sim.store
        self._tasks = answers.Tasks(sim)
        self._log = Log(sim)

    def do(self, operation: str, request: Request) -> Result:
        """
        Carry out a request.

        Raises:
            EngineError: The engine refuses it, with its status and words.
        """
        if NEEDS_LEADER.match(operation) and self.here.role != "manager":
            raise EngineError(_NO_MANAGER, status=503)
        return self._METHODS[operation](self, request)

    @property
    def here(self) -> SimNode:
        """The node whose engine answers: the first one."""
        return next(iter(self._store.nodes.values()))

    # The engine

    def _ping(self, _: Request) -> Answer:
        headers = {"Cache-Control": "no-cache, no-store, must-revalidate", "Pragma": "no-cache"}
        leading = "manager" if self.here.role == "manager" else "worker"
        headers["Swarm"] = f"active/{leading}"
        headers["Builder-Version"] = "2"
        return Answer(b"OK", kind="text/plain; charset=utf-8", headers=headers)

    def _version(self, _: Request) -> Answer:
        return _json(answers.version_document(self._sim.release))

    def _info(self, _: Request) -> Answer:
        return _json(answers.info_document(self._sim, self.here))

    def _swarm(self, _: Request) -> Answer:
        return _json(answers.swarm_document(self._sim))

    def _events(self, request: Request) -> Following:
        wanted = filters.parse(request.query.get("filters"))
        since = _moment(request.query.get("since"))
        until = _moment(request.query.get("until"))
        if since is not None and until is not None and until < since:
            text = (
                f"`since` time ({request.query['since']}) cannot be after `until` time "
                f"({request.query['until']})"
            )
            raise EngineError(text, status=400)
        past = self._store.events.kept if since is not None or until is not None else ()
        return Following(
            past=tuple(
                event
                for event in past
                if _event_wanted(wanted, event)
                and (since is None or event.at >= since)
                and (until is None or event.at <= until)
            ),
            wanted=lambda event: _event_wanted(wanted, event),
            until=until,
        )

    # Nodes

    def _node(self, ref: str) -> SimNode:
        nodes = self._store.nodes
        if ref == "self":
            return self.here
        if ref in nodes:
            return nodes[ref]
        named = [node for node in nodes.values() if node.hostname == ref]
        found = named or [node for node in nodes.values() if node.id.startswith(ref)]
        if not found:
            raise EngineError(f"node {ref} not found", status=404)
        if len(found) > 1:
            raise EngineError(f"node {ref} is ambiguous ({len(found)} matches found)", status=400)
        return found[0]

    def _nodes(self, request: Request) -> Answer:
        wanted = filters.parse(request.query.get("filters"), _NODE_FILTERS)
        return _json(
            [
                answers.node_document(node)
                for node in self._store.nodes.values()
                if filters.prefix(wanted, "name", node.hostname)
                and filters.prefix(wanted, "id", node.id)
                and filters.labels(wanted, "label", node.engine_labels)
                and filters.labels(wanted, "node.label", node.labels)
                and filters.exact(wanted, "role", node.role)
                and filters.exact(wanted, "membership", "accepted")
            ]
        )

    def _inspect_node(self, request: Request) -> Answer:
        return _json(answers.node_document(self._node(request.ref)))

    def _update_node(self, request: Request) -> Answer:
        index = request.index("node")
        spec = node_spec(request.document())
        node = self._node(request.ref)
        role = str(spec.get("Role", "")).lower()
        availability = str(spec.get("Availability", "")).lower()
        if role not in ("manager", "worker"):
            raise EngineError(f'invalid Role: "{spec.get("Role", "")}"', status=400)
        if availability not in ("active", "pause", "drain"):
            text = f'invalid Availability: "{spec.get("Availability", "")}"'
            raise EngineError(text, status=400)
        if index != node.version:
            raise Conflict(OUT_OF_SEQUENCE, status=500)
        if node.role == "manager" and role == "worker":
            managers = [one for one in self._store.nodes.values() if one.role == "manager"]
            if len(managers) == 1:
                text = "attempting to demote the last manager of the swarm"
                raise EngineError(f"rpc error: code = FailedPrecondition desc = {text}", status=400)
        cluster = self._sim.cluster
        cluster.replace_labels(node, spec["Labels"])
        cluster.set_availability(node, Availability(availability))
        cluster.set_role(node, role)
        return Answer()

    def _remove_node(self, request: Request) -> Answer:
        self._sim.cluster.remove(self._node(request.ref), force=request.flag("force"))
        return Answer()

    # Services

    def _services(self, request: Request) -> Answer:
        wanted = filters.parse(request.query.get("filters"), _SERVICE_FILTERS)
        status = request.flag("status")
        found = []
        for service in self._store.services.values():
            spec = service.spec
            if not (
                filters.prefix(wanted, "name", service.name)
                and filters.prefix(wanted, "id", service.id)
                and filters.labels(wanted, "label", spec.doc["Labels"])
                and filters.exact(wanted, "mode", spec.mode)
                and filters.exact(wanted, "runtime", "container")
            ):
                continue
            doc = answers.service_document(service)
            if status:
                doc = {**doc, "ServiceStatus": answers.service_status(self._sim, service)}
            found.append(doc)
        return _json(found)

    def _create_service(self, request: Request) -> Answer:
        spec = versions.strip(service_spec(request.document()), request.version)
        if not spec.get("Name"):
            # Docker's own names are two words as well.
            spec["Name"] = f"simulated_{self._store.rng.randrange(10**6):06d}"
        auth = request.headers.get("x-registry-auth") or None
        service = self._sim.control.create(spec, auth=auth)
        return _json({"ID": service.id}, status=201)

    def _inspect_service(self, request: Request) -> Answer:
        service = self._sim.control.find(request.ref)
        defaults = request.flag("insertDefaults")
        return _json(answers.service_document(service, defaults=defaults))

    def _update_service(self, request: Request) -> Answer:
        spec = versions.strip(service_spec(request.document()), request.version)
        index = request.index("service")
        self._sim.control.update(
            request.ref,
            index,
            spec,
            rollback=request.query.get("rollback", ""),
            auth=request.headers.get("x-registry-auth") or None,
            auth_from=request.query.get("registryAuthFrom", ""),
        )
        return _json({"Warnings": None})

    def _remove_service(self, request: Request) -> Answer:
        self._sim.control.remove(self._sim.control.find(request.ref))
        return Answer()

    # Tasks

    def _list_tasks(self, request: Request) -> Answer:
        wanted = filters.parse(request.query.get("filters"), _TASK_FILTERS)
        # A name that leads nowhere is refused, and not merely without tasks.
        services = {self._sim.control.find(ref).id for ref in wanted.get("service", ())}
        nodes = {self._node(ref).id for ref in wanted.get("node", ())}
        for state in wanted.get("desired-state", ()):
            if state.upper() not in TaskState.__members__:
                raise EngineError(f"invalid desired-state filter: '{state}'", status=400)
        keys = services if "service" in wanted else self._store.services
        if "service" not in wanted:
            tasks = list(self._store.tasks.values())
        else:
            tasks = [task for key in keys for task in self._store.tasks_of(key)]
        if wanted:
            tasks = [task for task in tasks if self._task_wanted(task, wanted, nodes)]
        return Answer(b"[" + b",".join(self._tasks.many(tasks)) + b"]\n")

    def _task_wanted(self, task: SimTask, wanted: filters.Filters, nodes: set[str]) -> bool:
        service = self._store.services.get(task.service_id)
        if nodes and (task.node is None or task.node.id not in nodes):
            return False
        if "_up-to-date" in wanted and (service is None or not up_to_date(service, task)):
            return False
        labels = {} if service is None else service.spec.doc["Labels"]
        return (
            filters.exact(wanted, "desired-state", task.desired.name.lower())
            and filters.prefix(wanted, "id", task.id)
            and filters.prefix(wanted, "name", container_name(task))
            and filters.labels(wanted, "label", labels)
            and filters.exact(wanted, "runtime", "container")
        )

    def _task(self, ref: str) -> SimTask:
        tasks = self._store.tasks
        if ref in tasks:
            return tasks[ref]
        found = [task for task in tasks.values() if container_name(task) == ref]
        found = found or [task for task in tasks.values() if task.id.startswith(ref)]
        if not found:
            raise EngineError(f"task {ref} not found", status=404)
        if len(found) > 1:
            raise EngineError(f"task {ref} is ambiguous ({len(found)} matches found)", status=400)
        return found[0]

    def _inspect_task(self, request: Request) -> Answer:
        return Answer(self._tasks.one(self._task(request.ref)) + b"\n")

    # Logs

    def _service_logs(self, request: Request) -> Reading:
        _check_streams(request, status=500)
        service = self._sim.control.find(request.ref)
        tasks = lambda: list(self._store.tasks_of(service.id))  # noqa: E731 - asked again and again
        return self._log.read(request, tasks, terminal=service.spec.terminal)

    def _task_logs(self, request: Request) -> Reading:
        _check_streams(request, status=500)
        task = self._task(request.ref)
        return self._log.read(request, lambda: [task], terminal=task.spec.terminal)

    def _container_logs(self, request: Request) -> Reading:
        _check_streams(request, status=400)
        task = self._container(request.ref)
        return self._log.read(request, lambda: [task], terminal=task.spec.terminal)

    # Configs and secrets

    def _blobs(self, kind: str, request: Request) -> Answer:
        wanted = filters.parse(request.query.get("filters"), _BLOB_FILTERS)
        held: dict[str, Blob] = getattr(self._store, f"{kind}s")
        return _json(
            [
                blob.document()
                for blob in held.values()
                if filters.prefix(wanted, "name", blob.name)
                and filters.exact(wanted, "names", blob.name)
                and filters.prefix(wanted, "id", blob.id)
                and filters.labels(wanted, "label", blob.labels)
            ]
        )

    def _create_blob(self, kind: str, request: Request) -> Answer:
        return _json({"ID": self._sim.objects.create(kind, request.document()).id}, status=201)

    def _inspect_blob(self, kind: str, request: Request) -> Answer:
        return _json(self._sim.objects.find(kind, request.ref).document())

    def _update_blob(self, kind: str, request: Request) -> Answer:
        doc = request.document()
        self._sim.objects.update(kind, request.ref, request.index(kind), doc)
        return Answer()

    def _remove_blob(self, kind: str, request: Request) -> Answer:
        self._sim.objects.remove(kind, request.ref)
        return Answer(status=204)

    # Networks

    def _networks(self, request: Request) -> Answer:
        wanted = filters.parse(request.query.get("filters"), _NETWORK_FILTERS)
        return _json(
            [
                network.document()
                for network in self._store.networks.values()
                if filters.pattern(wanted, "name", network.name)
                and filters.prefix(wanted, "id", network.id)
                and filters.exact(wanted, "driver", network.driver)
                and filters.exact(wanted, "scope", "local" if network.local else "swarm")
                and filters.labels(wanted, "label", network.labels)
            ]
        )

    def _create_network(self, request: Request) -> Answer:
        network = self._sim.objects.create_network(network_spec(request.document()))
        return _json({"Id": network.id, "Warning": ""}, status=201)

    def _inspect_network(self, request: Request) -> Answer:
        return _json(self._sim.objects.find_network(request.ref).document())

    def _remove_network(self, request: Request) -> Answer:
        self._sim.objects.remove_network(request.ref)
        return Answer(status=204)

    # Images and containers

    def _distribution(self, request: Request) -> Answer:
        image = request.ref
        digest = self._sim.images.digest(image)
        if digest is None:
            text = f"no such manifest: {image}: manifest unknown"
            raise EngineError(text, status=404)
        kind = "application/vnd.oci.image.index.v1+json"
        return _json(
            {
                "Descriptor": {"mediaType": kind, "digest": digest, "size": 1610},
                "Platforms": [{"architecture": "amd64", "os": "linux"}],
            }
        )

    def _container(self, ref: str) -> SimTask:
        """A container of this node; those of others are not to be seen here."""
        for task in self._mine():
            if task.container_id.startswith(ref) or container_name(task) == ref:
                return task
        raise EngineError(f"No such container: {ref}", status=404)

    def _mine(self) -> list[SimTask]:
        here = self.here
        return [
            task
            for task in self._store.tasks.values()
            if task.container_id and task.node is here and here.powered
        ]

    def _containers(self, request: Request) -> Answer:
        wanted = filters.parse(request.query.get("filters"))
        everything = request.flag("all") or "status" in wanted
        return _json(
            [
                answers.container_summary(task)
                for task in self._mine()
                if (everything or not task.ended)
                and filters.exact(wanted, "status", "exited" if task.ended else "running")
                and filters.pattern(wanted, "name", container_name(task))
                and filters.prefix(wanted, "id", task.container_id)
                and filters.labels(wanted, "label", container_labels(task))
            ]
        )

    def _inspect_container(self, request: Request) -> Answer:
        return _json(answers.container_document(self._sim, self._container(request.ref)))

    _METHODS: ClassVar[Mapping[str, Callable[[Api, Request], Result]]] = {
        "SystemPing": _ping,
        "SystemVersion": _version,
        "SystemInfo": _info,
        "SystemEvents": _events,
        "SwarmInspect": _swarm,
        "NodeList": _nodes,
        "NodeInspect": _inspect_node,
        "NodeUpdate": _update_node,
        "NodeDelete": _remove_node,
        "ServiceList": _services,
        "ServiceCreate": _create_service,
        "ServiceInspect": _inspect_service,
        "ServiceUpdate": _update_service,
        "ServiceDelete": _remove_service,
        "ServiceLogs": _service_logs,
        "TaskList": _list_tasks,
        "TaskInspect": _inspect_task,
        "TaskLogs": _task_logs,
        "ConfigList": _of("config", _blobs),
        "ConfigCreate": _of("config", _create_blob),
        "ConfigInspect": _of("config", _inspect_blob),
        "ConfigUpdate": _of("config", _update_blob),
        "ConfigDelete": _of("config", _remove_blob),
        "SecretList": _of("secret", _blobs),
        "SecretCreate": _of("secret", _create_blob),
        "SecretInspect": _of("secret", _inspect_blob),
        "SecretUpdate": _of("secret", _update_blob),
        "SecretDelete": _of("secret", _remove_blob),
        "NetworkList": _networks,
        "NetworkCreate": _create_network,
        "NetworkInspect": _inspect_network,
        "NetworkDelete": _remove_network,
        "DistributionInspect": _distribution,
        "ContainerList": _containers,
        "ContainerInspect": _inspect_container,
        "ContainerLogs": _container_logs,
    }


_NODE_FILTERS = frozenset({"name", "id", "label", "role", "membership", "node.label"})
_SERVICE_FILTERS = frozenset({"name", "id", "label", "mode", "runtime"})
_TASK_FILTERS = frozenset(
    {"name", "id", "label", "service", "node", "desired-state", "runtime", "_up-to-date"}
)
_BLOB_FILTERS = frozenset({"name", "names", "id", "label"})
_EVENT_KINDS = (
    "config",
    "container",
    "daemon",
    "image",
    "network",
    "node",
    "plugin",
    "secret",
    "service",
    "volume",
)
_NETWORK_FILTERS = frozenset({"name", "id", "driver", "scope", "label", "type", "dangling"})


def _json(doc: object, *, status: int = 200) -> Answer:
    return Answer(answers.encoded(doc) + b"\n", status)


def _check_streams(request: Request, *, status: int) -> None:
    if not (request.flag("stdout") or request.flag("stderr")):
        text = "Bad parameters: you must choose at least one stream"
        raise EngineError(text, status=status)


def _moment(text: str | None) -> float | None:
    """A time in a query, ``seconds.nanoseconds`` since the epoch."""
    if not text:
        return None
    if not re.fullmatch(r"\d{1,12}(\.\d{1,9})?", text):
        message = f'strconv.ParseInt: parsing "{text}": invalid syntax'
        raise EngineError(message, status=400)
    return float(text)


def _event_wanted(wanted: filters.Filters, event: Event) -> bool:
    """After daemon/events/filter.go."""
    if not (
        filters.exact(wanted, "type", event.kind)
        and filters.exact(wanted, "event", event.action)
        and filters.exact(wanted, "scope", event.scope)
        and filters.labels(wanted, "label", event.attributes)
    ):
        return False
    name = event.attributes.get("name", "")
    return all(filters.prefix(wanted, kind, event.subject, name) for kind in _EVENT_KINDS)
