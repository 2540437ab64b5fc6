"""A canary: so many slots and no more, watched, before the others follow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from swarmroll import Canary, PlanError, Report, Rollout, SpecError, Step
from swarmroll.core.checks import YEARS
from swarmroll.core.events import Event, Moved
from swarmroll.sim import SimSwarm

from .conftest import Story, phases, why

ONE_THEN_HALF = Canary(
    steps=[Step(tasks=1, hold="1m"), Step(tasks="50%", hold=20), Step(tasks="100%")]
)


class Waves:
    """
    What was running at each move of a rollout.

    Attributes:
        counts: Phase, and how many tasks of the release ran then.
    """

    def __init__(self, web: Story, image: str = "app:2") -> None:
        self._web, self._image = web, image
        self.counts: list[tuple[str, int]] = []
        self.handle: list[Rollout] = []
        self._at: dict[int, Callable[[], object]] = {}
        self._holds = 0

    def in_hold(self, number: int, do: Callable[[], object]) -> Waves:
        """Do something as soon as the n-th hold begins."""
        self._at[number] = do
        return self

    def __call__(self, event: Event) -> None:
        if not isinstance(event, Moved):
            return
        phase = str(event.transition.target)
        self.counts.append((phase, self._web.rolling(self._image)))
        if phase == "holding":
            self._holds += 1
            self._at.get(self._holds, lambda: None)()

    @property
    def holding(self) -> list[int]:
        """How many tasks of the release ran when each hold began."""
        return [count for phase, count in self.counts if phase == "holding"]


def roll(web: Story, waves: Waves, canary: Canary = ONE_THEN_HALF, **options: Any) -> Report:
    return web.roll(strategy=canary, observers=[waves], **options)


# --- good releases


@pytest.mark.parametrize("order", ["stop-first", "start-first"])
def test_each_wave_has_exactly_its_slots(sim: SimSwarm, web: Story, order: str) -> None:
    """One, then half, then all; and it takes the holds that were asked for."""
    web.service(6, update={"order": order, "parallelism": 2, "delay": 3.0})
    waves, begun = Waves(web), sim.now
    report = roll(web, waves)
    assert [1, 3] == waves.holding
    assert "completed" == report.outcome
    assert ["app:2"] * 6 == web.running()
    assert sim.now - begun > 80
    assert (0, 0) == (report.leaks, report.overruns)


def test_no_more_slots_than_the_wave_ever_run_the_release(sim: SimSwarm, web: Story) -> None:
    """Not even for a moment, from the first write to the end of the hold."""
    web.service(6)
    waves = Waves(web)
    most: list[int] = []
    for second in range(60):
        sim.after(second, lambda: most.append(web.rolling()))
    roll(web, waves)
    assert 1 == max(most)


def test_the_service_declares_its_own_update_config_again(web: Story) -> None:
    """What the waves wrote was only borrowed."""
    web.service(4, update={"parallelism": 2, "delay": 3.0, "failure_action": "continue"})
    before = web.spec
    report = roll(web, Waves(web))
    assert before.update_config == web.spec.update_config
    assert before.update_config == report.target.update_config
    assert "UpdateConfig" not in {change.path.partition(".")[0] for change in report.plan.diff}


def test_a_service_without_update_config_has_none_again(web: Story) -> None:
    """To the byte."""
    web.service(4)
    before = web.spec
    roll(web, Waves(web))
    assert before.with_image("app:2").same_as(web.spec)


def test_an_update_config_of_the_change_is_what_is_declared_in_the_end(web: Story) -> None:
    """It is part of what was asked for."""
    web.service(4)
    web.roll(
        lambda spec: spec.with_image("app:2").with_update_config(parallelism=3),
        strategy=ONE_THEN_HALF,
    )
    assert 3 == web.spec.effective_update_config.parallelism


def test_a_canary_may_be_told_how_the_rest_goes(web: Story) -> None:
    """All of the rest at once, each task watched for two seconds."""
    web.service(6)
    canary = Canary(steps=[Step(tasks=1)], parallelism="100%", monitor=2, order="start-first")
    plan = web.swarm.plan("web", image="app:2", strategy=canary)
    config = plan.steps[-1].spec.effective_update_config
    assert (6, 2.0, "start-first") == (config.parallelism, config.monitor, config.order)
    assert "then watch" not in str(plan)
    assert "completed" == web.swarm.update("web", image="app:2", strategy=canary).outcome


def test_a_canary_over_a_rollout_that_was_held_gives_back_a_sane_config(
    sim: SimSwarm, web: Story
) -> None:
    """What the earlier one had borrowed is not what the service declares."""
    web.service(4, update={"parallelism": 2, "delay": 3.0})
    with web.starting(strategy=ONE_THEN_HALF) as rollout:
        sim.at(lambda: rollout.phase == "holding", rollout.abort)
    assert "aborted" == rollout.wait(30, check=False).outcome
    assert web.spec.effective_update_config.delay >= YEARS
    sim.image("app:3")
    report = web.roll(image="app:3", strategy=ONE_THEN_HALF, allow="*")
    assert "completed" == report.outcome
    assert 3.0 == web.spec.effective_update_config.delay


def test_a_ramp_doubles(web: Story) -> None:
    """Until every task runs the release."""
    web.service(10)
    waves = Waves(web)
    roll(web, waves, Canary.ramp(start=1, factor=2, hold="10s"))
    assert [1, 2, 4, 8] == waves.holding


def test_waves_follow_a_scaling_up(web: Story) -> None:
    """The new replicas come with the old spec; then the waves count all of them."""
    web.service(3)
    waves = Waves(web)
    report = roll(web, waves, change=lambda s: s.with_image("app:2").with_replicas(6))
    assert [1, 3] == waves.holding
    assert "completed" == report.outcome
    assert ["app:2"] * 6 == web.running()


def test_a_global_service_rolls_in_waves_of_nodes(web: Story) -> None:
    """So many nodes run the release, and the others the old one."""
    web.service(mode="global")
    waves = Waves(web)
    report = roll(web, waves, Canary(steps=[Step(tasks=1, hold=10), Step(tasks=2, hold=10)]))
    assert [1, 2] == waves.holding
    assert "completed" == report.outcome


def test_a_wave_that_is_all_is_an_ordinary_update(web: Story) -> None:
    """One replica: there is nothing to hold back."""
    web.service(1)
    report = web.roll(strategy=ONE_THEN_HALF)
    assert "holding" not in phases(report)
    assert "completed" == report.outcome


def test_the_hold_of_the_last_step_watches_the_whole_service(sim: SimSwarm, web: Story) -> None:
    """A release that fails late is taken back even then."""
    sim.image("late:1", crashes_after=25.0)
    web.service(2)
    canary = Canary(steps=[Step(tasks=1), Step(tasks="100%", hold="1m")])
    assert "then watch 1m more" in str(web.swarm.plan("web", image="late:1", strategy=canary))
    report = web.roll(image="late:1", strategy=canary)
    assert "rolled_back" == report.outcome
    assert ["app:1"] * 2 == web.running()


def test_a_change_that_restarts_nothing_has_no_waves(web: Story) -> None:
    """A label is one write."""
    web.service(4)
    report = web.roll(lambda spec: spec.with_label("team", "blue"), strategy=ONE_THEN_HALF)
    assert ["completed", 1] == [report.outcome, web.writes()]


# --- bad releases


def test_a_canary_that_crashes_is_taken_back_by_the_engine(web: Story) -> None:
    """In the first wave the engine does so even if nobody watches."""
    web.service(6)
    waves = Waves(web, "crash:1")
    report = roll(web, waves, image="crash:1")
    assert ("rolled_back", "engine") == (report.outcome, report.rolled_back_by)
    assert 1 >= max(count for _, count in waves.counts)
    assert ["app:1"] * 6 == web.running()


def test_a_canary_that_fails_in_its_hold_is_taken_back(sim: SimSwarm, web: Story) -> None:
    """Long after the engine has stopped watching; the other slots never move."""
    sim.image("late:1", crashes_after=30.0)
    web.service(6, update={"parallelism": 2})
    before = web.spec
    waves = Waves(web, "late:1")
    report = roll(web, waves, image="late:1")
    assert ("rolled_back", "swarmroll") == (report.outcome, report.rolled_back_by)
    assert ["app:1"] * 6 == web.running()
    assert before.same_as(web.spec)
    proven = {proof.task_id for proof in report.slots if proof.proven_by == "running"}
    assert 5 == len(proven)


def test_a_later_wave_that_fails_is_taken_back_whole(sim: SimSwarm, web: Story) -> None:
    """The engine could only go back to the wave before; swarmroll puts the old spec back."""
    web.service(6)
    waves = Waves(web).in_hold(1, lambda: sim.image("app:2", crashes_after=1.0))
    report = roll(web, waves)
    assert ("rolled_back", "swarmroll") == (report.outcome, report.rolled_back_by)
    assert ["app:1"] * 6 == web.running()


def test_with_the_policy_to_pause_a_failed_wave_stands_still(sim: SimSwarm, web: Story) -> None:
    """The others stay as they are."""
    sim.image("late:1", crashes_after=30.0)
    web.service(4)
    report = roll(web, Waves(web), image="late:1", on_failure="pause")
    assert "paused" == report.outcome
    assert 3 == web.rolling("app:1")


# --- a person at the wheel


def test_a_hold_without_an_end_waits_for_promote(sim: SimSwarm, web: Story) -> None:
    """An hour later nothing has moved."""
    web.service(4)
    waves = Waves(web)
    with web.starting(waves, strategy=Canary(steps=[Step(tasks=1, hold=None)])) as rollout:
        sim.at(
            lambda: rollout.phase == "holding",
            lambda: sim.after(3600, rollout.promote),
        )
    report = rollout.wait(30)
    assert "completed" == report.outcome
    assert "promoted" in " ".join(move.reason for move in report.transitions)
    assert [1] == waves.holding
    assert sim.now > 3600


def test_update_does_not_wait_for_a_promote_that_nobody_can_give(web: Story) -> None:
    """It says what to call instead, and nothing is written."""
    web.service(4)
    with pytest.raises(PlanError, match=r"use start\(\)"):
        web.roll(strategy=Canary(steps=[Step(tasks=1, hold=None)]))
    assert 0 == web.writes()


def test_a_wave_pauses_when_it_is_done_and_resumes_without_moving_more(
    sim: SimSwarm, web: Story
) -> None:
    """Asked in the middle of a wave of two: those two, and no other."""
    web.service(6)
    canary = Canary(steps=[Step(tasks=2, hold=20)])
    waves = Waves(web)
    with web.starting(waves, strategy=canary) as rollout:
        sim.at(lambda: web.writes() == 1, rollout.pause)
    assert "paused" == rollout.wait(30, check=False).outcome
    sim.run(3600)
    assert 2 == web.rolling()
    report = rollout.resume().wait(30)
    assert "completed" == report.outcome
    assert [2] == waves.holding
    assert "when this wave is done" in " ".join(report.notes)


@pytest.mark.parametrize(("rollback", "images"), [(True, 0), (False, 1)])
def test_a_canary_can_be_aborted(sim: SimSwarm, web: Story, rollback: bool, images: int) -> None:
    """With the old spec put back, or left where it stands."""
    web.service(4)
    with web.starting(strategy=ONE_THEN_HALF) as rollout:
        sim.at(
            lambda: rollout.phase == "holding",
            lambda: rollout.abort(rollback=rollback),
        )
    assert "aborted" == rollout.wait(30, check=False).outcome
    sim.run(600)
    assert images == web.rolling()


# --- what Swarm does beside the waves


def test_a_leak_is_counted_and_told(sim: SimSwarm, web: Story) -> None:
    """An old task that dies comes back as a new one; the next wave moves one less."""
    web.service(6)

    def kill_an_old_one() -> None:
        old = next(task for task in web.tasks() if task.running and task.image == "app:1")
        sim.kill_container("web", slot=old.slot or 0)

    waves = Waves(web).in_hold(1, kill_an_old_one)
    report = roll(web, waves)
    assert (1, 0) == (report.leaks, report.overruns)
    assert [1, 3] == waves.holding
    assert "completed" == report.outcome
    assert any("leaked" in note for note in report.notes)
    assert "1 leaked" in str(report)


def test_a_leak_that_fails_takes_the_release_back(sim: SimSwarm, web: Story) -> None:
    """It is a task of the release as any other."""
    web.service(4)

    def break_and_kill() -> None:
        sim.image("app:2", crashes_after=0.5)
        old = next(task for task in web.tasks() if task.running and task.image == "app:1")
        sim.kill_container("web", slot=old.slot or 0)

    report = roll(web, Waves(web).in_hold(1, break_and_kill))
    assert "rolled_back" == report.outcome
    assert ["app:1"] * 4 == web.running()


def test_an_overrun_is_counted_and_told(web: Story) -> None:
    """A new leader begins the wave again: one more slot moves, and is proven too."""
    with SimSwarm(nodes=4, managers=3, seed=3) as sim:
        sim.image("app:1")
        sim.image("app:2")
        web = Story(sim)
        web.service(6)
        waves = Waves(web).in_hold(1, lambda: sim.after(2, sim.change_leader))
        report = roll(web, waves)
    assert "completed" == report.outcome
    assert (0, 1) == (report.leaks, report.overruns)
    assert 3 == waves.holding[1]
    assert any("more than the wave" in note for note in report.notes)


def test_waves_that_are_overrun_are_not_written(sim: SimSwarm, web: Story) -> None:
    """When leaks have done the next wave's work, there is nothing to move."""
    web.service(6)

    def kill_two() -> None:
        for task in [t for t in web.tasks() if t.running and t.image == "app:1"][:2]:
            sim.kill_container("web", slot=task.slot or 0)

    waves = Waves(web).in_hold(1, kill_two)
    report = roll(web, waves)
    assert [1, 3] == waves.holding
    assert 2 == report.leaks
    assert "completed" == report.outcome
    # The first wave, the rest, and the update config given back.
    assert 3 == web.writes()


