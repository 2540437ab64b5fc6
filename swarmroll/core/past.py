"""A finished rollout in few words: what planning the next one asks about it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator

import attrs

from swarmroll.core.findings import Finding, Severity
from swarmroll.core.image import ImageReference
from swarmroll.core.report import Outcome, Report
from swarmroll.core.spec import ServiceSpec

RECENTLY = 3600.0
"""Seconds for which a release that failed is not rolled out again without being asked twice."""

BAD_ENDS = (Outcome.ROLLED_BACK, Outcome.ROLLBACK_FAILED, Outcome.PAUSED)


@attrs.frozen(kw_only=True)
class Past:
    """
    A finished rollout in few words.

    Attributes:
        release: Fingerprint of the task template that it rolled out.
        image: The image of that release.
        failed: Whether tasks of the release failed, and it did not come to run.
        at: Driver's wall clock when it ended, seconds since the epoch.
    """

    rollout_id: str
    outcome: Outcome
    release: str
    image: str
    failed: bool
    at: float

    @classmethod
    def of(cls, report: Report) -> Past:
        """A report in few words."""
        return cls(
            rollout_id=report.rollout_id,
            outcome=report.outcome,
            release=fingerprint(report.target),
            image=report.target.image,
            failed=report.outcome in BAD_ENDS and bool(report.failures),
            at=report.finished_at,
        )


def fingerprint(spec: ServiceSpec) -> str:
    """Names a task template: the same for two specs exactly if their tasks are made alike."""
    text = json.dumps(spec.template.to_engine(), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def of_past(past: Iterable[Past], target: ServiceSpec, now: float) -> Iterator[Finding]:
    """
    Whether this very release, known by the digest of its image, has failed a moment ago.

    Args:
        past: Finished rollouts of the service, newest first.
        now: Wall clock, seconds since the epoch.
    """
    if not ImageReference.parse(target.image).digest:
        # A tag may mean another image by now.
        return
    release = fingerprint(target)
    for one in past:
        if not one.failed or one.image != target.image or now - one.at >= RECENTLY:
            continue
        minutes = max(0.0, now - one.at) / 60
        told = f"{target.image} failed {minutes:.0f} min ago ({one.outcome.replace('_', ' ')})"
        if one.release == release:
            yield Finding(
                code="failed-recently",
                severity=Severity.ERROR,
                message=f"this very release of {told}",
                fix="build another, or allow 'failed-recently' if the cause was elsewhere",
            )
        else:
            yield Finding(
                code="failed-recently",
                severity=Severity.WARNING,
                message=f"{told}, in a spec that differs from this one",
            )
        return
