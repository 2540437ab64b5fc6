"""What would change, in steps: a plan is a value, and printing it is the dry run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise

import attrs

from swarmroll.core import checks
from swarmroll.core.diff import Diff
from swarmroll.core.dirty import dirty
from swarmroll.core.dirty import restarts as can_restart
from swarmroll.core.estimate import update_seconds
from swarmroll.core.findings import Finding, refusing
from swarmroll.core.gate import GateRules
from swarmroll.core.placement import any_placed, guarded
from swarmroll.core.proof import eligible
from swarmroll.core.redact import mask_text
from swarmroll.core.snapshot import Node, Service, SlotKey, Task, TaskState, by_slot
from swarmroll.core.spec import ServiceSpec, UpdateConfig
from swarmroll.core.stages import stages
from swarmroll.core.strategy import PlanStep, Strategy
from swarmroll.core.units import duration_text
from swarmroll.errors import PlanError
from swarmroll.printable import printable

ROLLBACK = "rollback"
PAUSE = "pause"
ADOPT = "adopt"
STOP = "stop"
FAIL = "fail"
WAIT = "wait"

BASE_DEADLINE = 600.0
CRASH_LOOP_SECONDS = 60.0


@attrs.frozen(kw_only=True)
class Policy:
    """
    What to do when things do not go as planned.

    Attributes:
        on_failure: ``rollback`` or ``pause``.
        on_foreign: ``adopt`` what others change of replicas and service labels, or ``stop``.
        on_bad_node: When all failures are on one node, and others run the release well: ``fail``
            as with any failure, or ``wait`` for those slots elsewhere, up to the deadline.
        deadline: Seconds without a further converged slot that count as a failure; None takes
            10 minutes plus the start period and the stop grace of the new spec.
        allow: Codes of findings that do not refuse the rollout; ``*`` allows all.
        reason: Why this is done, for the record.
        gates: What must pass before the rollout goes on.
    """

    on_failure: str = ROLLBACK
    on_foreign: str = ADOPT
    on_bad_node: str = FAIL
    deadline: float | None = None
    allow: tuple[str, ...] = ()
    reason: str = ""
    gates: tuple[GateRules, ...] = ()

    def __attrs_post_init__(self) -> None:
        twice = [name for name, count in Counter(g.name for g in self.gates).items() if count > 1]
        if twice:
            raise PlanError(f"two gates are called {twice[0]}: give one of them another name")
        if self.on_failure not in (ROLLBACK, PAUSE):
            raise PlanError(f"on_failure must be 'rollback' or 'pause', got {self.on_failure!r}")
        if self.on_foreign not in (ADOPT, STOP):
            raise PlanError(f"on_foreign must be 'adopt' or 'stop', got {self.on_foreign!r}")
        if self.on_bad_node not in (FAIL, WAIT):
            raise PlanError(f"on_bad_node must be 'fail' or 'wait', got {self.on_bad_node!r}")
        if self.deadline is not None and self.deadline <= 0:
            raise PlanError(f"deadline must be more than 0 seconds, got {self.deadline:g}")


@attrs.frozen(kw_only=True)
class Baseline:
    """The last known good spec, or why there is none."""

    spec: ServiceSpec | None
    why_not: str = ""


@attrs.frozen(kw_only=True)
class Plan:
    """
    A change of one service, cut into steps, made for one version of it.

    Attributes:
        id: Names the rollout; written into the service label ``swarmroll.rollout``.
        version: The version index that the plan was made for.
        live: The spec that was read.
        baseline: The last known good spec, which a rollback puts back; None if there is none.
        target: The spec that runs in the end, with what the service then declares.
        restarts: The slots whose task will be replaced: replica numbers, or node ids.
        slots: The slots that have a task now.
        known: Ids of the tasks that existed when the plan was made.
        nodes: The nodes as they were, by id.
        on_failure: What really happens on a failure: ``pause`` where nothing can be put back.
        deadline: Progress deadline in seconds: so long without a further converged slot is a
            failure. Delay and hold do not count.
        predicted: Seconds that it will take when nothing goes wrong and no image is pulled.
        auth_for: The image whose registry credentials go along with each write.
        gates: What must pass before the rollout goes on.
    """

    id: str
    service_id: str
    service: str
    version: int
    live: ServiceSpec
    baseline: ServiceSpec | None
    target: ServiceSpec
    steps: tuple[PlanStep, ...] = ()
    findings: tuple[Finding, ...] = ()
    restarts: tuple[SlotKey, ...] = ()
    slots: tuple[SlotKey, ...] = ()
    known: frozenset[str] = frozenset()
    nodes: Mapping[str, Node] = attrs.field(factory=dict, repr=False)
    on_failure: str = ROLLBACK
    on_foreign: str = ADOPT
    on_bad_node: str = FAIL
    allow: tuple[str, ...] = ()
    deadline: float = BASE_DEADLINE
    predicted: float = 0.0
    auth_for: str | None = None
    reason: str = ""
    gates: tuple[GateRules, ...] = ()

    @property
    def borrows(self) -> bool:
        """Whether the last step leaves an update config that is not the one to be declared."""
        return bool(self.steps) and self.steps[-1].spec.update_config != self.target.update_config

    @property
    def diff(self) -> Diff:
        """What changes, and which change restarts tasks."""
        return self.live.diff(self.target)

    @property
    def refusals(self) -> tuple[Finding, ...]:
        """The findings that stand in the way."""
        return refusing(self.findings, self.allow)

    def __str__(self) -> str:
        return mask_text("\n".join(self._lines()))

    def _lines(self) -> Iterator[str]:
        yield f"plan for {printable(self.service)} (version {self.version})"
        changes = str(self.diff)
        yield from (f"  {line}" for line in (changes or "no change").splitlines())
        if self.restarts:
            names = ", ".join(self._slot_name(slot) for slot in self.restarts)
            yield f"  restarts {len(self.restarts)} of {len(self.slots)} slots: {names}"
        else:
            yield "  restarts nothing"
        for number, step in enumerate(self.steps, 1):
            yield f"  step {number}: {step.name}{_pace(step)}{_hold(step)}"
        for gate in self.gates:
            yield f"  gate {printable(gate.name)}: {_when(gate)}"
        if self.steps:
            way_back = "put the old spec back" if self.on_failure == ROLLBACK else "pause"
            yield f"  on failure: {way_back}"
            yield f"  progress deadline: {duration_text(self.deadline)}"
            yield f"  takes about {duration_text(round(self.predicted, 1))}"
        yield from (f"  {printable(str(finding))}" for finding in self.findings)

    def _slot_name(self, slot: SlotKey) -> str:
        node = self.nodes.get(slot) if isinstance(slot, str) else None
        return printable(node.hostname) if node and node.hostname else str(slot)

    def to_dict(self) -> dict[str, object]:
        """For machines: what ``str`` says, secrets masked, times in seconds."""
        return {
            "id": self.id,
            "service": self.service,
            "service_id": self.service_id,
            "version": self.version,
            "diff": self.diff.to_dict(),
            "restarts": list(self.restarts),
            "slots": list(self.slots),
            "steps": [
                {
                    "name": step.name,
                    "restarts": step.restarts,
                    "adds": step.adds,
                    "monitor": step.monitor,
                    "bake": step.bake,
                    "hold": step.hold,
                    "wave": step.wave,
                }
                for step in self.steps
            ],
            "gates": [gate.name for gate in self.gates],
            "findings": [attrs.asdict(finding) for finding in self.findings],
            "on_failure": self.on_failure,
            "on_foreign": self.on_foreign,
            "on_bad_node": self.on_bad_node,
            "deadline": self.deadline,
            "predicted": self.predicted,
            "reason": self.reason,
        }


def _pace(step: PlanStep) -> str:
    if not step.restarts:
        return ""
    config = step.pace
    width = config.parallelism or "all"
    return (
        f": {config.order}, {width} at a time, delay {duration_text(config.delay)},"
        f" monitor {duration_text(config.monitor)}"
    )


def _hold(step: PlanStep) -> str:
    if step.hold is None:
        return ", then hold until promote()"
    if step.hold:
        return f", then hold {duration_text(step.hold)}"
    return f", then watch {duration_text(step.bake)} more" if step.bake else ""


def _when(gate: GateRules) -> str:
    moments = ", ".join(m.replace("_", " ") for m in sorted(gate.moments))
    limit = "without limit" if gate.limit is None else f"limit {duration_text(gate.limit)}"
    return f"{moments}; every {duration_text(gate.interval)}, {limit}"


def baseline_of(
    service: Service, tasks: Iterable[Task], nodes: Mapping[str, Node], now: float
) -> Baseline:
    """
    The live spec, if it is proven now: every slot has one task, clean and running.

    Args:
        now: Wall clock, seconds since the epoch: a task that was made a moment ago, after
            others of the same spec failed, is taken for part of a crash loop.
    """
    status = service.update_status
    if status is not None and status.state not in ("completed", "rollback_completed"):
        return Baseline(spec=None, why_not=f"the service's last update is {status.state}")
    slots = by_slot(tasks)
    live = {key: [t for t in found if t.runnable] for key, found in slots.items()}
    live = {key: found for key, found in live.items() if found}
    wanted = service.spec.replicas
    if wanted is not None and len(live) != wanted:
        return Baseline(spec=None, why_not=f"{len(live)} of {wanted} slots have a task")
    for node in nodes.values() if wanted is None else ():
        if eligible(service.spec, node) and node.id not in live:
            return Baseline(spec=None, why_not=f"node {node.hostname or node.id} has no task")
    for key, found in live.items():
        why_not = _unproven(found, slots[key], service.spec, nodes, now)
        if why_not:
            return Baseline(spec=None, why_not=f"slot {key} {why_not}")
    return Baseline(spec=service.spec)


def _unproven(
    runnable: list[Task],
    all_tasks: tuple[Task, ...],
    spec: ServiceSpec,
    nodes: Mapping[str, Node],
    now: float,
) -> str:
    task = runnable[0]
    if len(runnable) > 1:
        return f"has {len(runnable)} tasks"
    if task.state is not TaskState.RUNNING:
        return f"is {task.state.name.lower()}" + (f" ({task.error})" if task.error else "")
    if dirty(task.template, None, spec, nodes.get(task.node_id)):
        return "runs another spec"
    crashes = [
        t
        for t in all_tasks
        if t.state in (TaskState.FAILED, TaskState.COMPLETE)
        and task.created_at - t.created_at < CRASH_LOOP_SECONDS
        and not dirty(t.template, None, spec, nodes.get(t.node_id))
    ]
    if len(crashes) > 1 and now - task.created_at < CRASH_LOOP_SECONDS:
        return "keeps failing"
    return ""


def make_plan(
    *,
    rollout_id: str,
    service: Service,
    target: ServiceSpec,
    strategy: Strategy,
    tasks: tuple[Task, ...],
    nodes: Mapping[str, Node],
    baseline: Baseline,
    policy: Policy,
    findings: tuple[Finding, ...] = (),
    auth_for: str | None = None,
) -> Plan:
    """
    Cut the way from the live spec to the target into steps. Pure.

    Args:
        tasks: Every task of the service.
        findings: What was found before, such as an image that could not be resolved.

    Raises:
        PlanError: The service is a job, which has no rolling update, or its mode would change.
    """
    refuse_jobs(service, target)
    live = service.spec
    if not live.same_as(target):
        specs = (live, target, *((baseline.spec,) if baseline.spec is not None else ()))
        placed = any_placed([*(task.template for task in tasks), *(s.template for s in specs)])
        target = guarded(target, placed=placed)
        if baseline.spec is not None:
            baseline = attrs.evolve(baseline, spec=guarded(baseline.spec, placed=placed))
    runnable = by_slot(task for task in tasks if task.runnable)
    slots = tuple(sorted(runnable, key=lambda key: (isinstance(key, str), key)))
    ground = _Ground(
        service=service,
        strategy=strategy,
        slots=runnable,
        nodes=nodes,
        baseline=baseline,
        policy=policy,
    )
    steps, restarts = _steps(ground, target)
    final = _final(ground, target, steps) if steps else live
    on_failure = policy.on_failure if baseline.spec is not None else PAUSE
    deadline = policy.deadline
    if deadline is None:
        check = final.healthcheck
        start = check.start_period if check is not None and check.start_period else 0.0
        deadline = BASE_DEADLINE + start + final.effective_stop_grace
    told = [
        *findings,
        *checks.of_service(service),
        *(checks.of_target(final) if steps else ()),
        *(checks.of_way_back(baseline.spec, baseline.why_not, policy.on_failure) if steps else ()),
        *(checks.of_waiting() if steps and policy.on_bad_node == WAIT else ()),
        *(checks.of_lost_placement(live, baseline.spec) if steps else ()),
        *(checks.of_waves() if any(step.wave for step in steps) else ()),
    ]
    return Plan(
        id=rollout_id,
        service_id=service.id,
        service=service.name,
        version=service.version,
        live=live,
        baseline=baseline.spec,
        target=final,
        steps=steps,
        findings=tuple(told),
        restarts=tuple(slot for slot in slots if slot in restarts),
        slots=slots,
        known=frozenset(task.id for task in tasks),
        nodes=nodes,
        on_failure=on_failure,
        on_foreign=policy.on_foreign,
        on_bad_node=policy.on_bad_node,
        allow=policy.allow,
        deadline=deadline,
        predicted=sum(_predicted(step) for step in steps),
        auth_for=auth_for,
        reason=policy.reason,
        gates=policy.gates,
    )


def refuse_jobs(service: Service, target: ServiceSpec) -> None:
    """Raise PlanError for what Swarm cannot roll."""
    mode = service.spec.mode
    if mode.endswith("-job"):
        raise PlanError(
            f"service {service.name} is a {mode}: Swarm has no rolling update for jobs, and any"
            " update, even of a label, runs the whole job again"
        )
    if target.mode != mode:
        raise PlanError(
            f"service {service.name} is {mode}; the engine does not change the mode of a service"
            f" (wanted: {target.mode})"
        )


def _predicted(step: PlanStep) -> float:
    watched = step.bake + (step.hold or 0.0)
    if not step.restarts:
        return step.monitor + watched
    return update_seconds(step.spec, step.pace, step.restarts) + watched


@attrs.frozen(kw_only=True)
class _Ground:
    """What the steps are cut from: the slots as they are, and how far one may go."""

    service: Service
    strategy: Strategy
    slots: Mapping[SlotKey, tuple[Task, ...]]
    nodes: Mapping[str, Node]
    baseline: Baseline
    policy: Policy

    def dirty(self, before: ServiceSpec, after: ServiceSpec) -> frozenset[SlotKey]:
        """The slots that storing ``after`` over ``before`` restarts."""
        return frozenset(
            key
            for key, tasks in self.slots.items()
            if len(tasks) > 1
            or dirty(tasks[0].template, before.endpoint, after, self.nodes.get(tasks[0].node_id))
        )

    def blind_to_endpoint(self, target: ServiceSpec) -> bool:
        """
        Whether a new endpoint would not reach some task.

        One that still has an older placement, which its node meets, counts as up to date however
        its endpoint may be; only another template replaces it (swarmkit
        manager/orchestrator/task.go, IsTaskDirty).
        """
        live = self.service.spec
        return any(
            before.endpoint != after.endpoint and len(self.dirty(before, after)) < len(self.slots)
            for before, after in pairwise((live, *stages(live, target)))
        )


def _steps(ground: _Ground, target: ServiceSpec) -> tuple[tuple[PlanStep, ...], frozenset[SlotKey]]:
    """The steps, and the slots that they restart."""
    live = ground.service.spec
    converging = live.same_as(target)
    if converging:
        revived = _converging(ground)
        if revived is None:
            return (), frozenset()
        target = revived
    elif ground.blind_to_endpoint(target):
        target = target.with_force_update(live.force_update + 1)
    if converging or can_restart(live, target):
        target = target.with_update_config(_update_config(ground, target))
    way = (target,) if converging else stages(live, target)
    steps: list[PlanStep] = []
    restarts: set[SlotKey] = set()
    before = live
    for spec in way:
        hit = ground.dirty(before, spec) if converging or can_restart(before, spec) else frozenset()
        # Those that a step before has added are there by then, with the old template.
        added = max(0, (before.replicas or 0) - (live.replicas or 0)) if hit else 0
        step = _step(before, spec, len(hit) + added, converging=converging)
        steps += ground.strategy.cut(step) if hit else (step,)
        restarts |= hit
        before = spec
    return tuple(steps), frozenset(restarts)


def _final(ground: _Ground, target: ServiceSpec, steps: tuple[PlanStep, ...]) -> ServiceSpec:
    """The last step's spec, with its own update config again where that was only borrowed."""
    final = steps[-1].spec
    if not ground.strategy.borrows:
        return final
    declared = _declared(ground.service, target)
    if declared == target.effective_update_config:
        return final.with_update_config_of(target)
    return final.with_update_config(declared)


