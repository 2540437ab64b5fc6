"""Releases that fail, each in its own way: seen, named, and undone or stopped as asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import pytest

from swarmroll import Rolling
from swarmroll.sim import SimSwarm

from .conftest import Story, phases, why

SAFE = {"parallelism": 1, "failure_action": "pause"}
WAYS_BACK: Mapping[str, Any] = {
    "safe": SAFE,
    "absent": None,
    "all at once": {"parallelism": 0},
    "rollback of a rollback": {"parallelism": 1, "failure_action": "rollback"},
    "absurd ratio": {"parallelism": 1, "max_failure_ratio": 2},
}


@attrs.frozen(kw_only=True)
class Bad:
    """
    A bad release.

    Attributes:
        image: How its containers behave.
        says: What must stand in the reason.
        late: Whether the engine has stopped watching by then.
        code: Exit code in the evidence.
    """

    image: Mapping[str, Any] = attrs.field(factory=dict)
    says: str
    late: bool = False
    code: int | None = 1
    strategy: Rolling = attrs.field(factory=Rolling)
    options: Mapping[str, Any] = attrs.field(factory=dict)


BAD = {
    "crashes": Bad(image={"crashes_after": 1.0}, says="task: non-zero exit (1)"),
    "crashes at once": Bad(image={"crashes_after": 0.1, "exit_code": 3}, says="(3)", code=3),
    "cannot be started": Bad(
        image={"start_error": 'starting container failed: exec: "x": executable file not found'},
        says="executable file not found",
        code=127,
    ),
    "ends with exit code 0": Bad(
        image={"crashes_after": 1.0, "exit_code": 0}, says="complete, exit code 0", code=0
    ),
    "crashes after the monitor, during the update": Bad(
        image={"crashes_after": 3.0},
        strategy=Rolling(monitor=1, delay=0.5, parallelism=1),
        says="non-zero exit (1)",
        late=True,
    ),
    "crashes after the engine is done": Bad(
        image={"crashes_after": 12.0},
        strategy=Rolling(parallelism=0, monitor=2, bake=30),
        says="non-zero exit (1)",
        late=True,
    ),
    "turns unhealthy": Bad(
        image={"healthcheck": True, "healthy_after": None, "unhealthy_after": 3},
        says="unhealthy container",
        code=143,
    ),
    "turns unhealthy, and then exits 0": Bad(
        image={
            "healthcheck": True,
            "healthy_after": None,
            "unhealthy_after": 3,
            "stop_exit_code": 0,
        },
        says="complete, exit code 0",
        code=0,
    ),
    "turns unhealthy after it was healthy": Bad(
        image={"healthcheck": True, "healthy_after": 1, "unhealthy_after": 2},
        says="unhealthy container",
        code=143,
    ),
    "has no image": Bad(image={"missing": True}, says="No such image: bad:1", code=None),
}


@pytest.mark.parametrize("way_back", WAYS_BACK)
@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_a_bad_release_is_rolled_back(sim: SimSwarm, web: Story, bad: Bad, way_back: str) -> None:
    """The old image runs in every slot, and the culprit is named: slot, node, words, exit code."""
    sim.image("bad:1", **bad.image)
    web.service(3, rollback=WAYS_BACK[way_back])
    declared = web.spec
    report = web.roll(image="bad:1", strategy=bad.strategy, **bad.options)
    assert report.outcome == "rolled_back"
    assert web.running() == ["app:1"] * 3
    assert web.spec.same_as(declared)
    assert bad.says in why(report, "rolling_back")
    culprit = report.failures[0]
    assert culprit.slot in (1, 2, 3)
    assert culprit.node.startswith("node-")
    assert culprit.exit_code == bad.code
    by_engine = way_back in ("safe", "absent") and not bad.late
    assert report.rolled_back_by == ("engine" if by_engine else "swarmroll")


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_a_bad_release_stands_still_if_so_asked(sim: SimSwarm, web: Story, bad: Bad) -> None:
    """Nothing is undone; the report says why it stopped."""
    sim.image("bad:1", **bad.image)
    web.service(4, rollback=SAFE)
    report = web.roll(image="bad:1", strategy=bad.strategy, on_failure="pause", **bad.options)
    assert report.outcome == "paused"
    assert bad.says in why(report, "paused")
    assert web.spec.image == "bad:1"


@pytest.mark.parametrize("order", ["stop-first", "start-first"])
@pytest.mark.parametrize("name", ["crashes", "has no image", "turns unhealthy"])
def test_each_order_goes_back(sim: SimSwarm, web: Story, name: str, order: str) -> None:
    """Also where the old task is still there."""
    sim.image("bad:1", **BAD[name].image)
    web.service(3)
    report = web.roll(image="bad:1", strategy=Rolling(order=order))
    assert report.outcome == "rolled_back"
    assert web.running() == ["app:1"] * 3


def test_start_first_keeps_the_old_tasks_of_an_image_that_never_runs(web: Story) -> None:
    """Not one of them is restarted."""
    web.service(3)
    old = {task.id for task in web.tasks()}
    web.roll(image="missing:1", strategy=Rolling(order="start-first"))
    assert {task.id for task in web.tasks() if task.running} == old


def test_what_can_never_be_placed_fails_at_the_deadline(sim: SimSwarm, web: Story) -> None:
    """The engine would wait for ever; the reason is its own."""
    web.service(2)
    begun = sim.now
    report = web.roll(
        lambda spec: spec.with_image("app:2").with_placement(constraints=["node.labels.x == y"]),
        deadline=30,
    )
    assert report.outcome == "rolled_back"
    assert "no suitable node (scheduling constraints not satisfied on 3 nodes)" in why(
        report, "rolling_back"
    )
    assert web.running() == ["app:1"] * 2
    assert sim.now - begun < 30 + 130


def test_a_pending_task_stalls_the_way_back_but_does_not_fail_it(web: Story) -> None:
    """The engine's rollback waits a minute for a task that was never placed (F 2.5)."""
    web.service(2)
    report = web.roll(
        lambda spec: spec.with_image("app:2").with_placement(constraints=["node.labels.x == y"]),
        deadline=20,
        strategy=Rolling(order="stop-first"),
    )
    assert report.outcome == "rolled_back"
    back = next(m.at for m in report.transitions if m.target == "rolling_back")
    assert report.finished_at - back < 120


