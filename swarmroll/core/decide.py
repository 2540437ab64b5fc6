"""
Given where a rollout stands and what was just seen: what now?

Pure: the same state and look give the same decision, whoever asks and whenever. This is the only
place that chooses a trigger; the table in ``phases`` says where it leads.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from types import MappingProxyType

import attrs

from swarmroll.core.checks import YEARS, held, of_service
from swarmroll.core.commands import Decision
from swarmroll.core.estimate import update_seconds
from swarmroll.core.failure import Failure
from swarmroll.core.findings import refusing
from swarmroll.core.observe import observe
from swarmroll.core.phases import Phase, Trigger
from swarmroll.core.plan import ROLLBACK
from swarmroll.core.proof import Proof, Standard, clean, prove
from swarmroll.core.snapshot import BUSY, Depth, Snapshot, TaskState, UpdateState, by_slot
from swarmroll.core.spec import ServiceSpec, UpdateConfig
from swarmroll.core.state import Ask, Purpose, State
from swarmroll.core.turn import Turn
from swarmroll.core.units import duration_text
from swarmroll.core.way_back import putting_back, restored
from swarmroll.core.writes import judge_spec, refused, settle, stream_broken

LOOK_EVERY = 1.0
"""Seconds between looks at tasks while only we watch them."""

ENGINE_ACTS_FIRST = 2.0
"""Seconds that the engine gets to act on a failure that it should count."""

ENGINE_LAGS = 0.5
"""Seconds by which the engine's watch of a task may begin after the task was seen running."""

CRASHES_OF_ONE_SLOT = 3
"""So many failures in one slot exceed any ratio."""

ROLLBACK_DEADLINE = 120.0
"""A slot whose new task was never placed stalls the engine's rollback for 60 s."""

START_FIRST = "start-first"

ENGINE_STOPPED = (UpdateState.PAUSED, UpdateState.ROLLBACK_PAUSED)

NONE_YET: Mapping[str, str] = MappingProxyType({})

def decide(state: State, snapshot: Snapshot) -> Decision:
    """
    Judge one look.

    Returns:
        The next state, what to do, and when to look again. In a terminal phase: nothing.
    """
    if state.phase.terminal:
        return Decision(state=state)
    if snapshot.service is None:
        gone = state.move(
            Trigger.SERVICE_REMOVED, f"service {state.plan.service} was removed", snapshot
        )
        return Decision(state=gone)
    turn = Turn(state, snapshot, snapshot.service)
    if turn.service.version < state.version:
        # A manager that lags behind: what it says is older than what is known.
        return turn.look(Depth.SERVICE, LOOK_EVERY)
    turn.set(version=turn.service.version)
    if stream_broken(turn):
        turn.set(witness_lost=True)
    return (
        _refused_write(turn)
        or settle(turn)
        or judge_spec(turn)
        or _look_deeper(turn)
        or _answer(turn)
        or HANDLERS[turn.state.phase](turn)
    )


def _look_deeper(turn: Turn) -> Decision | None:
    return None if observe(turn) else turn.look(Depth.NODES)


# --- what people ask


def _answer(turn: Turn) -> Decision | None:
    """Answer what a person asked; None goes on with the phase."""
    ask, phase = turn.state.asked, turn.state.phase
    if ask is None:
        return None
    turn.set(asked=None)
    baseline = turn.state.plan.baseline
    match ask, phase:
        case (Ask.ABORT | Ask.ROLL_BACK, Phase.PENDING | Phase.PREPARING):
            return turn.move(Trigger.ABORT_ASKED, "asked to abort; nothing was written")
        case (Ask.ABORT, Phase.UPDATING | Phase.HOLDING | Phase.VERIFYING | Phase.PAUSED):
            return turn.move(Trigger.ABORT_ASKED, _what_goes_on(turn))
        case (Ask.ROLL_BACK, Phase.UPDATING | Phase.HOLDING | Phase.VERIFYING | Phase.PAUSED):
            if baseline is not None:
                turn.set(aborting=True)
                return _go_back(turn, Trigger.ROLLBACK_ASKED, "asked to abort and roll back")
            turn.note("cannot roll back: there is no last known good spec")
        case (Ask.PAUSE, Phase.UPDATING) if turn.state.standing_still is None:
            turn.set(standing_still=Trigger.PAUSE_ASKED, standing_still_for="asked to pause")
            start_first = turn.service.spec.effective_update_config.order == START_FIRST
            held_when = "the engine can be held only between two slots" if start_first else ""
            turn.note(f"pausing: {held_when or 'one more slot may move'}")
        case (Ask.PAUSE, Phase.HOLDING | Phase.VERIFYING):
            return turn.move(Trigger.PAUSE_ASKED, "asked to pause; nothing is in motion")
        case (Ask.RESUME, Phase.PAUSED) | (Ask.PROMOTE, Phase.HOLDING):
            # Answered there, as soon as nothing is in motion.
            turn.set(asked=ask)
        case _:
            turn.note(f"asked to {ask.replace('_', ' ')} while {phase}: not obeyed")
    return None


