"""Scaling, and writing again in the middle of an update."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from swarmroll.core.snapshot import TaskState
from swarmroll.core.spec import ServiceSpec
from swarmroll.sim import SimSwarm

if TYPE_CHECKING:
    from tests.sim.conftest import Web


def _with(spec: ServiceSpec, **top: Any) -> dict[str, Any]:
    return {**spec.to_engine(), **top}


def _replicas(count: int) -> dict[str, Any]:
    return {"Replicated": {"Replicas": count}}


def test_slots_added_by_an_update_start_at_once_on_the_new_image(sim: SimSwarm, web: Web) -> None:
    """Image and 2 to 5 replicas: slots 3, 4 and 5 do not wait for their turn."""
    sim.create_service("web", image="app:1", replicas=2)
    sim.update_service("web", lambda s: _with(s.with_image("app:2"), Mode=_replicas(5)))
    sim.run(1)
    assert {t.slot for t in web.tasks() if t.image == "app:2" and t.running} == {3, 4, 5}


def test_failures_of_added_slots_do_not_count(sim: SimSwarm, web: Web) -> None:
    """They are no part of the update."""
    sim.create_service("web", image="app:1", replicas=1, update={"monitor": 5, "parallelism": 1})
    sim.image("mixed:1", crashes_after=0.2, on_slots=[2])
    sim.update_service("web", lambda s: _with(s.with_image("mixed:1"), Mode=_replicas(2)))
    sim.run(20)
    assert web.state() == "completed"


def test_scaling_down_alone_shows_tasks_to_remove_until_they_have_stopped(
    sim: SimSwarm, web: Web
) -> None:
    """Then they are forgotten within 250 ms; there is never an update status."""
    sim.create_service("web", image="app:1", replicas=3)
    sim.scale("web", 1)
    sim.run(0.5)
    going = [task for task in web.tasks() if task.desired is TaskState.REMOVE]
    assert [task.state for task in going] == [TaskState.RUNNING] * 2
    sim.run(1.5)
    assert [(task.slot, task.state) for task in web.tasks()] == [(1, TaskState.RUNNING)]
    assert web.states() == [None]


def test_scaling_down_with_a_new_image_forgets_the_surplus_at_once(sim: SimSwarm, web: Web) -> None:
    """Their containers may still be stopping."""
    sim.create_service("web", image="app:1", replicas=3)
    sim.update_service("web", lambda s: _with(s.with_image("app:2"), Mode=_replicas(1)))
    sim.run(0.1)
    assert {task.slot for task in web.tasks()} == {1}


def test_an_identical_post_in_the_middle_hides_the_end(sim: SimSwarm, web: Web) -> None:
    """The update goes on, and no status ever appears again."""
    sim.create_service("web", image="app:1", replicas=3)
    sim.update_service("web", image="app:2")
    sim.run(1)
    sim.update_service("web")
    sim.settle()
    assert web.images() == ["app:2"] * 3
    assert web.states() == [None, "updating", None]
    previous = sim.service("web").previous_spec
    assert previous is not None
    assert previous.image == "app:2"


def test_after_an_identical_post_a_failure_neither_pauses_nor_rolls_back(
    sim: SimSwarm, web: Web
) -> None:
    """Those paths give up as well when the status is absent."""
    sim.create_service(
        "web", image="app:1", replicas=2, update={"parallelism": 1, "failure_action": "rollback"}
    )
    sim.update_service("web", image="bad:1")
    sim.run(1)
    sim.update_service("web")
    sim.run(60)
    assert web.state() is None
    assert sim.service("web").spec.image == "bad:1"


def test_another_update_config_in_the_middle_goes_on_with_the_rest(sim: SimSwarm, web: Web) -> None:
    """Finished slots are not done again; this is how a canary is promoted."""
    sim.create_service("web", image="app:1", replicas=4, update={"parallelism": 1, "delay": 86_400})
    sim.update_service("web", image="app:2")
    sim.run(30)
    assert web.running("app:2") == 1
    first = {task.id for task in web.runnable() if task.image == "app:2"}
    sim.update_service("web", lambda s: _with(s, UpdateConfig={"Parallelism": 1}))
    sim.settle()
    assert web.images() == ["app:2"] * 4
    assert first <= {task.id for task in web.runnable()}
    assert web.states() == [None, "updating", None, "updating", "completed"]


def test_promoting_a_canary_loses_the_original_spec(sim: SimSwarm, web: Web) -> None:
    """A rollback from there goes to the new image."""
    sim.create_service("web", image="app:1", replicas=2, update={"parallelism": 1, "delay": 86_400})
    sim.update_service("web", image="app:2")
    sim.run(30)
    sim.update_service("web", lambda s: _with(s, UpdateConfig={"Parallelism": 1}))
    sim.settle()
    sim.rollback_service("web")
    sim.run(30)
    assert web.images() == ["app:2"] * 2


def test_a_held_canary_leaks_into_slots_whose_old_task_dies(sim: SimSwarm, web: Web) -> None:
    """The restart policy makes tasks from the current spec."""
    sim.create_service("web", image="app:1", replicas=4, update={"parallelism": 1, "delay": 86_400})
    sim.update_service("web", image="app:2")
    sim.run(30)
    slot = next(task.slot for task in web.runnable() if task.image == "app:1")
    assert slot is not None
    sim.kill_container("web", slot)
    sim.run(10)
    assert web.running("app:2") == 2


def test_a_config_change_in_flight_drops_the_old_task_before_the_new_one_runs(
    sim: SimSwarm, web: Web
) -> None:
    """start-first: capacity is lost though nothing failed."""
    sim.create_service(
        "web", image="app:1", replicas=2, update={"parallelism": 1, "order": "start-first"}
    )
    sim.image("slow:1", starts_in=20.0)
    sim.update_service("web", image="slow:1")
    sim.run(3)
    assert web.running("app:1") == 2
    sim.update_service(
        "web",
        lambda s: _with(s, UpdateConfig={"Parallelism": 1, "Order": "start-first"} | {"Delay": 1}),
    )
    sim.run(0.1)
    assert web.running("app:1") == 1
    assert web.running("slow:1") == 0


def test_a_new_template_in_the_middle_makes_every_slot_dirty_again(sim: SimSwarm, web: Web) -> None:
    """Those just updated, too."""
    sim.image("app:3")
    sim.create_service("web", image="app:1", replicas=3)
    sim.update_service("web", image="app:2")
    sim.run_until(lambda: web.running("app:2") == 1)
    sim.update_service("web", image="app:3")
    sim.settle()
    assert web.images() == ["app:3"] * 3


def test_putting_the_old_template_back_leaves_untouched_slots_alone(
    sim: SimSwarm, web: Web
) -> None:
    """To the engine this is an update like any other."""
    sim.create_service("web", image="app:1", replicas=3)
    good = sim.service("web").spec
    before = {task.id for task in web.runnable()}
    sim.update_service("web", image="app:2")
    sim.run_until(lambda: web.running("app:2") == 1)
    sim.update_service("web", lambda _: good)
    sim.settle()
    assert len({task.id for task in web.runnable()} & before) >= 1
    assert web.images() == ["app:1"] * 3
    assert web.state() == "completed"


def test_an_update_during_a_rollback_abandons_it(sim: SimSwarm, web: Web) -> None:
    """Plain updating from the mixed state; previous spec is what was being rolled back to."""
    sim.image("app:3")
    sim.create_service("web", image="app:1", replicas=3)
    sim.update_service("web", image="app:2")
    sim.settle()
    sim.rollback_service("web")
    sim.run(1)
    sim.update_service("web", image="app:3")
    sim.settle()
    previous = sim.service("web").previous_spec
    assert previous is not None
    assert previous.image == "app:1"
    assert web.images() == ["app:3"] * 3
    assert web.state() == "completed"


@pytest.mark.parametrize("touch", ["label", "scale"])
def test_any_write_resumes_a_paused_update(sim: SimSwarm, web: Web, touch: str) -> None:
    """A label, or a scale, is enough."""
    sim.create_service("web", image="app:1", replicas=3)
    sim.update_service("web", image="bad:1")
    sim.run(60)
    assert web.state() == "paused"
    assert web.running("app:1") > 0
    sim.image("bad:1")
    if touch == "label":
        sim.update_service("web", lambda s: _with(s, Labels={"go": "on"}))
    else:
        sim.scale("web", 4)
    sim.settle()
    assert web.running("app:1") == 0
    assert web.state() == "completed"


def test_resuming_start_first_shuts_the_healthy_old_task_down_first(
    sim: SimSwarm, web: Web
) -> None:
    """The crash-looping new task waits in READY, and is taken for good."""
    sim.create_service("web", image="app:1", replicas=1, update={"order": "start-first"})
    sim.image("dead:1", start_error="exec: not found")
    sim.update_service("web", image="dead:1")
    sim.run(30)
    sim.run_until(lambda: any(t.state is TaskState.READY for t in web.tasks()))
    assert (web.state(), web.running("app:1")) == ("paused", 1)
    sim.update_service("web", lambda s: _with(s, Labels={"go": "on"}))
    sim.run(0.1)
    assert web.running("app:1") == 0


def test_the_same_post_while_a_paused_slot_is_in_flight_is_a_lost_resume(
    sim: SimSwarm, web: Web
) -> None:
    """Status absent, and the rest stays old until yet another post."""
    sim.create_service("web", image="app:1", replicas=8, update={"parallelism": 4, "delay": 1})
    sim.image("uneven:1", crashes_after=0.3, on_slots=range(1, 5))
    sim.image("uneven:1", healthcheck=True, healthy_after=60.0, on_slots=range(5, 9))
    sim.update_service("web", image="uneven:1")
    sim.run_until(lambda: web.state() == "paused")
    old = web.images().count("app:1")
    sim.update_service("web")
    sim.run(300)
    assert web.state() is None
    assert 0 < web.images().count("app:1") == old


def test_parallelism_is_exceeded_after_a_cancelled_stop_first_slot(sim: SimSwarm, web: Web) -> None:
    """Nobody waits for the slot that was in flight."""
    sim.create_service("web", image="app:1", replicas=3, update={"parallelism": 1})
    sim.update_service("web", image="app:2")
    sim.run(0.5)
    sim.update_service("web", lambda s: _with(s, UpdateConfig={"Parallelism": 1, "Delay": 1}))
    sim.run(0.5)
    assert web.images().count("app:2") == 2


def test_a_rollback_in_the_middle_replaces_the_slot_in_flight_again(
    sim: SimSwarm, web: Web
) -> None:
    """It first finishes its start on the new image."""
    sim.create_service("web", image="app:1", replicas=2, rollback={"parallelism": 1})
    sim.update_service("web", image="app:2")
    sim.run(1)
    sim.rollback_service("web")
    sim.settle()
    assert web.images() == ["app:1"] * 2
    assert any("RUNNING" in line for line in web.trace())
    assert web.states() == [None, "updating", "rollback_started", "rollback_completed"]


def test_without_a_previous_spec_a_failed_update_stays_updating(sim: SimSwarm, web: Web) -> None:
    """The rollback cannot be written, and nobody goes on."""
    sim.create_service("web", image="app:1", update={"failure_action": "rollback"})
    sim.update_service("web", image="bad:1")
    sim.control.find("web").previous = None
    sim.run(60)
    assert web.state() == "updating"


def test_credentials_alone_restart_only_what_has_no_image_yet(sim: SimSwarm, web: Web) -> None:
    """READY to RUNNING keeps its task; pending is replaced."""
    sim.create_service("web", image="app:1", replicas=2, max_per_node=1)
    sim.scale("web", 4)
    sim.run(2)
    before = {t.id: t.state for t in web.runnable()}
    assert list(before.values()).count(TaskState.PENDING) == 1
    service = sim.control.find("web")
    sim.control.update(service.id, service.version, service.spec.doc, auth="token")
    sim.run(10)
    kept = {t.id for t in web.runnable()} & set(before)
    assert {before[task] for task in kept} == {TaskState.RUNNING}
    assert len(kept) == 3


def test_scaling_down_keeps_what_runs_and_low_numbers_and_scaling_up_fills_gaps() -> None:
    """On one node: the slot that does not run goes first, and then the highest number."""
    with SimSwarm(nodes=1) as sim:
        sim.image("app:1", crashes_after=0.2, on_slots=[2])
        sim.create_service("web", image="app:1", replicas=5, restart={"delay": 30}, settle=0)

        def slots() -> set[int | None]:
            sim.run(5)
            return {task.slot for task in sim.tasks("web") if task.runnable}

        assert slots() == {1, 2, 3, 4, 5}
        sim.scale("web", 4)
        assert slots() == {1, 3, 4, 5}
        sim.scale("web", 3)
        assert slots() == {1, 3, 4}
        sim.scale("web", 4)
        assert slots() == {1, 2, 3, 4}


def test_scaling_down_takes_second_copies_of_a_node_first(sim: SimSwarm, web: Web) -> None:
    """Four tasks on three nodes, and one too many: each node keeps one."""
    sim.create_service("web", image="app:1", replicas=4)
    sim.scale("web", 3)
    sim.settle()
    assert len({task.node_id for task in web.runnable()}) == 3


def test_failures_of_a_cancelled_update_do_not_count(sim: SimSwarm, web: Web) -> None:
    """Another update config is enough to forget who was to be watched; who comes after, counts."""
    sim.image("late:1", crashes_after=10.0)
    pace = {"Parallelism": 1, "Monitor": 60_000_000_000}
    sim.create_service(
        "web",
        image="app:1",
        replicas=2,
        update={"parallelism": 1, "monitor": 60, "delay": 3600},
        restart={"delay": 3600},
    )
    sim.update_service("web", image="late:1")
    sim.run(5)
    sim.update_service("web", lambda s: _with(s, UpdateConfig=pace))
    sim.run(9)
    (first,) = [task for task in web.tasks() if task.state is TaskState.FAILED]
    assert web.state() == "updating"
    sim.run(10)
    assert web.state() == "paused"
    assert first.id not in web.message()


def test_the_ratio_is_of_the_slots_that_were_left(sim: SimSwarm, web: Web) -> None:
    """One of the three that are left is more than 0.3; one of all four would not be."""
    pace = {"Parallelism": 1, "MaxFailureRatio": 0.3}
    sim.create_service(
        "web",
        image="app:1",
        replicas=4,
        update={"parallelism": 1, "delay": 3600, "max_failure_ratio": 0.3},
        restart={"condition": "none"},
    )
    sim.update_service("web", image="app:2")
    sim.run(30)
    assert web.running("app:2") == 1
    sim.image("app:2", crashes_after=0.5)
    sim.update_service("web", lambda s: _with(s, UpdateConfig=pace | {"Delay": 3_000_000_000}))
    sim.run(60)
    assert web.state() == "paused"
    assert len([task for task in web.tasks() if task.state is TaskState.FAILED]) == 1


def test_posting_again_what_has_nothing_left_to_do_says_nothing(sim: SimSwarm, web: Web) -> None:
    """Paused by its last slot, which is not restarted: the status goes, and nothing comes."""
    sim.create_service("web", image="app:1", restart={"condition": "none"})
    sim.update_service("web", image="bad:1")
    sim.settle()
    assert web.state() == "paused"
    before = web.tasks()
    sim.update_service("web")
    sim.run(60)
    assert web.state() is None
    assert web.tasks() == before
