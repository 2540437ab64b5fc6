"""
Docker's JSON to swarmroll's values and back: the one file that knows the engine's keys and words.

Only what is needed is decoded, straight from the bytes: building the dicts of a long task list
costs ten times more than reading it. What a document must have is required, what it may have has a
default, and any other shape raises ``Nonsense``, whatever the bytes are.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections import OrderedDict
from collections.abc import Mapping
from datetime import datetime
from threading import Lock
from typing import Annotated, Any, TypeVar

import attrs
import msgspec
from msgspec import Meta, Raw

from swarmroll.core.document import Document
from swarmroll.core.snapshot import (
    Availability,
    Node,
    NodeState,
    Service,
    Task,
    TaskState,
    UpdateState,
    UpdateStatus,
)
from swarmroll.core.spec import ServiceSpec
from swarmroll.engine.port import Resolved, StoredConfig
from swarmroll.engine.trouble import Nonsense
from swarmroll.errors import SpecError

_T = TypeVar("_T")
_Time = Annotated[datetime, Meta(tz=True)] | None
# Ids are used in paths and as keys; an empty one would mean every object at once.
_Identity = Annotated[str, Meta(min_length=1)]


class _Struct(msgspec.Struct, rename="pascal", gc=False):
    """A Go struct: keys in Pascal case, ``null`` for whatever is empty."""


class _Version(_Struct):
    index: int


class _UpdateStatus(_Struct):
    state: str | None = None
    message: str | None = None
    started_at: _Time = None
    completed_at: _Time = None


class _Service(_Struct):
    id: _Identity = msgspec.field(name="ID")
    version: _Version
    spec: dict[str, Any]
    previous_spec: dict[str, Any] | None = None
    update_status: _UpdateStatus | None = None
    created_at: _Time = None
    updated_at: _Time = None


class _Container(_Struct):
    container_id: str | None = msgspec.field(name="ContainerID", default=None)
    exit_code: int | None = None


class _TaskStatus(_Struct):
    state: str | None = None
    timestamp: _Time = None
    message: str | None = None
    err: str | None = None
    container_status: _Container | None = None


class _Task(_Struct):
    id: _Identity = msgspec.field(name="ID")
    spec: Raw
    status: _TaskStatus
    desired_state: str
    created_at: _Time = None
    updated_at: _Time = None
    slot: int | None = None
    node_id: str | None = msgspec.field(name="NodeID", default=None)


class _NodeSpec(_Struct):
    role: str | None = None
    availability: str | None = None
    labels: dict[str, str] | None = None


class _Platform(_Struct):
    architecture: str | None = None
    os: str | None = msgspec.field(name="OS", default=None)


class _NodeEngine(_Struct):
    engine_version: str | None = None
    labels: dict[str, str] | None = None


class _NodeDescription(_Struct):
    hostname: str | None = None
    platform: _Platform | None = None
    engine: _NodeEngine | None = None


class _NodeStatus(_Struct):
    state: str | None = None
    addr: str | None = None


class _Manager(_Struct):
    leader: bool | None = None


class _Node(_Struct):
    id: _Identity = msgspec.field(name="ID")
    spec: _NodeSpec
    description: _NodeDescription | None = None
    status: _NodeStatus | None = None
    manager_status: _Manager | None = None
    updated_at: _Time = None


class _ConfigSpec(_Struct):
    name: str
    labels: dict[str, str] | None = None
    data: str | None = None


class _Config(_Struct):
    id: _Identity = msgspec.field(name="ID")
    version: _Version
    spec: _ConfigSpec


class _Actor(_Struct):
    id: str | None = msgspec.field(name="ID", default=None)
    attributes: dict[str, str] | None = None


class _Event(_Struct):
    type: str | None = None
    action: str | None = None
    actor: _Actor | None = None


class _Descriptor(msgspec.Struct):
    digest: str


class _ImagePlatform(msgspec.Struct):
    os: str | None = None
    architecture: str | None = None
    variant: str | None = None


class _Distribution(msgspec.Struct):
    descriptor: _Descriptor = msgspec.field(name="Descriptor")
    platforms: list[_ImagePlatform] | None = msgspec.field(name="Platforms", default=None)


class _Accepted(_Struct):
    warnings: list[str] | None = None


class _Error(msgspec.Struct):
    message: str


class _EngineVersion(_Struct):
    api_version: str


class _HealthLog(_Struct):
    output: str | None = None


class _Health(_Struct):
    log: list[_HealthLog] | None = None


class _ContainerState(_Struct):
    health: _Health | None = None


class _InspectedContainer(_Struct):
    state: _ContainerState | None = None


def _decoded(body: bytes | bytearray | Raw, kind: type[_T], what: str) -> _T:
    try:
        return msgspec.json.decode(body, type=kind)
    except RecursionError:
        raise Nonsense(f"{what} is nested too deep") from None
    except (msgspec.MsgspecError, ValueError) as exc:
        # msgspec names path and types, never values.
        raise Nonsense(f"{what}: {_cause(exc)}") from None


def _cause(exc: Exception) -> str:
    return "not UTF-8" if isinstance(exc, UnicodeError) else str(exc)


def _seconds(time: datetime | None) -> float:
    """Seconds since the epoch; 0 for no time, and for Go's zero time, which is the year 1."""
    return 0.0 if time is None or time.year == 1 else time.timestamp()


