"""A record that was changed, cut off, removed, or written by a newer swarmroll."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable

import pytest

from swarmroll import JournalError, LeaseHeld, SwarmJournal
from swarmroll.core.phases import Phase
from swarmroll.journal import codec
from swarmroll.journal.shelf import Entry
from swarmroll.sim import SimSwarm

from .conftest import (
    SERVICE,
    YOU,
    Kind,
    a_record,
    a_spec,
    acquire,
    changed,
    finish,
    head_of,
    report_on,
    same,
    tamper,
)

Harm = Callable[[str], str]

HARMS: dict[str, tuple[Harm, str]] = {
    "cut off": (lambda text: text[: len(text) // 2], "cut off, or was changed"),
    "emptied": (lambda _: "", "cut off, or was changed"),
    "another JSON": (lambda _: "[1, 2]", "not a record of swarmroll"),
    "nested too deep": (lambda _: "[" * 100_000, "cut off, or was changed"),
    "another holder": (lambda text: changed(text, turns=99), "checksum is wrong"),
    "another history": (lambda text: changed(text, stamp="a.1"), "checksum is wrong"),
    "no format": (lambda text: changed(text, format=None), "not a record of swarmroll"),
    "a newer format": (lambda text: changed(text, format=2), "use the newer swarmroll"),
}


@pytest.mark.parametrize("harm", HARMS)
def test_a_record_that_is_not_what_was_written_is_refused(lasting: Kind, harm: str) -> None:
    """By whatever asks for it; the message says where it is, and nothing is written over it."""
    acquire(lasting.journal(), begin=a_record()).release()
    spoil, words = HARMS[harm]
    tamper(lasting, spoil(head_of(lasting)))
    before = head_of(lasting)
    journal = lasting.journal()
    for ask in (
        journal.unfinished,
        journal.history,
        journal.last_known_good,
        journal.past,
        lambda _: acquire(journal, YOU, begin=a_record()),
    ):
        with pytest.raises(JournalError, match=words) as told:
            ask(SERVICE)
        assert SERVICE in str(told.value)
    assert before == head_of(lasting)


def resealed(text: str, **changes: object) -> str:
    """Changed by somebody who knows how to make the checksum."""
    document = {**json.loads(text), **changes}
    del document["sum"]
    text = json.dumps(document, separators=(",", ":"), sort_keys=True)
    return json.dumps({**document, "sum": hashlib.sha256(text.encode()).hexdigest()[:32]})


@pytest.mark.parametrize(
    "opened",
    [
        {},
        {"plan": 7, "progress": []},
        {"plan": "????", "progress": "????"},
        {"plan": codec.shown(codec.pack([])), "progress": codec.shown(codec.pack({}))},
        {"plan": codec.shown(codec.pack({"plan": {}, "specs": []})), "progress": ""},
        {"plan": codec.shown(b"\xfd7zXZ\x00broken"), "progress": ""},
        {"plan": ["0" * 40], "progress": ["0" * 40]},
    ],
    ids=str,
)
def test_even_with_a_good_checksum_every_value_is_checked(lasting: Kind, opened: object) -> None:
    """Whatever stands there instead of a rollout."""
    acquire(lasting.journal(), begin=a_record()).release()
    tamper(lasting, resealed(head_of(lasting), open=opened))
    with pytest.raises(JournalError, match="cannot be read"):
        lasting.journal().unfinished(SERVICE)


def test_a_spec_that_is_named_and_is_not_there_is_noticed(lasting: Kind) -> None:
    """A number beyond the list."""
    acquire(lasting.journal(), begin=a_record()).release()
    plan, _ = codec.plan_document(a_record().state.plan)
    packed = codec.shown(codec.pack({**plan, "specs": []}))
    tamper(lasting, resealed(head_of(lasting), open={"plan": packed, "progress": packed}))
    with pytest.raises(JournalError, match="names a spec that it does not have"):
        lasting.journal().unfinished(SERVICE)


def remove(kind: Kind, name: str) -> None:
    if kind.name == "file":
        (kind.folder / "state" / SERVICE / name).unlink()
    else:
        kind.sim.remove_config(name)


def spoil(kind: Kind, name: str) -> None:
    if kind.name == "file":
        path = kind.folder / "state" / SERVICE / name
        path.write_bytes(path.read_bytes()[:-1])
    else:
        data = kind.sim.objects.find("config", name).data
        kind.sim.remove_config(name)
        labels = {"swarmroll.service": SERVICE}
        kind.sim.config(name, data[:-1], labels=labels)


def test_a_finished_rollout_that_was_removed_is_missing_and_no_more(lasting: Kind) -> None:
    """Somebody tidied up: the others are still told."""
    finish(lasting.journal(), name="r1")
    (first,) = lasting.parts()
    finish(lasting.journal(), name="r2", image="app:3", old=a_spec("app:2"))
    remove(lasting, first)
    journal = lasting.journal()
    assert ["r2"] == [report.rollout_id for report in journal.history(SERVICE)]
    good = journal.last_known_good(SERVICE)
    assert good is not None
    assert "app:3" == good.image


def test_a_finished_rollout_that_was_cut_off_is_told(lasting: Kind) -> None:
    """Its name says what was in it."""
    finish(lasting.journal(), name="r1")
    spoil(lasting, lasting.parts()[0])
    with pytest.raises(JournalError, match="was changed, or cut off"):
        lasting.journal().history(SERVICE)


def test_a_large_rollout_that_was_removed_in_part_is_told(lasting: Kind) -> None:
    """It cannot be taken up from half a plan."""
    big = a_spec("app:1").with_env({f"BIG_{n}": codec.name_of(str(n).encode()) for n in range(900)})
    acquire(lasting.journal(), begin=a_record(old=big, new=big.with_image("app:2"))).release()
    remove(lasting, lasting.parts()[0])
    with pytest.raises(JournalError, match="was removed"):
        lasting.journal().unfinished(SERVICE)


def test_a_record_that_somebody_removed_is_written_again(lasting: Kind) -> None:
    """From memory, by whoever holds the lease, and told."""
    finish(lasting.journal(), name="r1")
    lease = acquire(lasting.journal(), begin=a_record(name="r2"))
    if lasting.name == "file":
        (lasting.folder / "state" / SERVICE / "head").unlink()
    else:
        lasting.sim.remove_config(f"swarmroll-{SERVICE}")
    again = a_record(Phase.PAUSED, name="r2")
    assert "was removed by somebody" in lease.write(again)
    journal = lasting.journal()
    assert same(again, journal.unfinished(SERVICE))
    assert ["r1"] == [report.rollout_id for report in journal.history(SERVICE)]
    assert "" == lease.write(again)
    assert "" == lease.renew()


def test_after_a_long_sleep_a_removed_record_is_not_written_again(lasting: Kind) -> None:
    """Somebody may have ended the rollout meanwhile, and tidied up."""
    lease = acquire(lasting.journal(), YOU, begin=a_record())
    if lasting.name == "file":
        (lasting.folder / "state" / SERVICE / "head").unlink()
    else:
        lasting.sim.remove_config(f"swarmroll-{SERVICE}")
    lasting.pass_(1000)
    with pytest.raises(LeaseHeld):
        lease.write(a_record())
    assert lasting.journal().unfinished(SERVICE) is None


def test_what_a_dead_driver_left_about_is_tidied_up(lasting: Kind) -> None:
    """By the one who takes over: parts that nothing names."""
    lease = acquire(lasting.journal(), YOU, begin=a_record())
    store = lasting.journal().store
    end = a_record(Phase.COMPLETED, name="lost")
    store.put(SERVICE, Entry(report=report_on(end)))
    assert 1 == len(lasting.parts())
    del lease
    lasting.pass_(100)
    acquire(lasting.journal())
    assert [] == lasting.parts()


def test_tidying_up_may_fail(sim: SimSwarm) -> None:
    """What is left takes room, and no more; the next one who takes over tries again."""
    journal = SwarmJournal(sim.engine(patience=0))
    for number in range(20):
        finish(journal, name=f"r{number}")
    sim.fail_next("ConfigDelete", "503")
    finish(journal, name="r20")
    assert 20 == len(journal.history(SERVICE))
    assert 22 == len(sim.store.configs)
    acquire(journal, YOU)
    sim.run(100)
    sim.fail_next("ConfigList", "503")
    acquire(journal)
    assert 22 == len(sim.store.configs)
    sim.run(100)
    acquire(SwarmJournal(sim.engine()), YOU)
    assert 21 == len(sim.store.configs)
