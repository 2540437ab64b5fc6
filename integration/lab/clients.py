"""Clients of engines, closed when they are no longer needed: an open socket is a test's warning."""

from __future__ import annotations

from contextlib import closing

import docker


def connected(url: str, timeout: float = 60.0) -> closing[docker.DockerClient]:
    """A client to use in a `with`; `timeout` is in seconds and holds for each call."""
    return closing(docker.DockerClient(base_url=url, timeout=timeout))  # type: ignore[arg-type]
