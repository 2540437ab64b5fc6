"""
Nodes and engines that die in the middle of a good release.

In the end it is completed, or rolled back if and only if the engine itself rolled back; whatever it
is, the report says which, and every slot runs the same image.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial

import pytest

import swarmroll
from integration.lab import Cluster, Service, ServiceFactory, eventually
from integration.test_other_writers import GENTLE, begin
from swarmroll import Outcome, Report, Rolling, Swarm

Images = Callable[[str], str]


def assert_one_good_end(web: Service, report: Report) -> None:
    """Completed, or rolled back by the engine; proven either way."""
    print(report)
    assert report.outcome in {Outcome.COMPLETED, Outcome.ROLLED_BACK}
    if report.outcome is Outcome.ROLLED_BACK:
        assert report.rolled_back_by == "engine"
    else:
        assert not report.rolled_back_by
    replicas = web.declared()["Mode"]["Replicated"]["Replicas"]
    assert set(range(1, replicas + 1)) == {proof.slot for proof in report.slots}
    image = "web:2" if report.ok else "web:1"
    # The tasks of a lost node are listed as running until it is back.
    eventually(lambda: Counter({image: replicas}) == web.runs(), limit=60)


@pytest.mark.parametrize("order", ["stop-first", "start-first"])
def test_worker_that_dies_in_the_middle(
    three_nodes: Cluster, swarm: Swarm, service: ServiceFactory, images: Images, order: str
) -> None:
    """Its slots move to other nodes and are proven there."""
    web = service(replicas=3)
    strategy = Rolling(parallelism=1, delay=2, monitor=1, order=order)
    rollout = begin(swarm, web, images("web:2"), strategy)
    three_nodes.node("node3").kill()
    report = rollout.wait(180, check=False)
    assert_one_good_end(web, report)
    assert "node3" not in {proof.node for proof in report.slots}


def test_engine_of_a_worker_that_dies_in_the_middle(
    three_nodes: Cluster, swarm: Swarm, service: ServiceFactory, images: Images
) -> None:
    """Its tasks end with it, which is no fault of the release."""
    web = service(replicas=3)
    rollout = begin(swarm, web, images("web:2"), GENTLE)
    three_nodes.node("node2").kill_dockerd()
    assert_one_good_end(web, rollout.wait(180, check=False))
    eventually(three_nodes.ready, limit=60)


@pytest.mark.main_story
def test_engine_of_the_only_manager_that_dies_in_the_middle(
    three_nodes: Cluster, swarm: Swarm, service: ServiceFactory, images: Images
) -> None:
    """The rollout waits for it, looks again, and goes on."""
    web = service(replicas=3)
    rollout = begin(swarm, web, images("web:2"), GENTLE)
    three_nodes.node("node1").kill_dockerd()
    assert_one_good_end(web, rollout.wait(180, check=False))
    eventually(three_nodes.ready, limit=60)


def test_leader_that_dies_in_the_middle(
    five_nodes: Cluster, service: ServiceFactory, images: Images
) -> None:
    """Another manager takes over, and swarmroll asks it."""
    web = service(replicas=3)
    leader = five_nodes.leader()
    addresses = [node.url for node in five_nodes.managers]
    # The one that will die first in the list: the others have to be tried.
    addresses.sort(key=lambda url: url != five_nodes.node(leader).url)
    with swarmroll.connect(addresses) as swarm:
        rollout = begin(swarm, web, images("web:2"), GENTLE)
        five_nodes.node(leader).kill()
        report = rollout.wait(240, check=False)
    assert_one_good_end(web, report)
    assert leader != eventually(partial(five_nodes.leader), limit=90)