def _what_goes_on(turn: Turn) -> str:
    status = turn.service.update_status
    config = turn.service.spec.effective_update_config
    if config.delay >= YEARS:
        return (
            "asked to abort; no further step is started, and the engine is held: the service's"
            " update config has a delay of years, until the next update gives it another"
        )
    if status is not None and status.state in BUSY:
        return (
            "asked to abort; no further step is started, but the engine goes on with the update"
            f" that it has begun, and on a failure it will {config.failure_action}"
        )
    return "asked to abort; no further step is started, and the engine has nothing in motion"


# --- before the first write


def _pending(turn: Turn) -> Decision:
    return turn.move(Trigger.START, "started", nodes=turn.state.plan.nodes)


def _preparing(turn: Turn) -> Decision:
    plan = turn.state.plan
    refusals = plan.refusals or refusing(of_service(turn.service), plan.allow)
    if refusals:
        return turn.move(Trigger.REFUSED, "; ".join(f.message for f in refusals))
    late = turn.now - turn.state.since > plan.deadline
    status = turn.service.update_status
    if status is not None and status.state in BUSY and not held(turn.service):
        if late:
            return turn.move(
                Trigger.REFUSED,
                f"update-in-progress: another update of {plan.service} is {status.state} for"
                f" more than {duration_text(plan.deadline)}",
            )
        return turn.look(Depth.SERVICE, LOOK_EVERY)
    if turn.snapshot.depth < _full(turn):
        return turn.look(_full(turn))
    if not plan.steps:
        return _unchanged(turn, late=late)
    moving = _slots_in_flight(turn)
    if moving and not (status is not None and status.state in ENGINE_STOPPED):
        names = ", ".join(str(slot) for slot in moving)
        if late:
            return turn.move(
                Trigger.REFUSED,
                f"update-in-progress: slots {names} of {plan.service} have two tasks each for"
                f" more than {duration_text(plan.deadline)}",
            )
        return turn.look(_full(turn), LOOK_EVERY)
    return _next_step(turn, Trigger.READY, _announce(turn))


def _announce(turn: Turn) -> str:
    plan = turn.state.plan
    return f"version {plan.version} is quiet; {len(plan.steps)} step(s) to go"


def _unchanged(turn: Turn, *, late: bool) -> Decision:
    """Nothing to write; but ``unchanged`` is a claim that needs its proof too."""
    if turn.snapshot.up_to_date is None:
        return turn.look(_full(turn))
    status = turn.service.update_status
    proven = status is not None and status.state in (
        UpdateState.COMPLETED,
        UpdateState.ROLLBACK_COMPLETED,
    )
    ended = status.completed_at if proven and status is not None else None
    plan = turn.state.plan
    tasks = [t for t in turn.snapshot.tasks if clean(t, plan.live, turn.state.nodes)]
    # The engine watched one task of each slot: it says nothing of a later one, or of a second.
    count = Counter(t.slot_key for t in tasks)
    newer = {t.slot_key for t in tasks if ended is not None and t.created_at > ended}
    again = {slot for slot, made in count.items() if made > 1}
    standard = Standard(
        spec=plan.live,
        monitor=plan.live.effective_update_config.monitor,
        unbroken=True,
        witness=ended is not None,
        trouble=frozenset(newer | again),
    )
    proof = prove(standard, turn.snapshot, turn.state.seen, turn.state.nodes)
    _remember(turn, proof)
    if proof.whole:
        return turn.move(Trigger.NOTHING_TO_DO, "the spec is unchanged, and every slot runs it")
    if late:
        return turn.move(
            Trigger.REFUSED, f"the spec is unchanged, but not proven: {'; '.join(proof.missing)}"
        )
    return turn.look(_full(turn), _soon(turn, proof))


