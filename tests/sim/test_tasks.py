"""States, restarts, history, health."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from swarmroll.core.snapshot import TaskState
from swarmroll.sim import SimSwarm

if TYPE_CHECKING:
    from tests.sim.conftest import Web


def test_a_task_goes_through_every_state(sim: SimSwarm, web: Web) -> None:
    """One after the other, skipping none."""
    sim.create_service("web", image="app:1")
    assert web.trace() == [
        "1 created, desired RUNNING",
        "1 PENDING",
        f"1 ASSIGNED to {_host(sim)}",
        "1 ACCEPTED",
        "1 PREPARING",
        "1 READY",
        "1 STARTING",
        "1 RUNNING",
    ]


def _host(sim: SimSwarm) -> str:
    node_id = sim.tasks("web")[0].node_id
    return next(node.hostname for node in sim.engine().nodes() if node.id == node_id)


def test_a_crashed_task_is_replaced_after_its_restart_delay(sim: SimSwarm, web: Web) -> None:
    """5 s, unless the policy says otherwise; the new task is prepared meanwhile."""
    sim.create_service("web", image="app:1", restart={"delay": 8})
    sim.kill_container("web", 1)
    sim.run(4)
    assert {(t.state, t.desired) for t in web.tasks()} == {
        (TaskState.FAILED, TaskState.SHUTDOWN),
        (TaskState.READY, TaskState.READY),
    }
    sim.run(5)
    assert web.running("app:1") == 1


def test_the_error_and_the_exit_code_of_a_crash_are_kept(sim: SimSwarm, web: Web) -> None:
    """In the engine's words."""
    sim.create_service("web", image="app:1")
    sim.kill_container("web", 1, exit_code=3)
    failed = web.one(TaskState.FAILED)
    assert (failed.message, failed.error, failed.exit_code) == (
        "started",
        "task: non-zero exit (3)",
        3,
    )


def test_on_failure_does_not_restart_what_ended_well(sim: SimSwarm, web: Web) -> None:
    """COMPLETE stays complete."""
    sim.create_service("web", image="app:1", restart={"condition": "on-failure"})
    sim.kill_container("web", 1, exit_code=0)
    sim.run(60)
    assert [task.state for task in web.tasks()] == [TaskState.COMPLETE]


def test_restart_none_leaves_a_slot_empty_and_the_next_update_fills_it(
    sim: SimSwarm, web: Web
) -> None:
    """Dead slots are still rolled."""
    sim.create_service("web", image="app:1", replicas=2, restart={"condition": "none"})
    sim.kill_container("web", 1)
    sim.run(60)
    assert len(web.runnable()) == 1
    sim.update_service("web", image="app:2")
    sim.settle()
    assert web.images() == ["app:2"] * 2


def test_restart_none_is_not_even_moved_off_a_drained_node(sim: SimSwarm, web: Web) -> None:
    """Nor off a lost one."""
    sim.create_service("web", image="app:1", restart={"condition": "none"})
    sim.node(web.tasks()[0].node_id).drain()
    sim.run(60)
    assert web.runnable() == []


def test_attempts_are_counted_per_spec_version(sim: SimSwarm, web: Web) -> None:
    """Used up, the slot stays empty; a no-op update forgets the count, and revives nothing."""
    sim.image("bad:2", crashes_after=1.0)
    sim.create_service("web", image="bad:2", restart={"max_attempts": 2, "delay": 1}, settle=0)
    sim.run(120)
    assert len(web.tasks()) == 3
    assert web.runnable() == []


def test_attempts_outside_the_window_are_forgotten(sim: SimSwarm, web: Web) -> None:
    """A slow crash loop goes on for ever."""
    sim.image("bad:2", crashes_after=20.0)
    sim.create_service(
        "web",
        image="bad:2",
        restart={"max_attempts": 1, "delay": 1, "window": 10},
        settle=0,
    )
    sim.run(200)
    assert sum(1 for line in web.trace() if "RUNNING" in line and "desired" not in line) > 5


