"""Letting go of a rollout, so that somebody else may take it up at once."""

from __future__ import annotations

import threading

import pytest

from swarmroll import Detached, LeaseHeld, PlanError, Rolling, Rollout
from swarmroll.brake import Brake, OnCancel
from swarmroll.core.events import Event, Finished, Moved
from swarmroll.sim import SimSwarm

from .conftest import Story, phases
from .test_handle import Waves, ask_in


@pytest.mark.parametrize("phase", ["preparing", "updating", "holding", "verifying"])
def test_what_was_let_go_is_taken_up_at_once(web: Story, phase: str) -> None:
    """In any phase; and it ends as it would have."""
    web.service(3)
    ask, handle = ask_in(phase, lambda rollout: rollout.detach())
    with web.starting(ask, strategy=Waves(hold=60.0)) as rollout:
        handle.append(rollout)
    with pytest.raises(Detached, match="its driver was asked to let go") as left:
        rollout.wait(30)
    report = left.value.report
    assert (report.outcome, report.exit_code, left.value.exit_code) == ("detached", 8, 8)
    assert phases(report)[-1] == phase
    assert rollout.report is report
    assert rollout.wait(check=False) is report
    assert isinstance(web.told[-1], Finished)
    again = web.connect().attach("web").wait(30)
    assert again.outcome == "completed"
    assert again.rollout_id == report.rollout_id
    assert phases(again)[: len(phases(report))] == phases(report)
    assert web.running() == ["app:2"] * 3


def test_letting_go_waits_until_that_is_done(web: Story) -> None:
    """From another thread: the lease is free when it returns."""
    web.service(3)
    with web.starting(strategy=Waves()) as rollout:
        pass
    rollout.detach()
    assert not rollout.running
    other = web.connect().attach("web")
    other.abort(rollback=True)
    assert other.wait(30, check=False).outcome == "aborted"
    assert web.running() == ["app:1"] * 3


def test_without_waiting_it_returns_at_once(web: Story) -> None:
    """The driver answers when it comes to it."""
    web.service(3)
    with web.starting(strategy=Waves()) as rollout:
        rollout.detach(wait=False)
        assert rollout.running
    assert rollout.wait(30, check=False).outcome == "detached"


def test_what_was_let_go_can_be_asked_for_nothing(web: Story) -> None:
    """attach() can."""
    web.service(3)
    with web.starting(strategy=Waves()) as rollout:
        pass
    rollout.detach()
    for ask in (rollout.pause, rollout.promote, rollout.abort):
        with pytest.raises(PlanError, match=r"it was let go.*attach\(\) takes it up"):
            ask()
    with pytest.raises(PlanError, match="not paused"):
        rollout.resume()
    rollout.detach()


def test_a_wish_that_was_not_answered_is_not_lost(web: Story) -> None:
    """Whoever takes the rollout up answers it."""
    web.service(3)

    def ask_and_leave(rollout: Rollout) -> None:
        rollout.abort(rollback=True)
        rollout.detach()

    ask, handle = ask_in("holding", ask_and_leave)
    with web.starting(ask, strategy=Waves()) as rollout:
        handle.append(rollout)
    assert rollout.wait(30, check=False).outcome == "detached"
    assert web.connect().attach("web").wait(30, check=False).outcome == "aborted"
    assert web.running() == ["app:1"] * 3


@pytest.mark.parametrize("image", ["app:2", "crash:1"])
def test_what_is_over_is_not_let_go(web: Story, image: str) -> None:
    """It stays what it was."""
    web.service(2)
    with web.starting(image=image) as rollout:
        pass
    report = rollout.wait(30, check=False)
    rollout.detach()
    assert rollout.wait(check=False) is report


def test_a_paused_rollout_need_not_be_let_go(sim: SimSwarm, web: Story) -> None:
    """Nobody holds it."""
    web.service(4)
    with web.starting() as rollout:
        sim.at(lambda: web.rolling() == 1, rollout.pause)
    rollout.wait(30, check=False)
    rollout.detach()
    assert rollout.phase == "paused"
    assert rollout.resume().wait(30).outcome == "completed"


