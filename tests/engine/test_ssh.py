"""An engine behind ssh: the machine's ssh client does it, and its complaints are told."""

from __future__ import annotations

import select
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from swarmroll.engine.connect import open_engine
from swarmroll.errors import EngineUnavailable

from .conftest import Serve
from .documents import SERVICE_ID
from .server import Server

# Stands for ssh and for `docker system dial-stdio` behind it.
TUNNEL = """\
import os, select, socket, sys
with open({log!r}, "a") as log:
    print(*sys.argv[1:], file=log)
engine = socket.socket(socket.AF_UNIX)
engine.connect({engine!r})
while True:
    for ready in select.select([0, engine], [], [])[0]:
        data = os.read(0, 65536) if ready == 0 else engine.recv(65536)
        if not data:
            sys.exit()
        engine.sendall(data) if ready == 0 else os.write(1, data)
"""

Ssh = Callable[[str], None]


@pytest.fixture
def ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ssh:
    """Makes a program the machine's ssh client."""

    def make(program: str) -> None:
        folder = tmp_path / "bin"
        folder.mkdir()
        (folder / "ssh").write_text(f"#!{sys.executable} -IS\n{program}")
        (folder / "ssh").chmod(0o700)
        monkeypatch.setenv("PATH", str(folder))

    return make


def tunnel(server: Server, log: Path) -> str:
    return TUNNEL.format(engine=server.url.removeprefix("unix://"), log=str(log))


def test_an_engine_is_reached_through_ssh(serve: Serve, ssh: Ssh, tmp_path: Path) -> None:
    """One connection serves all requests: opening one takes half a second."""
    log = tmp_path / "log"
    ssh(tunnel(serve(), log))
    engine = open_engine("ssh://deploy@m1:2222")
    engine.nodes()
    assert SERVICE_ID == engine.service("web").id
    engine.close()
    (command,) = log.read_text().splitlines()
    assert "-l deploy -p 2222 -- m1 docker system dial-stdio" in command
    assert "BatchMode=yes" in command


def test_user_and_port_are_left_to_the_ssh_configuration(
    serve: Serve, ssh: Ssh, tmp_path: Path
) -> None:
    """docker-py puts in port 22, and so ignores the configured one."""
    log = tmp_path / "log"
    ssh(tunnel(serve(), log))
    engine = open_engine("ssh://m1")
    engine.nodes()
    engine.close()
    assert {"-l", "-p"}.isdisjoint(log.read_text().split())


def test_what_ssh_complains_of_is_told_at_once(ssh: Ssh) -> None:
    """An unknown host, for example: ssh may not ask, and so it refuses."""
    ssh("import sys; sys.exit('Host key verification failed.')")
    engine = open_engine("ssh://m1", timeout=(30.0, 10.0))
    with pytest.raises(EngineUnavailable, match=r"Host key verification failed.*ssh HOST docker"):
        engine.nodes()
    engine.close()


def test_an_ssh_that_hangs_is_ended_in_time(ssh: Ssh) -> None:
    ssh("import time; time.sleep(60)")
    engine = open_engine("ssh://m1", timeout=(0.5, 0.5))
    with pytest.raises(EngineUnavailable, match="no answer in time"):
        engine.nodes()
    engine.close()


def test_events_come_through_ssh_and_end_at_once(serve: Serve, ssh: Ssh, tmp_path: Path) -> None:
    ssh(tunnel(serve(), tmp_path / "log"))
    engine = open_engine("ssh://m1")
    engine.watch(SERVICE_ID).close()
    engine.close()


# --- machines without an ssh client ---------------------------------------------------------------


def serve_ssh(connection: socket.socket, engine: str, host_key: Any, user_key: Any) -> None:
    """An ssh server with `docker system dial-stdio` behind it, for one connection."""
    import paramiko  # noqa: PLC0415 - an extra
    from paramiko import common  # noqa: PLC0415

    class Rules(paramiko.ServerInterface):
        def check_auth_publickey(self, username: str, key: Any) -> int:
            known = username == "deploy" and key == user_key
            return common.AUTH_SUCCESSFUL if known else common.AUTH_FAILED

        def check_channel_request(self, kind: str, chanid: int) -> int:  # noqa: ARG002
            return common.OPEN_SUCCEEDED

        def check_channel_exec_request(self, channel: Any, command: bytes) -> bool:  # noqa: ARG002
            return command == b"docker system dial-stdio"

    with paramiko.Transport(connection) as transport, socket.socket(socket.AF_UNIX) as far:
        transport.add_server_key(host_key)
        try:
            transport.start_server(server=Rules())
            far.connect(engine)
            if channel := transport.accept(5):
                carry(channel, far)
        except (OSError, EOFError, paramiko.SSHException):
            return


def carry(channel: Any, far: socket.socket) -> None:
    while True:
        for ready in select.select([channel, far], [], [])[0]:
            data = ready.recv(65536)
            if not data:
                return
            (far if ready is channel else channel).sendall(data)


@pytest.fixture
def without_ssh_client(
    serve: Serve, stack: ExitStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[str, str]:
    """Where an engine is, and the line of `known_hosts` that belongs to it."""
    paramiko = pytest.importorskip("paramiko", reason="an extra, for machines without ssh")
    host_key, user_key = (paramiko.RSAKey.generate(2048) for _ in range(2))
    (tmp_path / ".ssh").mkdir(mode=0o700)
    user_key.write_private_key_file(str(tmp_path / ".ssh" / "id_rsa"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    engine = serve().url.removeprefix("unix://")
    listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    port = listener.getsockname()[1]

    def accept() -> None:
        connection, _ = listener.accept()
        serve_ssh(connection, engine, host_key, user_key)

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    stack.callback(thread.join, 5)
    return f"ssh://deploy@127.0.0.1:{port}", f"[127.0.0.1]:{port} ssh-rsa {host_key.get_base64()}\n"


def test_without_an_ssh_client_paramiko_does_it(
    without_ssh_client: tuple[str, str], tmp_path: Path
) -> None:
    url, known_host = without_ssh_client
    (tmp_path / ".ssh" / "known_hosts").write_text(known_host)
    engine = open_engine(url)
    engine.nodes()
    assert SERVICE_ID == engine.service("web").id
    engine.close()


def test_paramiko_refuses_a_host_that_is_not_known(without_ssh_client: tuple[str, str]) -> None:
    engine = open_engine(without_ssh_client[0], timeout=(5.0, 5.0))
    with pytest.raises(EngineUnavailable, match="not found in known_hosts"):
        engine.nodes()
    engine.close()


def test_a_machine_without_any_ssh_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if find_spec("paramiko"):
        pytest.skip("this machine has paramiko")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EngineUnavailable, match="install OpenSSH"):
        open_engine("ssh://m1")
