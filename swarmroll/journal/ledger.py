"""
What every journal does, wherever it keeps things: leases, records, the last known good.

All that is ever changed of a service is one shelf, replaced as a whole and only as it was read. So
one write both records a decision and proves that the lease is still held; two drivers can never
both succeed. What was written is never assumed: when an answer is lost, it is read back.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Hashable

import attrs

from swarmroll.core.past import Past, fingerprint
from swarmroll.core.report import Report
from swarmroll.core.spec import ServiceSpec
from swarmroll.engine.port import Clock
from swarmroll.errors import EngineUnavailable, LeaseHeld
from swarmroll.journal.port import Lapsed, Owner, Record, report_on
from swarmroll.journal.shelf import (
    Entry,
    Holder,
    Kept,
    Line,
    Moved,
    Shelf,
    Store,
    line_of,
    proven_by,
    pruned,
)

TTL = 60.0
"""Seconds for which a lease holds; it is renewed three times as often."""

GRACE = 30.0
"""Seconds that a request may take to be carried out after it was sent."""

RENEWALS = 3

POLL = 1.0
"""Seconds between two looks at a lease that somebody else holds."""

TRIES = 5
"""So often a write is tried that was lost on the way, or came second."""

FRESH = 5.0
"""Seconds for which what was just read may serve as what to replace."""


class Ledger:
    """
    A journal on a store; see ``swarmroll.journal.port.Journal``.

    Args:
        ttl: Seconds for which a lease holds without being renewed.
        grace: Seconds that a request to the engine may take; a lease must last longer.
    """

    def __init__(
        self, store: Store, clock: Clock, *, ttl: float = TTL, grace: float = GRACE
    ) -> None:
        if not 0 < grace < ttl:
            raise ValueError(
                f"a lease must last longer than a request may take ({grace:g} s), got {ttl:g} s"
            )
        self._store = store
        self.clock = clock
        self.ttl = ttl
        self.grace = grace
        self._lock = threading.Lock()
        self._last_read: dict[str, tuple[float, Kept | None]] = {}

    # --- reading

    def unfinished(self, service_id: str) -> Record | None:
        """See Journal."""
        return self._shelf(service_id).open

    def last_known_good(
        self, service_id: str, *, other_than: ServiceSpec | None = None
    ) -> ServiceSpec | None:
        """See Journal."""
        shelf = self._shelf(service_id)
        avoided = None if other_than is None else fingerprint(other_than)
        if shelf.open is not None:
            for spec in proven_by(shelf.open.state):
                if fingerprint(spec) != avoided:
                    return spec
        for line in shelf.lines:
            if not any(mark != avoided for mark in line.good):
                continue
            entry = self._store.get(service_id, line.parts)
            for spec in entry.good if entry is not None else ():
                if fingerprint(spec) != avoided:
                    return spec
        return None

    def past(self, service_id: str) -> tuple[Past, ...]:
        """See Journal."""
        return tuple(line.past for line in self._shelf(service_id).lines)

    def history(self, service_id: str) -> tuple[Report, ...]:
        """See Journal."""
        lines = self._shelf(service_id).lines
        entries = self._store.every(service_id, lines) if lines else {}
        return tuple(entries[line.parts].report for line in lines if line.parts in entries)

    def _shelf(self, service_id: str) -> Shelf:
        kept = self.read(service_id)
        return Shelf() if kept is None else kept.shelf

    def read(self, service_id: str) -> Kept | None:
        """The shelf as it is now."""
        at = self.clock.monotonic()
        kept = self._store.read(service_id)
        with self._lock:
            self._last_read[service_id] = (at, kept)
        return kept

    def _read_lately(self, service_id: str) -> Kept | None:
        """
        What was read a moment ago, once; if it was changed since, it cannot be written over.

        That somebody held the lease a moment ago says nothing.
        """
        with self._lock:
            at, kept = self._last_read.pop(service_id, (float("-inf"), None))
        free = kept is None or kept.shelf.holder is None
        if free and self.clock.monotonic() - at < FRESH:
            return kept
        return self._store.read(service_id)

    # --- writing

    def acquire(
        self,
        service_id: str,
        owner: Owner,
        *,
        name: str,
        wait: float = 0.0,
        begin: Record | None = None,
        give_up: Callable[[], bool] | None = None,
    ) -> LedgerLease:
        """See Journal."""
        return _Taking(self, service_id, owner, name, begin).take(wait, give_up)

    def swap(self, service_id: str, shelf: Shelf, version: Hashable | None) -> None:
        """
        Replace a shelf; an answer that was lost is found out by reading it back.

        Raises:
            Moved: Somebody else wrote it first.
            EngineUnavailable: Nobody can tell.
        """
        with self._lock:
            self._last_read.pop(service_id, None)
        for left in reversed(range(TRIES)):
            try:
                self._store.swap(service_id, shelf, version)
            except EngineUnavailable:
                kept = self._store.read(service_id)
                if kept is not None and kept.shelf.stamp == shelf.stamp:
                    return
                if (None if kept is None else kept.version) != version:
                    raise Moved from None
                if not left:
                    raise
            else:
                return

    @property
    def store(self) -> Store:
        """Where it keeps things."""
        return self._store


class _Taking:
    """One attempt to take a lease, as long as it may take."""

    def __init__(
        self, ledger: Ledger, service_id: str, owner: Owner, name: str, begin: Record | None
    ) -> None:
        self._ledger = ledger
        self._clock = ledger.clock
        self._service_id = service_id
        self._owner = owner
        self._name = name
        self._begin = begin
        self._token = secrets.token_hex(8)
        self._given_up: dict[str, tuple[str, ...]] = {}

    def take(self, wait: float, give_up: Callable[[], bool] | None) -> LedgerLease:
        until = self._clock.monotonic() + wait
        kept = self._ledger._read_lately(self._service_id)  # noqa: SLF001 - of the same house
        seen, since, moves = None, self._clock.monotonic(), -1
        sure = False
        while True:
            holder = None if kept is None else kept.shelf.holder
            if kept is None or holder is None:
                lease = self._try(kept, "")
                if lease is not None:
                    return lease
            elif kept.version != seen:
                seen, since, moves = kept.version, self._clock.monotonic(), moves + 1
            now = self._clock.monotonic()
            if kept is not None and holder is not None:
                if now - since >= holder.ttl + holder.grace:
                    lease = self._try(kept, holder.owner)
                    if lease is not None:
                        return lease
                # A lease that was renewed under our eyes is alive, whatever the clocks say.
                dead = moves == 0 and self._clock.wall() > holder.expires
                over = now >= until and not dead
                if (over and sure) or (give_up is not None and give_up()):
                    raise held(self._name, holder)
                if over:
                    # A manager that lags behind may tell of one who has let go: ask twice.
                    sure = True
                else:
                    self._clock.sleep(POLL if dead else max(0.01, min(POLL, until - now)))
            kept = self._ledger.read(self._service_id)

    def _try(self, kept: Kept | None, taken_from: str) -> LedgerLease | None:
        old = Shelf() if kept is None else kept.shelf
        at = Moment.now(self._clock)
        wall = self._clock.wall()
        holder = Holder(
            owner=str(self._owner),
            token=self._token,
            since=wall,
            expires=wall + self._ledger.ttl,
            ttl=self._ledger.ttl,
            grace=self._ledger.grace,
        )
        turns = old.turns + 1
        new = attrs.evolve(old, turns=turns, stamp=f"{self._token}.0", holder=holder)
        if self._begin is not None:
            new = attrs.evolve(new, open=self._begin, lines=self._closing(old))
        version = None if kept is None else kept.version
        try:
            self._ledger.swap(self._service_id, new, version)
        except Moved:
            return None
        if taken_from:
            self._ledger.store.tidy(self._service_id, new, None)
        return LedgerLease(
            self._ledger,
            self._service_id,
            self._name,
            shelf=new,
            at=at,
            found=old.open,
            known=kept is not None,
            taken_from=taken_from,
        )

    def _closing(self, old: Shelf) -> tuple[Line, ...]:
        """The lines, with an unfinished rollout that nobody will finish any more."""
        if old.open is None:
            return old.lines
        report = report_on(old.open, f"given up, since {self._owner} began another rollout")
        entry = Entry(report=report, good=proven_by(old.open.state))
        parts = self._given_up.get(report.rollout_id)
        if parts is None:
            parts = self._ledger.store.put(self._service_id, entry)
            self._given_up[report.rollout_id] = parts
        return pruned((line_of(entry, parts), *old.lines))


def _same(line: Line, report: Report) -> bool:
    return line.past.rollout_id == report.rollout_id


def held(name: str, holder: Holder) -> LeaseHeld:
    """Says who holds a lease."""
    return LeaseHeld(
        f"service {name} is being rolled by {holder.owner}; wait for it, or abort that rollout",
        owner=holder.owner,
        since=holder.since,
        expires=holder.expires,
    )


@attrs.frozen
class Moment:
    """A moment on two clocks: one of them goes on while the machine sleeps."""

    awake: float
    always: float

    @classmethod
    def now(cls, clock: Clock) -> Moment:
        """This moment."""
        return cls(clock.monotonic(), clock.boottime())

    def elapsed(self, clock: Clock) -> float:
        """Seconds since, by the clock that counts more."""
        return max(clock.monotonic() - self.awake, clock.boottime() - self.always)


class LedgerLease:
    """A lease of a ledger; see ``swarmroll.journal.port.Lease``."""

    def __init__(
        self,
        ledger: Ledger,
        service_id: str,
        name: str,
        *,
        shelf: Shelf,
        at: Moment,
        found: Record | None,
        known: bool,
        taken_from: str,
    ) -> None:
        self._ledger = ledger
        self._service_id = service_id
        self._name = name
        self._shelf = shelf
        self._at = at
        self._over = False
        self._writes = 0
        self.found = found
        self.known = known
        self.taken_from = taken_from
        self.past = tuple(line.past for line in shelf.lines)

    def write(self, record: Record) -> str:
        """See Lease."""
        return self._write(attrs.evolve(self._shelf, open=record))

    def renew(self, *, least: float = 0.0) -> str:
        """See Lease."""
        elapsed = self._at.elapsed(self._ledger.clock)
        ttl = self._ledger.ttl
        due = elapsed >= ttl / RENEWALS or ttl - elapsed <= least
        return self._write(self._shelf) if due else ""

    def check(self, least: float) -> None:
        """See Lease."""
        if self._ledger.ttl - self._at.elapsed(self._ledger.clock) <= least:
            raise Lapsed

    def close(self, record: Record, report: Report) -> None:
        """See Lease."""
        if not record.state.phase.terminal:
            self._give_back(attrs.evolve(self._shelf, open=record))
            return
        entry = Entry(report=report, good=proven_by(record.state))
        parts = self._ledger.store.put(self._service_id, entry)
        lines = (line_of(entry, parts), *self._shelf.lines)
        # One that was given up, and went on all the same, has one end.
        kept = pruned((lines[0], *(one for one in lines[1:] if not _same(one, report))))
        left = self._shelf.open
        if left is not None and left.state.plan.id == report.rollout_id:
            left = None
        self._give_back(attrs.evolve(self._shelf, open=left, lines=kept))
        gone = tuple(line for line in lines if line not in kept)
        self._ledger.store.tidy(self._service_id, self._shelf, gone)

    def release(self) -> None:
        """See Lease."""
        if not self._over:
            self._give_back(self._shelf)

    def _give_back(self, shelf: Shelf) -> None:
        self._write(shelf, last=True)
        self._over = True

    def _write(self, shelf: Shelf, *, last: bool = False) -> str:
        """Replace the shelf, if the lease is still ours."""
        at = Moment.now(self._ledger.clock)
        mine = self._shelf.holder
        assert mine is not None
        expires = self._ledger.clock.wall() + self._ledger.ttl
        holder = None if last else attrs.evolve(mine, expires=expires)
        told = ""
        for _ in range(TRIES):
            self._writes += 1
            stamp = f"{mine.token}.{self._writes}"
            new = attrs.evolve(shelf, holder=holder, stamp=stamp)
            kept = self._ledger.read(self._service_id)
            if kept is None and mine.ttl <= self._at.elapsed(self._ledger.clock):
                # Whoever took it over may have had it removed; memory is too old to tell.
                raise self._lost(None)
            if kept is None:
                told = "its record was removed by somebody, and was written again from memory"
            elif not kept.shelf.written_by(mine.token):
                if kept.shelf.turns < self._shelf.turns:
                    # A manager that lags behind: it does not know of our lease yet.
                    continue
                raise self._lost(kept.shelf.holder)
            try:
                self._ledger.swap(self._service_id, new, None if kept is None else kept.version)
            except Moved:
                continue
            self._shelf, self._at = attrs.evolve(new, holder=mine), at
            return told
        raise self._lost(None)

    def _lost(self, holder: Holder | None) -> LeaseHeld:
        """Tell who has it now."""
        self._over = True
        if holder is not None:
            return held(self._name, holder)
        at = self._ledger.clock.wall()
        return LeaseHeld(
            f"the lease of service {self._name} was taken over by somebody else, who has given"
            " it back since",
            owner="somebody else",
            since=at,
            expires=at,
        )
