"""Scenarios that ask for the impossible."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from swarmroll.errors import ServiceNotFound
from swarmroll.sim import SimSwarm

CASES: list[tuple[Callable[[SimSwarm], object], str]] = [
    (lambda sim: sim.node("node-9"), "there is no node 'node-9', only node-1, node-2, node-3"),
    (lambda sim: sim.image("a", on_nodes=["nowhere"]), "there is no node 'nowhere'"),
    (lambda sim: sim.image("a", starts_in=-1), "starts_in must be at least 0, got -1"),
    (lambda sim: sim.any_image(starts_in=-1), "starts_in must be at least 0, got -1"),
    (lambda sim: sim.run(-1), "seconds must be at least 0, got -1"),
    (lambda sim: sim.run_until(lambda: True, -1), "limit must be at least 0, got -1"),
    (lambda sim: sim.settle(-2), "limit must be at least 0, got -2"),
    (lambda sim: sim.after(-1, lambda: None), "after: seconds must be at least 0, got -1"),
    (lambda sim: sim.at(-1.0, lambda: None), "-1 s has passed"),
    (lambda sim: sim.slow(-1), "slow: seconds must be at least 0, got -1"),
    (lambda sim: sim.events_late(-1), "events_late: seconds must be at least 0"),
    (lambda sim: sim.break_events(-1), "break_events: seconds must be at least 0"),
    (lambda sim: sim.change_leader(election=-1), "election must be at least 0, got -1"),
    (lambda sim: sim.run(float("nan")), "run: seconds must be at least 0, got nan"),
    (lambda sim: sim.settle(float("inf")), "limit must be at least 0, got inf"),
    (lambda sim: sim.at(float("nan"), lambda: None), "at: when must be a number of seconds"),
    (lambda sim: sim.wait_until(lambda: True, -1), "wait_until: timeout must be at least 0"),
    (lambda sim: sim.image("a", starts_in=float("nan")), "starts_in must be at least 0, got nan"),
    (lambda sim: sim.create_service("x", image="a", settle=-1), "settle must be at least 0"),
    (lambda sim: sim.scale("web", -1), "replicas must be at least 0, got -1"),
    (lambda sim: sim.kill_container("web", 9), "no container runs in slot 9 of web"),
    (lambda sim: sim.make_unhealthy("web", 9), "no container runs in slot 9 of web"),
    (lambda sim: sim.fail_next("TaskEat", 500), "operation must be one of"),
    (lambda sim: sim.fail_next("TaskList", 418), "TaskList can fail as"),
    (lambda sim: sim.fail_next("TaskList", 500, times=0), "times must be at least 1"),
    (lambda sim: sim.add_node(role="queen"), "role must be manager or worker, got 'queen'"),
    (lambda sim: sim.create_service("x"), "'x' needs an image or a spec"),
    (lambda sim: sim.create_service("x", image="a", replicas=-1), "replicas must be at least 0"),
    (lambda sim: sim.create_service("x", image="a", update={"pace": 1}), "unknown word 'pace'"),
    (lambda sim: sim.node("node-2").clock_off(float("nan")), "clock_off: seconds must be a number"),
]


@pytest.mark.parametrize(("ask", "words"), CASES)
def test_it_is_refused_by_name(
    sim: SimSwarm, ask: Callable[[SimSwarm], object], words: str
) -> None:
    """And nothing has happened."""
    sim.create_service("web", image="app:1")
    before, now = len(sim.trace), sim.now
    with pytest.raises(ValueError, match=words.replace("(", r"\(")):
        ask(sim)
    assert (len(sim.trace), sim.now) == (before, now)


def test_a_service_that_is_not_there_is_the_engines_error(sim: SimSwarm) -> None:
    """As a client would see it."""
    for ask in (sim.service, sim.tasks, sim.remove_service, sim.rollback_service):
        with pytest.raises(ServiceNotFound, match="service nope not found"):
            ask("nope")
