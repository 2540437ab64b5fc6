"""A random world from a number: a service, a release, a way to roll it, and what goes wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import Any

import attrs

from swarmroll import Canary, GateContext, Outcome, Report, Rolling, Rollout, Step, Strategy, Swarm
from swarmroll.core.gate import Verdict
from swarmroll.sim import SimSwarm

from .misfortunes import FATES, HARMLESS, at_request
from .oracle import NAME, Case
from .scenes import Told, asked, passing

IMAGES: Mapping[str, Mapping[str, Any]] = {
    "good": {},
    "slow": {"starts_in": 9.0},
    "healthy": {"healthcheck": True, "healthy_after": 2.0},
    "crashing": {"crashes_after": 1.0},
    "crashing late": {"crashes_after": 20.0},
    "missing": {"missing": True},
    "ill": {"healthcheck": True, "unhealthy_after": 1.0},
    "not starting": {"start_error": "no such file"},
}
"""How the release may behave."""

BAD = frozenset({"crashing", "missing", "ill", "not starting"})
"""Which can never be proven."""

Ask = Callable[[Rollout], object]

ASKS: Mapping[str, tuple[Ask, ...]] = {
    "pause": (Rollout.pause,),
    "pause and resume": (Rollout.pause, Rollout.resume),
    "pause and abort": (Rollout.pause, lambda rollout: rollout.abort(rollback=True)),
    "abort": (Rollout.abort,),
    "abort and put back": (lambda rollout: rollout.abort(rollback=True),),
}


@attrs.frozen(kw_only=True)
class World:
    """
    What is drawn from a seed.

    Attributes:
        seed: The number that it was drawn from.
        image: How the release behaves: see ``IMAGES``.
        only: The slot or node that alone has it so; empty for everywhere.
        ask: What a person asks: see ``ASKS``; empty for nothing.
        fates: What happens, and at which request.
        then: What is done after the rollout: ``again``, ``back`` or nothing.
        good: Whether the gates pass.
    """

    seed: int
    nodes: int
    managers: int
    service: Mapping[str, Any]
    image: str
    only: str
    options: Mapping[str, Any]
    ask: str
    fates: tuple[tuple[str, int], ...]
    then: str
    good: bool

    @property
    def fate_names(self) -> frozenset[str]:
        return frozenset(name for name, _ in self.fates)


def draw(seed: int) -> World:
    """The world of a seed."""
    chance = Random(seed)
    pick = chance.choice
    service: dict[str, Any] = {"image": "app:1"}
    if chance.random() < 0.1:
        service["mode"] = "global"
    else:
        service["replicas"] = 3
    if chance.random() < 0.5:
        service["update"] = {
            "parallelism": pick((0, 1, 2)),
            "delay": pick((0.0, 2.0)),
            "monitor": pick((1.5, 5.0)),
            "order": pick(("stop-first", "start-first")),
            "max_failure_ratio": pick((0.0, 0.0, 0.4)),
        }
    if chance.random() < 0.5:
        service["rollback"] = {"parallelism": pick((0, 1)), "monitor": pick((1.5, 5.0))}
    good = chance.random() < 0.85
    options: dict[str, Any] = {
        "strategy": _strategy(chance),
        "on_failure": pick(("rollback", "rollback", "pause")),
        "on_foreign": pick(("adopt", "adopt", "stop")),
        "deadline": pick((60.0, 120.0)),
    }
    gated = chance.random() < 0.25 or not good
    if gated:
        options["gates"] = [_gate(chance, good=good)]
    many = chance.choices((0, 1, 2, 3), (5, 45, 40, 10))[0]
    fates = tuple((pick(tuple(FATES)), chance.randint(0, 45)) for _ in range(many))
    managers = pick((1, 3))
    return World(
        seed=seed,
        nodes=managers + pick((0, 2)) if managers > 1 else pick((2, 3, 4)),
        managers=managers,
        service=service,
        image=pick(("good", "good", "good", *IMAGES)),
        only=pick(("", "", "slot", "node")),
        options=options,
        ask=pick(tuple(ASKS)) if chance.random() < 0.15 else "",
        fates=fates,
        then=pick(("", "", "again", "back")),
        good=good,
    )


def _strategy(chance: Random) -> Strategy:
    pick = chance.choice
    order = pick((None, None, "stop-first", "start-first"))
    kind = chance.random()
    if kind < 0.3:
        return Rolling()
    if kind < 0.6:
        return Rolling(
            parallelism=pick((None, 1, 2, "50%", 0)),
            order=order,
            monitor=pick((None, 2.0)),
            bake=pick((0.0, 0.0, 6.0)),
            max_failure_ratio=pick((None, 0.0, 0.5)),
        )
    if kind < 0.9:
        return Canary(steps=[Step(tasks=1, hold=pick((0.0, 5.0)))], order=order, monitor=2.0)
    return Canary.ramp(hold=2.0, monitor=1.0)


def _gate(chance: Random, *, good: bool) -> Told:
    if good:
        return passing(passes=chance.choice((1, 2)), interval=3.0)
    fails_at = chance.randint(0, 4)
    asked_so_far = iter(range(10_000))

    def say(_: GateContext) -> Verdict:
        well = next(asked_so_far) < fails_at
        return Verdict.passed("well") if well else Verdict.failed("too many errors")

    return Told(say, interval=2.0)


def stage(world: World) -> Case:
    """The swarm of a world, before anything is rolled."""
    sim = SimSwarm(nodes=world.nodes, managers=world.managers, seed=world.seed % 1000)
    sim.image("app:1")
    sim.image("app:2")
    sim.image("app:3")
    words = dict(IMAGES[world.image])
    if world.only == "slot":
        sim.image("app:2", on_slots=[2], **words)
    elif world.only == "node":
        sim.image("app:2", on_nodes=["node-2"], **words)
    else:
        sim.image("app:2", **words)
    sim.create_service(NAME, **world.service)
    case = Case(sim, thorough=world.seed % 16 == 0)
    case.gates = tuple(world.options.get("gates", ()))
    case.stops = world.options["on_foreign"] == "stop"
    return case


def run(seed: int) -> tuple[int, list[str]]:
    """Play the world of a seed to its end; how many drivers it had, and what was wrong."""
    world = draw(seed)
    case = stage(world)
    try:
        play(world, case)
    finally:
        case.sim.close()
    return case.runs, case.wrong


def play(world: World, case: Case) -> None:
    """Roll, let it happen, take up what was left, and judge."""
    chance = Random(-1 - world.seed)
    for name, number in world.fates:
        happen = FATES[name]
        at_request(case, number, lambda happen=happen: happen(case, chance))  # type: ignore[misc]
    report = case.act(lambda swarm: roll(world, case.sim, swarm))
    report = finished(case, report)
    judge(world, case, report)
    if world.then and NAME in case.sim.store.names:
        report = finished(case, case.act(lambda swarm: follow(world, swarm)))
        case.check_end(report)


def roll(world: World, sim: SimSwarm, swarm: Swarm) -> Report | None:
    if world.ask:
        asks = ASKS[world.ask]
        return asked(1, *asks, **world.options)(sim, swarm)
    return swarm.update(NAME, image="app:2", check=False, **world.options)


def follow(world: World, swarm: Swarm) -> Report:
    """What is done next."""
    if world.then == "back":
        return swarm.rollback(NAME, check=False)
    return swarm.update(NAME, image="app:3", check=False, allow="*")


def finished(case: Case, report: Report | None) -> Report | None:
    """A rollout that its driver has left is taken up, and one that began has an end."""
    if report is None or report.outcome is Outcome.DETACHED or report.trouble:
        return case.finish()
    case.heal()
    if any("its record was not closed" in note for note in report.notes):
        # As it says: attach() does that.
        return case.finish()
    return report


def judge(world: World, case: Case, report: Report | None) -> None:
    """It is right, and it is what had to come of that world."""
    case.check_end(report)
    if report is None:
        return
    fates, outcome = world.fate_names, report.outcome
    surely_bad = world.image in BAD and not world.only
    why = f"{outcome} ({report.headline}), though "
    if outcome is Outcome.COMPLETED and surely_bad:
        case.complain(f"{why}the image is {world.image}")
    # A label written on top of the engine's own rollback, unseen until then, counts as well.
    if outcome is Outcome.SUPERSEDED and not case.foreign:
        case.complain(f"{why}nobody else wrote anything")
    if outcome is Outcome.SERVICE_GONE and "somebody removes it" not in fates:
        case.complain(f"{why}nobody removed it")
    if outcome is Outcome.ABORTED and "abort" not in world.ask:
        case.complain(f"{why}nobody asked for that")
    may_pause = world.ask.startswith("pause") or world.options["on_failure"] == "pause"
    if outcome is Outcome.PAUSED and not may_pause:
        case.complain(f"{why}nobody asked for that")
    fine = world.image in ("good", "healthy") and world.good and not world.ask
    if fine and fates <= HARMLESS and outcome is not Outcome.COMPLETED:
        case.complain(f"{why}nothing was wrong with the release")
