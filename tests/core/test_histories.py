"""What must hold of every decision, over any history of looks, sensible or not."""

from __future__ import annotations

from collections.abc import Iterator

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from swarmroll.core.commands import Decision, Write
from swarmroll.core.decide import decide
from swarmroll.core.phases import TABLE, IllegalMove, Phase, Trigger, after
from swarmroll.core.plan import Policy
from swarmroll.core.snapshot import Depth, Snapshot, Task, TaskState, UpdateState
from swarmroll.core.spec import ServiceSpec
from swarmroll.core.state import Purpose, Sent, State
from swarmroll.core.strategy import Rolling

from .histories import (
    ANSWERS,
    ASKS,
    CHAIN,
    LIVE,
    NODE_SETS,
    STATUSES,
    plan_for,
    running,
    service,
    spec,
    specs,
    tasks_of,
)

LONG = settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
GOING_BACK = (Phase.ROLLING_BACK, Phase.RESTORING)
DONE = (Phase.COMPLETED, Phase.UNCHANGED)


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("trigger", Trigger)
def test_every_pair_moves_or_raises(phase: Phase, trigger: Trigger) -> None:
    """No move is invented on the way."""
    if trigger in TABLE[phase]:
        assert after(phase, trigger) is TABLE[phase][trigger]
    else:
        with pytest.raises(IllegalMove, match=f"nothing leads from {phase} on {trigger}"):
            after(phase, trigger)


def test_every_phase_can_be_reached_and_left() -> None:
    """And what cannot be left is an end."""
    reached = {goal for row in TABLE.values() for goal in row.values()} | {Phase.PENDING}
    assert reached == set(Phase)
    ends = {phase for phase in Phase if phase.terminal}
    assert len(ends) == 8
    assert all(not TABLE[phase] for phase in ends)


def test_every_trigger_is_used() -> None:
    """None is there in vain."""
    assert {trigger for row in TABLE.values() for trigger in row} == set(Trigger)


@attrs.define
class Watcher:
    """
    An independent memory of a history, to judge decisions by.

    Attributes:
        known: Ids of the tasks that were there before our first write.
        running_since: When each task was first seen running.
        labels: The labels of the writes so far, with their versions.
    """

    plan_target: ServiceSpec
    known: frozenset[str]
    running_since: dict[str, float] = attrs.field(factory=dict)
    labels: dict[str, int] = attrs.field(factory=dict)
    engine_completed: bool = False

    def see(self, snapshot: Snapshot, state: State) -> None:
        if state.expected is None and state.phase in (Phase.PENDING, Phase.PREPARING):
            # Older than our first write: they run, and need no watch.
            self.known |= {task.id for task in snapshot.tasks}
        for task in snapshot.tasks:
            if task.running:
                self.running_since.setdefault(task.id, snapshot.taken_at)
        if snapshot.service is not None:
            status = snapshot.service.update_status
            if status is not None and status.state in (
                UpdateState.COMPLETED,
                UpdateState.ROLLBACK_COMPLETED,
            ):
                self.engine_completed = True

    def proves(self, state: State, snapshot: Snapshot) -> list[str]:
        """Rule 1, told again from the beginning: what is wrong with calling this done."""
        assert snapshot.service is not None
        stored = snapshot.service.spec
        wrong = []
        if snapshot.depth < Depth.FULL or snapshot.up_to_date is None:
            return ["it was not looked at"]
        wanted = stored.replicas or 0
        slots: dict[object, list[Task]] = {}
        for task in snapshot.tasks:
            if task.desired <= TaskState.RUNNING:
                slots.setdefault(task.slot, []).append(task)
        if len(slots) != wanted:
            wrong.append(f"{len(slots)} slots, {wanted} wanted")
        if stored.template != self.plan_target.template:
            wrong.append("another template is stored")
        if stored.endpoint != self.plan_target.endpoint:
            wrong.append("another endpoint is stored")
        for slot, tasks in slots.items():
            if len(tasks) > 1:
                wrong.append(f"slot {slot} has two tasks")
            flaws = self.flaws(state, snapshot, tasks[0], stored)
            wrong += [f"slot {slot} {flaw}" for flaw in flaws]
        return wrong

    def flaws(
        self, state: State, snapshot: Snapshot, task: Task, stored: ServiceSpec
    ) -> Iterator[str]:
        """What one slot lacks."""
        if task.state is not TaskState.RUNNING:
            yield "does not run"
        if task.template != stored.template:
            yield "runs another template"
        if task.id not in (snapshot.up_to_date or ()):
            yield "is not up to date"
        if any(failure.task_id == task.id for failure in state.failures):
            yield "failed"
        since = self.running_since.get(task.id, snapshot.taken_at)
        watched = snapshot.taken_at - since >= stored.effective_update_config.monitor
        old = task.id in self.known and state.phase is Phase.COMPLETED
        if not (watched or self.engine_completed or old):
            yield "was not watched"


