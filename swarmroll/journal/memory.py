"""A journal that lives as long as the process: for one driver that nobody needs to take over."""

from __future__ import annotations

import threading
from collections import deque

import attrs

from swarmroll.core.phases import Phase
from swarmroll.core.report import Report
from swarmroll.core.spec import ServiceSpec
from swarmroll.core.state import State
from swarmroll.engine.clock import SystemClock
from swarmroll.engine.port import Clock
from swarmroll.errors import LeaseHeld
from swarmroll.journal.port import Lease, Owner

KEPT = 20
"""Finished rollouts kept for each service."""

FOREVER = float("inf")

PROVEN = (Phase.COMPLETED, Phase.UNCHANGED, Phase.ROLLED_BACK)


@attrs.define
class _Shelf:
    """What is kept of one service."""

    owner: Owner | None = None
    since: float = 0.0
    open: State | None = None
    good: deque[ServiceSpec] = attrs.field(factory=lambda: deque(maxlen=KEPT))
    reports: deque[Report] = attrs.field(factory=lambda: deque(maxlen=KEPT))


class MemoryJournal:
    """See swarmroll.journal.port.Journal. Its leases never expire: they end with the process."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock: Clock = clock or SystemClock()
        self._lock = threading.Condition()
        self._shelves: dict[str, _Shelf] = {}

    def acquire(self, service_id: str, owner: Owner, *, name: str, wait: float = 0.0) -> Lease:
        """See Journal."""
        with self._lock:
            shelf = self._shelf(service_id)
            if not self._lock.wait_for(lambda: shelf.owner is None, timeout=wait):
                raise LeaseHeld(
                    f"service {name} is being rolled by {shelf.owner}; wait for it, or"
                    " abort that rollout",
                    owner=str(shelf.owner),
                    since=shelf.since,
                    expires=FOREVER,
                )
            shelf.owner, shelf.since = owner, self._clock.wall()
        return _MemoryLease(self, service_id, owner)

    def record(self, state: State) -> None:
        """See Journal."""
        with self._lock:
            shelf = self._shelf(state.plan.service_id)
            shelf.open = state
            if state.plan.baseline is not None:
                # Proven when it was planned, or on record before.
                _keep(shelf.good, state.plan.baseline)

    def finish(self, state: State, report: Report) -> None:
        """See Journal."""
        with self._lock:
            shelf = self._shelf(state.plan.service_id)
            shelf.open = None if state.phase.terminal else state
            if state.phase in PROVEN:
                _keep(shelf.good, state.expected or state.plan.target)
            if state.phase.terminal:
                shelf.reports.appendleft(report)

    def unfinished(self, service_id: str) -> State | None:
        """See Journal."""
        with self._lock:
            return self._shelf(service_id).open

    def last_known_good(
        self, service_id: str, *, other_than: ServiceSpec | None = None
    ) -> ServiceSpec | None:
        """See Journal."""
        with self._lock:
            good = self._shelf(service_id).good
            if other_than is None:
                return good[0] if good else None
            return next((spec for spec in good if spec.template != other_than.template), None)

    def history(self, service_id: str) -> tuple[Report, ...]:
        """See Journal."""
        with self._lock:
            return tuple(self._shelf(service_id).reports)

    def _shelf(self, service_id: str) -> _Shelf:
        return self._shelves.setdefault(service_id, _Shelf())

    def give_back(self, service_id: str, owner: Owner) -> None:
        """End a lease, if that owner still holds it."""
        with self._lock:
            shelf = self._shelf(service_id)
            if shelf.owner is owner:
                shelf.owner = None
                self._lock.notify_all()


def _keep(good: deque[ServiceSpec], spec: ServiceSpec) -> None:
    """Put a proven spec first, once."""
    if spec in good:
        good.remove(spec)
    good.appendleft(spec)


class _MemoryLease:
    def __init__(self, journal: MemoryJournal, service_id: str, owner: Owner) -> None:
        self._journal, self._service_id, self._owner = journal, service_id, owner

    def renew(self) -> None:
        """See Lease: nobody can take it over."""

    def release(self) -> None:
        """See Lease."""
        self._journal.give_back(self._service_id, self._owner)
