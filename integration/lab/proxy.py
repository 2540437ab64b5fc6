"""A way to an engine that can be disturbed: it can be cut, and some requests do not get through."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

_CHUNK = 65536


class Proxy:
    """
    Passes connections on to an engine; see `proxied`.

    Attributes:
        url: Where it listens.
    """

    def __init__(self, target: str, refused: bytes | None) -> None:
        parts = urlsplit(target)
        self._target = (parts.hostname, parts.port)
        self._refused = refused
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self.url = f"tcp://127.0.0.1:{self._listener.getsockname()[1]}"
        self._start(self._accept)

    def cut(self) -> None:
        """Break every connection, and take no new one."""
        # Closing alone would leave a thread in accept().
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            broken = tuple(self._open)
        for each in broken:
            _hang_up(each)

    def close(self) -> None:
        """The same, and wait until nothing of it is left."""
        self.cut()
        for thread in self._threads:
            thread.join()
        for each in self._open:
            each.close()

    def _start(self, work: object, *arguments: socket.socket) -> None:
        thread = threading.Thread(target=work, args=arguments, name="proxy")  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
                engine = socket.create_connection(self._target)
            except OSError:
                return
            with self._lock:
                self._open |= {client, engine}
            self._start(self._pass_requests, client, engine)
            self._start(self._pass, engine, client)

    def _pass_requests(self, client: socket.socket, engine: socket.socket) -> None:
        self._pass(client, engine, self._refused)

    def _pass(
        self, source: socket.socket, sink: socket.socket, refused: bytes | None = None
    ) -> None:
        with suppress(OSError):
            while data := source.recv(_CHUNK):
                if refused is not None and refused in data.partition(b"\r\n")[0]:
                    break
                sink.sendall(data)
        _hang_up(source)
        _hang_up(sink)


def _hang_up(each: socket.socket) -> None:
    with suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)


@contextmanager
def proxied(target: str, *, refused: str | None = None) -> Iterator[Proxy]:
    """
    A proxy before an engine.

    Args:
        target: The engine's address, tcp://host:port.
        refused: Requests with this in their path are hung up on.
    """
    proxy = Proxy(target, refused.encode() if refused else None)
    try:
        yield proxy
    finally:
        proxy.close()
