"""Engines that are made of sockets, and answer whatever a test wants."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import attrs

Answer = bytes | Callable[[socket.socket], object]
"""What to send; or a function that does as it likes with the connection, which then ends."""


@attrs.frozen(kw_only=True)
class Request:
    """What a client has sent."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def path(self) -> str:
        """Without version and query."""
        path = self.target.partition("?")[0]
        return "/" + path.split("/", 2)[2] if path.startswith("/v1.") else path


def ok(document: object, *, version: str = "1.51", status: int = 200, **headers: str) -> bytes:
    """An answer as an engine sends it."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    lines = [f"HTTP/1.1 {status} Whatever", f"Api-Version: {version}" if version else "X-None: 1"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    lines += [f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


def error(status: int, message: str) -> bytes:
    """An answer as an engine refuses."""
    return ok({"message": message}, status=status)


class Server:
    """
    An engine on a socket of its own.

    Attributes:
        url: Where it is.
        seen: The requests so far.
        answer: What it says to a request; may be changed at any time.
    """

    def __init__(
        self,
        answer: Callable[[Request], Answer],
        *,
        path: Path | None = None,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self.answer = answer
        self.seen: list[Request] = []
        self._context = context
        self._path = path
        self._closing = False
        self._changed = threading.Condition()
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        if path is None:
            self._listener = socket.create_server(("127.0.0.1", 0))
            self.port = self._listener.getsockname()[1]
            self.url = f"tcp://127.0.0.1:{self.port}"
        else:
            self._listener = socket.socket(socket.AF_UNIX)
            self._listener.bind(str(path))
            self._listener.listen()
            self.url = f"unix://{path}"
        self._start(self._accept)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._closing = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.hang_up()
        for thread in self._threads:
            thread.join(5)
        if self._path:
            self._path.unlink(missing_ok=True)

    def hang_up(self) -> None:
        """End every connection that is open."""
        with self._changed:
            for connection in tuple(self._open):
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def wait_until(self, condition: Callable[[Self], bool], seconds: float = 10.0) -> None:
        """Return when the condition holds, looked at whenever something happens."""
        with self._changed:
            assert self._changed.wait_for(lambda: condition(self), seconds)

    def asked(self, path: str) -> int:
        """How many requests there were for a path."""
        return sum(request.path == path for request in self.seen)

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._open)

    def _start(self, target: Callable[..., None], *args: Any) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._closing:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._start(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        if self._context:
            try:
                connection = self._context.wrap_socket(connection, server_side=True)
            except OSError:
                connection.close()
                return
        with self._changed:
            self._open.add(connection)
        try:
            with contextlib.suppress(OSError):
                self._converse(connection)
        finally:
            with self._changed:
                self._open.discard(connection)
                connection.close()
                self._changed.notify_all()

    def _converse(self, connection: socket.socket) -> None:
        with connection.makefile("rb") as stream:
            while (line := stream.readline()) and (request := _read_request(line, stream)):
                with self._changed:
                    self.seen.append(request)
                    self._changed.notify_all()
                answer = self.answer(request)
                if not isinstance(answer, bytes):
                    answer(connection)
                    return
                connection.sendall(answer)
            if line:
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def _read_request(line: bytes, stream: Any) -> Request | None:
    if not line.isascii():
        return None
    method, target, _ = line.decode().split()
    headers = dict(_read_headers(stream))
    return Request(
        method=method,
        target=target,
        headers=headers,
        body=stream.read(int(headers.get("content-length", 0))),
    )


def _read_headers(stream: Any) -> Iterator[tuple[str, str]]:
    while (line := stream.readline().decode().strip()) != "":
        name, _, value = line.partition(":")
        yield name.lower(), value.strip()