def _seconds_or_none(time: datetime | None) -> float | None:
    return _seconds(time) or None


# --- services ---------------------------------------------------------------------------------


def service(body: bytes | bytearray) -> Service:
    """
    A service as ``GET /services/{id}`` answers it.

    Raises:
        Nonsense: It is none.
    """
    found = _decoded(body, _Service, "the service")
    try:
        spec = ServiceSpec.from_engine(found.spec)
        previous = ServiceSpec.from_engine(found.previous_spec) if found.previous_spec else None
    except SpecError as exc:
        raise Nonsense(f"the service: {exc}") from exc
    return Service(
        id=found.id,
        name=_text(found.spec.get("Name")),
        version=found.version.index,
        spec=spec,
        previous_spec=previous,
        update_status=_update_status(found.update_status),
        created_at=_seconds(found.created_at),
        updated_at=_seconds(found.updated_at),
        raw=_decoded(body, dict[str, Any], "the service"),
    )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise Nonsense(
            f"the service: Expected `str` - at `$.Spec.Name`, got {type(value).__name__}"
        )
    return value


def _update_status(found: _UpdateStatus | None) -> UpdateStatus | None:
    # Go sends an empty object where there is no status, before API 1.25 and from some proxies.
    if found is None or not found.state:
        return None
    return UpdateStatus(
        state=_UPDATE_STATES.get(found.state, UpdateState.UNKNOWN),
        message=found.message or "",
        started_at=_seconds_or_none(found.started_at),
        completed_at=_seconds_or_none(found.completed_at),
    )


_UPDATE_STATES = {state.value: state for state in UpdateState}


def update_body(spec: ServiceSpec) -> bytes:
    """The whole spec, as ``POST /services/{id}/update`` wants it."""
    return msgspec.json.encode(spec.to_engine())


def warnings(body: bytes | bytearray) -> tuple[str, ...]:
    """
    What the engine warns of in an update that it has accepted.

    An answer that cannot be read is no warning: the update stands all the same.
    """
    try:
        return tuple(_decoded(body, _Accepted, "the answer").warnings or ())
    except Nonsense:
        return ()


# --- configs ----------------------------------------------------------------------------------


def config(body: bytes | bytearray) -> StoredConfig:
    """
    A config as ``GET /configs/{id}`` answers it.

    Raises:
        Nonsense: It is none.
    """
    return _config(_decoded(body, _Config, "the config"))


def configs(body: bytes | bytearray) -> tuple[StoredConfig, ...]:
    """
    The configs that ``GET /configs`` lists.

    Raises:
        Nonsense: They are none.
    """
    return tuple(_config(one) for one in _decoded(body, list[_Config], "the config list"))


def _config(found: _Config) -> StoredConfig:
    try:
        data = base64.b64decode(found.spec.data or "", validate=True)
    except binascii.Error:
        raise Nonsense(f"the config {found.spec.name}: its data is not base64") from None
    return StoredConfig(
        id=found.id,
        name=found.spec.name,
        version=found.version.index,
        labels=found.spec.labels or {},
        data=data,
    )


