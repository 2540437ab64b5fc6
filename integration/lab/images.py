"""
The test images: good versions of a small web application, and the ways in which one can be bad.

`web` has no health check (a test may set one in the service's spec: the image has a `healthy`
command), `checked` is the same with one. Tags say what the application does.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
from docker.errors import BuildError

from integration.lab.errors import LabError
from integration.lab.host import Host

_SOURCES = Path(__file__).parent / "images"

#: What is set on every image that we make, to find them again.
_LABEL = "swarmroll.lab"

_HEALTHCHECK = (
    'HEALTHCHECK --interval=500ms --timeout=2s --retries=2 --start-period=5s CMD ["healthy"]'
)

#: Tag -> the environment that makes the application behave so; `serve` explains the variables.
WEB = {
    "1": {"VERSION": "1"},
    "2": {"VERSION": "2"},
    "3": {"VERSION": "3"},
    "drain": {"VERSION": "drain", "DRAIN": "2"},
    "slow": {"VERSION": "slow", "START_DELAY": "2"},
    "stubborn": {"VERSION": "stubborn", "ON_TERM": "ignore"},
    "crash": {"VERSION": "crash", "CRASH_AFTER": "0", "EXIT_CODE": "3"},
    "crash-late": {"VERSION": "crash-late", "CRASH_AFTER": "3", "EXIT_CODE": "3"},
}
CHECKED = {
    "1": {"VERSION": "1"},
    "2": {"VERSION": "2"},
    "3": {"VERSION": "3"},
    "slow": {"VERSION": "slow", "START_DELAY": "2"},
    # Exits 0 when it is stopped for being unhealthy, so its task ends as "complete", not "failed".
    "sick": {"VERSION": "sick", "SICK_AFTER": "0"},
    "sick-late": {"VERSION": "sick-late", "SICK_AFTER": "3"},
    # The same, but its task ends as "failed".
    "sick-dies": {"VERSION": "sick-dies", "SICK_AFTER": "0", "ON_TERM": "die"},
}


def names() -> list[str]:
    """Every test image, as NAME:TAG."""
    return [*(f"web:{tag}" for tag in WEB), *(f"checked:{tag}" for tag in CHECKED), "lb:1"]


def build(host: Host) -> None:
    """Make every test image on the host's engine."""
    with host.connect() as client:
        base = host.image("base:1")
        _build_from_sources(client, host, "web", base, host.bases.busybox)
        _build_from_sources(client, host, "lb", host.image("lb:1"), host.bases.haproxy)
        for name, tags, extra in (("web", WEB, ""), ("checked", CHECKED, _HEALTHCHECK)):
            for tag, environment in tags.items():
                lines = [f"FROM {base}", *(f"ENV {k}={v}" for k, v in environment.items()), extra]
                dockerfile = io.BytesIO("\n".join(lines).encode())
                _build(client, host, host.image(f"{name}:{tag}"), fileobj=dockerfile)


def remove(client: docker.DockerClient, host_id: str) -> None:
    """Remove what `build()` made for a host."""
    ours = client.images.list(filters={"label": f"{_LABEL}={host_id}"})
    # By name and not by id: an image that others are made of only goes with the last of them.
    for tag in (tag for image in ours for tag in image.tags):
        client.images.remove(tag)


def push(host: Host, name: str, registry: str, login: dict[str, str] | None = None) -> None:
    """Push one test image to a registry, given as ADDRESS:PORT."""
    repository, tag = f"{registry}/{name.partition(':')[0]}", name.partition(":")[2]
    with host.connect() as client:
        client.images.get(host.image(name)).tag(repository, tag)
        answers: Iterator[dict[str, str]] = client.api.push(
            repository, tag, stream=True, decode=True, auth_config=login
        )
        for answer in answers:
            if "error" in answer:
                raise LabError(f"could not push {repository}:{tag}: {answer['error']}")
        client.images.remove(f"{repository}:{tag}", noprune=True)


def export(host: Host, name: str, as_name: str) -> bytes:
    """One test image as `docker save` writes it, under another name."""
    with host.connect() as client:
        client.images.get(host.image(name)).tag(as_name)
        try:
            return b"".join(client.images.get(as_name).save(named=as_name))
        finally:
            client.images.remove(as_name, noprune=True)


def _build_from_sources(
    client: docker.DockerClient, host: Host, folder: str, name: str, base: str
) -> None:
    _build(client, host, name, path=str(_SOURCES / folder), buildargs={"BASE": base})


def _build(client: docker.DockerClient, host: Host, name: str, **source: Any) -> None:
    try:
        client.images.build(tag=name, labels={_LABEL: host.id}, rm=True, forcerm=True, **source)
    except BuildError as error:
        log = "".join(line.get("stream", "") for line in error.build_log)
        raise LabError(f"could not build {name}: {error}\n{log}") from error
