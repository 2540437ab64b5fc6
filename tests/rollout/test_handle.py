"""The live handle: pause, resume, abort and promote, in every phase; and who may write."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from operator import methodcaller

import attrs
import pytest

from swarmroll import Aborted, LeaseHeld, NoRollout, PlanError, Rolling, Rollout, RolloutPaused
from swarmroll.core.events import Event, Moved
from swarmroll.core.spec import UpdateConfig
from swarmroll.core.strategy import PlanStep
from swarmroll.runner import Observer
from swarmroll.sim import SimSwarm

from .conftest import Story, just_before_write, phases, why

YEARS = 365 * 24 * 3600.0


def ask_in(phase: str, do: Callable[[Rollout], object]) -> tuple[Observer, list[Rollout]]:
    """An observer that asks a rollout once, when a phase is reached, and where to put that."""
    done: list[Event] = []
    handle: list[Rollout] = []

    def observe(event: Event) -> None:
        if isinstance(event, Moved) and event.transition.target == phase and not done:
            done.append(event)
            do(handle[0])

    return observe, handle


@attrs.frozen
class Waves:
    """Two waves of one service: the first one holds."""

    hold: float | None = None
    borrows: bool = False

    def policy(self, inherited: UpdateConfig, slots: int) -> UpdateConfig:
        assert slots
        return inherited

    def cut(self, step: PlanStep) -> tuple[PlanStep, ...]:
        return (attrs.evolve(step, hold=self.hold, name="first"), attrs.evolve(step, name="rest"))


# --- pause and resume


@pytest.mark.parametrize(
    "strategy",
    [Rolling(order="stop-first"), Rolling(order="start-first", delay=4)],
    ids=["stop-first", "start-first"],
)
def test_a_rollout_pauses_and_resumes(sim: SimSwarm, web: Story, strategy: Rolling) -> None:
    """One more slot may move; then nothing does, until it is asked to go on."""
    web.service(6)
    with web.starting(strategy=strategy) as rollout:
        sim.at(lambda: web.rolling() == 2, rollout.pause)
    with pytest.raises(RolloutPaused):
        rollout.wait(30)
    assert rollout.phase == "paused"
    sim.run(3600)
    assert 2 <= web.rolling() <= 4
    assert web.spec.update_config.delay > YEARS
    report = rollout.resume().wait(30)
    assert report.outcome == "completed"
    assert web.running() == ["app:2"] * 6
    assert web.spec.update_config.delay < YEARS
    assert "pausing" in " ".join(report.notes)


def test_start_first_without_a_delay_cannot_be_held_in_the_middle(
    sim: SimSwarm, web: Story
) -> None:
    """There is no moment in which no old task would be stopped too early (F 1.12)."""
    web.service(4)
    with web.starting(strategy=Rolling(order="start-first", delay=0)) as rollout:
        sim.at(lambda: web.rolling() == 1, rollout.pause)
    report = rollout.wait(30, check=False)
    assert report.outcome == "paused"
    assert web.rolling() == 4
    assert "the engine can be held only between two slots" in " ".join(report.notes)
    assert rollout.resume().wait(30).outcome == "completed"


def test_a_pause_while_everything_runs_needs_no_write(web: Story) -> None:
    """While the slots are only watched, nothing is in motion."""
    web.service(2)
    ask, handle = ask_in("verifying", lambda rollout: rollout.pause())
    with web.starting(ask, strategy=Rolling(bake=30)) as rollout:
        handle.append(rollout)
    assert rollout.wait(30, check=False).outcome == "paused"
    assert web.writes() == 1
    assert rollout.resume().wait(30).outcome == "completed"


def test_a_failing_release_can_be_resumed(sim: SimSwarm, web: Story) -> None:
    """Its failures so far are forgiven; the cause was mended meanwhile."""
    web.service(3)
    with web.starting(image="crash:1", on_failure="pause") as rollout:
        pass
    assert rollout.wait(30, check=False).outcome == "paused"
    sim.image("crash:1")
    sim.run(30)
    report = rollout.resume().wait(30)
    assert report.outcome == "completed"
    assert web.running() == ["crash:1"] * 3


def test_a_failing_release_that_is_resumed_too_soon_stands_still_again(web: Story) -> None:
    """Nothing has changed, so it fails again."""
    web.service(3)
    with web.starting(image="crash:1", on_failure="pause") as rollout:
        pass
    rollout.wait(30, check=False)
    report = rollout.resume().wait(30, check=False)
    assert report.outcome == "paused"
    assert phases(report).count("paused") == 2


def test_resuming_never_stops_the_task_that_runs_for_one_that_does_not(web: Story) -> None:
    """With start-first the engine would stop the good old task at once (F 1.13)."""
    web.service(2)
    with web.starting(
        image="missing:1", on_failure="pause", strategy=Rolling(order="start-first"), deadline=60
    ) as rollout:
        pass
    assert rollout.wait(30, check=False).outcome == "paused"
    report = rollout.resume().wait(30, check=False)
    assert report.outcome == "paused"
    assert web.running() == ["app:1"] * 2
    assert any("cannot resume" in note for note in report.notes)
    rollout.abort(rollback=True)
    assert rollout.wait(30, check=False).outcome == "aborted"
    assert web.running() == ["app:1"] * 2


def test_only_what_is_paused_can_be_resumed(web: Story) -> None:
    """Anything else is told."""
    web.service(1)
    with web.starting() as rollout, pytest.raises(PlanError, match="not paused"):
        rollout.resume()
    rollout.wait(30)
    with pytest.raises(PlanError, match="is completed, not paused"):
        rollout.resume()


def test_a_paused_rollout_gives_its_lease_back(sim: SimSwarm, web: Story) -> None:
    """Another one can take over; the paused one then finds itself superseded."""
    web.service(4)
    with web.starting() as rollout:
        sim.at(lambda: web.rolling() == 1, rollout.pause)
    rollout.wait(30, check=False)
    sim.image("app:3")
    refused = web.roll(image="app:3")
    assert refused.outcome == "refused"
    assert "stands paused in the middle" in refused.headline
    assert web.roll(image="app:3", allow="update-paused").outcome == "completed"
    assert rollout.resume().wait(30, check=False).outcome == "superseded"
    assert web.running() == ["app:3"] * 4


def test_a_paused_rollout_can_be_taken_up_by_another(sim: SimSwarm, web: Story) -> None:
    """From anywhere: it stands in the journal."""
    web.service(4)
    with web.starting() as rollout:
        sim.at(lambda: web.rolling() == 1, rollout.pause)
    rollout.wait(30, check=False)
    other = web.connect().attach("web")
    assert other.phase == "paused"
    assert other.wait(1, check=False).outcome == "paused"
    assert other.resume().wait(30).outcome == "completed"


def test_there_is_nothing_to_take_up_when_all_is_over(web: Story) -> None:
    """And that is said."""
    web.service(1)
    web.roll()
    with pytest.raises(NoRollout, match="web"):
        web.swarm.attach("web")


# --- abort


@pytest.mark.parametrize("phase", ["preparing", "updating", "verifying"])
def test_a_rollout_can_be_aborted_anywhere(web: Story, phase: str) -> None:
    """No further step is started, and the report says what goes on."""
    web.service(4)
    ask, handle = ask_in(phase, lambda rollout: rollout.abort())
    with web.starting(ask, strategy=Rolling(bake=10)) as rollout:
        handle.append(rollout)
    with pytest.raises(Aborted):
        rollout.wait(30)
    writes = web.writes()
    assert writes == (0 if phase == "preparing" else 1)
    web.sim.settle()
    assert web.writes() == writes


def test_an_abort_names_what_the_engine_still_does(sim: SimSwarm, web: Story) -> None:
    """It goes on with the update that it has begun."""
    web.service(4)
    with web.starting() as rollout:
        sim.at(lambda: web.rolling() == 1, rollout.abort)
    report = rollout.wait(30, check=False)
    assert "the engine goes on with the update" in why(report, "aborted")
    assert "on a failure it will rollback" in why(report, "aborted")
    sim.settle()
    assert web.running() == ["app:2"] * 4


def test_an_abort_of_what_stands_still_names_what_holds_it(sim: SimSwarm, web: Story) -> None:
    """A delay of years stays in the service's update config."""
    web.service(4)
    with web.starting() as rollout:
        sim.at(lambda: web.rolling() == 1, rollout.pause)
    rollout.wait(30, check=False)
    rollout.abort()
    report = rollout.wait(30, check=False)
    assert report.outcome == "aborted"
    assert "delay of years" in why(report, "aborted")


