"""Which change of a service restarts its tasks."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from swarmroll.sim import SimSwarm

if TYPE_CHECKING:
    from tests.sim.conftest import Web

Doc = dict[str, Any]
Edit = Callable[[Doc], None]


def _edit(sim: SimSwarm, edit: Edit) -> None:
    doc = sim.service("web").spec.to_engine()
    edit(doc)
    sim.update_service("web", lambda _: doc)


def _template(key: str, value: object) -> Edit:
    return lambda doc: doc["TaskTemplate"].__setitem__(key, value)


def _container(key: str, value: object) -> Edit:
    return lambda doc: doc["TaskTemplate"]["ContainerSpec"].__setitem__(key, value)


def _top(key: str, value: object) -> Edit:
    return lambda doc: doc.__setitem__(key, value)


RESTARTS: dict[str, Edit] = {
    "image": _container("Image", "app:2"),
    "environment": _container("Env", ["A=1"]),
    "command": _container("Command", ["serve"]),
    "container label": _container("Labels", {"a": "b"}),
    "mount": _container("Mounts", [{"Type": "tmpfs", "Target": "/tmp/cache"}]),
    "health check": _container("Healthcheck", {"Test": ["NONE"]}),
    "stop grace": _container("StopGracePeriod", 2_000_000_000),
    "stop grace set to its default": _container("StopGracePeriod", 10_000_000_000),
    "limit": _template("Resources", {"Limits": {"MemoryBytes": 1 << 26}}),
    "log driver": _template("LogDriver", {"Name": "json-file"}),
    "network": _template("Networks", [{"Target": "ingress"}]),
    "endpoint mode": _top("EndpointSpec", {"Mode": "dnsrr"}),
    "force update": _template("ForceUpdate", 1),
    "restart delay": _template("RestartPolicy", {"Delay": 1_000_000_000}),
    "restart policy set to its default": _template(
        "RestartPolicy", {"Condition": "any", "Delay": 5_000_000_000}
    ),
    "published port": _top("EndpointSpec", {"Ports": [{"TargetPort": 80, "PublishedPort": 80}]}),
    "constraint that no node meets": _template(
        "Placement", {"Constraints": ["node.labels.disk == ssd"]}
    ),
}
KEEPS: dict[str, Edit] = {
    "nothing": lambda _: None,
    "service label": _top("Labels", {"team": "web"}),
    "update config": _top("UpdateConfig", {"Parallelism": 2}),
    "rollback config": _top("RollbackConfig", {"Parallelism": 2}),
    "constraint that every node meets": _template(
        "Placement", {"Constraints": ["node.platform.os == linux"]}
    ),
    "max replicas per node": _template("Placement", {"MaxReplicas": 3}),
}


@pytest.mark.parametrize("change", RESTARTS)
def test_a_change_of_the_template_or_the_endpoint_replaces_tasks(
    sim: SimSwarm, web: Web, change: str
) -> None:
    """The first of the old tasks is told to stop."""
    sim.create_service("web", image="app:1", replicas=2)
    before = {task.id for task in web.tasks()}
    _edit(sim, RESTARTS[change])
    sim.run(1)
    assert len({task.id for task in web.runnable()} & before) == 1
    assert web.state() == "updating"


@pytest.mark.parametrize("change", KEEPS)
def test_other_changes_restart_nothing_and_leave_the_update_status_absent(
    sim: SimSwarm, web: Web, change: str
) -> None:
    """Absent may also mean that the last update had nothing to do."""
    sim.create_service("web", image="app:1", replicas=2)
    before = {task.id for task in web.tasks()}
    _edit(sim, KEEPS[change])
    sim.run(30)
    assert {task.id for task in web.runnable()} == before
    assert web.state() is None


def test_placement_and_endpoint_changed_together_restart_nothing(sim: SimSwarm, web: Web) -> None:
    """The tasks keep the old ports and still count as up to date."""
    sim.create_service("web", image="app:1", replicas=2)
    before = {task.id for task in web.tasks()}

    def both(doc: Doc) -> None:
        doc["TaskTemplate"]["Placement"] = {"Constraints": ["node.platform.os == linux"]}
        doc["EndpointSpec"] = {"Ports": [{"TargetPort": 80, "PublishedPort": 80}]}

    _edit(sim, both)
    sim.run(30)
    assert {task.id for task in web.runnable()} == before


def test_every_update_even_a_no_op_clears_the_status_and_replaces_the_previous_spec(
    sim: SimSwarm, web: Web
) -> None:
    """A label is enough to lose the spec that one could have gone back to."""
    sim.create_service("web", image="app:1")
    sim.update_service("web", image="app:2")
    sim.settle()
    assert web.state() == "completed"
    _edit(sim, _top("Labels", {"team": "web"}))
    previous = sim.service("web").previous_spec
    assert previous is not None
    assert (previous.image, web.state()) == ("app:2", None)


def test_the_status_is_absent_for_a_moment_after_a_write(sim: SimSwarm, web: Web) -> None:
    """The orchestrator has not reacted yet."""
    sim.create_service("web", image="app:1")
    sim.update_service("web", image="app:2")
    assert web.state() is None
    sim.run(0.01)
    assert web.state() == "updating"
    assert web.message() == "update in progress"


def test_an_update_of_zero_replicas_gets_no_status(sim: SimSwarm, web: Web) -> None:
    """There is nothing to replace, so nothing is ever said."""
    sim.create_service("web", image="app:1", replicas=0)
    sim.update_service("web", image="app:2")
    sim.run(30)
    assert web.states() == [None]


def test_a_monitor_of_zero_is_dropped_and_means_five_seconds(sim: SimSwarm, web: Web) -> None:
    """The engine's API cannot say zero."""
    sim.create_service("web", image="app:1", update={"parallelism": 1, "monitor": 0})
    config = sim.service("web").spec.to_engine()["UpdateConfig"]
    assert "Monitor" not in config
    sim.update_service("web", image="app:2")
    sim.settle()
    newest = max(task.state_at for task in web.runnable())
    completed = sim.service("web").update_status
    assert completed is not None
    assert completed.completed_at == pytest.approx(newest + 5.0)


def test_an_update_config_without_parallelism_replaces_all_at_once(sim: SimSwarm, web: Web) -> None:
    """Absent as a whole it is one by one; present with the field missing it is all."""
    sim.create_service("web", image="app:1", replicas=4, update={"delay": 0})
    sim.update_service("web", image="app:2")
    sim.run(0.1)
    assert web.started_slots("app:2") != []
    assert len(web.started_slots("app:2")) == 4


def test_a_task_without_a_node_is_replaced_by_any_change_of_placement(
    sim: SimSwarm, web: Web
) -> None:
    """Whether its node would still do cannot be said of a task that has none."""
    sim.create_service("web", image="app:1", constraints=["node.labels.disk == ssd"])
    (waiting,) = web.tasks()
    _edit(sim, _template("Placement", {"Constraints": ["node.platform.os == linux"]}))
    sim.settle()
    (running,) = web.runnable()
    assert running.running
    assert running.id != waiting.id


def test_a_rollback_without_a_config_goes_one_by_one(sim: SimSwarm, web: Web) -> None:
    """And watches for five seconds, as an update does."""
    sim.create_service("web", image="app:1", replicas=3)
    sim.update_service("web", image="app:2")
    sim.settle()
    sim.rollback_service("web")
    sim.run(1)
    assert web.running("app:2") == 2
    sim.run_until(lambda: web.running("app:1") == 3)
    proven = sim.now
    sim.run_until(lambda: web.state() == "rollback_completed")
    assert sim.now - proven == pytest.approx(5, abs=0.2)
