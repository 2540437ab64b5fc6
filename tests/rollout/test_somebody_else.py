"""What others write in the middle is adopted or respected, and never overwritten."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from swarmroll import PlanError, Rolling
from swarmroll.sim import SimSwarm

from .conftest import Story, just_before_write, phases, why

Misfortune = Callable[[SimSwarm], None]


def half_way(web: Story) -> Callable[[], bool]:
    return lambda: web.rolling() == 2


def label(sim: SimSwarm, key: str = "owner", value: str = "me") -> None:
    sim.update_service("web", lambda spec: spec.with_label(key, value))


# --- adopted


@pytest.mark.parametrize("wanted", [1, 3, 6])
def test_somebody_elses_scaling_is_adopted(sim: SimSwarm, web: Story, wanted: int) -> None:
    """Their number stays, our image goes on, and the report tells of it."""
    web.service(4)
    sim.at(half_way(web), lambda: sim.scale("web", wanted))
    report = web.roll()
    assert report.outcome == "completed"
    assert web.running() == ["app:2"] * wanted
    assert any("Replicas" in change for change in report.adopted)


def test_somebody_elses_label_is_adopted(sim: SimSwarm, web: Story) -> None:
    """It is still there in the end."""
    web.service(4)
    sim.at(half_way(web), lambda: label(sim))
    report = web.roll()
    assert report.outcome == "completed"
    assert web.spec.labels["owner"] == "me"
    assert report.adopted == ('+ Labels.owner: absent -> "me"',)


def test_somebody_elses_label_and_number_survive_the_way_back(sim: SimSwarm, web: Story) -> None:
    """The old image comes back, with what they changed."""
    sim.image("late:1", crashes_after=8)
    web.service(4)
    sim.at(lambda: web.rolling("late:1") == 2, lambda: sim.scale("web", 5))
    sim.at(lambda: web.rolling("late:1") == 3, lambda: label(sim))
    report = web.roll(image="late:1", strategy=Rolling(monitor=2, bake=30))
    assert report.outcome == "rolled_back"
    assert web.running() == ["app:1"] * 5
    assert web.spec.labels["owner"] == "me"
    assert web.spec.replicas == 5


def test_what_the_engine_restores_after_somebody_scaled_is_not_the_old_release(
    sim: SimSwarm, web: Story
) -> None:
    """Its previous spec is the bad one then; the old release is put back all the same."""
    sim.image("bad:1", crashes_after=3)
    web.service(4)
    sim.at(lambda: web.spec.image == "bad:1", lambda: sim.scale("web", 5))
    report = web.roll(image="bad:1")
    assert report.outcome == "rolled_back"
    assert report.rolled_back_by == "swarmroll"
    assert web.running() == ["app:1"] * 5


def test_a_rollout_label_that_somebody_removes_is_let_go(sim: SimSwarm, web: Story) -> None:
    """It is only a label, as others are."""
    web.service(4)
    sim.at(
        half_way(web),
        lambda: sim.update_service("web", lambda spec: spec.without_rollout_label()),
    )
    assert web.roll().outcome == "completed"


def test_the_same_spec_posted_again_by_somebody_changes_nothing(sim: SimSwarm, web: Story) -> None:
    """The engine then never says completed (F 1.12); the tasks say it."""
    web.service(4)
    sim.at(half_way(web), lambda: sim.update_service("web"))
    report = web.roll()
    assert report.outcome == "completed"
    assert report.adopted == ()


def test_scaling_just_before_we_put_the_old_spec_back_is_adopted(sim: SimSwarm, web: Story) -> None:
    """The write that comes too late is made again on top of theirs."""
    web.service(4, rollback={"parallelism": 0})
    scale = just_before_write("failures_exceeded", lambda: sim.scale("web", 5))
    report = web.roll(image="crash:1", observers=[scale])
    assert report.outcome == "rolled_back"
    assert web.running() == ["app:1"] * 5


def test_a_second_step_that_comes_too_late_is_written_again(sim: SimSwarm, web: Story) -> None:
    """Nothing is called done whose write never came through."""
    web.service(4)
    relabel = just_before_write("step_converged", lambda: label(sim))
    report = web.roll(lambda spec: spec.with_image("app:2").with_replicas(5), observers=[relabel])
    assert report.outcome == "completed"
    assert web.running() == ["app:2"] * 5
    assert web.spec.labels["owner"] == "me"
    assert len(report.adopted) == 1


def test_the_engines_rollback_may_come_just_before_ours(sim: SimSwarm, web: Story) -> None:
    """Then it is followed; the old spec is not written over itself."""
    sim.image("late:1", crashes_after=4)
    web.service(4)
    acts = just_before_write("rollback_asked", lambda: sim.run(8))
    with web.starting(acts, image="late:1") as rollout:
        sim.at(lambda: web.rolling("late:1") == 1, lambda: rollout.abort(rollback=True))
    report = rollout.wait(30, check=False)
    assert phases(report)[-3:] == ["rolling_back", "restoring", "aborted"]
    assert report.rolled_back_by == "engine"
    assert web.writes() == 1
    assert web.running() == ["app:1"] * 4


# --- not adopted


def test_scaling_is_not_adopted_if_so_asked(sim: SimSwarm, web: Story) -> None:
    """on_foreign="stop" ends the rollout."""
    web.service(4)
    sim.at(half_way(web), lambda: sim.scale("web", 5))
    report = web.roll(on_foreign="stop")
    assert report.outcome == "superseded"
    assert "Mode.Replicated.Replicas" in why(report, "superseded")
    assert web.writes() == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda sim: sim.update_service("web", image="app:3"),
        lambda sim: sim.update_service("web", lambda spec: spec.with_env(A="1")),
        lambda sim: sim.update_service("web", lambda spec: spec.with_env(A="1").with_replicas(7)),
        lambda sim: sim.update_service(
            "web", lambda spec: spec.with_path("UpdateConfig.Parallelism", 7)
        ),
    ],
    ids=["image", "env", "env and replicas", "update config"],
)
def test_any_other_write_ends_the_rollout(sim: SimSwarm, web: Story, change: Misfortune) -> None:
    """Nothing of theirs is overwritten; the report names the fields and what runs now."""
    sim.image("app:3")
    web.service(4)
    sim.at(half_way(web), lambda: change(sim))
    report = web.roll()
    assert report.outcome == "superseded"
    assert report.exit_code == 7
    assert "it now runs" in why(report, "superseded")
    assert web.writes() == 1


@pytest.mark.parametrize("order", ["stop-first", "start-first"])
def test_a_persons_rollback_ends_the_rollout(sim: SimSwarm, web: Story, order: str) -> None:
    """Somebody said ``docker service rollback``: that is theirs, not the engine's."""
    web.service(4)
    sim.at(half_way(web), lambda: sim.rollback_service("web"))
    report = web.roll(strategy=Rolling(order=order))
    assert report.outcome == "superseded"
    assert web.writes() == 1


