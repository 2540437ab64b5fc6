"""
The second door: the Engine API over HTTP, on a unix socket and on the loopback interface.

The HTTP is the standard library's (``http.server``), one thread a connection. A request holds the
swarm's lock for as long as it takes to look or to write, and never while it sends: a slow reader,
a stream or a long list keeps nobody else from his turn.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import queue
import select
import shutil
import socket
import socketserver
import struct
import tempfile
import threading
from collections import OrderedDict
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from swarmroll.errors import EngineError
from swarmroll.sim import versions
from swarmroll.sim.api import NEEDS_LEADER, Answer, Api, Following, Request, find
from swarmroll.sim.engine import NO_LEADER
from swarmroll.sim.faults import READS, WRITES
from swarmroll.sim.logs import Reading
from swarmroll.sim.objects import OUT_OF_SEQUENCE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from swarmroll.sim.events import Event
    from swarmroll.sim.swarm import SimSwarm

_UNIX = getattr(socket, "AF_UNIX", None)
_LONGEST_JOIN = 5.0
_GLANCE = 0.2
"""Seconds after which a silent stream looks whether its reader is still there."""
_BUFFERED = 1024
_LARGEST_BODY = 64 << 20
_LARGEST_WRITE = 2_000_000
_REMEMBERED, _LARGEST_REMEMBERED = 256, 4 << 20
_LONGEST_SOCKET = 100
_FAULTS = {
    "500": (500, "rpc error: code = DeadlineExceeded desc = context deadline exceeded"),
    "503": (503, "service unavailable"),
    "404": (404, "rpc error: code = NotFound desc = not found"),
    "409": (409, "rpc error: code = FailedPrecondition desc = something is in the way"),
    "out-of-sequence": (500, OUT_OF_SEQUENCE),
}


class _Stop(Exception):
    """The connection is to end here, without (more of) an answer."""

    def __init__(self, *, reset: bool) -> None:
        super().__init__()
        self.reset = reset


class Server:
    """
    Serves one simulated swarm.

    Attributes:
        url: Of the unix socket, or ``tcp_url`` where the system has no such sockets.
        tcp_url: On the loopback interface.
        closed: Whether it has ended.
    """

    def __init__(self, sim: SimSwarm, *, socket: str | Path | None, port: int) -> None:
        self.sim = sim
        self.api = Api(sim)
        self.closed = False
        self._followers: set[_Follower] = set()
        self._answers: OrderedDict[tuple[str, str], Answer] = OrderedDict()
        self._directory: Path | None = None
        self._path = self._place() if socket is None else Path(socket).absolute()
        self._listeners: list[_Listener] = []
        try:
            if _UNIX is not None:
                self._listeners.append(_UnixListener(self._path))
                self._path.chmod(0o600)
            tcp = _TcpListener(("127.0.0.1", port), _Handler)
            self._listeners.append(tcp)
        except OSError:
            self.close()
            raise
        self.tcp_url = f"tcp://127.0.0.1:{tcp.server_address[1]}"
        self.url = self.tcp_url if _UNIX is None else f"unix://{self._path}"
        sim.store.events.listeners.append(self._tell)
        for listener in self._listeners:
            listener.begin(self)

    def close(self) -> None:
        """Hang up, and wait until every thread has ended."""
        with self.sim.lock:
            if self.closed:
                return
            self.closed = True
            if self._tell in self.sim.store.events.listeners:
                self.sim.store.events.listeners.remove(self._tell)
            for follower in self._followers:
                follower.wake()
            self.sim.lock.notify_all()
        for listener in self._listeners:
            listener.end()
        self._path.unlink(missing_ok=True)
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)

    def _place(self) -> Path:
        """A path for the socket in a directory that only we may enter."""
        directory = Path(tempfile.mkdtemp(prefix="swarmroll-sim-"))
        if len(str(directory)) > _LONGEST_SOCKET - len("/docker.sock"):
            # The kernel takes no longer path than 107 bytes.
            directory.rmdir()
            directory = Path(tempfile.mkdtemp(prefix="swarmroll-sim-", dir="/tmp"))
        self._directory = directory
        return directory / "docker.sock"

    # Events

    @property
    def followed(self) -> bool:
        """Whether anybody reads the event stream."""
        return bool(self._followers)

    def _tell(self, event: Event) -> None:
        for follower in self._followers:
            follower.put(event)

    def break_streams(self) -> None:
        """Reset every event stream; the caller has the swarm's lock."""
        for follower in self._followers:
            follower.broken = True
            follower.wake()

    def follow(self, following: Following) -> _Follower:
        """Somebody reads events from now on; the caller has the swarm's lock."""
        if self.sim.stream_broken:
            raise _Stop(reset=True)
        follower = _Follower(following)
        self._followers.add(follower)
        return follower

    def leave(self, follower: _Follower) -> None:
        """He reads no more."""
        with self.sim.lock:
            self._followers.discard(follower)
            self.sim.lock.notify_all()

    # Requests

    def carry_out(
        self, operation: str, request: Request, key: str
    ) -> tuple[Answer | Reading | _Follower, str | None]:
        """
        Carry out a request as the engine would, or as it was told to fail.

        Args:
            operation: The Engine API's name of it.
            request: The request.
            key: Method, path and query, as they came.

        Returns:
            What is to be sent, and how that is to go wrong.

        Raises:
            EngineError: The engine refuses.
            _Stop: No answer at all.
        """
        sim = self.sim
        with sim.lock:
            self._check_open()
            fault = sim.faults.take(operation)
            if fault is not None:
                sim.store.note("fault", operation, fault)
                sim.lock.notify_all()
            if sim.slowness:
                self._pump.wait_virtual(lambda: self.closed, sim.slowness)
            self._check_open()
            if NEEDS_LEADER.match(operation):
                self._await_leader()
            if fault == "stale-read" and (operation, key) in self._answers:
                return self._answers[operation, key], None
            if fault in _FAULTS:
                status, words = _FAULTS[fault]
                raise EngineError(words, status=status)
            if fault == "reset-before-commit" or (fault == "timeout" and operation in WRITES):
                raise _Stop(reset=fault != "timeout")
            if fault == "timeout":
                raise _Stop(reset=False)
            with sim.moment():
                done = self.api.do(operation, request)
                # Nothing may be missed between what has been and what is to come.
                result = self.follow(done) if isinstance(done, Following) else done
            if operation in READS and isinstance(result, Answer):
                self._remember(operation, key, result)
        if fault in ("reset-after-commit", "timeout-after-commit"):
            raise _Stop(reset=fault.startswith("reset"))
        return result, fault

    def _await_leader(self) -> None:
        """Requests hang while nobody leads, and then fail with HTTP 500."""
        cluster = self.sim.cluster
        if cluster.leader is not None:
            return
        self._pump.wait_virtual(
            lambda: self.closed or cluster.leader is not None, self.sim.timing.leader_timeout
        )
        self._check_open()
        if cluster.leader is None:
            raise EngineError(NO_LEADER, status=500)

    def _check_open(self) -> None:
        if self.closed:
            raise _Stop(reset=True)

    @property
    def _pump(self) -> Any:
        pump = self.sim.pump
        if pump is None:
            raise _Stop(reset=True)
        return pump

    def _remember(self, operation: str, key: str, answer: Answer) -> None:
        if len(answer.body) > _LARGEST_REMEMBERED:
            return
        self._answers[operation, key] = answer
        self._answers.move_to_end((operation, key))
        while len(self._answers) > _REMEMBERED:
            self._answers.popitem(last=False)


