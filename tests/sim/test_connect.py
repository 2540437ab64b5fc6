"""An ordinary ``Swarm`` on a simulated one."""

from __future__ import annotations

import pytest

import swarmroll
from swarmroll.sim import SimSwarm


def test_a_good_release_completes(sim: SimSwarm) -> None:
    """In virtual time, as it would on a real swarm."""
    sim.create_service("web", image="app:1", replicas=3)
    report = sim.connect().update("web", image="app:2")
    assert report.ok
    assert [task.image for task in sim.tasks("web") if task.running] == ["app:2"] * 3


def test_a_bad_release_is_rolled_back(sim: SimSwarm) -> None:
    """And raised."""
    sim.create_service("web", image="app:1", replicas=3)
    with pytest.raises(swarmroll.RolledBack):
        sim.connect().update("web", image="bad:1")
    assert [task.image for task in sim.tasks("web") if task.running] == ["app:1"] * 3


def test_two_connections_share_their_journal(sim: SimSwarm) -> None:
    """What one rolled, the other has on record."""
    sim.create_service("web", image="app:1")
    sim.connect().update("web", image="app:2")
    assert len(sim.connect().history("web")) == 1


def test_a_rollout_in_the_background_moves_time_by_itself(sim: SimSwarm) -> None:
    """Calls from several threads are let in one by one."""
    sim.create_service("web", image="app:1", replicas=3)
    swarm = sim.connect()
    rollout = swarm.start(swarm.plan("web", image="app:2"))
    assert rollout.wait(30).ok


def _history(seed: int) -> list[str]:
    with SimSwarm(seed=seed) as sim:
        sim.image("bad:1", crashes_after=1.0)
        sim.create_service("web", image="app:1", replicas=4)
        sim.connect().update("web", image="bad:1", check=False)
        return [str(line).replace("swarmroll", "") for line in sim.trace]


def test_whole_rollouts_repeat_for_the_same_seed() -> None:
    """To the last line of the trace."""
    assert _history(3) == _history(3)
