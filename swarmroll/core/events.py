"""What observers are told: one frozen value for each thing that happened."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from swarmroll.core.failure import Failure
from swarmroll.core.findings import Finding
from swarmroll.core.gate import GateAnswer
from swarmroll.core.phases import Transition
from swarmroll.core.plan import Plan
from swarmroll.core.report import Evidence, Report
from swarmroll.core.snapshot import SlotKey
from swarmroll.core.state import Purpose, State


@attrs.frozen(kw_only=True)
class Event:
    """
    Something that happened in a rollout.

    Attributes:
        rollout_id: Which rollout.
        service: Name of its service.
        at: Driver's wall clock, seconds since the epoch.
    """

    rollout_id: str
    service: str
    at: float


@attrs.frozen(kw_only=True)
class Started(Event):
    """A rollout began; nothing is written yet."""

    plan: Plan


@attrs.frozen(kw_only=True)
class Moved(Event):
    """The rollout went to another phase."""

    transition: Transition


@attrs.frozen(kw_only=True)
class Wrote(Event):
    """A spec was seen stored that this rollout had sent."""

    purpose: Purpose
    image: str


@attrs.frozen(kw_only=True)
class TaskMade(Event):
    """A task of the spec that is being rolled out (or put back) was seen for the first time."""

    slot: SlotKey
    task_id: str


@attrs.frozen(kw_only=True)
class TaskRunning(Event):
    """Such a task runs; with a health check, it is healthy."""

    slot: SlotKey
    task_id: str


@attrs.frozen(kw_only=True)
class TaskFailed(Event):
    """Such a task failed: told at once; the evidence follows when it is saved."""

    failure: Failure


@attrs.frozen(kw_only=True)
class TaskDisplaced(Event):
    """Such a task was stopped through no fault of the release."""

    slot: SlotKey
    task_id: str


@attrs.frozen(kw_only=True)
class EvidenceSaved(Event):
    """What could still be had of a failed task."""

    evidence: Evidence


@attrs.frozen(kw_only=True)
class GateJudged(Event):
    """A gate has said something; ``answer.times`` counts how often it said the same."""

    answer: GateAnswer


@attrs.frozen(kw_only=True)
class Adopted(Event):
    """Somebody else changed replicas or service labels, and it was let be."""

    change: str


@attrs.frozen(kw_only=True)
class Noted(Event):
    """Something else to tell."""

    note: str


@attrs.frozen(kw_only=True)
class Found(Event):
    """A finding made on the way."""

    finding: Finding


@attrs.frozen(kw_only=True)
class Finished(Event):
    """The driver stops: the rollout has ended, is paused, or is left to others."""

    report: Report


def between(old: State, new: State, at: float) -> tuple[Event, ...]:
    """What happened from one state to the next, in a sensible order."""
    who = {"rollout_id": new.plan.id, "service": new.plan.service}
    return (
        *_of_writes(old, new, who, at),
        *_of_tasks(old, new, who, at),
        *(GateJudged(**who, at=at, answer=answer) for answer in _news(old, new)),
        *(Adopted(**who, at=at, change=text) for text in new.adopted[len(old.adopted) :]),
        *(Found(**who, at=at, finding=found) for found in new.findings[len(old.findings) :]),
        *(Noted(**who, at=at, note=note) for note in new.notes[len(old.notes) :]),
        *(Moved(**who, at=at, transition=move) for move in new.transitions[len(old.transitions) :]),
    )


def _news(old: State, new: State) -> Iterator[GateAnswer]:
    """What gates have said since; the same once more is news too."""
    known = set(old.answers)
    return (answer for answer in new.answers if answer not in known)


def _of_writes(old: State, new: State, who: dict[str, str], at: float) -> Iterator[Event]:
    if old.intent is None or new.intent is not None or new.expected is None:
        return
    if new.expected.rollout_label == old.intent.spec.rollout_label:
        yield Wrote(**who, at=at, purpose=old.intent.purpose, image=old.intent.spec.image)


def _of_tasks(old: State, new: State, who: dict[str, str], at: float) -> Iterator[Event]:
    if new.expected is not None:
        for task_id, sighting in new.seen.items():
            before = old.seen.get(task_id)
            ran = before is not None and before.running_since is not None
            if before is None:
                yield TaskMade(**who, at=at, slot=sighting.slot, task_id=task_id)
            if sighting.running_since is not None and not ran:
                yield TaskRunning(**who, at=at, slot=sighting.slot, task_id=task_id)
    for failure in new.failures[len(old.failures) :]:
        yield TaskFailed(**who, at=at, failure=failure)
    for task_id in new.displaced.keys() - old.displaced.keys():
        yield TaskDisplaced(**who, at=at, slot=new.displaced[task_id], task_id=task_id)
