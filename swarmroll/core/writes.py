"""
Whose spec is this? Recognises our own writes, the engine's rollback, and what others wrote.

A write whose answer was lost is sent again only with the version index that it was first sent
with: the engine takes exactly one of them. When the index has moved, the first can no longer
arrive, and the decision is made anew.
"""

from __future__ import annotations

import attrs

from swarmroll.core.commands import Decision
from swarmroll.core.diff import Change, Diff
from swarmroll.core.document import ABSENT
from swarmroll.core.findings import Finding, Severity
from swarmroll.core.observe import GOING_BACK, blame, observe
from swarmroll.core.phases import Phase, Trigger
from swarmroll.core.plan import ADOPT
from swarmroll.core.snapshot import Depth, Service, UpdateState
from swarmroll.core.spec import ROLLOUT_LABEL, ServiceSpec
from swarmroll.core.state import Intent, Purpose, Sent
from swarmroll.core.suspicion import only_on
from swarmroll.core.turn import AFTER_WRITE, Turn
from swarmroll.core.way_back import putting_back

TRIES = 7
"""So often a write is sent, over 12 s, before the lack of an answer is taken for a refusal."""

ROLLING_BACK = (
    UpdateState.ROLLBACK_STARTED,
    UpdateState.ROLLBACK_PAUSED,
    UpdateState.ROLLBACK_COMPLETED,
)


def settle(turn: Turn) -> Decision | None:
    """
    Find out what became of the write under way.

    Returns:
        What to do about it; None when nothing is under way any more, or somebody else's spec is
        in its place, which ``judge_spec`` tells.
    """
    intent = turn.state.intent
    if intent is None:
        return None
    if intent.sent is Sent.NOT_YET:
        # A driver died between deciding and sending, or sending and hearing: look which.
        intent = attrs.evolve(intent, sent=Sent.LOST)
        turn.set(intent=intent)
    stored = _ours(turn.service, intent)
    if stored is not None:
        _accept(turn, intent, stored)
        return None
    if _came_and_went(turn, intent):
        _accept(turn, intent, intent.spec)
        return None
    if not _untouched(turn):
        return _decide_anew(turn, intent)
    if intent.sent is Sent.ACCEPTED:
        # An older copy of the service: the engine has it, this manager does not show it yet.
        return turn.look(Depth.SERVICE, AFTER_WRITE)
    if turn.service.version != intent.version:
        # The engine moved the version itself, as it does for its own marks: decide anew.
        turn.set(intent=None)
        return turn.write(intent.purpose, intent.spec)
    if intent.tries >= TRIES:
        words = f"no clear answer to {TRIES} tries: {intent.answer}"
        turn.state = turn.state.told(Sent.REFUSED, words)
        return turn.again()
    return turn.send(intent)


def _decide_anew(turn: Turn, intent: Intent) -> Decision:
    """Somebody else wrote first: follow from that what must, else write on top of it."""
    forced = judge_spec(turn)
    if forced is not None:
        return forced
    steps = turn.state.plan.steps
    scaling = intent.purpose is Purpose.STEP and steps[turn.state.step].scales
    spec = turn.state.keeping_adopted(intent.spec, replicas=not scaling)
    return turn.write(intent.purpose, spec)


def _came_and_went(turn: Turn, intent: Intent) -> bool:
    """
    Whether the write was stored and is gone again before it was ever read back.

    Either the engine rolled it back at once (an automatic rollback keeps the start of the update
    that it undoes), or it was accepted and somebody wrote the former spec over it.
    """
    service = turn.service
    status = service.update_status
    undone = (
        status is not None
        and status.state in ROLLING_BACK
        and status.started_at != intent.started_before
        and _untouched(turn)
    )
    overwritten = intent.sent is Sent.ACCEPTED and service.version > intent.version
    return undone or overwritten


def _ours(service: Service, intent: Intent) -> ServiceSpec | None:
    """
    The spec that our write stored, as the engine keeps it; None if it is not there.

    A client that wrote right after us kept our label in its copy; then ours is the one before.
    """
    label = intent.spec.rollout_label
    previous = service.previous_spec
    kept = service.spec
    if previous is not None and previous.rollout_label == label:
        kept = previous
    elif kept.rollout_label != label:
        return None
    elif previous is not None:
        return kept
    # Where somebody wrote twice, or the engine undid what they wrote, it may be theirs instead.
    same = all(_mere_zero(change) for change in intent.spec.diff(kept))
    return kept if same else intent.spec


