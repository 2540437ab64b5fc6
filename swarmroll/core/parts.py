"""
The parts of a service spec as typed values, and how each is read from and written to its JSON.

A field is None (or empty) where the spec does not declare it. Durations are float seconds, sizes
are bytes, CPUs are numbers of cores. A part that is read and written back unchanged changes no
byte; what the engine's JSON holds beyond these fields stays as it is.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from struct import pack, unpack
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import attrs
from attrs import Converter

from swarmroll.core.document import format_path
from swarmroll.core.environment import TextMap
from swarmroll.core.redact import mask_args, shown
from swarmroll.core.units import Duration, from_nanoseconds, nanoseconds, seconds
from swarmroll.errors import SpecError

ORDERS = ("stop-first", "start-first")
FAILURE_ACTIONS = ("pause", "continue", "rollback")
CONDITIONS = ("any", "on-failure", "none")

_MAX_INT = 2**63 - 1


class Kind(Protocol):
    """How one kind of value is checked, read from the engine's JSON, and written to it."""

    def check(self, value: Any, name: str) -> Any:
        """The value as we hold it; SpecError names ``name``."""

    def read(self, found: Any, path: tuple[str, ...]) -> Any:
        """The value as we hold it, from JSON that is not null."""

    def write(self, value: Any, name: str, /) -> Any:
        """JSON, from the value as we hold it; stricter than reading what is stored already."""


class _Plain(ABC):
    """Looks the same in JSON."""

    @abstractmethod
    def check(self, value: Any, name: str) -> Any:
        """See Kind."""

    def read(self, found: Any, path: tuple[str, ...]) -> Any:
        return self.check(found, format_path(path))

    def write(self, value: Any, _name: str, /) -> Any:
        return value


class _Text(_Plain):
    def check(self, value: Any, name: str) -> str:
        if not isinstance(value, str):
            raise SpecError(f"{name} must be a string, got {shown(value)}")
        return value

    def write(self, value: str, name: str, /) -> str:
        if "\0" in value:
            raise SpecError(f"{name} must not contain a NUL character")
        return value


@attrs.frozen
class _Choice(_Plain):
    words: tuple[str, ...]

    def check(self, value: Any, name: str) -> str:
        if not isinstance(value, str) or value not in self.words:
            raise SpecError(f"{name} must be one of {', '.join(self.words)}, got {shown(value)}")
        return value

    def read(self, found: Any, path: tuple[str, ...]) -> Any:
        # "" is the engine's word for "not set".
        return None if found == "" else super().read(found, path)


class _Flag(_Plain):
    def check(self, value: Any, name: str) -> bool:
        if not isinstance(value, bool):
            raise SpecError(f"{name} must be True or False, got {shown(value)}")
        return value


@attrs.frozen
class Integer(_Plain):
    """An integer in a range."""

    least: int = 0
    most: int = _MAX_INT

    def check(self, value: Any, name: str) -> int:
        """See Kind."""
        if isinstance(value, bool) or not isinstance(value, int):
            raise SpecError(f"{name} must be an integer, got {shown(value)}")
        if value < self.least:
            raise SpecError(f"{name} must be at least {self.least}, got {shown(value)}")
        if value > self.most:
            raise SpecError(f"{name} must be at most {self.most}, got {shown(value)}")
        return value


class _Seconds:
    """Float seconds for us, integer nanoseconds for the engine."""

    def check(self, value: Any, name: str) -> float:
        return seconds(value, name=name)

    def read(self, found: Any, path: tuple[str, ...]) -> float:
        if isinstance(found, bool) or not isinstance(found, int):
            raise SpecError(f"{format_path(path)} must be integer nanoseconds, got {shown(found)}")
        return seconds(from_nanoseconds(found), name=format_path(path))

    def write(self, value: float, _name: str, /) -> int:
        return nanoseconds(value)


class _CheckSeconds(_Seconds):
    """The engine refuses less than a millisecond in health checks; 0 inherits the image's."""

    def write(self, value: float, name: str, /) -> int:
        if 0 < value < 0.001:
            raise SpecError(f"{name} must be 0 or at least 1ms, got {shown(value)}")
        return super().write(value, name)