def test_a_health_check_that_never_decides_fails_at_the_deadline(sim: SimSwarm, web: Story) -> None:
    """Starting for ever is no progress."""
    sim.image("app:2", healthcheck=True, healthy_after=None)
    web.service(2)
    report = web.roll(deadline="1m")
    assert report.outcome == "rolled_back"
    assert "is starting" in why(report, "rolling_back")


def test_a_deadline_stands_still_if_so_asked(web: Story) -> None:
    """And the engine is told to do no more."""
    web.service(3)
    report = web.roll(
        lambda spec: spec.with_image("app:2").with_placement(constraints=["node.labels.x == y"]),
        deadline=20,
        on_failure="pause",
    )
    assert report.outcome == "paused"
    assert "no further slot converged within 20s" in why(report, "paused")


def test_a_failure_that_the_engine_masks_is_seen(sim: SimSwarm, web: Story) -> None:
    """It calls the update completed while one slot crash-loops (F 1.7)."""
    sim.image("mixed:1", healthcheck=True, healthy_after=8)
    sim.image("mixed:1", on_slots=[1], healthy_after=0.1, crashes_after=0.6)
    web.service(2)
    report = web.roll(image="mixed:1", strategy=Rolling(parallelism=0, monitor=2))
    assert report.outcome == "rolled_back"
    assert report.failures[0].slot == 1
    assert report.rolled_back_by == "swarmroll"
    assert web.running() == ["app:1"] * 2


def test_a_tolerated_failure_must_still_end_running(sim: SimSwarm, web: Story) -> None:
    """One of four may crash; but it has to come up in the end."""
    sim.image("flaky:1", on_slots=[2], crashes_after=1.0)
    web.service(4)
    sim.at(
        lambda: any(t.state.name == "FAILED" for t in web.tasks()),
        lambda: sim.image("flaky:1"),
    )
    report = web.roll(image="flaky:1", strategy=Rolling(max_failure_ratio=0.25))
    assert report.outcome == "completed"
    assert [evidence.slot for evidence in report.failures] == [2]
    assert {slot.slot: slot.proven_by for slot in report.slots}[2] == "watch"


def test_a_slot_that_fails_three_times_exceeds_any_ratio(sim: SimSwarm, web: Story) -> None:
    """A crash loop is not tolerated, however many others run."""
    sim.image("flaky:1", on_slots=[2], crashes_after=1.0)
    web.service(4)
    report = web.roll(image="flaky:1", strategy=Rolling(max_failure_ratio=0.9), deadline="5m")
    assert report.outcome == "rolled_back"
    assert "slot 2 failed 3 times" in why(report, "rolling_back")


