"""
HTTP for gates: one request on a connection of its own, within a deadline for the whole.

Nothing comes from the environment: no proxies, no ``.netrc``; redirects are the caller's business.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

import attrs

from swarmroll.core.redact import mask_text
from swarmroll.errors import PlanError
from swarmroll.gates.base import words_of, wrong
from swarmroll.gates.reach import FAILURES, why
from swarmroll.printable import printable
from swarmroll.streams import open_tcp, over_tls

PORTS = {"http": 80, "https": 443}
_WANTED = "a URL such as http://10.0.0.5:8080/health"
# RFC 9110, 5.6.2: what the names of methods and headers are made of.
_TOKEN = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


class NoAnswer(Exception):
    """No whole answer came; the message says why, fit to be shown."""


@attrs.frozen(kw_only=True, repr=False)
class Address:
    """
    An http or https URL, taken apart.

    Attributes:
        scheme: ``http`` or ``https``.
        host: Name or address, without the brackets of IPv6.
        target: Path and query, as they are sent.
        login: Value of the Authorization header that a user and a password in it make; empty
            without.
    """

    scheme: str
    host: str
    port: int
    target: str
    login: str = ""

    @classmethod
    def read(cls, text: object, what: str) -> Address:
        """
        Take a URL apart.

        Args:
            text: The URL.
            what: What it is for, as the error should call it.

        Raises:
            PlanError: It is none.
        """
        if not isinstance(text, str) or printable(text) != text or " " in text:
            raise wrong(what, _WANTED, text)
        try:
            parts = urlsplit(text)
            port = parts.port
            host = (parts.hostname or "").encode("idna").decode()
        except ValueError:
            raise wrong(what, _WANTED, text) from None
        if parts.scheme not in PORTS or not host or port == 0:
            raise wrong(what, _WANTED, text)
        path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~")
        query = quote(parts.query, safe="/%:@!$&'()*+,;=~?[]")
        return cls(
            scheme=parts.scheme,
            host=host,
            port=port or PORTS[parts.scheme],
            target=f"{path}?{query}" if query else path,
            login=_login(parts.username, parts.password),
        )

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = self.port == PORTS[self.scheme]
        return f"{self.scheme}://{host}" if usual else f"{self.scheme}://{host}:{self.port}"

    @property
    def url(self) -> str:
        """The whole of it, without user and password."""
        return self.origin + self.target

    def __str__(self) -> str:
        """For people: nothing secret in it."""
        return printable(mask_text(self.url))

    def __repr__(self) -> str:
        return f"Address({str(self)!r})"


def _login(user: str | None, password: str | None) -> str:
    if not user and not password:
        return ""
    pair = f"{unquote(user or '')}:{unquote(password or '')}"
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


def method_of(value: object, what: str) -> str:
    """
    The name of an HTTP method.

    Raises:
        PlanError: It is none.
    """
    if not isinstance(value, str) or not value or not _TOKEN.issuperset(value):
        raise wrong(what, "an HTTP method such as GET", value)
    return value.upper()


def headers_of(value: object, what: str) -> dict[str, str]:
    """
    Headers to send.

    Raises:
        PlanError: One cannot be sent; the message holds no value.
    """
    if not isinstance(value, Mapping):
        raise wrong(what, "a mapping of header names to values", value)
    for name, text in value.items():
        if not isinstance(name, str) or not name or not _TOKEN.issuperset(name):
            raise wrong(what, "named by letters, digits and dashes", name)
        if not isinstance(text, str) or not _sendable(text):
            raise PlanError(f"{what}: {name} must be a string in one line, of Latin-1 characters")
    return dict(value)


def _sendable(text: str) -> bool:
    return text.isprintable() and all(ord(character) < 0x100 for character in text)


def tls_context(ca: str | Path | None, what: str, *, verify: bool) -> ssl.SSLContext:
    """
    What is trusted over https.

    Raises:
        PlanError: The file with the authorities cannot be read.
    """
    try:
        context = ssl.create_default_context(cafile=ca)
    except (OSError, TypeError, ValueError) as exc:
        raise PlanError(
            f"{what}: {printable(str(ca))} is no file of certificates in PEM: {why(exc)}"
        ) from None
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


@attrs.frozen(kw_only=True, repr=False)
class Request:
    """
    What is asked.

    Attributes:
        headers: Sent besides our own, and besides the address's login.
        body: Sent when there is one.
        trust: For https.
    """

    address: Address
    trust: ssl.SSLContext
    method: str = "GET"
    headers: Mapping[str, str] = attrs.field(factory=dict)
    body: bytes | None = None

    @property
    def secrets(self) -> frozenset[str]:
        """What a server that repeats the request would give away."""
        return words_of([*self.headers.values(), self.address.login])

    @property
    def whole_headers(self) -> dict[str, str]:
        """All that is sent; the caller's own come first."""
        ours = {"Accept-Encoding": "identity", "Connection": "close", "User-Agent": "swarmroll"}
        if self.address.login:
            ours["Authorization"] = self.address.login
        given = {name.lower() for name in self.headers}
        return {**self.headers, **{n: text for n, text in ours.items() if n.lower() not in given}}


class Answer:
    """
    The head of an answer, whose body can be read while it is open.

    Attributes:
        status: The HTTP status.
    """

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self._response = response
        self.status = response.status

    def header(self, name: str) -> str:
        """The value of a header; empty without."""
        return self._response.headers.get(name, "")

    def body(self, most: int) -> bytes:
        """
        The whole body.

        Raises:
            NoAnswer: It is longer than ``most`` bytes, compressed, or does not come.
        """
        if self.header("Content-Encoding").lower() not in ("", "identity"):
            raise NoAnswer("its body is compressed, which nobody asked for")
        try:
            body = self._response.read(most + 1)
        except FAILURES as exc:
            raise NoAnswer(why(exc)) from None
        if len(body) > most:
            raise NoAnswer(f"its body is longer than {most} bytes, which is the limit")
        if self._response.length:
            raise NoAnswer(why(http.client.IncompleteRead(body)))
        return body

    def excerpt(self) -> str:
        """The beginning of the body, as far as it comes."""
        try:
            return self._response.read1(1000).decode(errors="replace")
        except FAILURES:
            return ""


class _Connection(http.client.HTTPConnection):
    """One that is connected with a deadline."""

    def __init__(self, request: Request, seconds: float) -> None:
        address = request.address
        super().__init__(address.host, address.port)
        self.default_port = PORTS[address.scheme]
        self._trust = request.trust if address.scheme == "https" else None
        self._seconds = seconds

    def connect(self) -> None:
        stream = open_tcp(self.host, self.port, self._seconds)
        self.sock = stream if self._trust is None else over_tls(stream, self._trust, self.host)


@contextlib.contextmanager
def sent(request: Request, seconds: float) -> Iterator[Answer]:
    """
    Send a request.

    Args:
        request: What is asked.
        seconds: Until the last byte of the answer that is read.

    Yields:
        The answer, once its head is there.

    Raises:
        NoAnswer: It does not come.
    """
    with contextlib.closing(_Connection(request, seconds)) as connection:
        try:
            connection.request(
                request.method, request.address.target, request.body, request.whole_headers
            )
            response = connection.getresponse()
        except FAILURES as exc:
            raise NoAnswer(why(exc)) from None
        with response:
            yield Answer(response)
