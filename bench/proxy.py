"""A proxy that counts: what a client asks of an engine, when, and how many bytes it costs."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs

Dial = Callable[[], socket.socket]

_PIECE = 256 * 1024
_END_OF_HEAD = b"\r\n\r\n"
_LAST_CHUNK = b"0\r\n\r\n"


@attrs.frozen(kw_only=True)
class Request:
    """One request that a client sent; `at` is seconds since the epoch."""

    at: float
    method: str
    path: str


class Proxy:
    """
    Stands on a unix socket before an engine.

    Attributes:
        requests: In the order in which they came.
        received: Bytes that the client received.
        sent: Bytes that it sent.
    """

    def __init__(self, path: Path, dial: Dial) -> None:
        self.path = path
        self.requests: list[Request] = []
        self.received = 0
        self.sent = 0
        self._dial = dial
        self._lock = threading.Lock()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(64)

    @property
    def url(self) -> str:
        """What a client takes for the engine."""
        return f"unix://{self.path}"

    @property
    def writes(self) -> list[Request]:
        """The updates of a service among the requests."""
        return [
            r
            for r in self.requests
            if r.method == "POST" and "/services/" in r.path and "/update" in r.path
        ]

    def __enter__(self) -> Proxy:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        # Closing alone would leave the thread in accept().
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.path.unlink()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                engine = self._dial()
            except OSError:
                client.close()
                continue
            for pump in (self._upwards, self._downwards):
                threading.Thread(target=pump, args=(client, engine), daemon=True).start()

    def _upwards(self, client: socket.socket, engine: socket.socket) -> None:
        heads = _Heads()
        for piece in _pieces(client, engine):
            found = [Request(at=time.time(), method=m, path=p) for m, p in heads.feed(piece)]
            with self._lock:
                self.sent += len(piece)
                self.requests += found

    def _downwards(self, client: socket.socket, engine: socket.socket) -> None:
        for piece in _pieces(engine, client):
            with self._lock:
                self.received += len(piece)


def _pieces(source: socket.socket, sink: socket.socket) -> Iterator[bytes]:
    """Carry bytes until either side ends; each piece is told once it is on its way."""
    with contextlib.suppress(OSError):
        while piece := source.recv(_PIECE):
            sink.sendall(piece)
            yield piece
    for end in (source, sink):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


class _Heads:
    """Finds the requests in what a client sends over one connection."""

    def __init__(self) -> None:
        self._rest = b""
        self._body = 0
        self._chunked = False

    def feed(self, piece: bytes) -> Iterator[tuple[str, str]]:
        self._rest += piece
        while self._rest:
            if self._chunked:
                _, end, rest = self._rest.partition(_LAST_CHUNK)
                if not end:
                    return
                self._rest, self._chunked = rest, False
            elif self._body:
                taken = min(self._body, len(self._rest))
                self._rest, self._body = self._rest[taken:], self._body - taken
            else:
                head, end, rest = self._rest.partition(_END_OF_HEAD)
                if not end:
                    return
                self._rest = rest
                yield self._read(head.decode("latin-1"))

    def _read(self, head: str) -> tuple[str, str]:
        first, *lines = head.split("\r\n")
        fields = {
            name.strip().lower(): text.strip().lower()
            for name, _, text in (line.partition(":") for line in lines)
        }
        self._body = int(fields.get("content-length", "0"))
        self._chunked = fields.get("transfer-encoding") == "chunked"
        method, path, _ = first.split(" ", 2)
        return method, path