def config_body(name: str, data: bytes, labels: Mapping[str, str]) -> bytes:
    """A config, as the engine wants it to be made or written."""
    text = base64.b64encode(data).decode()
    return msgspec.json.encode({"Name": name, "Labels": dict(labels), "Data": text})


# --- tasks ------------------------------------------------------------------------------------


@attrs.frozen
class _Template:
    """A task's spec, decoded once for all tasks that have the very same."""

    document: Document
    image: str


class Templates:
    """
    The task templates seen lately, by their bytes.

    The tasks of a service share a few of them, look after look.
    """

    def __init__(self, size: int = 512) -> None:
        self._size = size
        self._known: OrderedDict[bytes, _Template] = OrderedDict()
        self._lock = Lock()

    def get(self, raw: bytes) -> _Template:
        """
        The template that these bytes are.

        Raises:
            Nonsense: They are none.
        """
        with self._lock:
            if raw in self._known:
                self._known.move_to_end(raw)
                return self._known[raw]
        template = _template(raw)
        with self._lock:
            self._known[raw] = template
            while len(self._known) > self._size:
                self._known.popitem(last=False)
        return template


def _template(raw: bytes) -> _Template:
    spec = _decoded(raw, dict[str, Any], "a task's Spec")
    try:
        document = Document.from_engine(spec, name="a task's Spec")
    except SpecError as exc:
        raise Nonsense(str(exc)) from exc
    container = spec.get("ContainerSpec")
    image = container.get("Image") if isinstance(container, dict) else ""
    return _Template(document, image if isinstance(image, str) else "")


def tasks(body: bytes | bytearray, templates: Templates) -> tuple[Task, ...]:
    """
    The tasks that ``GET /tasks`` lists.

    Raises:
        Nonsense: They are none.
    """
    flat = []
    last, template = None, None
    # A loop that is run 10,000 times a look: what it calls costs more than what it does.
    for task in _decoded(body, list[_Task], "the task list"):
        if template is None or task.spec != last:
            last = task.spec
            template = templates.get(bytes(last))
        status = task.status
        container = status.container_status or _NO_CONTAINER
        ended = container.container_id and status.state in _ENDED
        flat.append(
            _FlatTask(
                task.id,
                # Replicated services count from 1; only jobs, never rolled, have a slot 0.
                task.slot or None,
                task.node_id or "",
                _TASK_STATES.get(status.state, TaskState.NEW),
                _TASK_STATES.get(task.desired_state, TaskState.NEW),
                _seconds(task.created_at),
                _seconds(status.timestamp),
                _seconds(task.updated_at),
                status.message or "",
                status.err or "",
                container.exit_code if ended else None,
                container.container_id or "",
                template.image,
                template.document,
            )
        )
    # msgspec makes attrs objects in half the time that their own initialiser takes.
    return tuple(msgspec.convert(flat, list[Task], from_attributes=True))


class _FlatTask(msgspec.Struct, gc=False):
    """A ``Task``, on its way to become one."""

    id: str
    slot: int | None
    node_id: str
    state: TaskState
    desired: TaskState
    created_at: float
    state_at: float
    updated_at: float
    message: str
    error: str
    exit_code: int | None
    container_id: str
    image: str
    template: Document


_NO_CONTAINER = _Container()
# By name; a state that swarmkit has learned since is NEW: it is wanted and does not run, so that
# it can neither prove that an update has succeeded, nor that one has failed.
_TASK_STATES: dict[str | None, TaskState] = {state.name.lower(): state for state in TaskState}
_ENDED = frozenset(word for word, state in _TASK_STATES.items() if state.terminal)


# --- nodes ------------------------------------------------------------------------------------


def nodes(body: bytes | bytearray) -> tuple[Node, ...]:
    """
    The nodes that ``GET /nodes`` lists.

    Raises:
        Nonsense: They are none.
    """
    return tuple(_node(node) for node in _decoded(body, list[_Node], "the node list"))


