"""Nothing of docker-py, requests or urllib3 leaks out, and no secret with it."""

from __future__ import annotations

import http.client
import inspect
import io
import json
import logging
import socket
import ssl
import subprocess
import traceback
from types import ModuleType

import docker.credentials.errors
import docker.errors
import msgspec
import pytest
import requests.exceptions
import urllib3.exceptions

from swarmroll.engine.dial import NotReached
from swarmroll.engine.trouble import Trouble, Worth, refused, translated
from swarmroll.errors import EngineError, EngineUnavailable

from .conftest import Open, Serve, swarm
from .server import Answer, Request, error

FOREIGN: tuple[ModuleType, ...] = (
    docker.errors,
    docker.credentials.errors,
    requests.exceptions,
    urllib3.exceptions,
    http.client,
    socket,
    ssl,
    msgspec,
    json,
    subprocess,
)
BUILT_IN = (OSError, ValueError, RuntimeError, LookupError, TypeError, AttributeError, MemoryError)


def hang_up(connection: object) -> None:
    """Without a word."""


def exceptions() -> list[type[Exception]]:
    found = set(BUILT_IN)
    for module in FOREIGN:
        for _, kind in inspect.getmembers(module, inspect.isclass):
            if issubclass(kind, Exception):
                found.add(kind)
    found |= {sub for kind in (OSError, UnicodeError) for sub in kind.__subclasses__()}
    found.add(RecursionError)
    return sorted(found, key=lambda kind: (kind.__module__, kind.__qualname__))


@pytest.mark.parametrize(
    "kind", exceptions(), ids=lambda kind: f"{kind.__module__}.{kind.__name__}"
)
def test_every_foreign_exception_is_translated(kind: type[Exception]) -> None:
    """However little of it there is: several of docker-py's cannot even be printed alone."""
    exc = kind.__new__(kind)
    trouble = translated(exc, "unix:///engine")
    assert isinstance(trouble.error, EngineError)
    assert "unix:///engine" in str(trouble.error)


@pytest.mark.parametrize(
    ("exc", "says", "worth"),
    [
        (FileNotFoundError(2, "No such file"), "is the engine running", Worth.MET),
        (PermissionError(13, "Permission denied"), "group", Worth.NEVER),
        (ConnectionRefusedError(), "connection refused", Worth.MET),
        (socket.gaierror(-2, "Name or service not known"), "cannot be looked up", Worth.MET),
        (ConnectionResetError(), "connection was lost", Worth.ALWAYS),
        (TimeoutError(), "no answer in time", Worth.ALWAYS),
        (http.client.IncompleteRead(b""), "cut off", Worth.ALWAYS),
        (http.client.LineTooLong("header"), "not an answer of a Docker engine", Worth.FEW),
        (RecursionError(), "nested too deep", Worth.FEW),
        (OSError(24, "Too many open files"), "Too many open files", Worth.ALWAYS),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER]"), "tls=False", Worth.NEVER),
        (ssl.SSLError(1, "tlsv13 alert certificate required"), "cert=", Worth.NEVER),
    ],
)
def test_what_happened_is_found_inside_of_its_wrappers(
    exc: BaseException, says: str, worth: Worth
) -> None:
    """And says what to try."""
    wrapped = requests.exceptions.ConnectionError(
        urllib3.exceptions.ProtocolError("Connection aborted.", exc)
    )
    for one in (exc, wrapped):
        trouble = translated(one, "tcp://engine:2376")
        assert says in str(trouble.error)
        assert (worth, True) == (trouble.worth, trouble.sent)


def test_what_was_never_sent_is_known_not_to_be_written() -> None:
    exc = NotReached("could not connect")
    exc.__cause__ = TimeoutError()
    trouble = translated(exc, "tcp://engine:2376")
    assert (False, Worth.MET) == (trouble.sent, trouble.worth)


def test_the_foreign_exception_is_kept_as_the_cause(serve: Serve, connect: Open) -> None:
    server = serve(lambda _: hang_up)
    with pytest.raises(EngineUnavailable) as raised:
        connect(server, timeout=(0.2, 0.2)).nodes()
    assert isinstance(raised.value.__cause__, requests.exceptions.RequestException)


@pytest.mark.parametrize(
    "status", [400, 401, 403, 404, 409, 410, 429, 500, 501, 502, 503, 504, 600]
)
def test_every_status_that_is_no_success_is_an_error(status: int) -> None:
    for write in (True, False):
        trouble = refused(status, "why", "unix:///engine", write=write)
        assert (status, True) == (trouble.error.status, isinstance(trouble, Trouble))
        assert "why" in str(trouble.error)


SECRETS = ("hunter2", "s3cr3t-env-value", "dXNlcjpodW50ZXIy")


def test_an_engine_s_words_are_masked_and_harmless(serve: Serve, connect: Open) -> None:
    """Engines quote image references, and with them the credentials that somebody put there."""
    said = "invalid reference: user:hunter2@registry.example/app \x1b[31mred\u202e" + "x" * 5000
    with pytest.raises(EngineError) as raised:
        connect(serve(lambda _: error(400, said))).nodes()
    text = str(raised.value)
    assert "hunter2" not in text
    assert text.isprintable()
    assert len(text) < 2500


def test_no_secret_leaves_by_an_exception_or_a_log(
    serve: Serve, connect: Open, caplog: pytest.LogCaptureFixture
) -> None:
    """Not even in the local variables of its traceback."""

    def answer(request: Request) -> Answer:
        return swarm(request) if request.method == "GET" else hang_up

    caplog.set_level(logging.DEBUG)
    engine = connect(serve(answer))
    found = engine.service("web")
    new = found.spec.with_env(TOKEN="s3cr3t-env-value")
    with pytest.raises(EngineUnavailable) as raised:
        engine.update(found.id, found.version, new)
    told = io.StringIO()
    told.write(caplog.text)
    links: list[BaseException | None] = [raised.value]
    while links:
        link = links.pop()
        if link is None:
            continue
        links += [link.__cause__, link.__context__ if link.__cause__ is None else None]
        summary = traceback.TracebackException.from_exception(link, capture_locals=True)
        # The frames of this test itself know the secret, of course.
        summary.stack[:] = [frame for frame in summary.stack if frame.filename != __file__]
        told.writelines(summary.format())
    for secret in SECRETS:
        assert secret not in told.getvalue()