def pool(state: State, target: ServiceSpec) -> list[ServiceSpec]:
    """Specs that the service may show next: ours, the engine's, somebody else's."""
    current = state.expected or state.plan.live
    likely = current if state.intent is None else state.intent.spec
    found = [likely] * 16 + [current] * 2 + [state.plan.live, target]
    found += [each for each in (state.fallback, state.plan.baseline) if each]
    found += [current.with_image("other:1"), current.with_label("theirs", "x")]
    if current.replicas is not None:
        found.append(current.with_replicas(current.replicas + 1))
    return found


def judge(before: State, snapshot: Snapshot, decision: Decision, watcher: Watcher) -> None:
    """What must hold of one decision."""
    state = decision.state
    writes = [command for command in decision.commands if isinstance(command, Write)]
    assert decide(before, snapshot) == decision
    assert state.transitions[: len(before.transitions)] == before.transitions
    assert len(writes) <= 1
    if before.phase.terminal:
        assert decision == Decision(state=before)
        return
    if state.phase.terminal:
        assert not writes
    if state.phase in DONE:
        assert watcher.proves(state, snapshot) == []
    for write in writes:
        assert snapshot.service is not None
        assert write.version == snapshot.service.version
        assert snapshot.service.version >= before.version
        label = write.spec.rollout_label
        assert label.startswith("r1.")
        assert watcher.labels.setdefault(label, write.version) == write.version
        judge_foreign(before, snapshot)
        if state.phase in GOING_BACK:
            assert write.purpose in (Purpose.PUT_BACK, Purpose.GIVE_BACK)
            assert state.plan.baseline is not None
            assert write.spec.image == state.plan.baseline.image or len(state.back) > 1
        if write.purpose is Purpose.PUT_BACK:
            assert write.spec.effective_update_config.failure_action == "pause"


def judge_foreign(before: State, snapshot: Snapshot) -> None:
    """Nothing is written over what somebody else wrote, unless it may be adopted."""
    assert snapshot.service is not None
    shown, previous = snapshot.service.spec, snapshot.service.previous_spec
    ours = [before.expected or before.plan.live]
    if before.intent is not None:
        label = before.intent.spec.rollout_label
        if shown.rollout_label == label and (previous is None or previous.rollout_label != label):
            return
        if previous is not None and previous.rollout_label == label:
            ours.append(previous)
    if before.fallback is not None:
        ours.append(before.fallback)
    if before.intent is not None:
        ours.append(before.intent.spec)
    assert any(
        mine.template == shown.template and mine.endpoint == shown.endpoint for mine in ours
    ), "somebody else's template was written over"


