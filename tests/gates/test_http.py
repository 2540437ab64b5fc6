"""HttpGate: what passes, what fails and why, and what is never told to anybody."""

from __future__ import annotations

import gzip
import json
import socket
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from swarmroll import Answer, HttpGate, PlanError, Verdict
from swarmroll.gates.web import Address
from tests.engine.server import Request, Server
from tests.engine.test_hostile import closed, drip, endless, once, silent, then_drip
from tests.gates.conftest import Serve
from tests.gates.contexts import context

CERTIFICATES = Path(__file__).parents[1] / "engine" / "certificates"
HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
SECONDS = 0.3


def ok(body: bytes | str = b"fine", status: int = 200, **headers: str) -> bytes:
    content = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(content)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + content


def url(server: Server, path: str = "/health", scheme: str = "http") -> str:
    return f"{scheme}://127.0.0.1:{server.port}{path}"


def ask(server: Server, path: str = "/health", **options: Any) -> Verdict:
    return HttpGate(url(server, path), **options).check(context())


def test_success_passes(serve: Serve) -> None:
    assert Verdict.passed("HTTP 200") == ask(serve(ok()))


def test_another_status_fails_with_what_was_said(serve: Serve) -> None:
    server = serve(ok("db is down", status=503))
    expected = f'{url(server)}: HTTP 503, wanted 200 to 299: "db is down"'
    assert Verdict.failed(expected) == ask(server)


@pytest.mark.parametrize("wanted", [418, {404, 418}, range(400, 500)])
def test_any_status_can_be_the_right_one(wanted: Any, serve: Serve) -> None:
    assert Answer.PASSED == ask(serve(ok(status=418)), status=wanted).answer
    assert Answer.FAILED == ask(serve(ok(status=200)), status=wanted).answer


def test_wanted_statuses_are_told(serve: Serve) -> None:
    assert ask(serve(ok(b"")), status={404, 403}).reason.endswith("HTTP 200, wanted 403 or 404")


def test_method_and_headers_are_sent(serve: Serve) -> None:
    server = serve(ok())
    ask(server, method="post", headers={"X-Team": "web", "user-agent": "probe"})
    (request,) = server.seen
    assert ("POST", "web", "probe") == (
        request.method,
        request.headers["x-team"],
        request.headers["user-agent"],
    )


def test_a_head_request_needs_no_body(serve: Serve) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"
    assert Answer.PASSED == ask(serve(head), method="HEAD").answer


def test_query_and_odd_characters_arrive(serve: Serve) -> None:
    server = serve(ok())
    ask(server, "/gesund%20heit/ä?full=1&x=[1]")
    assert "/gesund%20heit/%C3%A4?full=1&x=[1]" == server.seen[0].target


def test_a_pattern_must_be_in_the_body(serve: Serve) -> None:
    server = serve(ok("status: UP"))
    assert Answer.PASSED == ask(server, pattern=r"status:\s+UP").answer
    expected = f'{url(server)}: HTTP 200, but "DOWN" is not in its body: "status: UP"'
    assert Verdict.failed(expected) == ask(server, pattern="DOWN")


BODY = {"status": "UP", "checks": [{"ok": True, "n": 1}], "none": None}


@pytest.mark.parametrize(
    "wish",
    [{"status": "UP"}, {"checks.0.ok": True}, {"checks.0.n": 1}, {"none": None}, {}],
)
def test_json_that_is_right_passes(wish: Any, serve: Serve) -> None:
    assert Answer.PASSED == ask(serve(ok(json.dumps(BODY))), json=wish).answer


@pytest.mark.parametrize(
    ("wish", "why"),
    [
        ({"status": "OK"}, 'but status is "UP", wanted "OK"'),
        ({"checks.0.ok": 1}, "but checks.0.ok is true, wanted 1"),
        ({"checks.1.ok": True}, "but its body has no checks.1.ok"),
        ({"checks.999999999999.ok": True}, "but its body has no checks.999999999999.ok"),
        ({"status.deep": "UP"}, "but its body has no status.deep"),
        ({"none": False}, "but none is null, wanted false"),
    ],
)
def test_json_that_is_wrong_fails_at_its_path(wish: Any, why: str, serve: Serve) -> None:
    verdict = ask(serve(ok(json.dumps(BODY))), json=wish)
    assert Answer.FAILED == verdict.answer
    assert verdict.reason.endswith(why)


