"""A program that rolls a service, as a process of its own: to be stopped and killed."""

from __future__ import annotations

import sys

import swarmroll
from swarmroll.core.events import Event, Moved


def hold(event: Event) -> None:
    """Between the decision to write, which is on record, and the write."""
    if isinstance(event, Moved) and event.transition.trigger == "ready":
        print("decided", flush=True)
        sys.stdin.readline()


def main(url: str, timeout: float, lease: float, image: str) -> None:
    with swarmroll.connect(url, timeout=timeout, lease=lease, observers=[hold]) as swarm:
        print("connected", flush=True)
        try:
            swarm.update("web", image=image, strategy=swarmroll.Rolling(monitor=0.5))
        except swarmroll.SwarmrollError as exc:
            print(type(exc).__name__, exc, flush=True)
        else:
            print("done", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), float(sys.argv[3]), sys.argv[4])
