"""Where a rollout stands: a value without handles, and the few ways in which it moves on."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import attrs

from swarmroll.core.failure import Failure
from swarmroll.core.findings import Finding
from swarmroll.core.gate import GateAnswer, GateRecord, Verdict, noted
from swarmroll.core.phases import Phase, Transition, Trigger, after
from swarmroll.core.plan import Plan
from swarmroll.core.proof import Sighting, SlotProof
from swarmroll.core.snapshot import Node, SlotKey, Snapshot
from swarmroll.core.spec import ServiceSpec


class Ask(enum.StrEnum):
    """What a person may ask of a rollout under way."""

    PAUSE = "pause"
    RESUME = "resume"
    PROMOTE = "promote"
    ABORT = "abort"
    ROLL_BACK = "roll_back"


class Purpose(enum.StrEnum):
    """What a write is for."""

    STEP = "step"
    STAND_STILL = "stand_still"
    PUT_BACK = "put_back"
    GIVE_BACK = "give_back"


class Sent(enum.StrEnum):
    """What is known of a write."""

    NOT_YET = "not_yet"
    ACCEPTED = "accepted"
    LOST = "lost"
    CONFLICT = "conflict"
    REFUSED = "refused"


@attrs.frozen(kw_only=True)
class Intent:
    """
    A write that was decided and is not yet seen in the service.

    Attributes:
        spec: What to store, its rollout label included, by which it is known again.
        version: The version index that was read; the engine takes the write only with this one.
        answer: The engine's words when it refused, or gave no clear answer.
        tries: How often it was sent.
        started_before: When the engine's update that stood in the service at the decision had
            started, by the manager's clock; None when there was none.
    """

    purpose: Purpose
    spec: ServiceSpec
    version: int
    sent: Sent = Sent.NOT_YET
    answer: str = ""
    tries: int = 0
    started_before: float | None = None


@attrs.frozen(kw_only=True)
class State:
    """
    Where a rollout stands.

    All moments are on the driver's monotonic clock, in seconds, unless they say wall.

    Attributes:
        asked: What a person asked and was not answered yet.
        step: Index into the plan's steps, or into ``back`` while rolling back.
        back: The specs that lead back to the baseline, one write each.
        intent: The write under way.
        expected: The spec that the service should show: what was last stored by us and adopted
            from others. A difference is somebody else's.
        fallback: The spec that the engine would restore by itself: the one stored just before
            our last write.
        writes: How many writes were decided; part of each write's label.
        version: The highest version index seen; a lower one is a stale read.
        since: When the phase, or the step, began.
        written_at: When the last write was decided.
        looked_at: When tasks were last looked at.
        older: Ids of the tasks that existed before this direction (forward or back) began.
        stale: Ids of tasks that can never do, since they were made for another endpoint, which
            no task shows.
        nodes: The nodes as last seen.
        seen: Tasks made in this direction, by id.
        displaced: Tasks that were stopped through no fault of the release: their slots, by id.
        doubtful: Ids of the displaced tasks of which it is not known whether they failed.
        fading: Ids of tasks that are to stop, and whose nodes were looked at since.
        unstuck: Ids of tasks that the engine waited for in vain, until it was told to go on.
        forgiven: How many of the failures a person's resume has forgiven.
        progress: How many slots were converged at most in this step, and since when.
        engine_failed_at: When a failure was seen that the engine should act on first.
        standing_still: What sends the rollout to ``paused`` as soon as the engine can be held;
            None when nothing does. ``standing_still_for`` is the reason.
        waiting_since: When what is to lead on (a person's wish to resume, a hold that is over)
            first had to wait; None where nothing does.
        aborting: Whether going back was asked for by a person.
        engine_rolled_back: Whether the engine began the rollback by itself.
        engine_done: Whether the engine said ``completed`` to our last write.
        witness_lost: Whether, since our last write, a manager may have changed, or somebody else
            wrote: the engine's monitor proves nothing any more.
        replicas: The live number of replicas, where somebody scaled the service meanwhile.
        adopted: What others changed and was let be, a sentence each.
        notes: What else there is to tell, a sentence each.
        findings: What was found on the way, beside the plan's own.
        relabelled: The service labels that others changed meanwhile; None where removed.
        resumed: Whether this step was written again after a pause, so that the engine watched
            only part of it.
        waiting_for: What the last proof was missing, a sentence each.
        proof_due: When our own watch of the running slots is over.
        gates: What each gate has said in this phase and step.
        answers: What the gates have said in all, for the report.
        moved: The slots that run the release while a wave is under way, and were accounted for.
        leaks: How many slots came to the release beside the waves, since their old task ended.
        overruns: How many slots the engine moved beside the waves.
    """

    plan: Plan
    phase: Phase = Phase.PENDING
    transitions: tuple[Transition, ...] = ()
    asked: Ask | None = None
    step: int = 0
    back: tuple[ServiceSpec, ...] = ()
    intent: Intent | None = None
    expected: ServiceSpec | None = None
    fallback: ServiceSpec | None = None
    writes: int = 0
    version: int = 0
    since: float = 0.0
    written_at: float = 0.0
    looked_at: float = 0.0
    older: frozenset[str] = frozenset()
    stale: frozenset[str] = frozenset()
    nodes: Mapping[str, Node] = attrs.field(factory=dict, repr=False)
    seen: Mapping[str, Sighting] = attrs.field(factory=dict, repr=False)
    failures: tuple[Failure, ...] = ()
    displaced: Mapping[str, SlotKey] = attrs.field(factory=dict)
    doubtful: frozenset[str] = frozenset()
    fading: frozenset[str] = frozenset()
    unstuck: frozenset[str] = frozenset()
    forgiven: int = 0
    progress: int = 0
    progress_at: float = 0.0
    engine_failed_at: float | None = None
    standing_still: Trigger | None = None
    standing_still_for: str = ""
    waiting_since: float | None = None
    aborting: bool = False
    engine_rolled_back: bool = False
    engine_done: bool = False
    witness_lost: bool = False
    replicas: int | None = None
    relabelled: Mapping[str, str | None] = attrs.field(factory=dict)
    adopted: tuple[str, ...] = ()
    resumed: bool = False
    notes: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    proofs: tuple[SlotProof, ...] = ()
    skipped: tuple[str, ...] = ()
    waiting_for: tuple[str, ...] = ()
    proof_due: float = 0.0
    gates: Mapping[str, GateRecord] = attrs.field(factory=dict)
    answers: tuple[GateAnswer, ...] = ()
    moved: frozenset[SlotKey] = frozenset()
    leaks: int = 0
    overruns: int = 0

    def asking(self, ask: Ask) -> State:
        """The same, with a person's wish to be answered at the next look."""
        return attrs.evolve(self, asked=ask)

    def told(self, sent: Sent, answer: str = "") -> State:
        """The same, knowing what became of the write under way."""
        if self.intent is None:
            raise ValueError("no write is under way")
        return attrs.evolve(self, intent=attrs.evolve(self.intent, sent=sent, answer=answer))

    def heard(self, gate: str, verdict: Verdict, *, now: float, wall: float) -> State:
        """
        The same, with what a gate has said.

        Args:
            now: The driver's monotonic clock, seconds.
            wall: The driver's wall clock, seconds since the epoch.
        """
        (rules,) = [rules for rules in self.plan.gates if rules.name == gate]
        record = self.gates.get(gate)
        if record is None or record.asked_at is None:
            # It was asked in a phase that is over.
            return self
        return attrs.evolve(
            self,
            gates={**self.gates, gate: record.judged(verdict, rules, now)},
            answers=noted(self.answers, record, gate, verdict, wall),
        )

    def move(self, trigger: Trigger, reason: str, snapshot: Snapshot) -> State:
        """
        The only way from one phase to another.

        Raises:
            IllegalMove: The table has no row for it.
        """
        target = after(self.phase, trigger)
        transition = Transition(
            source=self.phase, trigger=trigger, target=target, reason=reason, at=snapshot.wall
        )
        return attrs.evolve(
            self,
            phase=target,
            transitions=(*self.transitions, transition),
            since=snapshot.taken_at,
            asked=None,
        )

    @property
    def lasting(self) -> State:
        """
        What a driver that takes it up must know; what the next look teaches anew is left out.

        As long as two states have the same, there is nothing new to write down.
        """
        # That a gate has said the same again is not worth a record each time.
        answers = tuple(
            attrs.evolve(one, reason="", times=1, last_at=one.first_at) for one in self.answers
        )
        return attrs.evolve(self, version=0, answers=answers, **_PASSING)

    def worth_recording(self, recorded: State) -> bool:
        """
        Whether a driver that takes it up would do worse by the state recorded last.

        That a recorded write was stored is found again in the service itself, by its label, and
        needs no record of its own.
        """
        if self.intent is None and recorded.intent is not None and self.expected is not None:
            label = recorded.intent.spec.rollout_label
            if self.expected.rollout_label == label and self.expected != recorded.expected:
                recorded = attrs.evolve(
                    recorded,
                    intent=None,
                    expected=self.expected,
                    fallback=self.fallback,
                    findings=self.findings,
                )
        return self.lasting != recorded.lasting

    def taken_up(self, now: float, note: str = "") -> State:
        """
        The same for another driver, whose clock has nothing to do with the one before.

        Deadlines and holds begin anew, and so does the watch of every slot; the engine's monitor
        proves nothing to somebody who did not hear its events.

        Args:
            now: The new driver's monotonic clock.
            note: What to tell of it; may be empty.
        """
        anew: dict[str, Any] = {
            **_PASSING,
            "since": now,
            "progress_at": now,
            "nodes": self.plan.nodes,
            "witness_lost": True,
            # Nobody here saw it: no event stream is old enough to tell what followed.
            "written_at": float("-inf"),
        }
        notes = (*self.notes, note) if note else self.notes
        return attrs.evolve(self, **{**anew, "notes": notes})

    @property
    def open_failures(self) -> tuple[Failure, ...]:
        """The failures that count against the release."""
        return tuple(f for f in self.failures[self.forgiven :] if not f.in_rollback)

    @property
    def rollback_failures(self) -> tuple[Failure, ...]:
        """The failures of tasks of the old spec while it was being put back."""
        return tuple(f for f in self.failures if f.in_rollback)

    @property
    def goal(self) -> ServiceSpec:
        """The spec that tasks must run in this direction."""
        if self.back:
            return self.back[min(self.step, len(self.back) - 1)]
        steps = self.plan.steps
        return steps[min(self.step, len(steps) - 1)].spec if steps else self.plan.live

    @property
    def stored(self) -> ServiceSpec:
        """
        The goal as the engine keeps it, once that is known: what tasks made from it show.

        The engine normalises some fields: it keeps a network by its id, for example.
        """
        return self.goal if self.expected is None or self.intent is not None else self.expected

    def keeping_adopted(self, spec: ServiceSpec, *, replicas: bool = True) -> ServiceSpec:
        """The spec with what others changed meanwhile, so that it is not overwritten."""
        spec = spec.with_labels(self.relabelled) if self.relabelled else spec
        if replicas and self.replicas is not None and spec.replicas is not None:
            spec = spec.with_replicas(self.replicas)
        return spec

    @property
    def ids(self) -> frozenset[str]:
        """Ids of all tasks known so far."""
        return self.plan.known | self.older | frozenset(self.seen)

    @property
    def trouble(self) -> frozenset[SlotKey]:
        """Slots in which the engine's monitor proves nothing in this direction."""
        count = Counter(sighting.slot for sighting in self.seen.values())
        twice = {slot for slot, tasks in count.items() if tasks > 1}
        failed = {f.slot for f in self.failures if f.task_id in self.seen}
        displaced = {slot for task, slot in self.displaced.items() if task in self.seen}
        return frozenset(twice | failed | displaced | self._unwatched)

    @property
    def _unwatched(self) -> set[SlotKey]:
        """
        Slots whose tasks the engine makes without its updater, and so without its monitor.

        Those that were added meanwhile, and on the way back those in which a task of the release
        had ended: there the restart policy makes one from the old spec (swarmkit
        manager/orchestrator/replicated/services.go, global/global.go, restart/restart.go).
        """
        added = {sighting.slot for sighting in self.seen.values()} - set(self.plan.slots)
        if not self.back:
            return added
        return added | {f.slot for f in self.failures} | set(self.displaced.values())


_PASSING: Mapping[str, Any] = MappingProxyType(
    {
        "since": 0.0,
        "written_at": 0.0,
        "looked_at": 0.0,
        "nodes": MappingProxyType({}),
        "seen": MappingProxyType({}),
        "fading": frozenset(),
        "progress": 0,
        "progress_at": 0.0,
        "engine_failed_at": None,
        "waiting_since": None,
        "engine_done": False,
        "witness_lost": False,
        "proofs": (),
        "skipped": (),
        "waiting_for": (),
        "proof_due": 0.0,
        "gates": MappingProxyType({}),
    }
)
"""What every look teaches anew, and moments on the clock of one driver."""

LASTING = tuple(field.name for field in attrs.fields(State) if field.name not in _PASSING)
"""Names of the fields by which another driver can take a rollout up."""
