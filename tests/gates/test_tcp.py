"""TcpGate: a port that accepts, answers, hangs up, drips, or is not there."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from threading import Thread
from typing import Any

import pytest

from swarmroll import Answer, PlanError, TcpGate, Verdict
from tests.engine.test_hostile import closed, drip, endless, silent
from tests.gates.contexts import context

Talk = Callable[[socket.socket], object]
Listen = Callable[[Talk], int]


@pytest.fixture
def listen() -> Iterator[Listen]:
    """Starts a server that treats its one connection as a test wants; returns its port."""
    with ExitStack() as stack:

        def start(talk: Talk) -> int:
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))

            def serve() -> None:
                connection, _ = listener.accept()
                with connection:
                    try:
                        talk(connection)
                    except OSError:
                        # The gate has hung up on an endless talker.
                        return

            thread = Thread(target=serve, daemon=True)
            thread.start()
            stack.callback(thread.join, 5)
            return int(listener.getsockname()[1])

        yield start


def ask(port: int, **options: Any) -> Verdict:
    return TcpGate("127.0.0.1", port, **options).check(context())


def test_a_port_that_accepts_passes(listen: Listen) -> None:
    assert Verdict.passed("connected") == ask(listen(lambda _: None))


def test_nobody_there_fails() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    assert Verdict.failed(f"127.0.0.1:{port}: connection refused") == ask(port)


def test_an_answer_in_pieces_passes(listen: Listen) -> None:
    def pong(connection: socket.socket) -> None:
        assert b"PING\r\n" == connection.recv(100)
        for piece in (b"+P", b"ON", b"G\r\n"):
            connection.sendall(piece)
            closed(connection, 0.01)

    assert Answer.PASSED == ask(listen(pong), send="PING\r\n", expect=b"+PONG").answer


def test_another_answer_fails_with_its_words(listen: Listen) -> None:
    port = listen(lambda connection: connection.sendall(b"-ERR \x1b[1mno\r\n"))
    expected = rf'127.0.0.1:{port}: wanted "+PONG", got "-ERR \x1b[1mno"; it hung up'
    assert Verdict.failed(expected) == ask(port, expect="+PONG")


def test_hanging_up_without_a_word_fails(listen: Listen) -> None:
    port = listen(lambda _: None)
    expected = f'127.0.0.1:{port}: wanted "+OK", but it hung up without a word'
    assert Verdict.failed(expected) == ask(port, expect="+OK")


def test_what_was_sent_is_not_shown(listen: Listen) -> None:
    def refuse(connection: socket.socket) -> None:
        password = connection.recv(100).split()[1]
        connection.sendall(b"-ERR what is " + password + b"?")

    reason = ask(listen(refuse), send="AUTH opensesame\r\n", expect="+OK").reason
    assert "opensesame" not in reason
    assert "got" in reason


@pytest.mark.parametrize(
    ("talk", "why"),
    [
        (silent, "but no more came in time without a word"),
        (drip(b"x"), "no more came in time"),
        (endless(b"", b"x" * 4096), "it sent more than 65536 bytes"),
    ],
    ids=["silent", "byte by byte", "for ever"],
)
def test_an_answer_that_never_ends_fails_in_time(talk: Talk, why: str, listen: Listen) -> None:
    begun = time.monotonic()
    verdict = ask(listen(talk), expect="+OK", timeout=0.3)
    assert Answer.FAILED == verdict.answer
    assert verdict.reason.endswith(why)
    assert time.monotonic() - begun < 1.3


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (("", 80), {}, "TcpGate.host must be a host name or address"),
        (("http://x", 80), {}, "TcpGate.host must be"),
        ((5, 80), {}, "TcpGate.host must be"),
        (("db", 0), {}, "TcpGate.port must be a number from 1 to 65535, got 0"),
        (("db", "5432"), {}, 'TcpGate.port must be a number from 1 to 65535, got "5432"'),
        (("db", 80), {"send": 5}, "TcpGate.send must be bytes or a string"),
        (("db", 80), {"expect": None}, "TcpGate.expect must be bytes or a string"),
    ],
)
def test_a_wrong_argument_is_named(arguments: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(PlanError) as raised:
        TcpGate(*arguments, **options)
    assert message in str(raised.value)


def test_it_is_named_by_its_place() -> None:
    assert "tcp db:5432" == TcpGate("db", 5432).name
    assert "tcp [::1]:80" == TcpGate("::1", 80).name
