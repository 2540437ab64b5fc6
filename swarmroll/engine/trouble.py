"""Everything that can go wrong on the way to an engine and back, in swarmroll's own exceptions."""

from __future__ import annotations

import enum
import http.client
import re
import socket
import ssl
from collections.abc import Iterator

import msgspec
import requests
import urllib3.exceptions

from swarmroll.core.redact import mask_text
from swarmroll.engine.dial import NotReached, SshFailed
from swarmroll.errors import (
    Conflict,
    EngineError,
    EngineUnavailable,
    NotAManager,
    ServiceNotFound,
    SwarmrollError,
)
from swarmroll.printable import printable


class Worth(enum.Enum):
    """Whether asking again is worth it."""

    NEVER = "the answer will be the same"
    FEW = "a few times: perhaps this answer alone was nonsense"
    MET = "if the engine has answered before: it may be restarting"
    ALWAYS = "until the time is over"


class Trouble(Exception):
    """
    Never leaves the engine's door: what to raise if nobody can help it.

    Attributes:
        error: What the caller is told in the end.
        worth: Whether asking again is worth it.
        sent: Whether the engine may have got the request.
    """

    def __init__(self, error: EngineError, worth: Worth) -> None:
        super().__init__(str(error))
        self.error = error
        self.worth = worth
        self.sent = True


class Nonsense(ValueError):
    """An answer that no engine gives; the message says what is wrong with it."""


class TooLarge(ValueError):
    """An answer beyond the limit that was set for it."""


def _words(exc: BaseException) -> str:
    """What an exception says, if it can say anything."""
    try:
        return shown(str(exc))
    except Exception:  # noqa: BLE001 - docker-py's errors need a response to be printed
        return ""


def shown(text: str) -> str:
    """An engine's or a library's own words: short, without secrets and control characters."""
    return mask_text(printable(text.strip()[:2000]))


def translated(exc: BaseException, host: str) -> Trouble:
    """
    Any foreign exception as trouble with this host.

    The traceback of a foreign exception is dropped: the frames in it hold request bodies, with
    the environment of services, and registry credentials.
    """
    if isinstance(exc, Trouble):
        return exc
    chain = tuple(_chain(exc))
    for link in chain:
        link.__traceback__ = None
    for link in chain:
        if isinstance(link, SwarmrollError) and isinstance(link, EngineError):
            return Trouble(link, Worth.NEVER)
    for kinds, told in _TOLD:
        for link in chain:
            if isinstance(link, kinds):
                return _unsent(told(link, host), chain)
    return _unsent(_strange(exc, host), chain)


def _unsent(trouble: Trouble, chain: tuple[BaseException, ...]) -> Trouble:
    trouble.sent = not any(isinstance(link, NotReached) for link in chain)
    if not trouble.sent and trouble.worth is Worth.ALWAYS:
        # Most likely a wrong address, unless it has worked before.
        trouble.worth = Worth.MET
    return trouble


def _chain(exc: BaseException) -> Iterator[BaseException]:
    """The exception and all that it wraps, each once, the innermost first."""
    seen: dict[int, BaseException] = {}
    waiting: list[object] = [exc]
    while waiting:
        link = waiting.pop()
        if not isinstance(link, BaseException) or id(link) in seen:
            continue
        seen[id(link)] = link
        # urllib3's MaxRetryError keeps what happened in `reason`, most others in `args`.
        waiting += [link.__cause__, link.__context__, getattr(link, "reason", None), *link.args]
    return reversed(seen.values())


def _unavailable(text: str, worth: Worth) -> Trouble:
    return Trouble(EngineUnavailable(text), worth)


def _certificate(exc: BaseException, host: str) -> Trouble:
    why = shown(getattr(exc, "verify_message", "")) or _words(exc)
    return _unavailable(
        f"{host}: its certificate cannot be trusted ({why}); give the authority that signed "
        "it as tls=TLS(ca=...), or check the host's name",
        Worth.NEVER,
    )


