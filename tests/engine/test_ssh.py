"""An engine behind ssh: the machine's ssh client does it, and its complaints are told."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

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
