"""Services and changes of every shape: how many writes, what restarts, what is proven."""

from __future__ import annotations

import pytest

from swarmroll import PlanError, Rolling, ServiceSpec
from swarmroll.sim import SimSwarm

from .conftest import Story, phases


def tasks_of(web: Story) -> set[str]:
    return {task.id for task in web.tasks() if task.runnable}


def test_one_replica(web: Story) -> None:
    """The smallest service rolls as any other."""
    web.service(1)
    assert web.roll().outcome == "completed"
    assert web.running() == ["app:2"]


def test_one_replica_that_crashes(web: Story) -> None:
    """And goes back as any other."""
    web.service(1)
    assert web.roll(image="crash:1").outcome == "rolled_back"
    assert web.running() == ["app:1"]


def test_no_replica(sim: SimSwarm, web: Story) -> None:
    """Nothing runs, nothing is watched, and the spec is written."""
    web.service(0)
    begun = sim.now
    report = web.roll()
    assert report.outcome == "completed"
    assert report.slots == ()
    assert web.spec.image == "app:2"
    assert sim.now - begun < 2


def test_many_replicas(web: Story) -> None:
    """A hundred slots, a quarter at a time."""
    web.service(100)
    assert web.roll(strategy=Rolling(parallelism="25%")).outcome == "completed"
    assert web.running() == ["app:2"] * 100


# --- unchanged


def test_an_unchanged_spec_is_not_written(web: Story) -> None:
    """And is proven, slot by slot."""
    web.service(3)
    version = web.sim.service("web").version
    report = web.roll(image="app:1")
    assert phases(report) == ["preparing", "unchanged"]
    assert web.writes() == 0
    assert web.sim.service("web").version == version
    assert len(report.slots) == 3


def test_an_unchanged_spec_is_not_called_so_while_a_slot_crashes(sim: SimSwarm, web: Story) -> None:
    """The right spec with a broken task is no success."""
    sim.image("app:1", on_slots=[2], crashes_after=2)
    web.service(3)
    sim.run(60)
    report = web.roll(image="app:1", deadline="1m")
    assert report.outcome == "refused"
    assert "slot 2" in report.headline


def test_a_finished_update_proves_nothing_of_a_task_made_in_its_last_moments(
    sim: SimSwarm, web: Story
) -> None:
    """A task that came up again just before the engine said completed is watched by us."""
    sim.image("odd:1", on_slots=[1], crashes_after=3.5)
    web.service(2, update={"parallelism": 0, "failure_action": "continue", "monitor": 5})
    sim.update_service("web", image="odd:1")
    sim.run_until(lambda: web.sim.update_states("web")[-1][1] == "completed", 60)
    sim.run_until(lambda: web.rolling("odd:1") == 2, 60)
    report = web.roll(image="odd:1", deadline="1m")
    assert report.outcome == "refused"


def test_only_the_strategy_is_no_change(web: Story) -> None:
    """To ask for another pace, and for nothing else, writes nothing."""
    web.service(3)
    assert web.roll(image="app:1", strategy=Rolling(parallelism=3)).outcome == "unchanged"


# --- what restarts nothing


def test_a_label_restarts_nothing(web: Story) -> None:
    """One write, no task touched, and no waiting for a monitor."""
    web.service(3)
    before, begun = tasks_of(web), web.sim.now
    report = web.roll(lambda spec: spec.with_label("team", "web"))
    assert report.outcome == "completed"
    assert tasks_of(web) == before
    assert web.writes() == 1
    assert web.sim.now - begun < 2
    assert {slot.proven_by for slot in report.slots} == {"running"}


def test_an_update_config_alone_restarts_nothing(web: Story) -> None:
    """And is written as it was asked for, whatever our own policy would be."""
    web.service(3)
    before = tasks_of(web)

    def change(spec: ServiceSpec) -> ServiceSpec:
        return spec.with_path("UpdateConfig", {"Parallelism": 3, "FailureAction": "continue"})

    assert web.roll(change).outcome == "completed"
    assert tasks_of(web) == before
    assert web.spec.update_config.failure_action == "continue"
    assert web.spec.update_config.parallelism == 3


def test_a_placement_that_is_met_restarts_nothing(web: Story) -> None:
    """The plan knows which slots stay."""
    web.service(3)
    before = tasks_of(web)
    change = lambda spec: spec.with_placement(constraints=["node.platform.os != windows"])  # noqa: E731
    assert web.swarm.plan("web", change).restarts == ()
    assert web.roll(change).outcome == "completed"
    assert tasks_of(web) == before


