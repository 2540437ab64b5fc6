"""
Everything that swarmroll raises on purpose.

    SwarmrollError
    ├── SpecError (also ValueError)      a value that no service spec may hold
    ├── PlanError                        a rollout that cannot be planned, or not this way
    ├── PreflightError                   findings of severity "error" stand in the way
    ├── EngineError                      the engine refused, or answered nonsense
    │   ├── EngineUnavailable            no answer within the time that it was given
    │   │   └── ConnectionClosed         the Swarm was closed meanwhile
    │   ├── NotAManager                  an engine, but not one that manages a swarm
    │   ├── ServiceNotFound
    │   └── Conflict                     the version that was read is no longer the newest
    ├── JournalError                     the record of rollouts cannot be read, or not written
    ├── LeaseHeld                        somebody else rolls this service
    ├── RolloutFailed                    it ran, and did not complete; carries the report
    │   ├── RolledBack
    │   ├── RollbackFailed
    │   ├── RolloutPaused
    │   ├── Superseded
    │   ├── ServiceGone
    │   ├── Aborted
    │   └── Detached                 its driver was asked to let go of it; attach() goes on
    └── NoRollout                        there is nothing to attach to

Foreign exceptions (docker-py, requests, urllib3, OSError) are translated where they enter and
never leave swarmroll; the original is kept as ``__cause__``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from swarmroll.printable import printable

if TYPE_CHECKING:
    from swarmroll.core.findings import Finding
    from swarmroll.core.report import Report


class SwarmrollError(Exception):
    """
    Base of every exception that swarmroll raises on purpose.

    Attributes:
        report: The report of the rollout that it ended, or cut off; None where there was none.
    """

    report: Report | None = None
    _code = 2

    def __init__(self, message: str = "") -> None:
        # Most of them quote somebody: an engine, a caller, whoever holds a lease.
        super().__init__(printable(message))

    @property
    def exit_code(self) -> int:
        """What a deploy script should exit with: the report's code, where there is a report."""
        return self._code if self.report is None else self.report.exit_code


class SpecError(SwarmrollError, ValueError):
    """A value that no service spec may hold; names the path, what was wanted and what came."""


class PlanError(SwarmrollError):
    """
    The change cannot be planned, or not carried out as planned; nothing was written.

    For example a job-mode service, nothing to roll back to, a plan that is stale, or a spec that
    the engine refuses.

    Attributes:
        report: The report of the refused rollout, where one had begun.
    """

    _code = 3

    def __init__(self, message: str, report: Report | None = None) -> None:
        super().__init__(message)
        self.report = report


class PreflightError(SwarmrollError):
    """
    Findings of severity ``error`` stand in the way; nothing was written.

    Attributes:
        findings: The findings that refuse, in the order of the plan.
        report: The report of the refused rollout, where one had begun.
    """

    _code = 3

    def __init__(self, findings: Sequence[Finding], report: Report | None = None) -> None:
        self.findings = tuple(findings)
        self.report = report
        super().__init__("refused: " + "; ".join(str(finding) for finding in self.findings))


class EngineError(SwarmrollError):
    """
    The engine refused a request, or answered something that is no answer.

    Attributes:
        status: HTTP status code of the answer, None where there was none.
    """

    _code = 8

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class EngineUnavailable(EngineError):
    """
    The engine did not answer within the time that it was given.

    Attributes:
        report: What had happened so far, when a rollout was cut off by this.
    """

    def __init__(
        self, message: str, *, status: int | None = None, report: Report | None = None
    ) -> None:
        super().__init__(message, status=status)
        self.report = report


class ConnectionClosed(EngineUnavailable):
    """The ``Swarm`` was closed; what it had begun is left as it stands. Waiting does not help."""


class NotAManager(EngineError):
    """The engine answers, but does not manage a swarm."""


class ServiceNotFound(EngineError):
    """No service has that name or id."""

    _code = 2


class Conflict(EngineError):
    """
    The version that the write carried is not the service's version any more.

    The engine says so as HTTP 500 ``update out of sequence`` (swarmkit
    manager/controlapi/service.go); swarmroll looks again before it decides again.
    """


class JournalError(SwarmrollError):
    """
    The record of rollouts cannot be read, or cannot be written; the service was not written either.

    It was changed by somebody, cut off, made by a newer swarmroll, or others may write it; or there
    is no room for it. The message says which, and what to do.

    Attributes:
        report: What had happened so far, when a rollout was cut off by this.
    """

    _code = 3

    def __init__(self, message: str, report: Report | None = None) -> None:
        super().__init__(message)
        self.report = report


class LeaseHeld(SwarmrollError):
    """
    Somebody else is rolling this service.

    Attributes:
        owner: Who holds the lease, as ``user@host pid N``, with the reason given.
        since: When it was taken, seconds since the epoch.
        expires: When it ends unless it is renewed, seconds since the epoch.
        report: What had happened so far, when a rollout lost its lease.
    """

    _code = 3

    def __init__(
        self,
        message: str,
        *,
        owner: str,
        since: float,
        expires: float,
        report: Report | None = None,
    ) -> None:
        super().__init__(message)
        self.owner = owner
        self.since = since
        self.expires = expires
        self.report = report


class RolloutFailed(SwarmrollError):
    """
    The rollout ran and did not complete.

    Attributes:
        report: How it ended, with the evidence.
    """

    report: Report

    def __init__(self, report: Report) -> None:
        super().__init__(report.headline)
        self.report = report


class RolledBack(RolloutFailed):
    """The release failed; the last known good spec runs again, proven."""


class RollbackFailed(RolloutFailed):
    """The release failed, and so did putting the old one back: a person is needed."""


class RolloutPaused(RolloutFailed):
    """The rollout stands still in the middle and waits for a person."""


class Superseded(RolloutFailed):
    """Somebody else wrote the service; nothing of theirs was overwritten."""


class ServiceGone(RolloutFailed):
    """The service was removed in the middle."""


class Aborted(RolloutFailed):
    """Somebody asked this rollout to stop."""


class Detached(RolloutFailed):
    """Its driver was asked to let go of this rollout: it is not over, and anybody may attach."""


class NoRollout(SwarmrollError):
    """No unfinished rollout of that service is on record."""
