"""Gates in a decision: which are due, which have failed, and whether all let the rollout go on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

import attrs

from swarmroll.core.commands import Decision
from swarmroll.core.gate import GateContext, GateRecord, GateRules, Moment
from swarmroll.core.observe import made_here
from swarmroll.core.phases import Phase, Trigger
from swarmroll.core.snapshot import Depth
from swarmroll.core.state import State
from swarmroll.core.trouble import fail
from swarmroll.core.turn import Turn

MOMENTS: Mapping[Phase, Moment] = MappingProxyType(
    {
        Phase.UPDATING: Moment.DURING,
        Phase.HOLDING: Moment.BETWEEN,
        Phase.VERIFYING: Moment.AT_END,
    }
)


def keep_gates(turn: Turn) -> Decision | None:
    """
    Ask the gates that are due.

    Returns:
        What a failed gate leads to; None lets the phase go on.
    """
    state = turn.state
    if state.standing_still or not _nothing_asked_too_early(state):
        return None
    due = []
    for rules in _asked_now(state):
        record = _record(turn, rules)
        why = record.failure(rules) or record.overdue(rules, _waited(turn))
        if why:
            return fail(turn, Trigger.GATE_FAILED, why)
        if record.asked_at is None and record.due <= turn.now:
            due.append((rules, record))
    if due and turn.snapshot.depth < Depth.TARGET:
        return turn.look(Depth.TARGET)
    for rules, record in due:
        asked = attrs.evolve(record, asked_at=turn.now)
        turn.set(gates={**turn.state.gates, rules.name: asked})
        turn.check(rules.name, _context(turn))
    return None


def gates_pass(turn: Turn) -> bool:
    """Whether every gate that is asked in this phase lets the rollout go on."""
    return all(_record(turn, rules).passing(rules) for rules in _asked_now(turn.state))


def hurry(decision: Decision, now: float) -> Decision:
    """The same, with the next look no later than the next check that is due."""
    state, look = decision.state, decision.look
    if look is None or state.standing_still or not _nothing_asked_too_early(state):
        return decision
    records = [state.gates.get(rules.name) for rules in _asked_now(state)]
    due = [r.due - now for r in records if r is not None and r.asked_at is None]
    within = max(0.0, min([look.within, *due]))
    return attrs.evolve(decision, look=attrs.evolve(look, within=within))


def _asked_now(state: State) -> Iterator[GateRules]:
    moment = MOMENTS.get(state.phase)
    return (rules for rules in state.plan.gates if moment in rules.moments)


def _nothing_asked_too_early(state: State) -> bool:
    """While the engine replaces tasks, a gate can judge only what runs."""
    runs = any(sighting.running_since is not None for sighting in state.seen.values())
    return state.phase is not Phase.UPDATING or runs


def _record(turn: Turn, rules: GateRules) -> GateRecord:
    """What the gate has said in this phase and step; another one begins anew."""
    state = turn.state
    record = state.gates.get(rules.name)
    if record is None or (record.phase, record.step) != (state.phase, state.step):
        return GateRecord(phase=state.phase, step=state.step, due=turn.now)
    return record


def _waited(turn: Turn) -> float:
    """Seconds that only the gates have kept the rollout from going on."""
    state = turn.state
    step = state.plan.steps[state.step]
    match state.phase:
        case Phase.HOLDING if step.hold is not None:
            return turn.now - state.since - step.hold
        case Phase.VERIFYING if not state.waiting_for:
            return turn.now - state.since - step.monitor - step.bake
        case _:
            # Nothing waits for them, or a person is waited for anyway.
            return 0.0


def _context(turn: Turn) -> GateContext:
    state, service = turn.state, turn.service
    slots = service.spec.replicas
    return GateContext(
        rollout_id=state.plan.id,
        service=state.plan.service,
        service_id=state.plan.service_id,
        moment=MOMENTS[state.phase],
        phase=state.phase,
        step=state.step,
        steps=len(state.plan.steps),
        image=state.goal.image,
        tasks=tuple(task for task in made_here(turn) if task.runnable),
        nodes=state.nodes,
        slots=len(state.plan.slots) if slots is None else slots,
        since=turn.snapshot.wall - (turn.now - state.since),
        now=turn.snapshot.wall,
    )
