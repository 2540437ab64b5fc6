"""Whatever sits at the other end of the socket: an EngineError, in time, in bounded memory."""

from __future__ import annotations

import gzip
import json
import select
import socket
import time
import tracemalloc
from collections.abc import Callable

import pytest

from swarmroll.errors import EngineError, EngineUnavailable

from .conftest import Open, Serve
from .documents import service
from .server import Answer, Request, ok

LIMIT = 1024 * 1024
SECONDS = 0.4

Script = Callable[[socket.socket], None]


def closed(connection: socket.socket, seconds: float) -> bool:
    """Wait a while, unless the other side hangs up before."""
    readable, _, _ = select.select([connection], [], [], seconds)
    return bool(readable)


def drip(text: bytes) -> Script:
    def script(connection: socket.socket) -> None:
        for byte in text * 1000:
            connection.sendall(bytes([byte]))
            if closed(connection, 0.05):
                return

    return script


def then_drip(start: bytes, text: bytes) -> Script:
    def script(connection: socket.socket) -> None:
        connection.sendall(start)
        drip(text)(connection)

    return script


def endless(start: bytes, text: bytes) -> Script:
    def script(connection: socket.socket) -> None:
        connection.sendall(start)
        while True:
            connection.sendall(text)

    return script


def once(text: bytes) -> Script:
    return lambda connection: connection.sendall(text)


def silent(connection: socket.socket) -> None:
    closed(connection, 30)


HEAD = b"HTTP/1.1 200 OK\r\nApi-Version: 1.51\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
BODY = json.dumps(service()).encode()
NESTED = b"[" * 200_000 + b"]" * 200_000

SCRIPTS: dict[str, Answer] = {
    "a list beyond the limit": ok(b"[" + b"0," * LIMIT + b"0]"),
    "chunks beyond the limit": endless(CHUNKED, b"1000\r\n" + b"x" * 4096 + b"\r\n"),
    "a length beyond the limit": HEAD + b"Content-Length: 999999999999\r\n\r\n",
    "a compressed body": ok(gzip.compress(b"0" * 100_000_000), Content_Encoding="gzip"),
    "a compressed transfer": HEAD
    + b"Transfer-Encoding: gzip, chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n",
    "a head byte by byte": drip(b"HTTP/1.1 200 OK\r\nX-A: b\r\n"),
    "a status line byte by byte": drip(b"H" * 100),
    "a body byte by byte": then_drip(HEAD + b"Content-Length: 100000\r\n\r\n", b"{"),
    "a chunk byte by byte": then_drip(CHUNKED + b"10000\r\n", b"{"),
    "a chunk size byte by byte": then_drip(CHUNKED, b"0"),
    "informational answers for ever": endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "informational answers, slowly": drip(b"HTTP/1.1 100 Continue\r\n\r\n"),
    "nothing": silent,
    "nothing after the head": then_drip(HEAD + b"Content-Length: 10\r\n\r\n", b""),
    "nested arrays": ok(NESTED),
    "nested arrays in the spec": ok(b'{"ID":"a","Version":{"Index":1},"Spec":' + NESTED + b"}"),
    "a list instead of an object": ok([]),
    "null": ok(None),
    "nulls": ok(dict.fromkeys(service())),
    "a body that only the end of the connection ends": once(
        HEAD + b"Connection: close\r\n\r\n" + BODY
    ),
    "invalid UTF-8": ok(b'{"ID": "\xff"}'),
    "a lone surrogate": ok(b'{"ID": "\\ud800", "Version": {}}'),
    "an HTML page": ok(b"<html>welcome to nginx</html>", Content_Type="text/html"),
    "an empty body": ok(b""),
    "less than the length says": once(HEAD + b"Content-Length: 9999\r\n\r\n" + BODY),
    "less than the chunk says": once(CHUNKED + b"ffff\r\n" + BODY),
    "no last chunk": once(CHUNKED + b"%x\r\n" % len(BODY) + BODY + b"\r\n"),
    "no chunk size": once(CHUNKED + b"xyz\r\n" + BODY),
    "500 headers": once(HEAD + b"".join(b"X-%d: 1\r\n" % n for n in range(500)) + b"\r\n"),
    "an endless header": endless(HEAD + b"X-A: ", b"a" * 4096),
    "an endless status line": endless(b"HTTP/1.1 200 ", b"a" * 4096),
    "no HTTP": once(b"SSH-2.0-OpenSSH_9.2\r\n"),
    "nothing but the end": once(b""),
    "a redirect": ok(b"", status=302, Location="http://127.0.0.1:1/services/web"),
    "a redirect without an end": endless(
        b"HTTP/1.1 301 Moved\r\nLocation: /\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"1000\r\n" + b"x" * 4096 + b"\r\n",
    ),
    "an error without an end": endless(
        b"HTTP/1.1 500 Oh\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"1000\r\n" + b"x" * 4096 + b"\r\n",
    ),
    "an API version that is none": ok(service(), version="latest"),
    "an API version with a tail": ok(service(), version="1.51/../.."),
    "two lengths": once(HEAD + b"Content-Length: 5\r\nContent-Length: 9\r\n\r\n" + BODY),
    "NaN": ok(b'{"ID": "a", "Version": {"Index": NaN}}'),
    "a huge number": ok(b'{"ID": "a", "Version": {"Index": ' + b"9" * 100_000 + b"}}"),
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_nonsense_ends_in_an_engine_error_in_time(name: str, serve: Serve, connect: Open) -> None:
    """A rollout waits for no engine longer than it said, and never sees a bare exception."""
    server = serve(lambda _: SCRIPTS[name])
    engine = connect(server, timeout=(SECONDS, SECONDS), max_body=LIMIT)
    begun = time.monotonic()
    with pytest.raises(EngineError, match=server.url):
        engine.service("web")
    assert time.monotonic() - begun < SECONDS + 1


@pytest.mark.parametrize(
    "name",
    [
        "a list beyond the limit",
        "chunks beyond the limit",
        "a compressed body",
        "an endless header",
    ],
)
def test_memory_stays_within_three_limits(name: str, serve: Serve, connect: Open) -> None:
    """0.9 MB on the wire cost docker-py 1.2 GB."""
    server = serve(lambda _: SCRIPTS[name])
    engine = connect(server, timeout=(SECONDS, SECONDS), max_body=LIMIT)
    tracemalloc.start()
    try:
        with pytest.raises(EngineError):
            engine.tasks("web")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3 * LIMIT


def test_a_compressed_body_is_not_even_asked_for(serve: Serve, connect: Open) -> None:
    server = serve()
    connect(server).service("web")
    assert server.seen[0].headers["accept-encoding"] == "identity"


def test_a_redirect_is_followed_nowhere(serve: Serve, connect: Open) -> None:
    other = serve()
    server = serve(lambda _: ok(b"", status=307, Location="http://localhost/services/web"))
    with pytest.raises(EngineError, match="redirect"):
        connect(server).service("web")
    assert [] == other.seen
    assert 1 == len(server.seen)


def test_a_slow_write_is_given_up_in_time(serve: Serve, connect: Open) -> None:
    def answer(request: Request) -> Answer:
        if request.method == "POST":
            return drip(b"HTTP/1.1 200 OK\r\nX-A: b\r\n")
        return ok(service())

    engine = connect(serve(answer), timeout=(SECONDS, SECONDS))
    found = engine.service("web")
    begun = time.monotonic()
    with pytest.raises(EngineUnavailable, match="may or may not have been written"):
        engine.update(found.id, found.version, found.spec)
    assert time.monotonic() - begun < SECONDS + 1
