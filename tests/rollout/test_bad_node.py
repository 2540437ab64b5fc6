"""Bad node or bad release? Failures on one node, while others run the release well."""

from __future__ import annotations

import pytest

from swarmroll import PlanError, Rolling
from swarmroll.sim import SimSwarm

from .conftest import Story


@pytest.fixture
def spread(sim: SimSwarm, web: Story) -> Story:
    """Three slots on three nodes, of which one cannot run the release."""
    sim.image("app:2", on_nodes=["node-2"], crashes_after=0.5, exit_code=9)
    return web.service(6)


def test_a_node_that_fails_alone_is_named(spread: Story) -> None:
    """The verdict is a failure, and says where to look."""
    report = spread.roll(strategy=Rolling(monitor=2.0, parallelism=2, max_failure_ratio=0.2))
    assert "rolled_back" == report.outcome
    assert "only on node node-2" in report.headline
    assert "the node may be bad" in report.headline


def test_a_release_that_fails_on_every_node_is_the_releases_fault(web: Story) -> None:
    """Nobody runs it well."""
    web.service(3)
    report = web.roll(image="crash:1", strategy=Rolling(parallelism=3), on_bad_node="wait")
    assert "rolled_back" == report.outcome
    assert "only on node" not in report.headline


def test_its_slots_are_waited_for_elsewhere_where_that_is_asked(
    sim: SimSwarm, spread: Story
) -> None:
    """The scheduler turns away from the node after some failures."""
    sim.at(lambda: sim.now > 60, sim.node("node-2").drain)
    report = spread.roll(
        strategy=Rolling(monitor=2.0, parallelism=3), on_bad_node="wait", deadline="5m"
    )
    assert "completed" == report.outcome
    assert ["app:2"] * 6 == spread.running()
    assert {"node-2"} == {evidence.node for evidence in report.failures}
    assert {"node-1", "node-3"} == {proof.node for proof in report.slots}


def test_waiting_ends_with_the_deadline(sim: SimSwarm, web: Story) -> None:
    """The slot has nowhere else to go."""
    sim.image("app:2", on_nodes=["node-2"], crashes_after=0.5)
    web.service(mode="global")
    report = web.roll(
        strategy=Rolling(monitor=2.0, parallelism=3), on_bad_node="wait", deadline="90s"
    )
    assert "rolled_back" == report.outcome
    assert "no further slot converged within 1m30s" in report.headline
    assert ["app:1"] * 3 == web.running()


def test_what_to_do_must_be_a_word_that_is_known(web: Story) -> None:
    """Before anything is written."""
    web.service(1)
    with pytest.raises(PlanError, match="on_bad_node must be 'fail' or 'wait', got 'perhaps'"):
        web.roll(on_bad_node="perhaps")


def test_the_plan_says_what_waiting_costs(web: Story) -> None:
    """The engine alone could not tell one from the other."""
    web.service(3)
    plan = web.swarm.plan("web", image="app:2", on_bad_node="wait")
    assert "pause" == plan.steps[0].spec.effective_update_config.failure_action
    assert "no-unattended-rollback" in {finding.code for finding in plan.findings}
    assert "wait" == plan.to_dict()["on_bad_node"]
