"""What must be true when a rollout has ended, however it was disturbed; and who says so."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs

from swarmroll import EngineError, JournalError, NoRollout, Outcome, Report, Swarm, SwarmrollError
from swarmroll.core.events import Event, Moved, Started
from swarmroll.core.gate import Gate
from swarmroll.core.phases import TABLE, Phase, after
from swarmroll.core.plan import Plan
from swarmroll.core.snapshot import Availability, Service, Snapshot, Task, TaskState
from swarmroll.core.spec import ServiceSpec
from swarmroll.journal.port import Owner, Record
from swarmroll.journal.swarm import SwarmJournal
from swarmroll.sim import SimEngine, SimSwarm
from swarmroll.sim.faults import Faults
from swarmroll.sim.inline import InlineExecutor

NAME = "web"
LIMIT = 3600.0
"""Virtual seconds within which anything here has to end: every deadline in a row, and then some."""

PROVEN = {
    Phase.FINALIZING: "target",
    Phase.UNCHANGED: "target",
    Phase.RESTORING: "baseline",
}
"""In which phases every slot has just been proven to run what."""

DECLARED = {
    Phase.COMPLETED: "target",
    Phase.UNCHANGED: "target",
    Phase.ROLLED_BACK: "baseline",
}
"""In which phases the service declares what again, nothing borrowed."""


class Killed(BaseException):
    """What SIGKILL looks like from inside: nothing catches it."""


class Hung(BaseException):
    """A rollout goes on beyond every deadline; nothing catches it."""


@attrs.frozen(kw_only=True)
class Foreign:
    """
    Somebody else's write.

    Attributes:
        version: Of the service, with it.
        final: Whether a rollout has to end because of it.
    """

    version: int
    final: bool


@attrs.frozen(kw_only=True)
class Commit:
    """
    A write of swarmroll's that was stored.

    Attributes:
        over: What it took the place of.
        stored: What the engine has made of it.
    """

    rollout_id: str
    label: str
    over: Service
    stored: ServiceSpec


class Witness:
    """
    An engine (see ``swarmroll.engine.port.Engine``) that keeps what was stored through it.

    Attributes:
        looked_at: When the look began that the driver now judges by.
    """

    def __init__(self, case: Case, engine: SimEngine, dies_at: int | None) -> None:
        self._case = case
        self._engine = engine
        self._left = dies_at
        self.looked_at = 0.0

    def __getattr__(self, name: str) -> Any:
        self._live()
        return getattr(self._engine, name)

    def _live(self) -> None:
        """One more thing is asked for; a driver that was to die by now stays dead."""
        if self._left is not None:
            if self._left <= 0:
                raise Killed
            self._left -= 1

    def look(self, service_id: str, depth: Any, *, after: Snapshot | None = None) -> Snapshot:
        self._live()
        if after is None:
            self.looked_at = self._case.sim.now
        return self._engine.look(service_id, depth, after=after)

    def update(self, service_id: str, version: int, spec: ServiceSpec, **words: Any) -> Any:
        self._live()
        sim = self._case.sim
        seen = len(sim.trace)
        over = sim.service(NAME) if NAME in sim.store.names else None
        try:
            return self._engine.update(service_id, version, spec, **words)
        finally:
            if any(one.what.startswith(OURS) for one in sim.trace[seen:]):
                assert over is not None
                label = spec.rollout_label
                self._case.commits.append(
                    Commit(
                        rollout_id=label.partition(".")[0],
                        label=label,
                        over=over,
                        stored=sim.service(NAME).spec,
                    )
                )


OURS = "updated by swarmroll"


class Case:
    """
    A service called web, what becomes of it, and whether that is right.

    Attributes:
        wrong: What was found to be wrong so far.
        commits: Writes of swarmroll's that were stored.
        foreign: Writes of somebody else.
        plans: By rollout id.
        reports: Of each rollout, in the order in which they ended.
        runs: How many drivers have done something.
        errors: What was raised instead of a report, or with one.
        gates: To be given to whoever takes a rollout up.
        stops: Whether the rollout ends at any foreign write.
        thorough: Whether reports are also turned into documents and back, which takes a while.
    """

    def __init__(self, sim: SimSwarm, *, thorough: bool = False) -> None:
        self.sim = sim
        self._thorough = thorough
        self.service = sim.service(NAME)
        self.original = self.service.spec
        self.wrong: list[str] = []
        self.commits: list[Commit] = []
        self.foreign: list[Foreign] = []
        self.plans: dict[str, Plan] = {}
        self.reports: list[Report] = []
        self.errors: list[BaseException] = []
        self._numbers = iter(range(10_000))
        self._hung = False
        self._before = 0
        self.runs = 0
        self.gates: tuple[Gate, ...] = ()
        self.stops = False

    def complain(self, text: str) -> None:
        self.wrong.append(text)

    # --- acting

    def connect(self, *, dies_at: int | None = None) -> Swarm:
        """Another driver, from now on; one that dies when it asks for so many things."""
        witness = Witness(self, self.sim.engine(), dies_at)

        def tell(event: Event) -> None:
            if isinstance(event, Started):
                self.plans[event.plan.id] = event.plan
            if isinstance(event, Moved) and event.transition.target in PROVEN | DECLARED:
                try:
                    self._check_truth(event, witness)
                except Exception as exc:  # noqa: BLE001 - an observer's exceptions are not raised
                    self.complain(f"the judge failed: {exc!r}")

        return Swarm(
            witness,
            observers=[tell],
            executor=InlineExecutor(),
            new_id=lambda: f"r{next(self._numbers)}",
        )

    def act(
        self, do: Callable[[Swarm], Report | None], *, dies_at: int | None = None
    ) -> Report | None:
        """Let a driver do something, within the limit; None if that ended in an exception."""
        self.runs += 1
        within = self.sim.now + LIMIT
        over = False

        def hang() -> None:
            if not over:
                self._hung = True
                raise Hung

        self.sim.at(within, hang)
        self._before = len(self.commits)
        try:
            report = do(self.connect(dies_at=dies_at))
        except (Hung, Killed):
            report = None
        except SwarmrollError as exc:
            self.errors.append(exc)
            report = getattr(exc, "report", None)
        except Exception as exc:  # noqa: BLE001 - that is what is looked for
            if not self._hung:
                self.complain(f"an exception that is not swarmroll's own: {exc!r}")
            self.errors.append(exc)
            report = None
        finally:
            over = True
        if self._hung and not self.wrong:
            self.complain(f"it goes on for more than {LIMIT:g} virtual seconds")
        if report is not None:
            self.reports.append(report)
            self.check_report(report)
        return report

    def finish(self) -> Report | None:
        """Take up what a driver has left, until it is over or stands paused."""
        self.heal()
        before = self._before
        for _ in range(4):
            report = self.act(lambda swarm: attach(swarm, self.gates))
            self._before = before
            if report is not None and report.outcome is not Outcome.DETACHED:
                return report
            if self._hung or any(isinstance(exc, NoRollout) for exc in self.errors[-1:]):
                break
        return None

    def heal(self) -> None:
        """No request fails from now on, and every manager is there."""
        for node in tuple(self.sim.store.nodes.values()):
            if node.role == "manager" and not node.reachable:
                self.sim.node(node.hostname).up()
        self.sim.faults = Faults()
        self.sim.slow(0)
        self.sim.events_on()

    def foreigner(self, do: Callable[[], object], *, final: bool) -> None:
        """Somebody else writes the service, if it is still there."""
        if any(name == NAME for name in self.sim.store.names):
            do()
            version = self.sim.service(NAME).version
            self.foreign.append(Foreign(version=version, final=final))

    # --- judging

    def check_report(self, report: Report) -> None:
        """It tells a whole story, and the same story as a document."""
        phase = Phase.PENDING
        for move in report.transitions:
            if move.source is not phase or after(phase, move.trigger) is not move.target:
                self.complain(f"{move} is no move from {phase}")
            if not move.reason:
                self.complain(f"no reason for {move}")
            phase = move.target
        left = phase is Phase.PAUSED or not TABLE[phase]
        if left == (report.outcome is Outcome.DETACHED) or not report.headline:
            self.complain(f"{report.outcome} in {phase}: {report.headline!r}")
        if not self._thorough:
            return
        document = report.to_dict()
        again = Report.from_dict(json.loads(json.dumps(document))).to_dict()
        if {**again, "diff": None} != {**document, "diff": None} or not str(report):
            self.complain("the report does not survive being a document")

    def _check_truth(self, event: Moved, witness: Witness) -> None:
        """At the very moment of the verdict: what it says is so."""
        plan = self.plans[event.rollout_id]
        phase = event.transition.target
        specs = {"target": plan.target, "baseline": plan.baseline or plan.live}
        missing = self.undeclared(specs[DECLARED[phase]]) if phase in DECLARED else []
        if phase in PROVEN:
            missing += self.untrue(specs[PROVEN[phase]])
        if missing and not self._since(witness.looked_at):
            self.complain(f"{phase} is claimed, but " + "; ".join(missing))

    def _since(self, at: float) -> bool:
        """Whether anything happened in the swarm after a look began: nobody can know of it."""
        return any(
            one.kind in ("service", "task", "node") and not one.what.startswith(OURS)
            for one in reversed(self.sim.trace)
            if one.at >= at
        )

    def undeclared(self, wanted: ServiceSpec) -> list[str]:
        """What the service does not declare that it should."""
        if NAME not in self.sim.store.names:
            return ["the service is gone"]
        spec = self.sim.service(NAME).spec
        if spec.update_config != wanted.update_config:
            return [f"another update config is declared: {spec.update_config}"]
        return []

    def untrue(self, wanted: ServiceSpec) -> list[str]:
        """What is not true of a swarm that runs a spec in every slot."""
        if NAME not in self.sim.store.names:
            return ["the service is gone"]
        spec = self.sim.service(NAME).spec
        wrong = []
        if spec.template != wanted.template or _ports(spec) != _ports(wanted):
            wrong.append(f"another spec is stored ({spec.image})")
        paused = {
            node.id
            for node in self.sim.store.nodes.values()
            if spec.replicas is None and node.availability is Availability.PAUSE
        }
        tasks: dict[object, list[Task]] = {}
        for task in self.sim.tasks(NAME):
            if task.runnable and task.node_id not in paused:
                tasks.setdefault(task.slot_key, []).append(task)
        if spec.replicas is not None and len(tasks) != spec.replicas:
            wrong.append(f"{len(tasks)} of {spec.replicas} slots have a task")
        wrong += [f"slot {slot} has {len(all_)} tasks" for slot, all_ in tasks.items() if all_[1:]]
        return wrong + [
            f"slot {slot} is {task.state.name}, {task.image}"
            for slot, found in tasks.items()
            for task in found
            if task.state is not TaskState.RUNNING or task.template != spec.template
        ]

    def check_writes(self) -> None:
        """No write over somebody else's, and none twice."""
        ours: dict[str, list[ServiceSpec]] = {}
        for commit in self.commits:
            plan = self.plans[commit.rollout_id]
            past = ours.setdefault(commit.rollout_id, [plan.live])
            names = self._lost(commit.over, past)
            if names:
                self.complain(f"{commit.label} was written over somebody else's {names}")
            past.append(commit.stored)
        twice = {
            label: count
            for label, count in Counter(commit.label for commit in self.commits).items()
            if count > 1
        }
        if twice:
            self.complain(f"stored more than once: {twice}")

    def _lost(self, over: Service, past: list[ServiceSpec]) -> str:
        """What a write over this takes away that somebody else wrote; empty if nothing."""
        if over.spec == past[-1]:
            return ""
        if over.spec in past:
            # Rolled back: the engine itself leaves no previous spec behind, a person does.
            return "" if over.previous_spec is None or past[-1] == past[0] else "rollback"
        paths = [change.path for change in past[-1].diff(over.spec)]
        soft = ("Labels", "Labels.", "Mode.Replicated.Replicas")
        return ", ".join(path for path in paths if self.stops or not path.startswith(soft))

    def check_end(self, report: Report | None) -> None:
        """
        The record agrees with the end, and the baseline is still known.

        Args:
            report: Of the last rollout, finished; None if none ever began.
        """
        self.heal()
        self.check_writes()
        journal = SwarmJournal(self.sim.engine())
        service_id = self.service.id
        try:
            found = journal.unfinished(service_id)
            past = journal.history(service_id)
            good = journal.last_known_good(service_id)
            owner = Owner(name="the judge", reason="")
            journal.acquire(service_id, owner, name=NAME, wait=200.0).release()
        except (JournalError, EngineError, SwarmrollError) as exc:
            self.complain(f"the journal cannot be used any more: {exc!r}")
            return
        if report is None:
            if len(self.commits) > self._before:
                self.complain("something was written that nobody can tell the end of")
            return
        self._check_record(report, found, past)
        began = report.transitions and report.outcome is not Outcome.REFUSED
        baseline = report.plan.baseline
        if began and baseline is not None:
            known = [baseline.template]
            if report.ok:
                known = [report.target.template]
            if good is None or good.template not in known:
                image = None if good is None else good.image
                self.complain(f"the last known good is lost: {image} after {report.outcome}")

    def _check_record(self, report: Report, found: Record | None, past: Sequence[Report]) -> None:
        if report.outcome is Outcome.PAUSED:
            if found is None or found.state.phase is not Phase.PAUSED:
                self.complain("it is paused, and not on record so")
            return
        if found is not None and report.transitions:
            self.complain(f"it has ended, and the record stands open: {found.state.phase}")
        if not any(one.rollout_id == report.rollout_id for one in past):
            self.complain("it has ended, and is not in the history")


def _ports(spec: ServiceSpec) -> set[tuple[object, object]]:
    """The engine fills in the rest of an endpoint."""
    ports = spec.endpoint.get("Ports") or () if isinstance(spec.endpoint, Mapping) else ()
    return {(port.get("TargetPort"), port.get("PublishedPort")) for port in ports}


def attach(swarm: Swarm, gates: Sequence[Gate]) -> Report | None:
    """Take a rollout up, whoever had it, and wait for its end."""
    rollout = swarm.attach(NAME, gates=gates, wait_for_lease="10m")
    list(rollout.events())
    return rollout.wait(0, check=False)
