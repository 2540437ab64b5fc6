"""
ServiceSpec: what a Swarm service should be. Lossless, immutable, edited by path.

It wraps the engine's own JSON document: every key survives, also those that swarmroll does not
know, and an edit changes its own path and nothing else. That matters: Swarm replaces every task
when the template differs in anything at all, even by a default that somebody spelled out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, TypeVar

import attrs

from swarmroll.core import environment, parts
from swarmroll.core.constraints import Constraint
from swarmroll.core.diff import Diff, compare
from swarmroll.core.document import (
    ABSENT,
    Absent,
    Document,
    Frozen,
    Path,
    copied,
    format_path,
    parse_path,
    peek,
)
from swarmroll.core.environment import Environment, TextMap
from swarmroll.core.image import ImageReference
from swarmroll.core.parts import (
    Config,
    Healthcheck,
    LogDriver,
    Mount,
    Network,
    Placement,
    Platform,
    Port,
    Resources,
    RestartPolicy,
    Secret,
    UpdateConfig,
)
from swarmroll.core.redact import mask_text, shown
from swarmroll.core.shape import check, lists_on
from swarmroll.core.units import Duration
from swarmroll.errors import SpecError
from swarmroll.printable import printable

__all__ = [
    "ROLLOUT_LABEL",
    "Config",
    "Healthcheck",
    "LogDriver",
    "Mount",
    "Network",
    "Placement",
    "Platform",
    "Port",
    "Resources",
    "RestartPolicy",
    "Secret",
    "ServiceSpec",
    "UpdateConfig",
]

ROLLOUT_LABEL = "swarmroll.rollout"
"""The service label that names the rollout which wrote the spec. It is no part of the release."""

MAX_REPLICAS = 1_000_000

_MODES = {
    "Replicated": "replicated",
    "Global": "global",
    "ReplicatedJob": "replicated-job",
    "GlobalJob": "global-job",
}
_REPLICAS = ("Mode", "Replicated", "Replicas")
_TASK = ("TaskTemplate",)
_CONTAINER = ("TaskTemplate", "ContainerSpec")
_IMAGE = (*_CONTAINER, "Image")
_ENV = (*_CONTAINER, "Env")
# The API's document writes HealthCheck; every engine sends Healthcheck, and takes either (moby
# api/types/swarm/container.go).
_HEALTHCHECK = (*_CONTAINER, "Healthcheck")
_DOCUMENTED_HEALTHCHECK = (*_CONTAINER, "HealthCheck")
_STOP_GRACE = (*_CONTAINER, "StopGracePeriod")
_PLACEMENT = (*_TASK, "Placement")
_UPDATE = ("UpdateConfig",)
_FORCE_UPDATE = (*_TASK, "ForceUpdate")

_P = TypeVar("_P")


@attrs.frozen(eq=False, repr=False)
class ServiceSpec:
    """
    What a service should be; made by ``ServiceSpec.from_engine()``.

    Equal to any spec with the same document; see ``same_as()`` for "the same release". Properties
    read one part of it, ``with_…`` methods return a copy that differs in one part, and both raise
    ``SpecError`` for what is not of the kind that the engine's API says.
    """

    _document: Document

    @classmethod
    def from_engine(cls, value: object) -> ServiceSpec:
        """
        Wrap the ``Spec`` of a service, as the engine sends it.

        Raises:
            SpecError: It is no JSON object.

        """
        return cls(Document.from_engine(value, name="a service spec"))

    def to_engine(self) -> dict[str, Any]:
        """The document as the engine wants it: a copy that belongs to the caller."""
        return self._document.to_engine()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ServiceSpec):
            return NotImplemented
        return self._document == other._document

    def __hash__(self) -> int:
        return hash(self._document)

    def __repr__(self) -> str:
        try:
            image = mask_text(self.image) or "no image"
            tasks = self.mode if self.replicas is None else f"replicas={self.replicas}"
            text = f"{self.name or 'unnamed'}: {image}, {tasks}"
        except SpecError as exc:
            text = f"malformed: {exc}"
        return printable(f"<ServiceSpec {text}>")

    # --- the whole -------------------------------------------------------------------------

    @cached_property
    def template(self) -> Document:
        """The task template, to be compared with what a task was made from."""
        return _document_at(self._document, "TaskTemplate") or Document({})

    @cached_property
    def endpoint(self) -> Document | Absent:
        """The endpoint spec (ports, VIP or DNS round robin); ``ABSENT`` if there is none."""
        found = _document_at(self._document, "EndpointSpec")
        # Not "or": an empty endpoint is one, to the engine.
        return ABSENT if found is None else found

    @cached_property
    def _release(self) -> Document:
        """The document without the rollout label; and without labels at all, if none are left."""
        stripped = self._document.without_path(("Labels", ROLLOUT_LABEL))
        return stripped if stripped.get("Labels") else stripped.without_path("Labels")

    def same_as(self, other: ServiceSpec) -> bool:
        """Is it the same release? The rollout label does not count, nor do labels without any."""
        return self is other or self._release == other._release

    def without_rollout_label(self) -> ServiceSpec:
        """The same spec without the label that names the rollout which wrote it."""
        return self.without_path(("Labels", ROLLOUT_LABEL))

    def diff(self, new: ServiceSpec) -> Diff:
        """What changes from this spec to another; nothing exactly if they are ``same_as()``."""
        return compare(self._release, new._release)

    def get(self, path: Path, default: Frozen = None) -> Frozen:
        """
        The value at a path, frozen: objects as ``Document``, lists as tuples.

        Raises:
            SpecError: The path is malformed.

        """
        return self._document.get(path, default)

    def with_path(self, path: Path, value: object) -> ServiceSpec:
        r"""
        Set any value, by its path in the engine's document.

        Args:
            path: ``"TaskTemplate.ContainerSpec.Hostname"``; a dot inside a key is written ``\.``
                (``"Labels.com\.example\.team"``), a list item is named by its index, and the
                index after the last one appends. Or the keys in a row.
            value: JSON, as the engine wants it: durations in integer nanoseconds.

        Raises:
            SpecError: The path leads nowhere, or the value is not of the kind that the engine's
                API has there. Keys that the API does not know take anything.

        """
        keys = parse_path(path)
        check(keys, copied(value, keys))
        document = self._document
        for parent in lists_on(keys):
            if document.get(parent) is None:
                document = document.with_path(parent, [])
        return ServiceSpec(document.with_path(keys, value))

    def without_path(self, path: Path) -> ServiceSpec:
        """
        Remove a key or a list item, if it is there; its parents stay, even if empty.

        Raises:
            SpecError: The path is malformed.

        """
        document = self._document.without_path(path)
        return self if document is self._document else ServiceSpec(document)

    # --- service ---------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """Name of the service; empty if the engine shall choose one."""
        return self._text("Name")

    @property
    def labels(self) -> Mapping[str, str]:
        """Labels of the service. They restart nothing."""
        return self._map("Labels")

    @property
    def rollout_label(self) -> str:
        """Which rollout wrote this spec; empty if none did."""
        return self.labels.get(ROLLOUT_LABEL, "")

    @property
    def mode(self) -> str:
        """``replicated``, ``global``, ``replicated-job`` or ``global-job``."""
        declared = peek(self._document, "Mode")
        if declared is not None and not isinstance(declared, dict):
            raise SpecError(f"Mode must be an object, got {shown(declared)}")
        found = [word for key, word in _MODES.items() if (declared or {}).get(key) is not None]
        if len(found) > 1:
            raise SpecError(f"Mode must be only one, got {' and '.join(found)}")
        # moby daemon/cluster/convert/service.go: no mode is one replica.
        return found[0] if found else "replicated"

    @property
    def replicas(self) -> int | None:
        """Tasks of a replicated service, 1 if undeclared, as the engine does; None otherwise."""
        if self.mode != "replicated":
            return None
        found = self._read(parts.COUNT, _REPLICAS)
        return 1 if found is None else int(found)

    @property
    def update_config(self) -> UpdateConfig | None:
        """How an update is paced; None where the spec leaves all of it to the engine."""
        return self._part(UpdateConfig, *_UPDATE)

    @property
    def rollback_config(self) -> UpdateConfig | None:
        """How a rollback *to* this spec is paced; None where it is left to the engine."""
        return self._part(UpdateConfig, "RollbackConfig")

    @property
    def effective_update_config(self) -> UpdateConfig:
        """What the engine does in an update, its defaults filled in."""
        return self.update_config or UpdateConfig()

    @property
    def effective_rollback_config(self) -> UpdateConfig:
        """What the engine does in a rollback to this spec, its defaults filled in."""
        return self.rollback_config or UpdateConfig()

    @property
    def endpoint_mode(self) -> str:
        """``vip`` (the engine's default) or ``dnsrr``."""
        return self._text("EndpointSpec", "Mode") or "vip"

    @property
    def ports(self) -> tuple[Port, ...]:
        """Published ports."""
        return self._parts(Port, "EndpointSpec", "Ports")

    @property
    def has_legacy_networks(self) -> bool:
        """Are there networks at the top level, which engines from 29 on ignore?"""
        return bool(peek(self._document, "Networks"))

    # --- task ------------------------------------------------------------------------------

    @property
    def networks(self) -> tuple[Network, ...]:
        """Networks of the tasks; those at the top level where the template names none."""
        found = self._parts(Network, *_TASK, "Networks")
        return found or self._parts(Network, "Networks")

    @property
    def resources(self) -> Resources:
        """Limits and reservations."""
        return self._part(Resources, *_TASK, "Resources") or Resources()

    @property
    def placement(self) -> Placement:
        """Which nodes may run the tasks."""
        return self._part(Placement, *_PLACEMENT) or Placement()

    @property
    def placement_document(self) -> Document | Absent:
        """The placement as the engine holds it, to be compared; ``ABSENT`` if there is none."""
        found = _document_at(self._document, *_PLACEMENT)
        return ABSENT if found is None else found

    @property
    def restart_policy(self) -> RestartPolicy | None:
        """When Swarm replaces a task that ended; None where it is left to the engine."""
        return self._part(RestartPolicy, *_TASK, "RestartPolicy")

    @property
    def log_driver(self) -> LogDriver | None:
        """Where logs go; None for the default of the node."""
        return self._part(LogDriver, *_TASK, "LogDriver")

    @property
    def force_update(self) -> int:
        """The counter that restarts every task when it changes."""
        return int(self._read(parts.COUNT, _FORCE_UPDATE) or 0)

    # --- container -------------------------------------------------------------------------

    @property
    def image(self) -> str:
        """The image, as written; empty if there is none (a plugin service)."""
        return self._text(*_IMAGE)

    @property
    def image_reference(self) -> ImageReference:
        """
        The image, taken apart.

        Raises:
            SpecError: It is no valid reference.

        """
        return ImageReference.parse(self.image, name=format_path(_IMAGE))

    @property
    def env(self) -> Environment:
        """Environment variables by name; ``.entries`` has them all, as the engine does."""
        return Environment(self._texts(*_ENV))

    @property
    def container_labels(self) -> Mapping[str, str]:
        """Labels of the containers. Unlike those of the service, they restart tasks."""
        return self._map(*_CONTAINER, "Labels")

    @property
    def command(self) -> tuple[str, ...]:
        """Replaces the image's ENTRYPOINT; the API calls it ``Command``."""
        return self._texts(*_CONTAINER, "Command")

    @property
    def args(self) -> tuple[str, ...]:
        """Replaces the image's CMD; the API calls it ``Args``."""
        return self._texts(*_CONTAINER, "Args")

    @property
    def hostname(self) -> str:
        """Hostname of the containers, maybe a template; empty for the engine's choice."""
        return self._text(*_CONTAINER, "Hostname")

    @property
    def user(self) -> str:
        """User in the container; empty for the image's."""
        return self._text(*_CONTAINER, "User")

    @property
    def workdir(self) -> str:
        """Working directory; empty for the image's. The API calls it ``Dir``."""
        return self._text(*_CONTAINER, "Dir")

    @property
    def healthcheck(self) -> Healthcheck | None:
        """The health check; None leaves it to the image, which may have one."""
        return self._part(Healthcheck, *self._healthcheck_keys)

    @property
    def stop_grace(self) -> float | None:
        """Seconds between the stop signal and the kill; None where left to the engine."""
        found = self._read(parts.SECONDS, _STOP_GRACE)
        return None if found is None else float(found)

    @property
    def effective_stop_grace(self) -> float:
        """Seconds between the stop signal and the kill; the engine's default is 10."""
        return 10.0 if self.stop_grace is None else self.stop_grace

    @property
    def stop_signal(self) -> str:
        """Signal that stops the container; empty for the image's, or SIGTERM."""
        return self._text(*_CONTAINER, "StopSignal")

    @property
    def mounts(self) -> tuple[Mount, ...]:
        """Volumes and bind mounts."""
        return self._parts(Mount, *_CONTAINER, "Mounts")

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """References to Swarm secrets."""
        return self._parts(Secret, *_CONTAINER, "Secrets")

    @property
    def configs(self) -> tuple[Config, ...]:
        """References to Swarm configs."""
        return self._parts(Config, *_CONTAINER, "Configs")

    # --- edits -----------------------------------------------------------------------------

    def with_image(self, image: str | ImageReference) -> ServiceSpec:
        """
        Another image, written as given; ``str(reference.pinned(digest))`` pins it.

        Raises:
            SpecError: No valid image reference.

        """
        text = str(image) if isinstance(image, ImageReference) else image
        ImageReference.parse(text, name=format_path(_IMAGE))
        return self._with(_IMAGE, text)

    def with_env(
        self,
        changes: Mapping[str, str | int | None] | None = None,
        /,
        **names: str | int | None,
    ) -> ServiceSpec:
        """
        Set environment variables; None removes one.

        ``with_env({"A-B": "x"})`` is for names that are no Python names. A changed entry keeps its
        place, new ones come last, and all others stay as they are.

        Raises:
            SpecError: A name or value that no environment can hold.

        """
        entries = list(self.env.entries)
        result = environment.changed(entries, {**_mapping(changes, "env"), **names})
        return self if result == entries else self._with(_ENV, result)

    def with_label(self, key: str, value: str | None) -> ServiceSpec:
        """Set a label of the service; None removes it. Restarts nothing."""
        return self.with_labels({key: value})

    def with_labels(self, changes: Mapping[str, str | None]) -> ServiceSpec:
        """Set labels of the service; None removes one, what is not named stays."""
        return self._with_map(("Labels",), changes)

    def with_container_label(self, key: str, value: str | None) -> ServiceSpec:
        """Set a label of the containers; None removes it. Restarts tasks."""
        return self.with_container_labels({key: value})

    def with_container_labels(self, changes: Mapping[str, str | None]) -> ServiceSpec:
        """Set labels of the containers; None removes one, what is not named stays."""
        return self._with_map((*_CONTAINER, "Labels"), changes)

    def with_command(self, command: Sequence[str] | None) -> ServiceSpec:
        """Replace the image's ENTRYPOINT; None gives it back."""
        return self._with_kind((*_CONTAINER, "Command"), parts.TEXTS, command)

    def with_args(self, args: Sequence[str] | None) -> ServiceSpec:
        """Replace the image's CMD; None gives it back."""
        return self._with_kind((*_CONTAINER, "Args"), parts.TEXTS, args)

    def with_replicas(self, replicas: int) -> ServiceSpec:
        """
        Scale a replicated service. Restarts nothing.

        Raises:
            SpecError: The service is not replicated, or the number is not 0 to a million.

        """
        if self.mode != "replicated":
            raise SpecError(f"{format_path(_REPLICAS)}: a {self.mode} service has no replicas")
        return self._with_kind(_REPLICAS, parts.Integer(most=MAX_REPLICAS), replicas)

    def with_hostname(self, hostname: str | None) -> ServiceSpec:
        """Another hostname for the containers, maybe a template; None removes it."""
        return self._with_kind((*_CONTAINER, "Hostname"), parts.TEXT, hostname)

    def with_stop_grace(self, grace: Duration | None) -> ServiceSpec:
        """Seconds between the stop signal and the kill; None leaves it to the engine."""
        return self._with_kind(_STOP_GRACE, parts.SECONDS, grace)

    def with_stop_signal(self, signal: str | None) -> ServiceSpec:
        """Another stop signal, such as ``SIGINT``; None gives back the image's."""
        return self._with_kind((*_CONTAINER, "StopSignal"), parts.TEXT, signal)

    def with_healthcheck(
        self, healthcheck: Healthcheck | Absent | None = ABSENT, /, **changes: Any
    ) -> ServiceSpec:
        """Another health check, or only some of its fields; None gives back the image's."""
        return self._with_part(self._healthcheck_keys, Healthcheck, healthcheck, changes)

    @property
    def _healthcheck_keys(self) -> tuple[str, ...]:
        as_documented = peek(self._document, *_DOCUMENTED_HEALTHCHECK) is not None
        return _DOCUMENTED_HEALTHCHECK if as_documented else _HEALTHCHECK

    def with_resources(
        self, resources: Resources | Absent | None = ABSENT, /, **changes: Any
    ) -> ServiceSpec:
        """Other limits and reservations, or only some of them; None removes all."""
        return self._with_part((*_TASK, "Resources"), Resources, resources, changes)

    def with_placement(
        self, placement: Placement | Absent | None = ABSENT, /, **changes: Any
    ) -> ServiceSpec:
        """Another placement, or only some of its fields; None removes it."""
        result = self._with_part(_PLACEMENT, Placement, placement, changes)
        for at, text in enumerate(result.placement.constraints):
            if text not in self.placement.constraints:
                Constraint.parse(text, name=f"{format_path(_PLACEMENT)}.Constraints.{at}")
        return result

    def with_placement_of(self, other: ServiceSpec) -> ServiceSpec:
        """The placement of another spec, to the byte."""
        placement = other.placement_document
        if placement is ABSENT:
            return self.without_path(_PLACEMENT)
        return self._with(_PLACEMENT, placement)

    def with_update_config_of(self, other: ServiceSpec) -> ServiceSpec:
        """The update config of another spec, to the byte. Restarts nothing."""
        config = _document_at(other._document, *_UPDATE)
        return self.without_path(_UPDATE) if config is None else self._with(_UPDATE, config)

    def with_constraints(self, constraints: Sequence[str]) -> ServiceSpec:
        """Other placement constraints, such as ``node.role == worker``."""
        return self.with_placement(constraints=constraints)

    def with_restart_policy(
        self, policy: RestartPolicy | Absent | None = ABSENT, /, **changes: Any
    ) -> ServiceSpec:
        """Another restart policy, or only some of its fields. Restarts tasks, in Swarm."""
        return self._with_part((*_TASK, "RestartPolicy"), RestartPolicy, policy, changes)

    def with_log_driver(
        self, driver: LogDriver | Absent | None = ABSENT, /, **changes: Any
    ) -> ServiceSpec:
        """Another log driver, or only some of its fields; None gives back the node's."""
        return self._with_part((*_TASK, "LogDriver"), LogDriver, driver, changes)

    def with_update_config(
        self, config: UpdateConfig | Absent | None = ABSENT, /, **changes: Any
    ) -> ServiceSpec:
        """
        Another update config, or only some of its fields: ``with_update_config(delay="10s")``.

        None leaves it to the engine. Restarts nothing.
        """
        return self._with_part(_UPDATE, UpdateConfig, config, changes)

    def with_rollback_config(
        self, config: UpdateConfig | Absent | None = ABSENT, /, **changes: Any
    ) -> ServiceSpec:
        """Another rollback config, or only some of its fields. Restarts nothing."""
        return self._with_part(("RollbackConfig",), UpdateConfig, config, changes)

    def with_mounts(self, mounts: Iterable[Mount]) -> ServiceSpec:
        """Other mounts. Options that ``Mount`` has no field for stay with their target."""
        return self._with_parts((*_CONTAINER, "Mounts"), Mount, mounts, "target")

    def with_networks(self, networks: Iterable[Network | str]) -> ServiceSpec:
        """Other networks for the tasks: ids or names, or ``Network`` for aliases."""
        values = [
            Network(target=network) if isinstance(network, str) else network
            for network in _row(networks, "networks")
        ]
        return self._with_parts((*_TASK, "Networks"), Network, values, "target")

    def with_secrets(self, secrets: Iterable[Secret]) -> ServiceSpec:
        """Other references to Swarm secrets."""
        return self._with_parts((*_CONTAINER, "Secrets"), Secret, secrets, "file")

    def with_configs(self, configs: Iterable[Config]) -> ServiceSpec:
        """Other references to Swarm configs."""
        return self._with_parts((*_CONTAINER, "Configs"), Config, configs, "file")

    def with_ports(self, ports: Iterable[Port]) -> ServiceSpec:
        """Other published ports. Restarts tasks, in Swarm."""
        return self._with_parts(("EndpointSpec", "Ports"), Port, ports, "target_port")

    def with_force_update(self, counter: int | None = None) -> ServiceSpec:
        """Restart every task though nothing else changes; one more than now, if not told."""
        number = self.force_update + 1 if counter is None else counter
        return self._with_kind(_FORCE_UPDATE, parts.COUNT, number)

    # --- how -------------------------------------------------------------------------------

    def _read(self, kind: parts.Kind, keys: tuple[str, ...]) -> Any:
        found = peek(self._document, *keys)
        return None if found is None else kind.read(found, keys)

    def _text(self, *keys: str) -> str:
        return self._read(parts.TEXT, keys) or ""

    def _texts(self, *keys: str) -> tuple[str, ...]:
        return self._read(parts.TEXTS, keys) or ()

    def _map(self, *keys: str) -> TextMap:
        return self._read(parts.MAP, keys) or TextMap()

    def _part(self, cls: type[_P], *keys: str) -> _P | None:
        found = peek(self._document, *keys)
        return None if found is None else parts.read(cls, found, keys)

    def _parts(self, cls: type[_P], *keys: str) -> tuple[_P, ...]:
        return parts.read_list(cls, peek(self._document, *keys), keys)

    def _with(self, keys: tuple[str, ...], value: object) -> ServiceSpec:
        return ServiceSpec(self._document.with_path(keys, value))

    def _with_kind(self, keys: tuple[str, ...], kind: parts.Kind, value: object) -> ServiceSpec:
        if value is None:
            return self.without_path(keys)
        name = format_path(keys)
        written = kind.write(kind.check(value, name), name)
        old = peek(self._document, *keys)
        return self if type(old) is type(written) and old == written else self._with(keys, written)

    def _with_map(self, keys: tuple[str, ...], changes: Mapping[str, str | None]) -> ServiceSpec:
        name = format_path(keys)
        result = self
        for key, value in _mapping(changes, name).items():
            if not isinstance(key, str) or not key:
                raise SpecError(f"{name} must have strings as keys, got {shown(key)}")
            result = result._with_kind((*keys, key), parts.TEXT, value)
        return result

    def _with_part(
        self, keys: tuple[str, ...], cls: type[Any], part: object, changes: dict[str, Any]
    ) -> ServiceSpec:
        if part is None and not changes:
            return self.without_path(keys)
        old = peek(self._document, *keys)
        if part is ABSENT or part is None:
            part = cls() if old is None else parts.read(cls, old, keys)
        if not isinstance(part, cls):
            raise SpecError(f"{format_path(keys)} must be a {cls.__name__}, got {shown(part)}")
        try:
            part = attrs.evolve(part, **changes)
        except TypeError:
            fields = ", ".join(field.name for field in attrs.fields(cls))
            raise SpecError(
                f"{format_path(keys)} must be changed by its fields ({fields}), "
                f"got {', '.join(changes)}"
            ) from None
        written = parts.write(part, old, keys)
        return self if old is not None and written == old else self._with(keys, written)

    def _with_parts(
        self, keys: tuple[str, ...], cls: type[Any], values: Iterable[Any], identity: str
    ) -> ServiceSpec:
        row = _row(values, format_path(keys))
        for value in row:
            if not isinstance(value, cls):
                raise SpecError(
                    f"{format_path(keys)} must be a list of {cls.__name__}, got {shown(value)}"
                )
        old = peek(self._document, *keys)
        written = parts.write_list(row, old, keys, identity)
        return self if old is not None and written == old else self._with(keys, written)


def _document_at(document: Document, *keys: str) -> Document | None:
    found = peek(document, *keys)
    if found is None:
        return None
    if not isinstance(found, dict):
        raise SpecError(f"{format_path(keys)} must be an object, got {shown(found)}")
    return Document(found)


def _mapping(changes: object, name: str) -> dict[Any, Any]:
    if changes is None:
        return {}
    if not isinstance(changes, Mapping):
        raise SpecError(f"{name} must be changed by a mapping of names, got {shown(changes)}")
    return dict(changes)


def _row(values: object, name: str) -> list[Any]:
    if isinstance(values, str | Mapping) or not isinstance(values, Iterable):
        raise SpecError(f"{name} must be a list, got {shown(values)}")
    return list(values)