def test_a_node_lost_in_the_middle_of_a_wave_is_survived(sim: SimSwarm, web: Story) -> None:
    """The engine would wait for its task for ever; it is told to go on."""
    sim.image("app:2", starts_in=20.0)
    web.service(6)
    canary = Canary(steps=[Step(tasks=3, hold=5)])

    def lose() -> None:
        new = next(task for task in web.tasks() if task.image == "app:2" and task.node_id)
        sim.node(new.node_id).down()

    sim.at(lambda: any(t.image == "app:2" and t.node_id for t in web.tasks()), lose)
    report = roll(web, Waves(web), canary)
    assert "completed" == report.outcome
    assert ["app:2"] * 6 == web.running()


def test_a_slot_that_moves_at_the_end_of_a_hold_is_waited_for(sim: SimSwarm, web: Story) -> None:
    """It leaked a moment before, and has to be proven first."""
    sim.image("app:2", starts_in=8.0)
    web.service(4)

    def kill_an_old_one() -> None:
        old = next(task for task in web.tasks() if task.running and task.image == "app:1")
        sim.kill_container("web", slot=old.slot or 0)

    canary = Canary(steps=[Step(tasks=1, hold=30)])
    waves = Waves(web).in_hold(1, lambda: sim.after(27, kill_an_old_one))
    report = roll(web, waves, canary)
    assert ("completed", 1) == (report.outcome, report.leaks)
    (held,) = [move for move in report.transitions if move.trigger == "hold_over"]
    (began,) = [move for move in report.transitions if move.target == "holding"]
    assert held.at - began.at > 35


