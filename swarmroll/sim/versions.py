"""
Versions of the Engine API, and what they do to a request.

After moby daemon/server/middleware/version.go and daemon/server/router/swarm/helpers.go
(adjustForAPIVersion).
"""

from __future__ import annotations

import re
from typing import Any

import attrs

from swarmroll.errors import EngineError

OLDEST = "1.41"
NEWEST = "1.51"

_ENGINES = {
    "1.41": "20.10.24",
    "1.42": "23.0.6",
    "1.43": "24.0.9",
    "1.44": "25.0.5",
    "1.45": "26.1.4",
    "1.46": "27.1.2",
    "1.47": "27.5.1",
    "1.48": "28.0.4",
    "1.49": "28.1.1",
    "1.50": "28.2.2",
    "1.51": "28.5.2",
}

Version = tuple[int, int]


@attrs.frozen(kw_only=True)
class Release:
    """
    One release of the engine.

    Attributes:
        engine: Its version.
        api: The newest API version that it speaks.
    """

    engine: str
    api: str


def release(api: str) -> Release:
    """
    The last release with this API version as its newest.

    Raises:
        ValueError: There is none, or it is not simulated.
    """
    if api not in _ENGINES:
        raise ValueError(f"SimSwarm: api_version must be one of {', '.join(_ENGINES)}, got {api!r}")
    return Release(engine=_ENGINES[api], api=api)


def number(version: str) -> Version:
    """A version as a pair that can be compared."""
    major, _, minor = version.partition(".")
    return int(major), int(minor)


def split(path: str, newest: str) -> tuple[Version, str]:
    """
    A request's path as API version and the rest; no version means the newest.

    Raises:
        EngineError: A version that is too old or too new, HTTP 400.
    """
    found = re.match(r"/v(\d{1,4})\.(\d{1,4})(/.*)$", path)
    if found is None:
        return number(newest), path
    asked = int(found[1]), int(found[2])
    if asked > number(newest):
        text = (
            f"client version {found[1]}.{found[2]} is too new. Maximum supported API version is "
            f"{newest}"
        )
        raise EngineError(text, status=400)
    if asked < number(OLDEST):
        text = (
            f"client version {found[1]}.{found[2]} is too old. Minimum supported API version is "
            f"{OLDEST}, please upgrade your client to a newer version"
        )
        raise EngineError(text, status=400)
    return asked, found[3]


def strip(spec: dict[str, Any], version: Version) -> dict[str, Any]:
    """
    A posted service spec without what its API version did not have yet.

    Only requests are treated so: what is read has every field, at whatever version it is asked.

    Args:
        spec: In the engine's form; see ``swarmroll.sim.shapes``. Changed in place.
        version: That of the request.
    """
    container = spec["TaskTemplate"].get("ContainerSpec")
    if container is None:
        return spec
    if version < (1, 44):
        privileges = container.get("Privileges")
        if privileges is not None:
            privileges.pop("Seccomp", None)
            privileges.pop("AppArmor", None)
            privileges["NoNewPrivileges"] = False
        (container.get("Healthcheck") or {}).pop("StartInterval", None)
    if version < (1, 46):
        container.pop("OomScoreAdj", None)
        for mount in container.get("Mounts") or ():
            (mount.get("TmpfsOptions") or {}).pop("Options", None)
    return spec