def _node(found: _Node) -> Node:
    description = found.description or _NodeDescription()
    engine = description.engine or _NodeEngine()
    platform = description.platform or _Platform()
    status = found.status or _NodeStatus()
    manager = found.manager_status or _Manager()
    return Node(
        id=found.id,
        hostname=description.hostname or "",
        role=found.spec.role or "worker",
        state=_NODE_STATES.get(status.state or "", NodeState.UNKNOWN),
        # An availability that nobody knows yet: do not count on the node, nor think it drained.
        availability=_AVAILABILITIES.get(found.spec.availability or "", Availability.PAUSE),
        leader=bool(manager.leader),
        labels=found.spec.labels or {},
        engine_labels=engine.labels or {},
        os=platform.os or "",
        arch=platform.architecture or "",
        addr=status.addr or "",
        engine_version=engine.engine_version or "",
        updated_at=_seconds(found.updated_at),
    )


_NODE_STATES = {state.value: state for state in NodeState}
_AVAILABILITIES = {availability.value: availability for availability in Availability}


# --- events -----------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class Hint:
    """
    What an event tells: where to look.

    Attributes:
        service_id: The service that changed; None when it may be any.
        leader_changed: Whether the swarm has, or may have, got another leader.
    """

    service_id: str | None = None
    leader_changed: bool = False


def hint(line: bytes) -> Hint:
    """
    One line of ``GET /events``.

    Raises:
        Nonsense: It is no event.
    """
    # A JSON text sequence (application/json-seq, RFC 7464) has a separator before each line.
    event = _decoded(line.lstrip(b"\x1e"), _Event, "an event")
    actor = event.actor or _Actor()
    if event.type == "service" and actor.id:
        return Hint(service_id=actor.id)
    changed = any(key.startswith("leader.") for key in actor.attributes or ())
    return Hint(leader_changed=changed)


EVENT_FILTERS: Mapping[str, list[str]] = {"scope": ["swarm"], "type": ["service", "node"]}
"""There are no events of tasks; see docs/architecture.md."""


# --- the rest ---------------------------------------------------------------------------------


def filters(wanted: Mapping[str, list[str]]) -> str:
    """Filters as the engine wants them in a query."""
    return json.dumps(wanted, separators=(",", ":"))


def of_service(service_id: str, *, up_to_date: bool = False) -> Mapping[str, list[str]]:
    """
    Which tasks to list.

    ``_up-to-date`` is not in the API's documentation; the docker CLI uses it, and it is the
    manager's own rule (moby daemon/cluster/filters.go, swarmkit manager/orchestrator/task.go).
    """
    wanted = {"service": [service_id]}
    return {**wanted, "_up-to-date": ["true"]} if up_to_date else wanted


def resolved(body: bytes | bytearray) -> Resolved:
    """
    What ``GET /distribution/{image}/json`` tells.

    Raises:
        Nonsense: It tells nothing.
    """
    found = _decoded(body, _Distribution, "the distribution")
    platforms = (
        "/".join(part for part in (p.os, p.architecture, p.variant) if part)
        for p in found.platforms or ()
    )
    return Resolved(digest=found.descriptor.digest, platforms=tuple(filter(None, platforms)))


def health_outputs(body: bytes | bytearray) -> tuple[str, ...]:
    """
    Outputs of a container's last health checks, from ``GET /containers/{id}/json``.

    Raises:
        Nonsense: It is no container.
    """
    state = _decoded(body, _InspectedContainer, "the container").state or _ContainerState()
    log = (state.health or _Health()).log or ()
    return tuple(entry.output for entry in log if entry.output)


def log_lines(body: bytes | bytearray) -> tuple[str, ...]:
    """
    Lines of a log stream, whole or cut off.

    Without a terminal the engine sends frames: stream, three zeros, length, text. With one it sends
    the bare text.
    """
    text = bytearray()
    rest = memoryview(body)
    while len(rest) >= 8 and rest[0] <= 2 and not any(rest[1:4]):
        end = 8 + int.from_bytes(rest[4:8], "big")
        text += rest[8:end]
        rest = rest[end:]
    if len(rest) == len(body):
        text += rest
    return tuple(text.decode(errors="replace").splitlines())


def error_message(body: bytes) -> str:
    """The engine's own words in an answer that is no success; else the body itself."""
    try:
        return _decoded(body, _Error, "the error").message
    except Nonsense:
        return body.decode(errors="replace")[:500]


def api_version(body: bytes | bytearray) -> str:
    """
    The newest API version that ``GET /version`` names.

    Raises:
        Nonsense: It names none.
    """
    return _decoded(body, _EngineVersion, "the version").api_version
