"""Virtual time and chance."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarmroll.core.snapshot import Task
from swarmroll.sim import Happening, SimSwarm
from swarmroll.sim.clock import Process, Scope, Signal, VirtualClock, Wait


def _history(
    seed: int,
    misfortunes: list[tuple[float, str]],
    look: Callable[[SimSwarm], object] = lambda _: None,
) -> list[Happening]:
    with SimSwarm(nodes=4, managers=3, seed=seed) as sim:
        sim.image("app:1")
        sim.image("app:2", crashes_after=3.0, on_slots=[2])
        sim.create_service(
            "web",
            image="app:1",
            replicas=4,
            update={"parallelism": 2, "failure_action": "rollback"},
        )
        sim.update_service("web", image="app:2")
        for at, what in misfortunes:
            sim.after(at, partial(MISFORTUNES[what], sim))
        for _ in range(90):
            sim.run(1)
            look(sim)
        return list(sim.trace)


def _rollback(sim: SimSwarm) -> None:
    if sim.service("web").previous_spec is not None:
        sim.rollback_service("web")


def _drain(sim: SimSwarm) -> None:
    if len(sim.store.nodes) == 4:
        sim.node("node-4").drain()


def _remove(sim: SimSwarm) -> None:
    if len(sim.store.nodes) == 4:
        sim.node("node-4").remove(force=True)


def _kill(sim: SimSwarm) -> None:
    running = [task for task in sim.tasks("web") if task.running and task.slot]
    if running:
        sim.kill_container("web", running[0].slot or 0)


MISFORTUNES: dict[str, Callable[[SimSwarm], object]] = {
    "update": lambda sim: sim.update_service("web", image="app:2"),
    "repost": lambda sim: sim.update_service("web"),
    "scale": lambda sim: sim.scale("web", 5),
    "shrink": lambda sim: sim.scale("web", 2),
    "rollback": _rollback,
    "drain": _drain,
    "remove": _remove,
    "down": lambda sim: sim.node("node-3").down(),
    "up": lambda sim: sim.node("node-3").up(),
    "cut off": lambda sim: sim.node("node-2").cut_off(),
    "leader": lambda sim: sim.change_leader(),
    "kill": _kill,
    "label": lambda sim: sim.node("node-2").label(zone="x"),
}


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 1000),
    misfortunes=st.lists(
        st.tuples(st.floats(0, 60), st.sampled_from(sorted(MISFORTUNES))), max_size=5
    ),
)
def test_the_same_seed_gives_the_same_history(
    seed: int, misfortunes: list[tuple[float, str]]
) -> None:
    """Whatever happens."""
    assert _history(seed, misfortunes) == _history(seed, misfortunes)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 1000),
    misfortunes=st.lists(
        st.tuples(st.floats(0, 60), st.sampled_from(sorted(MISFORTUNES))), max_size=6
    ),
)
def test_states_never_go_back_and_versions_only_rise(
    seed: int, misfortunes: list[tuple[float, str]]
) -> None:
    """Whatever happens; and the scheduler's books always agree with the tasks."""
    seen: dict[str, Task] = {}
    versions = [0]

    def look(sim: SimSwarm) -> None:
        for task in sim.tasks("web"):
            before = seen.get(task.id, task)
            assert task.state >= before.state
            assert task.desired >= before.desired
            assert task.node_id == before.node_id or not before.node_id
            seen[task.id] = task
        versions.append(sim.service("web").version)
        assert versions[-1] >= versions[-2]
        for node in sim.store.nodes.values():
            assert node.active == sum(1 for t in node.tasks.values() if t.wanted_active)

    _history(seed, misfortunes, look)


def test_another_seed_gives_another_history() -> None:
    """Chance is real, and seeded."""
    assert _history(1, []) != _history(2, [])


def test_something_may_be_arranged_for_a_time_or_a_condition(sim: SimSwarm) -> None:
    """Once each."""
    sim.create_service("web", image="app:1", replicas=3)
    seen: list[float] = []
    sim.at(20.0, lambda: seen.append(sim.now))
    sim.at(lambda: sim.service("web").spec.image == "app:2", lambda: seen.append(-1.0))
    sim.update_service("web", image="app:2")
    sim.run(60)
    assert seen == [-1.0, 20.0]
    with pytest.raises(ValueError, match="1 s has passed, it is 60"):
        sim.at(1.0, lambda: None)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda sim: sim.node("node-9"), "there is no node 'node-9', only node-1, node-2, node-3"),
        (lambda sim: sim.run(-1), "seconds must be at least 0, got -1"),
        (lambda sim: sim.image("a:1", starts_in=-2), "starts_in must be at least 0, got -2"),
        (lambda sim: sim.image("a:1", on_nodes=["x"]), "there is no node 'x'"),
        (lambda sim: sim.create_service("web"), "'web' needs an image or a spec"),
        (lambda sim: sim.create_service("w", image="a", update={"speed": 1}), "unknown word"),
        (lambda _: SimSwarm(nodes=2, managers=3), "managers must be 1 to 2, got 3"),
        (lambda _: SimSwarm(nodes=0), "nodes must be at least 1, got 0"),
    ],
)
def test_a_scenario_that_asks_for_the_impossible_is_told_so(
    sim: SimSwarm,
    wrong: object,
    words: str,
) -> None:
    """By name."""
    assert callable(wrong)
    with pytest.raises(ValueError, match=words):
        wrong(sim)


def test_time_cannot_be_moved_from_inside_an_event(sim: SimSwarm) -> None:
    """A misfortune that waits would hide what happens meanwhile."""
    sim.after(1, lambda: sim.run(1))
    with pytest.raises(RuntimeError, match="cannot be moved from inside"):
        sim.run(2)


def test_a_timer_dies_with_its_scope_and_a_process_where_it_stands() -> None:
    """As a leader's do."""
    clock = VirtualClock()
    scope = Scope(clock)
    seen: list[str] = []
    signal = Signal()

    def body() -> Wait:
        seen.append("began")
        yield 1.0
        seen.append("slept")
        yield signal
        seen.append("told")

    Process(scope, body())
    stopped = Process(scope, body())
    clock.run_until(0.5)
    stopped.stop()
    clock.run_until(2)
    assert seen == ["began", "began", "slept"]
    signal.fire()
    clock.run_until(3)
    assert seen[-1] == "told"
    scope.later(1, seen.append, "never")
    scope.end()
    clock.run_until(10)
    assert seen[-1] == "told"
    assert clock.next_at() is None