class _Monitor(_Seconds):
    """The engine cannot be told 0: it takes it for its default (moby convert/service.go)."""

    def check(self, value: Any, name: str) -> float:
        found = super().check(value, name)
        if nanoseconds(found) < 1:
            raise SpecError(
                f"{name} must be more than 0 (the engine reads 0 as its default of 5s), "
                f"got {shown(value)}"
            )
        return found

    def read(self, found: Any, path: tuple[str, ...]) -> Any:
        return None if found == 0 else super().read(found, path)


def _number(value: Any, name: str, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        raise SpecError(f"{name} must be a number from 0 to {most:g}, got {shown(value)}")
    return float(value)


class _Cpus:
    """Cores for us, billionths of a core for the engine."""

    def check(self, value: Any, name: str) -> float:
        return _number(value, name, 1_000_000)

    def read(self, found: Any, path: tuple[str, ...]) -> float:
        return self.check(Integer().check(found, format_path(path)) / 10**9, format_path(path))

    def write(self, value: float, _name: str, /) -> int:
        return round(value * 10**9)


class _Ratio:
    """
    A share of the slots, 0 to 1.

    Above 1 it is read, as swarmkit accepts it in a RollbackConfig (manager/controlapi/service.go,
    validateUpdate, looks at the UpdateConfig only), but not written.
    """

    def check(self, value: Any, name: str) -> float:
        return _number(value, name, 3.4e38)

    def read(self, found: Any, path: tuple[str, ...]) -> float:
        return self.check(found, format_path(path))

    def write(self, value: float, name: str, /) -> int | float:
        # The engine holds a float32 and gives it back in the fewest digits: so it is written that
        # way, to be equal when it is read again.
        _number(value, name, 1)
        single = unpack("f", pack("f", value))[0]
        texts = (f"{single:.{digits}g}" for digits in range(1, 10))
        shortest = float(next(text for text in texts if _same_single(text, single)))
        return int(shortest) if shortest.is_integer() else shortest


def _same_single(text: str, single: float) -> bool:
    return bool(unpack("f", pack("f", float(text)))[0] == single)


class _Texts:
    """Texts in a row: a tuple for us, a list in JSON."""

    def check(self, value: Any, name: str) -> tuple[str, ...]:
        if isinstance(value, str) or not isinstance(value, Iterable):
            raise SpecError(f"{name} must be a list of strings, got {shown(value, key=name)}")
        return tuple(_Text().check(item, f"{name}.{at}") for at, item in enumerate(value))

    def read(self, found: Any, path: tuple[str, ...]) -> tuple[str, ...]:
        return self.check(found, format_path(path))

    def write(self, value: tuple[str, ...], name: str, /) -> list[str]:
        return [_Text().write(item, f"{name}.{at}") for at, item in enumerate(value)]


class _Map:
    """Texts by key."""

    def check(self, value: Any, name: str) -> TextMap:
        if not isinstance(value, Mapping):
            raise SpecError(f"{name} must be a mapping of strings, got {shown(value, key=name)}")
        for key, item in value.items():
            _Text().check(key, f"a key of {name}")
            if not isinstance(item, str):
                raise SpecError(f"{name}[{shown(key)}] must be a string, got {shown(item)}")
        return TextMap(value)

    def read(self, found: Any, path: tuple[str, ...]) -> TextMap:
        return self.check(found, format_path(path))

    def write(self, value: TextMap, name: str, /) -> dict[str, str]:
        return {_Text().write(k, name): _Text().write(v, name) for k, v in value.items()}


class _Spreads:
    """Placement preferences: what to spread over, such as ``node.labels.rack``."""

    def check(self, value: Any, name: str) -> tuple[str, ...]:
        return _Texts().check(value, name)

    def read(self, found: Any, path: tuple[str, ...]) -> tuple[str, ...]:
        spreads = [_at(item, ("Spread", "SpreadDescriptor"), path) for item in _items(found, path)]
        return self.check([spread or "" for spread in spreads], format_path(path))

    def write(self, value: tuple[str, ...], _name: str, /) -> list[Any]:
        return [{"Spread": {"SpreadDescriptor": text}} for text in value]


def _items(found: Any, path: tuple[str, ...]) -> list[Any]:
    if not isinstance(found, list):
        raise SpecError(f"{format_path(path)} must be a list, got {shown(found)}")
    return found


TEXT: Kind = _Text()
FLAG: Kind = _Flag()
COUNT: Kind = Integer()
SECONDS: Kind = _Seconds()
TEXTS: Kind = _Texts()
MAP: Kind = _Map()


def _checked(value: Any, instance: object, field: attrs.Attribute[Any]) -> Any:
    if value is None and field.default is None:
        return None
    kind: Kind = field.metadata["kind"]
    return kind.check(value, f"{type(instance).__name__}.{field.name}")


_CHECKED = Converter(_checked, takes_self=True, takes_field=True)


def _keys(kind: Kind, *keys: str, **more: Any) -> dict[str, Any]:
    return {"kind": kind, "keys": keys, **more}


def _field(kind: Kind, *keys: str) -> Any:
    """A field that stands under ``keys`` in its part's JSON; None is "not declared"."""
    return attrs.field(default=None, converter=_CHECKED, metadata=_keys(kind, *keys))


def _listed(kind: Kind, *keys: str, shown_by: Callable[[Any], str] = repr) -> Any:
    """The same, for a row of things: an empty one is "not declared"."""
    metadata = _keys(kind, *keys, empty=())
    return attrs.field(default=(), converter=_CHECKED, metadata=metadata, repr=shown_by)


def _mapped(*keys: str) -> Any:
    metadata = _keys(MAP, *keys, empty=TextMap())
    return attrs.field(default=TextMap(), converter=_CHECKED, metadata=metadata)


def _setting(kind: Kind, key: str, *, default: Any, absent: Any) -> Any:
    """A field of an update config; ``absent`` is what the engine makes of a missing one."""
    return attrs.field(
        default=default, converter=_CHECKED, metadata=_keys(kind, key, absent=absent)
    )


if TYPE_CHECKING:
    # Type checkers understand functions as converters: users may write delay="10s".
    def _to_seconds(value: Duration | None) -> float | None: ...
    def _to_set_seconds(value: Duration) -> float: ...

else:
    _to_seconds = _to_set_seconds = _CHECKED


def _command_repr(args: Sequence[str] | None) -> str:
    return repr(args and mask_args(args))


@attrs.frozen(kw_only=True)
class UpdateConfig:
    """
    How fast, and how carefully, tasks are replaced: by an update, or by a rollback.

    Every field is set. One that the spec does not declare reads as what the engine makes of it
    (swarmkit api/defaults/service.go, moby daemon/cluster/convert/service.go), which for
    ``parallelism`` is not the default of this class: a config that is there without it means 0.

    Attributes:
        parallelism: Slots replaced at the same time; 0 means all of them.
        delay: Seconds that a worker sleeps after each slot.
        failure_action: ``pause``, ``continue`` or ``rollback``.
        monitor: Seconds that a new task is watched after it runs; more than 0.
        max_failure_ratio: Failed slots out of those to replace, 0 to 1; more fires the action.
        order: ``stop-first`` or ``start-first``.

    """

    parallelism: int = _setting(COUNT, "Parallelism", default=1, absent=0)
    delay: float = attrs.field(
        default=0.0, converter=_to_set_seconds, metadata=_keys(SECONDS, "Delay", absent=0.0)
    )
    failure_action: str = _setting(
        _Choice(FAILURE_ACTIONS), "FailureAction", default="pause", absent="pause"
    )
    monitor: float = attrs.field(
        default=5.0, converter=_to_set_seconds, metadata=_keys(_Monitor(), "Monitor", absent=5.0)
    )
    max_failure_ratio: float = _setting(_Ratio(), "MaxFailureRatio", default=0.0, absent=0.0)
    order: str = _setting(_Choice(ORDERS), "Order", default="stop-first", absent="stop-first")


@attrs.frozen(kw_only=True)
class RestartPolicy:
    """
    When Swarm itself replaces a task that ended.

    Attributes:
        condition: ``any`` (the engine's default), ``on-failure`` or ``none``.
        delay: Seconds before the replacement runs; the engine's default is 5.
        max_attempts: Replacements per window; 0 means no limit.
        window: Seconds in which attempts are counted; 0 means for ever.

    """

    condition: str | None = _field(_Choice(CONDITIONS), "Condition")
    delay: float | None = attrs.field(
        default=None, converter=_to_seconds, metadata=_keys(SECONDS, "Delay")
    )
    max_attempts: int | None = _field(COUNT, "MaxAttempts")
    window: float | None = attrs.field(
        default=None, converter=_to_seconds, metadata=_keys(SECONDS, "Window")
    )


@attrs.frozen(kw_only=True)
class Healthcheck:
    """
    How the engine asks a container whether it is well.

    Attributes:
        test: ``("CMD", …)``, ``("CMD-SHELL", "…")``, ``("NONE",)``; empty inherits the image's.
        interval: Seconds between two checks.
        timeout: Seconds after which a check has failed.
        retries: Failed checks in a row that make it unhealthy.
        start_period: Seconds at the start in which failures do not count.
        start_interval: Seconds between checks in the start period; needs API 1.44.

    """

    test: Sequence[str] = _listed(TEXTS, "Test", shown_by=_command_repr)
    interval: float | None = attrs.field(
        default=None, converter=_to_seconds, metadata=_keys(_CheckSeconds(), "Interval")
    )
    timeout: float | None = attrs.field(
        default=None, converter=_to_seconds, metadata=_keys(_CheckSeconds(), "Timeout")
    )
    retries: int | None = _field(COUNT, "Retries")
    start_period: float | None = attrs.field(
        default=None, converter=_to_seconds, metadata=_keys(_CheckSeconds(), "StartPeriod")
    )
    start_interval: float | None = attrs.field(
        default=None, converter=_to_seconds, metadata=_keys(_CheckSeconds(), "StartInterval")
    )

    @property
    def disabled(self) -> bool:
        """Does it switch off the image's own check?"""
        return tuple(self.test) == ("NONE",)

    @property
    def effective_interval(self) -> float:
        """Seconds between two checks, with the engine's default (moby daemon/health.go)."""
        return self.interval or 30.0


@attrs.frozen(kw_only=True)
class Resources:
    """
    What a task may use, and what its node must have free for it.

    Attributes:
        cpu_limit: Cores.
        memory_limit: Bytes.
        pids_limit: Processes; 0 means no limit.
        cpu_reservation: Cores.
        memory_reservation: Bytes.
        swap: Bytes of swap, -1 for no limit; needs API 1.52.
        swappiness: 0 to 100, -1 for the node's own; needs API 1.52.

    """

    cpu_limit: float | None = _field(_Cpus(), "Limits", "NanoCPUs")
    memory_limit: int | None = _field(COUNT, "Limits", "MemoryBytes")
    pids_limit: int | None = _field(COUNT, "Limits", "Pids")
    cpu_reservation: float | None = _field(_Cpus(), "Reservations", "NanoCPUs")
    memory_reservation: int | None = _field(COUNT, "Reservations", "MemoryBytes")
    swap: int | None = _field(Integer(least=-1), "SwapBytes")
    swappiness: int | None = _field(Integer(least=-1, most=100), "MemorySwappiness")


@attrs.frozen(kw_only=True)
class Platform:
    """An operating system and an architecture, such as ``linux`` and ``amd64``."""

    os: str | None = _field(TEXT, "OS")
    arch: str | None = _field(TEXT, "Architecture")


@attrs.frozen(kw_only=True)
class LogDriver:
    """Where the engine sends what the container prints. Options may hold credentials."""

    name: str | None = _field(TEXT, "Name")
    options: Mapping[str, str] = _mapped("Options")


@attrs.frozen(kw_only=True)
class Mount:
    """
    Something mounted into the container. Other options (SELinux, …) survive, unnamed.

    Attributes:
        type: ``volume``, ``bind``, ``tmpfs``, ``npipe``, ``cluster`` or ``image``.
        source: Name of a volume, path on the node; None for an anonymous volume.
        target: Path in the container; it tells mounts apart.
        propagation: Of a bind mount: ``rprivate``, ``rshared``, …
        tmpfs_size: Bytes.
        tmpfs_mode: Permission bits.

    """

    type: str | None = _field(TEXT, "Type")
    source: str | None = _field(TEXT, "Source")
    target: str | None = _field(TEXT, "Target")
    read_only: bool | None = _field(FLAG, "ReadOnly")
    consistency: str | None = _field(TEXT, "Consistency")
    propagation: str | None = _field(TEXT, "BindOptions", "Propagation")
    no_copy: bool | None = _field(FLAG, "VolumeOptions", "NoCopy")
    subpath: str | None = _field(TEXT, "VolumeOptions", "Subpath")
    volume_labels: Mapping[str, str] = _mapped("VolumeOptions", "Labels")
    volume_driver: str | None = _field(TEXT, "VolumeOptions", "DriverConfig", "Name")
    volume_options: Mapping[str, str] = _mapped("VolumeOptions", "DriverConfig", "Options")
    tmpfs_size: int | None = _field(COUNT, "TmpfsOptions", "SizeBytes")
    tmpfs_mode: int | None = _field(COUNT, "TmpfsOptions", "Mode")


@attrs.frozen(kw_only=True)
class Port:
    """
    A published port.

    Attributes:
        target_port: In the container.
        published_port: On the nodes; None lets the engine choose.
        protocol: ``tcp`` (the engine's default), ``udp`` or ``sctp``.
        publish_mode: ``ingress`` (the engine's default) or ``host``.

    """

    target_port: int | None = _field(Integer(most=65535), "TargetPort")
    published_port: int | None = _field(Integer(most=65535), "PublishedPort")
    protocol: str | None = _field(_Choice(("tcp", "udp", "sctp")), "Protocol")
    publish_mode: str | None = _field(_Choice(("ingress", "host")), "PublishMode")
    name: str | None = _field(TEXT, "Name")


@attrs.frozen(kw_only=True)
class Network:
    """
    An attachment to a network.

    Attributes:
        target: Id or name of the network.
        aliases: Further DNS names of the service there.
        driver_options: For the network driver.

    """

    target: str | None = _field(TEXT, "Target")
    aliases: Sequence[str] = _listed(TEXTS, "Aliases")
    driver_options: Mapping[str, str] = _mapped("DriverOpts")


@attrs.frozen(kw_only=True)
class Secret:
    """
    A Swarm secret that is a file in the container. Its id and name, never its content.

    Attributes:
        file: Path of the file, below ``/run/secrets`` unless absolute.
        mode: Permission bits.

    """

    id: str | None = _field(TEXT, "SecretID")
    name: str | None = _field(TEXT, "SecretName")
    file: str | None = _field(TEXT, "File", "Name")
    uid: str | None = _field(TEXT, "File", "UID")
    gid: str | None = _field(TEXT, "File", "GID")
    mode: int | None = _field(COUNT, "File", "Mode")


@attrs.frozen(kw_only=True)
class Config:
    """
    A Swarm config that is a file in the container. Its id and name, not its content.

    Attributes:
        file: Path of the file.
        mode: Permission bits.

    """

    id: str | None = _field(TEXT, "ConfigID")
    name: str | None = _field(TEXT, "ConfigName")
    file: str | None = _field(TEXT, "File", "Name")
    uid: str | None = _field(TEXT, "File", "UID")
    gid: str | None = _field(TEXT, "File", "GID")
    mode: int | None = _field(COUNT, "File", "Mode")


_P = TypeVar("_P")


def read(cls: type[_P], found: Any, path: tuple[str, ...]) -> _P:
    """
    A part from its JSON.

    Raises:
        SpecError: Something in it is not of its kind; names its path.

    """
    values = {}
    for field in _fields(cls):
        value = _at(found, field.metadata["keys"], path)
        if value is not None:
            value = field.metadata["kind"].read(value, (*path, *field.metadata["keys"]))
        if value is None:
            value = field.metadata.get("absent", field.default)
        values[field.name] = value
    return cls(**values)


def write(part: Any, old: Any, path: tuple[str, ...]) -> dict[str, Any]:
    """
    A part as JSON.

    Args:
        part: The part.
        old: The JSON that it replaces, if any: of it, every key stays that means the same, or
            that the part does not know.
        path: Where it stands, for errors.

    """
    result: dict[str, Any] = dict(old or {})
    before = None if old is None else read(type(part), old, path)
    for field in _fields(type(part)):
        value = getattr(part, field.name)
        if before is None or value != getattr(before, field.name):
            keys = field.metadata["keys"]
            _store(result, keys, _written(field, value, format_path((*path, *keys))))
    return result


_REMOVE = object()


def _written(field: attrs.Attribute[Any], value: Any, name: str) -> Any:
    if value is None or value == field.metadata.get("empty"):
        return _REMOVE
    return field.metadata["kind"].write(value, name)


def _store(target: dict[str, Any], keys: tuple[str, ...], value: Any) -> None:
    for key in keys[:-1]:
        if value is _REMOVE and not target.get(key):
            return
        target[key] = dict(target.get(key) or {})
        target = target[key]
    if value is _REMOVE:
        target.pop(keys[-1], None)
    else:
        target[keys[-1]] = value


def _fields(cls: type[Any]) -> tuple[attrs.Attribute[Any], ...]:
    fields: tuple[attrs.Attribute[Any], ...] = attrs.fields(cls)
    return fields


def _at(found: Any, keys: tuple[str, ...], path: tuple[str, ...]) -> Any:
    for depth, key in enumerate(keys):
        if found is None:
            return None
        if not isinstance(found, dict):
            where = format_path((*path, *keys[:depth]))
            raise SpecError(f"{where} must be an object, got {shown(found)}")
        found = found.get(key)
    return found


def read_list(cls: type[_P], found: Any, path: tuple[str, ...]) -> tuple[_P, ...]:
    """Parts from a JSON list; none from null."""
    if found is None:
        return ()
    items = enumerate(_items(found, path))
    return tuple(read(cls, item, (*path, str(at))) for at, item in items)


def write_list(parts: Sequence[Any], old: Any, path: tuple[str, ...], identity: str) -> list[Any]:
    """
    Parts as a JSON list.

    What the list held for a part of the same identity (the same target, the same file) is kept,
    as far as the part does not say otherwise.
    """
    cls = type(parts[0]) if parts else Mount
    left = list(zip(read_list(cls, old, path), old or (), strict=True)) if parts else []
    result = []
    for at, part in enumerate(parts):
        same = [pair for pair in left if pair[0] == part] or [
            pair for pair in left if getattr(pair[0], identity) == getattr(part, identity)
        ]
        if same:
            left.remove(same[0])
        result.append(write(part, same[0][1] if same else None, (*path, str(at))))
    return result


class _Platforms:
    def check(self, value: Any, name: str) -> tuple[Platform, ...]:
        items = () if isinstance(value, str) or not isinstance(value, Iterable) else tuple(value)
        if not all(isinstance(item, Platform) for item in items) or (value and not items):
            raise SpecError(f"{name} must be a list of Platform, got {shown(value)}")
        return items

    def read(self, found: Any, path: tuple[str, ...]) -> tuple[Platform, ...]:
        return read_list(Platform, found, path)

    def write(self, value: tuple[Platform, ...], _name: str, /) -> list[Any]:
        return [write(platform, None, ()) for platform in value]


@attrs.frozen(kw_only=True)
class Placement:
    """
    Which nodes may run the tasks.

    Attributes:
        constraints: Such as ``node.role == worker``; a node must meet all of them.
        preferences: Node labels to spread over, the most important first.
        max_replicas: Tasks per node; 0 means no limit.
        platforms: What the image was built for; empty means anything.

    """

    constraints: Sequence[str] = _listed(TEXTS, "Constraints")
    preferences: Sequence[str] = _listed(_Spreads(), "Preferences")
    max_replicas: int | None = _field(COUNT, "MaxReplicas")
    platforms: Sequence[Platform] = _listed(_Platforms(), "Platforms")
