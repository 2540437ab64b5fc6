"""Events wake whoever watches, and nobody waits for a watch that is not served."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from swarmroll.core.snapshot import Depth
from swarmroll.engine.docker import DockerEngine
from swarmroll.errors import EngineUnavailable

from .conftest import Open, Serve, swarm
from .documents import SERVICE_ID
from .server import Answer, Request, Server

OPENED = b"HTTP/1.1 200 OK\r\nApi-Version: 1.51\r\nTransfer-Encoding: chunked\r\n\r\n"


def event(kind: str = "service", actor: str = SERVICE_ID, **attributes: str) -> bytes:
    document = {"Type": kind, "Action": "update", "Actor": {"ID": actor, "Attributes": attributes}}
    line = json.dumps(document).encode() + b"\n"
    return b"%x\r\n%b\r\n" % (len(line), line)


class Stream:
    """The events of an engine, sent by a test."""

    def __init__(self) -> None:
        self.opened = 0
        self.refuse = False
        self.connection: socket.socket | None = None
        self.changed = threading.Condition()

    def __call__(self, request: Request) -> Answer:
        if request.path != "/events":
            return swarm(request)
        return b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n" if self.refuse else self.serve

    def serve(self, connection: socket.socket) -> None:
        with self.changed:
            self.opened += 1
            self.connection = connection
            self.changed.notify_all()
        connection.sendall(OPENED)
        connection.recv(1)

    def send(self, data: bytes) -> None:
        assert self.connection
        self.connection.sendall(data)

    def wait_until_opened(self, times: int) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: self.opened >= times, 10)


@pytest.fixture
def stream() -> Stream:
    return Stream()


@pytest.fixture
def server(serve: Serve, stream: Stream) -> Server:
    return serve(stream)


@pytest.fixture
def engine(server: Server, connect: Open) -> DockerEngine:
    return connect(server)


def readers() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name == "swarmroll-events"]


def eventually(condition: Callable[[], bool]) -> bool:
    ends = time.monotonic() + 10
    while not condition() and time.monotonic() < ends:
        threading.Event().wait(0.005)
    return condition()


def test_the_stream_is_open_before_anything_is_done(engine: DockerEngine, stream: Stream) -> None:
    """Connect, then act: what a write causes is heard."""
    watch = engine.watch(SERVICE_ID)
    assert 1 == stream.opened
    assert watch.unbroken_since is not None
    assert not watch.wait(0)


def test_an_event_of_its_service_wakes_a_watch(engine: DockerEngine, stream: Stream) -> None:
    watch = engine.watch(SERVICE_ID)
    stream.send(event())
    assert watch.wait(5)
    assert not watch.wait(0)


def test_an_event_of_another_service_wakes_nobody(engine: DockerEngine, stream: Stream) -> None:
    mine, other = engine.watch(SERVICE_ID), engine.watch("other")
    stream.send(event(actor="other"))
    assert other.wait(5)
    assert not mine.wait(0)


def test_an_event_of_a_node_wakes_all(engine: DockerEngine, stream: Stream) -> None:
    watches = [engine.watch(SERVICE_ID), engine.watch("other")]
    stream.send(event("node", "n1", **{"state.new": "down"}))
    assert [True, True] == [watch.wait(5) for watch in watches]


def test_events_in_pieces_and_in_heaps_are_understood(engine: DockerEngine, stream: Stream) -> None:
    watch, other = engine.watch(SERVICE_ID), engine.watch("other")
    one, two = event(actor="third"), event(actor="other")
    stream.send(one[:20])
    stream.send(one[20:] + event() + two)
    assert other.wait(5)
    assert watch.wait(5)


def test_all_watches_share_one_stream_and_one_thread(engine: DockerEngine, stream: Stream) -> None:
    watches = [engine.watch(str(number)) for number in range(20)]
    assert (1, 1, 1) == (stream.opened, engine.requests, len(readers()))
    for watch in watches[1:]:
        watch.close()
    assert 1 == len(readers())
    watches[0].close()
    assert [] == readers()


def test_a_watch_begins_a_new_stream_after_the_last_has_ended(
    engine: DockerEngine, stream: Stream
) -> None:
    engine.watch(SERVICE_ID).close()
    watch = engine.watch(SERVICE_ID)
    assert 2 == stream.opened
    stream.send(event())
    assert watch.wait(5)


def test_closing_the_engine_ends_a_silent_stream_at_once(
    engine: DockerEngine, server: Server
) -> None:
    engine.watch(SERVICE_ID)
    begun = time.monotonic()
    engine.close()
    assert time.monotonic() - begun < 0.5
    assert [] == readers()
    server.wait_until(lambda s: s.connections == 0)
    with pytest.raises(EngineUnavailable):
        engine.watch(SERVICE_ID)


def test_a_watch_can_be_closed_twice(engine: DockerEngine) -> None:
    watch = engine.watch(SERVICE_ID)
    watch.close()
    watch.close()


def test_another_thread_can_wake_a_watch(engine: DockerEngine) -> None:
    watch = engine.watch(SERVICE_ID)
    waker = threading.Thread(target=watch.wake)
    waker.start()
    assert watch.wait(5)
    waker.join()


def test_a_broken_stream_is_opened_again_and_wakes_all(
    engine: DockerEngine, server: Server, stream: Stream
) -> None:
    """What happened in between was not heard, so everybody looks."""
    watch = engine.watch(SERVICE_ID)
    before = watch.unbroken_since
    server.hang_up()
    assert watch.wait(5)
    assert watch.unbroken_since != before
    stream.send(event())
    assert watch.wait(5)


@pytest.mark.parametrize(
    "nonsense",
    [b"5\r\n\xff\xfe{}\n\r\n", b"xyz\r\n", b"0\r\n\r\n", b"6\r\n[1,2]\n\r\n"],
    ids=["not UTF-8", "no chunk", "the end", "no event"],
)
def test_nonsense_in_the_stream_is_a_broken_stream(
    nonsense: bytes, engine: DockerEngine, stream: Stream
) -> None:
    watch = engine.watch(SERVICE_ID)
    stream.send(nonsense)
    stream.wait_until_opened(2)
    assert watch.wait(5)


def test_an_event_without_an_end_is_a_broken_stream(engine: DockerEngine, stream: Stream) -> None:
    watch = engine.watch(SERVICE_ID)
    with contextlib.suppress(OSError):
        while stream.opened == 1:
            stream.send(b"10000\r\n" + b"x" * 65536 + b"\r\n")
    stream.wait_until_opened(2)
    assert watch.wait(5)


def test_without_a_stream_a_watch_still_waits(engine: DockerEngine, stream: Stream) -> None:
    stream.refuse = True
    watch = engine.watch(SERVICE_ID)
    assert watch.unbroken_since is None
    assert engine.look(SERVICE_ID, Depth.SERVICE).unbroken_since is None
    stream.refuse = False
    assert watch.wait(5)
    assert watch.unbroken_since is not None


def test_an_engine_that_was_heard_is_waited_for(
    connect: Open, stream: Stream, tmp_path: Path
) -> None:
    """Its address is right, though nothing has been read from it yet."""
    path = tmp_path / "engine.sock"
    with Server(stream, path=path) as server:
        engine = connect(server, timeout=(10.0, 1.0))
        engine.watch(SERVICE_ID)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(engine.service, SERVICE_ID)
        with Server(stream, path=path):
            assert SERVICE_ID == waiting.result(10).id


def test_a_new_leader_breaks_what_was_unbroken(engine: DockerEngine, stream: Stream) -> None:
    watch = engine.watch(SERVICE_ID)
    before = watch.unbroken_since
    stream.send(event("node", "n2", **{"leader.new": "true"}))
    assert watch.wait(5)
    assert watch.unbroken_since != before
    assert watch.unbroken_since == engine.look(SERVICE_ID, Depth.SERVICE).unbroken_since


def test_the_stream_goes_to_the_next_manager(serve: Serve, connect: Open, stream: Stream) -> None:
    first, second = Stream(), stream
    server = serve(first)
    engine = connect(server, serve(second))
    watch = engine.watch(SERVICE_ID)
    first.refuse = True
    server.hang_up()
    second.wait_until_opened(1)
    assert eventually(lambda: watch.unbroken_since is not None)
    watch.wait(5)
    second.send(event())
    assert watch.wait(5)


def test_a_stream_that_does_not_begin_is_not_waited_for_long(serve: Serve, connect: Open) -> None:
    released = threading.Event()
    engine = connect(serve(lambda _: lambda _: released.wait(30)))
    begun = time.monotonic()
    watch = engine.watch(SERVICE_ID)
    assert time.monotonic() - begun < 3
    assert watch.unbroken_since is None
    watch.close()
    assert eventually(lambda: [] == readers())
    released.set()


def test_nobody_s_slowness_holds_up_the_stream(engine: DockerEngine, stream: Stream) -> None:
    """An engine waits 100 ms for a stalled reader, with every event; all others wait with it."""
    watch = engine.watch(SERVICE_ID)
    for number in range(5000):
        stream.send(event(name="x" * 200, number=str(number)))
    # 1.5 MB do not fit into the buffers of a socket: they were read, though nobody looked.
    assert watch.wait(5)
