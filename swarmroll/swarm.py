"""What users hold: one swarm, and what can be done with its services."""

from __future__ import annotations

import copy
import getpass
import os
import secrets
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import attrs

from swarmroll.brake import Brake
from swarmroll.core.checks import held
from swarmroll.core.findings import Finding, Severity
from swarmroll.core.gate import Gate, GateContext, Verdict
from swarmroll.core.image import ImageReference
from swarmroll.core.past import of_past
from swarmroll.core.phases import Phase, Trigger
from swarmroll.core.plan import (
    ADOPT,
    BASE_DEADLINE,
    FAIL,
    PAUSE,
    ROLLBACK,
    Baseline,
    Plan,
    Policy,
    baseline_of,
    make_plan,
    refuse_jobs,
)
from swarmroll.core.redact import mask_text, secrets_of
from swarmroll.core.report import Report
from swarmroll.core.snapshot import BUSY, Depth, Node, Service, Snapshot, Task
from swarmroll.core.spec import ServiceSpec
from swarmroll.core.state import State
from swarmroll.core.strategy import Rolling, Strategy
from swarmroll.core.units import Duration, seconds
from swarmroll.engine.port import Engine
from swarmroll.errors import LeaseHeld, NoRollout, PlanError, PreflightError, ServiceNotFound
from swarmroll.gates.python import as_gate
from swarmroll.journal.port import Journal, Lease, Owner, report_on
from swarmroll.journal.swarm import SwarmJournal
from swarmroll.outcomes import raise_unless_ok
from swarmroll.rollout import Rollout
from swarmroll.runner import Habits, Observer, Runner

if TYPE_CHECKING:
    from swarmroll.engine.connect import TLS

Change = ServiceSpec | Callable[[ServiceSpec], ServiceSpec]
"""A new spec, or a function from the live spec to it."""

GateLike = Gate | Callable[[GateContext], bool | Verdict]
"""A gate, or a function that is one."""

PLANS = 5
"""So often ``update`` plans again when somebody else wrote between the plan and its first write."""

PLANS_WITH_GATES = 100
"""So many plans that were not started yet keep their gates; older ones have to be given again."""

RESOLVE_SECONDS = 5.0
"""Seconds that a registry gets to tell the digest of an image."""


def _new_id() -> str:
    return secrets.token_hex(6)