def _tls(exc: BaseException, host: str) -> Trouble:
    text = _words(exc)
    if "WRONG_VERSION_NUMBER" in text or "HTTP_REQUEST" in text or "RECORD_LAYER" in text:
        hint = "it does not seem to speak TLS on this port; if that is meant, give tls=False"
    elif "alert" in text.lower():
        hint = "it refused our side of TLS; give its client certificate as tls=TLS(cert=, key=)"
    else:
        return _unavailable(f"{host}: TLS failed ({text})", Worth.ALWAYS)
    return _unavailable(f"{host}: {hint} ({text})", Worth.NEVER)


def _no_socket(_exc: BaseException, host: str) -> Trouble:
    return _unavailable(
        f"{host}: there is nothing of that name; is the engine running, and is this its socket? "
        "`docker context ls` shows what the docker CLI would use",
        Worth.MET,
    )


def _forbidden(_exc: BaseException, host: str) -> Trouble:
    return _unavailable(
        f"{host}: this user may not open it; a member of the group that owns the socket "
        "(usually `docker`) may",
        Worth.NEVER,
    )


def _refused(_exc: BaseException, host: str) -> Trouble:
    return _unavailable(
        f"{host}: connection refused; is the engine running, and does it listen there?", Worth.MET
    )


def _no_name(_exc: BaseException, host: str) -> Trouble:
    return _unavailable(f"{host}: this host name cannot be looked up", Worth.MET)


def _late(_exc: BaseException, host: str) -> Trouble:
    return _unavailable(f"{host}: no answer in time", Worth.ALWAYS)


def _cut(_exc: BaseException, host: str) -> Trouble:
    return _unavailable(f"{host}: the answer was cut off", Worth.ALWAYS)


def _lost(exc: BaseException, host: str) -> Trouble:
    return _unavailable(f"{host}: the connection was lost ({_words(exc)})", Worth.ALWAYS)


def _ssh(exc: BaseException, host: str) -> Trouble:
    return _unavailable(
        f"{host}: ssh could not reach an engine there ({_words(exc) or type(exc).__name__}); "
        "try `ssh HOST docker version`, which must work without a question",
        Worth.MET,
    )


def _system(exc: BaseException, host: str) -> Trouble:
    why = shown(getattr(exc, "strerror", None) or "") or _words(exc) or type(exc).__name__
    return _unavailable(f"{host}: {why}", Worth.ALWAYS)


def _too_large(exc: BaseException, host: str) -> Trouble:
    return Trouble(EngineError(f"{host}: {_words(exc)}"), Worth.NEVER)


def _nonsense(exc: BaseException, host: str) -> Trouble:
    why = _words(exc) or type(exc).__name__
    return Trouble(EngineError(f"{host}: not an answer of a Docker engine: {why}"), Worth.FEW)


def _deep(_exc: BaseException, host: str) -> Trouble:
    return Trouble(
        EngineError(f"{host}: not an answer of a Docker engine: nested too deep"), Worth.FEW
    )


def _strange(exc: BaseException, host: str) -> Trouble:
    why = f"{type(exc).__name__}: {_words(exc)}"
    return Trouble(EngineError(f"{host}: unexpected failure ({why})"), Worth.NEVER)


_Kinds = tuple[type[BaseException], ...]

