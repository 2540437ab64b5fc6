"""Sockets whose time-out is a deadline: for connecting, the handshake and every byte together."""

from __future__ import annotations

import socket
import ssl
import time
from typing import Any


class WholeTime(socket.socket):
    """
    A socket whose time-out covers everything until it is set anew.

    A socket's own time-out is for each read: a peer that sends one byte at a time is then never
    too late.
    """

    _ends: float | None = None

    def settimeout(self, value: float | None, /) -> None:
        """Set the deadline, so many seconds from now; None takes it away."""
        self._ends = None if value is None else time.monotonic() + value
        super().settimeout(value)

    def seconds_left(self) -> float | None:
        """
        Until the deadline; None without one.

        Raises:
            TimeoutError: It is over.
        """
        if self._ends is None:
            return None
        left = self._ends - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        return left

    def _take_what_is_left(self) -> None:
        if self._ends is not None:
            super().settimeout(self.seconds_left())

    def recv(self, *args: Any, **kwargs: Any) -> bytes:
        """As any socket, until the deadline; so do the others."""
        self._take_what_is_left()
        return super().recv(*args, **kwargs)

    def recv_into(self, *args: Any, **kwargs: Any) -> int:  # noqa: D102
        self._take_what_is_left()
        return super().recv_into(*args, **kwargs)

    def send(self, *args: Any, **kwargs: Any) -> int:  # noqa: D102
        self._take_what_is_left()
        return super().send(*args, **kwargs)

    def sendall(self, *args: Any, **kwargs: Any) -> None:  # noqa: D102
        self._take_what_is_left()
        super().sendall(*args, **kwargs)


class WholeTimeTls(WholeTime, ssl.SSLSocket):
    """The same with TLS; made by an SSLContext."""


def open_tcp(host: str, port: int, seconds: float | None) -> WholeTime:
    """
    Connect; of several addresses of a host, the first that answers.

    Args:
        host: Name or address.
        port: Number.
        seconds: Until the deadline, which goes on with the socket. The system's name resolution
            knows no deadline, and may take longer.

    Raises:
        OSError: No address answers in time.
    """
    ends = None if seconds is None else time.monotonic() + seconds
    failure: OSError = OSError(f"{host} has no address")
    for family, kind, protocol, _, address in socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM
    ):
        stream = WholeTime(family, kind, protocol)
        try:
            stream.settimeout(None if ends is None else max(0.001, ends - time.monotonic()))
            stream.connect(address)
        except OSError as exc:
            stream.close()
            failure = exc
        else:
            return stream
    raise failure


def over_tls(plain: WholeTime, context: ssl.SSLContext, host: str) -> WholeTimeTls:
    """
    TLS on a connection, which is closed if that fails.

    Args:
        plain: The connection; its deadline goes on.
        context: What is trusted, and what we show.
        host: The name or address that its certificate has to carry.

    Raises:
        OSError: It cannot be trusted, is no TLS, or takes too long.
    """
    context.sslsocket_class = WholeTimeTls
    try:
        plain.settimeout(plain.seconds_left())
        stream = context.wrap_socket(plain, server_hostname=host)
    except BaseException:
        plain.close()
        raise
    assert isinstance(stream, WholeTimeTls)
    return stream
