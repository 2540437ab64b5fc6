"""What every journal promises, wherever it keeps things."""

from __future__ import annotations

import threading
from random import Random

import attrs
import pytest

from swarmroll import JournalError, LeaseHeld
from swarmroll.core.phases import Phase
from swarmroll.core.report import Evidence, Outcome
from swarmroll.core.state import Ask, Intent, Purpose, Sent
from swarmroll.journal.ledger import Ledger
from swarmroll.journal.port import Lapsed
from swarmroll.journal.shelf import KEPT

from .conftest import (
    GRACE,
    ME,
    SERVICE,
    TTL,
    YOU,
    Kind,
    a_record,
    a_spec,
    acquire,
    finish,
    outcomes,
    report_on,
    same,
    touch,
)

# --- the lease


def test_one_writes_at_a_time(kind: Kind) -> None:
    """The other is told who does, since when, and until when."""
    acquire(kind.journal(), YOU)
    kind.pass_(7)
    with pytest.raises(LeaseHeld, match=r"web is being rolled by you@there pid 2 \(ticket") as held:
        acquire(kind.journal())
    now = kind.clock.wall()
    assert str(YOU) == held.value.owner
    assert held.value.since == pytest.approx(now - 7, abs=1)
    assert held.value.expires == pytest.approx(now - 7 + TTL, abs=1)


def test_a_lease_given_back_is_free_at_once(kind: Kind) -> None:
    """And giving it back twice does nothing to who has it then."""
    lease = acquire(kind.journal(), YOU)
    lease.release()
    mine = acquire(kind.journal())
    lease.release()
    assert "" == mine.taken_from
    with pytest.raises(LeaseHeld, match="me@here"):
        acquire(kind.journal(), YOU)


def test_a_lease_is_waited_for(kind: Kind) -> None:
    """As long as was asked, and no longer."""
    lease = acquire(kind.journal(), YOU)
    began = kind.clock.monotonic()
    with pytest.raises(LeaseHeld):
        acquire(kind.journal(), wait=20)
    assert 20 == pytest.approx(kind.clock.monotonic() - began, abs=1.5)
    lease.release()
    acquire(kind.journal(), wait=20)


def test_that_somebody_had_it_a_moment_ago_says_nothing(kind: Kind) -> None:
    """Whoever has just looked asks again."""
    lease = acquire(kind.journal(), YOU)
    journal = kind.journal()
    assert journal.unfinished(SERVICE) is None
    lease.release()
    acquire(journal)


def test_a_lease_that_is_renewed_is_never_taken_over(kind: Kind) -> None:
    """However long somebody waits for it, and whatever the clocks say."""
    lease = acquire(kind.journal(), YOU)
    for _ in range(10):
        with pytest.raises(LeaseHeld):
            acquire(kind.journal(), wait=TTL / 3 + 2)
        lease.renew()
    kind.pass_(TTL + 1)
    # It seems to have expired; but then it is renewed under the eyes of the one who watches.
    kind.sim.after(TTL, lambda: touch(kind, lease))
    with pytest.raises(LeaseHeld):
        acquire(kind.journal())


def test_a_lease_that_expired_is_taken_over(kind: Kind) -> None:
    """After its time and that of one request, by the clock of the one who waits."""
    acquire(kind.journal(), YOU)
    kind.pass_(TTL + 1)
    began = kind.clock.monotonic()
    lease = acquire(kind.journal())
    assert TTL + GRACE == pytest.approx(kind.clock.monotonic() - began, abs=2)
    assert str(YOU) == lease.taken_from


def test_a_lease_is_taken_over_sooner_by_who_has_waited(kind: Kind) -> None:
    """It need not have seemed expired at the beginning."""
    acquire(kind.journal(), YOU)
    began = kind.clock.monotonic()
    assert str(YOU) == acquire(kind.journal(), wait=1000).taken_from
    assert TTL + GRACE == pytest.approx(kind.clock.monotonic() - began, abs=2)


