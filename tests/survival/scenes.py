"""What a driver may be killed in the middle of: a new strategy, or misfortune, adds a scene."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from swarmroll import Canary, Rolling, Rollout, ServiceSpec, Step, Swarm
from swarmroll.sim import SimSwarm

from .killing import Scene

UNSAFE = {"rollback": {"parallelism": 0}}
"""A rollback config that the engine is not trusted with: swarmroll puts the old spec back."""

Act = Callable[[SimSwarm, Swarm], Rollout | None]
Ask = Callable[[Rollout], object]


def rolling(image: str = "app:2") -> Callable[[SimSwarm], int]:
    """Counts the wanted tasks of an image that run."""

    def count(sim: SimSwarm) -> int:
        return sum(task.running and task.image == image for task in sim.tasks("web"))

    return count


def roll(change: Any = None, **options: Any) -> Act:
    """Roll, and wait for the end."""

    def act(_: SimSwarm, swarm: Swarm) -> None:
        swarm.update("web", change, check=False, **options)

    return act


def back(_: SimSwarm, swarm: Swarm) -> None:
    swarm.rollback("web", check=False)


def asked(when: int, *asks: Ask, image: str = "app:2", **options: Any) -> Act:
    """Roll in the background; a person asks something as soon as so many slots run the image."""

    def act(sim: SimSwarm, swarm: Swarm) -> Rollout:
        plan = swarm.plan("web", image=image, **options)
        handle: list[Rollout] = []
        first, *later = asks
        if when:
            sim.at(lambda: bool(handle) and rolling(image)(sim) >= when, lambda: first(handle[0]))
        # Nothing moves before the ask is in its place: time is the rollout's own.
        with sim.lock:
            handle.append(swarm.start(plan))
        if not when:
            first(handle[0])
        for ask in later:
            list(handle[0].events())
            if handle[0].report is not None:
                ask(handle[0])
        return handle[0]

    return act


def before(*acts: Act) -> Callable[[SimSwarm, Swarm], None]:
    """What was done before the driver came."""

    def prepare(sim: SimSwarm, swarm: Swarm) -> None:
        for act in acts:
            act(sim, swarm)

    return prepare


def when(condition: Callable[[SimSwarm], bool], do: Callable[[SimSwarm], object]) -> Act:
    """Something happens in the middle, whoever looks on."""

    def act(sim: SimSwarm, _: Swarm) -> None:
        sim.at(lambda: condition(sim), lambda: do(sim))

    return act


def half(sim: SimSwarm) -> bool:
    return rolling()(sim) == 1


def relabelled(spec: ServiceSpec) -> ServiceSpec:
    return spec.with_label("team", "web")


def lose_a_node(sim: SimSwarm) -> None:
    node = next(t.node_id for t in sim.tasks("web") if t.running and t.image == "app:2")
    sim.node(hostname(sim, node)).down()


def drain_a_node(sim: SimSwarm) -> None:
    node = next(t.node_id for t in sim.tasks("web") if t.running and t.image == "app:2")
    sim.node(hostname(sim, node)).drain()


def hostname(sim: SimSwarm, node: str) -> str:
    return sim.store.nodes[node].hostname


GOOD = {"completed": "app:2"}
BAD = {"rolled_back": "app:1"}
EITHER = {**GOOD, **BAD}

WAVES = Canary(steps=[Step(tasks=1, hold=10), Step(tasks="50%", hold=5), Step(tasks="100%")])

SCENES: dict[str, Scene] = {
    "a good release": Scene(ends=GOOD, act=roll(image="app:2")),
    "start-first": Scene(ends=GOOD, act=roll(image="app:2", strategy=Rolling(order="start-first"))),
    "two at a time": Scene(
        ends=GOOD, act=roll(image="app:2", strategy=Rolling(parallelism=2)), service={"replicas": 5}
    ),
    "all at once": Scene(ends=GOOD, act=roll(image="app:2", strategy=Rolling(parallelism=0))),
    "with a delay": Scene(ends=GOOD, act=roll(image="app:2", strategy=Rolling(delay=10))),
    "with a bake time": Scene(ends=GOOD, act=roll(image="app:2", strategy=Rolling(bake=15))),
    "an environment": Scene(
        ends={"completed": "app:1"}, act=roll(lambda spec: spec.with_env(LOG="debug"))
    ),
    "a label": Scene(
        ends={"completed": "app:1"},
        act=roll(relabelled),
        kept=lambda sim: sim.service("web").spec.labels.get("team") in ("web", None),
    ),
    "scaling up": Scene(ends={"completed": "app:1"}, act=roll(lambda spec: spec.with_replicas(5))),
    "scaling down": Scene(
        ends={"completed": "app:1"}, act=roll(lambda spec: spec.with_replicas(1))
    ),
    "a release and more of it": Scene(
        ends=GOOD, act=roll(lambda spec: spec.with_image("app:2").with_replicas(5))
    ),
    "a release and less of it": Scene(
        ends=GOOD, act=roll(lambda spec: spec.with_image("app:2").with_replicas(2))
    ),
    "a bad release and more of it": Scene(
        ends=BAD,
        act=roll(lambda spec: spec.with_image("crash:1").with_replicas(5)),
        kept=lambda sim: sim.service("web").spec.replicas in (3, 5),
    ),
    "ports": Scene(
        ends={"completed": "app:1"},
        act=roll(
            lambda spec: spec.with_path(
                "EndpointSpec", {"Ports": [{"TargetPort": 80, "PublishedPort": 8080}]}
            )
        ),
    ),
    "a placement": Scene(
        ends={"completed": "app:1"},
        act=roll(lambda spec: spec.with_constraints(["node.role == worker"])),
    ),
    "a release, a placement and ports": Scene(
        ends=GOOD,
        act=roll(
            lambda spec: (
                spec.with_image("app:2").with_constraints(["node.role == worker"])
            ).with_path("EndpointSpec", {"Ports": [{"TargetPort": 80, "PublishedPort": 8080}]})
        ),
    ),
    "nothing to do": Scene(ends={"unchanged": "app:1"}, act=roll(image="app:1")),
    "a global service": Scene(ends=GOOD, act=roll(image="app:2"), service={"mode": "global"}),
    "a bad one of a global service": Scene(
        ends=BAD, act=roll(image="crash:1"), service={"mode": "global"}
    ),
    "a crash that the engine sees": Scene(ends=BAD, act=roll(image="crash:1")),
    "a crash that we put back": Scene(ends=BAD, act=roll(image="crash:1"), service=UNSAFE),
    "a crash, start-first": Scene(
        ends=BAD, act=roll(image="crash:1", strategy=Rolling(order="start-first")), service=UNSAFE
    ),
    "a crash after the monitor": Scene(
        ends=BAD, act=roll(image="late:1", strategy=Rolling(bake=15))
    ),
    "no such image": Scene(ends=BAD, act=roll(image="missing:1")),
    "an image that turns ill": Scene(ends=BAD, act=roll(image="ill:1")),
    "a crash that only pauses": Scene(
        ends={"paused": ""}, act=roll(image="crash:1", on_failure="pause")
    ),
    "no node for it": Scene(
        ends=BAD,
        act=roll(lambda spec: spec.with_constraints(["node.hostname == nowhere"]), deadline="1m"),
    ),
    "going back": Scene(ends={"completed": "app:1"}, prepare=before(roll(image="app:2")), act=back),
    "going back after two bad ones": Scene(
        ends={"completed": "app:1"},
        prepare=before(
            roll(image="crash:1", on_failure="pause"),
            roll(image="missing:1", on_failure="pause", allow="*"),
        ),
        act=back,
    ),
    "a bad one after a bad one": Scene(
        ends=BAD,
        prepare=before(roll(image="crash:1", on_failure="pause")),
        act=roll(image="missing:1", allow="*"),
    ),
    "somebody scales": Scene(
        ends=GOOD,
        prepare=before(when(half, lambda sim: sim.scale("web", 5))),
        act=roll(image="app:2"),
        kept=lambda sim: sim.service("web").spec.replicas in (3, 5),
    ),
    "somebody scales a bad one": Scene(
        ends=BAD,
        prepare=before(
            when(
                lambda sim: any(t.image == "crash:1" for t in sim.tasks("web")),
                lambda sim: sim.scale("web", 5),
            )
        ),
        act=roll(image="crash:1"),
        service=UNSAFE,
    ),
    "somebody labels": Scene(
        ends=GOOD,
        prepare=before(when(half, lambda sim: sim.update_service("web", relabelled))),
        act=roll(image="app:2"),
        kept=lambda sim: rolling()(sim) == 0 or sim.service("web").spec.labels.get("team") == "web",
    ),
    "somebody releases": Scene(
        ends={"superseded": "app:3"},
        prepare=before(when(half, lambda sim: sim.update_service("web", image="app:3"))),
        act=roll(image="app:2"),
    ),
    "somebody removes it": Scene(
        ends={"service_gone": ""},
        prepare=before(when(half, lambda sim: sim.remove_service("web"))),
        act=roll(image="app:2"),
    ),
    "a node is lost": Scene(
        ends=EITHER,
        prepare=before(when(half, lose_a_node)),
        act=roll(image="app:2"),
        sim={"nodes": 5},
    ),
    "a node is drained": Scene(
        ends=EITHER,
        prepare=before(when(half, drain_a_node)),
        act=roll(image="app:2"),
        sim={"nodes": 5},
    ),
    "the leader changes": Scene(
        ends=EITHER,
        prepare=before(when(half, lambda sim: sim.change_leader())),
        act=roll(image="app:2"),
        sim={"nodes": 5, "managers": 3},
    ),
    "an answer is lost": Scene(
        ends=GOOD,
        prepare=before(lambda sim, _: sim.fail_next("ServiceUpdate", "reset-after-commit")),
        act=roll(image="app:2"),
    ),
    "a write is lost": Scene(
        ends=GOOD,
        prepare=before(lambda sim, _: sim.fail_next("ServiceUpdate", "reset-before-commit")),
        act=roll(image="app:2"),
    ),
    "an answer of the journal is lost": Scene(
        ends=GOOD,
        prepare=before(lambda sim, _: sim.fail_next("ConfigUpdate", "reset-after-commit", times=3)),
        act=roll(image="app:2"),
    ),
    "paused": Scene(
        ends={"paused": "", **GOOD}, act=asked(1, Rollout.pause), service={"replicas": 4}
    ),
    "paused and resumed": Scene(
        ends={"paused": "", **GOOD},
        act=asked(1, Rollout.pause, Rollout.resume),
        service={"replicas": 4},
    ),
    "paused and aborted": Scene(
        ends={"paused": "", "aborted": "", **GOOD},
        act=asked(1, Rollout.pause, Rollout.abort),
        service={"replicas": 4},
    ),
    "paused and put back": Scene(
        ends={"paused": "", "aborted": "app:1", **GOOD},
        act=asked(1, Rollout.pause, lambda rollout: rollout.abort(rollback=True)),
        service={"replicas": 4},
    ),
    "a canary": Scene(ends=GOOD, act=roll(image="app:2", strategy=WAVES), service={"replicas": 4}),
    "a canary, start-first": Scene(
        ends=GOOD,
        act=roll(image="app:2", strategy=WAVES),
        service={"replicas": 4, "update": {"order": "start-first"}},
    ),
    "a canary that crashes": Scene(
        ends=BAD, act=roll(image="crash:1", strategy=WAVES), service={"replicas": 4}
    ),
    "a canary that crashes late": Scene(
        ends=BAD, act=roll(image="late:1", strategy=WAVES), service={"replicas": 4}
    ),
    "a canary whose second wave crashes": Scene(
        ends=BAD,
        prepare=before(
            lambda sim, _: sim.image("half:1"),
            lambda sim, _: sim.image("half:1", on_slots=[2, 3, 4], crashes_after=1.0),
            lambda sim, _: sim.image("half:1", on_slots=[1], crashes_after=25.0),
        ),
        act=roll(image="half:1", strategy=WAVES),
        service={"replicas": 4},
    ),
    "a canary that is scaled": Scene(
        ends=GOOD,
        prepare=before(when(half, lambda sim: sim.scale("web", 6))),
        act=roll(image="app:2", strategy=WAVES),
        service={"replicas": 4},
        kept=lambda sim: sim.service("web").spec.replicas in (4, 6),
    ),
    "aborted": Scene(ends={"aborted": "", **GOOD}, act=asked(1, Rollout.abort)),
    "aborted and put back": Scene(
        ends={"aborted": "app:1", **GOOD},
        act=asked(1, lambda rollout: rollout.abort(rollback=True)),
    ),
}
