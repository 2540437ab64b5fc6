"""
What kind of value the engine's API has at each path of a service spec.

The union of API 1.41 to 1.56 (a test compares it with those). Keys that are not named here are
taken for newer than that, and hold anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from swarmroll.core.document import format_path
from swarmroll.core.redact import shown
from swarmroll.errors import SpecError

# A type is a scalar, a dict an object with known keys, a list has items of one kind; in an object
# under "*" stands what every other key holds.
_MAP = {"*": str}

# Documented as HealthCheck; engines send Healthcheck.
_HEALTHCHECK = {
    "Interval": int,
    "Retries": int,
    "StartInterval": int,
    "StartPeriod": int,
    "Test": [str],
    "Timeout": int,
}

SHAPE: dict[str, Any] = {
    "EndpointSpec": {
        "Mode": str,
        "Ports": [
            {
                "Name": str,
                "Protocol": str,
                "PublishMode": str,
                "PublishedPort": int,
                "TargetPort": int,
            }
        ],
    },
    "Labels": _MAP,
    "Mode": {
        "Global": {},
        "GlobalJob": {},
        "Replicated": {
            "Replicas": int,
        },
        "ReplicatedJob": {
            "MaxConcurrent": int,
            "TotalCompletions": int,
        },
    },
    "Name": str,
    "Networks": [
        {
            "Aliases": [str],
            "DriverOpts": _MAP,
            "Target": str,
        }
    ],
    "RollbackConfig": {
        "Delay": int,
        "FailureAction": str,
        "MaxFailureRatio": float,
        "Monitor": int,
        "Order": str,
        "Parallelism": int,
    },
    "TaskTemplate": {
        "ContainerSpec": {
            "Args": [str],
            "CapabilityAdd": [str],
            "CapabilityDrop": [str],
            "Command": [str],
            "Configs": [
                {
                    "ConfigID": str,
                    "ConfigName": str,
                    "File": {
                        "GID": str,
                        "Mode": int,
                        "Name": str,
                        "UID": str,
                    },
                    "Runtime": {},
                }
            ],
            "DNSConfig": {
                "Nameservers": [str],
                "Options": [str],
                "Search": [str],
            },
            "Dir": str,
            "Env": [str],
            "Groups": [str],
            "HealthCheck": _HEALTHCHECK,
            "Healthcheck": _HEALTHCHECK,
            "Hostname": str,
            "Hosts": [str],
            "Image": str,
            "Init": bool,
            "Isolation": str,
            "Labels": _MAP,
            "Mounts": [
                {
                    "BindOptions": {
                        "CreateMountpoint": bool,
                        "NonRecursive": bool,
                        "Propagation": str,
                        "ReadOnlyForceRecursive": bool,
                        "ReadOnlyNonRecursive": bool,
                    },
                    "Consistency": str,
                    "ImageOptions": {
                        "Subpath": str,
                    },
                    "ReadOnly": bool,
                    "Source": str,
                    "Target": str,
                    "TmpfsOptions": {
                        "Mode": int,
                        "Options": [[str]],
                        "SizeBytes": int,
                    },
                    "Type": str,
                    "VolumeOptions": {
                        "DriverConfig": {
                            "Name": str,
                            "Options": _MAP,
                        },
                        "Labels": _MAP,
                        "NoCopy": bool,
                        "Subpath": str,
                    },
                }
            ],
            "OomScoreAdj": int,
            "OpenStdin": bool,
            "Privileges": {
                "AppArmor": {
                    "Mode": str,
                },
                "CredentialSpec": {
                    "Config": str,
                    "File": str,
                    "Registry": str,
                },
                "NoNewPrivileges": bool,
                "SELinuxContext": {
                    "Disable": bool,
                    "Level": str,
                    "Role": str,
                    "Type": str,
                    "User": str,
                },
                "Seccomp": {
                    "Mode": str,
                    "Profile": str,
                },
            },
            "ReadOnly": bool,
            "Secrets": [
                {
                    "File": {
                        "GID": str,
                        "Mode": int,
                        "Name": str,
                        "UID": str,
                    },
                    "SecretID": str,
                    "SecretName": str,
                }
            ],
            "StopGracePeriod": int,
            "StopSignal": str,
            "Sysctls": _MAP,
            "TTY": bool,
            "Ulimits": [
                {
                    "Hard": int,
                    "Name": str,
                    "Soft": int,
                }
            ],
            "User": str,
        },
        "ForceUpdate": int,
        "LogDriver": {
            "Name": str,
            "Options": _MAP,
        },
        "NetworkAttachmentSpec": {
            "ContainerID": str,
        },
        "Networks": [
            {
                "Aliases": [str],
                "DriverOpts": _MAP,
                "Target": str,
            }
        ],
        "Placement": {
            "Constraints": [str],
            "MaxReplicas": int,
            "Platforms": [
                {
                    "Architecture": str,
                    "OS": str,
                }
            ],
            "Preferences": [
                {
                    "Spread": {
                        "SpreadDescriptor": str,
                    },
                }
            ],
        },
        "PluginSpec": {
            "Disabled": bool,
            "Name": str,
            "PluginPrivilege": [
                {
                    "Description": str,
                    "Name": str,
                    "Value": [str],
                }
            ],
            "Remote": str,
        },
        "Resources": {
            "Limits": {
                "MemoryBytes": int,
                "NanoCPUs": int,
                "Pids": int,
            },
            "MemorySwappiness": int,
            "Reservations": {
                "GenericResources": [
                    {
                        "DiscreteResourceSpec": {
                            "Kind": str,
                            "Value": int,
                        },
                        "NamedResourceSpec": {
                            "Kind": str,
                            "Value": str,
                        },
                    }
                ],
                "MemoryBytes": int,
                "NanoCPUs": int,
            },
            "SwapBytes": int,
        },
        "RestartPolicy": {
            "Condition": str,
            "Delay": int,
            "MaxAttempts": int,
            "Window": int,
        },
        "Runtime": str,
    },
    "UpdateConfig": {
        "Delay": int,
        "FailureAction": str,
        "MaxFailureRatio": float,
        "Monitor": int,
        "Order": str,
        "Parallelism": int,
    },
}

_WORDS = {str: "a string", int: "an integer", float: "a number", bool: "true or false"}


def check(keys: tuple[str, ...], value: Any) -> None:
    """
    Is this JSON of the kind that the API has at this path?

    ``null`` always is: the engine takes it for "not set".

    Raises:
        SpecError: It is not, or there cannot be anything; names the path at fault.
    """
    shape: Any = SHAPE
    for depth, key in enumerate(keys):
        if shape is None:
            return
        shape = _inside(shape, key, keys[:depth])
    _check(shape, value, keys)


def lists_on(keys: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """The lists that a path, once checked, leads through."""
    shape: Any = SHAPE
    for depth, key in enumerate(keys):
        if isinstance(shape, list):
            yield keys[:depth]
        shape = None if shape is None else _inside(shape, key, keys[:depth])


def _inside(shape: Any, key: str, keys: tuple[str, ...]) -> Any:
    if isinstance(shape, dict):
        return shape.get(key, shape.get("*"))
    if not isinstance(shape, list):
        raise SpecError(f"{format_path(keys)} must be {_WORDS[shape]}: it has nothing inside")
    if not key.isdecimal():
        raise SpecError(f"{format_path(keys)} is a list: wanted an index, got {shown(key)}")
    return shape[0]


def _check(shape: Any, value: Any, keys: tuple[str, ...]) -> None:
    if shape is None or value is None:
        return
    if isinstance(shape, dict):
        _check_object(shape, value, keys)
    elif isinstance(shape, list):
        if not isinstance(value, list):
            raise SpecError(f"{format_path(keys)} must be a list, got {shown(value)}")
        for at, item in enumerate(value):
            _check(shape[0], item, (*keys, str(at)))
    elif not _is_scalar(shape, value):
        raise SpecError(
            f"{format_path(keys)} must be {_WORDS[shape]}, got {shown(value, key=keys[-1])}"
        )


def _check_object(shape: dict[str, Any], value: Any, keys: tuple[str, ...]) -> None:
    if not isinstance(value, dict):
        raise SpecError(f"{format_path(keys)} must be an object, got {shown(value)}")
    for key, item in value.items():
        _check(shape.get(key, shape.get("*")), item, (*keys, key))


def _is_scalar(wanted: type, value: Any) -> bool:
    if isinstance(value, bool):
        return wanted is bool
    if wanted is float:
        return isinstance(value, int | float)
    return isinstance(value, wanted)