@LONG
@given(st.data())
def test_whatever_is_seen_the_rules_hold(data: st.DataObject) -> None:
    """Over histories that no swarm would tell, and some that it would."""
    live = data.draw(specs())
    target = data.draw(specs())
    baseline = data.draw(st.sampled_from([live, LIVE, None]))
    known = data.draw(st.one_of(st.just(running(live)), tasks_of(st.just(live))))
    plan = plan_for(
        live,
        target,
        strategy=Rolling(bake=data.draw(st.sampled_from([0, 4]))),
        tasks=known,
        baseline=baseline,
        no_baseline=baseline is None,
        policy=Policy(
            on_failure=data.draw(st.sampled_from(["rollback", "pause"])),
            on_foreign=data.draw(st.sampled_from(["adopt", "stop"])),
            deadline=data.draw(st.sampled_from([20.0, 600.0])),
            allow=("*",),
        ),
    )
    state = State(plan=plan)
    watcher = Watcher(plan_target=plan.target, known=frozenset(t.id for t in known))
    now, version = 0.0, 10
    for _ in range(data.draw(st.integers(1, 20), label="looks")):
        now += data.draw(st.sampled_from([0.0, 0.1, 1.0, 3.0, 8.0, 700.0]))
        version += data.draw(st.sampled_from([0, 1, 1, 1, 2, 2, -1]))
        shown = data.draw(st.sampled_from(pool(state, target)))
        known_specs = st.sampled_from([*pool(state, target), shown, shown, shown])
        tasks = data.draw(
            st.one_of(
                st.just(running(shown, "new")),
                st.just(running(shown)),
                tasks_of(known_specs),
            )
        )
        depth = data.draw(st.sampled_from([Depth.SERVICE, Depth.FULL, Depth.NODES, Depth.NODES]))
        up_to_date = frozenset(t.id for t in tasks if t.template == shown.template)
        gone = data.draw(st.integers(0, 200)) == 200
        quiet = state.expected is None and data.draw(st.integers(0, 5)) > 0
        snapshot = Snapshot(
            taken_at=now,
            wall=1e9 + now,
            service=None
            if gone
            else service(
                shown,
                version,
                previous_spec=data.draw(st.sampled_from([None, *pool(state, target)])),
                update_status=None if quiet else data.draw(STATUSES),
            ),
            depth=depth,
            tasks=() if depth is Depth.SERVICE else tasks,
            up_to_date=None if depth is Depth.SERVICE else up_to_date,
            nodes=data.draw(NODE_SETS) if depth is Depth.NODES else {},
            unbroken_since=data.draw(st.sampled_from([None, 0.0, now])),
        )
        watcher.see(snapshot, state)
        ask = data.draw(ASKS)
        if ask is not None and state.asked is None:
            state = state.asking(ask)
        state = one_look(data, state, snapshot, watcher)


def one_look(data: st.DataObject, state: State, snapshot: Snapshot, watcher: Watcher) -> State:
    for _ in range(CHAIN):
        before = state
        decision = decide(before, snapshot)
        judge(before, snapshot, decision, watcher)
        state = decision.state
        for command in decision.commands:
            if isinstance(command, Write):
                answer = data.draw(ANSWERS)
                if answer is not Sent.NOT_YET:
                    state = state.told(answer, "so it says")
        stands = state.phase.terminal or (state.phase is Phase.PAUSED and state.asked is None)
        if decision.look is not None or stands:
            return state
    raise AssertionError("it goes round in circles")


@LONG
@given(specs(), specs())
def test_a_swarm_that_does_as_it_is_told_ends_well(live: ServiceSpec, target: ServiceSpec) -> None:
    """Every step is stored and converges: then it is completed, in as many writes as steps."""
    plan = plan_for(live, target, policy=Policy(allow=("*",)))
    state = State(plan=plan)
    stored, now, version, writes = live, 0.0, 10, 0
    for _ in range(60):
        tasks = running(stored, f"w{writes}-" if writes else "t")
        snapshot = Snapshot(
            taken_at=now,
            service=service(stored, version),
            depth=Depth.NODES,
            tasks=tasks,
            up_to_date=frozenset(task.id for task in tasks),
            nodes={},
            unbroken_since=0.0,
        )
        decision = decide(state, snapshot)
        state = decision.state
        for command in decision.commands:
            assert isinstance(command, Write)
            state = state.told(Sent.ACCEPTED)
            stored, version, writes = command.spec, version + 1, writes + 1
        if state.phase.terminal:
            break
        now += 0.0 if decision.look is None else max(decision.look.within, 0.01)
    assert state.phase is (Phase.COMPLETED if plan.steps else Phase.UNCHANGED)
    assert writes == len(plan.steps)
    assert stored.same_as(plan.target)


def test_nothing_follows_the_end() -> None:
    """Whatever is seen or asked."""
    state = State(plan=plan_for(LIVE, spec("app:2")), phase=Phase.COMPLETED)
    gone = Snapshot(taken_at=1.0)
    assert decide(state, gone) == Decision(state=state)
