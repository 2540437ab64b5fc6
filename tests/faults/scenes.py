"""Rollouts that between them reach every phase, to be disturbed at each of their requests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs

from swarmroll import Canary, GateContext, Report, Rolling, Rollout, Step, Swarm, Verdict
from swarmroll.core.gate import GateRules
from swarmroll.sim import SimSwarm

from .oracle import NAME, Case

UNSAFE = {"rollback": {"parallelism": 0}}
"""A rollback config that the engine is not trusted with: swarmroll puts the old spec back."""

Do = Callable[[SimSwarm, Swarm], Report | None]


@attrs.frozen(kw_only=True)
class Scene:
    """
    A service, what is done with it, and how that ends when nothing goes wrong.

    Attributes:
        outcome: How it ends.
        do: What the driver does.
        service: Words for the service.
        sim: Words for the swarm.
        others: What somebody else, or fate, does in any case; told when the driver begins.
    """

    outcome: str
    do: Do
    service: Mapping[str, Any] = attrs.field(factory=dict)
    sim: Mapping[str, Any] = attrs.field(factory=dict)
    others: Callable[[Case], object] = lambda _: None

    def stage(self, *, thorough: bool = False) -> Case:
        """The swarm as the driver finds it."""
        sim = SimSwarm(**{"nodes": 3, "seed": 7, **self.sim})
        sim.image("app:1")
        sim.image("app:2")
        sim.image("app:3")
        sim.image("crash:1", crashes_after=1.0, logs=("starting", "boom"))
        sim.image("late:1", crashes_after=8.0)
        words = {"image": "app:1", **self.service}
        if words.get("mode") != "global":
            words.setdefault("replicas", 3)
        sim.create_service(NAME, **words)
        return Case(sim, thorough=thorough)

    def play(self, case: Case) -> Report | None:
        """Let a driver do it."""
        self.others(case)
        return case.act(lambda swarm: self.do(case.sim, swarm))


def roll(change: Any = None, **options: Any) -> Do:
    """Roll, and wait for the end."""

    def do(_: SimSwarm, swarm: Swarm) -> Report:
        return swarm.update(NAME, change, check=False, **options)

    return do


def asked(when: int, *asks: Callable[[Rollout], object], **options: Any) -> Do:
    """Roll in the background; a person asks something as soon as so many slots run the image."""

    def do(sim: SimSwarm, swarm: Swarm) -> Report:
        plan = swarm.plan(NAME, **{"image": "app:2", **options})
        handle: list[Rollout] = []
        first, *later = asks
        sim.at(lambda: bool(handle) and running(sim) >= when, lambda: first(handle[0]))
        # Nothing moves before the ask is in its place: time is the rollout's own.
        with sim.lock:
            handle.append(swarm.start(plan))
        rollout = handle[0]
        list(rollout.events())
        # Nobody asks the same of another one.
        handle.clear()
        for ask in later:
            if rollout.report is not None and rollout.report.outcome == "paused":
                ask(rollout)
            list(rollout.events())
        return rollout.wait(0, check=False)

    return do


def running(sim: SimSwarm, image: str = "app:2") -> int:
    """How many wanted tasks of an image run."""
    if NAME not in sim.store.names:
        return 0
    return sum(task.running and task.image == image for task in sim.tasks(NAME))


class Told:
    """A gate that says what it is told to."""

    def __init__(self, say: Callable[[GateContext], Verdict], **rules: Any) -> None:
        self._say = say
        self.rules = GateRules(name="told", **rules)
        self.name = self.rules.name

    def check(self, context: GateContext) -> Verdict:
        return self._say(context)


def passing(**rules: Any) -> Told:
    return Told(lambda _: Verdict.passed("well"), **rules)


def failing(**rules: Any) -> Told:
    return Told(lambda _: Verdict.failed("too many errors"), **rules)


def scaled(case: Case) -> None:
    """Somebody scales in the middle."""
    sim = case.sim
    sim.at(
        lambda: running(sim) == 1,
        lambda: case.foreigner(lambda: sim.scale(NAME, 4), final=False),
    )


def deployed(case: Case) -> None:
    """Somebody deploys in the middle."""
    sim = case.sim
    sim.at(
        lambda: running(sim) == 1,
        lambda: case.foreigner(lambda: sim.update_service(NAME, image="app:3"), final=True),
    )


ONE_THEN_ALL = Canary(steps=[Step(tasks=1, hold=5)], monitor=2)

SCENES: dict[str, Scene] = {
    "a good release": Scene(outcome="completed", do=roll(image="app:2")),
    "a crash that the engine undoes": Scene(outcome="rolled_back", do=roll(image="crash:1")),
    "a crash that swarmroll undoes": Scene(
        outcome="rolled_back", do=roll(image="crash:1"), service=UNSAFE
    ),
    "a crash after the monitor": Scene(
        outcome="rolled_back", do=roll(image="late:1", strategy=Rolling(bake=15))
    ),
    "a crash that only pauses": Scene(
        outcome="paused", do=roll(image="crash:1", on_failure="pause")
    ),
    "a canary": Scene(outcome="completed", do=roll(image="app:2", strategy=ONE_THEN_ALL)),
    "a canary whose gate fails": Scene(
        outcome="rolled_back",
        do=roll(
            image="app:2",
            strategy=ONE_THEN_ALL,
            gates=[failing()],
        ),
    ),
    "gates that pass": Scene(
        outcome="completed", do=roll(image="app:2", gates=[passing(passes=2, interval=3.0)])
    ),
    "paused and resumed": Scene(
        outcome="completed", do=asked(1, Rollout.pause, Rollout.resume), service={"replicas": 4}
    ),
    "aborted and put back": Scene(
        outcome="aborted", do=asked(1, lambda rollout: rollout.abort(rollback=True))
    ),
    "somebody scales": Scene(outcome="completed", do=roll(image="app:2"), others=scaled),
    "somebody deploys": Scene(outcome="superseded", do=roll(image="app:2"), others=deployed),
    "a global service": Scene(
        outcome="completed", do=roll(image="app:2"), service={"mode": "global"}
    ),
    "a placement and ports": Scene(
        outcome="completed",
        do=roll(
            lambda spec: (
                spec.with_image("app:2").with_constraints(["node.role == worker"])
            ).with_path("EndpointSpec", {"Ports": [{"TargetPort": 80, "PublishedPort": 8080}]})
        ),
    ),
    "nothing to do": Scene(outcome="unchanged", do=roll(image="app:1")),
}
