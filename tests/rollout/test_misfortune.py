"""Lost answers, old reads, events that do not come, managers and nodes that go."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from swarmroll import EngineUnavailable, Rolling
from swarmroll.sim import SimSwarm

from .conftest import Story, just_before_write, phases, why

LOST = [
    "reset-before-commit",
    "reset-after-commit",
    "timeout",
    "timeout-after-commit",
    "500",
    "503",
    "out-of-sequence",
]


# --- writes


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("fault", LOST)
def test_a_write_whose_answer_is_lost_is_stored_once(
    sim: SimSwarm, web: Story, fault: str, times: int
) -> None:
    """One intent, one write, whether it had arrived or not."""
    web.service(3)
    sim.fail_next("ServiceUpdate", fault, times=times)
    report = web.roll()
    assert report.outcome == "completed"
    assert web.writes() == 1


@pytest.mark.parametrize("fault", LOST)
def test_putting_back_is_stored_once(sim: SimSwarm, web: Story, fault: str) -> None:
    """The way back survives the same misfortune; what was borrowed is given back too."""
    web.service(3, rollback={"parallelism": 0})
    sim.fail_next("ServiceUpdate", fault, times=2, after=1)
    report = web.roll(image="crash:1")
    assert report.outcome == "rolled_back"
    assert web.running() == ["app:1"] * 3
    assert web.writes() == 3


@pytest.mark.parametrize("fault", ["reset-after-commit", "timeout-after-commit"])
def test_an_engine_that_rolls_back_before_we_hear_of_our_write(
    sim: SimSwarm, web: Story, fault: str
) -> None:
    """The bad release came and went while its answer was lost: it is not sent once more."""
    web.service(3)
    sim.fail_next("ServiceUpdate", fault)
    late = sim.engine(request_timeout=30)
    assert late.request_timeout == 30
    report = web.roll(image="missing:1")
    assert report.outcome == "rolled_back"
    assert report.rolled_back_by == "engine"
    assert web.writes() == 1


@pytest.mark.parametrize("image", ["missing:1", "crash:1"])
def test_the_culprit_of_a_rollback_is_named_though_the_stored_spec_was_never_seen(
    sim: SimSwarm, web: Story, image: str
) -> None:
    """The engine keeps a network by its id: tasks made of that do not look like what was sent."""
    sim.network("backend")
    web.service(3)
    sim.fail_next("ServiceUpdate", "timeout-after-commit")
    report = web.roll(lambda spec: spec.with_networks(["backend"]), image=image)
    assert report.outcome == "rolled_back"
    assert report.rolled_back_by == "engine"
    assert web.writes() == 1
    assert [f"{e.slot} on node {e.node}:" in report.headline for e in report.failures] == [True]


def test_a_write_that_nobody_ever_takes_is_given_up(sim: SimSwarm, web: Story) -> None:
    """After several tries, nothing having been written, it is refused."""
    web.service(3)
    sim.fail_next("ServiceUpdate", "503", times=50)
    report = web.roll()
    assert report.outcome == "refused"
    assert "no clear answer to 7 tries" in report.headline
    assert web.running() == ["app:1"] * 3


def test_a_spec_that_the_engine_refuses_is_refused_in_its_words(web: Story) -> None:
    """Before anything is changed."""
    web.service(3)
    report = web.roll(
        lambda spec: spec.with_path(
            "TaskTemplate.ContainerSpec.Secrets",
            [{"SecretID": "nope", "SecretName": "nope", "File": {"Name": "x"}}],
        )
    )
    assert report.outcome == "refused"
    assert "secret" in report.headline
    assert web.writes() == 0


def test_a_baseline_that_the_engine_refuses_needs_a_person(sim: SimSwarm, web: Story) -> None:
    """Its secret was removed meanwhile: the old spec cannot be written any more."""
    secret = sim.secret("key")
    reference = {"SecretID": secret, "SecretName": "key", "File": {"Name": "key"}}
    web.service(2, rollback={"parallelism": 0})
    web.roll(
        lambda spec: spec.with_path("TaskTemplate.ContainerSpec.Secrets", [reference]),
    )
    assert web.spec.image == "app:1"
    remove = just_before_write("failures_exceeded", lambda: sim.remove_secret("key"))
    report = web.roll(
        lambda spec: spec.with_image("crash:1").without_path("TaskTemplate.ContainerSpec.Secrets"),
        observers=[remove],
    )
    assert report.outcome == "rollback_failed"
    assert "the engine refused the spec" in why(report, "rollback_failed")


# --- reads


@pytest.mark.parametrize("operation", ["ServiceInspect", "TaskList", "NodeList"])
@pytest.mark.parametrize("fault", ["reset-before-commit", "timeout", "500", "503"])
def test_a_read_that_fails_is_repeated(
    sim: SimSwarm, web: Story, operation: str, fault: str
) -> None:
    """The verdict is the same."""
    web.service(3)
    sim.fail_next(operation, fault, times=2, after=2)
    assert web.roll().outcome == "completed"


@pytest.mark.parametrize("after", range(1, 8))
@pytest.mark.parametrize("operation", ["ServiceInspect", "TaskList"])
def test_an_old_answer_does_not_mislead(
    sim: SimSwarm, web: Story, operation: str, after: int
) -> None:
    """A manager that lags behind shows what was; nothing is written twice, or called done."""
    web.service(3)
    sim.fail_next(operation, "stale-read", times=2, after=after)
    report = web.roll()
    assert report.outcome == "completed"
    assert web.writes() == 1
    assert web.running() == ["app:2"] * 3


@pytest.mark.parametrize("after", range(1, 12, 2))
def test_an_old_answer_does_not_mislead_on_the_way_back(
    sim: SimSwarm, web: Story, after: int
) -> None:
    """Nor there."""
    web.service(3, rollback={"parallelism": 0})
    sim.fail_next("ServiceInspect", "stale-read", times=2, after=after)
    report = web.roll(image="crash:1")
    assert report.outcome == "rolled_back"
    assert web.running() == ["app:1"] * 3


def test_an_engine_out_of_reach_lets_go(sim: SimSwarm, web: Story) -> None:
    """The driver detaches with what it knows; the rollout is left as it stands."""
    web.service(3)
    swarm = web.connect(patience=5.0)
    sim.at(
        lambda: web.rolling() == 1,
        lambda: sim.fail_next("ServiceInspect", "503", times=1000),
    )
    with pytest.raises(EngineUnavailable) as failed:
        swarm.update("web", image="app:2")
    report = failed.value.report
    assert report is not None
    assert report.outcome == "detached"
    assert report.exit_code == 8
    assert phases(report) == ["preparing", "updating"]


def test_a_rollout_that_was_let_go_can_be_taken_up(sim: SimSwarm, web: Story) -> None:
    """From where it was, to the end that a driver that lived would have reached."""
    web.service(3)
    sim.at(
        lambda: web.rolling() == 1,
        lambda: sim.fail_next("ServiceInspect", "503", times=150),
    )
    with pytest.raises(EngineUnavailable):
        web.connect(patience=5.0).update("web", image="app:2")
    report = None
    for _ in range(5):
        try:
            report = web.swarm.attach("web").wait(30)
            break
        except EngineUnavailable:
            continue
    assert report is not None
    assert report.outcome == "completed"
    assert web.writes() == 1
    assert web.running() == ["app:2"] * 3


# --- events


@pytest.mark.parametrize("image", ["app:2", "crash:1", "missing:1"])
def test_without_events_the_verdict_is_the_same(image: str) -> None:
    """And comes at most one heartbeat later."""

    def story(*, events: bool) -> tuple[list[str], float]:
        with SimSwarm(seed=7) as sim:
            for name, crash in (("app:1", None), ("app:2", None), ("crash:1", 1.0)):
                sim.image(name, crashes_after=crash)
            web = Story(sim).service(3)
            if not events:
                sim.events_off()
            begun = sim.now
            report = web.roll(image=image)
            return phases(report), sim.now - begun

    with_events, soon = story(events=True)
    without, later = story(events=False)
    assert without == with_events
    assert later - soon <= 5.0 + 0.1


@pytest.mark.parametrize("at", [0.5, 3.0, 6.0])
@pytest.mark.parametrize("image", ["app:2", "crash:1"])
def test_events_that_break_in_the_middle_change_nothing(
    sim: SimSwarm, web: Story, image: str, at: float
) -> None:
    """Whatever was missed is looked at."""
    web.service(3)
    sim.after(at, lambda: sim.break_events(2.0))
    report = web.roll(image=image)
    assert report.outcome == ("completed" if image == "app:2" else "rolled_back")


def test_after_a_gap_in_the_events_the_engines_word_is_not_enough(
    sim: SimSwarm, web: Story
) -> None:
    """A manager may have changed unseen: our own watch proves the slots."""
    web.service(3)
    sim.after(4.0, lambda: sim.break_events(0.5))
    report = web.roll()
    assert report.outcome == "completed"
    assert {slot.proven_by for slot in report.slots} == {"watch"}


# --- managers


@pytest.mark.parametrize("at", [0.005, 0.5, 3.0, 6.0, 9.0])
@pytest.mark.parametrize("order", ["stop-first", "start-first"])
def test_a_change_of_leader_does_not_fail_a_good_release(order: str, at: float) -> None:
    """Completed; and "healthy" is called the engine's word."""
    with SimSwarm(nodes=4, managers=3, seed=7) as sim:
        sim.image("app:1")
        sim.image("app:2")
        web = Story(sim).service(3)
        sim.after(at, lambda: sim.change_leader(election=12.0))
        report = web.roll(strategy=Rolling(order=order))
        assert report.outcome == "completed"
        assert web.writes() == 1
        assert web.running() == ["app:2"] * 3


