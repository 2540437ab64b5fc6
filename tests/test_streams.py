"""Sockets with a deadline for the whole."""

from __future__ import annotations

import socket
import threading
import time

import pytest

from swarmroll.streams import WholeTime, open_tcp


def test_a_deadline_covers_all_that_is_read() -> None:
    """Each byte comes in time, and all of them too late."""
    near, far = socket.socketpair()
    stream = WholeTime(near.family, near.type, near.proto, fileno=near.detach())
    with stream, far:
        stream.settimeout(0.3)
        begun = time.monotonic()
        stop = threading.Event()

        def drip() -> None:
            while not stop.wait(0.02):
                far.sendall(b"x")

        thread = threading.Thread(target=drip)
        thread.start()
        try:
            with pytest.raises(TimeoutError):
                _read_all(stream)
        finally:
            stop.set()
            thread.join()
        assert 0.2 < time.monotonic() - begun < 1.3


def _read_all(stream: socket.socket) -> None:
    while stream.recv(1):
        continue


def test_without_a_deadline_none_is_left() -> None:
    near, far = socket.socketpair()
    with WholeTime(near.family, near.type, near.proto, fileno=near.detach()) as stream, far:
        assert stream.seconds_left() is None
        far.sendall(b"x")
        assert b"x" == stream.recv(1)


def test_the_deadline_goes_on_from_connecting() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with open_tcp("localhost", port, 60) as stream:
            assert 50 < (stream.seconds_left() or 0) < 60
        with open_tcp("127.0.0.1", port, None) as stream:
            assert stream.seconds_left() is None


def test_the_last_failure_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    with pytest.raises(ConnectionRefusedError):
        open_tcp("localhost", port, 5)