class Swarm:
    """
    One swarm, reached through one or more of its managers; made by ``swarmroll.connect()``.

    A context manager: leaving it gives back sockets and threads. May be shared by threads; all
    its rollouts share one stream of the engine's events.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        journal: Journal | None = None,
        lease: Duration | None = None,
        observers: Iterable[Observer] = (),
        heartbeat: Duration = 5.0,
        executor: Executor | None = None,
        new_id: Callable[[], str] = _new_id,
    ) -> None:
        """
        Args:
            engine: The door to the swarm.
            journal: Where rollouts are recorded; None keeps them in the swarm itself.
            lease: How long the lease lasts there if it is not renewed: see ``connect``.
            observers: Told of every event of every rollout.
            heartbeat: Seconds after which a service is looked at even if no event came.
            executor: Runs what saves evidence, and gates' checks; None uses threads of its own.
            new_id: Names rollouts; no two may have the same.
        """
        self._engine = engine
        self._journal = _in_swarm(engine, lease) if journal is None else journal
        self._observers = tuple(observers)
        self._habits = Habits(heartbeat=seconds(heartbeat, name="heartbeat"))
        self._executor = executor or ThreadPoolExecutor(2, thread_name_prefix="swarmroll-evidence")
        self._checking = executor
        self._gates: dict[str, tuple[Gate, ...]] = {}
        self._new_id = new_id
        self._nodes: Mapping[str, Node] = {}
        self._brake = Brake()

    def braked(self, brake: Brake) -> Swarm:
        """
        The same swarm, whose ``update``, ``rollback`` and ``attach`` a brake can cut short.

        They then let go of what they hold, and end as a rollout that was stopped in that way ends;
        with ``PlanError``, where nothing was begun.

        Args:
            brake: For one call.
        """
        same = copy.copy(self)
        same._brake = brake  # noqa: SLF001 - its own
        return same

    def __enter__(self) -> Swarm:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Give back sockets and threads; a second call does nothing."""
        self._executor.shutdown(wait=False, cancel_futures=True)
        self._engine.close()

    def __repr__(self) -> str:
        return f"<Swarm at {self._engine.host}>"

    # --- looking

    def nodes(self) -> tuple[Node, ...]:
        """
        Every node of the swarm.

        Raises:
            NotAManager: The engine does not manage a swarm.
            EngineUnavailable: No answer.
        """
        nodes = self._engine.nodes()
        self._nodes = {node.id: node for node in nodes}
        return nodes

    def service(self, name: str) -> Service:
        """
        Read a service by name, id, or unique prefix of its id.

        Raises:
            ServiceNotFound: There is none of that name.
            NotAManager: The engine does not manage a swarm.
            EngineUnavailable: No answer.
        """
        return self._engine.service(name)

    # --- planning

    def plan(
        self,
        service: str,
        change: Change | None = None,
        *,
        image: str | None = None,
        strategy: Strategy | None = None,
        gates: Sequence[GateLike] = (),
        on_failure: str = ROLLBACK,
        deadline: Duration | None = None,
        on_foreign: str = ADOPT,
        on_bad_node: str = FAIL,
        allow: Iterable[str] = (),
        reason: str = "",
    ) -> Plan:
        """
        Say what would change, in steps; writes nothing.

        Args:
            service: Name or id.
            change: The new spec, or a function from the live spec to it.
            image: The new image; may go along with a change of something else.
            strategy: How to replace tasks; None inherits the service's own update config.
            gates: What must pass before the rollout goes on: gates such as ``HttpGate``, or
                functions from a ``GateContext`` to a ``bool`` or a ``Verdict``.
            on_failure: ``rollback`` or ``pause``.
            deadline: Progress deadline: so long without a further converged slot is a failure.
            on_foreign: ``adopt`` or ``stop``, when others scale or relabel the service meanwhile.
            on_bad_node: ``fail`` or ``wait``, when all failures are on one node and others run
                the release well: take it back, or wait for those slots elsewhere.
            allow: Codes of findings that shall not refuse the rollout; ``*`` allows all.
            reason: Why, for the record.

        Raises:
            SpecError: A value that no spec may hold.
            PlanError: A job, a change of mode, a change that is none, or what is no gate.
            ServiceNotFound: There is none of that name.
        """
        checked = tuple(as_gate(gate) for gate in gates)
        policy = _policy(
            on_failure=on_failure,
            on_foreign=on_foreign,
            on_bad_node=on_bad_node,
            deadline=deadline,
            allow=allow,
            reason=reason,
            gates=checked,
        )
        found = self._engine.service(service)
        plan, _ = self._plan(found, change, image, strategy or Rolling(), policy)
        if checked:
            self._remember_gates(plan, checked)
        return plan

    def _remember_gates(self, plan: Plan, gates: tuple[Gate, ...]) -> None:
        """A plan is a value and holds only what is asked of its gates, for ``start``."""
        while len(self._gates) >= PLANS_WITH_GATES:
            del self._gates[next(iter(self._gates))]
        self._gates[plan.id] = gates

    def _plan(
        self,
        service: Service,
        change: Change | None,
        image: str | None,
        strategy: Strategy,
        policy: Policy,
    ) -> tuple[Plan, Snapshot]:
        target = _changed(service.spec, change)
        refuse_jobs(service, target)
        findings: list[Finding] = []
        if image is not None:
            target = target.with_image(image)
        if target.image != service.spec.image:
            target, found = self._pinned(service.spec, target)
            findings += found
        tasks = self._engine.tasks(service.id)
        nodes = self._nodes_for(service.spec, target)
        now = self._engine.clock.wall()
        baseline = baseline_of(service, tasks, nodes, now)
        if baseline.spec is None:
            good = self._journal.last_known_good(service.id)
            baseline = Baseline(spec=good, why_not=baseline.why_not)
        plan = make_plan(
            rollout_id=self._new_id(),
            service=service,
            target=target,
            strategy=strategy,
            tasks=tasks,
            nodes=nodes,
            baseline=baseline,
            policy=policy,
            findings=tuple(findings),
        )
        if plan.steps:
            failed = of_past(self._journal.past(service.id), plan.target, now)
            plan = attrs.evolve(plan, findings=(*plan.findings, *failed))
        secret = secrets_of(service.spec) | secrets_of(plan.target)
        told = tuple(
            attrs.evolve(one, message=mask_text(one.message, secret)) for one in plan.findings
        )
        return attrs.evolve(plan, findings=told), self._first_look(service, tasks, nodes)

    def _first_look(
        self, service: Service, tasks: tuple[Task, ...], nodes: Mapping[str, Node]
    ) -> Snapshot:
        clock = self._engine.clock
        return Snapshot(
            taken_at=clock.monotonic(),
            wall=clock.wall(),
            service=service,
            depth=Depth.FULL if service.spec.replicas is not None else Depth.NODES,
            tasks=tasks,
            nodes=nodes,
        )

    def _nodes_for(self, live: ServiceSpec, target: ServiceSpec) -> Mapping[str, Node]:
        """
        The nodes: as they are now where the plan depends on them, else as last seen.

        Asking costs the engine a request; names do not change.
        """
        if live.replicas is None or live.placement != target.placement or not self._nodes:
            self.nodes()
        return self._nodes

    def _pinned(self, live: ServiceSpec, target: ServiceSpec) -> tuple[ServiceSpec, list[Finding]]:
        """The target with its image pinned to what its tag means now, if that can be told."""
        wanted = ImageReference.parse(target.image)
        if wanted.digest:
            return target, []
        resolved = self._engine.resolve(target.image, timeout=RESOLVE_SECONDS)
        before = ImageReference.parse(live.image)
        if resolved.digest is not None:
            if resolved.digest == before.digest and wanted.name == before.name:
                # Another tag of the very image that runs.
                return target.with_image(live.image), []
            return target.with_image(wanted.pinned(resolved.digest)), []
        finding = Finding(
            code="digest-unresolved",
            severity=Severity.WARNING,
            message=f"no digest for image {target.image}: {resolved.reason}; each node pulls"
            " what the tag means to it then",
            fix="push the image to a registry that the engine can ask, or name a digest",
        )
        if before.digest and before.unpinned() == wanted:
            # The same tag, and nobody can say what it means now: keep what is known.
            return target.with_image(live.image), [finding]
        return target, [finding]

    # --- rolling

    def update(
        self,
        service: str,
        change: Change | None = None,
        *,
        image: str | None = None,
        strategy: Strategy | None = None,
        gates: Sequence[GateLike] = (),
        on_failure: str = ROLLBACK,
        deadline: Duration | None = None,
        on_foreign: str = ADOPT,
        on_bad_node: str = FAIL,
        allow: Iterable[str] = (),
        reason: str = "",
        wait_for_lease: Duration = 0.0,
        observers: Iterable[Observer] = (),
        check: bool = True,
    ) -> Report:
        """
        Plan, roll, and wait for the proven end. See ``plan`` for the arguments that it shares.

        Args:
            wait_for_lease: How long to wait for somebody else's rollout of the service to end.
            observers: Told of this rollout's events, beside those of the swarm.
            check: Raise unless the target runs, proven; False returns the report instead.

        Returns:
            A report whose outcome is ``COMPLETED`` or ``UNCHANGED``, or any with ``check=False``.

        Raises:
            PreflightError: Findings of severity ``error`` stand in the way; nothing was written.
            PlanError: It cannot be planned, is stale, or the engine refuses the spec.
            RolledBack, RollbackFailed, RolloutPaused, Superseded, ServiceGone, Aborted: As the
                name says; each carries the report.
            LeaseHeld: Somebody else rolls the service.
            EngineUnavailable: The engine was out of reach for too long; carries the report.
        """
        checked = tuple(as_gate(gate) for gate in gates)
        policy = _policy(
            on_failure=on_failure,
            on_foreign=on_foreign,
            on_bad_node=on_bad_node,
            deadline=deadline,
            allow=allow,
            reason=reason,
            gates=checked,
        )
        waiting = seconds(wait_for_lease, name="wait_for_lease")
        for _ in range(PLANS):
            self._brake.check()
            found = self._quiet(service, policy, waiting)
            plan, first = self._plan(found, change, image, strategy or Rolling(), policy)
            _refuse_endless(plan)
            self._brake.check()
            runner = self._runner(
                State(plan=plan), tuple(observers), wait_for_lease=waiting, gates=checked
            )
            self._brake.on(runner.stop)
            report = runner.run(first)
            if not report.transitions or report.transitions[-1].trigger is not Trigger.PLAN_STALE:
                break
        if check:
            raise_unless_ok(report)
        return report

    def _quiet(self, name: str, policy: Policy, wait_for_lease: float) -> Service:
        """
        The service, once no update is in progress: a plan made in one would have no baseline.

        After the progress deadline it is planned all the same, and the plan says so.

        Raises:
            LeaseHeld: The update is somebody's rollout, and it is not to be waited for so long.
        """
        service = self._engine.service(name)
        if not _busy(service):
            return service
        owner = Owner(name=_whoami(), reason=policy.reason)
        self._acquire(service.id, owner, name=service.name, wait=wait_for_lease).release()
        clock = self._engine.clock
        until = clock.monotonic() + (policy.deadline or BASE_DEADLINE)
        watch = self._engine.watch(service.id)
        self._brake.on(lambda _how: watch.wake())
        try:
            while _busy(service) and clock.monotonic() < until:
                self._brake.check()
                watch.wait(self._habits.heartbeat)
                service = self._engine.service(service.id)
        finally:
            self._brake.on(None)
            watch.close()
        return service

    def _acquire(self, service_id: str, owner: Owner, *, name: str, wait: float) -> Lease:
        """
        Take a lease, unless the brake is pulled meanwhile.

        Raises:
            LeaseHeld: Somebody holds it.
            PlanError: The brake was pulled.
        """
        brake = self._brake
        try:
            return self._journal.acquire(
                service_id, owner, name=name, wait=wait, give_up=lambda: brake.pulled
            )
        except LeaseHeld:
            brake.check()
            raise

    def start(
        self,
        plan: Plan,
        *,
        gates: Sequence[GateLike] | None = None,
        wait_for_lease: Duration = 0.0,
        observers: Iterable[Observer] = (),
    ) -> Rollout:
        """
        Carry out a plan in the background.

        Args:
            plan: From this object's ``plan``, or another's.
            gates: Those of the plan, where this object has not made it.
            wait_for_lease: How long to wait for somebody else's rollout of the service to end.
            observers: Told of this rollout's events, beside those of the swarm.

        Raises:
            PreflightError: Findings of severity ``error`` stand in the way.
            PlanError: A gate of the plan is missing.
        """
        if plan.refusals:
            raise PreflightError(plan.refusals)
        if gates is None:
            checked = self._gates.pop(plan.id, ())
        else:
            checked = tuple(as_gate(gate) for gate in gates)
        missing = {rules.name for rules in plan.gates} - {gate.name for gate in checked}
        if missing:
            raise PlanError(
                f"the plan of {plan.service} has a gate {min(missing)!r}, and nothing here to"
                " check it with: give start() the gates"
            )
        return self._rollout(
            State(plan=plan), tuple(observers), wait_for_lease, gates=checked
        ).start()

    def rollback(
        self, service: str, *, strategy: Strategy | None = None, check: bool = True, **options: Any
    ) -> Report:
        """
        Roll to the last known good spec, not merely to the previous one.

        If that runs already: to the one that was good before it. Without any on record: to the
        service's previous spec, if its tasks would differ. The live number of replicas is kept,
        and an update that stands paused is rolled over. Takes the options of ``update``.

        Raises:
            PlanError: There is nothing to go back to.
        """
        found = self._engine.service(service)
        target = self._last_good(found)
        allowed = options.pop("allow", ())
        allow = (allowed,) if isinstance(allowed, str) else tuple(allowed)
        return self.update(
            found.id,
            target,
            strategy=strategy,
            on_failure=PAUSE,
            check=check,
            allow=("update-paused", "failed-recently", *allow),
            **options,
        )

    def _last_good(self, service: Service) -> ServiceSpec:
        live = service.spec
        spec = self._journal.last_known_good(service.id, other_than=live)
        if spec is None and self._journal.last_known_good(service.id) is not None:
            raise PlanError(
                f"nothing to roll {service.name} back to: it runs the last known good spec, and"
                " no other is on record"
            )
        spec = spec or service.previous_spec
        if spec is None or spec.template == live.template:
            raise PlanError(
                f"nothing to roll {service.name} back to: no last known good spec is on record,"
                " and the engine's previous spec is none or has the same task template"
            )
        return spec if live.replicas is None else spec.with_replicas(live.replicas)

    def attach(
        self,
        service: str,
        *,
        gates: Sequence[GateLike] = (),
        wait_for_lease: Duration = 0.0,
        observers: Iterable[Observer] = (),
    ) -> Rollout:
        """
        Take up an unfinished rollout again, from any machine, whatever became of its driver.

        A paused one stays paused until it is asked to go on. If its driver died without a word,
        its lease is watched until it is certain that nobody renews it: 90 s at most.

        Args:
            service: Name or id.
            gates: Those of the rollout, by name: a record holds only what is asked of them. One
                that is not given is inconclusive.
            wait_for_lease: How long to wait for somebody who drives it now.
            observers: Told of its events from now on.

        Raises:
            NoRollout: No unfinished rollout of that service is on record.
            LeaseHeld: Somebody drives it right now.
        """
        checked = tuple(as_gate(gate) for gate in gates)
        # Of a service that was removed, the id is enough.
        service_id, name = self._named(service)
        record = self._journal.unfinished(service_id)
        if record is None:
            raise NoRollout(f"no unfinished rollout of {name} is on record")
        owner = Owner(name=_whoami(), reason=record.state.plan.reason)
        waiting = seconds(wait_for_lease, name="wait_for_lease")
        lease = self._acquire(service_id, owner, name=name, wait=waiting)
        if lease.found is None:
            lease.release()
            raise NoRollout(f"the rollout of {name} came to its end a moment ago")
        state = lease.found.state
        if state.phase is Phase.PAUSED and state.asked is None:
            lease.release()
            left = report_on(lease.found)
            return self._rollout(state, tuple(observers), waiting, gates=checked, left=left)
        return self._rollout(state, tuple(observers), waiting, gates=checked, lease=lease).start()

    def _named(self, service: str) -> tuple[str, str]:
        """Id and name of a service; of one that was removed, what was given."""
        try:
            found = self._engine.service(service)
        except ServiceNotFound:
            if self._journal.unfinished(service) is None and not self._journal.past(service):
                raise
            return service, service
        return found.id, found.name

    def history(self, service: str) -> tuple[Report, ...]:
        """
        Finished rollouts of a service, newest first: the last 20.

        Raises:
            ServiceNotFound: There is none; of one that was removed, its id still gives them.
            JournalError: The record cannot be read.
        """
        return self._journal.history(self._named(service)[0])

    def _rollout(
        self,
        state: State,
        observers: tuple[Observer, ...],
        wait_for_lease: Duration,
        *,
        gates: tuple[Gate, ...],
        lease: Lease | None = None,
        left: Report | None = None,
    ) -> Rollout:
        waiting = seconds(wait_for_lease, name="wait_for_lease")
        leases = [] if lease is None else [lease]

        def make(state: State, more: tuple[Observer, ...]) -> Runner:
            held = leases.pop() if leases else None
            return self._runner(
                state, (*observers, *more), wait_for_lease=waiting, gates=gates, lease=held
            )

        return Rollout(make, state, left)

    def _runner(
        self,
        state: State,
        observers: tuple[Observer, ...],
        *,
        wait_for_lease: float,
        gates: tuple[Gate, ...],
        lease: Lease | None = None,
    ) -> Runner:
        return Runner(
            self._engine,
            self._journal,
            state,
            owner=Owner(name=_whoami(), reason=state.plan.reason),
            executor=self._executor,
            observers=(*self._observers, *observers),
            habits=self._habits,
            wait_for_lease=wait_for_lease,
            gates=gates,
            checking=self._checking,
            lease=lease,
        )