# --- the way forward


def _next_step(turn: Turn, trigger: Trigger, reason: str) -> Decision:
    """Write the step that is due, and go where the trigger leads."""
    state = turn.state
    first = trigger is Trigger.READY
    index = 0 if first else state.step + 1
    step = state.plan.steps[index]
    if first:
        known = state.plan.known | {task.id for task in turn.snapshot.tasks}
        turn.set(older=known, seen={})
    turn.set(step=index, resumed=False)
    _turn_to(turn, step.spec)
    turn.state = turn.state.move(trigger, f"{reason}; writing: {step.name}", turn.snapshot)
    return _write_step(turn)


def _turn_to(turn: Turn, spec: ServiceSpec) -> None:
    """Forget what was seen of tasks that the next spec makes outdated, and start the clock."""
    state = turn.state
    before = state.expected or state.plan.live
    changes: dict[str, object] = {}
    if before.template != spec.template:
        changes |= {"older": state.ids, "seen": {}}
    if before.endpoint != spec.endpoint:
        changes |= {"stale": state.ids}
    turn.set(progress=0, progress_at=turn.now, **changes)


def _write_step(turn: Turn) -> Decision:
    state = turn.state
    step = state.plan.steps[state.step]
    spec = state.keeping_adopted(step.spec, replicas=not step.scales)
    return turn.write(Purpose.STEP, spec)


def _updating(turn: Turn) -> Decision:
    state = turn.state
    status = turn.service.update_status
    if status is not None and status.state in ENGINE_STOPPED:
        return _engine_paused(turn, status.message)
    failed = _failures_exceeded(turn)
    if failed:
        return failed
    if status is not None and status.state is UpdateState.COMPLETED:
        turn.set(engine_done=True)
    elif status is not None and status.state is not UpdateState.ROLLBACK_COMPLETED:
        if state.standing_still:
            return _hold_engine(turn)
        if _waited_for_in_vain(turn):
            return _tell_to_go_on(turn, "waits for a task whose node is lost")
        return _overdue(turn) or turn.look(Depth.TARGET, _watchful(turn))
    if state.standing_still:
        return turn.move(state.standing_still, state.standing_still_for, standing_still=None)
    return _converging(turn)


def _converging(turn: Turn) -> Decision:
    """The engine has nothing in motion that it tells of: do all slots run the step's spec?"""
    state = turn.state
    plan = state.plan
    step = plan.steps[state.step]
    if turn.snapshot.depth < _full(turn) and (state.engine_done or _may_be_whole(turn)):
        return turn.look(_full(turn))
    if turn.snapshot.depth >= _full(turn):
        last = state.step == len(plan.steps) - 1
        proof = _prove(turn, monitor=step.monitor)
        if last and proof.settled:
            return turn.move(Trigger.ALL_CONVERGED, f"all {proof.wanted} slots run the target")
        if proof.whole and step.hold != 0.0:
            return turn.move(Trigger.WAVE_CONVERGED, f"{step.name}: proven; holding")
        if proof.whole:
            return _next_step(turn, Trigger.STEP_CONVERGED, f"{step.name}: proven")
        return _overdue(turn) or turn.look(Depth.TARGET, _soon(turn, proof))
    return _overdue(turn) or turn.look(Depth.TARGET, _tasks_due(turn, LOOK_EVERY))


def _may_be_whole(turn: Turn) -> bool:
    """Whether a look at up-to-date tasks alone leaves hope that every slot is there."""
    if turn.state.goal.replicas is None:
        return turn.snapshot.depth >= Depth.TARGET
    if turn.snapshot.depth < Depth.TARGET:
        # Nothing will be replaced: the engine has no say in it, so ask for the tasks at once.
        return not turn.state.plan.steps[turn.state.step].restarts
    running = {task.slot_key for task in turn.snapshot.tasks if task.running}
    return len(running) >= (turn.service.spec.replicas or 0)


