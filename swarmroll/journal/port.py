"""
What is written down of a rollout, and the lease that lets one driver write.

A journal keeps, for each service: the rollout under way as its latest state, finished rollouts as
reports, and the specs that were proven to run. What it keeps must survive as long as it promises
to: the memory journal as long as the process, the file journal as long as the disk, the swarm
journal as long as the swarm.

Methods may raise EngineError where the journal lives in the swarm, and JournalError everywhere;
both mean that nobody knows whether it was written, unless they say so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import attrs

from swarmroll.core.past import Past
from swarmroll.core.report import Evidence, Report, make_report
from swarmroll.core.spec import ServiceSpec
from swarmroll.core.state import State


@attrs.frozen(kw_only=True)
class Owner:
    """
    Who drives a rollout.

    Attributes:
        name: ``user@host pid N``.
        reason: Why, as the caller said; may be empty.
    """

    name: str
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.name} ({self.reason})" if self.reason else self.name


@attrs.frozen(kw_only=True)
class Record:
    """
    A rollout under way, as it is written down.

    Attributes:
        state: Where it stands; of a record that was read, only what ``State.lasting`` has.
        evidence: What was saved of failed tasks, by task id.
        started_at: Wall clock of its first driver, seconds since the epoch.
        engine_requests: Requests that its drivers have sent so far.
    """

    state: State
    evidence: Mapping[str, Evidence] = attrs.field(factory=dict)
    started_at: float = 0.0
    engine_requests: int = 0


def report_on(record: Record, trouble: str = "") -> Report:
    """
    The report of a rollout as somebody else left it.

    Args:
        trouble: Why it is not gone on with; may be empty.
    """
    moves = record.state.transitions
    return make_report(
        record.state,
        evidence=record.evidence,
        started_at=record.started_at,
        finished_at=moves[-1].at if moves else record.started_at,
        engine_requests=record.engine_requests,
        trouble=trouble,
    )


class Lapsed(Exception):
    """Too little is left of the lease to begin a write; renew it first. Never leaves the runner."""


class Lease(Protocol):
    """
    The right to write one service, held by one driver at a time.

    Attributes:
        found: The unfinished rollout that was on record when it was taken; None if there was none.
        known: Whether there was any record of the service at all.
        taken_from: Whose lease had expired and was taken over; empty if nobody's.
        past: The finished rollouts that are on record, newest first.
    """

    found: Record | None
    known: bool
    taken_from: str
    past: tuple[Past, ...]

    def write(self, record: Record) -> str:
        """
        Write down where the rollout stands; this keeps the lease too.

        Returns:
            What there is to tell of it, a sentence; mostly empty.

        Raises:
            LeaseHeld: It was lost to somebody else meanwhile; write nothing more.
        """

    def renew(self, *, least: float = 0.0) -> str:
        """
        Keep the lease, if a third of its time is over.

        Args:
            least: Or if not more than so many seconds of it are left.

        Returns:
            What there is to tell of it, a sentence; mostly empty.

        Raises:
            LeaseHeld: It was lost to somebody else meanwhile; write nothing more.
        """

    def check(self, least: float) -> None:
        """
        Look at the clock, and at nothing else.

        Raises:
            Lapsed: Not more than ``least`` seconds are left, suspended time counted.
        """

    def close(self, record: Record, report: Report) -> None:
        """
        Write down how the driver left the rollout, and give the lease back, both at once.

        A terminal rollout is closed; a paused or detached one stays open for ``attach``.

        Raises:
            LeaseHeld: It was lost to somebody else, who keeps the record now.
        """

    def release(self) -> None:
        """Give it back and leave the record as it is; a second call does nothing."""


class Journal(Protocol):
    """Where rollouts are recorded. Safe to be used from several threads."""

    def acquire(
        self,
        service_id: str,
        owner: Owner,
        *,
        name: str,
        wait: float = 0.0,
        begin: Record | None = None,
        give_up: Callable[[], bool] | None = None,
    ) -> Lease:
        """
        Take the lease of a service.

        One that seems to have expired is watched for its whole time, and taken over if nobody
        renews it: clocks of different machines are not compared.

        Args:
            name: The service's name, for messages.
            wait: Seconds to wait for somebody else to give it back.
            begin: A new rollout to be written down with it, in place of any unfinished one,
                which is closed as it stands.
            give_up: Asked about once a second while it waits; True ends the wait.

        Raises:
            LeaseHeld: Somebody holds it; names them, since when, and until when.
        """

    def unfinished(self, service_id: str) -> Record | None:
        """The unfinished rollout of a service; None if there is none."""

    def last_known_good(
        self, service_id: str, *, other_than: ServiceSpec | None = None
    ) -> ServiceSpec | None:
        """
        The spec that was last proven to run; None if none is on record.

        Args:
            other_than: Only one whose tasks differ from those of this spec.
        """

    def past(self, service_id: str) -> tuple[Past, ...]:
        """Finished rollouts of a service in few words, newest first."""

    def history(self, service_id: str) -> tuple[Report, ...]:
        """Finished rollouts of a service, newest first; secrets in their specs are masked."""
