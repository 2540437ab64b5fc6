"""
Specs, plans, and a swarm made of chance: what a driver is shown, without any swarm behind it.

It keeps the few promises that the engine really makes: versions only grow, a write is stored only
with the newest one, and clears the update status. Everything else may happen.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import attrs

from swarmroll.core.checks import YEARS
from swarmroll.core.commands import Write
from swarmroll.core.plan import Baseline, Plan, Policy, make_plan
from swarmroll.core.snapshot import (
    BUSY,
    Availability,
    Depth,
    Node,
    NodeState,
    Service,
    SlotKey,
    Snapshot,
    Task,
    TaskState,
    UpdateState,
    UpdateStatus,
)
from swarmroll.core.spec import ServiceSpec, UpdateConfig
from swarmroll.core.state import Sent
from swarmroll.core.strategy import PlanStep, Rolling, Strategy

EPOCH = 1_700_000_000.0


def a_spec(
    image: str = "app:1", replicas: int | None = 2, *, ports: int = 0, **words: Any
) -> ServiceSpec:
    """A service spec; no replicas make it global. Other words are keys of the document."""
    mode = {"Global": {}} if replicas is None else {"Replicated": {"Replicas": replicas}}
    document: dict[str, Any] = {
        "Name": "web",
        "Mode": mode,
        "TaskTemplate": {"ContainerSpec": {"Image": image}},
        **words,
    }
    if ports:
        document["EndpointSpec"] = {"Ports": [{"TargetPort": ports, "PublishedPort": ports}]}
    return ServiceSpec.from_engine(document)


def a_service(spec: ServiceSpec | None = None, version: int = 10, **words: Any) -> Service:
    return Service(id="s1", name="web", version=version, spec=spec or a_spec(), **words)


def a_task(spec: ServiceSpec, slot: SlotKey = 1, number: int = 1, **words: Any) -> Task:
    """A task made from a spec; it runs unless said otherwise."""
    place: dict[str, Any]
    if isinstance(slot, str):
        place = {"slot": None, "node_id": slot}
    else:
        place = {"slot": slot, "node_id": f"n{slot % 3}"}
    words = {"state": TaskState.RUNNING, "desired": TaskState.RUNNING, **place, **words}
    words.setdefault("id", f"t{number}-{slot}")
    return Task(image=spec.image, template=spec.template, **words)


def some_nodes(count: int = 3) -> dict[str, Node]:
    return {f"n{i}": Node(id=f"n{i}", hostname=f"host{i}") for i in range(count)}


def a_plan(
    *,
    live: ServiceSpec | None = None,
    target: ServiceSpec | None = None,
    strategy: Strategy | None = None,
    baseline: ServiceSpec | None = None,
    no_baseline: bool = False,
    service: Service | None = None,
    tasks: tuple[Task, ...] | None = None,
    nodes: dict[str, Node] | None = None,
    **policy: Any,
) -> Plan:
    """A plan, by default of a good service of two replicas that gets another image."""
    live = live or (service.spec if service else a_spec())
    if tasks is None:
        tasks = tuple(a_task(live, slot) for slot in range(1, (live.replicas or 0) + 1))
    return make_plan(
        rollout_id="r1",
        service=service or a_service(live),
        target=target or live.with_image("app:2"),
        strategy=strategy or Rolling(),
        tasks=tasks,
        nodes=some_nodes() if nodes is None else nodes,
        baseline=Baseline(spec=None if no_baseline else baseline or live, why_not="unknown"),
        policy=Policy(**policy),
    )


@attrs.frozen(kw_only=True)
class Waves:
    """Cuts an update into parts, one after the other, with a pause after each but the last."""

    sizes: tuple[int, ...] = (1,)
    hold: float | None = 2.0
    bake: float = 0.0
    borrows: bool = False

    def policy(self, inherited: UpdateConfig, slots: int) -> UpdateConfig:
        del slots
        return inherited

    def cut(self, step: PlanStep) -> tuple[PlanStep, ...]:
        steps = []
        for size in self.sizes:
            config = attrs.evolve(step.spec.effective_update_config, parallelism=size)
            spec = step.spec.with_update_config(config)
            steps.append(attrs.evolve(step, name=f"wave of {size}", spec=spec, hold=self.hold))
        return (*steps, attrs.evolve(step, bake=self.bake))


@attrs.frozen(kw_only=True)
class Mood:
    """How likely what is, at each look."""

    fails: float = 0.0
    displaces: float = 0.0
    stalls: float = 0.2
    adoptable: float = 0.0
    foreign: float = 0.0
    engine_rolls_back: float = 0.0
    engine_pauses: float = 0.0
    stale: float = 0.0
    breaks: float = 0.05
    loses: float = 0.0
    refuses: float = 0.0
    conflicts: float = 0.0
    removed: float = 0.0
    asks: float = 0.0
    nonsense: float = 0.0


CALM = Mood()
MOODS = (
    CALM,
    Mood(fails=0.15, engine_rolls_back=0.1, engine_pauses=0.1, breaks=0.1),
    Mood(fails=0.3, stalls=0.5, displaces=0.1),
    Mood(displaces=0.2, engine_pauses=0.1, stalls=0.4),
    Mood(adoptable=0.1, loses=0.1, conflicts=0.1),
    Mood(adoptable=0.1, foreign=0.05, loses=0.2, stale=0.2, fails=0.1),
    Mood(loses=0.5, conflicts=0.2, stale=0.3, refuses=0.05, engine_rolls_back=0.05),
    Mood(asks=0.15, fails=0.05, loses=0.1, engine_pauses=0.05),
    Mood(asks=0.1, foreign=0.03, removed=0.01, fails=0.1, engine_rolls_back=0.1, displaces=0.1),
    Mood(nonsense=0.3, fails=0.2, stalls=0.4, asks=0.05),
)


class World:
    """
    A service in a swarm that does what a seed and a mood say.

    Attributes:
        adopting: Whether a change of replicas or labels may be written over.
        foreign: Whether somebody else's spec is stored that must not be overwritten.
        commits: The rollout labels that were stored, in order.
    """

    def __init__(self, chance: Random, mood: Mood, spec: ServiceSpec, nodes: int = 3) -> None:
        self.chance = chance
        self.mood = mood
        self.now = 1000.0
        self.spec = spec
        self.previous: ServiceSpec | None = None
        self.status: UpdateStatus | None = None
        self.version = 10
        self.gone = False
        self.foreign = False
        self.adopting = True
        self.commits: list[str] = []
        self.nodes = some_nodes(nodes)
        self.tasks: dict[str, Task] = {}
        self._endpoints: dict[str, object] = {}
        self._unbroken: float | None = 0.0
        self._late: Write | None = None
        self._older: list[tuple[Service, bool]] = []
        self._previous_foreign = False
        self._numbers = 0
        self._takes = 99
        self._taken: set[SlotKey] = set()
        self._wanted_slots(first=True)

    @property
    def wall(self) -> float:
        return EPOCH + self.now

    def maybe(self, likely: float) -> bool:
        return self.chance.random() < likely

    # --- what is shown

    def service(self) -> Service:
        return Service(
            id="s1",
            name="web",
            version=self.version,
            spec=self.spec,
            previous_spec=self.previous,
            update_status=self.status,
        )

    def look(self, depth: Depth) -> tuple[Snapshot, bool]:
        """What a look shows, and whether that is a foreign spec."""
        service, foreign = self.service(), self.foreign
        if self.maybe(self.mood.stale) and self._older:
            service, foreign = self.chance.choice(self._older)
        up_to_date = frozenset(t.id for t in self.tasks.values() if self._up_to_date(t, service))
        tasks = tuple(self.tasks.values())
        if self.maybe(self.mood.nonsense):
            tasks = tuple(t for t in tasks if self.maybe(0.8))
            up_to_date = frozenset(t for t in up_to_date if self.maybe(0.8))
        if depth is Depth.SERVICE:
            tasks = ()
        elif depth is Depth.TARGET:
            tasks = tuple(task for task in tasks if task.id in up_to_date)
        return Snapshot(
            taken_at=self.now,
            wall=self.wall,
            service=None if self.gone else service,
            depth=depth,
            tasks=tasks,
            up_to_date=None if depth is Depth.SERVICE else up_to_date,
            nodes=dict(self.nodes) if depth is Depth.NODES else {},
            unbroken_since=self._unbroken,
        ), foreign

    def _up_to_date(self, task: Task, service: Service) -> bool:
        same_endpoint = self._endpoints.get(task.id) == service.spec.endpoint
        return task.template == service.spec.template and same_endpoint

    # --- what is written

    def write(self, write: Write) -> tuple[Sent, str]:
        """What becomes of a write, and what the driver is told of it."""
        if self.maybe(self.mood.conflicts):
            self._meddle(foreign=False)
        if self.maybe(self.mood.refuses):
            return Sent.REFUSED, "invalid mount"
        if self.gone:
            return Sent.LOST, "no such service"
        if self.maybe(self.mood.loses):
            fate = self.chance.randrange(3)
            if fate == 0:
                self.store(write)
            elif fate == 1:
                self._late = write
            return Sent.LOST, "no answer"
        if not self.store(write):
            return Sent.CONFLICT, "update out of sequence"
        return Sent.ACCEPTED, ""

    def store(self, write: Write) -> bool:
        if self.gone or write.version != self.version:
            return False
        self._put(write.spec, foreign=False)
        self.commits.append(write.spec.rollout_label)
        return True

    def _put(self, spec: ServiceSpec, *, foreign: bool) -> None:
        self._older = [*self._older[-2:], (self.service(), self.foreign)]
        self.version += self.chance.randint(1, 5)
        self.previous, self.spec = self.spec, spec
        self._previous_foreign = self.foreign
        self.status = None
        self.foreign = foreign
        config = spec.effective_update_config
        # With a delay of years the updater stops after the first slots that it takes.
        self._takes = config.parallelism if config.delay >= YEARS else len(self.tasks) + 99
        self._taken = set()

    # --- what happens

    def pass_time(self, seconds: float) -> None:
        """Let time go by, and things happen in it."""
        self.now += seconds
        mood, chance = self.mood, self.chance
        if self._late is not None and self.maybe(0.5):
            self.store(self._late)
            self._late = None
        if self.maybe(mood.breaks):
            self._unbroken = chance.choice((None, self.now, self.now - 0.2))
        elif self._unbroken is None:
            self._unbroken = self.now
        if self.maybe(mood.removed):
            self.gone = True
        if self.maybe(mood.adoptable):
            self._meddle(foreign=False)
        if self.maybe(mood.foreign):
            self._meddle(foreign=True)
            if self.maybe(0.5):
                self._meddle(foreign=False)
        if self.maybe(mood.displaces):
            self._lose_or_find_a_node()
        self._update()
        if self.maybe(mood.nonsense):
            self._talk_nonsense()

    def _meddle(self, *, foreign: bool) -> None:
        spec, chance = self.spec, self.chance
        ways: list[Callable[[], ServiceSpec]]
        if not foreign:
            ways = [
                lambda: spec.with_labels({chance.choice("abc"): str(chance.random())}),
                lambda: spec.with_labels({chance.choice("abc"): None}),
            ]
            if spec.replicas is not None:
                ways.append(lambda: spec.with_replicas(chance.randint(0, 4)))
        else:
            previous = self.previous or spec.with_image("foreign:0")
            ways = [
                lambda: spec.with_image(f"foreign:{chance.randint(1, 3)}"),
                lambda: spec.with_path("TaskTemplate.ContainerSpec.Hostname", "h"),
                lambda: spec.with_update_config(UpdateConfig(parallelism=7)),
                # What `docker service update --image` does with an older copy of the spec.
                lambda: previous.with_image("foreign:9"),
            ]
        meddled = chance.choice(ways)()
        theirs = (foreign or not self.adopting) and meddled != spec
        self._put(meddled, foreign=theirs or self.foreign)

    def _lose_or_find_a_node(self) -> None:
        node = self.chance.choice(list(self.nodes.values()))
        if node.schedulable:
            how: dict[str, Any] = self.chance.choice(
                (
                    {"state": NodeState.DOWN},
                    {"availability": Availability.DRAIN},
                    {"availability": Availability.PAUSE},
                    {"state": NodeState.UNKNOWN},
                )
            )
        else:
            how = {"state": NodeState.READY, "availability": Availability.ACTIVE}
        self.nodes[node.id] = attrs.evolve(node, updated_at=self.wall, **how)
        for task in list(self.tasks.values()):
            if task.node_id == node.id and task.runnable and not self.nodes[node.id].schedulable:
                state = self.chance.choice((task.state, TaskState.SHUTDOWN, TaskState.ORPHANED))
                self._set(task, desired=TaskState.SHUTDOWN, state=state)

    def _talk_nonsense(self) -> None:
        state = self.chance.choice((None, *UpdateState))
        self.status = None if state is None else UpdateStatus(state=state, message="?")
        for task in list(self.tasks.values()):
            if self.maybe(0.1):
                self._set(task, desired=self.chance.choice(list(TaskState)))
        if self.tasks and self.maybe(0.3):
            task = self.chance.choice(list(self.tasks.values()))
            self._make(task.slot_key)

    # --- the engine

    def _wanted_slots(self, *, first: bool = False) -> list[SlotKey]:
        slots: list[SlotKey]
        if self.spec.replicas is None:
            slots = [key for key, node in self.nodes.items() if node.schedulable]
        else:
            slots = list(range(1, self.spec.replicas + 1))
        for slot in slots if first else ():
            self._make(slot, TaskState.RUNNING)
        return slots

    def _make(self, slot: SlotKey, state: TaskState = TaskState.NEW) -> None:
        self._numbers += 1
        node = {} if isinstance(slot, str) else {"node_id": self.chance.choice(list(self.nodes))}
        task = a_task(self.spec, slot, self._numbers, state=state, created_at=self.wall, **node)
        self.tasks[task.id] = task
        self._endpoints[task.id] = self.spec.endpoint

    def _set(self, task: Task, **changes: Any) -> None:
        self.tasks[task.id] = attrs.evolve(task, updated_at=self.wall, **changes)

    def _slot(self, slot: SlotKey) -> list[Task]:
        return [t for t in self.tasks.values() if t.slot_key == slot and t.runnable]

    def _update(self) -> None:
        slots, service = self._wanted_slots(), self.service()
        dirty = [s for s in slots if any(not self._up_to_date(t, service) for t in self._slot(s))]
        if self.status is None and dirty and not self.maybe(self.mood.stalls):
            self.status = UpdateStatus(state=UpdateState.UPDATING, started_at=self.wall)
        busy = self.status is not None and self.status.state in BUSY
        failed = False
        for task in [t for t in self.tasks.values() if t.runnable]:
            if task.slot_key not in slots:
                self._set(task, desired=TaskState.SHUTDOWN, state=TaskState.SHUTDOWN)
            else:
                failed |= self._live_on(task)
        for slot in slots:
            wanted = not self._slot(slot) or (busy and slot in dirty and self._takes_on(slot))
            if wanted and not self.maybe(self.mood.stalls):
                self._replace(slot, service)
        self._judge(slots, busy=busy, failed=failed)

    def _takes_on(self, slot: SlotKey) -> bool:
        """Whether the updater works on a slot, which it goes on with once it has begun."""
        if slot not in self._taken and len(self._taken) < self._takes:
            self._taken.add(slot)
        return slot in self._taken

    def _replace(self, slot: SlotKey, service: Service) -> None:
        """Give a slot its new task, and stop the old one, before or after it."""
        old = [task for task in self._slot(slot) if not self._up_to_date(task, service)]
        has_new = len(old) < len(self._slot(slot))
        if has_new or self.spec.effective_update_config.order != "start-first":
            for task in old:
                self._set(task, desired=TaskState.SHUTDOWN, state=TaskState.SHUTDOWN)
        if not has_new:
            self._make(slot)

    def _live_on(self, task: Task) -> bool:
        """Whether it failed."""
        if self.maybe(self.mood.fails) and task.template == self.spec.template:
            state = self.chance.choice((TaskState.FAILED, TaskState.REJECTED, TaskState.COMPLETE))
            code = self.chance.choice((None, 0, 1, 143))
            desired = self.chance.choice((TaskState.RUNNING, TaskState.SHUTDOWN))
            self._set(task, state=state, desired=desired, error="boom", exit_code=code)
            return True
        if task.state < TaskState.RUNNING and not self.maybe(self.mood.stalls):
            self._set(task, state=self.chance.choice((TaskState.STARTING, TaskState.RUNNING)))
        elif task.state > TaskState.RUNNING:
            self._set(task, desired=TaskState.SHUTDOWN)
        return False

    def _judge(self, slots: list[SlotKey], *, busy: bool, failed: bool) -> None:
        back = self.status is not None and self.status.state is UpdateState.ROLLBACK_STARTED
        if busy and (failed or self.mood.fails == 0) and self.maybe(self.mood.engine_pauses):
            state = UpdateState.ROLLBACK_PAUSED if back else UpdateState.PAUSED
            self._tell(state, "update paused due to failure of task x")
        elif (
            busy
            and not back
            and self.previous is not None
            and (self.maybe(self.mood.engine_rolls_back))
        ):
            status = self.status
            self._put(self.previous, foreign=self._previous_foreign)
            self.previous, self.status = None, status
            self._tell(UpdateState.ROLLBACK_STARTED, "rolling back")
        elif busy and all(
            [t.running and self._up_to_date(t, self.service()) for t in self._slot(s)] == [True]
            for s in slots
        ):
            self._tell(UpdateState.ROLLBACK_COMPLETED if back else UpdateState.COMPLETED, "done")

    def _tell(self, state: UpdateState, message: str) -> None:
        self.version += 1
        started = self.status.started_at if self.status else self.wall
        done = state in (UpdateState.COMPLETED, UpdateState.ROLLBACK_COMPLETED)
        self.status = UpdateStatus(
            state=state,
            message=message,
            started_at=started,
            completed_at=self.wall if done else None,
        )
