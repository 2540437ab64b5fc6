"""
A journal in a folder: for one machine, or for several that share a file system with real locks.

Every file is written beside its place, synced, and moved there, so that what is read is always
something whole; a lock is held for the moment of a replacement, never for that of a rollout. Others
can neither read what is kept nor slip in something of theirs: everything is opened by its name in
the folder that was opened first, links are not followed, and what others may write is refused.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Hashable, Iterator, Mapping
from pathlib import Path

from swarmroll.engine.clock import SystemClock
from swarmroll.engine.port import Clock
from swarmroll.errors import JournalError
from swarmroll.journal.encoded import Encoded
from swarmroll.journal.ledger import GRACE, TTL, Ledger
from swarmroll.journal.shelf import Moved

HEAD, LOCK, PARTS = "head", "lock", "part-"
PRIVATE_FOLDER, PRIVATE_FILE = 0o700, 0o600
BY_OTHERS = 0o022
LARGEST = 32 * 1024 * 1024

_SAFE = re.compile(r"[A-Za-z0-9_-]{1,128}")


def default_folder() -> Path:
    """``swarmroll`` in ``XDG_STATE_HOME``, or in ``~/.local/state``."""
    state = os.environ.get("XDG_STATE_HOME", "")
    return (
        Path(state) if Path(state).is_absolute() else Path.home() / ".local/state"
    ) / "swarmroll"


class FileDrawer:
    """See swarmroll.journal.encoded.Drawer: a folder in a folder for each service."""

    limit = 8 * 1024 * 1024

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def where(self, service_id: str) -> str:
        """See Drawer."""
        return f"folder {self._folder / service_id}"

    def read(self, service_id: str) -> tuple[str, Hashable] | None:
        """See Drawer."""
        with self._opened(service_id) as folder:
            found = None if folder is None else self._read(folder, service_id, HEAD)
        if found is None:
            return None
        number, newline, text = found.partition(b"\n")
        if not newline or not text.endswith(b"\n") or not number.isdigit():
            raise JournalError(
                f"the record in {self.where(service_id)} cannot be read: its last line is cut off;"
                " nothing was written to the service; remove it if nobody needs it, to begin a"
                " new one"
            )
        return text[:-1].decode("utf-8", "replace"), int(number)

    def swap(self, service_id: str, text: str, version: Hashable | None) -> None:
        """See Drawer."""
        with self._opened(service_id, make=True) as folder:
            assert folder is not None
            with self._locked(folder, service_id):
                found = self._read(folder, service_id, HEAD)
                number = None if found is None else int(found.partition(b"\n")[0])
                if number != version:
                    raise Moved
                self._write(folder, service_id, HEAD, f"{(number or 0) + 1}\n{text}\n".encode())

    def put(self, service_id: str, name: str, data: bytes) -> None:
        """See Drawer."""
        with self._opened(service_id, make=True) as folder:
            assert folder is not None
            self._write(folder, service_id, PARTS + name, data)

    def get(self, service_id: str, name: str) -> bytes | None:
        """See Drawer."""
        with self._opened(service_id) as folder:
            return None if folder is None else self._read(folder, service_id, PARTS + name)

    def every(self, service_id: str) -> Mapping[str, bytes]:
        """See Drawer."""
        with self._opened(service_id) as folder:
            if folder is None:
                return {}
            with self._said(service_id):
                held = os.listdir(folder)  # noqa: PTH208 - of the folder that is open
            names = [name for name in held if name.startswith(PARTS)]
            found = {name: self._read(folder, service_id, name) for name in names}
        return {name.removeprefix(PARTS): data for name, data in found.items() if data is not None}

    def drop(self, service_id: str, name: str) -> None:
        """See Drawer."""
        with self._opened(service_id) as folder, contextlib.suppress(FileNotFoundError):
            if folder is not None:
                with self._said(service_id):
                    os.unlink(_checked(PARTS + name), dir_fd=folder)

    # --- files

    @contextlib.contextmanager
    def _said(self, service_id: str) -> Iterator[None]:
        """Whatever the system refuses, in our words."""
        try:
            yield
        except FileNotFoundError:
            raise
        except OSError as exc:
            raise JournalError(f"{self.where(service_id)}: {exc.strerror or exc}") from exc

    @contextlib.contextmanager
    def _opened(self, service_id: str, *, make: bool = False) -> Iterator[int | None]:
        """The folder of a service, open; None where there is none."""
        with contextlib.ExitStack() as opened:
            try:
                with self._said(service_id):
                    if make:
                        self._folder.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
                    root = self._folder_in(None, str(self._folder))
                    opened.callback(os.close, root)
                    name = _checked(service_id)
                    if make:
                        with contextlib.suppress(FileExistsError):
                            os.mkdir(name, PRIVATE_FOLDER, dir_fd=root)
                    inner = self._folder_in(root, name)
                    opened.callback(os.close, inner)
                    folder: int | None = inner
            except FileNotFoundError:
                folder = None
            yield folder

    def _folder_in(self, root: int | None, name: str) -> int:
        found = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=root)
        try:
            self._check(found, name)
        except BaseException:
            os.close(found)
            raise
        return found

    def _check(self, opened: int, name: str) -> None:
        """Refuse what somebody else owns, or may write."""
        status = os.fstat(opened)
        if status.st_uid not in (os.geteuid(), 0):
            raise JournalError(
                f"{self._folder}: {name} belongs to somebody else; use another folder"
            )
        if stat.S_IMODE(status.st_mode) & BY_OTHERS:
            raise JournalError(
                f"{self._folder}: others may write {name}; look what is in it, and then"
                " chmod go-rwx it"
            )

    def _read(self, folder: int, service_id: str, name: str) -> bytes | None:
        with self._said(service_id):
            try:
                flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
                opened = os.open(_checked(name), flags, dir_fd=folder)
            except FileNotFoundError:
                return None
            with os.fdopen(opened, "rb") as file:
                if not stat.S_ISREG(os.fstat(opened).st_mode):
                    raise JournalError(f"{self.where(service_id)}: {name} is no file")
                self._check(opened, name)
                return file.read(LARGEST)

    def _write(self, folder: int, service_id: str, name: str, data: bytes) -> None:
        """All of it or nothing, also when the disk is full or the power fails."""
        beside = f"new-{os.getpid()}-{os.urandom(6).hex()}"
        with self._said(service_id):
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
            opened = os.open(beside, flags, PRIVATE_FILE, dir_fd=folder)
            try:
                with os.fdopen(opened, "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(opened)
                os.rename(beside, _checked(name), src_dir_fd=folder, dst_dir_fd=folder)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(beside, dir_fd=folder)
                raise
            os.fsync(folder)

    @contextlib.contextmanager
    def _locked(self, folder: int, service_id: str) -> Iterator[None]:
        import fcntl  # noqa: PLC0415 - not every system has it

        with self._said(service_id):
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
            opened = os.open(LOCK, flags, PRIVATE_FILE, dir_fd=folder)
        try:
            with self._said(service_id):
                # Of the open file: threads of one process keep each other out, too.
                fcntl.flock(opened, fcntl.LOCK_EX)
            yield
        finally:
            os.close(opened)


def _checked(name: str) -> str:
    if not _SAFE.fullmatch(name):
        raise JournalError(f"{name!r} cannot be the name of a file in a journal")
    return name


class FileJournal(Ledger):
    """
    Keeps records in a folder; see ``swarmroll.journal.port.Journal``.

    Its files can be read by their owner alone: what stands in them is what the service specs hold.

    Args:
        folder: Made where it is missing; None takes ``swarmroll`` in ``XDG_STATE_HOME``, or in
            ``~/.local/state``.
    """

    def __init__(
        self,
        folder: str | Path | None = None,
        *,
        clock: Clock | None = None,
        ttl: float = TTL,
        grace: float = GRACE,
    ) -> None:
        where = default_folder() if folder is None else Path(folder).absolute()
        super().__init__(Encoded(FileDrawer(where)), clock or SystemClock(), ttl=ttl, grace=grace)
