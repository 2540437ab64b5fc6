"""What the tests of the engine's door share."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

import pytest

from swarmroll.engine.connect import open_engine
from swarmroll.engine.docker import DockerEngine

from .documents import SERVICE_ID, node, service, task
from .server import Answer, Request, Server, error, ok


class Serve(Protocol):
    """Starts an engine that is made of a socket."""

    def __call__(self, answer: Callable[[Request], Answer] = ..., **options: Any) -> Server: ...


class Open(Protocol):
    """Opens the door to one or more engines, with short times."""

    def __call__(self, *servers: Server, **options: Any) -> DockerEngine: ...


def swarm(request: Request) -> Answer:
    """An engine with one service, web."""
    if request.path in (f"/services/{SERVICE_ID}", "/services/web"):
        return ok(service())
    if request.path == f"/services/{SERVICE_ID}/update":
        return ok({"Warnings": None})
    if request.path == "/tasks":
        return ok([task(1), task(2), task(3)])
    if request.path == "/nodes":
        return ok([node()])
    return error(404, f"{request.path} not found")


@pytest.fixture(autouse=True)
def no_docker_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the machine's user has configured does not count."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "no-docker-config"))
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_TLS", "DOCKER_TLS_VERIFY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("DOCKER_CERT_PATH", raising=False)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """What is entered is left after the test."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def serve(stack: ExitStack, tmp_path: Path) -> Serve:
    """Engines on unix sockets; with ``tcp=True`` on a port of the loopback device."""
    numbers = itertools.count()

    def start(
        answer: Callable[[Request], Answer] = swarm, *, tcp: bool = False, **options: Any
    ) -> Server:
        path = None if tcp else tmp_path / f"{next(numbers)}.sock"
        return stack.enter_context(Server(answer, path=path, **options))

    return start


@pytest.fixture
def connect(stack: ExitStack) -> Open:
    """Doors with short times, closed after the test."""

    def start(*servers: Server, **options: Any) -> DockerEngine:
        options = {"timeout": (2.0, 1.0), "heartbeat": 0.2, **options}
        engine = open_engine([server.url for server in servers], **options)
        stack.callback(engine.close)
        return engine

    return start