def _accept(turn: Turn, intent: Intent, stored: ServiceSpec) -> None:
    state = turn.state
    normalised = [c.path for c in intent.spec.diff(stored) if not _mere_zero(c)]
    if normalised:
        names = ", ".join(normalised)
        finding = Finding(
            code="normalised",
            severity=Severity.INFO,
            message=f"the engine stored something else than was sent, in {names}",
        )
        turn.set(findings=(*state.findings, finding))
    turn.set(
        intent=None,
        expected=stored,
        fallback=state.expected or state.plan.live,
        witness_lost=stream_broken(turn),
    )


def stream_broken(turn: Turn) -> bool:
    """Whether a change of leader can have gone unseen since the last write."""
    since = turn.snapshot.unbroken_since
    return since is None or since > turn.state.written_at


def _mere_zero(change: Change) -> bool:
    """Whether the engine only leaves out what it takes for unset."""
    return change.after is ABSENT and not change.before


def _untouched(turn: Turn) -> bool:
    """Whether the service still shows what it showed before the write."""
    return turn.service.spec == (turn.state.expected or turn.state.plan.live)


def judge_spec(turn: Turn) -> Decision | None:
    """
    Compare what the service shows with what it should.

    Returns:
        The move that somebody else's write, or the engine's own rollback, forces; None if there
        is nothing of the kind.
    """
    state, service = turn.state, turn.service
    if state.expected is None:
        return _judge_before_first_write(turn)
    if service.spec == state.expected:
        return None
    if _rolled_back_by_engine(turn):
        return _follow_engine(turn)
    change = state.expected.diff(service.spec)
    adopting = state.plan.on_foreign == ADOPT and not _rolled_back_by_person(turn)
    if adopting and all(_adoptable(c.path) or _mere_zero(c) for c in change):
        _adopt(turn, change)
        return None
    return turn.move(Trigger.FOREIGN_WRITE, _superseded(turn, change))


def _judge_before_first_write(turn: Turn) -> Decision | None:
    plan, service = turn.state.plan, turn.service
    if service.spec == plan.live or turn.state.phase is Phase.PENDING:
        return None
    names = _names(plan.live.diff(service.spec))
    reason = (
        f"the plan was made for version {plan.version} of {plan.service} and is stale:"
        f" {names} changed since (version {service.version})"
    )
    intent = turn.state.intent
    if intent is not None and intent.sent is Sent.LOST:
        # Nobody knows whether it was stored before theirs.
        return turn.move(Trigger.FOREIGN_WRITE, reason)
    return turn.move(Trigger.PLAN_STALE, reason)


def _names(change: Diff) -> str:
    return ", ".join(c.path for c in change) or f"the label {ROLLOUT_LABEL}"


def _adoptable(path: str) -> bool:
    return path.startswith("Labels.") or path in ("Labels", "Mode.Replicated.Replicas")


def _adopt(turn: Turn, change: Diff) -> None:
    """Let somebody else's scaling or labelling be; it cleared the engine's update status."""
    state, service = turn.state, turn.service
    assert state.expected is not None
    told = tuple(str(c) for c in change if _adoptable(c.path)) or (
        f"the service label {ROLLOUT_LABEL}",
    )
    scaled = state.expected.replicas != service.spec.replicas
    old, new = dict(state.expected.labels), dict(service.spec.labels)
    keys = old.keys() | new.keys()
    relabelled = {key: new.get(key) for key in keys if old.get(key) != new.get(key)}
    relabelled.pop(ROLLOUT_LABEL, None)
    turn.set(
        expected=service.spec,
        relabelled={**state.relabelled, **relabelled},
        # What the engine would restore from now on is what it calls the previous spec.
        fallback=service.previous_spec,
        replicas=service.spec.replicas if scaled else state.replicas,
        adopted=(*state.adopted, *told),
        witness_lost=True,
        engine_done=False,
    )