@pytest.mark.parametrize("phase", ["updating", "verifying"])
def test_an_abort_with_rollback_puts_the_old_spec_back(web: Story, phase: str) -> None:
    """And ends aborted, with its proof."""
    web.service(4)
    declared = web.spec
    ask, handle = ask_in(phase, lambda rollout: rollout.abort(rollback=True))
    with web.starting(ask, strategy=Rolling(bake=10)) as rollout:
        handle.append(rollout)
    report = rollout.wait(30, check=False)
    assert report.outcome == "aborted"
    assert phases(report)[-3:] == ["rolling_back", "restoring", "aborted"]
    assert len(report.slots) == 4
    assert web.running() == ["app:1"] * 4
    assert web.spec.same_as(declared)


def test_a_paused_rollout_can_be_put_back(sim: SimSwarm, web: Story) -> None:
    """Tasks that were never touched are not touched now."""
    web.service(6)
    old = {task.id for task in web.tasks()}
    with web.starting() as rollout:
        sim.at(lambda: web.rolling() == 1, rollout.pause)
    rollout.wait(30, check=False)
    kept = {task.id for task in web.tasks() if task.running} & old
    rollout.abort(rollback=True)
    assert rollout.wait(30, check=False).outcome == "aborted"
    assert web.running() == ["app:1"] * 6
    assert kept <= {task.id for task in web.tasks() if task.running} | set()