def test_a_persons_rollback_of_a_label_ends_the_rollout_too(sim: SimSwarm, web: Story) -> None:
    """What they undid is not called complete."""
    web.service(2)
    sim.at(lambda: web.writes() == 1, lambda: sim.rollback_service("web"))
    report = web.roll(lambda spec: spec.with_label("team", "web"))
    assert report.outcome == "superseded"
    assert "team" not in web.spec.labels


def test_a_foreign_image_on_the_way_back_ends_the_rollout(sim: SimSwarm, web: Story) -> None:
    """Also then nothing is overwritten."""
    sim.image("app:3")
    web.service(3)
    sim.at(
        lambda: sim.update_states("web")[-1][1] == "rollback_started",
        lambda: sim.update_service("web", image="app:3"),
    )
    report = web.roll(image="crash:1")
    assert report.outcome == "superseded"
    sim.settle()
    assert web.running() == ["app:3"] * 3


def test_a_service_that_is_removed_ends_the_rollout(sim: SimSwarm, web: Story) -> None:
    """There is nothing left to roll."""
    web.service(4)
    sim.at(half_way(web), lambda: sim.remove_service("web"))
    report = web.swarm.update("web", image="app:2", check=False)
    assert report.outcome == "service_gone"
    assert report.exit_code == 7