class _Follower:
    """
    Somebody who reads the event stream.

    Attributes:
        broken: Whether the stream is to be reset.
    """

    def __init__(self, following: Following) -> None:
        self.following = following
        self.broken = False
        self._waiting: queue.Queue[Event | None] = queue.Queue(_BUFFERED)
        for event in following.past:
            self.put(event)

    def put(self, event: Event | None) -> None:
        """A slow reader silently loses events, as the engine's do."""
        if event is None or self.following.wanted(event):
            try:
                self._waiting.put_nowait(event)
            except queue.Full:
                return

    def wake(self) -> None:
        """Something else than an event has happened."""
        self.put(None)

    def get(self, seconds: float) -> Event | None:
        """The next event, or None after a while."""
        try:
            return self._waiting.get(timeout=max(0.0, seconds))
        except queue.Empty:
            return None


class _Listener(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """One listening socket, and the connections that came by it."""

    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 128
    door: Server

    def begin(self, door: Server) -> None:
        """Accept connections."""
        self.door = door
        self._connections: dict[int, tuple[socket.socket, threading.Thread]] = {}
        self._guard = threading.Lock()
        self._ended = False
        self._accepting = threading.Thread(
            target=self._accept, name="swarmroll-sim-door", daemon=True
        )
        self._accepting.start()

    def _accept(self) -> None:
        while not self._ended:
            self.handle_request()

    def verify_request(self, request: Any, client_address: Any) -> bool:  # noqa: ARG002 - as called
        """Nobody is let in any more, once it has ended."""
        return not self._ended

    def _wake(self) -> None:
        """Let the accepting thread see that it is over: a last visitor, who leaves at once."""
        with socket.socket(self.address_family, self.socket_type) as visitor:
            visitor.settimeout(_GLANCE)
            with contextlib.suppress(OSError):
                visitor.connect(self.server_address)

    def end(self) -> None:
        """Hang up."""
        if hasattr(self, "_accepting"):
            self._ended = True
            self._wake()
            self._accepting.join(_LONGEST_JOIN)
            with self._guard:
                open_ones = list(self._connections.values())
            for connection, _ in open_ones:
                _hang_up(connection)
            for _, thread in open_ones:
                if thread is not threading.current_thread():
                    thread.join()
        self.server_close()

    def process_request(self, request: Any, client_address: Any) -> None:
        thread = threading.Thread(
            target=self._handle,
            args=(request, client_address),
            name="swarmroll-sim-connection",
            daemon=True,
        )
        with self._guard:
            self._connections[id(request)] = request, thread
        thread.start()

    def _handle(self, request: Any, client_address: Any) -> None:
        try:
            self.process_request_thread(request, client_address)
        finally:
            with self._guard:
                self._connections.pop(id(request), None)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has gone is no error of ours."""


class _TcpListener(_Listener):
    """On the loopback interface."""


class _UnixListener(_Listener):
    """On a unix socket."""

    address_family = _UNIX or socket.AF_INET
    allow_reuse_address = False

    def __init__(self, path: Path) -> None:
        # The stubs know TCP's addresses only.
        super().__init__(str(path), _Handler)  # type: ignore[arg-type]


def _hang_up(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return


class _Handler(http.server.BaseHTTPRequestHandler):
    """Reads requests from one connection, one after the other, and answers them."""

    server: _Listener
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16
    error_content_type = "application/json"
    error_message_format = '{"message": "%(message)s"}'

    def setup(self) -> None:
        if self.request.family == socket.AF_INET:
            self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().setup()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name
        """Nobody reads it."""

    def version_string(self) -> str:
        return f"Docker/{self.server.door.sim.release.engine} (linux)"

    def address_string(self) -> str:
        return "client"

    def _serve(self) -> None:
        try:
            self._serve_or_stop()
        except _Stop as stop:
            self._stop(reset=stop.reset)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815 - http.server's names

    def _serve_or_stop(self) -> None:
        door = self.server.door
        try:
            operation, request = self._request()
            result, fault = door.carry_out(operation, request, f"{self.command} {self.path}")
        except (EngineError, RuntimeError) as exc:
            self._refuse(exc)
            return
        if isinstance(result, Answer):
            self._answer(result, fault)
        elif isinstance(result, Reading):
            self._send_logs(result, fault)
        else:
            self._send_events(result)

    # Reading

    def _request(self) -> tuple[str, Request]:
        body = self._body()
        if len(body) > _LARGEST_WRITE:
            text = "raft: raft message is too large and can't be sent"
            raise EngineError(f"rpc error: code = Unknown desc = {text}", status=500)
        url = urlsplit(self.path)
        version, path = versions.split(url.path, self.server.door.sim.release.api)
        request, operation = find(
            Request(
                method=self.command,
                path=path,
                version=version,
                query=dict(parse_qsl(url.query, keep_blank_values=True)),
                headers={name.lower(): value for name, value in self.headers.items()},
                body=body,
            )
        )
        return operation, request

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            return self._chunks()
        length = self.headers.get("Content-Length", "0")
        if not length.isdecimal() or int(length) > _LARGEST_BODY:
            self.close_connection = True
            raise EngineError("bad Content-Length", status=400)
        return self.rfile.read(int(length))

    def _chunks(self) -> bytes:
        body = bytearray()
        while True:
            head = self.rfile.readline(64).partition(b";")[0].strip()
            try:
                size = int(head, 16)
            except ValueError:
                size = _LARGEST_BODY + 1
            if size < 0 or len(body) + size > _LARGEST_BODY:
                self.close_connection = True
                raise EngineError("malformed chunked encoding", status=400)
            body += self.rfile.read(size)
            if size == 0:
                while self.rfile.readline(4096).strip():
                    pass
                return bytes(body)
            self.rfile.readline(4)

    # Answering

    def _head(self, status: int, headers: Mapping[str, str]) -> None:
        release = self.server.door.sim.release
        self.send_response(status, HTTPStatus(status).phrase)
        self.send_header("Api-Version", release.api)
        self.send_header("Docker-Experimental", "false")
        self.send_header("Ostype", "linux")
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def _refuse(self, exc: Exception) -> None:
        status = exc.status if isinstance(exc, EngineError) else None
        body = json.dumps({"message": str(exc)}).encode() + b"\n"
        self._answer(Answer(body, status or 500), None)

    def _answer(self, answer: Answer, fault: str | None) -> None:
        body = answer.body
        if fault == "malformed":
            body = body[: len(body) // 2].rstrip(b"\n") + b"\x00}"
        elif fault == "wrong-type":
            body = b'{"answer": 42}\n' if body.startswith(b"[") else b"[42]\n"
        elif fault == "duplicated":
            body += body
        headers = dict(answer.headers)
        if answer.status != HTTPStatus.NO_CONTENT:
            headers["Content-Type"] = answer.kind
            headers["Content-Length"] = str(len(body) + (fault == "truncated" and not body))
        self._head(answer.status, headers)
        if self.command == "HEAD":
            return
        if fault == "truncated":
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            raise _Stop(reset=True)
        if fault == "drip":
            self._drip(body)
        self.wfile.write(body)

    def _drip(self, body: bytes) -> None:
        """
        Send it byte by byte, and never the last one.

        Raises:
            _Stop: The client has hung up.
        """
        for number in range(len(body) - 1):
            self.wfile.write(body[number : number + 1])
            self.wfile.flush()
            if self.server.door.closed or self._hung_up(_GLANCE):
                break
        raise _Stop(reset=False)

    def _stop(self, *, reset: bool) -> None:
        """End the connection: by a reset, or when the client has had enough of waiting."""
        self.close_connection = True
        door = self.server.door
        while not reset and not door.closed and not self._hung_up(_GLANCE):
            pass
        try:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            # Not close(): it would say goodbye first, and the files made of it keep it open.
            os.close(self.connection.detach())
        except OSError:
            return

    def _hung_up(self, seconds: float) -> bool:
        try:
            readable, _, _ = select.select([self.connection], [], [], seconds)
            return bool(readable) and not self.connection.recv(1, socket.MSG_PEEK)
        except (OSError, ValueError):
            return True

    def _begin_chunks(self, kind: str) -> None:
        self._head(200, {"Content-Type": kind, "Transfer-Encoding": "chunked"})
        self.wfile.flush()

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
        self.wfile.flush()

    def _send_events(self, follower: _Follower) -> None:
        door = self.server.door
        try:
            self._begin_chunks("application/json")
            while not (door.closed or follower.broken):
                left = self._seconds_left(follower.following.until)
                event = follower.get(min(_GLANCE, left))
                if event is not None:
                    self._chunk(json.dumps(event.document()).encode() + b"\n")
                elif left <= 0:
                    self._chunk(b"")
                    return
                elif self._hung_up(0):
                    break
            raise _Stop(reset=True)
        finally:
            door.leave(follower)

    def _seconds_left(self, until: float | None) -> float:
        if until is None:
            return _GLANCE
        sim = self.server.door.sim
        with sim.moment():
            return (until - sim.clock.wall) / sim.speed

    def _send_logs(self, reading: Reading, fault: str | None) -> None:
        door = self.server.door
        self._begin_chunks(reading.kind)
        if fault is not None:
            raise _Stop(reset=True)
        while not door.closed:
            with door.sim.moment():
                frames = reading.more()
            if frames:
                self._chunk(b"".join(frames))
            if not reading.follow:
                self._chunk(b"")
                return
            if self._hung_up(0):
                break
            with door.sim.lock:
                door.sim.lock.wait(_GLANCE)
        raise _Stop(reset=True)