def test_after_a_change_of_leader_our_own_watch_decides() -> None:
    """The new leader says completed at once, with nobody having watched (F 1.14)."""
    with SimSwarm(nodes=4, managers=3, seed=7) as other:
        other.image("app:1")
        other.image("late:1", crashes_after=25.0)
        web = Story(other).service(2)
        other.at(lambda: web.rolling("late:1") == 2, lambda: other.change_leader(election=2.0))
        report = web.roll(image="late:1", strategy=Rolling(monitor=60))
        assert report.outcome == "rolled_back"
        assert report.rolled_back_by == "swarmroll"


def test_after_a_change_of_leader_health_is_the_engines_word() -> None:
    """RUNNING may be reported too early then (F 1.14)."""
    with SimSwarm(nodes=4, managers=3, seed=7) as other:
        other.image("app:1")
        other.image("app:2", healthcheck=True)
        web = Story(other).service(2)
        other.at(lambda: web.rolling() == 1, lambda: other.change_leader(election=2.0))
        report = web.roll(
            lambda spec: spec.with_image("app:2").with_healthcheck(test=["CMD", "true"])
        )
        assert report.outcome == "completed"
        assert {slot.health for slot in report.slots} == {"reported by the engine"}


@pytest.mark.parametrize("at", [2.0, 4.0, 6.0])
def test_a_change_of_leader_does_not_save_a_bad_release(at: float) -> None:
    """It is put back by the engine, or by us."""
    with SimSwarm(nodes=4, managers=3, seed=7) as sim:
        sim.image("app:1")
        sim.image("crash:1", crashes_after=1.0)
        web = Story(sim).service(3)
        sim.after(at, lambda: sim.change_leader(election=12.0))
        report = web.roll(image="crash:1")
        assert report.outcome == "rolled_back"
        assert web.running() == ["app:1"] * 3