@pytest.mark.parametrize("operation", ["ServiceInspect", "ConfigUpdate"])
def test_an_engine_that_is_away_is_not_waited_for(
    sim: SimSwarm, web: Story, operation: str
) -> None:
    """Only the request under way is; without it the record is left as it is."""
    web.service(3)
    slow = Story(sim, patience=1.0)
    with slow.starting(strategy=Rolling(delay=60)) as rollout:

        def away() -> None:
            sim.fail_next(operation, "503", times=100_000)
            sim.after(40.0, lambda: rollout.detach(wait=False))

        sim.at(lambda: web.rolling() == 1, away)
    report = rollout.wait(30, check=False)
    assert report.outcome == "detached"
    assert sim.now < 100
    assert ("its record was not closed" in " ".join(report.notes)) == (operation == "ConfigUpdate")


def test_somebody_elses_lease_is_not_waited_for(sim: SimSwarm, web: Story) -> None:
    """Nothing has begun, so nothing is on record."""
    web.service(3)
    told: list[Event] = []
    handle: list[Rollout] = []
    here = threading.Event()

    def let_go() -> None:
        assert here.wait(30)
        handle[0].detach(wait=False)

    with web.starting(strategy=Waves()) as first:
        plan = web.swarm.plan("web", image="app:2")
        # The second's waiting is what moves time: long before the first's lease would be over.
        sim.after(5, let_go)
        second = web.connect().start(plan, wait_for_lease="1h", observers=[told.append])
        handle.append(second)
        here.set()
        report = second.wait(30, check=False)
    assert report.outcome == "detached"
    assert report.transitions == ()
    assert "asked to let go" in report.headline
    assert not any(isinstance(event, Moved) for event in told)
    with pytest.raises(PlanError, match="it was let go"):
        second.pause()
    first.promote()
    first.detach()


def test_a_brake_stops_what_begins_next(web: Story) -> None:
    """Pulled before the call, it lets nothing be written."""
    web.service(3)
    for how in OnCancel:
        brake = Brake()
        brake.pull(how)
        with pytest.raises(PlanError, match="stopped, as asked, before anything was written"):
            web.swarm.braked(brake).update("web", image="app:2")
    assert web.writes() == 0


def test_a_brake_is_heard_while_the_service_is_not_quiet(sim: SimSwarm, web: Story) -> None:
    """Somebody's update by other means is waited for no longer."""
    web.service(3, update={"delay": 600})
    sim.update_service("web", image="app:2")
    sim.run(1)
    brake = Brake()
    sim.at(lambda: sim.now > 60, lambda: brake.pull(OnCancel.DETACH))
    with pytest.raises(PlanError, match="stopped, as asked"):
        web.swarm.braked(brake).update("web", image="app:1")
    assert web.writes() == 0


def test_without_a_brake_a_held_lease_is_told(web: Story) -> None:
    """As ever."""
    web.service(3)
    with web.starting(strategy=Waves()) as rollout, pytest.raises(LeaseHeld):
        web.swarm.attach("web")
    rollout.detach()


class Interrupts:
    """An observer in whose turn somebody presses Ctrl-C, once the release has begun."""

    def __call__(self, event: Event) -> None:
        if isinstance(event, Moved) and event.transition.target == "updating":
            raise KeyboardInterrupt


def test_ctrl_c_gives_the_lease_back(sim: SimSwarm, web: Story) -> None:
    """Whoever attaches next need not wait until it is over."""
    web.service(3)
    with pytest.raises(KeyboardInterrupt):
        web.swarm.update("web", image="app:2", observers=[Interrupts()])
    begun = sim.now
    assert web.connect().attach("web").wait(30).outcome == "completed"
    assert sim.now - begun < 40
    assert web.running() == ["app:2"] * 3
