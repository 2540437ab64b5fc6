"""
A network namespace with a loopback device and no way out.

What runs in it can neither reach the world nor be reached from it, whatever ports and bridges the
engine makes there.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from integration.lab.errors import LabError

_CLONE_NEWNET = 0x40000000
_OWN = Path("/proc/thread-self/ns/net")
_libc = ctypes.CDLL(None, use_errno=True)


def path(name: str) -> Path:
    """The file by which the namespace can be entered, with `nsenter --net=FILE` for instance."""
    return Path("/run/netns") / name


def create(name: str) -> None:
    """Make the namespace."""
    for command in (["netns", "add", name], ["-n", name, "link", "set", "lo", "up"]):
        done = subprocess.run(["ip", *command], check=False, capture_output=True, text=True)
        if done.returncode:
            raise LabError(f"could not make network namespace {name}: {done.stderr.strip()}")


def delete(name: str) -> None:
    """Remove the namespace's name; it ends with the last process in it."""
    subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)


def processes(name: str) -> set[int]:
    """Ids of the processes in the namespace, this one left out."""
    output = subprocess.run(
        ["ip", "netns", "pids", name], check=False, capture_output=True, text=True
    ).stdout
    return {int(word) for word in output.split()} - {os.getpid()}


@contextmanager
def entered(name: str | None) -> Iterator[None]:
    """
    Be in the namespace: this thread, and the processes and threads it starts meanwhile.

    `ip netns exec` would not do: it mounts a new /sys, in which an engine finds no cgroups.

    Args:
        name: None stays where we are.
    """
    if name is None:
        yield
        return
    with _OWN.open() as before, path(name).open() as inside:
        _switch_to(inside.fileno())
        try:
            yield
        finally:
            _switch_to(before.fileno())


def _switch_to(descriptor: int) -> None:
    if _libc.setns(descriptor, _CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, f"setns: {os.strerror(number)}")