# --- nodes

Trouble = Callable[[SimSwarm, str], None]

NODES: dict[str, Trouble] = {
    "lost": lambda sim, node: sim.node(node).down(),
    "drained": lambda sim, node: sim.node(node).drain(),
}


def of_new_task(web: Story) -> str:
    return next(t.node_id for t in web.tasks() if t.running and t.image == "app:2")


@pytest.mark.parametrize("on_failure", ["rollback", "pause"])
@pytest.mark.parametrize("rollback", [None, {"parallelism": 0}], ids=["safe", "unsafe"])
@pytest.mark.parametrize("what", NODES)
def test_a_node_in_trouble_does_not_fail_a_good_release(
    what: str, rollback: dict[str, int] | None, on_failure: str
) -> None:
    """Completed, unless the engine itself rolls back; its tasks are displaced, not failed."""
    with SimSwarm(nodes=5, managers=1, seed=7) as sim:
        sim.image("app:1")
        sim.image("app:2")
        web = Story(sim).service(4, rollback=rollback)
        sim.at(lambda: web.rolling() == 2, lambda: NODES[what](sim, of_new_task(web)))
        report = web.roll(strategy=Rolling(monitor=25), on_failure=on_failure)
        assert not report.failures
        if report.rolled_back_by == "engine":
            assert rollback is None
            assert on_failure == "rollback"
            assert report.outcome == "rolled_back"
            assert "through no fault of the release" in why(report, "rolling_back")
        else:
            assert report.outcome == "completed"
            assert web.running() == ["app:2"] * 4
        assert report.displaced > 0


