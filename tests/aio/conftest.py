"""A served swarm in accelerated time, and one in virtual time, for tests of the asyncio surface."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator

import pytest

from swarmroll.core.events import Event
from swarmroll.sim import SimSwarm


def furnish(sim: SimSwarm) -> SimSwarm:
    """Services web and shop, and images for them."""
    for name in ("app:1", "app:2", "app:3"):
        sim.image(name)
    sim.image("crash:1", crashes_after=0.5, exit_code=3)
    for name in ("web", "shop", "mail"):
        sim.create_service(name, image="app:1", replicas=2, update={"monitor": 1})
    return sim


@pytest.fixture
def served() -> Iterator[SimSwarm]:
    """The real Engine API over sockets, in real threads."""
    with SimSwarm(nodes=3, seed=7, serve=True, speed=20) as sim:
        yield furnish(sim)


@pytest.fixture
def sim() -> Iterator[SimSwarm]:
    """In process, in virtual time."""
    with SimSwarm(nodes=3, seed=7) as sim:
        yield furnish(sim)


@pytest.fixture
def no_threads_left() -> Iterator[None]:
    """Every thread that a test has made of swarmroll's ends with it."""
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        if thread.name.startswith(("swarmroll", "rollout of")):
            thread.join(10)
            assert not thread.is_alive(), thread.name


def signal_on(kind: type[Event]) -> tuple[Callable[[Event], None], asyncio.Event]:
    """An observer, and what it sets in the running loop when it is told of such an event."""
    loop, seen = asyncio.get_running_loop(), asyncio.Event()

    def observe(event: Event) -> None:
        if isinstance(event, kind):
            loop.call_soon_threadsafe(seen.set)

    return observe, seen