def test_a_lost_node_in_a_hold_is_survived(sim: SimSwarm, web: Story) -> None:
    """Its slots come back elsewhere; those of the old release as leaks."""
    web.service(6)
    waves = Waves(web).in_hold(1, sim.node("node-3").down)
    report = roll(web, waves)
    assert "completed" == report.outcome
    assert ["app:2"] * 6 == web.running()
    assert report.overruns == 0


def test_somebody_elses_scaling_in_a_hold_is_adopted(sim: SimSwarm, web: Story) -> None:
    """It starts the engine's wave again, which is told; the number stays theirs."""
    web.service(4)
    waves = Waves(web).in_hold(1, lambda: sim.after(5, lambda: sim.scale("web", 6)))
    report = roll(web, waves)
    assert "completed" == report.outcome
    assert ["app:2"] * 6 == web.running()
    assert report.adopted


def test_somebody_elses_image_in_a_hold_ends_it(sim: SimSwarm, web: Story) -> None:
    """Nothing of theirs is overwritten."""
    sim.image("app:9")
    web.service(4)
    waves = Waves(web).in_hold(1, lambda: sim.update_service("web", image="app:9"))
    assert "superseded" == roll(web, waves).outcome
    sim.settle()
    assert "app:9" == web.spec.image


def test_an_update_config_that_cannot_be_given_back_is_told(sim: SimSwarm, web: Story) -> None:
    """The release runs, proven: that is what counts."""
    web.service(2)

    def refuse(event: Event) -> None:
        _on(event, "finalizing", lambda: sim.fail_next("ServiceUpdate", "503", times=50))

    report = web.roll(strategy=ONE_THEN_HALF, observers=[refuse])
    assert "completed" == report.outcome
    assert any("keeps the update config of the last wave" in note for note in report.notes)


