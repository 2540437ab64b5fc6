"""A gate that asks Prometheus."""

from __future__ import annotations

import json
import math
import operator
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import attrs

from swarmroll.core.gate import GateContext, Verdict
from swarmroll.gates.base import Asked, is_text, quoted, wrong
from swarmroll.gates.web import Address, NoAnswer, Request, headers_of, sent, tls_context
from swarmroll.printable import printable

Condition = Callable[[float], bool]

MOST = 4 * 1024 * 1024
"""Bytes of the longest answer that is read."""

_NAMED = 3
_COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
_CONDITION = re.compile(r"\s*(<=|>=|==|!=|<|>)\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*")


@attrs.frozen(kw_only=True)
class _Sample:
    """One series at one moment."""

    labels: str
    value: float


@attrs.frozen(repr=False, eq=False)
class PrometheusGate(Asked):
    """
    Passes when every series of an instant query meets a condition.

    It is inconclusive when there is nothing to judge: no series, a value that is not a number, or
    a Prometheus that does not answer. A query that Prometheus refuses fails, in its own words.

    Attributes:
        url: Where Prometheus is, without ``/api/v1/query``; a user and a password in it are sent
            as basic authentication, and not shown.
        query: PromQL, evaluated at the moment of the check.
        condition: ``"< 0.01"``, with one of ``< <= > >= == !=``; or a function of a value.
        headers: Sent along; the values are not shown.
        ca: A file of the authorities to trust over https, in PEM, instead of the system's.
        **: See ``Asked``.

    Raises:
        PlanError: An argument is wrong; the message names it.
    """

    url: str = attrs.field()
    query: str = attrs.field()
    condition: str | Condition = attrs.field()
    headers: Mapping[str, str] = attrs.field(factory=dict, kw_only=True)
    ca: str | Path | None = attrs.field(default=None, kw_only=True)
    _request: Request = attrs.field(init=False)
    _holds: Condition = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        if not is_text(self.query):
            raise wrong("PrometheusGate.query", "a PromQL query", self.query)
        object.__setattr__(self, "_holds", _condition(self.condition))
        address = Address.read(self.url, "PrometheusGate.url")
        if "?" in address.target:
            raise wrong("PrometheusGate.url", "the address of Prometheus, no query", self.url)
        super().__attrs_post_init__()
        form = {"query": self.query, "timeout": f"{math.ceil(self.rules.timeout * 1000)}ms"}
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        request = Request(
            address=attrs.evolve(address, target=f"{address.target.rstrip('/')}/api/v1/query"),
            method="POST",
            headers={**headers_of(self.headers, "PrometheusGate.headers"), **kind},
            body=urlencode(form).encode(),
            trust=tls_context(self.ca, "PrometheusGate.ca", verify=True),
        )
        object.__setattr__(self, "_request", request)

    def check(self, context: GateContext) -> Verdict:  # noqa: ARG002 - the query says it all
        """Ask once."""
        ends = time.monotonic() + self.rules.timeout
        place = self._request.address.origin
        try:
            with sent(self._request, ends - time.monotonic()) as answer:
                status, body = answer.status, answer.body(MOST)
        except NoAnswer as exc:
            return Verdict.inconclusive(f"Prometheus at {place} does not answer: {exc}")
        try:
            document = json.loads(body)
            if document["status"] == "success" and status == 200:
                return self._judged(_samples(document["data"]))
            error = quoted(f"{document['errorType']}: {document['error']}", self._request.secrets)
            return _refused(status, f"Prometheus says {error} (HTTP {status})")
        except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
            text = body.decode(errors="replace")
            said = f"HTTP {status}: {quoted(text, self._request.secrets)}"
            if status >= 500:
                return Verdict.inconclusive(f"Prometheus at {place} does not answer: {said}")
            return Verdict.failed(f"{place} does not answer as Prometheus does: {said}")

    def _own_name(self) -> str:
        condition = f" {self.condition.strip()}" if isinstance(self.condition, str) else ""
        return f"prometheus {' '.join(self.query.split())}{condition}"

    def _judged(self, samples: list[_Sample]) -> Verdict:
        if not samples:
            return Verdict.inconclusive("the query has no result")
        numbers = [sample for sample in samples if not math.isnan(sample.value)]
        bad = [sample for sample in numbers if not self._holds(sample.value)]
        if bad:
            return Verdict.failed(f"{_some(bad)}; wanted {self._wanted}")
        if len(numbers) < len(samples):
            nothing = [sample for sample in samples if math.isnan(sample.value)]
            return Verdict.inconclusive(f"{_some(nothing)}: nothing to judge")
        return Verdict.passed(f"{_some(numbers)}; wanted {self._wanted}")

    @property
    def _wanted(self) -> str:
        if isinstance(self.condition, str):
            return self.condition.strip()
        return printable(getattr(self.condition, "__name__", "what its condition says"))


def _condition(given: Any) -> Condition:
    if callable(given):
        return lambda value: bool(given(value))
    match = _CONDITION.fullmatch(given) if isinstance(given, str) else None
    if match is None:
        raise wrong(
            "PrometheusGate.condition", 'a comparison such as "< 0.01", or a function', given
        )
    compare, limit = _COMPARISONS[match[1]], float(match[2])
    return lambda value: compare(value, limit)


def _refused(status: int, said: str) -> Verdict:
    # The query is not at fault: it is overloaded, starting, or shutting down.
    return Verdict.inconclusive(said) if status >= 500 else Verdict.failed(said)


def _samples(data: Any) -> list[_Sample]:
    """The series of a result (Prometheus, docs/querying/api.md, "Expression query result")."""
    match data["resultType"]:
        case "vector":
            return [
                _Sample(labels=_labels(series["metric"]), value=float(series["value"][1]))
                for series in data["result"]
            ]
        case "scalar":
            return [_Sample(labels="", value=float(data["result"][1]))]
        case other:
            raise ValueError(f"a {other}")


def _labels(metric: Mapping[str, str]) -> str:
    pairs = [f'{name}="{value}"' for name, value in metric.items() if name != "__name__"]
    name = metric.get("__name__", "")
    return f"{name}{{{', '.join(pairs)}}}" if pairs else name


def _some(samples: list[_Sample]) -> str:
    words = [
        f"{quoted(sample.labels)[1:-1]} is {sample.value:g}".lstrip() for sample in samples[:_NAMED]
    ]
    more = len(samples) - _NAMED
    return ", ".join(words) + (f", and {more} more series" if more > 0 else "")