# The first row that matches any link of the chain decides: from the particular to the general.
_TOLD = (
    ((ssl.SSLCertVerificationError,), _certificate),
    ((TimeoutError, requests.Timeout, urllib3.exceptions.TimeoutError), _late),
    ((ssl.SSLError, requests.exceptions.SSLError, urllib3.exceptions.SSLError), _tls),
    ((FileNotFoundError,), _no_socket),
    ((PermissionError,), _forbidden),
    ((ConnectionRefusedError,), _refused),
    ((socket.gaierror, urllib3.exceptions.NameResolutionError), _no_name),
    ((SshFailed,), _ssh),
    ((ConnectionError,), _lost),
    ((http.client.IncompleteRead, urllib3.exceptions.IncompleteRead), _cut),
    ((TooLarge,), _too_large),
    ((RecursionError,), _deep),
    ((Nonsense, msgspec.MsgspecError, UnicodeError, http.client.HTTPException), _nonsense),
    (
        (
            urllib3.exceptions.InvalidHeader,
            urllib3.exceptions.LocationValueError,
            urllib3.exceptions.HeaderParsingError,
            requests.exceptions.InvalidHeader,
            requests.exceptions.InvalidJSONError,
            requests.exceptions.ContentDecodingError,
            urllib3.exceptions.DecodeError,
        ),
        _nonsense,
    ),
    (
        (
            urllib3.exceptions.ProtocolError,
            urllib3.exceptions.NewConnectionError,
            urllib3.exceptions.PoolError,
            requests.ConnectionError,
            requests.exceptions.ChunkedEncodingError,
        ),
        _lost,
    ),
    ((OSError,), _system),
)


# What an engine says while the swarm has no leader, or while it looks for one: moby
# daemon/cluster/errors.go and cluster.go, swarmkit manager/raftselector, and gRPC's own words.
_PASSING = re.compile(
    r"does not have a leader|lost leader|no leader|not the leader|raft: |DeadlineExceeded"
    r"|deadline exceeded|context canceled|code = (?:Unavailable|Canceled|Aborted)|connection error"
    r"|transport is closing|timed? ?out|raft proposal dropped|request canceled|EOF$",
    re.IGNORECASE,
)
_NO_MANAGER = re.compile(
    r"not a swarm manager|not part of a swarm|no swarm|swarm init", re.IGNORECASE
)


def refused(
    status: int, message: str, host: str, *, service: str = "", write: bool = False
) -> Trouble:
    """
    An HTTP status that is no success, as trouble with this host.

    Args:
        status: Its number.
        message: The engine's own words.
        host: The address, for messages.
        service: The service that the request was about, if it was about one.
        write: Whether the request was meant to change something.
    """
    said = shown(message) or "no explanation"
    if "out of sequence" in message and status in (400, 409, 500):
        what = f"service {service}" if service else "it"
        text = f"{host}: {what} has been written by somebody else ({said}); read it again"
        return Trouble(Conflict(text, status=status), Worth.NEVER)
    if status == 409 and write:
        return Trouble(Conflict(f"{host}: conflict ({said})", status=status), Worth.NEVER)
    if status == 404 and service:
        return Trouble(
            ServiceNotFound(f"{host}: there is no service {service} ({said})", status=status),
            Worth.NEVER,
        )
    if status == 503 and _NO_MANAGER.search(message):
        text = (
            f"{host}: not a manager of a swarm ({said}); connect to a manager "
            "(`docker node ls` names them), or make one with `docker swarm init`"
        )
        return Trouble(NotAManager(text, status=status), Worth.MET)
    if status == 400 and "HTTP request to an HTTPS server" in message:
        text = f"{host}: it speaks TLS on this port; give tls=True or tls=TLS(ca=, cert=, key=)"
        return Trouble(EngineUnavailable(text, status=status), Worth.NEVER)
    return _by_status(status, said, host, passing=bool(_PASSING.search(message)))


def _by_status(status: int, said: str, host: str, *, passing: bool) -> Trouble:
    text = f"{host}: HTTP {status}: {said}"
    if status in (408, 429, 502, 503, 504) or (status == 500 and passing):
        return Trouble(EngineUnavailable(text, status=status), Worth.ALWAYS)
    if 300 <= status < 400:
        return Trouble(
            EngineError(
                f"{host}: answers with a redirect (HTTP {status}); give the address itself",
                status=status,
            ),
            Worth.NEVER,
        )
    # Any other 500 is an error of the swarm's controller: refused, but perhaps only this once.
    worth = Worth.FEW if status == 500 else Worth.NEVER
    return Trouble(EngineError(text, status=status), worth)