def _holding(turn: Turn) -> Decision:
    state = turn.state
    step = state.plan.steps[state.step]
    failed = _failures_exceeded(turn)
    if failed:
        return failed
    promoted = state.asked is Ask.PROMOTE
    if not promoted and (step.hold is None or turn.now - state.since < step.hold):
        return turn.look(Depth.TARGET, _tasks_due(turn, LOOK_EVERY))
    if turn.snapshot.depth < _full(turn):
        return turn.look(_full(turn))
    if _slots_in_flight(turn):
        return turn.look(_full(turn), LOOK_EVERY)
    if promoted:
        return _next_step(turn, Trigger.PROMOTED, "promoted")
    return _next_step(turn, Trigger.HOLD_OVER, f"held for {duration_text(step.hold or 0.0)}")


def _verifying(turn: Turn) -> Decision:
    failed = _failures_exceeded(turn)
    if failed:
        return failed
    status = turn.service.update_status
    if status is not None and status.state is UpdateState.COMPLETED:
        turn.set(engine_done=True)
    if turn.snapshot.depth < _full(turn):
        if turn.state.waiting_for and turn.now < turn.state.proof_due:
            return _overdue(turn) or turn.look(Depth.TARGET, _tasks_due(turn, LOOK_EVERY))
        return turn.look(_full(turn))
    step = turn.state.plan.steps[turn.state.step]
    proof = _prove(turn, monitor=step.monitor, bake=step.bake)
    if proof.whole:
        return turn.move(Trigger.PROVEN, f"all {proof.wanted} slots are proven")
    return _overdue(turn) or turn.look(Depth.TARGET, _soon(turn, proof))


def _finalizing(turn: Turn) -> Decision:
    return turn.move(Trigger.DONE, "the release is complete")


# --- standing still


def _hold_engine(turn: Turn) -> Decision:
    """
    Make the engine's updater stop after the slots in motion.

    It has no such command. The same template with another update config replaces the updater;
    but doing so stops the old task of any slot whose new task is still starting (start-first), so
    it is done only when there is none.
    """
    if turn.snapshot.depth < _full(turn):
        return turn.look(_full(turn), _tasks_due(turn, LOOK_EVERY))
    if _slots_in_flight(turn):
        return turn.look(_full(turn), LOOK_EVERY)
    state = turn.state
    config = attrs.evolve(
        state.goal.effective_update_config, parallelism=1, delay=YEARS, failure_action="pause"
    )
    if turn.service.spec.update_config == config:
        return turn.move(
            state.standing_still or Trigger.PAUSE_ASKED,
            f"{state.standing_still_for}; the engine is held",
            standing_still=None,
        )
    return turn.write(Purpose.STAND_STILL, turn.service.spec.with_update_config(config))


def _engine_paused(turn: Turn, message: str) -> Decision:
    """The engine counted enough failures to stop."""
    if turn.snapshot.depth < Depth.NODES:
        return turn.look(Depth.NODES)
    state = turn.state
    if state.displaced and not _too_many(state):
        return _engine_misled(turn, message)
    culprit = f": {state.open_failures[-1].headline}" if state.open_failures else ""
    reason = f"the engine paused ({message}){culprit}"
    if state.plan.on_failure == ROLLBACK:
        return _go_back(turn, Trigger.FAILURES_EXCEEDED, reason)
    return turn.move(Trigger.STOPPED_ON_FAILURE, reason, standing_still=None)


def _engine_misled(turn: Turn, message: str) -> Decision:
    """The engine stopped for a displaced task, which is no failure: tell it to go on."""
    state = turn.state
    if state.standing_still:
        return turn.move(state.standing_still, state.standing_still_for, standing_still=None)
    return _tell_to_go_on(turn, f"paused for a displaced task ({message})")


def _waited_for_in_vain(turn: Turn) -> frozenset[str]:
    """
    Tasks that the engine's updater will wait for until the end of time.

    It waits for each task that it made to run or to end, and one whose node is lost before does
    neither (swarmkit manager/orchestrator/update/updater.go, updateTask).
    """
    state = turn.state
    lost = {t.id for t in turn.snapshot.tasks if t.state < TaskState.RUNNING}
    return frozenset(lost & state.displaced.keys()) - state.unstuck


