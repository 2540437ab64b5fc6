"""The engine is found as the docker CLI finds it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import docker
import docker.tls
import pytest

from swarmroll.engine.connect import TLS, Address, locate, open_engine
from swarmroll.errors import EngineUnavailable

from .conftest import Serve
from .documents import SERVICE_ID
from .server import ok

Context = Callable[..., None]


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return {"DOCKER_CONFIG": str(tmp_path)}


@pytest.fixture
def context(tmp_path: Path) -> Context:
    """Makes a docker context."""

    def make(name: str, host: str, *files: str, **endpoint: Any) -> None:
        key = hashlib.sha256(name.encode()).hexdigest()
        meta = tmp_path / "contexts" / "meta" / key
        meta.mkdir(parents=True)
        endpoints = {"docker": {"Host": host, **endpoint}}
        (meta / "meta.json").write_text(json.dumps({"Name": name, "Endpoints": endpoints}))
        folder = tmp_path / "contexts" / "tls" / key / "docker"
        folder.mkdir(parents=True)
        for file in files:
            (folder / file).touch()

    return make


def only(*args: Any, **options: Any) -> Address:
    (address,) = locate(*args, **options)
    return address


def test_without_anything_it_is_the_usual_socket(env: dict[str, str]) -> None:
    assert "/var/run/docker.sock" == only(environ=env).path


def test_docker_host_is_honoured(env: dict[str, str]) -> None:
    assert "/run/x.sock" == only(environ={**env, "DOCKER_HOST": "unix:///run/x.sock"}).path


def test_the_current_context_is_honoured(
    env: dict[str, str], tmp_path: Path, context: Context
) -> None:
    (tmp_path / "config.json").write_text('{"currentContext": "prod"}')
    context("prod", "ssh://deploy@m1:2222")
    found = only(environ=env)
    assert ("ssh", "deploy", "m1", 2222) == (found.scheme, found.user, found.host, found.port)


def test_docker_context_comes_before_the_current_context(
    env: dict[str, str], tmp_path: Path, context: Context
) -> None:
    (tmp_path / "config.json").write_text('{"currentContext": "prod"}')
    context("test", "tcp://m2")
    assert "m2" == only(environ={**env, "DOCKER_CONTEXT": "test"}).host


def test_docker_host_comes_before_any_context(env: dict[str, str], context: Context) -> None:
    context("prod", "ssh://m1")
    environ = {**env, "DOCKER_CONTEXT": "prod", "DOCKER_HOST": "tcp://m3"}
    assert "m3" == only(environ=environ).host


def test_the_context_named_default_is_the_usual_socket(env: dict[str, str]) -> None:
    assert "unix" == only(environ={**env, "DOCKER_CONTEXT": "default"}).scheme


def test_the_files_of_a_context_are_used(env: dict[str, str], context: Context) -> None:
    context("prod", "tcp://m1", "ca.pem", "cert.pem", "key.pem")
    found = only(environ={**env, "DOCKER_CONTEXT": "prod"})
    assert found.tls
    assert 2376 == found.port
    assert ["ca.pem", "cert.pem", "key.pem"] == [
        Path(str(file)).name for file in (found.tls.ca, found.tls.cert, found.tls.key)
    ]
    assert found.tls.verify


def test_a_context_may_switch_verification_off(env: dict[str, str], context: Context) -> None:
    context("prod", "tcp://m1", SkipTLSVerify=True)
    assert TLS(verify=False) == only(environ={**env, "DOCKER_CONTEXT": "prod"}).tls


@pytest.mark.parametrize("name", ["DOCKER_TLS_VERIFY", "DOCKER_TLS", "DOCKER_CERT_PATH"])
def test_every_tls_variable_means_verified_tls(
    name: str, env: dict[str, str], tmp_path: Path
) -> None:
    """The CLI takes the second for TLS without verification; docker-py so takes the third."""
    for file in ("ca.pem", "cert.pem", "key.pem"):
        (tmp_path / file).touch()
    found = only("tcp://m1", environ={**env, name: str(tmp_path)})
    assert (
        TLS(ca=tmp_path / "ca.pem", cert=tmp_path / "cert.pem", key=tmp_path / "key.pem")
        == found.tls
    )


def test_an_empty_tls_variable_counts_as_unset(env: dict[str, str]) -> None:
    assert (
        only("tcp://m1", environ={**env, "DOCKER_TLS_VERIFY": "", "DOCKER_CERT_PATH": ""}).tls
        is None
    )


def test_plain_text_can_be_asked_for(env: dict[str, str]) -> None:
    found = only("tcp://m1", tls=False, environ={**env, "DOCKER_TLS_VERIFY": "1"})
    assert (None, 2375) == (found.tls, found.port)


@pytest.mark.parametrize("tls", [True, TLS(), docker.tls.TLSConfig()])
def test_tls_is_verified_unless_it_is_switched_off_by_name(
    tls: object, env: dict[str, str]
) -> None:
    found = only("tcp://m1", tls=tls, environ=env)
    assert found.tls
    assert found.tls.verify


def test_verification_can_be_switched_off_by_name(env: dict[str, str]) -> None:
    found = only("tcp://m1", tls=docker.tls.TLSConfig(verify=False), environ=env)
    assert TLS(verify=False) == found.tls


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("unix:///run/docker.sock", ("unix", "/run/docker.sock", "", None, None)),
        ("unix://run/docker.sock", ("unix", "/run/docker.sock", "", None, None)),
        ("unix://", ("unix", "/var/run/docker.sock", "", None, None)),
        ("tcp://10.0.0.1", ("tcp", "", "10.0.0.1", 2375, None)),
        ("tcp://[::1]:99/", ("tcp", "", "::1", 99, None)),
        ("http://m1:80", ("tcp", "", "m1", 80, None)),
        ("https://m1", ("tcp", "", "m1", 2376, None)),
        ("ssh://m1", ("ssh", "", "m1", None, None)),
        ("ssh://me@m1:22", ("ssh", "", "m1", 22, "me")),
    ],
)
def test_an_address_is_read(url: str, expected: tuple[object, ...], env: dict[str, str]) -> None:
    found = only(url, environ=env)
    assert expected == (found.scheme, found.path, found.host, found.port, found.user)
    assert url.startswith("https") == (found.tls is not None)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/var/run/docker.sock",
        "npipe:////./pipe/docker_engine",
        "fd://3",
        "tcp://",
        "tcp://m1:port",
        "tcp://m1:99999",
        "tcp://m1/prefix",
        "tcp://m1?x=1",
        "ssh://me:hunter2@m1",
        "ssh://",
        "tcp://[::1",
        "tcp://me@m1",
        "tcp://m1#x",
    ],
)
def test_what_is_no_address_is_refused(url: str, env: dict[str, str]) -> None:
    with pytest.raises(EngineUnavailable) as raised:
        locate(url, environ=env)
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize("host", [[], 3, ["tcp://m1", None]])
def test_what_is_no_host_is_a_type_error(host: Any, env: dict[str, str]) -> None:
    with pytest.raises(TypeError):
        locate(host, environ=env)


def test_what_is_no_tls_is_a_type_error(env: dict[str, str]) -> None:
    with pytest.raises(TypeError, match="tls must be"):
        locate("tcp://m1", tls="yes", environ=env)


def test_an_unknown_context_is_refused(env: dict[str, str]) -> None:
    with pytest.raises(EngineUnavailable, match=r"prod.*docker context ls"):
        locate(environ={**env, "DOCKER_CONTEXT": "prod"})


@pytest.mark.parametrize("text", ["{", "[" * 100_000, "\x00"])
def test_a_configuration_that_cannot_be_read_is_named(
    text: str, env: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(EngineUnavailable, match=r"config\.json"):
        locate(environ=env)


def test_several_managers_are_several_addresses(env: dict[str, str]) -> None:
    found = locate(["tcp://m1:1", "tcp://m2:2"], environ=env)
    assert ["m1", "m2"] == [address.host for address in found]


@pytest.mark.parametrize("high", [True, False])
def test_a_docker_py_client_says_where_the_engine_is(high: bool, serve: Serve) -> None:
    """It is neither used nor closed: it belongs to whoever made it."""
    server = serve()
    api = docker.APIClient(server.url, version="1.45")
    client = docker.DockerClient(server.url, version="1.45") if high else api
    engine = open_engine(client=client)
    assert server.url == engine.host
    assert SERVICE_ID == engine.service("web").id
    engine.close()
    server.answer = lambda _: ok({"ApiVersion": "1.51"})
    assert "1.51" == client.version()["ApiVersion"]
    client.close()
    api.close()


@pytest.mark.parametrize("url", ["tcp://127.0.0.1:2375", "ssh://me@m1:2222"])
def test_a_docker_py_client_over_a_network_is_understood(url: str) -> None:
    if url.startswith("ssh"):
        pytest.importorskip("paramiko", reason="docker-py wants it even to use the ssh client")
    api = docker.APIClient(url, version="1.45", use_ssh_client=True)
    engine = open_engine(client=api)
    assert url.rpartition("://")[2] == engine.host.rpartition("://")[2]
    engine.close()
    api.close()


def test_a_docker_py_client_s_tls_is_taken_over() -> None:
    api = docker.APIClient(
        "tcp://127.0.0.1:2376", version="1.45", tls=docker.tls.TLSConfig(verify=False)
    )
    with pytest.warns(UserWarning, match="without verification"):
        engine = open_engine(client=api)
    assert "https://127.0.0.1:2376" == engine.host
    engine.close()
    api.close()


def test_what_is_no_client_is_a_type_error() -> None:
    with pytest.raises(TypeError, match=r"docker\.DockerClient"):
        open_engine(client="unix:///var/run/docker.sock")
