"""The one loop: look, decide, record, tell, obey, until the rollout is over."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, wait
from contextlib import suppress
from typing import Any, assert_never

import attrs

from swarmroll.brake import OnCancel
from swarmroll.core import events
from swarmroll.core.commands import Check, Command, Decision, Look, SaveEvidence, Write
from swarmroll.core.decide import decide
from swarmroll.core.events import Event
from swarmroll.core.gate import Gate, Verdict
from swarmroll.core.phases import Phase
from swarmroll.core.redact import mask_text, secrets_of
from swarmroll.core.report import Evidence, Outcome, Report, make_report, outcome_of
from swarmroll.core.snapshot import Depth, Snapshot, Task
from swarmroll.core.state import Ask, Sent, State
from swarmroll.engine.port import Engine, Watch
from swarmroll.errors import (
    Conflict,
    ConnectionClosed,
    EngineError,
    EngineUnavailable,
    JournalError,
    LeaseHeld,
    NoRollout,
    ServiceNotFound,
)
from swarmroll.gates.keeper import Keeper
from swarmroll.journal.port import Journal, Lapsed, Lease, Owner, Record

Trouble = EngineError | JournalError | LeaseHeld
"""What makes a driver leave a rollout that is not over."""

Observer = Callable[[Event], None]
"""Told of each event, in the rollout's own thread, in order; never asked anything."""

LOG_LINES = 20

REMEMBERED = 10_000
"""Texts of which it is kept how they are shown."""

EVIDENCE_SECONDS = 10.0
"""Seconds that the end of a rollout waits for evidence that is still being saved."""

ENGINE_MARKS = 0.03
"""Seconds after its first event within which the engine marks the update as begun."""

NOT_IMPLEMENTED = 501

_log = logging.getLogger("swarmroll")


@attrs.frozen(kw_only=True)
class Habits:
    """
    How a driver watches.

    Attributes:
        heartbeat: Seconds after which the service is looked at even if no event came.
        patience: Seconds without any answer of the engine after which the driver detaches.
    """

    heartbeat: float = 5.0
    patience: float = 120.0


class _LetGo(Exception):
    """The driver was asked to leave the rollout to others; never leaves this file."""


LET_GO = "its driver was asked to let go"


