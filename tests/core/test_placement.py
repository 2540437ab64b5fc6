"""A spec without placement can kill a manager, where a task differs from it in that alone."""

from __future__ import annotations

import attrs

from swarmroll.core.placement import has_placement
from swarmroll.core.plan import Plan, Policy, baseline_of, make_plan
from swarmroll.core.snapshot import TaskState
from swarmroll.core.spec import ServiceSpec
from swarmroll.core.strategy import Rolling

from .histories import nodes, running, service, spec, task

BARE = spec("app:1", 2).without_path("TaskTemplate.Placement")
PLACED = BARE.with_constraints(["node.role == worker"])


def plan(live: ServiceSpec, target: ServiceSpec, *dead: ServiceSpec) -> Plan:
    """A plan for a service whose slots run the live spec, with dead tasks of other specs."""
    past = tuple(
        attrs.evolve(task(f"d{i}", 1, old), state=TaskState.FAILED, desired=TaskState.SHUTDOWN)
        for i, old in enumerate(dead)
    )
    tasks = (*running(live), *past)
    found = service(live)
    return make_plan(
        rollout_id="r1",
        service=found,
        target=target,
        strategy=Rolling(),
        tasks=tasks,
        nodes=nodes(),
        baseline=baseline_of(found, tasks, nodes(), 1e9),
        policy=Policy(),
    )


def test_a_placement_that_is_taken_away_leaves_an_empty_one() -> None:
    """Tasks that differ in nothing else are there."""
    made = plan(PLACED, BARE)
    assert {} == made.target.to_engine()["TaskTemplate"]["Placement"]


def test_a_release_without_placement_stays_so_where_no_task_ever_had_one() -> None:
    """An image alone changes one leaf."""
    made = plan(BARE, BARE.with_image("app:2"))
    assert not has_placement(made.target.template)
    assert made.baseline == BARE


def test_a_dead_task_with_a_placement_is_enough() -> None:
    """Listing up-to-date tasks compares the dead ones, too."""
    made = plan(BARE, BARE.with_image("app:2"), PLACED.with_image("app:2"))
    assert has_placement(made.target.template)


def test_going_back_to_a_spec_without_placement_is_not_left_to_the_engine() -> None:
    """It would restore the spec as it was; the rollout puts it back with an empty placement."""
    made = plan(BARE, PLACED)
    assert made.baseline is not None
    assert has_placement(made.baseline.template)
    assert "pause" == made.target.effective_update_config.failure_action
    assert ["no-unattended-rollback"] == [finding.code for finding in made.findings]


def test_an_unchanged_spec_without_placement_is_not_written() -> None:
    """There is nothing to guard where nothing is written."""
    assert plan(BARE, BARE, PLACED).steps == ()
