"""Good updates, by every peer in turn; and bad ones, of which one wants to hear soon."""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs

from bench.process import Run, run_proxied
from bench.subject import SECOND, Cell, Recorder, Subject, epoch, subject

_CLIENTS = Path(__file__).parent / "clients"

#: Replicas 3, 10 and 30; parallelism 1, 5 and all.
CELLS = (
    Cell(replicas=3, parallelism=1),
    Cell(replicas=3, parallelism=0),
    Cell(replicas=3, parallelism=1, monitor=5.0),
    Cell(replicas=3, parallelism=1, order="start-first"),
    Cell(replicas=3, parallelism=1, network=True),
    Cell(replicas=10, parallelism=5),
    Cell(replicas=10, parallelism=0),
    Cell(replicas=30, parallelism=5),
    Cell(replicas=30, parallelism=0),
    Cell(replicas=10, parallelism=1),
    Cell(replicas=30, parallelism=1),
)

#: Cells of which a whole set of rounds takes longest, and how many they get unless told.
HEAVY = {"10-p1": 3, "30-p1": 2}

Row = dict[str, Any]


PEERS = (
    "swarmroll",
    "docker CLI",
    "python-on-whales",
    "docker-py, tasks",
    "docker-py, status",
    "floor",
)


@attrs.frozen(kw_only=True)
class Bench:
    """
    Where it is measured.

    Attributes:
        url: The engine, directly.
        registry: What stands before the names of the test images.
        cli: The docker CLI.
    """

    url: str
    registry: str
    cli: str

    def image(self, name: str) -> str:
        """The whole name of a test image."""
        return f"{self.registry}/{name}"

    def command(self, peer: str, service: str, image: str) -> list[str]:
        """What to run; `{url}` stands for the engine's address."""
        return self._commands(service, image)[peer]

    def _commands(self, service: str, image: str) -> dict[str, list[str]]:
        def script(name: str, *more: str) -> list[str]:
            return [sys.executable, str(_CLIENTS / name), "{url}", service, image, *more]

        update = ["service", "update", "--detach=false", "--image", image, service]
        return {
            "swarmroll": script("with_swarmroll.py"),
            "docker CLI": [self.cli, "--host", "{url}", *update],
            "python-on-whales": script("with_python_on_whales.py", self.cli),
            "docker-py, tasks": script("with_docker_py_tasks.py"),
            "docker-py, status": script("with_docker_py_status.py"),
            "floor": script("floor.py"),
        }


def good(bench: Bench, cell: Cell, peers: list[str], rounds: int) -> Iterator[Row]:
    """One cell: each peer once in each round, in another order every time."""
    images = (bench.image("web:1"), bench.image("web:2"))
    with subject(bench.url, cell, images) as service:
        for number in range(rounds):
            for peer in random.sample(peers, len(peers)):
                yield {
                    "kind": "update",
                    "cell": cell.name,
                    "peer": peer,
                    "round": number,
                    **_one_update(bench, service, cell, peer),
                }


def _one_update(bench: Bench, service: Subject, cell: Cell, peer: str) -> Row:
    service.quiet()
    before = {task["ID"] for task in service.tasks()}
    done = run_proxied(bench.command(peer, service.id, service.other_image), bench.url)
    if not done.wrote_at or done.exit_code:
        raise RuntimeError(f"{peer} exited with {done.exit_code}: {done.output}")
    while (ended := service.ended()) is None:
        time.sleep(0.05)
    assert ended.completed_at is not None, ended
    new = [t for t in service.tasks(**{"desired-state": "running"}) if t["ID"] not in before]
    # From the moment when a task has outlived the engine's monitor, only we watch it.
    alone = min(epoch(t["Status"]["Timestamp"]) for t in new) + cell.monitor
    service.quiet()
    return {
        "lag": done.ended - ended.completed_at,
        "call_lag": _returned(done, peer) - ended.completed_at,
        "state": ended.state,
        "engine": ended.completed_at - done.wrote_at[0],
        "predicted": float(done.lines[0][1]) if peer == "swarmroll" else None,
        "to_write": done.wrote_at[0] - done.began,
        "watched_alone": max(0.0, ended.completed_at - alone),
        "after_plan": _from_events_on(done) if peer == "swarmroll" else None,
        **_cost(done),
    }


def _returned(done: Run, peer: str) -> float:
    """When the call came back, before the interpreter's own end."""
    return done.ended if peer == "docker CLI" else float(done.lines[-1][1])


def _from_events_on(done: Run) -> int:
    """Requests of the rollout itself: it begins by listening to events."""
    begins = next(n for n, each in enumerate(done.requests) if "/events" in each.path)
    return len(done.requests) - begins


def _cost(done: Run) -> Row:
    return {
        "seconds": done.ended - done.began,
        "requests": len(done.requests),
        "received": done.received,
        "sent": done.sent,
        "cpu": done.cpu,
        "load": done.load,
    }


# --- bad releases -----------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class Bad:
    """
    A release that fails.

    Attributes:
        image: The bad one.
        container: Fields of the ContainerSpec.
        error: What the engine says of the failed task: a part of it.
        good: What runs before.
    """

    name: str
    good: str
    image: str
    error: str
    container: dict[str, Any] = attrs.field(factory=dict)