# --- at the beginning


def test_another_update_in_progress_is_waited_for(sim: SimSwarm, web: Story) -> None:
    """Then ours is planned and begins, with theirs as what is put back; theirs is not cut off."""
    sim.image("app:0")
    web.service(3)
    sim.update_service("web", lambda spec: spec.with_label("theirs", "yes").with_image("app:0"))
    sim.run(1)
    report = web.roll()
    assert report.outcome == "completed"
    states = [state for _, state in sim.update_states("web")]
    assert [state for state in states if state == "completed"] == ["completed"] * 2
    assert web.spec.labels["theirs"] == "yes"
    assert report.baseline is not None
    assert report.baseline.image == "app:0"


def test_another_update_that_never_ends_refuses_ours(sim: SimSwarm, web: Story) -> None:
    """After the deadline, and without a write."""
    web.service(3)
    sim.image("stuck:1", healthcheck=True, healthy_after=None)
    sim.update_service("web", image="stuck:1")
    sim.run(1)
    report = web.roll(deadline="1m")
    assert report.outcome == "refused"
    assert "update-in-progress" in report.headline


def test_another_update_that_pauses_meanwhile_refuses_ours(sim: SimSwarm, web: Story) -> None:
    """What stands paused is not rolled over without being allowed to."""
    web.service(3)
    sim.update_service("web", image="crash:1")
    sim.run(1)
    report = web.roll()
    assert report.outcome == "refused"
    assert "stands paused" in report.headline


def test_a_paused_update_refuses_ours(sim: SimSwarm, web: Story) -> None:
    """With the engine's own words."""
    web.service(3)
    sim.update_service("web", image="crash:1")
    sim.run(30)
    report = web.roll()
    assert report.outcome == "refused"
    assert report.exit_code == 3
    assert "update-paused" in [finding.code for finding in report.findings]


def test_a_paused_update_is_rolled_over_when_allowed(sim: SimSwarm, web: Story) -> None:
    """It is what the caller wants."""
    web.service(3)
    sim.update_service("web", image="crash:1")
    sim.run(30)
    report = web.roll(allow=["update-paused"])
    assert report.outcome == "completed"
    assert web.running() == ["app:2"] * 3


def test_a_stale_plan_is_refused(sim: SimSwarm, web: Story) -> None:
    """It was made for another version, and says which fields changed."""
    web.service(3)
    plan = web.swarm.plan("web", image="app:2")
    label(sim)
    rollout = web.swarm.start(plan)
    with pytest.raises(PlanError, match=r"is stale: Labels\.owner changed since"):
        rollout.wait(30)
    assert web.writes() == 0


def test_a_write_that_comes_just_before_ours_is_planned_upon(sim: SimSwarm, web: Story) -> None:
    """The engine refuses our version; what was asked for is planned again, on top of theirs."""
    web.service(3)
    report = web.roll(observers=[just_before_write("ready", lambda: label(sim))])
    assert report.outcome == "completed"
    assert web.spec.labels["owner"]
    assert web.writes() == 1


def test_a_write_that_comes_just_before_ours_makes_a_given_plan_stale(
    sim: SimSwarm, web: Story
) -> None:
    """A plan that somebody has read is not made again behind their back; nothing was written."""
    web.service(3)
    plan = web.swarm.plan("web", image="app:2")
    observers = [just_before_write("ready", lambda: label(sim))]
    report = web.swarm.start(plan, observers=observers).wait(30, check=False)
    assert report.outcome == "refused"
    assert "stale" in report.headline
    assert phases(report)[-2:] == ["updating", "refused"]
    assert web.writes() == 0


def test_tasks_that_somebody_elses_scaling_adds_are_watched(sim: SimSwarm, web: Story) -> None:
    """Also where our own change restarts nothing, and would be proven at once."""
    sim.image("app:1", on_slots=[3], crashes_after=2.0)
    web.service(2)
    scale = just_before_write("ready", lambda: sim.after(0.0039, lambda: sim.scale("web", 3)))
    report = web.roll(lambda spec: spec.with_label("team", "web"), observers=[scale])
    assert report.outcome == "rolled_back"
    assert report.failures[0].slot == 3
