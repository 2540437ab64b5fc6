"""Order, parallelism, delay and completion of an update."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from swarmroll.core.snapshot import TaskState
from swarmroll.sim import SimSwarm
from swarmroll.sim.documents import Pacing

if TYPE_CHECKING:
    from tests.sim.conftest import Web


def test_slots_are_replaced_in_random_order() -> None:
    """A canary slot cannot be chosen by its number."""
    orders = set()
    for seed in range(6):
        with SimSwarm(seed=seed) as sim:
            sim.image("app:2")
            sim.create_service("web", image="app:1", replicas=4, update={"parallelism": 1})
            sim.update_service("web", image="app:2")
            sim.settle()
            new = sorted(
                (t for t in sim.tasks("web") if t.image == "app:2"), key=lambda t: t.created_at
            )
            orders.add(tuple(task.slot for task in new))
    assert len(orders) > 1


def test_workers_drift_apart_and_do_not_wait_for_each_other(sim: SimSwarm, web: Web) -> None:
    """With parallelism 2 one slow slot does not hold up the other worker."""
    sim.create_service("web", image="app:1", replicas=4, update={"parallelism": 2})
    sim.image("app:2", starts_in=30.0, on_slots=[1])
    sim.update_service("web", image="app:2")
    sim.run(12)
    assert web.running("app:2") == 3


def test_a_worker_sleeps_after_its_last_slot_too(sim: SimSwarm, web: Web) -> None:
    """4 replicas, parallelism 2, delay 2, monitor 3: completed 5 s after the last task runs."""
    sim.create_service(
        "web", image="app:1", replicas=4, update={"parallelism": 2, "delay": 2, "monitor": 3}
    )
    sim.update_service("web", image="app:2")
    sim.settle()
    last = max(task.state_at for task in web.runnable())
    status = sim.service("web").update_status
    assert status is not None
    assert status.completed_at == pytest.approx(last + 2 + 3)


def test_a_delay_as_long_as_the_monitor_widens_the_window(sim: SimSwarm, web: Web) -> None:
    """The last watch then lasts delay + 1 s."""
    sim.create_service(
        "web", image="app:1", replicas=2, update={"parallelism": 1, "delay": 6, "monitor": 2}
    )
    sim.update_service("web", image="app:2")
    sim.settle()
    last = max(task.state_at for task in web.runnable())
    status = sim.service("web").update_status
    assert status is not None
    assert status.completed_at == pytest.approx(last + 6 + 7)


def test_stop_first_prepares_the_new_task_while_the_old_one_stops(sim: SimSwarm, web: Web) -> None:
    """The image is pulled in parallel; the new task waits in READY."""
    sim.image("app:1", stops_in=5.0)
    sim.create_service("web", image="app:1", stop_grace=10)
    sim.update_service("web", image="app:2")
    sim.run(2)
    old, new = sorted(web.tasks(), key=lambda t: t.created_at)
    assert (old.state, old.desired) == (TaskState.RUNNING, TaskState.SHUTDOWN)
    assert (new.state, new.desired) == (TaskState.READY, TaskState.READY)


def test_stop_first_costs_three_seconds_a_slot_on_a_network(sim: SimSwarm, web: Web) -> None:
    """1.2 s until the agent acts, and 2 s in which the address leaves the load balancer."""
    sim.image("app:1", stops_in=0.0)
    sim.create_service("web", image="app:1", networks=["net"])
    began = sim.now
    sim.update_service("web", image="app:2")
    sim.run_until(lambda: any(t.state is TaskState.SHUTDOWN for t in web.tasks()))
    assert sim.now - began == pytest.approx(3.2, abs=0.1)


def test_the_new_task_waits_sixty_seconds_for_the_old_and_not_longer(
    sim: SimSwarm, web: Web
) -> None:
    """With a grace of 120 s and a process that needs 75 s, both run for a while."""
    sim.image("app:1", stops_in=75.0)
    sim.create_service("web", image="app:1", stop_grace=120)
    began = sim.now
    sim.update_service("web", image="app:2")
    sim.run_until(lambda: web.running("app:2") == 1)
    assert sim.now - began == pytest.approx(60.5, abs=0.2)
    assert any(t.image == "app:1" and t.state is TaskState.RUNNING for t in web.tasks())


def test_start_first_stops_the_old_task_when_the_new_one_runs(sim: SimSwarm, web: Web) -> None:
    """Never fewer tasks than replicas."""
    sim.create_service("web", image="app:1", replicas=3, update={"order": "start-first"})
    sim.update_service("web", image="app:2")
    running: list[int] = []

    def count() -> bool:
        running.append(sum(1 for task in web.tasks() if task.running))
        return web.state() == "completed"

    sim.run_until(count)
    assert min(running) == 3
    assert web.images() == ["app:2"] * 3


def test_start_first_gives_up_the_old_task_for_one_that_ran_an_instant(
    sim: SimSwarm, web: Web
) -> None:
    """RUNNING for 0.05 s before the crash was enough: the old task is gone."""
    sim.image("flash:1", crashes_after=0.05)
    sim.create_service("web", image="app:1", update={"order": "start-first"})
    sim.update_service("web", image="flash:1")
    sim.run(4)
    assert not any(t.image == "app:1" and t.runnable for t in web.tasks())


def test_start_first_keeps_the_old_task_of_a_new_one_that_never_ran(
    sim: SimSwarm, web: Web
) -> None:
    """An image that is missing costs nothing."""
    sim.create_service("web", image="app:1", update={"order": "start-first"})
    sim.update_service("web", image="nowhere:1")
    sim.run(4)
    assert web.running("app:1") == 1
    assert web.state() == "paused"


def test_a_task_that_no_node_can_take_blocks_the_update_for_ever(sim: SimSwarm, web: Web) -> None:
    """It is no failure, and there is no progress time-out."""
    sim.create_service("web", image="app:1", replicas=2)

    def nowhere(_: object) -> dict[str, object]:
        doc = sim.service("web").spec.to_engine()
        doc["TaskTemplate"]["Placement"] = {"Constraints": ["node.labels.disk == ssd"]}
        return doc

    sim.update_service("web", nowhere)
    sim.run(3600)
    assert web.state() == "updating"
    (pending,) = [task for task in web.tasks() if task.state is TaskState.PENDING]
    assert pending.error == "no suitable node (scheduling constraints not satisfied on 3 nodes)"


def test_a_check_that_never_resolves_blocks_the_update_for_ever(sim: SimSwarm, web: Web) -> None:
    """Neither healthy nor unhealthy: starting, and updating, for ever."""
    sim.image("slow:1", healthcheck=True, healthy_after=None)
    sim.create_service("web", image="app:1")
    sim.update_service("web", image="slow:1")
    sim.run(3600)
    assert web.state() == "updating"


def test_completed_is_said_while_every_task_crashes_and_a_silent_pass_removes_the_old(
    sim: SimSwarm, web: Web
) -> None:
    """start-first, continue and a crashing image: completed, with no old task left."""
    sim.create_service(
        "web",
        image="app:1",
        replicas=2,
        update={"parallelism": 0, "order": "start-first", "failure_action": "continue"},
    )
    sim.update_service("web", image="nowhere:1")
    sim.run_until(lambda: web.state() == "completed")
    first = sim.service("web").update_status
    sim.run(60)
    second = sim.service("web").update_status
    assert web.running("app:1") == 0
    assert web.state() == "completed"
    assert first is not None
    assert second is not None
    assert (second.completed_at or 0) > (first.completed_at or 0)


@pytest.mark.parametrize(
    ("image", "words", "seen"),
    [
        ("app:2", {"order": "stop-first"}, 6.3),
        ("app:2", {"order": "start-first"}, 2.8),
        ("app:2", {"order": "start-first", "parallelism": 3}, 1.8),
        ("exits:1", {"failure_action": "rollback"}, 4.1),
        ("nowhere:1", {"failure_action": "rollback"}, 1.8),
    ],
)
def test_times_are_those_of_real_engines(
    sim: SimSwarm, web: Web, image: str, words: Pacing, seen: float
) -> None:
    """3 replicas on 3 nodes, delay 0, monitor 1 s, restart delay 0: within a second or so."""
    sim.image("exits:1", crashes_after=0.0, exit_code=3)
    usual: Pacing = {"parallelism": 1, "monitor": 1}
    sim.create_service(
        "web",
        image="app:1",
        replicas=3,
        update={**usual, **words},
        rollback=usual,
        restart={"delay": 0},
    )
    began = sim.now
    sim.update_service("web", image=image)
    sim.run_until(lambda: web.state() in {"completed", "rollback_completed"})
    assert sim.now - began == pytest.approx(seen, abs=1.3)