def _tell_to_go_on(turn: Turn, why: str) -> Decision:
    """The same once more, for which the engine makes a new updater."""
    if turn.snapshot.depth < _full(turn):
        return turn.look(_full(turn))
    if _half_way(turn) and turn.state.phase is Phase.UPDATING:
        return _overdue(turn) or turn.look(_full(turn), LOOK_EVERY)
    turn.note(f"the engine {why}; told to go on")
    # Its new updater watches only what is left to do.
    turn.set(resumed=True, unstuck=turn.state.unstuck | _waited_for_in_vain(turn))
    if turn.state.phase is Phase.UPDATING:
        return _write_step(turn)
    state = turn.state
    back = putting_back(state, turn.service.spec, state.plan.baseline or state.goal)
    turn.set(back=back, step=0, engine_rolled_back=False)
    return turn.write(Purpose.PUT_BACK, back[0])


def _paused(turn: Turn) -> Decision:
    """Only a person's wish leads on; the rest is told by ``judge_spec``."""
    state = turn.state
    if state.asked is not Ask.RESUME:
        return turn.look(Depth.SERVICE, LOOK_EVERY)
    if turn.snapshot.depth < _full(turn):
        return turn.look(_full(turn))
    half_way = _half_way(turn)
    if half_way:
        since = turn.now if state.resuming_since is None else state.resuming_since
        turn.set(resuming_since=since)
        if turn.now - since <= state.plan.deadline:
            return turn.look(_full(turn), LOOK_EVERY)
        turn.note(
            f"cannot resume: the new task of slot {half_way[0]} does not run, and going on would"
            " stop the old one, which does; roll back instead"
        )
        turn.set(asked=None, resuming_since=None)
        return turn.look(Depth.SERVICE, LOOK_EVERY)
    turn.set(
        forgiven=len(state.failures),
        progress=0,
        progress_at=turn.now,
        standing_still=None,
        resuming_since=None,
        # The engine's new updater watches only what is left to do.
        resumed=True,
    )
    turn.state = turn.state.move(
        Trigger.RESUME_ASKED, "asked to resume; writing the step again", turn.snapshot
    )
    return _write_step(turn)


# --- the way back


def _go_back(turn: Turn, trigger: Trigger, reason: str) -> Decision:
    """Put the baseline back, whatever is in motion."""
    state = turn.state
    baseline = state.plan.baseline
    if baseline is None:
        return turn.move(Trigger.STOPPED_ON_FAILURE, reason, standing_still=None)
    live = turn.service.spec
    back = putting_back(turn.state, live, baseline)
    older = state.ids | {task.id for task in turn.snapshot.tasks}
    turn.set(
        back=back,
        step=0,
        older=older,
        stale=older - state.plan.known if live.endpoint != baseline.endpoint else frozenset(),
        seen={},
        progress=0,
        progress_at=turn.now,
        standing_still=None,
        intent=None,
        resumed=False,
    )
    turn.state = turn.state.move(trigger, reason, turn.snapshot)
    return turn.write(Purpose.PUT_BACK, back[0])


def _rolling_back(turn: Turn) -> Decision:
    state = turn.state
    status = turn.service.update_status
    if status is not None and _rollback_stopped(state, status.state):
        return _stopped_on_the_way_back(turn, status.message)
    failed = _rollback_failures_exceeded(turn)
    if failed:
        return failed
    done = status is not None and status.state in (
        UpdateState.COMPLETED,
        UpdateState.ROLLBACK_COMPLETED,
    )
    if done:
        turn.set(engine_done=True)
    elif status is not None and _waited_for_in_vain(turn):
        return _tell_to_go_on(turn, "waits for a task whose node is lost")
    elif status is not None:
        return _rollback_overdue(turn) or turn.look(Depth.TARGET, _tasks_due(turn, LOOK_EVERY))
    if turn.snapshot.depth < _full(turn):
        if done or _may_be_back(turn):
            return turn.look(_full(turn))
        return _rollback_overdue(turn) or turn.look(Depth.TARGET, _tasks_due(turn, LOOK_EVERY))
    proof = _prove(turn, monitor=_rollback_config(state).monitor)
    if not proof.whole:
        return _rollback_overdue(turn) or turn.look(Depth.TARGET, _soon(turn, proof))
    if state.step + 1 < len(state.back):
        _turn_to(turn, state.back[state.step + 1])
        turn.set(step=state.step + 1)
        return turn.write(Purpose.PUT_BACK, state.back[state.step + 1])
    return turn.move(Trigger.PROVEN, f"all {proof.wanted} slots run the old spec again")


