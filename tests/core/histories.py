"""Plans, looks and histories for the state machine, made by hypothesis or by hand."""

from __future__ import annotations

from typing import Any

import attrs
from hypothesis import strategies as st

from swarmroll.core.commands import Decision, Write
from swarmroll.core.decide import decide
from swarmroll.core.plan import Baseline, Plan, Policy, make_plan
from swarmroll.core.snapshot import (
    Availability,
    Depth,
    Node,
    NodeState,
    Service,
    Snapshot,
    Task,
    TaskState,
    UpdateState,
    UpdateStatus,
)
from swarmroll.core.spec import ServiceSpec
from swarmroll.core.state import Ask, Sent, State
from swarmroll.core.strategy import Rolling, Strategy

CHAIN = 12
"""So many decisions by one look at most."""


def spec(image: str = "app:1", replicas: int | None = 2, **more: Any) -> ServiceSpec:
    """A service spec; ``replicas=None`` is a global one."""
    mode = {"Global": {}} if replicas is None else {"Replicated": {"Replicas": replicas}}
    return ServiceSpec.from_engine(
        {
            "Name": "web",
            "Labels": {},
            "TaskTemplate": {"ContainerSpec": {"Image": image}, "ForceUpdate": 0},
            "Mode": mode,
            **more,
        }
    )


def nodes(count: int = 3) -> dict[str, Node]:
    return {f"n{i}": Node(id=f"n{i}", hostname=f"node-{i}") for i in range(1, count + 1)}


def task(
    task_id: str,
    slot: int | None = 1,
    of: ServiceSpec | None = None,
    state: TaskState = TaskState.RUNNING,
    **more: Any,
) -> Task:
    """A task made from a spec."""
    made = of or spec()
    return Task(
        id=task_id,
        slot=slot,
        node_id=more.pop("node_id", "n1"),
        state=state,
        desired=more.pop("desired", TaskState.RUNNING),
        image=made.image,
        template=made.template,
        **more,
    )


def running(of: ServiceSpec, name: str = "t") -> tuple[Task, ...]:
    """One running task in each slot."""
    slots = range(1, (of.replicas or 0) + 1)
    return tuple(task(f"{name}{slot}", slot, of) for slot in slots)


def service(of: ServiceSpec, version: int = 10, **more: Any) -> Service:
    return Service(id="s1", name="web", version=version, spec=of, **more)


def plan_for(
    live: ServiceSpec,
    target: ServiceSpec,
    *,
    strategy: Strategy | None = None,
    tasks: tuple[Task, ...] | None = None,
    baseline: ServiceSpec | None = None,
    policy: Policy | None = None,
    status: UpdateStatus | None = None,
    no_baseline: bool = False,
) -> Plan:
    """What ``Swarm.plan`` makes of it."""
    return make_plan(
        rollout_id="r1",
        service=service(live, update_status=status),
        target=target,
        strategy=strategy or Rolling(),
        tasks=running(live) if tasks is None else tasks,
        nodes=nodes(),
        baseline=Baseline(spec=None, why_not="it is so")
        if no_baseline
        else Baseline(spec=baseline or live),
        policy=policy or Policy(),
    )


def look(
    of: ServiceSpec | None,
    *,
    at: float = 1.0,
    version: int = 10,
    tasks: tuple[Task, ...] = (),
    depth: Depth = Depth.NODES,
    unbroken: float | None = 0.0,
    up_to_date: frozenset[str] | None = None,
    **more: Any,
) -> Snapshot:
    """One look; every task is up to date unless it says which."""
    if up_to_date is None:
        up_to_date = frozenset(t.id for t in tasks)
    shown = tasks
    if depth is Depth.SERVICE:
        shown = ()
    elif depth is Depth.TARGET:
        shown = tuple(t for t in tasks if t.id in up_to_date)
    return Snapshot(
        taken_at=at,
        wall=1e9 + at,
        service=None if of is None else service(of, version, **more),
        depth=depth,
        tasks=shown,
        up_to_date=None if depth is Depth.SERVICE else up_to_date,
        nodes=nodes() if depth is Depth.NODES else {},
        unbroken_since=unbroken,
    )