@pytest.mark.parametrize(
    ("replicas", "ratio", "crashing", "outcome"),
    [
        (4, 0.25, 1, "completed"),
        (4, 0.25, 2, "rolled_back"),
        (4, 0.5, 2, "completed"),
        (5, 0.25, 2, "rolled_back"),
        (5, 0.0, 1, "rolled_back"),
    ],
)
def test_the_ratio_must_be_exceeded_not_reached(
    web: Story, replicas: int, ratio: float, crashing: int, outcome: str
) -> None:
    """As the engine counts, and over the slots that restart."""
    sim = web.sim
    sim.image("once:1", on_slots=range(1, crashing + 1), crashes_after=1.0)
    web.service(replicas)

    def all_crashed() -> bool:
        crashed = [t for t in web.tasks() if t.image == "once:1" and t.state.name == "FAILED"]
        return len({task.slot for task in crashed}) >= crashing

    sim.at(all_crashed, lambda: sim.image("once:1"))
    report = web.roll(image="once:1", strategy=Rolling(max_failure_ratio=ratio))
    assert report.outcome == outcome


def test_a_rollback_that_fails_needs_a_person(sim: SimSwarm, web: Story) -> None:
    """The old image has gone bad meanwhile: that is said, and nothing more is tried."""
    web.service(3)
    sim.at(lambda: web.spec.image == "crash:1", lambda: sim.image("app:1", missing=True))
    report = web.roll(image="crash:1")
    assert report.outcome == "rollback_failed"
    assert report.exit_code == 5
    assert "No such image: app:1" in why(report, "rollback_failed")
    assert any(evidence.in_rollback for evidence in report.failures)
    assert web.writes() == 1


def test_our_own_rollback_that_fails_is_not_rolled_back(sim: SimSwarm, web: Story) -> None:
    """The engine is told to pause, not to put the bad release on again."""
    web.service(3, rollback={"parallelism": 0})
    sim.at(lambda: web.spec.image == "crash:1", lambda: sim.image("app:1", crashes_after=1))
    report = web.roll(image="crash:1")
    assert report.outcome == "rollback_failed"
    assert web.spec.image == "app:1"
    assert web.spec.update_config.failure_action == "pause"


def test_a_rollback_that_can_never_be_placed_fails_at_its_own_deadline(
    sim: SimSwarm, web: Story
) -> None:
    """At least two minutes are given to it, and then it is a person's turn."""
    sim.node("node-1").label(old="yes")
    web.service(2, constraints=["node.labels.old == yes"])
    sim.at(lambda: web.spec.image == "crash:1", lambda: sim.node("node-1").label(old="no"))
    report = web.roll(
        lambda spec: spec.with_image("crash:1").with_placement(constraints=[]),
    )
    assert report.outcome == "rollback_failed"
    assert "no suitable node" in why(report, "rollback_failed")
    back = next(m.at for m in report.transitions if m.target == "rolling_back")
    assert 120 < report.finished_at - back < 180


def test_a_slow_way_back_is_given_the_time_its_own_config_asks_for(
    sim: SimSwarm, web: Story
) -> None:
    """A delay of five minutes between slots is no standstill."""
    web.service(3, rollback={"parallelism": 1, "delay": 300, "monitor": 400})
    sim.image("late:1", crashes_after=40)
    report = web.roll(image="late:1", strategy=Rolling(parallelism=0, monitor=2, bake=60))
    assert report.rolled_back_by == "swarmroll"
    assert report.outcome == "rolled_back"


def test_without_a_baseline_a_failure_pauses(sim: SimSwarm, web: Story) -> None:
    """There is nothing to go back to, and the plan says so."""
    sim.image("app:1", on_slots=[1], crashes_after=2)
    web.service(2)
    sim.run(60)
    report = web.roll(image="crash:1")
    assert report.outcome == "paused"
    assert "no-baseline" in [finding.code for finding in report.findings]


def test_the_engine_gets_two_seconds_to_act_first(web: Story) -> None:
    """Its own rollback is not raced by ours."""
    web.service(3)
    report = web.roll(image="crash:1")
    assert report.rolled_back_by == "engine"
    assert web.writes() == 1
    assert phases(report) == ["preparing", "updating", "rolling_back", "restoring", "rolled_back"]


def test_the_first_notice_comes_at_once(sim: SimSwarm, web: Story) -> None:
    """Within 30 ms of the engine's own decision, with the whole story."""
    web.service(3)
    report = web.roll(image="crash:1")
    decided = [at for at, state in sim.update_states("web") if state == "rollback_started"][-1]
    failed = next(event for event in web.told if type(event).__name__ == "TaskFailed")
    assert failed.at - sim.clock.wall + sim.now - decided < 0.03
    assert report.failures[0].error == "task: non-zero exit (1)"
