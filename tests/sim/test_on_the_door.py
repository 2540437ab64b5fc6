"""swarmroll itself through the served door: the very client that meets real engines."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import swarmroll
from swarmroll.sim import SimSwarm

FAST = swarmroll.Rolling(parallelism=1, delay=0, monitor=1)


@pytest.fixture(params=["unix", "tcp"])
def swarm(served: SimSwarm, request: pytest.FixtureRequest) -> Iterator[swarmroll.Swarm]:
    served.create_service("web", image="app:1", replicas=3)
    url = served.url if request.param == "unix" else served.tcp_url
    with swarmroll.connect(url, heartbeat=0.05) as found:
        yield found


def images(sim: SimSwarm) -> list[str]:
    return [task.image.partition("@")[0] for task in sim.tasks("web") if task.running]


def test_a_good_release_completes(served: SimSwarm, swarm: swarmroll.Swarm) -> None:
    """Pinned to its digest, and proven."""
    report = swarm.update("web", image="app:2", strategy=FAST)
    assert report.ok
    assert images(served) == ["app:2"] * 3
    assert {slot.image for slot in report.slots} == {f"app:2@sha256:{'2' * 64}"}


def test_a_bad_release_is_rolled_back(served: SimSwarm, swarm: swarmroll.Swarm) -> None:
    """And raised, with evidence."""
    with pytest.raises(swarmroll.RolledBack) as e:
        swarm.update("web", image="bad:1", strategy=FAST)
    assert e.value.report.failures
    assert images(served) == ["app:1"] * 3


def test_what_is_read_is_what_was_stored(served: SimSwarm, swarm: swarmroll.Swarm) -> None:
    """The served door and the one in process tell the same."""
    here, there = served.service("web"), swarm.service("web")
    assert there.spec == here.spec
    assert there.version == here.version
    nodes = {node.hostname: node.role for node in swarm.nodes()}
    assert nodes == {"node-1": "manager", "node-2": "worker", "node-3": "worker"}


@pytest.mark.parametrize(
    ("operation", "kind"),
    [
        ("ServiceUpdate", "reset-before-commit"),
        ("ServiceUpdate", "reset-after-commit"),
        ("ServiceUpdate", "500"),
        ("ServiceUpdate", "out-of-sequence"),
        ("ServiceUpdate", "truncated"),
        ("ServiceUpdate", "malformed"),
        ("ServiceInspect", "reset-before-commit"),
        ("ServiceInspect", "malformed"),
        ("TaskList", "truncated"),
        ("TaskList", "503"),
        ("TaskList", "stale-read"),
        ("NodeList", "500"),
        ("SystemEvents", "reset-before-commit"),
        ("DistributionInspect", "500"),
    ],
)
def test_a_rollout_survives(served: SimSwarm, operation: str, kind: str) -> None:
    """One misfortune on the wire, and the release is made all the same."""
    served.create_service("web", image="app:1", replicas=3)
    with swarmroll.connect(served.url, heartbeat=0.05) as swarm:
        served.fail_next(operation, kind)
        report = swarm.update("web", image="app:2", strategy=FAST)
    assert report.ok
    assert images(served) == ["app:2"] * 3


def test_a_change_of_leader_in_the_middle_is_survived() -> None:
    """Requests hang and are refused, and the release is made all the same."""
    with SimSwarm(nodes=3, managers=3, serve=True, speed=50) as sim:
        sim.create_service("web", image="app:1", replicas=4)
        sim.image("app:2")
        with swarmroll.connect(sim.url, heartbeat=0.05) as swarm:
            done = lambda: sim.update_states("web")[-1][1] == "updating"  # noqa: E731
            sim.at(done, lambda: sim.after(2.0, lambda: sim.change_leader(election=5.0)))
            assert swarm.update("web", image="app:2", strategy=FAST).ok


def test_a_node_that_was_lost_before_is_no_hindrance(
    served: SimSwarm, swarm: swarmroll.Swarm
) -> None:
    """What ran on it runs elsewhere by then."""
    served.node("node-3").down()
    served.run(60)
    assert swarm.update("web", image="app:2", strategy=FAST).ok
    assert images(served).count("app:2") == 3