def _on(event: Event, phase: str, do: Callable[[], object]) -> None:
    if isinstance(event, Moved) and event.transition.target == phase:
        do()


# --- the plan


def test_the_plan_tells_of_the_waves_and_of_their_limits(web: Story) -> None:
    """Before anything is written."""
    web.service(6)
    plan = web.swarm.plan("web", image="app:2", strategy=ONE_THEN_HALF)
    text = str(plan)
    assert "step 1: wave 1, 1 of 6 slots" in text
    assert "then hold 1m" in text
    assert "canary-leaks" in {finding.code for finding in plan.findings}
    assert [1, 3, 0] == [step.wave for step in plan.steps]
    assert 80 < plan.predicted < 200
    assert plan.steps[0].spec.effective_update_config.delay >= YEARS
    assert 0 == plan.steps[-1].spec.effective_update_config.delay


@pytest.mark.parametrize(
    ("steps", "wanted"),
    [
        ([], "empty"),
        ([3, 2], "2 after 3"),
        ([2, 2], "2 after 2"),
        (["50%", "25%"], "'25%' after '50%'"),
    ],
)
def test_waves_that_cannot_be_are_refused(steps: list[Any], wanted: str) -> None:
    """Before there is a service to look at."""
    with pytest.raises(PlanError, match=wanted):
        Canary(steps=[Step(tasks=tasks) for tasks in steps])


