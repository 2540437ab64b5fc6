"""What a journal keeps of one service, as a value, and where such values are kept."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from typing import Protocol

import attrs

from swarmroll.core.past import Past, fingerprint
from swarmroll.core.phases import Phase
from swarmroll.core.report import Report
from swarmroll.core.spec import ServiceSpec
from swarmroll.core.state import State
from swarmroll.journal.port import Record

KEPT = 20
"""Finished rollouts kept for each service."""

PROVEN = (Phase.COMPLETED, Phase.UNCHANGED, Phase.ROLLED_BACK)


@attrs.frozen(kw_only=True)
class Holder:
    """
    Who holds the lease of a service.

    Attributes:
        token: Told of nobody else, ever.
        since: Owner's wall clock when it was taken, seconds since the epoch; for people.
        expires: Owner's wall clock when it ends unless it is renewed; for people, too.
        ttl: Seconds for which it holds from the moment when it was last written.
        grace: Seconds that a request of the owner's may take to be carried out.
    """

    owner: str
    token: str
    since: float
    expires: float
    ttl: float
    grace: float


@attrs.frozen(kw_only=True)
class Entry:
    """
    A finished rollout.

    Attributes:
        good: The specs that it proved to run, the best first: what it left, what it found.
    """

    report: Report
    good: tuple[ServiceSpec, ...] = ()


@attrs.frozen(kw_only=True)
class Line:
    """
    A finished rollout as the shelf lists it.

    Attributes:
        parts: Where the entry is kept.
        good: Fingerprints of the specs that it proved to run.
    """

    past: Past
    parts: tuple[str, ...] = ()
    good: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class Shelf:
    """
    What is kept of one service, and written in one piece.

    Attributes:
        turns: How many leases there were: of two drivers, the one with the higher number came
            later.
        stamp: Who wrote it last, and which of that driver's writes it was: ``token.number``.
        open: The rollout under way.
        lines: Finished rollouts, newest first.
    """

    turns: int = 0
    stamp: str = ""
    holder: Holder | None = None
    open: Record | None = None
    lines: tuple[Line, ...] = ()

    def written_by(self, token: str) -> bool:
        """Whether the driver with this token wrote it last."""
        return self.stamp.partition(".")[0] == token


@attrs.frozen(kw_only=True)
class Kept:
    """A shelf as it was read, and the version by which it may be replaced."""

    shelf: Shelf
    version: Hashable


class Moved(Exception):
    """Somebody else wrote the shelf since it was read; nothing was written."""


class Store(Protocol):
    """
    Keeps shelves, one at a time and each with a version, and entries, which never change.

    Safe to be used from several threads and machines. Raises EngineError or JournalError where it
    cannot be reached, or finds what it did not write.
    """

    def read(self, service_id: str) -> Kept | None:
        """The shelf as it is now; None where there never was one, or somebody removed it."""

    def swap(self, service_id: str, shelf: Shelf, version: Hashable | None) -> None:
        """
        Replace the shelf, if it still has this version; None: put one where there is none.

        Raises:
            Moved: It has another.
        """

    def put(self, service_id: str, entry: Entry) -> tuple[str, ...]:
        """Keep an entry; returns where."""

    def get(self, service_id: str, parts: tuple[str, ...]) -> Entry | None:
        """An entry; None where somebody has removed it."""

    def every(self, service_id: str, lines: tuple[Line, ...]) -> Mapping[tuple[str, ...], Entry]:
        """The entries of all these lines that are still there, by where they are kept."""

    def tidy(self, service_id: str, shelf: Shelf, gone: tuple[Line, ...] | None) -> None:
        """
        Remove what is not needed any more; never fails, since nothing depends on it.

        Args:
            shelf: What is still needed.
            gone: What is not; None looks for whatever a driver that died has left.
        """


def proven_by(state: State) -> tuple[ServiceSpec, ...]:
    """The specs that a rollout proved to run, the best first."""
    found: list[ServiceSpec] = []
    if state.phase in PROVEN:
        found.append(state.expected or state.plan.target)
    baseline = state.plan.baseline
    if baseline is not None and baseline not in found:
        # Proven when it was planned, or on record before.
        found.append(baseline)
    return tuple(found)


def line_of(entry: Entry, parts: tuple[str, ...]) -> Line:
    """How an entry is listed."""
    return Line(
        past=Past.of(entry.report),
        parts=parts,
        good=tuple(fingerprint(spec) for spec in entry.good),
    )


def pruned(lines: tuple[Line, ...]) -> tuple[Line, ...]:
    """
    The lines that are kept: the last 20, and those by which one can go back.

    Of these there are at most two: the last known good spec, and the last one before it whose
    tasks differ.
    """
    kept = set(range(min(KEPT, len(lines))))
    good = [(number, mark) for number, line in enumerate(lines) for mark in line.good]
    if good:
        kept.add(good[0][0])
        kept.update(_first(number for number, mark in good if mark != good[0][1]))
    return tuple(line for number, line in enumerate(lines) if number in kept)


def _first(numbers: Iterator[int]) -> tuple[int, ...]:
    return tuple(number for number in [next(numbers, None)] if number is not None)
