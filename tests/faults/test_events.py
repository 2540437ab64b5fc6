"""Events are hints: lost, late, twice, in disorder or old ones again, the verdict is the same."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from swarmroll.sim import SimSwarm
from tests.faults.scenes import SCENES


def broken(sim: SimSwarm) -> None:
    for second in range(1, 60, 2):
        sim.after(second, lambda: sim.break_events(0.3))


def replayed(sim: SimSwarm) -> None:
    for second in (0.01, 1, 3, 5, 8, 13, 21):
        sim.after(second, sim.replay_events)


def everything(sim: SimSwarm) -> None:
    sim.events_late(2.0)
    sim.events_doubled(3.0)
    sim.events_shuffled(6.0)
    replayed(sim)


EVENTS: dict[str, Callable[[SimSwarm], object]] = {
    "lost": SimSwarm.events_off,
    "broken again and again": broken,
    "late": lambda sim: sim.events_late(4.0),
    "very late": lambda sim: sim.events_late(40.0),
    "twice": SimSwarm.events_doubled,
    "twice, much later": lambda sim: sim.events_doubled(20.0),
    "in another order": lambda sim: sim.events_shuffled(6.0),
    "old ones again": replayed,
    "all of it": everything,
}


@pytest.mark.parametrize("name", SCENES)
@pytest.mark.parametrize("what", EVENTS)
def test_events_in_disorder_change_no_verdict(what: str, name: str) -> None:
    """Nor is anything written more often, or over anybody."""
    scene = SCENES[name]
    case = scene.stage()
    EVENTS[what](case.sim)
    report = scene.play(case)
    assert report is not None
    assert scene.outcome == report.outcome
    case.check_end(report)
    case.sim.close()
    assert [] == case.wrong


@pytest.mark.parametrize("what", EVENTS)
def test_events_of_an_earlier_update_change_nothing(what: str) -> None:
    """Though they tell of the same service."""
    scene = SCENES["a crash that swarmroll undoes"]
    case = scene.stage()
    case.sim.update_service("web", image="app:3")
    case.sim.settle()
    case.sim.update_service("web", image="app:1")
    case.sim.settle()
    EVENTS[what](case.sim)
    report = scene.play(case)
    assert report is not None
    assert "rolled_back" == report.outcome
    assert [] == case.wrong
    case.sim.close()