@pytest.mark.parametrize("tasks", [0, -1, "101%", "0%", "many", 1.5, True, None])
def test_a_wave_that_cannot_be_is_refused(tasks: Any) -> None:
    """It names the field and what came."""
    with pytest.raises(SpecError, match=r"Step\.tasks"):
        Step(tasks=tasks)


@pytest.mark.parametrize(
    "words",
    [{"order": "both"}, {"monitor": 0}, {"parallelism": "200%"}, {"monitor": "soon"}],
)
def test_a_canary_with_a_wrong_word_is_refused(words: dict[str, Any]) -> None:
    """It names the field."""
    with pytest.raises(SpecError, match=f"Canary.{next(iter(words))}"):
        Canary(steps=[Step(tasks=1)], **words)


@pytest.mark.parametrize("words", [{"start": 0}, {"factor": 1}, {"factor": 0.5}])
def test_a_ramp_that_does_not_grow_is_refused(words: dict[str, Any]) -> None:
    """It names the word."""
    with pytest.raises(SpecError, match=f"Canary.ramp: {next(iter(words))}"):
        Canary.ramp(**words)


def test_steps_must_be_steps() -> None:
    """Not bare numbers."""
    with pytest.raises(SpecError, match=r"Canary\.steps must be of Step, got a int"):
        Canary(steps=[1])  # type: ignore[list-item]


def test_waves_that_shrink_at_this_size_are_refused(web: Story) -> None:
    """A number and a share compare only where there are tasks."""
    web.service(4)
    with pytest.raises(PlanError, match="'25%' of 4 slots is 1, after 3"):
        web.roll(strategy=Canary(steps=[Step(tasks=3), Step(tasks="25%")]))
    assert 0 == web.writes()


def test_the_last_wave_cannot_wait_for_promote() -> None:
    """Nothing comes after it."""
    with pytest.raises(PlanError, match="the last wave of a canary takes all tasks"):
        Canary(steps=[Step(tasks="100%", hold=None)])


def test_a_wave_that_happens_to_be_all_waits_for_nobody(web: Story) -> None:
    """The service is smaller than the canary was made for."""
    web.service(1)
    assert "completed" == web.roll(strategy=Canary(steps=[Step(tasks=1, hold=None)])).outcome


def test_a_task_that_fails_while_the_canary_holds_is_named(sim: SimSwarm, web: Story) -> None:
    """Slot, node and exit code."""
    sim.image("late:1", crashes_after=30.0, exit_code=7)
    web.service(3)
    report = roll(web, Waves(web), image="late:1")
    assert "exit code 7" in why(report, "rolling_back")