@pytest.mark.parametrize("order", ["stop-first", "start-first"])
def test_a_node_drained_on_the_way_back_does_not_fail_it(order: str) -> None:
    """The old tasks come up elsewhere, and are proven there."""
    with SimSwarm(nodes=5, managers=1, seed=7) as other:
        other.image("app:1")
        other.image("crash:1", crashes_after=1.0)
        web = Story(other).service(4, rollback={"parallelism": 0, "monitor": 20})
        old = {task.id for task in web.tasks()}

        def a_new_old_one() -> list[str]:
            return [
                t.node_id
                for t in web.tasks()
                if t.running and t.image == "app:1" and t.id not in old
            ]

        other.at(
            lambda: web.spec.image == "app:1" and bool(a_new_old_one()),
            lambda: other.node(a_new_old_one()[0]).drain(),
        )
        report = web.roll(image="crash:1", strategy=Rolling(parallelism=2, order=order))
        assert report.outcome == "rolled_back"
        assert web.running() == ["app:1"] * 4


def test_a_container_that_somebody_stops_is_displaced(sim: SimSwarm, web: Story) -> None:
    """``docker stop`` is no fault of the release."""
    web.service(4)
    sim.at(
        lambda: web.rolling() == 4,
        lambda: sim.kill_container("web", 1, exit_code=143),
    )
    report = web.roll(strategy=Rolling(bake=20, monitor=1))
    assert report.outcome == "completed"
    assert report.displaced == 1
    assert not report.failures


def test_a_worker_lost_for_good_leaves_its_slots_elsewhere(sim: SimSwarm, web: Story) -> None:
    """Every slot is proven where it runs now."""
    web.service(6)
    sim.at(lambda: web.rolling() == 3, lambda: sim.node("node-3").down())
    report = web.roll(strategy=Rolling(parallelism=2, monitor=2))
    assert report.outcome == "completed"
    assert "node-3" not in {slot.node for slot in report.slots}


def test_a_node_lost_on_the_way_back_does_not_stop_it() -> None:
    """The engine waits for ever for a task that never came up there (updater.go); we do not."""
    with SimSwarm(nodes=5, managers=1, seed=7) as sim:
        sim.image("app:1")
        sim.image("crash:1", crashes_after=1.0)
        web = Story(sim).service(4, rollback={"parallelism": 0, "monitor": 2})
        old = {task.id for task in web.tasks()}

        def coming_up() -> list[str]:
            return [
                t.node_id
                for t in web.tasks()
                if t.image == "app:1" and t.id not in old and t.state.name == "STARTING"
            ]

        sim.at(lambda: bool(coming_up()), lambda: sim.node(coming_up()[0]).down())
        report = web.roll(image="crash:1", strategy=Rolling(parallelism=2))
        assert report.outcome == "rolled_back"
        assert web.running() == ["app:1"] * 4
        assert any("waits for a task whose node is lost" in note for note in report.notes)