@attrs.define
class Driver:
    """Decides again and again, as the runner does, and answers writes as it is told."""

    state: State
    written: list[Write] = attrs.field(factory=list)

    def see(self, snapshot: Snapshot, *, answer: Sent = Sent.ACCEPTED, words: str = "") -> Decision:
        """One look, and all that is decided by it."""
        for _ in range(CHAIN):
            decision = decide(self.state, snapshot)
            self.state = decision.state
            for command in decision.commands:
                if isinstance(command, Write):
                    self.written.append(command)
                    self.state = self.state.told(answer, words)
            if decision.look is not None or self.state.phase.terminal:
                return decision
            if self.state.phase == "paused" and self.state.asked is None:
                return decision
        raise AssertionError(f"more than {CHAIN} decisions by one look")

    def store(self, *, at: float, version: int, **more: Any) -> Decision:
        """The last write is seen in the service."""
        return self.see(look(self.written[-1].spec, at=at, version=version, **more))

    @property
    def phase(self) -> str:
        return str(self.state.phase)


# --- generated

LIVE = spec("app:1", 2)
IMAGES = ("app:1", "app:2", "app:3")
REPLICAS = st.sampled_from([0, 1, 2, 3])
ENDPOINTS: tuple[dict[str, Any], ...] = ({}, {"EndpointSpec": {"Mode": "dnsrr"}})
CONFIGS: tuple[dict[str, Any], ...] = (
    {},
    {"UpdateConfig": {"Parallelism": 2, "Delay": 3 * 10**9, "Order": "start-first"}},
    {"RollbackConfig": {"Parallelism": 0}},
    {"RollbackConfig": {"Parallelism": 1, "FailureAction": "rollback"}},
)


@st.composite
def specs(draw: st.DrawFn) -> ServiceSpec:
    """A spec of the service web."""
    made = spec(
        draw(st.sampled_from(IMAGES)),
        draw(REPLICAS),
        **draw(st.sampled_from(ENDPOINTS)),
        **draw(st.sampled_from(CONFIGS)),
    )
    label = draw(st.sampled_from(["", "a", "b"]))
    return made.with_label("team", label) if label else made


def tasks_of(specs: st.SearchStrategy[ServiceSpec]) -> st.SearchStrategy[tuple[Task, ...]]:
    """Any tasks, likely and unlikely ones, made from some of these specs."""
    one = st.builds(
        task,
        st.sampled_from([f"t{i}" for i in range(1, 9)]),
        st.sampled_from([1, 2, 3]),
        specs,
        st.sampled_from([TaskState.RUNNING] * 6 + list(TaskState)),
        desired=st.sampled_from([TaskState.RUNNING] * 6 + [TaskState.READY, TaskState.SHUTDOWN]),
        node_id=st.sampled_from(["n1", "n2", "n3", "gone", ""]),
        error=st.sampled_from(["", "task: non-zero exit (1)", "unhealthy container"]),
        exit_code=st.sampled_from([None, 0, 1, 137, 143, 255]),
        created_at=st.sampled_from([0.0, 1.0, 2.0]),
    )
    return st.lists(one, max_size=6, unique_by=lambda t: t.id).map(tuple)


STATUSES = st.one_of(
    st.none(),
    st.builds(
        UpdateStatus,
        state=st.sampled_from(list(UpdateState)),
        message=st.just("because of task t1"),
        started_at=st.sampled_from([None, 1.0, 2.0]),
        completed_at=st.sampled_from([None, 3.0]),
    ),
)
NODE_SETS = st.dictionaries(
    st.sampled_from(["n1", "n2", "n3"]),
    st.builds(
        Node,
        id=st.just("n"),
        state=st.sampled_from(list(NodeState)),
        availability=st.sampled_from(list(Availability)),
        updated_at=st.sampled_from([0.0, 5.0]),
    ),
).map(lambda found: {key: attrs.evolve(node, id=key) for key, node in found.items()})

ASKS = st.one_of(st.none(), st.none(), st.none(), st.sampled_from(list(Ask)))
ANSWERS = st.sampled_from([Sent.ACCEPTED, Sent.ACCEPTED, Sent.LOST, Sent.CONFLICT, Sent.REFUSED])