def test_a_placement_that_some_do_not_meet_moves_those(sim: SimSwarm, web: Story) -> None:
    """The others are not touched."""
    web.service(3)
    elsewhere = {t.slot for t in web.tasks() if t.node_id != sim.service("web").id}
    assert elsewhere
    sim.node("node-1").label(disk="hdd")

    def change(spec: ServiceSpec) -> ServiceSpec:
        return spec.with_placement(constraints=["node.labels.disk != hdd"])

    plan = web.swarm.plan("web", change)
    assert len(plan.restarts) == 1
    before = tasks_of(web)
    assert web.roll(change).outcome == "completed"
    assert len(before - tasks_of(web)) == 1


# --- scaling


@pytest.mark.parametrize(("was", "wanted"), [(2, 5), (5, 2), (0, 3), (3, 0)])
def test_scaling_alone_is_one_write(web: Story, was: int, wanted: int) -> None:
    """No task that stays is touched."""
    web.service(was)
    before = tasks_of(web)
    report = web.roll(lambda spec: spec.with_replicas(wanted))
    assert report.outcome == "completed"
    assert len(report.slots) == wanted
    assert web.writes() == 1
    assert len(before & tasks_of(web)) == min(was, wanted)


@pytest.mark.parametrize(
    ("was", "wanted", "writes"), [(2, 5, 2), (5, 2, 2), (0, 3, 2), (3, 0, 2), (3, 3, 1)]
)
def test_a_new_image_and_another_number_never_go_in_one_write(
    web: Story, was: int, wanted: int, writes: int
) -> None:
    """Up before it, down after it; from nothing and to nothing in its own way."""
    web.service(was)
    report = web.roll(lambda spec: spec.with_image("app:2").with_replicas(wanted))
    assert report.outcome == "completed"
    assert web.running() == ["app:2"] * wanted
    assert web.writes() == writes
    assert web.spec.image == "app:2"


def test_a_release_with_more_replicas_that_crashes_goes_back_to_fewer(web: Story) -> None:
    """The number is restored too, since this rollout changed it."""
    web.service(2)
    report = web.roll(lambda spec: spec.with_image("crash:1").with_replicas(4))
    assert report.outcome == "rolled_back"
    assert web.running() == ["app:1"] * 2
    assert web.spec.replicas == 2


def test_a_release_with_fewer_replicas_that_crashes_keeps_them_all(web: Story) -> None:
    """Scaling down comes last, so nothing is lost."""
    web.service(4)
    report = web.roll(lambda spec: spec.with_image("crash:1").with_replicas(2))
    assert report.outcome == "rolled_back"
    assert web.running() == ["app:1"] * 4


def test_a_release_from_nothing_that_crashes_goes_back_to_nothing(web: Story) -> None:
    """No old task is started that nobody asked for."""
    web.service(0)
    report = web.roll(lambda spec: spec.with_image("crash:1").with_replicas(3))
    assert report.outcome == "rolled_back"
    web.sim.settle()
    assert web.running() == []
    assert (web.spec.image, web.spec.replicas) == ("app:1", 0)


def test_tasks_that_scaling_adds_are_watched_by_us(sim: SimSwarm, web: Story) -> None:
    """The engine does not watch them (F 1.11)."""
    sim.image("app:1", on_slots=[3], crashes_after=2.0)
    web.service(2)
    report = web.roll(lambda spec: spec.with_replicas(3))
    assert report.outcome == "rolled_back"
    assert web.running() == ["app:1"] * 2


# --- placement and endpoint


def test_placement_and_endpoint_never_go_in_one_write(web: Story) -> None:
    """Together they would restart nothing, and leave tasks with the old endpoint (F 1.1)."""
    web.service(3)
    before = tasks_of(web)

    def change(spec: ServiceSpec) -> ServiceSpec:
        placed = spec.with_placement(constraints=["node.platform.os != windows"])
        return placed.with_path("EndpointSpec", {"Mode": "dnsrr"})

    report = web.roll(change)
    assert report.outcome == "completed"
    assert web.writes() == 2
    assert not before & tasks_of(web)


def test_an_endpoint_is_proven_by_tasks_made_for_it(web: Story) -> None:
    """No task shows its endpoint; only one made after our write counts."""
    web.service(2)
    before = tasks_of(web)
    report = web.roll(lambda spec: spec.with_path("EndpointSpec", {"Mode": "dnsrr"}))
    assert report.outcome == "completed"
    assert not before & {slot.task_id for slot in report.slots}