def _stopped_on_the_way_back(turn: Turn, message: str) -> Decision:
    """The engine stopped putting the old spec back."""
    if turn.snapshot.depth < Depth.NODES:
        return turn.look(Depth.NODES)
    state = turn.state
    if state.displaced.keys() & state.seen.keys() and not state.rollback_failures:
        return _tell_to_go_on(turn, f"stopped for a displaced task ({message})")
    culprit = "".join(f": {f.headline}" for f in state.rollback_failures[-1:])
    return turn.move(
        Trigger.FAILURES_EXCEEDED,
        f"putting the old spec back failed, the engine says {message!r}{culprit}",
    )


def _rollback_stopped(state: State, engine: UpdateState) -> bool:
    """Whether the engine has given up on the way back."""
    if engine in (UpdateState.PAUSED, UpdateState.ROLLBACK_PAUSED):
        return True
    # A rollback whose own failure action is `rollback` ends as `completed`
    # (swarmkit manager/orchestrator/update/updater.go).
    return state.engine_rolled_back and engine is UpdateState.COMPLETED


def _may_be_back(turn: Turn) -> bool:
    if turn.snapshot.depth < Depth.TARGET:
        return False
    if turn.state.goal.replicas is None:
        return True
    running = {task.slot_key for task in turn.snapshot.tasks if task.running}
    return len(running) >= (turn.service.spec.replicas or 0)


def _restoring(turn: Turn) -> Decision:
    """The old spec runs: give back its own update config and its number of replicas."""
    state = turn.state
    baseline = state.plan.baseline or turn.service.spec
    wanted = restored(state, baseline)
    trigger = Trigger.ABORT_PROVEN if state.aborting else Trigger.DONE
    if not turn.service.spec.same_as(wanted):
        if turn.snapshot.depth < _full(turn):
            return turn.look(_full(turn))
        if _slots_in_flight(turn):
            return _rollback_overdue(turn) or turn.look(_full(turn), LOOK_EVERY)
        turn.set(back=(wanted,), step=0)
        return turn.write(Purpose.GIVE_BACK, wanted)
    if turn.snapshot.depth < _full(turn):
        return turn.look(_full(turn))
    # What was proven stays so; only a task that giving back has made is watched.
    proven = {slot.task_id: slot.proven_by for slot in state.proofs}
    proof = _prove(turn, monitor=_rollback_config(state).monitor, proven=proven)
    if proof.whole:
        return turn.move(trigger, "the old spec runs, proven, and is declared as it was")
    failed = _rollback_failures_exceeded(turn)
    return failed or _rollback_overdue(turn) or turn.look(_full(turn), _soon(turn, proof))


# --- failures and deadlines


def _refused_write(turn: Turn) -> Decision | None:
    """The engine would not take a write: its words say why."""
    intent = refused(turn)
    if intent is None:
        return None
    reason = f"the engine refused the spec: {intent.answer}"
    match intent.purpose:
        case Purpose.STEP if turn.state.expected is None:
            return turn.move(Trigger.REFUSED, reason)
        case Purpose.STEP:
            return _fail(turn, Trigger.FAILURES_EXCEEDED, reason)
        case Purpose.STAND_STILL:
            turn.note(f"could not be held: {reason}")
            turn.set(standing_still=None)
            return turn.again()
        case Purpose.PUT_BACK | Purpose.GIVE_BACK:
            return turn.move(Trigger.FAILURES_EXCEEDED, reason)


def _fail(turn: Turn, trigger: Trigger, reason: str) -> Decision:
    """Do with a failure what the policy says."""
    if turn.state.plan.on_failure == ROLLBACK:
        return _go_back(turn, trigger, reason)
    status = turn.service.update_status
    busy = status is not None and status.state is UpdateState.UPDATING
    if busy and turn.state.phase is Phase.UPDATING:
        if turn.state.standing_still is None:
            turn.set(standing_still=Trigger.STOPPED_ON_FAILURE, standing_still_for=reason)
        return _hold_engine(turn)
    return turn.move(Trigger.STOPPED_ON_FAILURE, reason, standing_still=None)


