"""What is updated: services on a real swarm, and the truth about them, asked for directly."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import attrs
import docker

from bench.proxy import Dial

SECOND = 10**9
_HISTORY = 5
_NETWORK = "bench"


class NotQuiet(Exception):
    """The swarm did not get to the state that a measurement starts from."""


@attrs.frozen(kw_only=True)
class Cell:
    """
    One kind of update.

    Attributes:
        parallelism: 0 means all.
        monitor: Seconds.
        network: Whether the tasks are on an overlay network; it makes them slower to replace.
    """

    replicas: int
    parallelism: int
    monitor: float = 1.0
    order: str = "stop-first"
    network: bool = False

    @property
    def name(self) -> str:
        """For tables, and to choose it by."""
        extra = "" if self.monitor == 1 else f"-m{self.monitor:g}"
        extra += "" if self.order == "stop-first" else f"-{self.order}"
        extra += "-net" if self.network else ""
        return f"{self.replicas}-p{self.parallelism or 'all'}{extra}"


@attrs.frozen(kw_only=True)
class Ended:
    """How the engine says that an update ended; times are seconds since the epoch."""

    state: str
    started_at: float
    completed_at: float | None


class Subject:
    """
    A service under test.

    Attributes:
        api: A direct connection, beside the proxy.
        images: The two that updates take turns with.
    """

    def __init__(self, api: docker.APIClient, service_id: str, images: tuple[str, str]) -> None:
        self.api = api
        self.id = service_id
        self.images = images

    def inspect(self) -> dict[str, Any]:
        answer: dict[str, Any] = self.api.inspect_service(self.id)
        return answer

    @property
    def image(self) -> str:
        """The image of the spec, without its digest."""
        spec = self.inspect()["Spec"]
        return str(spec["TaskTemplate"]["ContainerSpec"]["Image"]).partition("@")[0]

    @property
    def other_image(self) -> str:
        return self.images[self.image == self.images[0]]

    def tasks(self, **filters: Any) -> list[dict[str, Any]]:
        answer: list[dict[str, Any]] = self.api.tasks(filters={"service": self.id, **filters})
        return answer

    def ended(self) -> Ended | None:
        """The engine's word about the last update, once it is over."""
        status = self.inspect().get("UpdateStatus") or {}
        if status.get("State") in (None, "updating", "rollback_started"):
            return None
        return Ended(
            state=status["State"],
            started_at=epoch(status["StartedAt"]),
            completed_at=epoch(status["CompletedAt"]) if "CompletedAt" in status else None,
        )

    def write(self, change: Callable[[dict[str, Any]], None]) -> None:
        """Change the spec directly; once more if the engine itself moved the version meanwhile."""
        for attempt in range(5):
            service = self.inspect()
            spec = service["Spec"]
            change(spec)
            try:
                self.api.update_service(
                    self.id,
                    service["Version"]["Index"],
                    task_template=spec["TaskTemplate"],
                    name=spec["Name"],
                    labels=spec.get("Labels"),
                    mode=spec["Mode"],
                    update_config=spec.get("UpdateConfig"),
                    rollback_config=spec.get("RollbackConfig"),
                    networks=spec.get("Networks"),
                    endpoint_spec=spec.get("EndpointSpec"),
                )
            except docker.errors.APIError:
                if attempt == 4:
                    raise
                time.sleep(0.2)
            else:
                return

    def use(self, image: str) -> None:
        """Put an image in directly, and wait."""

        def change(spec: dict[str, Any]) -> None:
            spec["TaskTemplate"]["ContainerSpec"]["Image"] = image

        if self.image != image:
            self.write(change)
            time.sleep(0.1)
        self.quiet()

    def quiet(self, limit: float = 120.0) -> None:
        """Wait until nothing moves: all run one spec, and nothing is being stopped."""
        ends = time.monotonic() + limit
        while time.monotonic() < ends:
            wanted = self.inspect()["Spec"]["Mode"]["Replicated"]["Replicas"]
            tasks = self.tasks()
            alive = [t for t in tasks if t["Status"]["State"] not in _ENDED]
            if len(alive) == wanted and all(_settled(t) for t in alive) and self.ended_or_new():
                return
            time.sleep(0.1)
        raise NotQuiet(f"{self.id} did not come to rest within {limit:g} s")

    def ended_or_new(self) -> bool:
        """Whether no update goes on."""
        status = self.inspect().get("UpdateStatus") or {}
        return status.get("State") not in ("updating", "rollback_started")


