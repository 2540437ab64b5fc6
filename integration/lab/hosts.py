"""Which kind of host this machine can offer."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from integration.lab import debian, images
from integration.lab.errors import LabError, LabUnavailable
from integration.lab.host import Host
from integration.lab.own import own_host
from integration.lab.own import possible as own_possible
from integration.lab.progress import say
from integration.lab.user import possible as user_possible
from integration.lab.user import user_host

_VARIABLE = "SWARMROLL_LAB"
_WISHES = ("", "own", "user")


@contextmanager
def hosts(engines: list[str]) -> Iterator[dict[str, Host]]:
    """
    Start a host, with the test images on it.

    `SWARMROLL_LAB` chooses: `own`, an engine made from Debian's packages; `user`, the one that
    this machine has. Without it, ours is made where that can be done.

    Yields:
        The host for each version of the engine that can be had.

    Raises:
        LabUnavailable: This machine offers neither.
    """
    kind = user_host if _use_the_engine_that_is_here() else own_host
    with kind(engines) as available:
        if not available:
            raise LabError(f"none of the engines {', '.join(engines)} could be had")
        say("building the test images")
        images.build(next(iter(available.values())))
        yield available


def _use_the_engine_that_is_here() -> bool:
    wish = os.environ.get(_VARIABLE, "")
    if wish not in _WISHES:
        raise LabError(f"{_VARIABLE} must be one of {', '.join(_WISHES[1:])} or empty, got {wish}")
    # Our own first: it touches nothing of the user's, and needs no registry.
    if wish != "user" and own_possible():
        return False
    if wish != "own" and user_possible():
        return True
    if wish == "" and os.geteuid() == 0 and debian.distribution() == "ubuntu":
        # Ubuntu has one version of the engine only; the nodes' come as the official images.
        debian.install("docker.io", "docker-compose-v2")
        if user_possible():
            return True
    raise LabUnavailable(
        "no lab can be run here: no Docker engine with Compose answers on a local socket"
        " (DOCKER_HOST, or the current docker context), and making one wants root on Debian"
    )
