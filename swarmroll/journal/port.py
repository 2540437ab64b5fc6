"""
What is written down of a rollout, and the lease that lets one driver write.

A journal keeps, for each service: the rollout under way as its latest state, finished rollouts as
reports, and the last known good spec. What it keeps must survive as long as it promises to: the
memory journal as long as the process.
"""

from __future__ import annotations

from typing import Protocol

import attrs

from swarmroll.core.report import Report
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


class Lease(Protocol):
    """The right to write one service, held by one driver at a time."""

    def renew(self) -> None:
        """
        Keep it.

        Raises:
            LeaseHeld: It was lost to somebody else meanwhile; write nothing more.
        """

    def release(self) -> None:
        """Give it back; a second call does nothing."""


class Journal(Protocol):
    """Where rollouts are recorded. Safe to be used from several threads."""

    def acquire(self, service_id: str, owner: Owner, *, name: str, wait: float = 0.0) -> Lease:
        """
        Take the lease of a service.

        Args:
            name: The service's name, for the message.
            wait: Seconds to wait for somebody else to give it back.

        Raises:
            LeaseHeld: Somebody holds it; names them, since when, and until when.
        """

    def record(self, state: State) -> None:
        """Write down where a rollout stands, before anything that it decided is carried out."""

    def finish(self, state: State, report: Report) -> None:
        """
        Write down how a driver left a rollout.

        A terminal one is closed; a paused or detached one stays open for ``attach``.
        """

    def unfinished(self, service_id: str) -> State | None:
        """Where the open rollout of a service stands; None if there is none."""

    def last_known_good(
        self, service_id: str, *, other_than: ServiceSpec | None = None
    ) -> ServiceSpec | None:
        """
        The spec that was last proven to run; None if none is on record.

        Args:
            other_than: Only one whose tasks differ from those of this spec.
        """

    def history(self, service_id: str) -> tuple[Report, ...]:
        """Finished rollouts of a service, newest first."""
