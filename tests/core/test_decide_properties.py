"""
What must hold of every decision, in whole histories that hang together.

A driver as small as can be rolls a service in a world of chance (``worlds``). Whatever is claimed
is judged by an auditor that knows only what was shown, and the rules, but not how the core works.
"""

from __future__ import annotations

from collections import defaultdict
from random import Random

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from swarmroll.core.canary import Canary, Step
from swarmroll.core.commands import Decision, SaveEvidence, Write
from swarmroll.core.decide import decide
from swarmroll.core.events import between
from swarmroll.core.phases import TABLE, Phase, Trigger
from swarmroll.core.plan import Plan
from swarmroll.core.report import make_report
from swarmroll.core.snapshot import (
    Availability,
    Depth,
    NodeState,
    SlotKey,
    Snapshot,
    Task,
    TaskState,
    UpdateState,
)
from swarmroll.core.spec import ServiceSpec, UpdateConfig
from swarmroll.core.state import Ask, Purpose, State
from swarmroll.core.strategy import Rolling

from .worlds import MOODS, Mood, Waves, World, a_plan, a_spec

LOOKS = 60
CHAIN = 20
EVENT = 0.25
GOING_BACK = (Phase.ROLLING_BACK, Phase.RESTORING)
SUCCESS = (UpdateState.COMPLETED, UpdateState.ROLLBACK_COMPLETED)

SEEDS = st.integers(0, 2**32)
MANY = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None
)


