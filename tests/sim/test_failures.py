"""What an update takes for a failure, and what it does then."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from swarmroll.core.snapshot import TaskState
from swarmroll.sim import SimSwarm

if TYPE_CHECKING:
    from tests.sim.conftest import Web


def test_the_first_crash_pauses_an_update_and_names_the_task(sim: SimSwarm, web: Web) -> None:
    """The failing task's id stands only in the message."""
    sim.create_service("web", image="app:1", replicas=3)
    sim.update_service("web", image="bad:1")
    sim.run_until(lambda: web.state() == "paused")
    failed = [task for task in web.tasks() if task.state is TaskState.FAILED]
    assert web.message() == (
        f"update paused due to failure or early termination of task {failed[0].id}"
    )
    status = sim.service("web").update_status
    assert status is not None
    assert status.completed_at is None


def test_a_process_that_ends_well_is_a_failure_too(sim: SimSwarm, web: Web) -> None:
    """Exit code 0 within the monitor is an early termination."""
    sim.image("once:1", crashes_after=1.0, exit_code=0)
    sim.create_service("web", image="app:1")
    sim.update_service("web", image="once:1")
    sim.run(30)
    assert web.states()[-1] == "paused"


def test_a_rejected_image_is_a_failure(sim: SimSwarm, web: Web) -> None:
    """It never ran, and counts from the moment in which it was rejected."""
    sim.create_service("web", image="app:1", update={"failure_action": "rollback"})
    sim.update_service("web", image="nowhere:1")
    sim.settle()
    assert web.states() == [
        None,
        "updating",
        "rollback_started",
        "rollback_completed",
    ]
    rejected = [task for task in web.tasks() if task.state is TaskState.REJECTED]
    assert rejected[0].error == "No such image: nowhere:1"


def test_a_drained_node_fails_an_update(sim: SimSwarm, web: Web) -> None:
    """A new task that is shut down within its monitor counts."""
    sim.create_service("web", image="app:1", replicas=1)
    sim.update_service("web", image="app:2")
    sim.run_until(lambda: web.running("app:2") == 1)
    (task,) = web.runnable()
    sim.node(task.node_id).drain()
    sim.run(4)
    assert web.state() == "paused"


def test_a_crash_after_the_monitor_is_no_failure(sim: SimSwarm, web: Web) -> None:
    """The update is completed, and crash-loops."""
    sim.image("late:1", crashes_after=2.5)
    sim.create_service("web", image="app:1", update={"parallelism": 1, "monitor": 2})
    sim.update_service("web", image="late:1")
    sim.run(30)
    assert web.states() == [None, "updating", "completed"]


@pytest.mark.parametrize(
    ("ratio", "replicas", "tolerated"), [(0.0, 4, 0), (0.25, 4, 1), (0.5, 4, 2), (0.25, 5, 1)]
)
def test_the_ratio_must_be_exceeded_not_reached(
    sim: SimSwarm, web: Web, ratio: float, replicas: int, tolerated: int
) -> None:
    """So many failures of dirty slots are tolerated, and one more is not."""
    sim.create_service(
        "web",
        image="app:1",
        replicas=replicas,
        update={"parallelism": 1, "delay": 3, "max_failure_ratio": ratio},
        restart={"condition": "none"},
    )
    sim.image("mixed:1")
    sim.image("mixed:1", crashes_after=0.5, on_slots=range(1, tolerated + 1))
    sim.update_service("web", image="mixed:1")
    sim.settle()
    assert web.state() == "completed"
    sim.image("worse:1")
    sim.image("worse:1", crashes_after=0.5, on_slots=range(1, tolerated + 2))
    sim.update_service("web", image="worse:1")
    sim.settle()
    assert web.state() == "paused"