def test_a_page_instead_of_json_is_named(serve: Serve) -> None:
    server = serve(ok("<h1>It works!</h1>", Content_Type="text/html"))
    reason = ask(server, json={"status": "UP"}).reason
    assert reason.endswith('its body ("text/html") is not JSON: "<h1>It works!</h1>"')


def test_a_redirect_is_not_followed_unless_asked(serve: Serve) -> None:
    target = serve(ok())
    server = serve(ok(b"", status=302, Location=url(target)))
    verdict = ask(server)
    assert Answer.FAILED == verdict.answer
    assert f'redirects to "{url(target)}", which is not followed (redirects=0)' in verdict.reason
    assert [] == target.seen
    assert Answer.PASSED == ask(server, redirects=1).answer


def test_a_redirect_may_be_what_is_wanted(serve: Serve) -> None:
    assert Answer.PASSED == ask(serve(ok(b"", status=301, Location="/")), status=301).answer


def test_redirects_end(serve: Serve) -> None:
    server = serve(ok(b"", status=307, Location="/health"))
    assert "(after 3 redirects)" in ask(server, redirects=3).reason
    assert 4 == len(server.seen)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_the_method_survives_a_redirect_unless_it_says_see_other(status: int, serve: Serve) -> None:
    def answer(request: Request) -> bytes:
        return ok() if request.target == "/end" else ok(b"", status=status, Location="/end")

    server = serve(answer)
    ask(server, method="POST", redirects=1)
    assert ["POST", "GET" if status == 303 else "POST"] == [each.method for each in server.seen]


@pytest.mark.parametrize("location", ["", "ftp://127.0.0.1/", "http://[::1/", "http://\x7f/"])
def test_a_redirect_to_nowhere_fails(location: str, serve: Serve) -> None:
    server = serve(ok(b"", status=302, Location=location))
    verdict = ask(server, redirects=2)
    assert Answer.FAILED == verdict.answer
    assert "redirect" in verdict.reason


def test_what_is_secret_stays_with_whom_it_was_meant_for(serve: Serve) -> None:
    """Another port is another server."""
    target = serve(ok())
    server = serve(ok(b"", status=302, Location=url(target)))
    gate = HttpGate(
        url(server).replace("//", "//ada:hunter2@"), headers={"X-Key": "k1234"}, redirects=1
    )
    assert Answer.PASSED == gate.check(context()).answer
    assert {"x-key", "authorization"} <= server.seen[0].headers.keys()
    assert not {"x-key", "authorization"} & target.seen[0].headers.keys()


def test_it_is_kept_within_one_server(serve: Serve) -> None:
    def answer(request: Request) -> bytes:
        return ok() if request.target == "/end" else ok(b"", status=302, Location="/end")

    server = serve(answer)
    HttpGate(url(server).replace("//", "//ada:hunter2@"), redirects=1).check(context())
    assert ["Basic YWRhOmh1bnRlcjI="] * 2 == [r.headers["authorization"] for r in server.seen]


def test_nothing_secret_is_shown(serve: Serve) -> None:
    """Also where the server repeats what it was sent."""

    def answer(request: Request) -> bytes:
        return ok(json.dumps(request.headers), status=500)

    server = serve(answer)
    gate = HttpGate(
        url(server).replace("//", "//ada:hunter2@") + "?token=t0psecret",
        headers={"X-Thing": "open-sesame", "Authorization": "Custom abcdefgh"},
    )
    told = f"{gate!r} {gate.name} {gate.check(context())} {gate.rules}"
    told += repr(Address.read(gate.url, "url"))
    assert not [
        word for word in ("hunter2", "sesame", "abcdefgh", "t0psecret", "YWRhOm") if word in told
    ]


def test_nothing_secret_is_shown_of_a_document(serve: Serve) -> None:
    """A value is not safe because it stands at an innocent place."""
    server = serve(ok('{"said": "open-sesame, ada", "key": "k"}', Content_Type="open-sesame"))
    headers = {"X-Thing": "Custom open-sesame"}
    for wish in ({"said": "hello"}, {"key": "other"}):
        reason = ask(server, headers=headers, json=wish).reason
        assert "••••" in reason
        assert "sesame" not in reason
        assert "other" not in reason


def test_foreign_text_has_no_power_over_a_terminal(serve: Serve) -> None:
    server = serve(ok("\x1b[2Jgone\r\n\u202etxt", status=500))
    assert r'"\x1b[2Jgone\r\n\u202etxt"' in ask(server).reason


