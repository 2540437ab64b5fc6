"""A throw-away swarm for a script: the demo, a measurement, a bug report."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from integration.lab.cluster import THREE_NODES, Cluster, running
from integration.lab.hosts import hosts
from integration.lab.interrupts import terminable
from integration.lab.namespace import entered
from integration.lab.recipes import OUTER


@contextmanager
def single_swarm(engine: str = OUTER) -> Iterator[Cluster]:
    """
    Start a swarm of three nodes with the test images in its registry; remove it at the end.

    `cluster.url` is the Docker host to connect to, `cluster.image("web:1")` an image's name, and
    `cluster.node("node1").web_port` the port on 127.0.0.1 that leads to port 8000 of that node. The
    calling thread, and those it starts, are where these can be reached.

    Raises:
        LabUnavailable: This machine has no way to run one.
    """
    with (
        terminable(),
        hosts([engine]) as available,
        entered(available[engine].namespace),
        running(available[engine], THREE_NODES) as cluster,
    ):
        yield cluster