def test_failures_of_restarted_tasks_do_not_count(sim: SimSwarm, web: Web) -> None:
    """At most one failure a slot: with a ratio of 0.5 one slot may crash for ever."""
    sim.create_service(
        "web",
        image="app:1",
        replicas=2,
        update={"parallelism": 2, "monitor": 20, "max_failure_ratio": 0.5},
        restart={"delay": 0.5},
    )
    sim.image("half:1")
    sim.image("half:1", crashes_after=0.3, on_slots=[1])
    sim.update_service("web", image="half:1")
    sim.run(40)
    assert web.state() == "completed"


def test_a_slow_neighbour_masks_a_failure(sim: SimSwarm, web: Web) -> None:
    """Slot 1 crash-loops, slot 2 needs 8 s to be healthy, monitor 2: completed."""
    sim.create_service(
        "web",
        image="app:1",
        replicas=2,
        update={"parallelism": 0, "failure_action": "rollback", "monitor": 2},
    )
    sim.image("masked:1", crashes_after=0.6, on_slots=[1])
    sim.image("masked:1", healthcheck=True, healthy_after=8.0, on_slots=[2])
    sim.update_service("web", image="masked:1")
    sim.run(20)
    assert web.states() == [None, "updating", "completed"]


def test_a_longer_monitor_unmasks_it(sim: SimSwarm, web: Web) -> None:
    """The same run with a monitor of 30 s is rolled back."""
    sim.create_service(
        "web",
        image="app:1",
        replicas=2,
        update={"parallelism": 0, "failure_action": "rollback", "monitor": 30},
    )
    sim.image("masked:1", crashes_after=0.6, on_slots=[1])
    sim.image("masked:1", healthcheck=True, healthy_after=8.0, on_slots=[2])
    sim.update_service("web", image="masked:1")
    sim.run(60)
    assert "rollback_completed" in web.states()


def test_the_widened_window_counts_a_crash_of_the_last_slot_only(sim: SimSwarm, web: Web) -> None:
    """Delay 6, monitor 2, crash 4 s after the start: paused after everything is replaced."""
    sim.image("late:1", crashes_after=4.0)
    sim.create_service(
        "web", image="app:1", replicas=3, update={"parallelism": 1, "delay": 6, "monitor": 2}
    )
    sim.update_service("web", image="late:1")
    sim.run_until(lambda: web.state() == "paused", 120)
    assert web.images() == ["late:1"] * 3


def test_one_more_slot_may_be_started_after_the_fatal_failure() -> None:
    """When a failure and a free worker come together, either may win."""
    touched = set()
    for seed in range(12):
        with SimSwarm(seed=seed) as sim:
            sim.create_service(
                "web",
                image="app:1",
                replicas=4,
                update={"parallelism": 1, "order": "start-first"},
                restart={"condition": "none"},
            )
            sim.update_service("web", image="nowhere:1")
            sim.settle()
            touched.add(sum(1 for task in sim.tasks("web") if task.image == "nowhere:1"))
    assert {1, 2} <= touched


def test_with_continue_nothing_is_counted(sim: SimSwarm, web: Web) -> None:
    """Every task crashes, and the update ends completed."""
    sim.create_service(
        "web", image="app:1", replicas=3, update={"failure_action": "continue", "parallelism": 1}
    )
    sim.update_service("web", image="bad:1")
    sim.run(60)
    assert web.states() == [None, "updating", "completed"]


def test_a_paused_service_stays_mixed_and_keeps_restarting_the_new(sim: SimSwarm, web: Web) -> None:
    """The restart policy goes on, with the new spec."""
    sim.create_service("web", image="app:1", replicas=3, update={"parallelism": 1})
    sim.image("bad:2", crashes_after=1.0)
    sim.update_service("web", image="bad:2")
    sim.run(120)
    assert web.state() == "paused"
    assert web.running("app:1") in {1, 2}
    assert sum(1 for t in web.tasks() if t.image == "bad:2" and t.state is TaskState.FAILED) >= 3


