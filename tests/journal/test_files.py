"""A journal in a folder: who may read and write it, full disks, and what is not a file."""

from __future__ import annotations

import os
import resource
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from swarmroll import FileJournal, JournalError
from swarmroll.core.phases import Phase
from swarmroll.journal.file import default_folder

from .conftest import ME, SERVICE, a_record, acquire, finish, report_on, same


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "state"


@pytest.fixture
def journal(folder: Path) -> FileJournal:
    return FileJournal(folder)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_only_its_owner_can_read_it(journal: FileJournal, folder: Path) -> None:
    """Folders 0700, files 0600, whatever the umask is."""
    before = os.umask(0)
    try:
        finish(journal)
    finally:
        os.umask(before)
    inside = folder / SERVICE
    assert [0o700, 0o700] == [mode(folder), mode(inside)]
    assert {0o600} == {mode(path) for path in inside.iterdir()}


def test_a_relative_folder_stays_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever the process goes."""
    monkeypatch.chdir(tmp_path)
    journal = FileJournal("state")
    monkeypatch.chdir("/")
    acquire(journal)
    assert (tmp_path / "state" / SERVICE / "head").exists()


@pytest.mark.parametrize("path", ["", "head", SERVICE], ids=["root", "file", "folder"])
def test_what_others_may_write_is_refused(journal: FileJournal, folder: Path, path: str) -> None:
    """Whoever wrote it: the folder, that of the service, and a file."""
    acquire(journal, begin=a_record()).release()
    harmed = folder / SERVICE / "head" if path == "head" else folder / path
    harmed.chmod(mode(harmed) | 0o022)
    with pytest.raises(JournalError, match="others may write"):
        journal.unfinished(SERVICE)
    with pytest.raises(JournalError, match="others may write"):
        acquire(journal)


def test_a_link_is_not_followed(journal: FileJournal, folder: Path, tmp_path: Path) -> None:
    """Neither to a file nor to a folder."""
    acquire(journal, begin=a_record()).release()
    head = folder / SERVICE / "head"
    elsewhere = tmp_path / "elsewhere"
    head.rename(elsewhere)
    head.symlink_to(elsewhere)
    with pytest.raises(JournalError):
        journal.unfinished(SERVICE)
    head.unlink()
    inside = folder / SERVICE
    inside.rename(tmp_path / "other")
    inside.symlink_to(tmp_path / "other")
    with pytest.raises(JournalError):
        journal.unfinished(SERVICE)


def test_what_is_no_file_is_refused(journal: FileJournal, folder: Path) -> None:
    """A pipe does not make it wait for ever."""
    acquire(journal).release()
    (folder / SERVICE / "head").unlink()
    os.mkfifo(folder / SERVICE / "head", 0o600)
    with pytest.raises(JournalError, match="is no file"):
        journal.unfinished(SERVICE)


@pytest.mark.parametrize("name", ["../web", "a/b", "", ".", "a\n"])
def test_no_name_leads_out_of_the_folder(journal: FileJournal, name: str) -> None:
    """Whatever a service might be called."""
    with pytest.raises(JournalError, match="cannot be the name"):
        journal.acquire(name, ME, name="web")


@pytest.mark.parametrize("cut", [1, 5, 100])
def test_a_torn_last_line_is_noticed(journal: FileJournal, folder: Path, cut: int) -> None:
    """Nothing is written over it."""
    acquire(journal, begin=a_record()).release()
    head = folder / SERVICE / "head"
    head.write_bytes(head.read_bytes()[:-cut])
    for ask in (journal.unfinished, journal.history, lambda _: acquire(journal)):
        with pytest.raises(JournalError, match="cut off"):
            ask(SERVICE)


@contextmanager
def disk_full_after(size: int) -> Iterator[None]:
    """No file grows beyond so many bytes: the write that would do it fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("size", [0, 1, 100, 500])
def test_a_full_disk_leaves_what_was_written(journal: FileJournal, folder: Path, size: int) -> None:
    """The last record, and nothing half; and when there is room again, it goes on."""
    record = a_record()
    lease = acquire(journal, begin=record)
    end = a_record(Phase.COMPLETED)
    with disk_full_after(size):
        with pytest.raises(JournalError, match="File too large"):
            lease.write(a_record(Phase.PAUSED))
        with pytest.raises(JournalError, match="File too large"):
            lease.renew(least=1000)
        with pytest.raises(JournalError, match="File too large"):
            lease.close(end, report_on(end))
        assert same(record, FileJournal(folder).unfinished(SERVICE))
        assert {"head", "lock"} == {path.name for path in (folder / SERVICE).iterdir()}
    lease.close(end, report_on(end))
    assert 1 == len(FileJournal(folder).history(SERVICE))


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    """In our words."""
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError, match="Not a directory"):
        acquire(FileJournal(tmp_path / "file" / "state"))


def test_where_it_is_by_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As the XDG base directories have it; a relative one does not count."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", "/var/lib/deploy")
    assert Path("/var/lib/deploy/swarmroll") == default_folder()
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    assert tmp_path / ".local/state/swarmroll" == default_folder()
    monkeypatch.delenv("XDG_STATE_HOME")
    assert tmp_path / ".local/state/swarmroll" == default_folder()