def _exceeds(failures: tuple[Failure, ...], config: UpdateConfig, slots: int) -> str:
    """Why these failures are too many, a sentence; empty if they are not."""
    if not failures:
        return ""
    last = failures[-1].headline
    counts = Counter(failure.slot for failure in failures)
    slot, most = counts.most_common(1)[0]
    if most >= CRASHES_OF_ONE_SLOT:
        return f"{last}; slot {slot} failed {most} times"
    if len(counts) / max(1, slots) > config.max_failure_ratio:
        return f"{last}; {len(counts)} of {slots} slots failed (limit {config.max_failure_ratio:g})"
    return ""


def _too_many(state: State) -> str:
    """Why the release has failed too often, a sentence; empty if it has not."""
    step = state.plan.steps[state.step]
    config = step.spec.effective_update_config
    return _exceeds(state.open_failures, config, max(1, step.restarts + step.adds))


def _failures_exceeded(turn: Turn) -> Decision | None:
    state = turn.state
    reason = _too_many(state)
    if not reason:
        return None
    config = state.plan.steps[state.step].spec.effective_update_config
    if _engine_should_act(turn, config.monitor):
        if state.engine_failed_at is None:
            turn.set(engine_failed_at=turn.now)
        left = (turn.state.engine_failed_at or 0.0) + ENGINE_ACTS_FIRST - turn.now
        if left > 0:
            return turn.look(Depth.SERVICE, left)
    return _fail(turn, Trigger.FAILURES_EXCEEDED, reason)


def _engine_should_act(turn: Turn, monitor: float) -> bool:
    """Whether the engine's updater watches the slot that failed last, as far as one can tell."""
    status = turn.service.update_status
    if status is None or status.state is not UpdateState.UPDATING or turn.state.witness_lost:
        return False
    sighting = turn.state.seen.get(turn.state.open_failures[-1].task_id)
    if sighting is None or sighting.running_since is None:
        return True
    # A task that was still seen running after its watch was over is none of the engine's.
    return sighting.running_until - sighting.running_since <= monitor + ENGINE_LAGS


def _overdue(turn: Turn) -> Decision | None:
    """Whether nothing has moved for longer than the progress deadline."""
    state = turn.state
    step = state.plan.steps[state.step]
    config = step.spec.effective_update_config
    allowed = state.plan.deadline + config.delay
    if state.phase is Phase.VERIFYING or state.progress >= step.restarts + step.adds:
        # Every slot is there: what is waited for is the engine's delays and its watch.
        allowed += update_seconds(step.spec, config, step.restarts) + step.monitor + step.bake
    if turn.now - max(state.progress_at, state.since) <= allowed:
        return None
    if turn.snapshot.depth < _full(turn):
        return turn.look(_full(turn))
    return _fail(
        turn,
        Trigger.DEADLINE_EXCEEDED,
        f"no further slot converged within {duration_text(state.plan.deadline)}: {_stuck(turn)}",
    )


def _stuck(turn: Turn) -> str:
    """What the tasks that do not get on say for themselves."""
    words = []
    for key, tasks in by_slot(t for t in turn.snapshot.tasks if t.runnable).items():
        task = tasks[0]
        if task.state is not TaskState.RUNNING:
            error = f" ({task.error})" if task.error else ""
            words.append(f"slot {key} is {task.state.name.lower()}{error}")
    return "; ".join(words) or "; ".join(turn.state.waiting_for) or "no slot has a new task"


def _rollback_failures_exceeded(turn: Turn) -> Decision | None:
    state = turn.state
    config = _rollback_config(state)
    slots = max(1, state.goal.replicas or len(state.plan.slots))
    reason = _exceeds(state.rollback_failures, config, slots)
    status = turn.service.update_status
    if not reason or (status is not None and status.state in BUSY):
        return None
    return turn.move(Trigger.FAILURES_EXCEEDED, f"putting the old spec back failed: {reason}")