def test_who_lost_the_lease_writes_nothing_more(kind: Kind) -> None:
    """Neither its state, nor its end, nor a renewal; and is told who has it."""
    record = a_record()
    lost = acquire(kind.journal(), YOU, begin=record)
    kind.pass_(TTL + 1)
    mine = acquire(kind.journal())
    before = kind.journal().unfinished(SERVICE)
    for write in (
        lambda: lost.write(a_record(Phase.PAUSED)),
        lost.renew,
        lambda: lost.close(a_record(Phase.COMPLETED), report_on(a_record(Phase.COMPLETED))),
    ):
        with pytest.raises(LeaseHeld, match="me@here"):
            write()
    lost.release()
    assert same(before, kind.journal().unfinished(SERVICE))
    mine.write(a_record(Phase.PAUSED))
    mine.release()
    with pytest.raises(LeaseHeld, match="taken over by somebody else"):
        lost.renew(least=TTL)


def test_the_clock_alone_says_that_too_little_is_left(kind: Kind) -> None:
    """Before a request is sent that could come to late; and a renewal mends it."""
    lease = acquire(kind.journal())
    lease.check(GRACE)
    kind.pass_(TTL - GRACE + 1)
    with pytest.raises(Lapsed):
        lease.check(GRACE)
    lease.renew(least=GRACE)
    lease.check(GRACE)


def test_a_lease_that_nobody_took_over_goes_on(kind: Kind) -> None:
    """After a long sleep: that nobody else wrote is proven by writing over what was written."""
    lease = acquire(kind.journal())
    kind.pass_(1000)
    lease.renew()
    lease.check(GRACE)


def test_of_many_who_ask_at_once_one_gets_it(kind: Kind) -> None:
    """Threads, each as on a machine of its own."""
    got: list[str] = []
    start = threading.Barrier(6)

    def ask(number: int) -> None:
        start.wait()
        try:
            acquire(kind.journal(), attrs.evolve(ME, name=f"driver {number}"))
        except LeaseHeld:
            return
        got.append(f"driver {number}")

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 1 == len(got)
    with pytest.raises(LeaseHeld, match=got[0]):
        acquire(kind.journal())


def test_services_do_not_know_of_each_other(kind: Kind) -> None:
    """A lease of one is none of another."""
    acquire(kind.journal(), YOU)
    other = kind.journal().acquire("anotherservice", ME, name="api")
    assert other.found is None
    assert not other.known


def test_a_lease_must_outlast_a_request(kind: Kind) -> None:
    """Or no write could ever be sent."""
    with pytest.raises(ValueError, match="must last longer than a request"):
        Ledger(kind.journal().store, kind.clock, ttl=10, grace=10)


# --- records


def test_nothing_is_on_record_at_first(kind: Kind) -> None:
    """And asking writes nothing."""
    journal = kind.journal()
    assert journal.unfinished(SERVICE) is None
    assert journal.last_known_good(SERVICE) is None
    assert () == journal.history(SERVICE)
    assert () == journal.past(SERVICE)


def test_a_rollout_is_on_record_from_its_first_moment(kind: Kind) -> None:
    """With its lease, in one write."""
    record = a_record()
    acquire(kind.journal(), begin=record)
    assert same(record, kind.journal().unfinished(SERVICE))


def test_what_a_successor_needs_is_read_back(kind: Kind) -> None:
    """Everything that the state keeps, whatever is in it."""
    old, new = a_spec("app:1"), a_spec("äpp:2", Labels={"ключ": "値 \u2028 \U0001f600"})
    stored = new.with_label("swarmroll.rollout", "r1.1").with_env(A="ü" * 50)
    record = a_record(
        Phase.UPDATING,
        old=old,
        new=new,
        asked=Ask.PAUSE,
        intent=Intent(
            purpose=Purpose.STEP,
            spec=new.with_label("swarmroll.rollout", "r1.2"),
            version=17,
            sent=Sent.LOST,
            answer="no answer",
            tries=2,
            started_before=3.5,
        ),
        expected=stored,
        fallback=old,
        back=(old, old.with_replicas(7)),
        writes=2,
        older=frozenset({"t1", "t2"}),
        displaced={"t9": 3, "t8": "node-1"},
        relabelled={"a": "b", "c": None},
        replicas=4,
        notes=("a note",),
    )
    evidence = Evidence(
        task_id="t1",
        slot=1,
        node="w1",
        state="failed",
        error="exit 1",
        exit_code=1,
        image="app:2",
        at=4.0,
        logs=("böse", "'quoted'"),
    )
    record = attrs.evolve(record, evidence={"t1": evidence})
    lease = acquire(kind.journal(), begin=a_record())
    lease.write(record)
    found = kind.journal().unfinished(SERVICE)
    assert found is not None
    assert record.state.lasting == found.state.lasting
    assert same(record, found)


