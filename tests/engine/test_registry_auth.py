"""The registry's credentials are the docker CLI's, go to the engine only, and only when asked."""

from __future__ import annotations

import base64
import json
import logging
import sys
from pathlib import Path
from typing import Any

import docker
import pytest

from swarmroll.engine.connect import open_engine
from swarmroll.errors import EngineError, EngineUnavailable

from .conftest import Open, Serve, swarm
from .documents import SERVICE_ID
from .server import Answer, Request, Server, error

IMAGE = "registry.example:5000/team/app:2"
BASIC = base64.b64encode(b"user:hunter2").decode()


@pytest.fixture
def configure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Writes the docker CLI's config.json."""
    folder = tmp_path / "docker-config"
    folder.mkdir()
    monkeypatch.setenv("DOCKER_CONFIG", str(folder))

    def write(**config: object) -> None:
        (folder / "config.json").write_text(json.dumps(config))

    return write


def sent(server: Server) -> Any:
    """The credentials of the last request."""
    header = server.seen[-1].headers.get("x-registry-auth")
    return None if header is None else json.loads(base64.urlsafe_b64decode(header))


def update(server: Server, connect: Open, auth_for: str | None = IMAGE) -> tuple[str, ...]:
    engine = connect(server)
    found = engine.service("web")
    return engine.update(SERVICE_ID, found.version, found.spec, auth_for=auth_for)


def test_the_image_s_registry_gets_its_credentials(
    configure: Any, serve: Serve, connect: Open, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    configure(auths={"registry.example:5000": {"auth": BASIC}, "other.example": {"auth": "eDp5"}})
    server = serve()
    assert () == update(server, connect)
    assert ("user", "hunter2") == (sent(server)["username"], sent(server)["password"])
    assert "hunter2" not in caplog.text
    assert BASIC not in caplog.text


def test_no_other_registry_s_credentials_are_sent(
    configure: Any, serve: Serve, connect: Open
) -> None:
    configure(auths={"other.example": {"auth": BASIC}})
    server = serve()
    assert () == update(server, connect)
    assert sent(server) is None


def test_without_an_image_nothing_is_sent(configure: Any, serve: Serve, connect: Open) -> None:
    """Then the engine keeps the credentials that it has."""
    configure(auths={"registry.example:5000": {"auth": BASIC}})
    server = serve()
    update(server, connect, auth_for=None)
    assert sent(server) is None


def test_an_identity_token_is_sent(configure: Any, serve: Serve, connect: Open) -> None:
    configure(auths={"registry.example:5000": {"identitytoken": "t0ken"}})
    server = serve()
    update(server, connect)
    assert {"IdentityToken": "t0ken"} == sent(server)


def test_a_credential_helper_is_asked(
    configure: Any, serve: Serve, connect: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    helper = tmp_path / "docker-credential-mine"
    answer = {"Username": "me", "Secret": "s3cret"}
    helper.write_text(f"#!{sys.executable} -IS\nprint({json.dumps(answer)!r})")
    helper.chmod(0o700)
    monkeypatch.setenv("PATH", str(tmp_path))
    configure(credHelpers={"registry.example:5000": "mine"})
    server = serve()
    update(server, connect)
    assert ("me", "s3cret") == (sent(server)["Username"], sent(server)["Password"])


@pytest.mark.filterwarnings("ignore:.*docker-credential-missing:UserWarning")
def test_a_helper_that_is_missing_is_a_warning(configure: Any, serve: Serve, connect: Open) -> None:
    """A rollback must not fail for want of credentials that the engine has."""
    configure(credsStore="missing")
    server = serve()
    (warning,) = update(server, connect)
    assert "docker-credential-missing" in warning
    assert sent(server) is None


def test_a_login_since_then_counts(configure: Any, serve: Serve, connect: Open) -> None:
    server = serve()
    engine = connect(server)
    configure(auths={"registry.example:5000": {"auth": BASIC}})
    found = engine.service("web")
    engine.update(SERVICE_ID, found.version, found.spec, auth_for=IMAGE)
    assert "hunter2" == sent(server)["password"]


def test_the_registry_is_asked_with_its_credentials(
    configure: Any, serve: Serve, connect: Open
) -> None:
    configure(auths={"registry.example:5000": {"auth": BASIC}})
    server = serve()
    connect(server).resolve(IMAGE, timeout=1.0)
    assert "hunter2" == sent(server)["password"]


@pytest.mark.usefixtures("configure")
def test_a_docker_py_client_s_login_is_used(serve: Serve) -> None:
    server = serve()
    api = docker.APIClient(server.url, version="1.45")
    credentials = {"username": "u", "password": "p"}
    auths: Any = vars(api)["_auth_configs"]
    auths.add_auth("registry.example:5000", credentials)
    engine = open_engine(client=api)
    found = engine.service("web")
    engine.update(SERVICE_ID, found.version, found.spec, auth_for=IMAGE)
    assert credentials == sent(server)
    engine.close()
    api.close()


def test_headers_of_the_configuration_are_sent(configure: Any, serve: Serve, connect: Open) -> None:
    configure(HttpHeaders={"X-Team": "web"})
    server = serve()
    connect(server).nodes()
    assert "web" == server.seen[0].headers["x-team"]


@pytest.mark.parametrize("auth", ["not base64", "bm9jb2xvbg==", 3])
def test_credentials_that_cannot_be_read_are_named(auth: object, configure: Any) -> None:
    configure(auths={"registry.example:5000": {"auth": auth}})
    with pytest.raises(EngineUnavailable, match=r"config\.json"):
        open_engine("unix:///var/run/docker.sock")


@pytest.mark.parametrize("quoted", ["hunter2", BASIC])
def test_an_engine_that_quotes_the_credentials_is_quoted_without(
    configure: Any, serve: Serve, connect: Open, quoted: str
) -> None:
    """Neither the password nor the header that it came in gets into an error or a finding."""
    configure(auths={"registry.example:5000": {"auth": BASIC}})

    def refuse(request: Request) -> Answer:
        if request.path.endswith("/update") or "/distribution/" in request.path:
            header = request.headers["x-registry-auth"]
            return error(400, f"denied: user with {quoted}, header {header}")
        return swarm(request)

    server = serve(refuse)
    engine = connect(server)
    found = engine.service("web")
    with pytest.raises(EngineError, match="denied: user with") as refused:
        engine.update(SERVICE_ID, found.version, found.spec, auth_for=IMAGE)
    reason = engine.resolve(IMAGE, timeout=2.0).reason
    assert "denied: user with" in reason
    header = server.seen[-1].headers["x-registry-auth"]
    for text in (str(refused.value), repr(refused.value), reason):
        assert quoted not in text
        assert header not in text


def test_without_credentials_a_refusal_is_quoted_as_it_is(serve: Serve, connect: Open) -> None:
    def refuse(request: Request) -> Answer:
        return error(400, "denied") if request.path.endswith("/update") else swarm(request)

    with pytest.raises(EngineError, match="denied"):
        update(serve(refuse), connect)
