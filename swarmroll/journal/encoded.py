"""A store for values on top of one that keeps text and bytes: what file and swarm share."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any, Protocol, TypeVar

from swarmroll.core.plan import Plan
from swarmroll.errors import EngineError, JournalError
from swarmroll.journal import codec
from swarmroll.journal.codec import Bound
from swarmroll.journal.port import Record
from swarmroll.journal.shelf import Entry, Kept, Line, Shelf

T = TypeVar("T")

INLINE = 24 * 1024
"""Bytes up to which a plan, or progress, stands in the head itself, and needs no part."""


class Drawer(Protocol):
    """
    Keeps one text for each service, which changes, and parts, which never do.

    Attributes:
        limit: Bytes that one part may have.
    """

    limit: int

    def where(self, service_id: str) -> str:
        """Where the text is, for messages, and for whoever wants to remove it."""

    def read(self, service_id: str) -> tuple[str, Hashable] | None:
        """The text, and the version by which it may be replaced; None where there is none."""

    def swap(self, service_id: str, text: str, version: Hashable | None) -> None:
        """
        Replace the text if it still has this version; None: put one where there is none.

        Raises:
            Moved: It has another.
        """

    def put(self, service_id: str, name: str, data: bytes) -> None:
        """Keep a part; one of the same name is the same."""

    def get(self, service_id: str, name: str) -> bytes | None:
        """A part; None where there is none."""

    def every(self, service_id: str) -> Mapping[str, bytes]:
        """Every part."""

    def drop(self, service_id: str, name: str) -> None:
        """Remove a part; one that is not there is removed."""


class Encoded:
    """A store (see swarmroll.journal.shelf.Store) in a drawer."""

    def __init__(self, drawer: Drawer) -> None:
        self._drawer = drawer
        self._lock = threading.Lock()
        self._plans: dict[str, tuple[Plan, object, Bound]] = {}
        self._loose: dict[str, set[str]] = {}
        self._last: dict[str, tuple[str, Shelf]] = {}

    # --- the shelf

    def read(self, service_id: str) -> Kept | None:
        """See Store."""
        found = self._drawer.read(service_id)
        if found is None:
            return None
        text, version = found
        with self._lock:
            last = self._last.get(service_id)
        if last is None or last[0] != text:
            last = (text, self._understood(service_id, self._shelf, text))
            with self._lock:
                self._last[service_id] = last
        return Kept(shelf=last[1], version=version)

    def _shelf(self, service_id: str, text: str) -> Shelf:
        head = codec.read_head(text)
        if head.opened is None:
            return head.shelf
        plan, progress = (head.opened.get(key) for key in ("plan", "progress"))
        with self._lock:
            for held in (plan, progress):
                self._loose.setdefault(service_id, set()).update(_names(held))
        record = self._record(service_id, plan, progress)
        return Shelf(
            turns=head.shelf.turns,
            stamp=head.shelf.stamp,
            holder=head.shelf.holder,
            open=record,
            lines=head.shelf.lines,
        )

    def _record(self, service_id: str, plan: object, progress: object) -> Record:
        with self._lock:
            known = self._plans.get(service_id)
        if known is not None and known[1] == plan:
            bound = known[2]
        else:
            bound = codec.read_plan(codec.unpack(self._packed(service_id, plan)))
        return codec.read_record(codec.unpack(self._packed(service_id, progress)), bound)

    def swap(self, service_id: str, shelf: Shelf, version: Hashable | None) -> None:
        """See Store."""
        opened, needed = None, set[str]()
        if shelf.open is not None:
            plan, bound = self._plan(service_id, shelf.open.state.plan)
            progress = self._stowed(
                service_id, codec.pack(codec.progress_document(shelf.open, bound))
            )
            opened = {"plan": plan, "progress": progress}
            needed = {*_names(plan), *_names(progress)}
        text = codec.head_text(shelf, opened)
        self._drawer.swap(service_id, text, version)
        with self._lock:
            self._last[service_id] = (text, shelf)
            loose = self._loose.pop(service_id, set())
            if needed:
                self._loose[service_id] = needed
        self._drop(service_id, loose - needed)

    def _plan(self, service_id: str, plan: Plan) -> tuple[object, Bound]:
        """Where the plan is kept: written once for each rollout."""
        with self._lock:
            known = self._plans.get(service_id)
        if known is None or known[0] is not plan:
            document, bound = codec.plan_document(plan)
            known = (plan, self._stowed(service_id, codec.pack(document)), bound)
            with self._lock:
                self._plans[service_id] = known
        return known[1], known[2]

    # --- packed documents

    def _stowed(self, service_id: str, data: bytes) -> str | list[str]:
        """What stands for a packed document: itself as text, or the parts that it is kept in."""
        if len(data) <= INLINE:
            return codec.shown(data)
        return list(self._parts(service_id, data))

    def _parts(self, service_id: str, data: bytes) -> tuple[str, ...]:
        cut = codec.pieces(data, self._drawer.limit)
        with self._lock:
            self._loose.setdefault(service_id, set()).update(cut)
        for name, piece in cut.items():
            self._drawer.put(service_id, name, piece)
        return tuple(cut)

    def _packed(self, service_id: str, held: object) -> bytes:
        if not isinstance(held, list):
            return codec.hidden(held)
        return self._joined(held, lambda name: self._drawer.get(service_id, name))

    @staticmethod
    def _joined(names: Iterable[object], get: Callable[[str], bytes | None]) -> bytes:
        data = b""
        for name in names:
            piece = get(str(name))
            if piece is None:
                raise codec.Damaged(f"its part {name} was removed")
            if codec.name_of(piece) != name:
                raise codec.Damaged(f"its part {name} was changed, or cut off")
            data += piece
        return data

    # --- entries

    def put(self, service_id: str, entry: Entry) -> tuple[str, ...]:
        """See Store."""
        parts = self._parts(service_id, codec.pack(codec.entry_document(entry)))
        with self._lock:
            self._loose[service_id] -= set(parts)
        return parts

    def get(self, service_id: str, parts: tuple[str, ...]) -> Entry | None:
        """See Store."""
        found = {name: self._drawer.get(service_id, name) for name in parts}
        return self._entry(service_id, parts, found)

    def every(self, service_id: str, lines: tuple[Line, ...]) -> Mapping[tuple[str, ...], Entry]:
        """See Store."""
        held = self._drawer.every(service_id)
        found = {line.parts: self._entry(service_id, line.parts, held) for line in lines}
        return {parts: entry for parts, entry in found.items() if entry is not None}

    def _entry(
        self, service_id: str, parts: tuple[str, ...], held: Mapping[str, bytes | None]
    ) -> Entry | None:
        if any(held.get(name) is None for name in parts):
            return None

        def read(_: str, names: tuple[str, ...]) -> Entry:
            return codec.read_entry(codec.unpack(self._joined(names, held.get)))

        return self._understood(service_id, read, parts)

    # --- tidying

    def tidy(self, service_id: str, shelf: Shelf, gone: tuple[Line, ...] | None) -> None:
        """See Store."""
        if gone is not None:
            self._drop(service_id, [name for line in gone for name in line.parts])
            return
        needed = {name for line in shelf.lines for name in line.parts}
        with self._lock:
            needed |= self._loose.get(service_id, set())
        try:
            head = self._drawer.read(service_id)
            if head is None:
                return
            for held in (codec.read_head(head[0]).opened or {}).values():
                needed |= set(_names(held))
            left = self._drawer.every(service_id)
        except (EngineError, JournalError, ValueError):
            return
        self._drop(service_id, left.keys() - needed)

    def _drop(self, service_id: str, names: Iterable[str]) -> None:
        for name in names:
            try:
                self._drawer.drop(service_id, name)
            except (EngineError, JournalError):
                # It takes room, and no more; the next one who takes over tries again.
                return

    # --- what is wrong with it

    def _understood(self, service_id: str, read: Callable[[str, Any], T], what: Any) -> T:
        """
        Read something, and say where it is if it cannot be read.

        Raises:
            JournalError: It is damaged, or newer than this.
        """
        where = self._drawer.where(service_id)
        try:
            return read(service_id, what)
        except codec.Newer as exc:
            raise JournalError(f"the record in {where} cannot be read: {exc}") from None
        except ValueError as exc:
            raise JournalError(
                f"the record in {where} cannot be read: {exc}; nothing was written to the service;"
                " remove it if nobody needs it, to begin a new one"
            ) from exc


def _names(held: object) -> list[str]:
    """The parts that a document is kept in; none if it stands in the head."""
    return [str(name) for name in held] if isinstance(held, list) else []
