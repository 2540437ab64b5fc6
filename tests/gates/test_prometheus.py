"""PrometheusGate and answers that a real Prometheus, as in integration/, seldom gives."""

from __future__ import annotations

import json
import socket
from typing import Any
from urllib.parse import parse_qs

import pytest

from swarmroll import Answer, PlanError, PrometheusGate, Verdict
from tests.engine.server import Server
from tests.engine.test_hostile import drip, endless, silent
from tests.gates.conftest import Serve
from tests.gates.contexts import context
from tests.gates.test_http import CHUNKED, ok


def vector(*values: str, **labels: str) -> bytes:
    result: list[Any] = [
        {"metric": {"__name__": "up", "job": f"j{n}"} | labels, "value": [1.5, value]}
        for n, value in enumerate(values)
    ]
    return success({"resultType": "vector", "result": result})


def success(data: Any) -> bytes:
    return ok(json.dumps({"status": "success", "data": data}))


def refusal(status: int, kind: str, message: str) -> bytes:
    said = {"status": "error", "errorType": kind, "error": message}
    return ok(json.dumps(said), status=status)


def ask(server: Server, condition: Any = "< 0.5", query: str = "up", **options: Any) -> Verdict:
    url = f"http://127.0.0.1:{server.port}/prometheus/"
    return PrometheusGate(url, query, condition, **options).check(context())


def test_every_series_must_meet_the_condition(serve: Serve) -> None:
    server = serve(vector("0.1", "0.7"))
    assert Verdict.failed('up{job="j1"} is 0.7; wanted < 0.5') == ask(server)
    expected = 'up{job="j0"} is 0.1, up{job="j1"} is 0.7; wanted < 1'
    assert Verdict.passed(expected) == ask(server, " < 1 ")


@pytest.mark.parametrize(
    ("condition", "right", "wrong"),
    [
        ("< 2", "1.9", "2"),
        ("<= 2", "2", "2.1"),
        ("> -1.5e1", "-14", "-15"),
        (">=.5", "0.5", "0.4"),
        ("== 2.", "2", "3"),
        ("!= 2", "-Inf", "2"),
        ("< 2", "-Inf", "+Inf"),
        (lambda value: value % 2 == 0, "2", "3"),
    ],
)
def test_comparisons_and_functions(condition: Any, right: str, wrong: str, serve: Serve) -> None:
    assert Answer.PASSED == ask(serve(vector(right)), condition).answer
    assert Answer.FAILED == ask(serve(vector(wrong)), condition).answer


def test_a_scalar_is_a_value(serve: Serve) -> None:
    server = serve(success({"resultType": "scalar", "result": [1.5, "0.25"]}))
    assert Verdict.passed("is 0.25; wanted < 0.5") == ask(server)


def test_the_query_is_sent_as_it_is(serve: Serve) -> None:
    server = serve(vector("0"))
    query = 'sum by (le) (rate(x{path="/a b",code=~"5.."}[5m])) + 1'
    ask(server, query=query, timeout=2.5, headers={"X-Scope-OrgID": "team"})
    (request,) = server.seen
    assert ("POST", "/prometheus/api/v1/query", "team") == (
        request.method,
        request.target,
        request.headers["x-scope-orgid"],
    )
    assert {"query": [query], "timeout": ["2500ms"]} == parse_qs(request.body.decode())


def test_no_series_is_inconclusive(serve: Serve) -> None:
    assert Verdict.inconclusive("the query has no result") == ask(serve(vector()))


def test_not_a_number_is_inconclusive(serve: Serve) -> None:
    """0/0: nobody has asked anything yet."""
    verdict = ask(serve(vector("0.1", "NaN")))
    assert Verdict.inconclusive('up{job="j1"} is nan: nothing to judge') == verdict


def test_a_bad_series_beats_one_without_a_number(serve: Serve) -> None:
    assert Answer.FAILED == ask(serve(vector("NaN", "0.7"))).answer


def test_of_many_series_a_few_are_named(serve: Serve) -> None:
    assert "and 5 more series; wanted < 0.5" in ask(serve(vector(*["1"] * 8))).reason


def test_a_query_that_is_refused_fails_in_its_words(serve: Serve) -> None:
    server = serve(refusal(400, "bad_data", "1:3: parse error"))
    expected = 'Prometheus says "bad_data: 1:3: parse error" (HTTP 400)'
    assert Verdict.failed(expected) == ask(server)


def test_a_prometheus_that_is_busy_is_inconclusive(serve: Serve) -> None:
    """The query is not at fault, nor is the release."""
    server = serve(refusal(503, "timeout", "query timed out in expression evaluation"))
    verdict = ask(server)
    assert Answer.INCONCLUSIVE == verdict.answer
    assert "query timed out" in verdict.reason


