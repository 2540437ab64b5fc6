"""Generates service specs from the engine's own API shapes, one per API version in tests/data."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from hypothesis import strategies as st

_FOLDER = Path(__file__).parent.parent / "data" / "engine-api"
VERSIONS = tuple(sorted(path.stem for path in _FOLDER.glob("v*.json")))


def definitions(version: str) -> dict[str, Any]:
    """The definitions of one API version."""
    found: dict[str, Any] = json.loads((_FOLDER / f"{version}.json").read_text("utf-8"))
    return dict(found["definitions"])


def resolved(shapes: dict[str, Any], shape: dict[str, Any]) -> dict[str, Any]:
    """A shape with its reference, if any, followed."""
    if "$ref" in shape:
        return resolved(shapes, shapes[shape["$ref"].rsplit("/", 1)[-1]])
    if "allOf" in shape:
        return resolved(shapes, shape["allOf"][0])
    return shape


_TEXTS = ("", "a", "x.y", "é→", "b=c", "\0\n\x1b[1m", "-", "a b", "\\", "10", "hunter2")
_KEYS = ("a", "a.b", "com.example.team", "x\\", "é", " ", "password", "swarmroll.rollout", "1")
_ENTRIES = ("LOG=info", "LOG=", "LOG", "A-B=x=y", "DB_PASSWORD=hunter22", "BARE", "=odd", "é=é")
_INTEGERS = (0, 1, 5, 100, 10**9, 5 * 10**9)
_UNKNOWN: Sequence[Any] = (
    None,
    True,
    1,
    2**63,
    -1,
    0.5,
    1.0,
    "x",
    [],
    {},
    [None, [1]],
    {"a.b": {"c": [{}]}},
)


class _Generator:
    """
    Draws documents from a seed.

    Hypothesis draws the seed alone: a draw for every leaf would take a hundred times as long.
    """

    def __init__(self, shapes: dict[str, Any], seed: int) -> None:
        self._shapes = shapes
        self._random = Random(seed)

    def value(self, shape: dict[str, Any], name: str) -> Any:
        """JSON of a shape: enums kept, integers in range, unknown keys and nulls everywhere."""
        shape = resolved(self._shapes, shape)
        kind = shape.get("type", "object")
        if name == "Env":
            return self._some(_ENTRIES)
        if "enum" in shape:
            return self._random.choice(shape["enum"])
        if kind == "array":
            return [self.value(shape["items"], "") for _ in range(self._random.randrange(4))]
        return self._object(shape) if kind == "object" else self._scalar(kind, name)

    def _object(self, shape: dict[str, Any]) -> dict[str, Any]:
        if "additionalProperties" in shape:
            return {key: self._random.choice(_TEXTS) for key in self._some(_KEYS)}
        result = {}
        density = self._random.random()
        for name in self._some(tuple(shape.get("properties", ())), least=0.9):
            if self._random.random() < density:
                null = self._random.random() < 0.1
                result[name] = None if null else self.value(shape["properties"][name], name)
        if self._random.random() < 0.1:
            result[self._random.choice(("FromTheFuture", *_KEYS))] = copy.deepcopy(
                self._random.choice(_UNKNOWN)
            )
        return result

    def _scalar(self, kind: str, name: str) -> Any:
        integers = (0, 80, 65535) if name.endswith("Port") else _INTEGERS
        pools: dict[str, Sequence[Any]] = {
            "string": _TEXTS,
            "boolean": (True, False),
            "number": (0, 0.0, 1, 0.25, 0.1),
            "integer": (-1, 0, 60) if name == "MemorySwappiness" else integers,
        }
        return self._random.choice(pools[kind])

    def _some(self, items: Sequence[str], least: float = 0.0) -> list[str]:
        """Some of the items, in any order."""
        share = max(least, self._random.random())
        return self._random.sample(items, round(share * len(items)))

    def spec(self) -> dict[str, Any]:
        """A service spec with one mode at most."""
        document: dict[str, Any] = self.value(self._shapes["ServiceSpec"], "")
        mode = document.get("Mode")
        if mode:
            keep = self._random.choice(list(mode))
            document["Mode"] = {keep: mode[keep]}
        return document


def spec_documents(version: str | None = None) -> st.SearchStrategy[dict[str, Any]]:
    """Service specs as an engine would send them, and odder; of one API version or of all."""
    versions = VERSIONS if version is None else (version,)
    return st.builds(
        lambda version, seed: _Generator(_definitions(version), seed).spec(),
        st.sampled_from(versions),
        st.integers(0, 2**63),
    )


_definitions = cache(definitions)


def leaves(value: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """Every scalar and every empty container, by its path."""
    if isinstance(value, dict) and value:
        items = [(str(key), item) for key, item in value.items()]
    elif isinstance(value, list) and value:
        items = [(str(at), item) for at, item in enumerate(value)]
    else:
        return {path: value}
    return {key: leaf for name, item in items for key, leaf in leaves(item, (*path, name)).items()}


def same(one: Any, other: Any) -> bool:
    """Equal, with the same types and the same order of keys."""
    return type(one) is type(other) and json.dumps(one) == json.dumps(other)


WEB: dict[str, Any] = {
    "Name": "web",
    "Labels": {"com.docker.stack.namespace": "shop", "team": "web"},
    "TaskTemplate": {
        "ContainerSpec": {
            "Image": "app:1",
            "Labels": {"role": "front"},
            "Command": ["serve"],
            "Args": ["--port", "80"],
            "Hostname": "h",
            "Env": ["LOG=info", "BARE", "PORT=80"],
            "Mounts": [{"Type": "volume", "Source": "data", "Target": "/data", "New": 1}],
            "StopGracePeriod": 10_000_000_000,
            "StopSignal": "SIGINT",
            "HealthCheck": {"Test": ["CMD", "true"], "Interval": 5_000_000_000},
            "Secrets": [
                {
                    "File": {"Name": "db", "UID": "0", "GID": "0", "Mode": 292},
                    "SecretID": "s1",
                    "SecretName": "db",
                }
            ],
            "Configs": [
                {
                    "File": {"Name": "/etc/app", "UID": "0", "GID": "0", "Mode": 292},
                    "ConfigID": "c1",
                    "ConfigName": "app",
                }
            ],
            "Isolation": "default",
        },
        "Resources": {"Limits": {"NanoCPUs": 500_000_000, "MemoryBytes": 104_857_600}},
        "RestartPolicy": {"Condition": "any", "Delay": 5_000_000_000, "MaxAttempts": 0},
        "Placement": {
            "Constraints": ["node.role == worker"],
            "Preferences": [{"Spread": {"SpreadDescriptor": "node.labels.rack"}}],
            "MaxReplicas": 2,
            "Platforms": [{"Architecture": "amd64", "OS": "linux"}],
        },
        "Networks": [{"Target": "net1", "Aliases": ["web"]}],
        "LogDriver": {"Name": "json-file", "Options": {"max-size": "10m"}},
        "ForceUpdate": 3,
        "Runtime": "container",
    },
    "Mode": {"Replicated": {"Replicas": 3}},
    "UpdateConfig": {
        "Parallelism": 2,
        "Delay": 1_000_000_000,
        "FailureAction": "rollback",
        "Monitor": 15_000_000_000,
        "MaxFailureRatio": 0.25,
        "Order": "start-first",
    },
    "RollbackConfig": {"Parallelism": 1, "MaxFailureRatio": 0},
    "EndpointSpec": {
        "Mode": "vip",
        "Ports": [
            {
                "Protocol": "tcp",
                "TargetPort": 80,
                "PublishedPort": 8080,
                "PublishMode": "ingress",
            }
        ],
    },
}
"""A spec as an engine sends it, with something in every part that can be read."""