def _converging(ground: _Ground) -> ServiceSpec | None:
    """
    The spec that makes every slot run what is declared already; None if they all do.

    A slot whose restart policy has given up is not dirty, so nothing but a new template revives
    it: the force counter is that (swarmkit manager/orchestrator/restart/restart.go).
    """
    live = ground.service.spec
    if live.replicas is not None and len(ground.slots) < live.replicas:
        return live.with_force_update(live.force_update + 1)
    return live if ground.dirty(live, live) else None


def _update_config(ground: _Ground, target: ServiceSpec) -> UpdateConfig:
    """
    What the engine's updater is told, every field set.

    It is asked to roll back by itself only if that leads to the baseline: the engine restores
    the spec that was stored just before (swarmkit manager/controlapi/service.go).
    """
    live = ground.service.spec
    config = ground.strategy.policy(_declared(ground.service, target), len(ground.slots))
    replacing = [True for a, b in pairwise((live, *stages(live, target))) if can_restart(a, b)]
    unattended = (
        ground.policy.on_failure == ROLLBACK
        # It would not tell a bad node from a bad release.
        and ground.policy.on_bad_node == FAIL
        and ground.baseline.spec is not None
        and not can_restart(live, ground.baseline.spec)
        and len(replacing) == 1
        and checks.unattended_rollback(ground.baseline.spec) is None
    )
    return attrs.evolve(config, failure_action=ROLLBACK if unattended else PAUSE)


def _declared(service: Service, target: ServiceSpec) -> UpdateConfig:
    """What the service declares, behind what a rollout borrowed that was left standing still."""
    config = target.effective_update_config
    if config.delay < checks.YEARS:
        return config
    before = service.previous_spec.effective_update_config if service.previous_spec else config
    return before if before.delay < checks.YEARS else attrs.evolve(config, delay=0.0)


def _step(before: ServiceSpec, spec: ServiceSpec, restarts: int, *, converging: bool) -> PlanStep:
    adds = max(0, (spec.replicas or 0) - (before.replicas or 0))
    scales = spec.replicas != before.replicas
    if converging:
        name = "converge"
    elif restarts:
        name = "update"
    elif scales:
        name = f"scale {'up' if adds else 'down'} to {spec.replicas}"
    else:
        name = "update, restarting nothing"
    monitor = spec.effective_update_config.monitor if restarts or adds else 0.0
    return PlanStep(
        name=name, spec=spec, restarts=restarts, adds=adds, scales=scales, monitor=monitor
    )