def _in_swarm(engine: Engine, lease: Duration | None) -> SwarmJournal:
    ttl = None if lease is None else seconds(lease, name="lease")
    return SwarmJournal(engine, ttl=ttl)


def _changed(live: ServiceSpec, change: Change | None) -> ServiceSpec:
    if change is None:
        return live
    if isinstance(change, str):
        raise PlanError(f"to change the image, write image={change!r}")
    target = change(live) if callable(change) else change
    if not isinstance(target, ServiceSpec):
        raise PlanError(
            "the change must be a ServiceSpec or a function that returns one, got a"
            f" {type(target).__name__}"
        )
    return target


def _policy(
    *,
    on_failure: str,
    on_foreign: str,
    on_bad_node: str,
    deadline: Duration | None,
    allow: Iterable[str],
    reason: str,
    gates: tuple[Gate, ...],
) -> Policy:
    return Policy(
        on_failure=on_failure,
        on_foreign=on_foreign,
        on_bad_node=on_bad_node,
        deadline=None if deadline is None else seconds(deadline, name="deadline"),
        allow=(allow,) if isinstance(allow, str) else tuple(allow),
        reason=reason,
        gates=tuple(gate.rules for gate in gates),
    )


def _busy(service: Service) -> bool:
    status = service.update_status
    return status is not None and status.state in BUSY and not held(service)


