"""A gate that asks over HTTP."""

from __future__ import annotations

import json
import re
import ssl
import time
from collections.abc import Collection, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import attrs

from swarmroll.core.gate import GateContext, Verdict
from swarmroll.core.redact import mask_value
from swarmroll.errors import PlanError
from swarmroll.gates.base import Asked, is_whole, pattern_of, quoted, wrong
from swarmroll.gates.web import Address, Answer, NoAnswer, Request, headers_of, method_of, sent
from swarmroll.gates.web import tls_context as _tls_context

_REDIRECTS = frozenset(
    {
        HTTPStatus.MOVED_PERMANENTLY,
        HTTPStatus.FOUND,
        HTTPStatus.SEE_OTHER,
        HTTPStatus.TEMPORARY_REDIRECT,
        HTTPStatus.PERMANENT_REDIRECT,
    }
)
SUCCESS = range(200, 300)


@attrs.frozen(repr=False, eq=False)
class HttpGate(Asked):
    """
    Passes when a URL answers as it should; fails otherwise, also when nobody answers.

    Proxies and passwords of the environment are not used. A user and a password in the URL are
    sent as basic authentication. Neither they nor the values of headers are ever shown.

    Attributes:
        url: ``http://`` or ``https://``.
        method: ``GET``, ``HEAD``, ``POST``, ...; nothing is sent in the body.
        headers: Sent along; not to another host that a redirect leads to.
        status: The status that is right: a number, a ``range`` or a set of numbers.
        pattern: A regular expression that must be found in the body.
        json: Values that the body, a JSON document, must have, by dotted path:
            ``{"status": "UP", "checks.0.ok": True}``.
        redirects: How many redirects are followed; never from https to http.
        verify: Whether the certificate is checked.
        ca: A file of the authorities to trust, in PEM, instead of the system's.
        max_body: Bytes of the longest body that is read for ``pattern`` and ``json``.
        **: See ``Asked``.

    Raises:
        PlanError: An argument is wrong; the message names it.
    """

    url: str = attrs.field()
    method: str = attrs.field(default="GET", kw_only=True)
    headers: Mapping[str, str] = attrs.field(factory=dict, kw_only=True)
    status: int | Collection[int] = attrs.field(default=SUCCESS, kw_only=True)
    pattern: str | re.Pattern[str] | None = attrs.field(default=None, kw_only=True)
    json: Mapping[str, object] | None = attrs.field(default=None, kw_only=True)
    redirects: int = attrs.field(default=0, kw_only=True)
    verify: bool = attrs.field(default=True, kw_only=True)
    ca: str | Path | None = attrs.field(default=None, kw_only=True)
    max_body: int = attrs.field(default=1024 * 1024, kw_only=True)
    _request: Request = attrs.field(init=False)
    _pattern: re.Pattern[str] | None = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        method = method_of(self.method, "HttpGate.method")
        request = Request(
            address=Address.read(self.url, "HttpGate.url"),
            method=method,
            headers=headers_of(self.headers, "HttpGate.headers"),
            trust=_trust(self.ca, verify=self.verify),
        )
        object.__setattr__(self, "_request", request)
        pattern = None if self.pattern is None else pattern_of(self.pattern, "HttpGate.pattern")
        object.__setattr__(self, "_pattern", pattern)
        _check_status(self.status)
        if self.json is not None and not _is_json_wish(self.json):
            raise wrong("HttpGate.json", "a mapping of dotted paths to values", self.json)
        if method == "HEAD" and self._reads_body:
            raise PlanError("HttpGate: an answer to HEAD has no body for pattern or json")
        for name, least in (("redirects", 0), ("max_body", 1)):
            value = getattr(self, name)
            if not is_whole(value, least):
                raise wrong(f"HttpGate.{name}", f"a number, at least {least}", value)
        super().__attrs_post_init__()

    def check(self, context: GateContext) -> Verdict:  # noqa: ARG002 - the URL says it all
        """Ask once, and follow as many redirects as wanted."""
        ends = time.monotonic() + self.rules.timeout
        request, redirects = self._request, self.redirects
        try:
            while True:
                with sent(request, ends - time.monotonic()) as answer:
                    if not redirects or answer.status not in _REDIRECTS:
                        fault = self._fault(answer)
                        break
                    request, redirects = _redirected(request, answer), redirects - 1
        except NoAnswer as exc:
            fault = str(exc)
        if fault:
            return Verdict.failed(f"{request.address}: {fault}")
        return Verdict.passed(f"HTTP {answer.status}")

    def _own_name(self) -> str:
        address = self._request.address
        path = address.target.partition("?")[0]
        return f"{address.scheme} {address.origin.partition('://')[2]}{'' if path == '/' else path}"

    @property
    def _reads_body(self) -> bool:
        return self._pattern is not None or self.json is not None

    def _fault(self, answer: Answer) -> str:
        """What is wrong with an answer; empty if nothing is."""
        if not _fits(answer.status, self.status):
            return self._unfit(answer)
        if not self._reads_body:
            return ""
        try:
            fault = self._wrong_body(answer)
        except NoAnswer as exc:
            fault = str(exc)
        return f"HTTP {answer.status}, but {fault}" if fault else ""

    def _unfit(self, answer: Answer) -> str:
        said = f"HTTP {answer.status}, wanted {_status_text(self.status)}"
        if answer.status in _REDIRECTS:
            where = quoted(answer.header("Location"), self._request.secrets)
            limit = f"after {self.redirects} redirects" if self.redirects else "redirects=0"
            return f"{said}: it redirects to {where}, which is not followed ({limit})"
        excerpt = answer.excerpt()
        return f"{said}: {quoted(excerpt, self._request.secrets)}" if excerpt.strip() else said

    def _wrong_body(self, answer: Answer) -> str:
        """What is wrong with the body; empty if nothing is."""
        body = answer.body(self.max_body).decode(errors="replace")
        if self._pattern is not None and not self._pattern.search(body):
            pattern = quoted(self._pattern.pattern)
            return f"{pattern} is not in its body: {quoted(body, self._request.secrets)}"
        if self.json is None:
            return ""
        try:
            document = json.loads(body)
        except (ValueError, RecursionError):
            kind = quoted(answer.header("Content-Type"), self._request.secrets)
            return f"its body ({kind}) is not JSON: {quoted(body, self._request.secrets)}"
        secrets = self._request.secrets
        differences = (_differs(document, *wish, secrets) for wish in self.json.items())
        return next(filter(None, differences), "")