def _rollback_config(state: State) -> UpdateConfig:
    """What governs the way back: the engine's own is under the rollback config it restored."""
    goal = state.goal
    return (
        goal.effective_rollback_config if state.engine_rolled_back else goal.effective_update_config
    )


def _rollback_overdue(turn: Turn) -> Decision | None:
    state = turn.state
    spec = state.goal
    check = spec.healthcheck
    start = check.start_period if check is not None and check.start_period else 0.0
    config = _rollback_config(state)
    allowed = ROLLBACK_DEADLINE + spec.effective_stop_grace + start
    allowed += update_seconds(spec, config, spec.replicas or len(state.nodes))
    if turn.now - max(state.progress_at, state.since) <= allowed:
        return None
    if turn.snapshot.depth < _full(turn):
        return turn.look(_full(turn))
    return turn.move(
        Trigger.DEADLINE_EXCEEDED,
        f"the old spec did not come back within {duration_text(allowed)}: {_stuck(turn)}",
    )


# --- proof, and when to look next


def _prove(
    turn: Turn, *, monitor: float, bake: float = 0.0, proven: Mapping[str, str] = NONE_YET
) -> Proof:
    state = turn.state
    standard = Standard(
        spec=turn.service.spec,
        monitor=monitor + bake,
        older=state.older,
        stale=state.stale,
        unbroken=not state.witness_lost,
        witness=state.engine_done and not state.witness_lost and not state.resumed and not bake,
        trouble=state.trouble,
        proven=proven,
    )
    proof = prove(standard, turn.snapshot, state.seen, state.nodes)
    _remember(turn, proof)
    return proof


def _remember(turn: Turn, proof: Proof) -> None:
    turn.set(
        proofs=proof.slots,
        skipped=proof.skipped,
        waiting_for=proof.missing,
        proof_due=proof.due,
    )


def _slots_in_flight(turn: Turn) -> tuple[object, ...]:
    """Slots with two tasks that should run: start-first, half-way."""
    slots = by_slot(task for task in turn.snapshot.tasks if task.runnable)
    return tuple(key for key, tasks in slots.items() if len(tasks) > 1)


def _half_way(turn: Turn) -> tuple[object, ...]:
    """Slots in flight whose new task does not run: any write would stop the old one now."""
    slots = by_slot(task for task in turn.snapshot.tasks if task.runnable)
    return tuple(key for key, tasks in slots.items() if len(tasks) > 1 and not tasks[0].running)


def _full(turn: Turn) -> Depth:
    """A proof needs every task; of a global service, the nodes that it should run on too."""
    return Depth.NODES if turn.state.goal.replicas is None else Depth.FULL


def _tasks_due(turn: Turn, every: float) -> float:
    """Seconds until tasks are to be looked at again, looking so often."""
    return turn.state.looked_at + every - turn.now


def _soon(turn: Turn, proof: Proof) -> float:
    """When a proof is only a matter of time, that time; else the usual."""
    left = proof.due - turn.now
    return min(left, LOOK_EVERY) if proof.settled and left > 0 else LOOK_EVERY


def _watchful(turn: Turn) -> float:
    """
    Seconds until tasks must be looked at, while the engine's updater is at work.

    As long as it watches every new task itself, and its events reach us, nothing is at stake.
    From the moment when some task may have outlived the engine's monitor, only we watch it.
    """
    state = turn.state
    if state.witness_lost:
        return _tasks_due(turn, LOOK_EVERY)
    monitor = state.plan.steps[state.step].monitor
    running = [s.running_after for s in state.seen.values() if s.running_since is not None]
    first = min(running, default=max(state.looked_at, state.written_at))
    # A look shows whatever ended since the one before: the first one can come that much later.
    return max(first + monitor + LOOK_EVERY - turn.now, _tasks_due(turn, LOOK_EVERY))


HANDLERS: Mapping[Phase, Callable[[Turn], Decision]] = MappingProxyType(
    {
        Phase.PENDING: _pending,
        Phase.PREPARING: _preparing,
        Phase.UPDATING: _updating,
        Phase.HOLDING: _holding,
        Phase.PAUSED: _paused,
        Phase.VERIFYING: _verifying,
        Phase.FINALIZING: _finalizing,
        Phase.ROLLING_BACK: _rolling_back,
        Phase.RESTORING: _restoring,
    }
)
