"""
The Docker engine of this machine as a host: the official images, as containers only.

The engine itself never joins a swarm. What is made on it carries this run's name and is removed at
the end; the official images that were pulled stay.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from docker.errors import DockerException, ImageNotFound

from integration.lab import cache, images, rundir
from integration.lab.clients import connected
from integration.lab.errors import LabError
from integration.lab.host import BaseImages, Host
from integration.lab.progress import say
from integration.lab.recipes import OUTER

_KIND = "user"
_PROJECT = "com.docker.compose.project"


def possible() -> bool:
    """Whether there is an engine that answers, and Compose."""
    url = _url()
    # Published ports are on the engine's own loopback device: it has to be this machine's.
    if not url.startswith("unix://"):
        return False
    try:
        with connected(url, timeout=10) as client:
            return bool(client.ping()) and _compose() is not None
    except (DockerException, OSError):
        return False


@contextmanager
def user_host(engines: list[str]) -> Iterator[dict[str, Host]]:
    """
    Use the engine as a host, and leave it as it was.

    Yields:
        The host for each engine version; without those whose image could not be had, unless that is
        the version that is always tested.
    """
    with ExitStack() as stack:
        with cache.locked():
            rundir.clean_up_after_the_dead(_KIND, _clean_up)
            directory = rundir.new(_KIND, stack)
        stack.callback(_clean_up, directory)
        candidates = {
            version: Host(
                id=directory.name,
                engine=version,
                docker_url=_url(),
                compose=_compose() or "docker compose",
                directory=str(directory),
                sockets=None,
                namespace=None,
                bases=BaseImages(),
                prometheus=shutil.which("prometheus"),
            )
            for version in engines
        }
        yield {version: host for version, host in candidates.items() if _has_node_image(host)}


def _has_node_image(host: Host) -> bool:
    with host.connect() as client:
        try:
            client.images.get(host.node_image)
        except ImageNotFound:
            say(f"pulling {host.node_image}")
            try:
                client.images.pull(host.node_image)
            except DockerException as error:
                if host.engine == OUTER:
                    raise LabError(f"could not pull {host.node_image}: {error}") from error
                say(f"ENGINE {host.engine} WILL NOT BE TESTED: {error}")
                return False
    return True


def _url() -> str:
    """The engine that the docker command would talk to."""
    named = os.environ.get("DOCKER_HOST")
    if named:
        return named
    if shutil.which("docker"):
        command = ["docker", "context", "inspect", "--format", "{{.Endpoints.docker.Host}}"]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode == 0 and done.stdout.strip():
            return done.stdout.strip()
    return "unix:///var/run/docker.sock"


def _compose() -> str | None:
    for command in (["docker", "compose"], ["docker-compose"]):
        try:
            done = subprocess.run([*command, "version"], check=False, capture_output=True)
        except FileNotFoundError:
            continue
        if done.returncode == 0:
            return " ".join(command)
    return None


def _clean_up(directory: Path) -> None:
    """Remove all that carries the name of a run, also where Compose did not come to it."""
    with connected(_url()) as client:
        for container in client.containers.list(
            all=True, filters={"label": _PROJECT}, ignore_removed=True
        ):
            if container.labels[_PROJECT].startswith(directory.name):
                container.remove(force=True, v=True)
        for network in client.networks.list(filters={"label": _PROJECT}):
            if network.attrs["Labels"][_PROJECT].startswith(directory.name):
                network.remove()
        for volume in client.volumes.list(filters={"label": _PROJECT}):
            if volume.attrs["Labels"][_PROJECT].startswith(directory.name):
                volume.remove()
        images.remove(client, directory.name)
    shutil.rmtree(directory, ignore_errors=True)