class Runner:
    """
    Drives one rollout. Decides nothing: that is ``decide``'s.

    ``run`` belongs to one thread; ``ask`` and ``state`` may be used from any.
    """

    def __init__(
        self,
        engine: Engine,
        journal: Journal,
        state: State,
        *,
        owner: Owner,
        executor: Executor,
        observers: Sequence[Observer] = (),
        habits: Habits | None = None,
        wait_for_lease: float = 0.0,
        lease: Lease | None = None,
        gates: Sequence[Gate] = (),
        checking: Executor | None = None,
    ) -> None:
        """
        Args:
            engine: The door to the swarm.
            journal: Where the rollout is recorded.
            state: Where it stands.
            owner: Who drives it.
            executor: Saves evidence beside the loop.
            observers: Told of every event.
            habits: How it watches.
            wait_for_lease: Seconds to wait for somebody else to let go of the service.
            lease: The lease, where the caller has it already.
            gates: What the plan asks of the world outside, by name.
            checking: Runs the gates' checks; None gives each check a thread of its own.
        """
        self._engine = engine
        self._clock = engine.clock
        self._journal = journal
        self._owner = owner
        self._executor = executor
        self._observers = tuple(observers)
        self._habits = habits or Habits()
        self._state = state
        self._wait_for_lease = wait_for_lease
        self._lease = lease
        self._recorded: State | None = None
        self._journal_away_since: float | None = None
        self._requests_before = 0
        self._started_at = 0.0
        self._journal_notes: list[str] = []
        self._lock = threading.Lock()
        self._asked: list[Ask] = []
        self._stopped = False
        self._impatient = False
        self._letting_go = False
        self._watch: Watch | None = None
        self._evidence: dict[str, Evidence] = {}
        self._saving: list[Future[None]] = []
        self._saved: list[Evidence] = []
        self._secrets = secrets_of(state.plan.target) | secrets_of(state.plan.live)
        self._fitted: dict[str, str] = {}
        self._service_read_at = 0.0
        self._gates = frozenset(gate.name for gate in gates)
        self._keeper = Keeper(
            gates, executor=checking, monotonic=self._clock.monotonic, wake=self._wake
        )

    @property
    def state(self) -> State:
        """Where the rollout stands."""
        return self._state

    def ask(self, ask: Ask) -> bool:
        """
        Ask the rollout for something; it answers at its next look, which is at once.

        Returns:
            False if it is over, paused or detached: nobody is there to answer.
        """
        with self._lock:
            if self._stopped:
                return False
            self._asked.append(ask)
            if self._watch is not None:
                self._watch.wake()
            return True

    def let_go(self) -> bool:
        """
        Ask the driver to stop and leave the rollout as it stands, on record, for ``attach``.

        Returns:
            False if it has stopped by itself.
        """
        with self._lock:
            self._impatient = self._letting_go = True
            if self._stopped:
                return False
            if self._watch is not None:
                self._watch.wake()
            return True

    def stop(self, how: OnCancel) -> None:
        """Stop driving, in this way or another; what waits for a lease begins nothing."""
        self._impatient = True
        if how is OnCancel.DETACH:
            self.let_go()
        elif how is OnCancel.ROLLBACK and self._state.plan.baseline is not None:
            self.ask(Ask.ROLL_BACK)
        else:
            self.ask(Ask.ABORT)

    def _check_held(self) -> None:
        if self._letting_go:
            raise _LetGo

    def _wake(self) -> None:
        with self._lock:
            if self._watch is not None:
                self._watch.wake()

    def run(self, first: Snapshot | None = None) -> Report:
        """
        Drive until the rollout is over, paused, or out of reach.

        Args:
            first: A look taken a moment ago, to begin with.

        Raises:
            LeaseHeld: Somebody else holds, or took over, the service; carries the report.
            EngineUnavailable: No answer for longer than ``patience``; carries the report.
            JournalError: The record cannot be read or written; carries the report.
        """
        try:
            lease = self._take_lease()
        except _LetGo:
            return self._never_begun()
        try:
            trouble = self._drive_on(lease, first)
        except (Exception, KeyboardInterrupt, SystemExit):
            # Ctrl-C, or a defect: what is on record stays so, for whoever attaches, at once.
            with suppress(EngineError, JournalError, LeaseHeld):
                lease.release()
            raise
        if trouble is not None:
            trouble.args = (self._fit(str(trouble)),)
        report = self._close(lease, trouble)
        self._tell(events.Finished(**self._stamp(), report=report))
        if isinstance(trouble, LeaseHeld | EngineUnavailable | JournalError):
            trouble.report = report
            raise trouble
        if trouble is not None:
            raise EngineUnavailable(
                f"{trouble}; the rollout is left as it stands", status=trouble.status, report=report
            ) from trouble
        return report

    def _take_lease(self) -> Lease:
        """
        Begin the rollout on record, or take it up from there.

        Raises:
            LeaseHeld: Somebody else rolls the service.
            NoRollout: Somebody else ended it meanwhile.
        """
        self._started_at, self._requests_before = self._clock.wall(), self._engine.requests
        plan, new = self._state.plan, not self._state.transitions and self._lease is None
        # One that is refused does not take the place of another.
        begin = self._record_of(self._state) if new and not plan.refusals else None
        lease = self._lease or self._acquire(begin)
        self._lease = None
        if new:
            self._recorded = None if begin is None else begin.state
            return lease
        try:
            self._take_up(lease)
        except NoRollout:
            lease.release()
            raise
        return lease

    def _acquire(self, begin: Record | None) -> Lease:
        plan = self._state.plan
        try:
            return self._journal.acquire(
                plan.service_id,
                self._owner,
                name=plan.service,
                wait=self._wait_for_lease,
                begin=begin,
                give_up=lambda: self._impatient,
            )
        except LeaseHeld:
            if self._impatient:
                raise _LetGo from None
            raise

    def _never_begun(self) -> Report:
        """The report of a rollout that was let go while it waited for the lease."""
        with self._lock:
            self._stopped = True
        report = self._report(LET_GO)
        self._tell(events.Finished(**self._stamp(), report=report))
        return report

    def _take_up(self, lease: Lease) -> None:
        """Go on from what is on record; if somebody removed that, from memory."""
        mine, found = self._state, lease.found
        ended = [one.outcome for one in lease.past if one.rollout_id == mine.plan.id]
        if ended and ended[0] not in (Outcome.PAUSED, Outcome.DETACHED):
            raise NoRollout(f"this rollout of {mine.plan.service} has ended: {ended[0]}")
        if found is None:
            note = (
                "" if lease.known else "its record was removed by somebody; it goes on from memory"
            )
            self._state = mine.taken_up(self._clock.monotonic(), note)
            return
        if found.state.plan.id != mine.plan.id:
            raise NoRollout(f"another rollout of {mine.plan.service} has taken this one's place")
        note = f"taken over from {lease.taken_from}" if lease.taken_from else ""
        self._recorded = found.state
        self._state = found.state.taken_up(self._clock.monotonic(), note)
        if mine.asked is not None:
            self._state = self._state.asking(mine.asked)
        self._evidence = {**found.evidence, **self._evidence}
        self._started_at = found.started_at
        self._requests_before -= found.engine_requests

    def _record_of(self, state: State) -> Record:
        with self._lock:
            evidence = dict(self._evidence)
        return Record(
            state=state,
            evidence=evidence,
            started_at=self._started_at,
            engine_requests=self._engine.requests - self._requests_before,
        )

    def _drive_on(self, lease: Lease, first: Snapshot | None) -> Trouble | None:
        """Drive, and say what ended it too early."""
        try:
            with self._lock:
                self._watch = self._engine.watch(self._state.plan.service_id)
            self._tell(events.Started(**self._stamp(), plan=self._state.plan))
            self._drive(lease, first)
        except _LetGo:
            # What was asked and not yet answered is left to whoever takes it up.
            self._take_asked()
        except (EngineError, JournalError, LeaseHeld) as exc:
            return exc
        finally:
            with self._lock:
                self._stopped = True
                watch, self._watch = self._watch, None
            self._keeper.close()
            if watch is not None:
                watch.close()
        return None

    def _close(self, lease: Lease, trouble: Trouble | None) -> Report:
        wait(self._saving, timeout=EVIDENCE_SECONDS)
        self._tell_saved()
        left = self._letting_go and outcome_of(self._state.phase) is Outcome.DETACHED
        report = self._report(str(trouble) if trouble is not None else LET_GO if left else "")
        if isinstance(trouble, LeaseHeld):
            # Whoever took the lease over keeps the record now.
            return report
        unwritten = self._closed(lease, report, patient=trouble is None)
        return attrs.evolve(report, notes=(*report.notes, unwritten)) if unwritten else report

    def _report(self, trouble: str) -> Report:
        with self._lock:
            evidence = dict(self._evidence)
        return make_report(
            self._state,
            evidence=evidence,
            started_at=self._started_at,
            finished_at=self._clock.wall(),
            engine_requests=self._engine.requests - self._requests_before,
            trouble=trouble,
        )

    def _closed(self, lease: Lease, report: Report, *, patient: bool) -> str:
        """
        Write down how it was left; what it came to is true whether or not that can be done.

        Returns:
            Why it could not be written; empty if it was.
        """
        until = self._clock.monotonic() + (self._habits.patience if patient else 0.0)
        while True:
            try:
                lease.close(self._record_of(self._state), report)
            except LeaseHeld as exc:
                return f"its record was not closed: {self._fit(str(exc))}"
            except (EngineError, JournalError) as exc:
                late = self._letting_go or self._clock.monotonic() >= until
                if late or isinstance(exc, ConnectionClosed):
                    return f"its record was not closed ({self._fit(str(exc))}); attach() does that"
                self._clock.sleep(self._habits.heartbeat)
            else:
                return ""

    # --- the loop

    def _drive(self, lease: Lease, first: Snapshot | None) -> None:
        snapshot = self._look(Depth.SERVICE) if first is None else self._now(first)
        while True:
            self._check_held()
            self._take_asked()
            self._take_heard()
            self._tell_saved()
            decision = decide(self._state, snapshot)
            if not self._written_down(lease, decision):
                # Not on record, so not carried out: look again, and decide anew.
                snapshot = self._look(Depth.SERVICE)
                continue
            old, self._state = (
                self._state,
                attrs.evolve(decision.state, notes=(*decision.state.notes, *self._to_note())),
            )
            for event in events.between(old, self._state, self._clock.wall()):
                self._tell(event)
            wrote = False
            for command in decision.commands:
                self._obey(command, lease)
                wrote = wrote or isinstance(command, Write)
            if self._over():
                return
            if decision.look is not None:
                snapshot = self._look_again(decision.look, snapshot, wrote=wrote)

    def _over(self) -> bool:
        """Whether there is nothing to answer any more; from then on nothing can be asked."""
        with self._lock:
            phase, asked = self._state.phase, self._asked or self._state.asked
            self._stopped = phase.terminal or (phase is Phase.PAUSED and not asked)
            return self._stopped

    def _take_asked(self) -> None:
        with self._lock:
            if self._asked and self._state.asked is None:
                self._state = self._state.asking(self._asked.pop(0))

    def _written_down(self, lease: Lease, decision: Decision) -> bool:
        """
        Put a decision on record before it is carried out, if there is anything new in it.

        What is decided on the way to another decision by the same look is not carried out, and
        the end is written down when the record is closed.

        Returns:
            False if the journal is out of reach for now.

        Raises:
            LeaseHeld: Somebody else took the service over.
            EngineError, JournalError: It has been out of reach for longer than ``patience``.
        """
        state = decision.state
        if state.phase.terminal or (decision.look is None and not decision.commands):
            return True
        try:
            if self._recorded is None or state.worth_recording(self._recorded):
                note = lease.write(self._record_of(state))
                self._recorded = state
            else:
                note = lease.renew()
            self._journal_notes += [note] if note else []
        except (ConnectionClosed, LeaseHeld):
            raise
        except (EngineError, JournalError) as exc:
            self._be_patient(exc)
            return False
        self._journal_away_since = None
        return True

    def _be_patient(self, trouble: Exception) -> None:
        """Wait a little for a journal that is out of reach; in the end, raise."""
        now = self._clock.monotonic()
        if self._journal_away_since is None:
            self._journal_away_since = now
        if now - self._journal_away_since >= self._habits.patience:
            raise trouble
        assert self._watch is not None
        self._watch.wait(self._habits.heartbeat)
        self._check_held()

    def _to_note(self) -> tuple[str, ...]:
        notes, self._journal_notes = tuple(self._journal_notes), []
        return notes

    def _obey(self, command: Command, lease: Lease) -> None:
        match command:
            case Write():
                sent, answer = self._write(command, lease)
                self._state = self._state.told(sent, answer)
            case SaveEvidence():
                self._saving.append(self._executor.submit(self._save, command))
            case Check():
                self._check(command)
            case _:
                assert_never(command)

    def _write(self, command: Write, lease: Lease) -> tuple[Sent, str]:
        """
        Send a write, as long as the lease lasts longer than that can take.

        Raises:
            LeaseHeld: Somebody else took the service over; nothing was sent.
            EngineError, JournalError: The lease cannot be renewed for longer than ``patience``.
        """
        least = self._engine.request_timeout
        while True:
            try:
                lease.renew(least=least)
                self._journal_away_since = None
            except (ConnectionClosed, LeaseHeld):
                raise
            except (EngineError, JournalError) as exc:
                self._be_patient(exc)
                continue
            try:
                return self._send(command, lambda: lease.check(least))
            except Lapsed:
                continue

    def _send(self, command: Write, last_check: Callable[[], None]) -> tuple[Sent, str]:
        try:
            self._engine.update(
                command.service_id,
                command.version,
                command.spec,
                auth_for=command.auth_for,
                last_check=last_check,
            )
        except Conflict as exc:
            return Sent.CONFLICT, self._fit(str(exc))
        except (EngineUnavailable, ServiceNotFound) as exc:
            return Sent.LOST, self._fit(str(exc))
        except EngineError as exc:
            refused = exc.status is not None and (exc.status < 500 or exc.status == NOT_IMPLEMENTED)
            return (Sent.REFUSED if refused else Sent.LOST), self._fit(str(exc))
        return Sent.ACCEPTED, ""

    def _check(self, command: Check) -> None:
        if command.gate in self._gates:
            context = attrs.evolve(command.context, logs=self._logs)
            self._keeper.ask(command.gate, context)
        else:
            nobody = "nobody here can check it: give it to attach(), as gates="
            self._hear(command.gate, Verdict.inconclusive(nobody))

    def _take_heard(self) -> None:
        for gate, verdict in self._keeper.heard():
            self._hear(gate, verdict)

    def _hear(self, gate: str, verdict: Verdict) -> None:
        reason = self._fit(verdict.reason)
        now, wall = self._clock.monotonic(), self._clock.wall()
        old = self._state
        self._state = old.heard(gate, Verdict(verdict.answer, reason), now=now, wall=wall)
        for event in events.between(old, self._state, wall):
            self._tell(event)

    def _logs(self, task: Task, lines: int) -> tuple[str, ...]:
        return self._engine.logs(task, lines=lines)

    def _save(self, command: SaveEvidence) -> None:
        task = command.task
        evidence = Evidence.of(
            command.failure,
            logs=self._masked(self._engine.logs(task, lines=LOG_LINES)),
            health=self._masked(self._engine.health_output(task)),
        )
        with self._lock:
            self._evidence[task.id] = evidence
            self._saved.append(evidence)

    def _masked(self, lines: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(self._fit(line.rstrip()) for line in lines)

    def _fit(self, text: str) -> str:
        """Others' words without what this rollout knows to be secret; the same ones come often."""
        fit = self._fitted.get(text)
        if fit is None:
            if len(self._fitted) >= REMEMBERED:
                self._fitted.clear()
            fit = self._fitted[text] = mask_text(text, self._secrets) if text else text
        return fit

    def _fit_look(self, snapshot: Snapshot) -> Snapshot:
        """A look in which what the engine says of tasks and updates is fit to be shown and kept."""
        service = snapshot.service
        status = None if service is None else service.update_status
        if service is not None and status is not None:
            status = attrs.evolve(status, message=self._fit(status.message))
            service = attrs.evolve(service, update_status=status)
        tasks = tuple(self._fit_task(task) for task in snapshot.tasks)
        return attrs.evolve(snapshot, service=service, tasks=tasks)

    def _fit_task(self, task: Task) -> Task:
        error, message = self._fit(task.error), self._fit(task.message)
        if error == task.error and message == task.message:
            return task
        return attrs.evolve(task, error=error, message=message)

    # --- looking

    def _look_again(self, look: Look, last: Snapshot, *, wrote: bool) -> Snapshot:
        if look.within <= 0:
            # A look that did not ask what the engine calls up to date is not one to build on.
            whole = last.depth is Depth.SERVICE or last.up_to_date is not None
            return self._look(look.depth, after=last if whole else _service_alone(last))
        assert self._watch is not None
        now = self._clock.monotonic()
        due = last.taken_at + look.within if not wrote else now + look.within
        due = min(due, self._keeper.due or due)
        heartbeat = self._service_read_at + self._habits.heartbeat
        if self._watch.wait(max(0.0, min(due, heartbeat) - now)):
            if wrote:
                self._watch.wait(ENGINE_MARKS)
            return self._look(Depth.SERVICE)
        now = self._clock.monotonic()
        if now >= heartbeat or look.depth is Depth.SERVICE:
            return self._look(Depth.SERVICE if now < due else look.depth)
        return self._look(look.depth, after=_service_alone(last))

    def _look(self, depth: Depth, after: Snapshot | None = None) -> Snapshot:
        """One look, tried until the engine answers or patience is over."""
        assert self._watch is not None
        service_id = self._state.plan.service_id
        until = self._clock.monotonic() + self._habits.patience
        while True:
            try:
                snapshot = self._engine.look(service_id, depth, after=after)
                break
            except ConnectionClosed:
                raise
            except EngineError:
                if self._clock.monotonic() >= until:
                    raise
                self._watch.wait(self._habits.heartbeat)
                self._check_held()
        if after is None:
            self._service_read_at = snapshot.taken_at
        snapshot = self._fit_look(snapshot)
        return attrs.evolve(snapshot, unbroken_since=self._watch.unbroken_since)

    def _now(self, snapshot: Snapshot) -> Snapshot:
        """A look taken just before the event stream was opened, as one taken after it."""
        assert self._watch is not None
        now = self._clock.monotonic()
        self._service_read_at = now
        snapshot = self._fit_look(snapshot)
        return attrs.evolve(snapshot, taken_at=now, unbroken_since=self._watch.unbroken_since)

    # --- telling

    def _stamp(self) -> dict[str, Any]:
        plan = self._state.plan
        return {"rollout_id": plan.id, "service": plan.service, "at": self._clock.wall()}

    def _tell_saved(self) -> None:
        """Evidence is saved beside the loop, and told in it."""
        with self._lock:
            saved, self._saved = self._saved, []
        for evidence in saved:
            self._tell(events.EvidenceSaved(**self._stamp(), evidence=evidence))

    def _tell(self, event: Event) -> None:
        for observer in self._observers:
            try:
                observer(event)
            except Exception:  # noqa: BLE001 - whatever it is, the rollout goes on
                _log.exception("an observer failed on %s", type(event).__name__)


def _service_alone(snapshot: Snapshot) -> Snapshot:
    return attrs.evolve(snapshot, depth=Depth.SERVICE, tasks=(), up_to_date=None, nodes={})
