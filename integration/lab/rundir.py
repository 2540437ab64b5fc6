"""
One directory for each run, and the traces of runs that were killed.

A run holds the lock in its directory for as long as it lives, whatever ends it: a directory whose
lock is free belongs to nobody. All functions want the cache `locked()`, since a directory is not
yet locked when it has just been made.
"""

from __future__ import annotations

import fcntl
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

from integration.lab.progress import say

_LOCK = "lock"


def new(kind: str, stack: ExitStack) -> Path:
    """
    Make a directory whose name is unique on this machine.

    The name is fit to be part of the names of images, Compose projects and namespaces.

    Args:
        kind: Tells apart runs that are cleaned up in different ways.
        stack: Closing it ends the claim.
    """
    directory = Path(tempfile.gettempdir(), f"{_prefix(kind)}{secrets.token_hex(4)}")
    directory.mkdir(mode=0o700)
    lock = stack.enter_context((directory / _LOCK).open("w"))
    fcntl.flock(lock, fcntl.LOCK_EX)
    return directory


def clean_up_after_the_dead(kind: str, clean_up: Callable[[Path], None]) -> None:
    """Call `clean_up` with the directory of each run that was killed, and remove that."""
    for directory in _abandoned(kind):
        say(f"cleaning up after a killed run: {directory}")
        clean_up(directory)
        shutil.rmtree(directory, ignore_errors=True)


def _abandoned(kind: str) -> Iterator[Path]:
    for directory in sorted(Path(tempfile.gettempdir()).glob(f"{_prefix(kind)}*")):
        with (directory / _LOCK).open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield directory


def _prefix(kind: str) -> str:
    return f"swarmroll-{kind}-"