def test_without_a_baseline_nothing_can_be_put_back(sim: SimSwarm, web: Story) -> None:
    """Which is said at once."""
    sim.image("app:1", on_slots=[1], crashes_after=2)
    web.service(2)
    sim.run(60)
    with web.starting() as rollout, pytest.raises(PlanError, match="no last known good spec"):
        rollout.abort(rollback=True)
    rollout.wait(30, check=False)


@pytest.mark.parametrize("phase", ["rolling_back", "restoring"])
@pytest.mark.parametrize("ask", ["pause", "abort", "promote"])
def test_on_the_way_back_wishes_are_told_and_not_obeyed(web: Story, phase: str, ask: str) -> None:
    """The old spec is put back first."""
    web.service(3, rollback={"parallelism": 0})
    asking, handle = ask_in(phase, methodcaller(ask))
    with web.starting(asking, image="crash:1") as rollout:
        handle.append(rollout)
    report = rollout.wait(30, check=False)
    assert report.outcome == "rolled_back"
    assert any(f"asked to {ask} while {phase}: not obeyed" in note for note in report.notes)


@pytest.mark.parametrize("image", ["app:2", "crash:1"])
def test_what_is_over_can_be_asked_for_nothing(web: Story, image: str) -> None:
    """To abort something finished is a no-op."""
    web.service(2)
    with web.starting(image=image) as rollout:
        pass
    report = rollout.wait(30, check=False)
    writes = web.writes()
    rollout.pause()
    rollout.promote()
    rollout.abort()
    rollout.abort(rollback=True)
    assert rollout.wait(1, check=False) is report
    assert web.writes() == writes


def test_two_wishes_at_once_are_both_answered(sim: SimSwarm, web: Story) -> None:
    """A pause, and before it is reached an abort: none is lost."""
    web.service(4)

    def ask() -> None:
        rollout.pause()
        rollout.abort(rollback=True)

    with web.starting() as rollout:
        sim.at(lambda: web.rolling() == 1, ask)
    assert rollout.wait(30, check=False).outcome == "aborted"
    assert web.running() == ["app:1"] * 4


# --- holding


def test_a_hold_waits_for_promote(web: Story) -> None:
    """The second wave is written only then."""
    web.service(3)
    ask, handle = ask_in("holding", lambda rollout: rollout.promote())
    with web.starting(ask, strategy=Waves(hold=None)) as rollout:
        handle.append(rollout)
    report = rollout.wait(30)
    assert phases(report) == [
        "preparing",
        "updating",
        "holding",
        "updating",
        "verifying",
        "finalizing",
        "completed",
    ]
    assert web.writes() == 2


def test_a_hold_is_over_by_itself(sim: SimSwarm, web: Story) -> None:
    """After the time that was asked for."""
    web.service(3)
    begun = sim.now
    report = web.roll(strategy=Waves(hold=120.0))
    assert report.outcome == "completed"
    assert why(report, "holding").startswith("first: proven")
    assert sim.now - begun > 120


def test_a_task_that_fails_during_a_hold_ends_it(sim: SimSwarm, web: Story) -> None:
    """The engine no longer watches; we do."""
    sim.image("late:1", crashes_after=60.0)
    web.service(3)
    report = web.roll(image="late:1", strategy=Waves(hold=300.0))
    assert report.outcome == "rolled_back"
    assert web.running() == ["app:1"] * 3


@pytest.mark.parametrize("rollback", [False, True])
def test_a_hold_can_be_aborted(web: Story, rollback: bool) -> None:
    """With or without going back."""
    web.service(3)
    ask, handle = ask_in("holding", lambda rollout: rollout.abort(rollback=rollback))
    with web.starting(ask, strategy=Waves()) as rollout:
        handle.append(rollout)
    assert rollout.wait(30, check=False).outcome == "aborted"
    assert web.running() == (["app:1"] if rollback else ["app:2"]) * 3


def test_a_hold_can_be_paused_and_resumed(web: Story) -> None:
    """It holds anew, and goes on."""
    web.service(3)
    ask, handle = ask_in("holding", lambda rollout: rollout.pause())
    with web.starting(ask, strategy=Waves(hold=10.0)) as rollout:
        handle.append(rollout)
    assert rollout.wait(30, check=False).outcome == "paused"
    assert rollout.resume().wait(30).outcome == "completed"