def _trust(ca: str | Path | None, *, verify: bool) -> ssl.SSLContext:
    if not isinstance(verify, bool):
        raise wrong("HttpGate.verify", "True or False", verify)
    return _tls_context(ca, "HttpGate.ca", verify=verify)


def _redirected(request: Request, answer: Answer) -> Request:
    """The request that a redirect asks for; what is secret stays with whom it was meant for."""
    location = answer.header("Location")
    where = quoted(location, request.secrets)
    try:
        target = Address.read(urljoin(request.address.url, location), "Location")
    except (PlanError, ValueError):
        raise NoAnswer(f"redirects to {where}, which is no web address") from None
    if (request.address.scheme, target.scheme) == ("https", "http"):
        raise NoAnswer(f"redirects from https to {where}, which is not followed")
    same = target.origin == request.address.origin
    login = request.address.login if same else ""
    method = request.method
    if answer.status == HTTPStatus.SEE_OTHER and method != "HEAD":
        method = "GET"
    return attrs.evolve(
        request,
        address=attrs.evolve(target, login=login),
        method=method,
        headers=request.headers if same else {},
    )


def _check_status(status: Any) -> None:
    wanted = "a number from 100 to 599, or a range or set of them"
    numbers = [status] if isinstance(status, int) else status
    try:
        right = bool(len(numbers)) and all(is_whole(number, 100, 599) for number in numbers)
    except TypeError:
        right = False
    if not right:
        raise wrong("HttpGate.status", wanted, status)


def _fits(status: int, wanted: int | Collection[int]) -> bool:
    return status == wanted if isinstance(wanted, int) else status in wanted


def _status_text(wanted: Any) -> str:
    if isinstance(wanted, range) and wanted.step == 1 and len(wanted) > 1:
        return f"{wanted[0]} to {wanted[-1]}"
    return " or ".join(map(str, [wanted] if isinstance(wanted, int) else sorted(wanted)))


def _is_json_wish(wish: object) -> bool:
    return isinstance(wish, Mapping) and all(isinstance(path, str) and path for path in wish)


def _differs(document: object, path: str, wanted: object, secrets: Collection[str]) -> str:
    """How the value at a path differs from the wanted one; empty if it does not."""
    value = document
    for key in path.split("."):
        if isinstance(value, dict) and key in value:
            value = value[key]
        elif isinstance(value, list) and _is_index(key) and int(key) < len(value):
            value = value[int(key)]
        else:
            return f"its body has no {path}"
    # 1 == True in Python, and not in JSON.
    if value == wanted and isinstance(value, bool) == isinstance(wanted, bool):
        return ""
    texts = [_value_text(path, each, secrets) for each in (value, wanted)]
    return f"{path} is {texts[0]}, wanted {texts[1]}"


def _is_index(key: str) -> bool:
    return key.isdecimal() and key.isascii() and len(key) < 10


def _value_text(path: str, value: object, secrets: Collection[str]) -> str:
    text = json.dumps(value, default=str, ensure_ascii=False)
    return quoted(mask_value(path.rpartition(".")[2], text), secrets)[1:-1]
