"""
How fast the simulated swarm is, and how much it holds.

    python -m bench.sim [--seconds 5] [--tasks 10000]

Whole rollouts in process (a new spec, every task replaced, watched and proven by swarmroll) of 3,
10 and 100 replicas; memory per task; and at the served door, lists of many tasks beside an event
stream. Every figure belongs to one machine.
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import os
import statistics
import threading
import time
import tracemalloc
from collections.abc import Callable
from urllib.parse import urlsplit

import swarmroll
from swarmroll.sim import SimSwarm

PACE = swarmroll.Rolling(parallelism=1, delay=0, monitor=5)


def updates(replicas: int, seconds: float) -> tuple[float, float, float]:
    """
    Rollouts a minute: the swarm's own alone, and driven and proven by swarmroll.

    The latter on record in memory, and on record in the swarm, as without ``journal=``.
    """
    with SimSwarm(seed=7) as sim:
        sim.image("app:1")
        sim.image("app:2")
        pace = {"parallelism": 1, "monitor": 5}
        sim.create_service("web", image="app:1", replicas=replicas, update=pace)
        images = itertools.cycle(["app:2", "app:1"])

        def alone() -> None:
            sim.update_service("web", image=next(images))
            sim.settle()
            sim.store.trace.clear()

        def driven_by(swarm: swarmroll.Swarm) -> Callable[[], None]:
            def driven() -> None:
                assert swarm.update("web", image=next(images), strategy=PACE).ok
                sim.store.trace.clear()

            return driven

        in_memory = sim.connect(journal=swarmroll.MemoryJournal())
        return (
            rate(alone, seconds),
            rate(driven_by(in_memory), seconds),
            rate(driven_by(sim.connect()), seconds),
        )


def rate(do: Callable[[], None], seconds: float, slices: int = 5) -> float:
    """So many a minute: the median of some slices of the time, for others use the machine too."""
    do()
    found = []
    for _ in range(slices):
        count, begun = 0, time.perf_counter()
        while time.perf_counter() - begun < seconds / slices:
            do()
            count += 1
        found.append(count / (time.perf_counter() - begun) * 60)
    return statistics.median(found)


def memory(tasks: int, services: int = 100) -> tuple[float, float]:
    """Bytes per task of a swarm that runs so many, and seconds to make it."""
    begun = time.perf_counter()
    tracemalloc.start()
    sim = SimSwarm(nodes=50, seed=7)
    before, _ = tracemalloc.get_traced_memory()
    for number in range(services):
        sim.create_service(f"web-{number}", image="app:1", replicas=tasks // services, settle=0)
    sim.settle()
    sim.store.trace.clear()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(sim.store.tasks) == tasks
    spent = time.perf_counter() - begun
    sim.close()
    return (after - before) / tasks, spent


def served(tasks: int, rounds: int = 10) -> dict[str, float]:
    """Lists of all tasks, and how late events come meanwhile."""
    with SimSwarm(nodes=50, seed=7, serve=True) as sim:
        for number in range(100):
            sim.create_service(f"web-{number}", image="app:1", replicas=tasks // 100, settle=0)
        sim.settle()
        address = urlsplit(sim.tcp_url)
        assert address.hostname is not None

        def ask(path: str) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
            connection = http.client.HTTPConnection(address.hostname or "", address.port or 0)
            connection.request("GET", path)
            return connection, connection.getresponse()

        def whole() -> float:
            begun = time.perf_counter()
            connection, response = ask("/tasks")
            size[0] = len(response.read())
            connection.close()
            return time.perf_counter() - begun

        size = [0]
        first = whole()
        lists = [whole() for _ in range(rounds)]
        stream, events = ask("/events")
        late: list[float] = []
        quiet = [_latency(sim, events) for _ in range(rounds)]
        busy = threading.Event()

        def keep_asking() -> None:
            while not busy.is_set():
                whole()

        asking = threading.Thread(target=keep_asking)
        asking.start()
        late = [_latency(sim, events) for _ in range(5 * rounds)]
        busy.set()
        asking.join()
        events.close()
        stream.close()
        return {
            "bytes": float(size[0]),
            "first list": first,
            "list": statistics.median(lists),
            "event, quiet": statistics.median(quiet),
            "event, lists": statistics.median(late),
            "event, lists, worst": max(late),
        }


_numbers = itertools.count()


def _latency(sim: SimSwarm, events: http.client.HTTPResponse) -> float:
    """Seconds from a write to its event at the reader."""
    begun = time.perf_counter()
    name = f"mark-{next(_numbers)}"
    sim.config(name)
    while name.encode() not in events.readline():
        pass
    return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--tasks", type=int, default=10_000)
    words = parser.parse_args()
    print("load average before: {:.1f}, {:.1f}, {:.1f}".format(*os.getloadavg()))
    print("whole rollouts a minute, in process; the last two driven and proven by swarmroll:")
    print("                         the swarm alone   record in memory   record in the swarm")
    for replicas in (3, 10, 100):
        alone, in_memory, in_swarm = updates(replicas, words.seconds)
        print(f"  {replicas:4} replicas {alone:23,.0f} {in_memory:18,.0f} {in_swarm:21,.0f}")
    per_task, spent = memory(words.tasks)
    print(f"memory per task, {words.tasks:,} of 100 services: {per_task:,.0f} bytes")
    print(f"  made and settled in {spent:.1f} s (traced)")
    print(f"served, GET /tasks of {words.tasks:,}")
    for name, value in served(words.tasks).items():
        unit = f"{value / 1e6:.1f} MB" if name == "bytes" else f"{value * 1000:,.1f} ms"
        print(f"  {name:20} {unit}")
    print("load average after: {:.1f}, {:.1f}, {:.1f}".format(*os.getloadavg()))


if __name__ == "__main__":
    main()