def test_the_environment_has_no_say(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve(ok())
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert Answer.PASSED == ask(server).answer


def test_nobody_there_fails() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    verdict = HttpGate(f"http://127.0.0.1:{port}").check(context())
    assert Verdict.failed(f"http://127.0.0.1:{port}/: connection refused") == verdict


def test_an_unknown_host_fails() -> None:
    verdict = HttpGate("http://no.such.host.invalid/", timeout=5).check(context())
    assert Answer.FAILED == verdict.answer
    assert "cannot be looked up" in verdict.reason


# --- TLS


@pytest.fixture
def secure(serve: Serve) -> Callable[[str], Server]:
    def start(name: str) -> Server:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(CERTIFICATES / f"{name}.pem", CERTIFICATES / f"{name}.key")
        return serve(ok(), context=tls)

    return start


def over_tls(server: Server, **options: Any) -> Verdict:
    return HttpGate(url(server, scheme="https"), **options).check(context())


def test_a_trusted_certificate_passes(secure: Callable[[str], Server]) -> None:
    assert Answer.PASSED == over_tls(secure("server"), ca=CERTIFICATES / "ca.pem").answer


@pytest.mark.parametrize(
    ("name", "ca", "why"),
    [
        ("server", None, "its certificate cannot be trusted"),
        ("server", "other.pem", "its certificate cannot be trusted"),
        ("expired", "ca.pem", "certificate has expired"),
        ("elsewhere", "ca.pem", "127.0.0.1"),
    ],
)
def test_a_wrong_certificate_fails(
    name: str, ca: str | None, why: str, secure: Callable[[str], Server]
) -> None:
    verdict = over_tls(secure(name), ca=ca and CERTIFICATES / ca)
    assert Answer.FAILED == verdict.answer
    assert why in verdict.reason


def test_verification_can_be_switched_off(secure: Callable[[str], Server]) -> None:
    assert Answer.PASSED == over_tls(secure("expired"), verify=False).answer


def test_tls_to_a_server_without_fails(serve: Serve) -> None:
    assert "TLS failed" in over_tls(serve(ok())).reason


def test_a_redirect_never_leads_out_of_tls(serve: Serve) -> None:
    plain = serve(ok())
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(CERTIFICATES / "server.pem", CERTIFICATES / "server.key")
    server = serve(ok(b"", status=302, Location=url(plain)), context=tls)
    reason = over_tls(server, verify=False, redirects=3).reason
    assert reason.endswith(f'redirects from https to "{url(plain)}", which is not followed')
    assert [] == plain.seen


# --- servers that mean no good

SCRIPTS: dict[str, Any] = {
    "a head byte by byte": drip(b"HTTP/1.1 200 OK\r\nX-A: b\r\n"),
    "a body byte by byte": then_drip(HEAD + b"Content-Length: 100000\r\n\r\n", b"x"),
    "a chunk byte by byte": then_drip(CHUNKED + b"10000\r\n", b"x"),
    "informational answers for ever": endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "nothing": silent,
    "an endless body": endless(CHUNKED, b"1000\r\n" + b"x" * 4096 + b"\r\n"),
    "an endless header": endless(HEAD + b"X-A: ", b"a" * 4096),
    "a compressed body": ok(gzip.compress(b"UP" * 10_000), Content_Encoding="gzip"),
    "less than the length says": once(HEAD + b"Content-Length: 9999\r\n\r\n" + b"x"),
    "less than the chunk says": once(CHUNKED + b"ffff\r\n" + b"x"),
    "no HTTP": once(b"SSH-2.0-OpenSSH_9.2\r\n"),
    "nothing but the end": once(b""),
    "a status that is none": once(b"HTTP/1.1 999999 Oh\r\n\r\n"),
    "nested arrays": ok(b"[" * 200_000 + b"]" * 200_000),
    "a huge number": ok(b'{"status": ' + b"9" * 100_000 + b"}"),
    "invalid UTF-8": ok(b'{"status": "\xff"}'),
    "a list": ok(b"[]"),
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_nonsense_fails_in_time(name: str, serve: Serve) -> None:
    script = SCRIPTS[name]
    server = serve(script if isinstance(script, bytes) else lambda _: script)
    begun = time.monotonic()
    verdict = ask(server, timeout=SECONDS, json={"status": "UP"}, max_body=100_000)
    assert Answer.FAILED == verdict.answer
    assert verdict.reason.startswith(url(server))
    assert len(verdict.reason) < 1000
    assert time.monotonic() - begun < SECONDS + 1


def test_a_reset_connection_fails(serve: Serve) -> None:
    def reset(connection: socket.socket) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    reason = ask(serve(lambda _: reset)).reason
    assert "the connection was lost" in reason


def test_a_body_that_nobody_wants_is_not_waited_for(serve: Serve) -> None:
    """The head says all that was asked."""
    assert Answer.PASSED == ask(serve(lambda _: SCRIPTS["an endless body"])).answer


def test_a_body_that_does_not_come_takes_nothing_from_a_wrong_status(serve: Serve) -> None:
    def head_alone(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 500 Oh\r\nContent-Length: 10\r\n\r\n")
        silent(connection)

    server = serve(lambda _: head_alone)
    reason = ask(server, timeout=SECONDS).reason
    assert f"{url(server)}: HTTP 500, wanted 200 to 299" == reason


def test_redirects_have_one_deadline_together(serve: Serve) -> None:
    """Each hop is quick enough, all of them are not."""

    def slow(connection: socket.socket) -> None:
        if not closed(connection, 0.2):
            connection.sendall(ok(b"", status=302, Location="/again"))

    server = serve(lambda _: slow)
    begun = time.monotonic()
    assert ask(server, timeout=0.5, redirects=100).reason.endswith("no answer in time")
    assert time.monotonic() - begun < 1.5


# --- arguments


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "10.0.0.5:8080/health",
        "ftp://host/",
        "http://",
        "http:///health",
        "http://host:99999/",
        "http://host:0/",
        "http://host:x/",
        "http://[::1/",
        "http://ho st/",
        "http://host/\r\nX: y",
        "http://" + "a" * 64 + ".example/",
        None,
        b"http://host/",
    ],
)
def test_a_bad_url_is_refused_before_anything_begins(wrong: Any) -> None:
    with pytest.raises(PlanError, match=r"HttpGate\.url must be a URL such as"):
        HttpGate(wrong)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "GET /"}, 'HttpGate.method must be an HTTP method such as GET, got "GET /"'),
        ({"method": 5}, "HttpGate.method must be"),
        ({"headers": ["a"]}, "HttpGate.headers must be a mapping"),
        ({"headers": {"a b": "c"}}, "HttpGate.headers must be named by"),
        ({"headers": {"a": "hush\r\nb"}}, "HttpGate.headers: a must be a string in one line"),
        ({"headers": {"a": "hush\u20ac"}}, "HttpGate.headers: a must be a string in one line"),
        ({"status": 1000}, "HttpGate.status must be a number from 100 to 599"),
        ({"status": []}, "HttpGate.status must be"),
        ({"status": "200"}, "HttpGate.status must be"),
        ({"status": None}, "HttpGate.status must be"),
        ({"pattern": "("}, "HttpGate.pattern must be a regular expression"),
        ({"pattern": 5}, "HttpGate.pattern must be a regular expression"),
        ({"json": ["status"]}, "HttpGate.json must be a mapping"),
        ({"json": {5: 5}}, "HttpGate.json must be a mapping"),
        ({"redirects": -1}, "HttpGate.redirects must be a number, at least 0, got -1"),
        ({"redirects": True}, "HttpGate.redirects must be"),
        ({"max_body": 0}, "HttpGate.max_body must be a number, at least 1, got 0"),
        ({"verify": "no"}, "HttpGate.verify must be True or False"),
        ({"ca": "/no/such.pem"}, "HttpGate.ca: /no/such.pem is no file of certificates"),
        ({"ca": __file__}, "is no file of certificates in PEM"),
        ({"method": "HEAD", "pattern": "UP"}, "an answer to HEAD has no body"),
    ],
)
def test_a_wrong_argument_is_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(PlanError) as raised:
        HttpGate("http://host/", **options)
    assert message in str(raised.value)
    assert "hush" not in str(raised.value)


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("http://10.0.0.5:8080/health?full=1", "http 10.0.0.5:8080/health"),
        ("https://ada:pw@host:443/", "https host"),
        ("http://[::1]:80/x", "http [::1]/x"),
    ],
)
def test_it_is_named_by_its_url(address: str, name: str) -> None:
    assert name == HttpGate(address).name
