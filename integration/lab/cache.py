"""
Things that are slow to make, kept between runs: unpacked packages and base images.

A kept thing is used only if every byte of it is as it was written; otherwise it is made again. Its
name carries a digest of its recipe, so a changed recipe makes a new one. The whole directory may be
deleted at any time when no lab is running.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from integration.lab.progress import say

_MANIFEST = "MANIFEST.json"


def directory() -> Path:
    """Where things are kept, in the place that the desktop standards name for it."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    path = Path(base) / "swarmroll-lab"
    path.mkdir(parents=True, exist_ok=True)
    return path


@contextmanager
def locked() -> Iterator[None]:
    """Hold the cache alone: two first runs at the same time would make everything twice."""
    with (directory() / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another run that holds {file.name}")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def kept(name: str, recipe: object, make: Callable[[Path], None]) -> Path:
    """
    Return the directory with that name and recipe, made now unless it is whole already.

    Call it with the cache `locked()`.

    Args:
        name: Tells people what it is.
        recipe: Anything whose `repr` changes when the thing should be made again.
        make: Fills the empty directory it is given.
    """
    digest = hashlib.sha256(repr(recipe).encode()).hexdigest()[:12]
    path = directory() / f"{name}-{digest}"
    if path.exists():
        if _whole(path):
            return path
        say(f"{path} is damaged: making it again")
    say(f"making {name}")
    scratch = path.with_name(f"{path.name}.part")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    make(scratch)
    (scratch / _MANIFEST).write_text(json.dumps(_digests(scratch)), encoding="utf-8")
    shutil.rmtree(path, ignore_errors=True)
    scratch.rename(path)
    return path


def _whole(path: Path) -> bool:
    try:
        written = json.loads((path / _MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(written == _digests(path))


def _digests(path: Path) -> dict[str, str]:
    digests = {}
    for file in sorted(path.rglob("*")):
        if file.is_file() and not file.is_symlink() and file.name != _MANIFEST:
            with file.open("rb") as content:
                digests[str(file.relative_to(path))] = hashlib.file_digest(
                    content, "sha256"
                ).hexdigest()
    return digests
