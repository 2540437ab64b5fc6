"""
One manager's door: an HTTP request in, a whole and bounded answer out.

It is docker-py's session (an ``APIClient`` is a ``requests.Session``) with one guarded adapter, and
nothing else of ``requests`` between: no redirects, no decompression, no proxies, CA bundles or
passwords from the environment.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote, urlencode

import attrs
import requests
import requests.adapters
import urllib3
import urllib3.connection
import urllib3.connectionpool

from swarmroll.engine import wire
from swarmroll.engine.dial import Dial, NotedDial, NotReached, SshFailed
from swarmroll.engine.trouble import (
    Nonsense,
    TooLarge,
    Trouble,
    Worth,
    refused,
    translated,
)
from swarmroll.errors import EngineError

OLDEST = (1, 41)
"""Engine 20.10. The newest is whatever the engine has: what we send back must not be stripped of
fields that an older version did not have (moby daemon/server/router/swarm/helpers.go)."""

CONNECT_SECONDS = 5.0
MAX_ERROR_BODY = 64 * 1024
_PIECE = 256 * 1024


@attrs.frozen(kw_only=True)
class Ask:
    """
    A request.

    Attributes:
        path: Without version and query, its parts already quoted.
        query: Sent as the query string.
        body: JSON; with one the request is a write.
        remove: Whether it removes what the path names.
        headers: Sent besides our own.
        service: The service that it is about, for messages.
        max_body: Limit of the answer, bytes, where it is lower than the engine's.
    """

    path: str
    query: Mapping[str, str] = attrs.field(factory=dict)
    body: bytes | None = attrs.field(default=None, repr=False)
    remove: bool = False
    headers: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    service: str = ""
    max_body: int | None = None

    @property
    def write(self) -> bool:
        """Whether it is meant to change something."""
        return self.remove or self.body is not None

    @property
    def method(self) -> str:
        """The word of HTTP for it."""
        if self.remove:
            return "DELETE"
        return "GET" if self.body is None else "POST"


def path_to(*parts: str) -> str:
    """A path whose parts can hold anything; none can climb out of its place."""
    return "/" + "/".join(quote(part, safe="") for part in parts)


class _Connection(urllib3.connection.HTTPConnection):
    """HTTP over whatever ``dial`` opens."""

    def __init__(self, *args: Any, dial: Dial, sent: Callable[[], None], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._dial = dial
        self._sent = sent

    def connect(self) -> None:
        try:
            self.sock = self._dial(self.timeout)
        except Exception as exc:
            raise NotReached("could not connect") from exc

    def getresponse(self) -> urllib3.HTTPResponse:  # type: ignore[override] # as urllib3 does
        self._sent()
        stream = self.sock
        try:
            return super().getresponse()
        except OSError as exc:
            complaint = getattr(stream, "complaint", "")
            if complaint:
                raise SshFailed(complaint) from exc
            raise


class _Pool(urllib3.connectionpool.HTTPConnectionPool):
    ConnectionCls = _Connection


class _Adapter(requests.adapters.HTTPAdapter):
    """Sends everything to one place, over sockets whose time-out is a deadline."""

    def __init__(self, dial: Dial, sent: Callable[[], None]) -> None:
        super().__init__()
        self._pool = _Pool("localhost", maxsize=10, dial=dial, sent=sent)

    def get_connection_with_tls_context(self, *_args: Any, **_kwargs: Any) -> _Pool:
        return self._pool

    def cert_verify(self, *_args: Any, **_kwargs: Any) -> None:
        """The dial has its own TLS context, and verifies before anything is sent."""

    def request_url(self, request: requests.PreparedRequest, _proxies: Any) -> str:
        return request.path_url

    def close(self) -> None:
        self._pool.close()
        super().close()


@attrs.define
class _Known:
    """What is known of an engine, through whichever of its doors."""

    version: str = ""
    met: bool = False


class Door:
    """
    The HTTP side of one manager.

    Attributes:
        host: Its address, for messages.
    """

    def __init__(
        self,
        host: str,
        *,
        dial: Dial,
        session: requests.Session,
        headers: Mapping[str, str],
        max_body: int,
        sent: Callable[[], None],
    ) -> None:
        self.host = host
        self._dial = dial
        self._session = session
        self._headers = {"Accept-Encoding": "identity", **headers}
        self._max_body = max_body
        self._sent = sent
        self._adapter = _Adapter(dial, sent)
        self._known = _Known()

    @property
    def met(self) -> bool:
        """Whether the engine has ever answered."""
        return self._known.met

    def close(self) -> None:
        """Give back the connections that are not in use."""
        self._adapter.close()

    def apart(self) -> tuple[Door, NotedDial]:
        """The same door with connections of its own, which can be hung up."""
        dial = NotedDial(dial=self._dial)
        door = Door(
            self.host,
            dial=dial,
            session=self._session,
            headers=self._headers,
            max_body=self._max_body,
            sent=self._sent,
        )
        door._known = self._known
        return door, dial

    def ask(self, ask: Ask, seconds: float) -> bytearray:
        """
        Send a request, once; with a read, the version is negotiated from its own answer.

        Args:
            ask: The request.
            seconds: Until the last byte of the answer.

        Raises:
            Trouble: No success.
        """
        try:
            return self._ask(ask, seconds)
        except Exception as exc:  # noqa: BLE001 - all are translated
            trouble = translated(exc, self.host)
            raise trouble from (None if trouble is exc else exc)

    def stream(self, ask: Ask, seconds: float = CONNECT_SECONDS) -> urllib3.HTTPResponse:
        """
        Begin an answer that the caller reads and closes.

        Raises:
            Trouble: It did not begin in time.
        """
        try:
            return self._begin(ask, seconds)
        except Exception as exc:  # noqa: BLE001 - all are translated
            trouble = translated(exc, self.host)
            raise trouble from (None if trouble is exc else exc)

    def tail(self, ask: Ask, seconds: float, limit: int) -> bytearray:
        """
        As much of an answer as comes within time and limit.

        Raises:
            Trouble: It did not begin in time.
        """
        body = bytearray()
        response = self.stream(ask, seconds)
        try:
            while len(body) < limit and (piece := response.read1(_PIECE, decode_content=False)):
                body += piece
        except Exception as exc:
            if not body:
                raise translated(exc, self.host) from exc
        finally:
            response.close()
        return body[:limit]

    def _ask(self, ask: Ask, seconds: float) -> bytearray:
        if ask.write and not self._known.version:
            self._negotiate(seconds)
        response = self._begin(ask, seconds)
        if ask.write:
            return self._accepted(response)
        with _Closing(response):
            return _whole(response, min(ask.max_body or self._max_body, self._max_body))

    def _accepted(self, response: urllib3.HTTPResponse) -> bytearray:
        """The write was done: an unreadable answer cannot undo it."""
        with _Closing(response):
            try:
                return _whole(response, self._max_body)
            except Exception:  # noqa: BLE001 - see above
                return bytearray()

    def _begin(self, ask: Ask, seconds: float) -> urllib3.HTTPResponse:
        """The answer's head is read, and is a success."""
        response = self._send(ask, seconds)
        try:
            self._check_head(response, ask)
            if not (self._known.version or ask.write):
                # A filter before the engine that hides its headers: ask in so many words.
                self._negotiate(seconds)
        except BaseException:
            response.close()
            raise
        return response

    def _check_head(self, response: urllib3.HTTPResponse, ask: Ask) -> None:
        if ask.write and 200 <= response.status < 300:
            return
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise Nonsense("its body is compressed, which nobody asked for")
        self._learn_version(response)
        if not 200 <= response.status < 300:
            raise self._no_success(response, ask)
        self._known.met = True

    def _no_success(self, response: urllib3.HTTPResponse, ask: Ask) -> Trouble:
        body = b""
        if not 300 <= response.status < 400:
            body = bytes(_whole(response, MAX_ERROR_BODY))
        return refused(
            response.status,
            wire.error_message(body),
            self.host,
            service=ask.service,
            write=ask.write,
        )

    def _send(self, ask: Ask, seconds: float) -> urllib3.HTTPResponse:
        prefix = f"/v{self._known.version}" if self._known.version else ""
        query = f"?{urlencode(ask.query)}" if ask.query else ""
        answer = self._adapter.send(
            self._session.prepare_request(
                requests.Request(
                    ask.method,
                    f"http+docker://localhost{prefix}{ask.path}{query}",
                    headers={**self._headers, **ask.headers},
                    data=ask.body,
                )
            ),
            stream=True,
            timeout=urllib3.Timeout(total=seconds, connect=min(seconds, CONNECT_SECONDS)),  # type: ignore[arg-type]
        )
        response: urllib3.HTTPResponse = answer.raw
        return response

    def _learn_version(self, response: urllib3.HTTPResponse) -> None:
        """Every answer of an engine names its newest version; the engine may be upgraded."""
        version = response.headers.get("Api-Version", "")
        if version and version != self._known.version:
            self._accept_version(version)

    def _accept_version(self, version: str) -> None:
        if not re.fullmatch(r"\d{1,3}\.\d{1,3}", version):
            raise Nonsense("its API version is no version")
        major, _, minor = version.partition(".")
        if (int(major), int(minor)) < OLDEST:
            text = (
                f"{self.host}: speaks Engine API {version}; swarmroll needs "
                f"{OLDEST[0]}.{OLDEST[1]} (Docker Engine 20.10) or newer"
            )
            raise Trouble(EngineError(text), Worth.NEVER)
        self._known.version = version

    def _negotiate(self, seconds: float) -> None:
        response = self._send(Ask(path="/version"), seconds)
        with _Closing(response):
            self._accept_version(wire.api_version(_whole(response, MAX_ERROR_BODY)))


class _Closing:
    """Gives the connection back for reuse, or closes it when its answer was not read to the end."""

    def __init__(self, response: urllib3.HTTPResponse) -> None:
        self._response = response

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, *rest: object) -> None:
        if kind is None:
            self._response.release_conn()
        else:
            self._response.close()


def _whole(response: urllib3.HTTPResponse, limit: int) -> bytearray:
    """The body as it was sent, if its end can be told and comes before the limit."""
    length = response.headers.get("Content-Length")
    chunked = response.headers.get("Transfer-Encoding", "").lower() == "chunked"
    if length is None and not chunked:
        # Then the end of the connection is the end of the body, and a lost one looks the same.
        raise Nonsense("its body has neither a length nor chunks, so that its end cannot be told")
    if length is not None and length.isdecimal() and int(length) > limit:
        raise TooLarge(f"an answer of {length} bytes; the limit (max_body) is {limit}")
    body = bytearray()
    while piece := response.read(_PIECE, decode_content=False):
        body += piece
        if len(body) > limit:
            raise TooLarge(f"an answer of more than {limit} bytes, which is the limit (max_body)")
    return body
