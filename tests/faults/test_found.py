"""What random worlds have found, told as stories."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from swarmroll import Canary, Rolling, Step
from swarmroll.core.snapshot import TaskState
from swarmroll.errors import Conflict
from swarmroll.journal.swarm import ConfigDrawer
from swarmroll.sim import SimSwarm
from tests.faults.oracle import NAME


@pytest.fixture
def sim() -> Iterator[SimSwarm]:
    with SimSwarm(nodes=3, seed=7) as swarm:
        swarm.image("app:2")
        swarm.image("endless:1", starts_in=1e6)
        swarm.create_service(NAME, image="app:1", replicas=3)
        yield swarm


def test_a_failure_that_only_pauses_does_not_wait_for_ever(sim: SimSwarm) -> None:
    """The engine cannot be held while a slot is half-way; that slot may stay so for ever."""
    begun = sim.now
    report = sim.connect().update(
        NAME,
        image="endless:1",
        strategy=Rolling(order="start-first"),
        on_failure="pause",
        deadline=60,
        check=False,
    )
    assert "paused" == report.outcome
    assert "is half way, and the engine is not held" in report.headline
    assert sim.now - begun < 120


def test_two_writes_of_somebody_before_ours_was_read_back_are_adopted(sim: SimSwarm) -> None:
    """The engine leaves out what is unset: that is no change of anybody's."""

    def twice() -> None:
        sim.scale(NAME, 4)
        sim.update_service(NAME, lambda spec: spec.with_label("team", "web"))

    sim.at(lambda: sim.service(NAME).spec.image == "app:2", twice)
    report = sim.connect().update(NAME, image="app:2", check=False)
    assert "completed" == report.outcome
    assert 4 == sim.service(NAME).spec.replicas
    assert {"Mode.Replicated.Replicas", "Labels.team"} <= {
        text.split()[1].rstrip(":") for text in report.adopted
    }


def test_a_lease_is_not_lost_to_an_old_answer(sim: SimSwarm) -> None:
    """A manager that lags behind tells of the time before it was taken."""
    swarm = sim.connect()
    swarm.update(NAME, image="app:2")
    calls = sim.faults.asked["ConfigInspect"]
    swarm.update(NAME, image="app:1")
    for after in range(sim.faults.asked["ConfigInspect"] - calls):
        sim.fail_next("ConfigInspect", "stale-read", after=after)
        image = ("app:2", "app:1")[after % 2]
        assert "completed" == swarm.update(NAME, image=image).outcome


def test_a_part_that_is_in_the_way_of_itself_only_if_it_is_there(sim: SimSwarm) -> None:
    """A conflict is believed when what it tells of can be read."""
    drawer = ConfigDrawer(sim.engine())
    sim.fail_next("ConfigCreate", 409)
    with pytest.raises(Conflict):
        drawer.put("service", "part", b"data")
    drawer.put("service", "part", b"data")
    drawer.put("service", "part", b"data")
    assert b"data" == drawer.get("service", "part")


def test_a_wave_does_not_wait_for_a_task_whose_node_is_lost() -> None:
    """The engine does, for ever; it is told to go on."""
    with SimSwarm(nodes=5, seed=7) as sim:
        sim.image("app:2", starts_in=3.0)
        sim.create_service(NAME, image="app:1", replicas=4)

        def coming_up() -> list[str]:
            return [
                task.node_id
                for task in sim.tasks(NAME)
                if task.image == "app:2"
                and task.state is TaskState.STARTING
                and not sim.store.nodes[task.node_id].leader
            ]

        sim.at(lambda: bool(coming_up()), lambda: sim.node(coming_up()[0]).down())
        canary = Canary(steps=[Step(tasks=3, hold=1)], monitor=1)
        report = sim.connect().update(NAME, image="app:2", strategy=canary, check=False)
        assert "completed" == report.outcome
        assert any("waits for a task whose node is lost" in note for note in report.notes)