def _refuse_endless(plan: Plan) -> None:
    if any(step.hold is None for step in plan.steps):
        raise PlanError("this rollout waits for promote(): use start(), not update()")


def _whoami() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = f"uid {os.getuid()}"
    return f"{user}@{socket.gethostname()} pid {os.getpid()}"


def connect(
    host: str | Sequence[str] | None = None,
    *,
    client: Any = None,
    tls: TLS | bool | None = None,
    journal: Journal | None = None,
    lease: Duration | None = None,
    observers: Iterable[Observer] = (),
    timeout: float | tuple[float, float] | None = None,
    heartbeat: Duration = 5.0,
    max_body: int | None = None,
) -> Swarm:
    """
    Reach a swarm.

    Args:
        host: ``unix://``, ``tcp://`` or ``ssh://``, or several managers in a list, of which reads
            use the first that answers. None does as the docker CLI: ``DOCKER_HOST`` and the TLS
            variables, else the current docker context, else the default socket.
        client: A docker-py client to use instead; it stays the caller's to close.
        tls: For ``tcp://``.
        journal: Where rollouts are recorded, and who may write: None keeps that in the swarm
            itself; else a ``FileJournal`` or a ``MemoryJournal``.
        lease: How long nobody else may roll a service after its driver was heard of last. It
            must be longer than a request may take; None is a minute, or twice that time.
        observers: Told of every event of every rollout.
        timeout: Seconds for one read with its retries, and for one request.
        heartbeat: Seconds after which a service is looked at even if no event came.
        max_body: Bytes that an answer of the engine may have at most; 64 MiB unless told.

    Raises:
        EngineUnavailable: The host does not answer, or its certificate is not trusted.
        NotAManager: It answers, but does not manage a swarm.
    """
    from swarmroll.engine.connect import open_engine  # noqa: PLC0415 - only where it is needed

    beat = seconds(heartbeat, name="heartbeat")
    limits: dict[str, Any] = {"timeout": timeout, "max_body": max_body}
    given = {name: value for name, value in limits.items() if value is not None}
    engine = open_engine(host, client=client, tls=tls, heartbeat=beat, **given)
    swarm = Swarm(engine, journal=journal, lease=lease, observers=observers, heartbeat=beat)
    try:
        # The one question that only a manager answers; the names come in useful.
        swarm.nodes()
    except BaseException:
        swarm.close()
        raise
    return swarm