def test_a_proxy_in_front_of_a_dead_one_is_inconclusive(serve: Serve) -> None:
    verdict = ask(serve(ok("<h1>Bad Gateway</h1>", status=502)))
    assert Answer.INCONCLUSIVE == verdict.answer
    assert 'HTTP 502: "<h1>Bad Gateway</h1>"' in verdict.reason


@pytest.mark.parametrize(
    "answer",
    [
        ok("<html>Grafana</html>"),
        ok("[]"),
        ok("null"),
        ok('{"status": "success"}'),
        ok('{"status": "error"}'),
        success({"resultType": "matrix", "result": []}),
        success({"resultType": "string", "result": [1, "x"]}),
        success({"resultType": "vector", "result": [{"metric": {}, "histogram": [1, {}]}]}),
        success({"resultType": "vector", "result": [{"metric": [], "value": [1, "1"]}]}),
        success({"resultType": "vector", "result": [{"metric": {}, "value": [1, "one"]}]}),
        success({"resultType": "vector", "result": [{"metric": {}, "value": []}]}),
        ok(b"[" * 200_000),
        ok("moved", status=301, Location="/"),
    ],
)
def test_what_is_no_prometheus_fails(answer: bytes, serve: Serve) -> None:
    verdict = ask(serve(answer))
    assert Answer.FAILED == verdict.answer
    assert "does not answer as Prometheus does" in verdict.reason
    assert len(verdict.reason) < 700


@pytest.mark.parametrize(
    "script",
    [silent, drip(b"HTTP/1.1 200 OK\r\nX-A: b\r\n"), endless(CHUNKED, b"1000\r\n" + b"x" * 4096)],
    ids=["silent", "byte by byte", "for ever"],
)
def test_one_that_does_not_answer_is_inconclusive(script: Any, serve: Serve) -> None:
    verdict = ask(serve(lambda _: script), timeout=0.3)
    assert Answer.INCONCLUSIVE == verdict.answer
    assert "does not answer" in verdict.reason


def test_a_dead_one_is_inconclusive() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    verdict = PrometheusGate(f"http://127.0.0.1:{port}", "up", "> 0").check(context())
    place = f"http://127.0.0.1:{port}"
    expected = f"Prometheus at {place} does not answer: connection refused"
    assert Verdict.inconclusive(expected) == verdict


def test_nothing_secret_and_nothing_raw_is_shown(serve: Serve) -> None:
    server = serve(vector("0.7", path="\x1b[2J", token="t0psecretvalue"))
    url = f"http://ada:hunter2@127.0.0.1:{server.port}"
    gate = PrometheusGate(url, "up", "< 0.5", headers={"X-Key": "open-sesame"})
    told = f"{gate!r} {gate.check(context())}"
    assert "Basic YWRhOmh1bnRlcjI=" == server.seen[0].headers["authorization"]
    assert not [w for w in ("hunter2", "sesame", "t0psecret", "\x1b") if w in told]


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (("host:9090", "up", "> 0"), {}, "PrometheusGate.url must be a URL"),
        (("http://h/?query=up", "up", "> 0"), {}, "PrometheusGate.url must be the address of"),
        (("http://h/", " ", "> 0"), {}, 'PrometheusGate.query must be a PromQL query, got " "'),
        (("http://h/", 5, "> 0"), {}, "PrometheusGate.query must be a PromQL query"),
        (("http://h/", "up", "> zero"), {}, "PrometheusGate.condition must be a comparison such"),
        (("http://h/", "up", "0"), {}, 'got "0"'),
        (("http://h/", "up", 0), {}, "PrometheusGate.condition must be a comparison"),
        (("http://h/", "up", "> 0"), {"headers": 5}, "PrometheusGate.headers must be a mapping"),
        (("http://h/", "up", "> 0"), {"ca": "/none"}, "PrometheusGate.ca: /none is no file"),
    ],
)
def test_a_wrong_argument_is_named(arguments: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(PlanError) as raised:
        PrometheusGate(*arguments, **options)
    assert message in str(raised.value)


def test_it_is_named_by_query_and_condition() -> None:
    assert "prometheus sum(x) < 1" == PrometheusGate("http://h/", "sum(x)", " < 1").name


def test_a_function_is_wanted_by_its_name(serve: Serve) -> None:
    def even(value: float) -> bool:
        return value % 2 == 0

    assert ask(serve(vector("3")), even).reason.endswith("wanted even")