def test_what_the_engine_fills_in_of_an_endpoint_is_no_change(web: Story) -> None:
    """The ports come first, without a mode, which the engine fills in; then the placement."""
    web.service(3)
    report = web.roll(
        lambda spec: spec.with_constraints(["node.role == worker"]).with_path(
            "EndpointSpec", {"Ports": [{"TargetPort": 80, "PublishedPort": 8080}]}
        )
    )
    assert "completed" == report.outcome
    assert {"node-2", "node-3"} == {proof.node for proof in report.slots}


def test_an_endpoint_reaches_tasks_whose_placement_is_an_older_one(web: Story) -> None:
    """The engine takes those for up to date whatever their endpoint (F 1.1): they are forced."""
    web.service(2)
    web.roll(lambda spec: spec.with_placement(constraints=["node.platform.os != windows"]))
    before = tasks_of(web)
    report = web.roll(lambda spec: spec.with_path("EndpointSpec", {"Mode": "dnsrr"}))
    assert report.outcome == "completed"
    assert not before & tasks_of(web)
    assert web.spec.force_update == 1


# --- converging


def test_mixed_slots_are_made_one_again(sim: SimSwarm, web: Story) -> None:
    """The spec is the one asked for, but two slots run another: that is not "unchanged"."""
    web.service(4)
    sim.update_service("web", image="crash:1")
    sim.run_until(lambda: sim.update_states("web")[-1][1] == "paused", 60)
    sim.image("crash:1")
    report = web.roll(image="crash:1", allow="update-paused")
    assert report.outcome == "completed"
    assert web.running() == ["crash:1"] * 4
    assert report.plan.steps[0].name == "converge"


def test_dead_slots_are_revived(sim: SimSwarm, web: Story) -> None:
    """With restart policy none nothing else would."""
    web.service(3, restart={"condition": "none"})
    sim.kill_container("web", 2)
    sim.settle()
    assert len(web.running()) == 2
    report = web.roll(image="app:1")
    assert report.outcome == "completed"
    assert web.running() == ["app:1"] * 3


# --- global services


def test_a_global_service_rolls_on_every_node(web: Story) -> None:
    """Its slots are the nodes."""
    web.service(mode="global")
    report = web.roll()
    assert report.outcome == "completed"
    assert web.running() == ["app:2"] * 3
    assert sorted(slot.node for slot in report.slots) == ["node-1", "node-2", "node-3"]


def test_a_global_service_that_crashes_goes_back(web: Story) -> None:
    """The culprit's slot is its node."""
    web.service(mode="global")
    report = web.roll(image="crash:1")
    assert report.outcome == "rolled_back"
    assert web.running() == ["app:1"] * 3


def test_a_paused_node_is_not_waited_for(sim: SimSwarm, web: Story) -> None:
    """It keeps its old task, and the report lists it as not rolled."""
    web.service(mode="global")
    sim.node("node-2").pause()
    report = web.roll()
    assert report.outcome == "completed"
    assert report.skipped == ("node-2",)
    assert sorted(web.running()) == ["app:1", "app:2", "app:2"]


def test_a_drained_node_is_no_slot(sim: SimSwarm, web: Story) -> None:
    """Nothing runs there, and nothing should."""
    web.service(mode="global")
    sim.node("node-2").drain()
    sim.settle()
    report = web.roll()
    assert report.outcome == "completed"
    assert len(report.slots) == 2


def test_a_node_that_joins_in_the_middle_is_adopted(sim: SimSwarm, web: Story) -> None:
    """Its task is made outside the engine's update, and watched by us."""
    web.service(mode="global")
    sim.at(lambda: web.rolling() == 1, sim.add_node)
    report = web.roll()
    assert report.outcome == "completed"
    assert len(report.slots) == 4
    joined = next(slot for slot in report.slots if slot.node == "node-4")
    assert joined.proven_by == "watch"


def test_a_node_that_is_drained_in_the_middle_is_no_failure(sim: SimSwarm, web: Story) -> None:
    """Its task goes away, and is no longer wanted."""
    web.service(mode="global", rollback={"parallelism": 0})
    sim.at(lambda: web.rolling() == 3, lambda: sim.node("node-3").drain())
    report = web.roll(strategy=Rolling(monitor=20))
    assert report.outcome == "completed"
    assert len(report.slots) == 2
    assert not report.failures


# --- refused by nature


@pytest.mark.parametrize("mode", ["replicated-job", "global-job"])
def test_jobs_are_refused(web: Story, mode: str) -> None:
    """Any update would run the whole job again, even one that only labels."""
    web.service(mode=mode, replicas=1)
    with pytest.raises(PlanError, match=f"web is a {mode}: Swarm has no rolling update for jobs"):
        web.roll()
    with pytest.raises(PlanError, match="runs the whole job again"):
        web.roll(lambda spec: spec.with_label("a", "b"))
    assert web.writes() == 0
