"""Rollouts and their record: what another driver finds, and a journal that is out of reach."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from swarmroll import (
    EngineUnavailable,
    FileJournal,
    JournalError,
    LeaseHeld,
    MemoryJournal,
    NoRollout,
    PreflightError,
    RolledBack,
    Rolling,
    ServiceNotFound,
    Swarm,
)
from swarmroll.core.events import Event, Moved
from swarmroll.journal.port import Journal, Owner
from swarmroll.sim import SimSwarm
from swarmroll.sim.inline import InlineExecutor

from .conftest import Story, just_before_write

DIGEST = "sha256:" + "4" * 64


def config(sim: SimSwarm) -> str:
    """The name of the config that is the record of web."""
    return f"swarmroll-{sim.service('web').id}"


def at(trigger: str, do: Callable[[], object]) -> Callable[[Event], None]:
    def observe(event: Event) -> None:
        if isinstance(event, Moved) and event.transition.trigger == trigger:
            do()

    return observe


# --- what it costs


def test_a_simple_update_costs_the_journal_seven_requests(sim: SimSwarm, web: Story) -> None:
    """And none for each look."""
    web.service(3)
    web.roll(image="app:1")

    def cost(image: str, journal: Journal | None) -> int:
        engine = sim.engine()
        swarm = Swarm(engine, journal=journal, executor=InlineExecutor())
        swarm.update("web", image=image, strategy=Rolling(parallelism=0))
        return engine.requests

    without = cost("app:2", MemoryJournal(sim.engine().clock))
    assert 7 == cost("app:1", None) - without
    assert 7 == cost("app:2", None) - without


# --- leases


def test_a_lease_that_is_waited_for(sim: SimSwarm, web: Story) -> None:
    """Until whoever has it gives it back."""
    web.service(3)
    journal = MemoryJournal(sim.engine().clock)
    lease = journal.acquire(sim.service("web").id, Owner(name="you"), name="web")
    swarm = web.connect(journal=journal)
    with pytest.raises(LeaseHeld):
        swarm.update("web", image="app:2", wait_for_lease=20)
    assert web.writes() == 0
    sim.after(30, lease.release)
    assert swarm.update("web", image="app:2", wait_for_lease="5m").ok


def test_attaching_to_what_somebody_drives_is_refused(web: Story) -> None:
    """It is told who does."""
    web.service(3)
    with web.starting(reason="ticket 4711"), pytest.raises(LeaseHeld, match="ticket 4711"):
        web.connect().attach("web")


def test_a_driver_that_lost_its_lease_writes_nothing(sim: SimSwarm, web: Story) -> None:
    """It slept for too long between its decision and the write; somebody else took over."""
    web.service(3)
    other = web.connect()

    def sleep() -> None:
        sim.run(3600)
        other._journal.acquire(  # noqa: SLF001 - a driver that takes over, and then is slow
            sim.service("web").id, Owner(name="you"), name="web"
        )

    with pytest.raises(LeaseHeld) as held:
        web.swarm.update("web", image="app:2", observers=[just_before_write("ready", sleep)])
    assert held.value.report is not None
    assert held.value.report.outcome == "detached"
    assert web.writes() == 0


# --- what another one finds


def test_evidence_outlives_its_driver(sim: SimSwarm, web: Story) -> None:
    """The last log lines of a task that Swarm may have forgotten by then."""
    web.service(3)
    web.roll(image="crash:1", on_failure="pause")
    sim.image("crash:1", crashes_after=1.0)
    report = web.connect().attach("web").wait(1, check=False)
    assert report.outcome == "paused"
    assert report.failures
    assert report.failures[0].logs == ("starting", "boom")


def test_a_rollout_of_a_service_that_is_gone_is_ended_by_its_id(sim: SimSwarm, web: Story) -> None:
    """Its name leads nowhere any more."""
    web.service(3)
    service_id = sim.service("web").id
    web.roll(image="crash:1", on_failure="pause")
    sim.remove_service("web")
    with pytest.raises(ServiceNotFound):
        web.swarm.attach("web")
    rollout = web.swarm.attach(service_id)
    rollout.resume()
    assert rollout.wait(30, check=False).outcome == "service_gone"
    assert [one.outcome for one in web.swarm.history(service_id)] == ["service_gone"]


def test_a_rollout_that_another_has_ended_cannot_be_resumed(sim: SimSwarm, web: Story) -> None:
    """Its handle is told so."""
    web.service(4)
    with web.starting() as rollout:
        sim.at(lambda: web.rolling() == 1, rollout.pause)
    rollout.wait(30, check=False)
    web.connect().attach("web").resume().wait(30)
    with pytest.raises(NoRollout, match="has ended: completed"):
        rollout.resume().wait(30)


def test_a_rollout_whose_place_another_has_taken_cannot_be_resumed(
    sim: SimSwarm, web: Story
) -> None:
    """Which stands paused itself."""
    web.service(4)
    with web.starting() as rollout:
        sim.at(lambda: web.rolling() == 1, rollout.pause)
    rollout.wait(30, check=False)
    web.roll(image="crash:1", on_failure="pause", allow="*")
    with pytest.raises(NoRollout, match="has taken this one's place"):
        rollout.resume().wait(30)
    assert web.swarm.attach("web").phase == "paused"


# --- a journal in trouble


@pytest.mark.parametrize("fault", ["reset-before-commit", "reset-after-commit", "500", "timeout"])
@pytest.mark.parametrize("what", ["ConfigCreate", "ConfigUpdate", "ConfigInspect"])
def test_a_journal_that_stumbles_delays_and_no_more(
    sim: SimSwarm, web: Story, what: str, fault: str
) -> None:
    """Whatever of its requests is lost, whichever way."""
    if what == "ConfigInspect" and fault == "reset-after-commit":
        fault = "truncated"
    web.service(3)
    for after in range(6):
        sim.fail_next(what, fault, after=after)
    image = "app:2"
    for _ in range(4):
        assert web.roll(image=image).outcome == "completed"
        image = "app:1" if image == "app:2" else "app:2"
    assert len(web.swarm.history("web")) == 4


def test_nothing_is_written_that_is_not_on_record(sim: SimSwarm, web: Story) -> None:
    """A journal out of reach for too long: the rollout is left, with nothing written."""
    web.service(3)
    lost = just_before_write(
        "start", lambda: sim.fail_next("ConfigUpdate", "reset-before-commit", times=500)
    )
    with pytest.raises(Exception, match="reset by peer") as told:
        web.swarm.update("web", image="app:2", observers=[lost])
    assert web.writes() == 0
    report = getattr(told.value, "report", None)
    assert report is not None
    assert report.outcome == "detached"
    assert "its record was not closed" in report.notes[-1]


def test_a_verdict_stands_though_its_record_cannot_be_closed(sim: SimSwarm, web: Story) -> None:
    """It is told, and whoever attaches closes it."""
    web.service(3)
    lost = at("done", lambda: sim.fail_next("ConfigCreate", "503", times=500))
    report = web.swarm.update("web", image="app:2", observers=[lost])
    assert report.outcome == "completed"
    assert "its record was not closed" in report.notes[-1]
    assert web.swarm.history("web") == ()
    sim.faults._waiting.clear()  # noqa: SLF001 - the swarm recovers
    closed = web.connect().attach("web", wait_for_lease="5m").wait(30)
    assert closed.outcome == "completed"
    assert any("taken over from" in note for note in closed.notes)


def test_a_record_that_is_removed_is_written_again(sim: SimSwarm, web: Story) -> None:
    """From memory, and told; the way back does not depend on it."""
    web.service(3, rollback={"parallelism": 0})
    removed = just_before_write("failures_exceeded", lambda: sim.remove_config(config(sim)))
    early = just_before_write("start", lambda: sim.remove_config(config(sim)))
    with pytest.raises(RolledBack) as told:
        web.swarm.update("web", image="crash:1", observers=[early, removed])
    assert any("was removed by somebody" in note for note in told.value.report.notes)
    assert web.running() == ["app:1"] * 3
    assert len(web.swarm.history("web")) == 1


def test_a_paused_rollout_whose_record_is_removed_goes_on_from_memory(
    sim: SimSwarm, web: Story
) -> None:
    """By its own handle; it is told."""
    web.service(4)
    with web.starting() as rollout:
        sim.at(lambda: web.rolling() == 1, rollout.pause)
    rollout.wait(30, check=False)
    sim.remove_config(config(sim))
    report = rollout.resume().wait(30)
    assert report.outcome == "completed"
    assert any("it goes on from memory" in note for note in report.notes)


def test_a_damaged_record_stops_what_it_is_of(sim: SimSwarm, web: Story) -> None:
    """Before anything is written; without it, everything goes on."""
    web.service(3)
    web.roll()
    held = sim.objects.find("config", config(sim))
    sim.objects.update(
        "config", held.id, held.version, {**held.spec, "Labels": {"swarmroll.record": "{"}}
    )
    writes = web.writes()
    for ask in (
        lambda: web.swarm.update("web", image="app:1"),
        lambda: web.swarm.rollback("web"),
        lambda: web.swarm.attach("web"),
        lambda: web.swarm.history("web"),
    ):
        with pytest.raises(JournalError, match=config(sim)) as told:
            ask()
        assert told.value.exit_code == 3
    assert web.writes() == writes
    sim.remove_config(config(sim))
    assert web.roll(image="app:1").outcome == "completed"


# --- the same release again


def test_a_release_that_failed_a_moment_ago_is_refused(sim: SimSwarm, web: Story) -> None:
    """Whoever asks for it; unless it is allowed."""
    sim.image("crash:1", digest=DIGEST, crashes_after=1.0)
    web.service(3)
    web.roll(image="crash:1")
    with pytest.raises(PreflightError, match=r"this very release of .* failed 0 min ago") as told:
        web.connect().update("web", image="crash:1")
    assert [finding.code for finding in told.value.findings] == ["failed-recently"]
    assert web.roll(image="crash:1", allow="failed-recently").outcome == "rolled_back"


def test_after_an_hour_it_may_be_tried_again(sim: SimSwarm, web: Story) -> None:
    """The cause may have been elsewhere."""
    sim.image("crash:1", digest=DIGEST, crashes_after=1.0)
    web.service(3)
    web.roll(image="crash:1")
    sim.run(3601)
    assert web.roll(image="crash:1").outcome == "rolled_back"


def test_the_same_image_in_another_spec_is_only_warned_of(sim: SimSwarm, web: Story) -> None:
    """As after a mended environment."""
    sim.image("crash:1", digest=DIGEST, crashes_after=1.0)
    web.service(3)
    web.roll(image="crash:1")
    plan = web.swarm.plan("web", lambda spec: spec.with_env(MENDED="1"), image="crash:1")
    told = {finding.code: finding.severity for finding in plan.findings}
    assert told["failed-recently"] == "warning"
    assert not plan.refusals


# --- other places


def test_a_rollout_is_kept_in_a_folder(sim: SimSwarm, web: Story, tmp_path: Path) -> None:
    """And taken up from there."""
    web.service(4)
    clock = sim.engine().clock
    mine = web.connect(journal=FileJournal(tmp_path / "state", clock=clock))
    web.roll(image="crash:1", on_failure="pause", swarm=mine)
    yours = web.connect(journal=FileJournal(tmp_path / "state", clock=clock))
    rollout = yours.attach("web")
    rollout.abort(rollback=True)
    assert rollout.wait(30, check=False).outcome == "aborted"
    assert web.running() == ["app:1"] * 4
    assert len(yours.history("web")) == 1
    assert sim.engine().config(config(sim)) is None


def test_a_lease_that_runs_short_is_renewed_before_the_write(sim: SimSwarm, web: Story) -> None:
    """Also where that takes more than one try; the write is not sent on what is left."""
    web.service(3)

    def slow() -> None:
        sim.run(45)
        sim.fail_next("ConfigUpdate", "503", times=12)

    slept = just_before_write("ready", slow)
    assert web.connect().update("web", image="app:2", observers=[slept]).ok
    assert web.writes() == 1


def test_a_lease_that_cannot_be_renewed_lets_nothing_be_written(sim: SimSwarm, web: Story) -> None:
    """For want of certainty that nobody else drives."""
    web.service(3)

    def stuck() -> None:
        sim.run(45)
        sim.fail_next("ConfigUpdate", "503", times=1000)

    with pytest.raises(EngineUnavailable, match="service unavailable"):
        web.connect().update("web", image="app:2", observers=[just_before_write("ready", stuck)])
    assert web.writes() == 0