FAILING = (
    Bad(name="crash", good="web:1", image="web:crash", error="non-zero exit (3)"),
    Bad(name="missing image", good="web:1", image="web:none", error="No such image"),
    Bad(
        name="unhealthy",
        good="checked:1",
        image="checked:sick-dies",
        error="unhealthy container",
        container={
            "Healthcheck": {"Test": ["CMD", "healthy"], "Interval": SECOND // 2, "Retries": 2},
            "StopSignal": "SIGTERM",
        },
    ),
)

_FAILING_CELL = Cell(replicas=3, parallelism=1, monitor=2.0)
_FAILING_PEERS = ("swarmroll", "docker CLI", "python-on-whales")


def failing(bench: Bench, bad: Bad, peers: list[str], rounds: int) -> Iterator[Row]:
    """Bad releases that the engine sees itself, and rolls back."""
    images = (bench.image(bad.good), bench.image(bad.good.replace(":1", ":2")))
    chosen = [peer for peer in peers if peer in _FAILING_PEERS]
    with subject(bench.url, _FAILING_CELL, images, container=bad.container) as service:
        for number in range(rounds):
            for peer in random.sample(chosen, len(chosen)):
                service.use(images[0])
                yield {
                    "kind": "failing",
                    "cell": bad.name,
                    "peer": peer,
                    "round": number,
                    **_one_failure(bench, service, bad, peer),
                }


def _one_failure(bench: Bench, service: Subject, bad: Bad, peer: str) -> Row:
    image = bench.image(bad.image)
    command = bench.command(peer, service.id, image)
    if peer == "swarmroll":
        command[1] = str(_CLIENTS / "watchful.py")
    with Recorder(service.api, service.id) as recorder:
        done = run_proxied(command, bench.url, limit=120)
        service.quiet()
        time.sleep(0.2)
    decided = recorder.at("rollback_started") or recorder.at("rollback_completed")
    failed = _failed(service, image, done.began)
    row = {"exit_code": done.exit_code, "truth": failed, **_cost(done)}
    if decided is None:
        raise RuntimeError(f"{bad.name}: the engine did not roll back; {peer}: {done.output}")
    if peer == "swarmroll":
        told = [json.loads(line) for _, line in done.lines]
        first = next(at for at, line in done.lines if '"TaskFailed"' in line or "rolling" in line)
        causes = [t for t in told if t["event"] == "TaskFailed"]
        named = any(_same(cause, truth, bad) for cause in causes for truth in failed)
    else:
        first = next((at for at, line in done.lines if "roll" in line.lower()), done.ended)
        named = bad.error in done.output
    return {**row, "notice": first - decided, "named": named}


def _failed(service: Subject, image: str, since: float) -> list[Row]:
    """The tasks of the bad release that failed, as the engine knows them."""
    names = {node["ID"]: node["Description"]["Hostname"] for node in service.api.nodes()}
    return [
        {
            "slot": task["Slot"],
            "node": names.get(task.get("NodeID", ""), ""),
            "error": task["Status"].get("Err", ""),
            "exit_code": task["Status"].get("ContainerStatus", {}).get("ExitCode"),
            "at": epoch(task["Status"]["Timestamp"]),
        }
        for task in service.tasks()
        if task["Spec"]["ContainerSpec"]["Image"].partition("@")[0] == image
        and task["Status"]["State"] in ("failed", "rejected")
        and epoch(task["CreatedAt"]) > since
    ]


def _same(cause: Row, truth: Row, bad: Bad) -> bool:
    """Whether slot, node, error and exit code are told as they are."""
    # A task that never had a container has no exit code; the engine writes 0 for it.
    codes = (truth["exit_code"], None) if bad.name == "missing image" else (truth["exit_code"],)
    return (
        cause["slot"] == truth["slot"]
        and cause["node"] == truth["node"]
        and cause["error"] == truth["error"]
        and bad.error in cause["error"]
        and cause["exit_code"] in codes
    )


#: A crash about 3 s after the start, which the engine no longer watches: in the middle of an update
#: that takes longer, and after one, in the seconds that swarmroll was asked to go on watching.
LATE = {
    "crash in a long update": (Cell(replicas=5, parallelism=1), 0.0),
    "crash after the update": (Cell(replicas=3, parallelism=0), 10.0),
}


def late(bench: Bench, name: str, rounds: int) -> Iterator[Row]:
    """Crashes that the engine does not count."""
    cell, bake = LATE[name]
    images, bad = (bench.image("web:1"), bench.image("web:2")), bench.image("web:crash-late")
    with subject(bench.url, cell, images) as service:
        for number in range(rounds):
            service.use(images[0])
            command = [sys.executable, str(_CLIENTS / "watchful.py"), "{url}", service.id]
            # At any moment between two looks, not always at the same.
            command += [bad, str(bake), f"{random.uniform(2.5, 3.5):.2f}"]
            done = run_proxied(command, bench.url, limit=120)
            service.quiet()
            failed = _failed(service, bad, done.began)
            moved = [at for at, line in done.lines if '"rolling_back"' in line]
            if not moved or len(done.wrote_at) < 2:
                raise RuntimeError(f"{name}: it was not rolled back: {done.output}")
            yield {
                "kind": "late",
                "cell": name,
                "peer": "swarmroll",
                "round": number,
                "decided": moved[0] - min(task["at"] for task in failed),
                "written": done.wrote_at[1] - moved[0],
                **_cost(done),
            }
