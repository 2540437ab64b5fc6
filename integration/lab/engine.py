"""The outer engine: a dockerd of our own, whose containers are the nodes of the swarms."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

from docker.errors import DockerException

from integration.lab import namespace
from integration.lab.clients import connected
from integration.lab.errors import LabError
from integration.lab.waiting import eventually

#: Seconds for dockerd to end by itself before it is killed.
_PATIENCE = 10.0


def url(directory: Path) -> str:
    """The address of the engine that `start()` started with this directory."""
    return f"unix://{directory}/docker.sock"


def start(directory: Path, programs: Path, namespace_name: str) -> None:
    """
    Start dockerd and wait until it answers.

    Args:
        directory: Made by this; everything that the engine writes is in it.
        programs: The tree of unpacked packages to start it from.
        namespace_name: Where it lives; its networks and published ports are in there, too.
    """
    directory.mkdir()
    # A file of its own, so that a daemon.json of the machine's does no harm.
    config = directory / "daemon.json"
    config.write_text("{}\n", encoding="utf-8")
    command = [
        str(programs / "usr/sbin/dockerd"),
        f"--config-file={config}",
        f"--data-root={directory}/data",
        f"--exec-root={directory}/exec",
        f"--pidfile={_pid_file(directory)}",
        f"--host={url(directory)}",
        "--bip=172.31.0.1/24",
        "--default-address-pool=base=172.31.64.0/18,size=24",
    ]
    folders = [programs / "usr/sbin", programs / "usr/bin"]
    path = os.pathsep.join([*map(str, folders), os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
    log = directory / "dockerd.log"
    with log.open("w") as output, namespace.entered(namespace_name):
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PATH": path},
            # A Ctrl-C in the terminal is for us; the engine is ended in its turn.
            start_new_session=True,
        )

    def answers() -> bool:
        """dockerd answers on its socket"""
        if process.poll() is not None:
            raise LabError(f"dockerd ended with {process.returncode}:\n{_last_lines(log)}")
        with connected(url(directory)) as client:
            return bool(client.ping())

    try:
        eventually(answers, limit=60)
    except AssertionError as error:
        raise LabError(f"{error}:\n{_last_lines(log)}") from error


def stop(directory: Path, namespace_name: str) -> None:
    """
    End the engine and everything it started, whatever state it is in, and remove its files.

    Works after a crash of the engine or of an earlier run, too: a process is ours if it is in our
    namespace, or its parent is.
    """
    _remove_containers(directory)
    _end_daemon(directory, namespace_name)
    # A crashed dockerd leaves a shim for each container, and only the shims lead to the containers'
    # own processes. With a container's first process, all others in it end.
    for ours in namespace.processes(namespace_name):
        for process in (*_children(ours), ours):
            _kill(process, signal.SIGKILL)
    for mount in sorted(_mounts(directory), reverse=True):
        subprocess.run(["umount", "--lazy", mount], check=False, capture_output=True)
    shutil.rmtree(directory, ignore_errors=True)


def _remove_containers(directory: Path) -> None:
    try:
        with connected(url(directory), timeout=30) as client:
            for container in client.containers.list(all=True, ignore_removed=True):
                container.remove(force=True, v=True)
    except (DockerException, OSError):
        # It cannot answer: its processes are ended one by one below.
        return


def _end_daemon(directory: Path, namespace_name: str) -> None:
    try:
        daemon = int(_pid_file(directory).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return
    # The file may be older than the machine's last start: only trust a process in our namespace.
    if daemon not in namespace.processes(namespace_name):
        return
    _kill(daemon, signal.SIGTERM)

    def ended() -> bool:
        """dockerd ends"""
        return daemon not in namespace.processes(namespace_name)

    try:
        eventually(ended, limit=_PATIENCE)
    except AssertionError:
        _kill(daemon, signal.SIGKILL)


def _children(parent: int) -> list[int]:
    try:
        words = Path(f"/proc/{parent}/task/{parent}/children").read_text(encoding="utf-8").split()
    except OSError:
        return []
    return [int(word) for word in words]


def _kill(process: int, number: signal.Signals) -> None:
    try:
        os.kill(process, number)
    except ProcessLookupError:
        return


def _mounts(below: Path) -> list[str]:
    lines = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    points = (line.split()[1] for line in lines)
    return [point for point in points if Path(point).is_relative_to(below)]


def _pid_file(directory: Path) -> Path:
    return directory / "dockerd.pid"


def _last_lines(log: Path) -> str:
    return "\n".join(log.read_text(encoding="utf-8").splitlines()[-15:])