def test_in_flight_slots_run_to_their_end_after_a_pause(sim: SimSwarm, web: Web) -> None:
    """A slow start-first worker still takes its old task's life while paused."""
    sim.create_service(
        "web",
        image="app:1",
        replicas=8,
        update={"parallelism": 4, "delay": 3, "order": "start-first"},
    )
    sim.image("uneven:1", crashes_after=0.3, on_slots=range(1, 5))
    sim.image("uneven:1", starts_in=10.0, on_slots=range(5, 9))
    sim.update_service("web", image="uneven:1")
    sim.run_until(lambda: web.state() == "paused")
    in_flight = {t.slot for t in web.runnable() if t.image == "uneven:1" and t.slot in range(5, 9)}
    old = {t.slot for t in web.runnable() if t.image == "app:1"}
    assert in_flight
    assert in_flight <= old
    sim.run(12)
    assert not in_flight & {t.slot for t in web.runnable() if t.image == "app:1"}


def test_an_automatic_rollback_keeps_the_start_and_forgets_the_previous_spec(
    sim: SimSwarm, web: Web
) -> None:
    """There is nothing left to roll back to."""
    sim.create_service("web", image="app:1", update={"failure_action": "rollback"})
    sim.update_service("web", image="bad:1")
    sim.run_until(lambda: web.state() == "updating")
    began = sim.service("web").update_status
    sim.settle()
    service = sim.service("web")
    assert service.update_status is not None
    assert began is not None
    assert service.update_status.started_at == began.started_at
    assert service.previous_spec is None
    assert web.images() == ["app:1"]


def test_a_slow_start_does_not_use_up_the_monitor(sim: SimSwarm, web: Web) -> None:
    """It counts from RUNNING: ten seconds to start, a crash one second later, monitor 2."""
    sim.image("slow:1", starts_in=10.0, crashes_after=1.0)
    sim.create_service("web", image="app:1", update={"parallelism": 1, "monitor": 2})
    sim.update_service("web", image="slow:1")
    sim.run(20)
    assert web.state() == "paused"


def test_a_label_that_is_taken_away_fails_an_update(sim: SimSwarm, web: Web) -> None:
    """The new task is rejected by the constraint enforcer within its monitor."""
    for number in (1, 2, 3):
        sim.node(f"node-{number}").label(disk="ssd")
    sim.create_service("web", image="app:1", constraints=["node.labels.disk == ssd"])
    sim.update_service("web", image="app:2")
    sim.run_until(lambda: web.running("app:2") == 1)
    sim.node(web.one(TaskState.RUNNING).node_id).label(disk=None)
    sim.run(2)
    assert web.state() == "paused"


def test_failures_of_slots_that_a_rollback_brings_back_do_not_count(
    sim: SimSwarm, web: Web
) -> None:
    """They were dead when it began, and are no part of it: completed, and they crash."""
    sim.create_service("web", image="app:1", replicas=2, restart={"condition": "none"})
    sim.update_service("web", lambda s: s.with_image("bad:1").with_path("UpdateConfig", {}))
    sim.run(20)
    assert web.runnable() == []
    sim.image("app:1", crashes_after=0.5)
    sim.rollback_service("web")
    sim.run(30)
    assert web.states()[-2:] == ["rollback_started", "rollback_completed"]
    assert web.running("app:1") == 0


def test_an_unhealthy_container_that_ends_well_costs_start_first_its_old_task(
    sim: SimSwarm, web: Web
) -> None:
    """It was RUNNING for an instant, which is enough."""
    sim.image(
        "sick:1",
        healthcheck=True,
        healthy_after=None,
        unhealthy_after=1.0,
        stop_exit_code=0,
    )
    sim.create_service(
        "web",
        image="app:1",
        update={"parallelism": 1, "order": "start-first"},
        restart={"condition": "on-failure"},
    )
    sim.update_service("web", image="sick:1")
    sim.run(60)
    assert web.state() == "paused"
    assert web.runnable() == []