def test_update_refuses_to_wait_for_a_promote_that_never_comes(web: Story) -> None:
    """start() is for that."""
    web.service(3)
    with pytest.raises(PlanError, match="use start"):
        web.roll(strategy=Waves(hold=None))


# --- the lease


def test_a_second_rollout_at_once_is_refused(web: Story) -> None:
    """It is told who holds the service, and since when."""
    web.service(3)
    with web.starting(reason="ticket 4711"), pytest.raises(LeaseHeld, match="ticket 4711") as held:
        web.connect().update("web", image="app:2")
    assert "pid" in held.value.owner
    assert held.value.since > 0


def test_the_journal_is_closed_before_the_lease_is_given_back(web: Story) -> None:
    """Whoever comes next finds the record as it was left."""
    web.service(3)
    web.roll()
    assert [report.outcome for report in web.swarm.history("web")] == ["completed"]
    web.roll(image="crash:1")
    assert [r.outcome for r in web.swarm.history("web")] == ["rolled_back", "completed"]


# --- waiting and hearing


def test_waiting_has_an_end(web: Story) -> None:
    """TimeoutError, while the rollout goes on."""
    web.service(2)
    with web.starting() as rollout, pytest.raises(TimeoutError, match="is still pending"):
        rollout.wait(0.01)
    assert rollout.wait(30).ok
    assert rollout.report is not None


def events_of(rollout: Rollout) -> Iterator[str]:
    return (type(event).__name__ for event in rollout.events())


def test_events_can_be_heard_from_the_beginning_at_any_time(sim: SimSwarm, web: Story) -> None:
    """Also afterwards, and over a pause."""
    web.service(4)
    with web.starting() as rollout:
        sim.at(lambda: web.rolling() == 1, rollout.pause)
        heard = list(events_of(rollout)) if rollout.report else []
    rollout.wait(30, check=False)
    first = list(events_of(rollout))
    assert first[0] == "Started"
    assert first[-1] == "Finished"
    assert heard == []
    rollout.resume().wait(30)
    whole = list(events_of(rollout))
    assert whole[: len(first)] == first
    assert whole.count("Finished") == 2


def test_an_observer_that_fails_does_not_fail_the_rollout(
    web: Story, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged, and the rollout goes on."""
    web.service(1)

    def broken(event: Event) -> None:
        raise RuntimeError(f"no {event}")

    assert web.roll(observers=[broken]).outcome == "completed"
    assert "an observer failed on Started" in caplog.text


def test_an_error_of_our_own_is_not_swallowed(web: Story) -> None:
    """wait() raises it; nobody waits for ever."""
    web.service(1)

    class Strange(Exception):
        pass

    class Journal:
        def __getattr__(self, name: str) -> object:
            raise Strange(name)

    swarm = web.connect(journal=Journal())
    plan = web.swarm.plan("web", image="app:2")
    rollout = swarm.start(plan)
    with pytest.raises(Strange):
        rollout.wait(30)
    assert list(rollout.events()) == []


def test_a_rollout_whose_driver_lost_it_cannot_be_asked(sim: SimSwarm, web: Story) -> None:
    """attach() takes it up again."""
    web.service(3)
    impatient = Story(sim, patience=2.0)
    with impatient.starting() as rollout:
        sim.at(
            lambda: web.rolling() == 1,
            lambda: sim.fail_next("ServiceInspect", "503", times=500),
        )
    with pytest.raises(Exception, match=r"503|unavailable"):
        rollout.wait(60)
    with pytest.raises(PlanError, match=r"attach\(\) takes it up again"):
        rollout.pause()


def test_the_conflict_of_a_hold_is_noted(sim: SimSwarm, web: Story) -> None:
    """If the engine will not be held, that is said, and the rollout goes on."""
    web.service(6)
    with web.starting() as rollout:
        sim.at(lambda: web.rolling() == 2, rollout.pause)
        sim.fail_next("ServiceUpdate", "503", times=50, after=1)
    report = rollout.wait(60, check=False)
    assert report.outcome == "completed"
    assert any("could not be held" in note for note in report.notes)


def test_a_gap_between_decision_and_write_is_no_matter(sim: SimSwarm, web: Story) -> None:
    """The engine may have finished just when it is to be held."""
    web.service(2)
    late = just_before_write("pause_asked", lambda: sim.run(60))
    with web.starting(late) as rollout:
        sim.at(lambda: web.rolling() == 1, rollout.pause)
    assert rollout.wait(30, check=False).outcome in ("paused", "completed")