def test_who_takes_it_over_finds_it(kind: Kind) -> None:
    """As it was written last."""
    lease = acquire(kind.journal(), YOU, begin=a_record())
    lease.write(a_record(Phase.PAUSED))
    kind.pass_(TTL + 1)
    mine = acquire(kind.journal())
    assert same(a_record(Phase.PAUSED), mine.found)
    assert mine.known


def test_a_paused_rollout_stays_open(kind: Kind) -> None:
    """And its lease is free."""
    record = a_record(Phase.PAUSED)
    lease = acquire(kind.journal(), begin=a_record())
    lease.close(record, report_on(record))
    assert () == kind.journal().history(SERVICE)
    assert same(record, acquire(kind.journal(), YOU).found)


def test_a_new_rollout_closes_one_that_nobody_will_finish(kind: Kind) -> None:
    """As it stands, and says why."""
    paused = a_record(Phase.PAUSED)
    acquire(kind.journal(), begin=a_record()).close(paused, report_on(paused))
    new = a_record(name="r2", image="app:3")
    acquire(kind.journal(), YOU, begin=new)
    journal = kind.journal()
    assert same(new, journal.unfinished(SERVICE))
    (report,) = journal.history(SERVICE)
    assert (Outcome.PAUSED, "r1") == (report.outcome, report.rollout_id)
    assert "given up" in report.trouble
    assert "ticket 4711" in report.trouble


def test_one_that_is_refused_leaves_an_open_one_alone(kind: Kind) -> None:
    """It was never begun, and is in the history all the same."""
    paused = a_record(Phase.PAUSED)
    acquire(kind.journal(), begin=a_record()).close(paused, report_on(paused))
    other = a_record(Phase.COMPLETED, name="r2")
    acquire(kind.journal(), YOU).close(other, report_on(other))
    assert ["r2"] == [one.rollout_id for one in kind.journal().past(SERVICE)]
    assert same(paused, kind.journal().unfinished(SERVICE))


def test_the_history_is_newest_first(kind: Kind) -> None:
    """Whole reports, with secrets masked, and few words of each."""
    secret = a_spec("app:2").with_env(DB_PASSWORD="hunter2-of-old")
    finish(kind.journal(), name="r1", new=secret)
    finish(kind.journal(), Phase.ROLLED_BACK, name="r2")
    journal = kind.journal()
    reports = journal.history(SERVICE)
    assert ["r2", "r1"] == [report.rollout_id for report in reports]
    assert [Outcome.ROLLED_BACK, Outcome.COMPLETED] == outcomes(journal.past(SERVICE))
    assert 7 == reports[0].engine_requests
    if kind.name != "memory":
        assert "hunter2" not in repr(reports[1].to_dict())


def test_the_last_twenty_are_kept(kind: Kind) -> None:
    """Of more, only those by which one can go back; and nothing else lies about."""
    finish(kind.journal(), name="first", image="good:1", old=a_spec("good:0"))
    for number in range(KEPT + 5):
        record = a_record(Phase.ROLLED_BACK, name=f"r{number}")
        # Nothing of these was ever proven.
        bad = attrs.evolve(
            record.state,
            plan=attrs.evolve(record.state.plan, baseline=None),
            transitions=record.state.transitions[:2],
            phase=Phase.ABORTED,
        )
        record = attrs.evolve(record, state=bad)
        acquire(kind.journal(), begin=a_record(name=f"r{number}")).close(record, report_on(record))
    journal = kind.journal()
    names = [report.rollout_id for report in journal.history(SERVICE)]
    assert [f"r{number}" for number in reversed(range(5, KEPT + 5))] + ["first"] == names
    good = journal.last_known_good(SERVICE)
    assert good is not None
    assert "good:1" == good.image
    other = journal.last_known_good(SERVICE, other_than=good)
    assert other is not None
    assert "good:0" == other.image
    if kind.name == "swarm":
        assert KEPT + 2 == len(kind.sim.engine().configs("swarmroll.service", SERVICE))
    if kind.name == "file":
        held = list((kind.folder / "state" / SERVICE).iterdir())
        assert KEPT + 3 == len(held), held