class Auditor:
    """
    Remembers what was shown and written, and checks each claim by the rules alone.

    Attributes:
        ran_since: When each task was first shown running, on the driver's clock.
        shown: Ids of all tasks shown so far.
        older: Those of them shown before this direction, or this template, was begun.
        witness: Whether the engine said that it completed what we wrote last, where no change of
            leader, and nobody else's write, can have come between.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.ran_since: dict[str, float] = {}
        self.shown: set[str] = set(plan.known)
        self.older: set[str] = set(plan.known)
        self.made: dict[SlotKey, set[str]] = defaultdict(set)
        self.stored: ServiceSpec = plan.live
        self.wrote_at = 0.0
        self.witness = False
        self.broken = False
        self.labels: dict[str, tuple[ServiceSpec, int]] = {}
        self.foreign_seen = False

    def see(self, snapshot: Snapshot, *, foreign: bool) -> None:
        """Take in a look that is not older than another one."""
        service = snapshot.service
        assert service is not None
        # Somebody may also store, or bring about, the very same as we did.
        ours = [spec for spec, _ in self.labels.values()]
        self.foreign_seen |= foreign and service.spec not in ours
        if service.spec != self.stored:
            if service.spec.template != self.stored.template:
                self._begin_anew()
            if service.spec.rollout_label == self.stored.rollout_label:
                self.broken = True
            self.stored, self.witness = service.spec, False
        since = snapshot.unbroken_since
        self.broken |= since is None or since > self.wrote_at
        status = service.update_status
        self.witness |= status is not None and status.state in SUCCESS
        for task in snapshot.tasks:
            self.shown.add(task.id)
            if task.id not in self.older and task.template == service.spec.template:
                self.made[task.slot_key].add(task.id)
            if task.state is TaskState.RUNNING and task.desired <= TaskState.RUNNING:
                self.ran_since.setdefault(task.id, snapshot.taken_at)

    def _begin_anew(self) -> None:
        self.older = set(self.shown)
        self.made.clear()

    def write(self, write: Write, snapshot: Snapshot) -> None:
        assert not self.foreign_seen, "written over somebody else's spec"
        assert snapshot.service is not None
        assert snapshot.service.version == write.version, "a version that was not just read"
        label = write.spec.rollout_label
        assert label.startswith(f"{self.plan.id}.")
        first = self.labels.setdefault(label, (write.spec, write.version))
        assert first == (write.spec, write.version), "another write under the same label"
        self.wrote_at = snapshot.taken_at
        self.broken = self.witness = False

    def turn_back(self) -> None:
        self._begin_anew()

    def missing(self, snapshot: Snapshot, monitor: float | None) -> list[str]:
        """What is not true of a swarm where every slot should run what is stored."""
        service = snapshot.service
        assert service is not None
        assert snapshot.up_to_date is not None
        assert snapshot.depth >= Depth.FULL
        slots: dict[SlotKey, list[Task]] = defaultdict(list)
        for task in snapshot.tasks:
            if task.desired <= TaskState.RUNNING:
                slots[task.slot if task.slot is not None else task.node_id].append(task)
        wrong = [f"{key}: {why}" for key, why in self._places(service.spec, slots, snapshot)]
        for key, tasks in slots.items():
            (task, *others) = tasks
            if others:
                wrong.append(f"{key}: {len(tasks)} tasks")
            if task.state is not TaskState.RUNNING:
                wrong.append(f"{key}: {task.state.name}")
            if task.template != service.spec.template:
                wrong.append(f"{key}: another template")
            if task.id not in snapshot.up_to_date:
                wrong.append(f"{key}: not up to date")
            if monitor is not None and not self._watched(task, snapshot, monitor):
                wrong.append(f"{key}: not watched for {monitor} s")
        return wrong

    def _places(
        self, spec: ServiceSpec, slots: dict[SlotKey, list[Task]], snapshot: Snapshot
    ) -> list[tuple[SlotKey, str]]:
        if spec.replicas is not None:
            good = len(slots) == spec.replicas
            return [] if good else [("all", f"{len(slots)} of {spec.replicas}")]
        assert snapshot.depth is Depth.NODES
        nodes = snapshot.nodes
        for key in list(slots):
            if nodes[str(key)].availability is Availability.PAUSE:
                del slots[key]
        wanted = {
            key
            for key, node in nodes.items()
            if node.state is NodeState.READY and node.availability is Availability.ACTIVE
        }
        return [(key, "wrong place") for key in wanted ^ slots.keys()]

    def _watched(self, task: Task, snapshot: Snapshot, monitor: float) -> bool:
        if task.id in self.older:
            return True
        if self.witness and not self.broken and self.made[task.slot_key] <= {task.id}:
            return True
        since = self.ran_since.get(task.id, snapshot.taken_at)
        return snapshot.taken_at - since >= monitor - 1e-6


class Driver:
    """The loop of ``runner``, without anything that acts."""

    def __init__(self, plan: Plan, world: World) -> None:
        self.state = State(plan=plan)
        self.world = world
        self.auditor = Auditor(plan)
        self.chain = 0
        self.version = 0

    def run(self, depth: Depth = Depth.SERVICE) -> State:
        for _ in range(LOOKS):
            snapshot, foreign = self.world.look(depth)
            service = snapshot.service
            if service is not None and service.version >= self.version:
                self.version = service.version
                if not self.state.phase.terminal:
                    self.auditor.see(snapshot, foreign=foreign)
            self._ask()
            decision = self._decide_by(snapshot)
            if decision is None:
                break
            assert decision.look is not None
            depth = self._wait(decision, snapshot)
        return self.state

    def _ask(self) -> None:
        world = self.world
        resume = self.state.phase is Phase.PAUSED and world.maybe(0.3)
        if self.state.asked is None and (resume or world.maybe(world.mood.asks)):
            self.state = self.state.asking(Ask.RESUME if resume else world.chance.choice(list(Ask)))

    def _decide_by(self, snapshot: Snapshot) -> Decision | None:
        """All that is decided by one look; None when it is over."""
        for _ in range(CHAIN):
            decision = self._decide_once(snapshot)
            stands = self.state.phase is Phase.PAUSED and not self.world.mood.asks
            if self.state.phase.terminal or (stands and self.world.maybe(0.5)):
                return None
            if decision.look is not None:
                return decision
        raise AssertionError(f"{CHAIN} decisions by one look")

    def _decide_once(self, snapshot: Snapshot) -> Decision:
        before = self.state
        copy, look = kept(before), kept(snapshot)
        decision = decide(before, snapshot)
        assert decide(before, snapshot) == decision
        assert (copy, look) == (kept(before), kept(snapshot))
        self.state = decision.state
        self._judge(before, snapshot, decision)
        for command in decision.commands:
            if isinstance(command, Write):
                self.auditor.write(command, snapshot)
                told = self.world.write(command)
                # A driver that dies here never hears of it; another one goes on.
                if not self.world.maybe(self.world.mood.loses / 2):
                    self.state = self.state.told(*told)
        commits = self.world.commits
        assert len(commits) == len(set(commits)), "an intent was stored twice"
        return decision

    def _judge(self, before: State, snapshot: Snapshot, decision: Decision) -> None:
        state = decision.state
        moves = state.transitions[len(before.transitions) :]
        assert state.transitions[: len(before.transitions)] == before.transitions
        writes = [command for command in decision.commands if isinstance(command, Write)]
        assert len(writes) <= 1
        assert all(isinstance(c, Write | SaveEvidence) for c in decision.commands)
        if state.phase.terminal:
            assert not writes
            assert decision.look is None
        if decision.look is not None and decision.look.within <= 0:
            deeper = decision.look.depth > snapshot.depth
            assert deeper or (snapshot.up_to_date is None and snapshot.depth > Depth.SERVICE)
        phase = before.phase
        for move in moves:
            assert move.source is phase
            phase = move.target
            assert move.reason
            assert TABLE[move.source][move.trigger] is move.target
            self._judge_move(before, state, snapshot, move.trigger, move.target)
        assert phase is state.phase
        for write in writes:
            if state.phase in GOING_BACK:
                assert write.purpose in (Purpose.PUT_BACK, Purpose.GIVE_BACK)
            if write.purpose is Purpose.PUT_BACK:
                assert state.plan.baseline is not None
                assert write.spec.effective_update_config.failure_action == "pause"
        between(before, state, snapshot.wall)
        if state.phase.terminal:
            report = make_report(
                state, evidence={}, started_at=0.0, finished_at=1.0, engine_requests=0
            )
            assert str(report)
            assert report.ok == (state.phase in (Phase.COMPLETED, Phase.UNCHANGED))

    def _judge_move(
        self, before: State, state: State, snapshot: Snapshot, trigger: Trigger, target: Phase
    ) -> None:
        plan = state.plan
        if any(m.target in GOING_BACK for m in before.transitions):
            assert target in GOING_BACK or target.terminal, "a rollback was rolled back"
        if target is Phase.ROLLING_BACK:
            self.auditor.turn_back()
            return
        if target in (Phase.SUPERSEDED, Phase.SERVICE_GONE, Phase.PREPARING):
            return
        if target is Phase.UNCHANGED:
            monitor = plan.live.effective_update_config.monitor
            self._judge_unchanged(snapshot, monitor)
        if trigger is Trigger.PROVEN and target is Phase.FINALIZING:
            step = plan.steps[-1]
            self._judge_runs(snapshot, step.spec, step.monitor + step.bake)
        assert snapshot.service is not None
        if target is Phase.COMPLETED and not plan.borrows:
            self._judge_runs(snapshot, plan.steps[-1].spec, None)
        elif target is Phase.COMPLETED:
            # Proven a moment ago; then the borrowed update config was given back, if possible.
            kept_it = any("keeps the update config" in note for note in state.notes)
            given_back = plan.target.update_config == snapshot.service.spec.update_config
            assert given_back != kept_it
        old = plan.baseline or snapshot.service.spec
        if target is Phase.RESTORING:
            self._judge_runs(snapshot, old, old.effective_rollback_config.monitor)
        if target is Phase.ROLLED_BACK or trigger is Trigger.ABORT_PROVEN:
            self._judge_runs(snapshot, old, None)
            assert old.update_config == snapshot.service.spec.update_config
            assert state.proofs or not snapshot.service.spec.replicas

    def _judge_runs(self, snapshot: Snapshot, spec: ServiceSpec, monitor: float | None) -> None:
        assert snapshot.service is not None
        assert spec.template == snapshot.service.spec.template
        assert spec.endpoint == snapshot.service.spec.endpoint
        assert [] == self.auditor.missing(snapshot, monitor)

    def _judge_unchanged(self, snapshot: Snapshot, monitor: float) -> None:
        assert snapshot.service is not None
        assert snapshot.service.spec == self.state.plan.live
        self.auditor.older = set()
        status = snapshot.service.update_status
        ended = status.completed_at if status and status.state in SUCCESS else None
        proven = all(t.created_at <= (ended or 0.0) for t in snapshot.tasks if t.runnable)
        assert [] == self.auditor.missing(snapshot, None if proven else monitor)

    def _wait(self, decision: Decision, snapshot: Snapshot) -> Depth:
        """Let time pass as the runner would; an event wakes it early."""
        look = decision.look
        assert look is not None
        if look.within <= 0:
            self.world.now += self.world.chance.choice((0.0, 0.01))
            return look.depth
        if self.world.maybe(EVENT):
            self.world.pass_time(look.within * self.world.chance.random())
            return Depth.SERVICE
        due = snapshot.taken_at + look.within
        self.world.pass_time(max(0.0, due - self.world.now))
        if self.world.maybe(self.world.mood.stalls / 10):
            self.world.pass_time(900.0)
        return look.depth


def kept(value: State | Snapshot) -> dict[str, object]:
    """Fields of a value, with copies of what could be changed in place."""
    fields = {field.name: getattr(value, field.name) for field in attrs.fields(type(value))}
    return {key: dict(v) if isinstance(v, dict) else v for key, v in fields.items()}


def a_history(seed: int, mood: Mood) -> Driver:
    """A world, a plan that fits it, and somebody to carry it out."""
    chance = Random(seed)
    pick = chance.choice
    config = UpdateConfig(
        parallelism=pick((0, 1, 2)),
        delay=pick((0.0, 2.0)),
        order=pick(("stop-first", "start-first")),
        max_failure_ratio=pick((0.0, 0.0, 0.5)),
        monitor=pick((0.5, 5.0, 5.0)),
    )
    live = a_spec(replicas=pick((None, 0, 1, 2, 3, 3)), ports=pick((0, 0, 80)))
    if pick((True, False)):
        live = live.with_update_config(config)
    if pick((True, False)):
        back = attrs.evolve(config, failure_action=pick(("pause", "continue", "rollback")))
        live = live.with_rollback_config(back)
    world = World(chance, mood, live)
    target = live
    if chance.random() < 0.8:
        target = target.with_image("app:2")
    if chance.random() < 0.2:
        target = target.with_label("team", "blue")
    if live.replicas is not None and chance.random() < 0.25:
        target = target.with_replicas(chance.randint(0, 4))
    if chance.random() < 0.15:
        target = target.with_path("EndpointSpec", {"Ports": [{"TargetPort": 81}]})
    strategy = pick(
        (
            Rolling(),
            Rolling(bake=pick((0.0, 3.0))),
            Rolling(parallelism="50%", monitor=2.0, max_failure_ratio=0.5),
            Waves(hold=0.0),
            Waves(sizes=(1, 1), hold=pick((2.0, None)), bake=pick((0.0, 2.0))),
            Canary(
                steps=[Step(tasks=1, hold=pick((0.0, 2.0, None)))],
                order=pick((None, "start-first")),
            ),
            Canary.ramp(hold=2.0, monitor=1.0),
        )
    )
    if chance.random() < 0.2:
        world.pass_time(5.0)
    plan = a_plan(
        service=world.service(),
        target=target,
        strategy=strategy,
        tasks=tuple(world.tasks.values()),
        nodes=world.nodes,
        baseline=pick((live, live, live, live.with_image("app:0"))),
        no_baseline=chance.random() < 0.2,
        on_failure=pick(("rollback", "rollback", "pause")),
        on_foreign=pick(("adopt", "adopt", "stop")),
        deadline=pick((None, 20.0)),
        allow=pick(((), ("*",))),
    )
    # What was written before the plan was made is in it.
    world.foreign = False
    world.adopting = plan.on_foreign == "adopt"
    return Driver(plan, world)


@pytest.mark.parametrize("mood", MOODS, ids=range(len(MOODS)))
@MANY
@given(seed=SEEDS)
def test_whatever_happens_the_rules_hold(mood: Mood, seed: int) -> None:
    """No decision lies, writes over others, repeats itself, or goes round in circles."""
    a_history(seed, mood).run()