def _rolled_back_by_engine(turn: Turn) -> bool:
    """
    Whether the engine put the former spec back by itself.

    It leaves no previous spec behind; a person's ``docker service rollback`` does, namely ours
    (swarmkit manager/orchestrator/update/updater.go, rollbackUpdate; controlapi/service.go).
    """
    state, service = turn.state, turn.service
    status = service.update_status
    return (
        service.previous_spec is None
        and status is not None
        # Told to update once more while it put the old tasks back, it ends as completed.
        and status.state in (*ROLLING_BACK, UpdateState.COMPLETED)
        and state.fallback is not None
        and service.spec == state.fallback
    )


def _rolled_back_by_person(turn: Turn) -> bool:
    """Whether somebody asked for the former spec: ours is then the previous one."""
    status = turn.service.update_status
    return (
        turn.service.previous_spec == turn.state.expected
        and status is not None
        and status.state in ROLLING_BACK
    )


def _follow_engine(turn: Turn) -> Decision:
    """
    The engine rolled back: gather who failed while the swarm still remembers, then follow.

    What it restored is the spec stored just before, which need not be the last known good one;
    then the baseline is put back over it.
    """
    if turn.snapshot.depth < Depth.NODES:
        return turn.look(Depth.NODES)
    observe(turn, undone_by=turn.service.spec)
    status = turn.service.update_status
    words = status.message if status is not None else ""
    blame(turn, words)
    state, service = turn.state, turn.service
    # The engine names the task that was one too many; it is not always the last one seen.
    guilty = [f for f in state.open_failures if f.task_id in words] or state.open_failures[-1:]
    if guilty:
        cause = guilty[0].headline + only_on(state)
    elif state.displaced:
        cause = f"a task was stopped through no fault of the release ({words})"
    else:
        cause = f"{words}; the swarm no longer remembers that task"
    reason = f"the engine rolled back by itself: {cause}"
    endpoint = (state.expected or service.spec).endpoint
    turn.set(
        engine_rolled_back=True,
        intent=None,
        expected=service.spec,
        fallback=None,
        older=state.ids,
        stale=state.ids - state.plan.known if endpoint != service.spec.endpoint else frozenset(),
        seen={},
        step=0,
        back=(service.spec,),
        progress=0,
        progress_at=turn.now,
        engine_done=False,
        resumed=False,
        standing_still=None,
    )
    if state.phase not in GOING_BACK:
        turn.state = turn.state.move(Trigger.ENGINE_ROLLED_BACK, reason, turn.snapshot)
    elif _is_baseline(turn, service.spec):
        turn.note(reason)
    else:
        undone = f"{reason}; it undid what put the old spec back"
        return turn.move(Trigger.FAILURES_EXCEEDED, undone)
    baseline = state.plan.baseline
    if baseline is None or _is_baseline(turn, service.spec):
        return turn.again()
    turn.note("the engine rolled back to a spec that is not the last known good")
    back = putting_back(turn.state, service.spec, baseline)
    turn.set(back=back, engine_rolled_back=False)
    return turn.write(Purpose.PUT_BACK, back[0])


def _is_baseline(turn: Turn, spec: ServiceSpec) -> bool:
    baseline = turn.state.plan.baseline
    return (
        baseline is not None
        and spec.template == baseline.template
        and spec.endpoint == baseline.endpoint
    )


def _superseded(turn: Turn, change: Diff) -> str:
    """Who wrote what, what runs now, and what the engine will do if that fails."""
    service = turn.service
    names = _names(change)
    action = service.spec.effective_update_config.failure_action
    consequence = {
        "rollback": "roll back to the spec before it",
        "pause": "pause",
        "continue": "go on regardless",
    }.get(action, action)
    image = service.spec.image
    return (
        f"somebody else wrote the service (version {service.version}), changing {names};"
        f" it now runs {image}, and if that fails the engine will {consequence};"
        " nothing was overwritten"
    )


def refused(turn: Turn) -> Intent | None:
    """The write that the engine would not take, if that is how the last one ended."""
    intent = turn.state.intent
    if intent is None or intent.sent is not Sent.REFUSED:
        return None
    turn.set(intent=None)
    return intent