def test_only_five_tasks_of_a_slot_are_remembered(sim: SimSwarm, web: Web) -> None:
    """The living one included: evidence is gone after five restarts."""
    sim.create_service("web", image="app:1", replicas=1)
    sim.image("app:1", crashes_after=1.0)
    sim.kill_container("web", 1)
    sim.run(120)
    assert len(web.tasks()) == 5


def test_with_a_health_check_a_task_is_starting_until_healthy(sim: SimSwarm, web: Web) -> None:
    """RUNNING means healthy."""
    sim.image("checked:1", healthcheck=True, healthy_after=10.0)
    sim.create_service("web", image="checked:1", settle=0)
    sim.run(9)
    assert [task.state for task in web.tasks()] == [TaskState.STARTING]
    sim.run(3)
    assert [task.state for task in web.tasks()] == [TaskState.RUNNING]


@pytest.mark.parametrize(("unhealthy_after", "message"), [(2.0, "starting"), (9.0, "started")])
def test_an_unhealthy_container_is_stopped_and_failed(
    sim: SimSwarm, web: Web, unhealthy_after: float, message: str
) -> None:
    """Before it was ever healthy, and after."""
    sim.image("sick:1", healthcheck=True, healthy_after=5.0, unhealthy_after=unhealthy_after)
    sim.create_service("web", image="sick:1", restart={"condition": "none"}, settle=0)
    sim.run(20)
    failed = web.one(TaskState.FAILED)
    assert failed.error == "task: non-zero exit (143): dockerexec: unhealthy container"
    assert failed.message == message


def test_an_unhealthy_container_that_ends_well_is_complete(sim: SimSwarm, web: Web) -> None:
    """By way of a momentary RUNNING; on-failure never restarts it."""
    sim.image("sick:1", healthcheck=True, unhealthy_after=0.5, stop_exit_code=0)
    sim.create_service("web", image="sick:1", restart={"condition": "on-failure"}, settle=0)
    sim.run(60)
    done = web.one(TaskState.COMPLETE)
    assert (done.message, done.error) == ("finished", "")
    assert "1 RUNNING" in web.trace()


def test_a_process_that_ignores_the_signal_takes_the_whole_grace(sim: SimSwarm, web: Web) -> None:
    """And is killed."""
    sim.image("deaf:1", stops_in=1000.0)
    sim.create_service("web", image="deaf:1", stop_grace=7)
    began = sim.now
    sim.update_service("web", image="app:1")
    sim.run_until(lambda: any(t.state is TaskState.SHUTDOWN for t in web.tasks()))
    assert sim.now - began == pytest.approx(1.2 + 7, abs=0.1)
    assert web.one(TaskState.SHUTDOWN).exit_code == 137


def test_killing_a_container_by_hand_looks_like_a_crash(sim: SimSwarm, web: Web) -> None:
    """docker kill is a failure of the task."""
    sim.create_service("web", image="app:1")
    sim.kill_container("web", 1)
    assert web.one(TaskState.FAILED).exit_code == 137


def test_a_removed_service_takes_its_tasks_along(sim: SimSwarm) -> None:
    """They stop, and are forgotten."""
    service = sim.create_service("web", image="app:1", replicas=2)
    sim.remove_service("web")
    sim.run(3)
    assert not list(sim.store.tasks_of(service.id))
    assert sim.store.tasks == {}


def test_with_restart_attempts_as_many_tasks_are_remembered(sim: SimSwarm, web: Web) -> None:
    """Attempts + 1, more than the usual five."""
    sim.image("bad:2", crashes_after=0.5)
    sim.create_service("web", image="bad:2", restart={"max_attempts": 8, "delay": 0.5}, settle=0)
    sim.run(120)
    assert len(web.tasks()) == 9


def test_an_exception_of_an_image_keeps_what_was_said_before(sim: SimSwarm, web: Web) -> None:
    """It changes only its own words, and only there."""
    sim.image("slow:1", starts_in=5.0)
    sim.image("slow:1", crashes_after=1.0, on_slots=[2])
    sim.create_service("web", image="slow:1", replicas=2, restart={"condition": "none"}, settle=0)
    sim.run(5)
    assert {task.state for task in web.tasks()} == {TaskState.STARTING}
    sim.run(5)
    assert {(t.slot, t.state) for t in web.tasks()} == {
        (1, TaskState.RUNNING),
        (2, TaskState.FAILED),
    }