# --- the last known good


def test_what_was_proven_is_the_last_known_good(kind: Kind) -> None:
    """Before that, what ran when it began."""
    acquire(kind.journal(), begin=a_record(old=a_spec("app:1"))).release()
    good = kind.journal().last_known_good(SERVICE)
    assert good is not None
    assert "app:1" == good.image
    finish(kind.journal(), name="r2", image="app:2")
    good = kind.journal().last_known_good(SERVICE)
    assert good is not None
    assert "app:2" == good.image
    assert good.image == "app:2"
    before = kind.journal().last_known_good(SERVICE, other_than=good)
    assert before is not None
    assert "app:1" == before.image
    none = kind.journal().last_known_good(SERVICE, other_than=before)
    assert none is not None
    assert "app:2" == none.image


def test_a_release_that_failed_is_never_the_last_known_good(kind: Kind) -> None:
    """What was put back is."""
    old = a_spec("app:1")
    finish(kind.journal(), Phase.ROLLED_BACK, image="bad:1", old=old, expected=old)
    assert old == kind.journal().last_known_good(SERVICE)
    assert kind.journal().last_known_good(SERVICE, other_than=old) is None


def test_secrets_of_the_last_known_good_are_whole(kind: Kind) -> None:
    """It has to be written as it was; the report masks it."""
    new = a_spec("app:2").with_env(DB_PASSWORD="hunter2-of-old")
    finish(kind.journal(), new=new)
    good = kind.journal().last_known_good(SERVICE)
    assert good is not None
    assert "hunter2-of-old" == good.env["DB_PASSWORD"]


# --- sizes


def random_text(size: int) -> str:
    return CHANCE.randbytes(size // 2).hex()


CHANCE = Random(7)


def test_a_large_spec_is_kept_whole(lasting: Kind) -> None:
    """It is split where it has to be, and put together again; what is not needed is given back."""
    old = a_spec("app:1").with_env({f"BIG_{n}": random_text(2_000) for n in range(60)})
    new = old.with_image("app:2")
    record = a_record(old=old, new=new)
    journal = lasting.journal(limit=20_000)
    lease = acquire(journal, begin=record)
    few = len(lasting.parts())
    assert 3 <= few <= 4
    more = attrs.evolve(record.state, expected=new.with_env(MORE=random_text(120_000)))
    lease.write(attrs.evolve(record, state=more))
    assert same(attrs.evolve(record, state=more), lasting.journal().unfinished(SERVICE))
    assert few + 3 <= len(lasting.parts())
    lease.write(record)
    assert few == len(lasting.parts())
    end = a_record(Phase.COMPLETED, old=old, new=new)
    lease.close(end, report_on(end))
    assert end.state.plan.target == lasting.journal().last_known_good(SERVICE)
    (report,) = lasting.journal().history(SERVICE)
    assert 3 <= len(lasting.parts()) <= 9
    assert report.ok


def test_a_spec_that_is_too_large_is_refused_clearly(lasting: Kind) -> None:
    """Before anything is written."""
    old = a_spec("app:1").with_env(BIG=Random(7).randbytes(9_000_000).hex())
    with pytest.raises(JournalError, match=r"more than a journal keeps \(16 MiB\)"):
        acquire(lasting.journal(), begin=a_record(old=old, new=old.with_image("app:2")))
    assert lasting.journal().unfinished(SERVICE) is None
