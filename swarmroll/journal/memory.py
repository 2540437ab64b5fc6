"""A journal that lives as long as the process: for one driver that nobody needs to take over."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Hashable, Mapping

from swarmroll.engine.clock import SystemClock
from swarmroll.engine.port import Clock
from swarmroll.journal.ledger import GRACE, TTL, Ledger
from swarmroll.journal.shelf import Entry, Kept, Line, Moved, Shelf


class MemoryStore:
    """See swarmroll.journal.shelf.Store: values as they are."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._shelves: dict[str, Kept] = {}
        self._entries: dict[tuple[str, ...], Entry] = {}

    def read(self, service_id: str) -> Kept | None:
        """See Store."""
        with self._lock:
            return self._shelves.get(service_id)

    def swap(self, service_id: str, shelf: Shelf, version: Hashable | None) -> None:
        """See Store."""
        with self._lock:
            kept = self._shelves.get(service_id)
            if (None if kept is None else kept.version) != version:
                raise Moved
            self._shelves[service_id] = Kept(shelf=shelf, version=next(self._numbers))

    def put(self, service_id: str, entry: Entry) -> tuple[str, ...]:
        """See Store."""
        with self._lock:
            parts = (service_id, str(next(self._numbers)))
            self._entries[parts] = entry
            return parts

    def get(self, service_id: str, parts: tuple[str, ...]) -> Entry | None:  # noqa: ARG002
        """See Store."""
        with self._lock:
            return self._entries.get(parts)

    def every(self, service_id: str, lines: tuple[Line, ...]) -> Mapping[tuple[str, ...], Entry]:
        """See Store."""
        found = {line.parts: self.get(service_id, line.parts) for line in lines}
        return {parts: entry for parts, entry in found.items() if entry is not None}

    def tidy(self, service_id: str, shelf: Shelf, gone: tuple[Line, ...] | None) -> None:
        """See Store."""
        needed = {line.parts for line in shelf.lines}
        with self._lock:
            if gone is None:
                dropped = [p for p in self._entries if p[0] == service_id and p not in needed]
            else:
                dropped = [line.parts for line in gone]
            for parts in dropped:
                self._entries.pop(parts, None)


class MemoryJournal(Ledger):
    """
    Keeps records as long as the process lives; see ``swarmroll.journal.port.Journal``.

    Nobody can attach from another process, and nobody there is kept from writing.
    """

    def __init__(
        self, clock: Clock | None = None, *, ttl: float = TTL, grace: float = GRACE
    ) -> None:
        super().__init__(MemoryStore(), clock or SystemClock(), ttl=ttl, grace=grace)
