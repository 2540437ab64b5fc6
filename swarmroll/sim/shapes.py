"""
Go's structs in place of the engine's: what becomes of JSON that a client posts.

The engine decodes a body into Go structs and later writes them out again: keys match in any case,
unknown ones are forgotten, null is nothing, an empty value is left out where the struct's tag says
so, and a wrong type is refused with HTTP 400 (moby api/types/swarm, the tags ``omitempty``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from swarmroll.errors import EngineError


class _Left:
    """Marks what is not written out."""


_LEFT_OUT = _Left()
_ABSENT = _Left()

Reader = Callable[[Any, str], Any]
"""From the JSON at a path to the JSON that comes back; ``_LEFT_OUT`` for nothing at all."""

_WORDS: tuple[tuple[type, str], ...] = (
    (bool, "bool"),
    (str, "string"),
    (int, "number"),
    (float, "number"),
    (dict, "object"),
    (list, "array"),
)


def _wrong(value: Any, path: str, wanted: str) -> EngineError:
    found = next((word for kind, word in _WORDS if isinstance(value, kind)), "value")
    return EngineError(
        f"invalid JSON: json: cannot unmarshal {found} into Go struct field {path} of type "
        f"{wanted}",
        status=400,
    )


def _value(kind: type[Any], wanted: str, zero: Any, *, keep: bool = False) -> Reader:
    """A plain field: empty when absent, and then left out unless the tag keeps it."""

    def read(value: Any, path: str) -> Any:
        if value is None or value is _ABSENT:
            value = zero
        elif type(value) is not kind:
            if not (kind is float and type(value) is int):
                raise _wrong(value, path, wanted)
        elif wanted == "uint64" and value < 0:
            raise _wrong(value, path, wanted)
        return value if value or keep else _LEFT_OUT

    return read


def _pointer(kind: type[Any], wanted: str) -> Reader:
    """A pointer: absent and empty are two things."""

    def read(value: Any, path: str) -> Any:
        if value is None or value is _ABSENT:
            return _LEFT_OUT
        if type(value) is not kind or (wanted == "uint64" and value < 0):
            raise _wrong(value, path, wanted)
        return value

    return read


def _listed(item: Reader, wanted: str) -> Reader:
    def read(value: Any, path: str) -> Any:
        if value is None or value is _ABSENT:
            return _LEFT_OUT
        if not isinstance(value, list):
            raise _wrong(value, path, wanted)
        found = [item(entry, path) for entry in value]
        return [entry for entry in found if entry is not _LEFT_OUT] or _LEFT_OUT

    return read


def _words(value: Any, path: str) -> Any:
    """A map of strings to strings."""
    if value is None or value is _ABSENT:
        return _LEFT_OUT
    if not isinstance(value, dict):
        raise _wrong(value, path, "map[string]string")
    return {key: _kept_text(item, path) for key, item in value.items()} or _LEFT_OUT


def _struct(*, pointer: bool = True, **fields: Reader) -> Reader:
    """A struct, or a pointer to one; an empty one that is pointed to is written as ``{}``."""
    lower = {name.lower(): name for name in fields}

    def read(value: Any, path: str) -> Any:
        if value is None or value is _ABSENT:
            if pointer:
                return _LEFT_OUT
            value = {}
        if not isinstance(value, dict):
            raise _wrong(value, path, path.rpartition(".")[2])
        given: dict[str, Any] = {}
        for key, item in value.items():
            name = key if key in fields else lower.get(key.lower())
            if name is not None:
                given[name] = item
        found = {}
        for name, reader in fields.items():
            item = given.get(name, _ABSENT)
            if item is _ABSENT and reader in _ALWAYS_OUT:
                continue
            read_item = reader(item, f"{path}.{name}")
            if read_item is not _LEFT_OUT:
                found[name] = read_item
        return found

    return read


def _nullable(reader: Reader) -> Reader:
    """A pointer without ``omitempty``: null where there is nothing."""

    def read(value: Any, path: str) -> Any:
        found = reader(value, path)
        return None if found is _LEFT_OUT else found

    return read


_text = _value(str, "string", "")
_kept_text = _value(str, "string", "", keep=True)
_flag = _value(bool, "bool", zero=False)
_kept_flag = _value(bool, "bool", zero=False, keep=True)
_int = _value(int, "int64", 0)
_kept_int = _value(int, "int64", 0, keep=True)
_count = _value(int, "uint64", 0)
_kept_count = _value(int, "uint64", 0, keep=True)
_kept_ratio = _value(float, "float32", 0, keep=True)
_some_int = _pointer(int, "int64")
_some_count = _pointer(int, "uint64")
_some_flag = _pointer(bool, "bool")
_texts = _listed(_kept_text, "[]string")

# What an absent key needs no call for.
_ALWAYS_OUT = frozenset(
    {_text, _flag, _int, _count, _some_int, _some_count, _some_flag, _texts, _words}
)

_DRIVER = _struct(Name=_text, Options=_words)
_NETWORKS = _listed(_struct(Target=_text, Aliases=_texts, DriverOpts=_words), "[]Network")
_FILE = _struct(Name=_kept_text, UID=_kept_text, GID=_kept_text, Mode=_kept_count)
_MOUNT = _struct(
    Type=_text,
    Source=_text,
    Target=_text,
    ReadOnly=_flag,
    Consistency=_text,
    BindOptions=_struct(
        Propagation=_text,
        NonRecursive=_flag,
        CreateMountpoint=_flag,
        ReadOnlyNonRecursive=_flag,
        ReadOnlyForceRecursive=_flag,
    ),
    VolumeOptions=_struct(NoCopy=_flag, Labels=_words, Subpath=_text, DriverConfig=_DRIVER),
    ImageOptions=_struct(Subpath=_text),
    TmpfsOptions=_struct(
        SizeBytes=_int, Mode=_count, Options=_listed(_listed(_kept_text, "[]string"), "[][]string")
    ),
    ClusterOptions=_struct(),
)
_PRIVILEGES = _struct(
    CredentialSpec=_nullable(_struct(Config=_kept_text, File=_kept_text, Registry=_kept_text)),
    SELinuxContext=_nullable(
        _struct(
            Disable=_kept_flag, User=_kept_text, Role=_kept_text, Type=_kept_text, Level=_kept_text
        )
    ),
    Seccomp=_struct(Mode=_text, Profile=_text),
    AppArmor=_struct(Mode=_text),
    NoNewPrivileges=_kept_flag,
)
_CONTAINER = _struct(
    Image=_text,
    Labels=_words,
    Command=_texts,
    Args=_texts,
    Hostname=_text,
    Env=_texts,
    Dir=_text,
    User=_text,
    Groups=_texts,
    Privileges=_PRIVILEGES,
    Init=_some_flag,
    StopSignal=_text,
    TTY=_flag,
    OpenStdin=_flag,
    ReadOnly=_flag,
    Mounts=_listed(_MOUNT, "[]Mount"),
    StopGracePeriod=_some_int,
    Healthcheck=_struct(
        Test=_texts,
        Interval=_int,
        Timeout=_int,
        StartPeriod=_int,
        StartInterval=_int,
        Retries=_int,
    ),
    Hosts=_texts,
    DNSConfig=_struct(Nameservers=_texts, Search=_texts, Options=_texts),
    Secrets=_listed(
        _struct(File=_nullable(_FILE), SecretID=_kept_text, SecretName=_kept_text),
        "[]SecretReference",
    ),
    Configs=_listed(
        _struct(File=_FILE, Runtime=_struct(), ConfigID=_kept_text, ConfigName=_kept_text),
        "[]ConfigReference",
    ),
    Isolation=_text,
    Sysctls=_words,
    CapabilityAdd=_texts,
    CapabilityDrop=_texts,
    Ulimits=_listed(_struct(Name=_kept_text, Hard=_kept_int, Soft=_kept_int), "[]Ulimit"),
    OomScoreAdj=_int,
)
_GENERIC = _listed(
    _struct(
        NamedResourceSpec=_struct(Kind=_text, Value=_text),
        DiscreteResourceSpec=_struct(Kind=_text, Value=_int),
    ),
    "[]GenericResource",
)
_RESOURCES = _struct(
    Limits=_struct(NanoCPUs=_int, MemoryBytes=_int, Pids=_int),
    Reservations=_struct(NanoCPUs=_int, MemoryBytes=_int, GenericResources=_GENERIC),
)
_TEMPLATE = _struct(
    pointer=False,
    ContainerSpec=_CONTAINER,
    Resources=_RESOURCES,
    RestartPolicy=_struct(
        Condition=_text, Delay=_some_int, MaxAttempts=_some_count, Window=_some_int
    ),
    Placement=_struct(
        Constraints=_texts,
        Preferences=_listed(
            _struct(Spread=_struct(SpreadDescriptor=_kept_text)), "[]PlacementPreference"
        ),
        MaxReplicas=_count,
        Platforms=_listed(_struct(Architecture=_text, OS=_text), "[]Platform"),
    ),
    Networks=_NETWORKS,
    LogDriver=_DRIVER,
    ForceUpdate=_kept_count,
    Runtime=_text,
)
_UPDATE = _struct(
    Parallelism=_kept_count,
    Delay=_int,
    FailureAction=_text,
    Monitor=_int,
    MaxFailureRatio=_kept_ratio,
    Order=_kept_text,
)
_SERVICE = _struct(
    pointer=False,
    Name=_text,
    Labels=_nullable(_words),
    TaskTemplate=_TEMPLATE,
    Mode=_struct(
        pointer=False,
        Replicated=_struct(Replicas=_some_count),
        Global=_struct(),
        ReplicatedJob=_struct(MaxConcurrent=_some_count, TotalCompletions=_some_count),
        GlobalJob=_struct(),
    ),
    UpdateConfig=_UPDATE,
    RollbackConfig=_UPDATE,
    Networks=_NETWORKS,
    EndpointSpec=_struct(
        Mode=_text,
        Ports=_listed(
            _struct(
                Name=_text,
                Protocol=_text,
                TargetPort=_count,
                PublishedPort=_count,
                PublishMode=_text,
            ),
            "[]PortConfig",
        ),
    ),
)
_BLOB = _struct(
    pointer=False,
    Name=_text,
    Labels=_nullable(_words),
    Data=_text,
    Driver=_DRIVER,
    Templating=_DRIVER,
)
_NODE = _struct(pointer=False, Name=_text, Labels=_nullable(_words), Role=_text, Availability=_text)
_NETWORK = _struct(
    pointer=False,
    Name=_text,
    Driver=_text,
    Scope=_text,
    EnableIPv4=_some_flag,
    EnableIPv6=_some_flag,
    IPAM=_struct(
        Driver=_text,
        Options=_words,
        Config=_listed(
            _struct(Subnet=_text, IPRange=_text, Gateway=_text, AuxiliaryAddresses=_words),
            "[]IPAMConfig",
        ),
    ),
    Internal=_flag,
    Attachable=_flag,
    Ingress=_flag,
    ConfigOnly=_flag,
    Options=_words,
    Labels=_words,
)


def service_spec(doc: Mapping[str, Any]) -> dict[str, Any]:
    """
    A service spec as the engine's structs hold it.

    Raises:
        EngineError: A value of a wrong type, with the engine's words, HTTP 400.
    """
    return _read(_SERVICE, doc, "ServiceSpec")


def blob_spec(doc: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """The spec of a config or a secret; see ``service_spec``."""
    return _read(_BLOB, doc, f"{kind}Spec")


def node_spec(doc: Mapping[str, Any]) -> dict[str, Any]:
    """The spec of a node; see ``service_spec``."""
    return _read(_NODE, doc, "NodeSpec")


def network_spec(doc: Mapping[str, Any]) -> dict[str, Any]:
    """The body of a request for a network; see ``service_spec``."""
    return _read(_NETWORK, doc, "CreateRequest")


def _read(reader: Reader, doc: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = reader(dict(doc), name)
    if found.get("Labels", "") is None:
        found["Labels"] = {}
    assert isinstance(found, dict)
    return found
