"""
What the nodes' containers run on: an engine, a compose command, and the base images it has.

A `Host` is a plain value, so that the runner can hand it to a pytest that runs in another process.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import attrs
import docker
import msgspec

from integration.lab.clients import connected


@attrs.frozen(kw_only=True)
class BaseImages:
    """Names of the images that everything else is made of; the official ones, or our stand-ins."""

    node: str = "docker:{engine}-dind"
    registry: str = "registry:2"
    busybox: str = "busybox:1.36"
    haproxy: str = "haproxy:2.6-alpine"


@attrs.frozen(kw_only=True)
class Host:
    """
    A place to start swarms on.

    Attributes:
        id: Unique to this run; the prefix of everything that is made on the engine.
        engine: The version that the nodes run: "20", "26" or "28".
        docker_url: The engine that the nodes' containers run on.
        compose: The shell command that is Docker Compose and talks to that engine.
        directory: Files of this run.
        sockets: A directory where each node's socket appears, or None where the engine's file
            system is not the machine's.
        namespace: The network namespace in which published ports can be reached; None: right here.
        prometheus: The program, or None where it could not be had.
    """

    id: str
    engine: str
    docker_url: str
    compose: str
    directory: str
    sockets: str | None
    namespace: str | None
    bases: BaseImages
    prometheus: str | None = None

    @property
    def node_image(self) -> str:
        """The image of a node with this host's engine version."""
        return self.bases.node.format(engine=self.engine)

    def image(self, name: str) -> str:
        """The outer engine's name for a test image such as "web:1"."""
        return f"{self.id}/{name}"

    def connect(self) -> closing[docker.DockerClient]:
        """A client of the engine that the nodes run on, for a `with`."""
        return connected(self.docker_url)

    def save(self, path: Path) -> None:
        """Write this value to a file."""
        path.write_bytes(msgspec.json.encode(self))

    @classmethod
    def load(cls, path: Path) -> Host:
        """Read a value that `save()` wrote."""
        return msgspec.json.decode(path.read_bytes(), type=cls)