_ENDED = frozenset(["complete", "shutdown", "failed", "rejected", "remove", "orphaned"])


def _settled(task: dict[str, Any]) -> bool:
    return bool(task["DesiredState"] == task["Status"]["State"] == "running")


@contextmanager
def subject(
    url: str,
    cell: Cell,
    images: tuple[str, str],
    *,
    container: dict[str, Any] | None = None,
    update: dict[str, Any] | None = None,
) -> Iterator[Subject]:
    """
    A service that runs, with a full history of tasks; removed at the end.

    Args:
        url: The engine, directly.
        container: Fields of the ContainerSpec over the quick ones.
        update: Fields of the UpdateConfig over those of the cell.
    """
    api = docker.APIClient(url, version="auto", timeout=60)
    if cell.network and not api.networks(names=[_NETWORK]):
        api.create_network(_NETWORK, driver="overlay", scope="swarm")
    paced = {
        "Parallelism": cell.parallelism,
        "Delay": 0,
        "Monitor": int(cell.monitor * SECOND),
        "Order": cell.order,
        "FailureAction": "rollback",
        **(update or {}),
    }
    at_once = {**paced, "Parallelism": 0, "Monitor": 1, "Order": "stop-first"}
    answer = api.create_service(
        {
            "RestartPolicy": {"Condition": "any", "Delay": 0},
            # The docker CLI adds one. A manager dies of a spec without, beside tasks that differ
            # from it in nothing else (swarmkit manager/orchestrator/task.go, nodeMatches).
            "Placement": {},
            "ContainerSpec": {
                "Image": images[0],
                # Stopping costs nothing by itself.
                "StopSignal": "SIGKILL",
                "StopGracePeriod": 1 * SECOND,
                **(container or {}),
            },
            **({"Networks": [{"Target": _NETWORK}]} if cell.network else {}),
        },
        name=f"bench-{cell.name}",
        mode={"Replicated": {"Replicas": cell.replicas}},
        update_config=at_once,
        rollback_config={
            "Parallelism": cell.replicas,
            "Monitor": 1 * SECOND,
            "FailureAction": "pause",
        },
    )
    made = Subject(api, answer["ID"], images)
    try:
        made.quiet()
        for number in range(1, _HISTORY + 1):
            made.use(images[number % 2])
        made.write(lambda spec: spec["UpdateConfig"].update(paced))
        time.sleep(0.3)
        made.quiet()
        yield made
    finally:
        api.remove_service(made.id)
        _wait_until_gone(made)
        api.close()


def _wait_until_gone(service: Subject) -> None:
    """Its containers, too: their end would disturb the next measurement."""
    ends = time.monotonic() + 60
    while time.monotonic() < ends:
        if not service.api.tasks(filters={"name": "bench-"}):
            return
        time.sleep(0.2)


class Recorder:
    """
    What the engine publishes about services, on a connection of its own.

    Attributes:
        marks: Pairs of an update state and when the engine gave it, seconds since the epoch.
    """

    def __init__(self, api: docker.APIClient, service_id: str) -> None:
        self.marks: list[tuple[str, float]] = []
        self._events = api.events(decode=True, filters={"type": "service", "service": service_id})
        self._thread = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> Recorder:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._events.close()

    def _read(self) -> None:
        for event in self._events:
            state = event["Actor"]["Attributes"].get("updatestate.new")
            if state:
                self.marks.append((state, event["timeNano"] / SECOND))

    def at(self, state: str) -> float | None:
        """When that state was first given."""
        return next((at for name, at in self.marks if name == state), None)


def epoch(text: str) -> float:
    """Seconds since the epoch of a time as the engine writes it."""
    whole, _, fraction = text.rstrip("Z").partition(".")
    began = datetime.fromisoformat(whole).replace(tzinfo=UTC).timestamp()
    return began + float(f"0.{fraction or 0}")


def dialer(url: str) -> Dial:
    """Opens connections to an engine at a unix socket or a TCP port without TLS."""
    parts = urlsplit(url)
    if parts.scheme == "unix":

        def dial_unix() -> socket.socket:
            stream = socket.socket(socket.AF_UNIX)
            stream.connect(parts.path)
            return stream

        return dial_unix

    def dial_tcp() -> socket.socket:
        stream = socket.create_connection((parts.hostname, parts.port))
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return stream

    return dial_tcp