def test_a_container_that_turns_unhealthy_while_running_is_replaced(
    sim: SimSwarm, web: Web
) -> None:
    """Told by a test, at any time."""
    sim.create_service("web", image="app:1", restart={"delay": 1})
    sim.make_unhealthy("web", 1)
    sim.run(5)
    assert [task.state for task in web.tasks()] == [TaskState.FAILED, TaskState.RUNNING]
    assert "unhealthy container" in web.one(TaskState.FAILED).error


def test_a_task_whose_restart_is_still_delayed_may_fail_again(sim: SimSwarm, web: Web) -> None:
    """A missing image does not make a tight loop: each attempt waits out its delay."""
    sim.create_service("web", image="app:1", restart={"delay": 5})
    sim.update_service("web", image="nowhere:1")
    sim.run(60)
    rejected = [task for task in web.tasks() if task.state is TaskState.REJECTED]
    gaps = [b.created_at - a.created_at for a, b in pairwise(rejected)]
    assert min(gaps) >= 4.9


def test_the_grace_is_ten_seconds_unless_told(sim: SimSwarm, web: Web) -> None:
    """A process that does not hear the signal is killed then."""
    sim.image("deaf:1", stops_in=1000.0)
    sim.create_service("web", image="deaf:1")
    began = sim.now
    sim.update_service("web", image="app:1")
    sim.run_until(lambda: any(t.state is TaskState.SHUTDOWN for t in web.tasks()))
    assert sim.now - began == pytest.approx(1.2 + 10, abs=0.1)


def test_a_negative_history_keeps_every_task() -> None:
    """As TaskHistoryRetentionLimit has it."""
    with SimSwarm(history=-1) as sim:
        sim.image("bad:2", crashes_after=0.5)
        sim.create_service("web", image="bad:2", restart={"delay": 0.5}, settle=0)
        sim.run(30)
        assert len(sim.tasks("web")) > 12


def test_a_crash_is_seen_a_moment_after_it_happened(sim: SimSwarm, web: Web) -> None:
    """The fastest crasher is RUNNING for some 80 ms: too short for most who poll."""
    sim.image("fast:1", crashes_after=0.0)
    sim.create_service("web", image="fast:1", settle=0, restart={"condition": "none"})
    sim.run_until(lambda: web.running("fast:1") == 1)
    began = sim.now
    sim.run_until(lambda: web.running("fast:1") == 0)
    assert 0.05 <= sim.now - began <= 0.12


def test_the_time_of_a_running_task_is_renewed_when_it_is_told_to_stop(
    sim: SimSwarm, web: Web
) -> None:
    """Its agent says RUNNING once more; a task that is left alone keeps its time."""
    sim.create_service("web", image="app:1", replicas=2)
    before = {task.id: task.state_at for task in web.tasks()}
    sim.run(5)
    told_at = sim.clock.wall
    sim.scale("web", 1)
    sim.run(0.5)
    (left,) = [task for task in web.tasks() if task.desired is TaskState.REMOVE]
    (kept,) = web.runnable()
    assert left.state is TaskState.RUNNING
    assert left.state_at > told_at > before[left.id]
    assert kept.state_at == before[kept.id]


def test_a_container_that_crashes_just_when_it_is_to_stop_is_shut_down_with_its_own_code(
    sim: SimSwarm, web: Web
) -> None:
    """No failure: nobody wanted it any more."""
    sim.image("bad:1", crashes_after=3.0, exit_code=7)
    sim.create_service("web", image="bad:1", settle=0)
    sim.run_until(lambda: web.running("bad:1") == 1)
    sim.run(2)
    sim.update_service("web", image="app:1")
    sim.settle()
    old = web.one(TaskState.SHUTDOWN)
    assert (old.image, old.exit_code) == ("bad:1", 7)
