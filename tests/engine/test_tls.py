"""TLS is verified, our own certificate is shown, and the environment has no say in it."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from swarmroll.engine.connect import TLS, open_engine
from swarmroll.errors import EngineUnavailable

from .conftest import Open, Serve
from .documents import SERVICE_ID
from .server import Server

HERE = Path(__file__).parent / "certificates"
CA, OTHER = HERE / "ca.pem", HERE / "other.pem"

Secure = Callable[..., Server]


@pytest.fixture
def secure(serve: Serve) -> Secure:
    """An engine with this certificate; with ``ask=True`` one that wants the client's too."""

    def start(name: str = "server", *, ask: bool = False) -> Server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(HERE / f"{name}.pem", HERE / f"{name}.key")
        if ask:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(CA)
        return serve(tcp=True, context=context)

    return start


def client(**changes: object) -> TLS:
    return TLS(**{"ca": CA, "cert": HERE / "client.pem", "key": HERE / "client.key", **changes})  # type: ignore[arg-type]


def test_an_engine_with_a_trusted_certificate_is_spoken_to(secure: Secure, connect: Open) -> None:
    assert SERVICE_ID == connect(secure(), tls=TLS(ca=CA)).service("web").id


def test_our_certificate_is_shown_to_an_engine_that_asks(secure: Secure, connect: Open) -> None:
    assert SERVICE_ID == connect(secure(ask=True), tls=client()).service("web").id


def test_the_environment_s_files_are_used(
    secure: Secure, connect: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ca.pem").write_bytes(CA.read_bytes())
    monkeypatch.setenv("DOCKER_CERT_PATH", str(tmp_path))
    assert SERVICE_ID == connect(secure()).service("web").id


def test_bundles_in_the_environment_have_no_say(
    secure: Secure, connect: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """REQUESTS_CA_BUNDLE beats the CA that docker-py was given."""
    server = secure()
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(OTHER))
    monkeypatch.setenv("CURL_CA_BUNDLE", str(OTHER))
    assert SERVICE_ID == connect(server, tls=TLS(ca=CA)).service("web").id
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(CA))
    with pytest.raises(EngineUnavailable, match="cannot be trusted"):
        connect(server, tls=TLS(ca=OTHER)).service("web")


@pytest.mark.parametrize(
    ("name", "tls", "why"),
    [
        ("server", TLS(ca=OTHER), "cannot be trusted.*certificate"),
        ("server", TLS(), "cannot be trusted"),
        ("elsewhere", TLS(ca=CA), "cannot be trusted.*127.0.0.1"),
        ("expired", TLS(ca=CA), "cannot be trusted.*expired"),
    ],
    ids=["another authority", "the system's authorities", "another name", "expired"],
)
def test_a_certificate_that_is_not_right_is_refused_at_once(
    name: str, tls: TLS, why: str, secure: Secure, connect: Open
) -> None:
    engine = connect(secure(name), tls=tls, timeout=(30.0, 10.0))
    with pytest.raises(EngineUnavailable, match=why):
        engine.nodes()
    assert 0 == engine.requests


def test_without_our_certificate_an_engine_that_asks_refuses(secure: Secure, connect: Open) -> None:
    engine = connect(secure(ask=True), tls=TLS(ca=CA), timeout=(1.0, 1.0))
    with pytest.raises(EngineUnavailable, match=r"client certificate|connection was lost|EOF"):
        engine.nodes()


def test_verification_can_be_switched_off_with_a_warning(secure: Secure, connect: Open) -> None:
    server = secure("expired")
    with pytest.warns(UserWarning, match="without verification"):
        engine = connect(server, tls=TLS(verify=False))
    assert SERVICE_ID == engine.service("web").id


def test_tls_to_an_engine_without_says_so(serve: Serve, connect: Open) -> None:
    with pytest.raises(EngineUnavailable, match="tls=False"):
        connect(serve(tcp=True), tls=TLS(ca=CA)).nodes()


def test_events_come_over_tls_and_end_at_once(secure: Secure, connect: Open) -> None:
    engine = connect(secure(), tls=TLS(ca=CA))
    engine.watch(SERVICE_ID).close()


@pytest.mark.parametrize(
    ("tls", "why"),
    [
        (client(ca="/no/ca.pem"), "no TLS file /no/ca.pem"),
        (client(key="/no/key.pem"), "no TLS file /no/key.pem"),
        (client(ca=Path(__file__)), "must be PEM"),
        (client(key=HERE / "server.key"), "cannot be used"),
    ],
)
def test_files_that_cannot_be_used_are_named(tls: TLS, why: str) -> None:
    with pytest.raises(EngineUnavailable, match=why):
        open_engine("tcp://127.0.0.1:2376", tls=tls)
