"""The three journals behind one handle, with a clock that tests move, and rollouts to keep."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from swarmroll import FileJournal, MemoryJournal, SwarmJournal
from swarmroll.core.past import Past
from swarmroll.core.phases import Phase, Trigger
from swarmroll.core.plan import Baseline, Plan, Policy, make_plan
from swarmroll.core.report import Outcome, Report, make_report
from swarmroll.core.snapshot import Service, Snapshot, Task, TaskState
from swarmroll.core.spec import ServiceSpec
from swarmroll.core.state import State
from swarmroll.core.strategy import Rolling
from swarmroll.engine.port import Clock
from swarmroll.journal.encoded import Encoded
from swarmroll.journal.file import FileDrawer
from swarmroll.journal.ledger import Ledger, LedgerLease
from swarmroll.journal.port import Owner, Record
from swarmroll.journal.swarm import ConfigDrawer
from swarmroll.sim import SimSwarm

SERVICE = "jzl0yd55uyzp8fuq5ci1gkx8d"
TTL, GRACE = 60.0, 30.0
ME, YOU = Owner(name="me@here pid 1"), Owner(name="you@there pid 2", reason="ticket 4711")

WAY = {
    Phase.COMPLETED: (
        Trigger.START,
        Trigger.READY,
        Trigger.ALL_CONVERGED,
        Trigger.PROVEN,
        Trigger.DONE,
    ),
    Phase.ROLLED_BACK: (
        Trigger.START,
        Trigger.READY,
        Trigger.FAILURES_EXCEEDED,
        Trigger.PROVEN,
        Trigger.DONE,
    ),
    Phase.PAUSED: (Trigger.START, Trigger.READY, Trigger.PAUSE_ASKED),
    Phase.UPDATING: (Trigger.START, Trigger.READY),
}


class Kind:
    """A way to keep journals, and drivers on several machines that share one."""

    def __init__(self, name: str, folder: Path, sim: SimSwarm) -> None:
        self.name = name
        self.folder = folder
        self.sim = sim
        self.clock: Clock = sim.engine().clock
        self._memory = MemoryJournal(self.clock)

    def journal(self, limit: int | None = None) -> Ledger:
        """One more driver's; where parts may have so many bytes, if it is said."""
        match self.name:
            case "memory":
                return self._memory
            case "file" if limit is None:
                return FileJournal(self.folder / "state", clock=self.clock)
            case "swarm" if limit is None:
                return SwarmJournal(self.sim.engine())
        drawer: FileDrawer | ConfigDrawer
        if self.name == "file":
            drawer = FileDrawer(self.folder / "state")
        else:
            drawer = ConfigDrawer(self.sim.engine())
        drawer.limit = limit or drawer.limit
        return Ledger(Encoded(drawer), self.clock)

    def parts(self) -> list[str]:
        """What is kept beside the head."""
        if self.name == "file":
            found = [path.name for path in (self.folder / "state" / SERVICE).iterdir()]
        else:
            held = self.sim.engine().configs("swarmroll.service", SERVICE)
            found = [one.name for one in held]
        return sorted(name for name in found if "part-" in name)

    def pass_(self, seconds: float) -> None:
        self.sim.run(seconds)


@pytest.fixture
def sim() -> Iterator[SimSwarm]:
    with SimSwarm() as swarm:
        yield swarm


@pytest.fixture(params=["memory", "file", "swarm"])
def kind(request: pytest.FixtureRequest, tmp_path: Path, sim: SimSwarm) -> Kind:
    return Kind(request.param, tmp_path, sim)


@pytest.fixture(params=["file", "swarm"])
def lasting(request: pytest.FixtureRequest, tmp_path: Path, sim: SimSwarm) -> Kind:
    """Those that outlive the process."""
    return Kind(request.param, tmp_path, sim)


def a_spec(image: str = "app:1", **words: Any) -> ServiceSpec:
    """A service spec; other words are keys of the document."""
    return ServiceSpec.from_engine(
        {
            "Name": "web",
            "Mode": {"Replicated": {"Replicas": 2}},
            "TaskTemplate": {"ContainerSpec": {"Image": image}},
            **words,
        }
    )


def a_plan(name: str, live: ServiceSpec, target: ServiceSpec) -> Plan:
    """A plan for a good service of two replicas."""
    running = TaskState.RUNNING
    tasks = tuple(
        Task(id=f"t{n}", slot=n, state=running, desired=running, template=live.template)
        for n in (1, 2)
    )
    return make_plan(
        rollout_id=name,
        service=Service(id=SERVICE, name="web", version=10, spec=live),
        target=target,
        strategy=Rolling(),
        tasks=tasks,
        nodes={},
        baseline=Baseline(spec=live),
        policy=Policy(),
    )


def a_record(
    phase: Phase = Phase.UPDATING,
    *,
    name: str = "r1",
    image: str = "app:2",
    old: ServiceSpec | None = None,
    new: ServiceSpec | None = None,
    **changes: Any,
) -> Record:
    """A rollout that came to a phase."""
    state = State(plan=a_plan(name, old or a_spec("app:1"), new or a_spec(image)))
    for trigger in WAY[phase]:
        state = state.move(trigger, f"for {trigger}", Snapshot(taken_at=1.0, wall=10.0))
    assert state.phase is phase
    return Record(state=attrs.evolve(state, **changes), started_at=5.0, engine_requests=7)


def report_on(record: Record, at: float = 20.0) -> Report:
    return make_report(
        record.state,
        evidence=record.evidence,
        started_at=record.started_at,
        finished_at=at,
        engine_requests=record.engine_requests,
    )


def acquire(journal: Ledger, owner: Owner = ME, **words: Any) -> LedgerLease:
    return journal.acquire(SERVICE, owner, name="web", **words)


def finish(journal: Ledger, phase: Phase = Phase.COMPLETED, **words: Any) -> Record:
    """Begin a rollout and bring it to its end."""
    record = a_record(phase, **words)
    lease = acquire(journal, begin=attrs.evolve(record, state=a_record(**words).state))
    lease.close(record, report_on(record))
    return record


def outcomes(past: tuple[Past, ...]) -> list[Outcome]:
    return [one.outcome for one in past]


def same(record: Record | None, other: Record | None) -> bool:
    """Whether two records tell a successor the same."""
    if record is None or other is None:
        return record is other
    return attrs.evolve(record, state=record.state.lasting) == attrs.evolve(
        other, state=other.state.lasting
    )


def head_of(kind: Kind) -> str:
    """What is written of the service, as text."""
    if kind.name == "file":
        return (kind.folder / "state" / SERVICE / "head").read_text().split("\n", 1)[1].rstrip()
    config = kind.sim.engine().config(f"swarmroll-{SERVICE}")
    assert config is not None
    return config.labels["swarmroll.record"]


def tamper(kind: Kind, text: str) -> None:
    """Somebody writes something else there."""
    if kind.name == "file":
        (kind.folder / "state" / SERVICE / "head").write_text(f"99\n{text}\n")
        return
    engine = kind.sim.engine()
    config = engine.config(f"swarmroll-{SERVICE}")
    assert config is not None
    engine.label_config(config, {**config.labels, "swarmroll.record": text})


def changed(text: str, **changes: Any) -> str:
    return json.dumps({**json.loads(text), **changes})


def touch(kind: Kind, lease: LedgerLease) -> None:
    """The lease is renewed, in the middle of an event: that takes no time."""
    if kind.name != "swarm":
        lease.renew()
        return
    held = kind.sim.objects.find("config", f"swarmroll-{SERVICE}")
    kind.sim.objects.update("config", held.id, held.version, held.spec)
