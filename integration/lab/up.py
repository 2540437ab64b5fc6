"""
Start a swarm to play with, and keep it until Ctrl-C.

    python -m integration.lab.up --nodes 3 --engine 26
"""

from __future__ import annotations

import argparse
import signal
import sys

from integration.lab.cluster import REGISTRY, SHAPES, Cluster, running
from integration.lab.errors import LabError
from integration.lab.hosts import hosts
from integration.lab.images import names
from integration.lab.interrupts import terminable
from integration.lab.namespace import entered, path
from integration.lab.recipes import ENGINES


def main() -> int:
    """Start it, tell how to reach it, wait."""
    parser = argparse.ArgumentParser(prog="python -m integration.lab.up", description=__doc__)
    parser.add_argument("--nodes", type=int, choices=sorted(SHAPES), default=3)
    parser.add_argument("--engine", choices=sorted(ENGINES), default="26")
    options = parser.parse_args()
    try:
        with terminable(), hosts([options.engine]) as available:
            host = available[options.engine]
            with entered(host.namespace), running(host, SHAPES[options.nodes]) as cluster:
                _tell(cluster, host.namespace)
                signal.pause()
    except KeyboardInterrupt:
        return 0
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    return 0


def _tell(cluster: Cluster, namespace: str | None) -> None:
    for node in cluster.nodes.values():
        variable = "DOCKER_HOST" if node.name == "node1" else f"# {node.name}:"
        print(f"{variable}={node.socket_url or node.url}".replace(":=", ": "))
    print(f"# images: {' '.join(f'{REGISTRY}/{name}' for name in names())}")
    if namespace:
        print(f"# published ports can be reached inside: nsenter --net={path(namespace)} COMMAND")
    print("# Ctrl-C ends it.", flush=True)


if __name__ == "__main__":
    sys.exit(main())
