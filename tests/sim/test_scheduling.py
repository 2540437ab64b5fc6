"""Where tasks go, and what keeps them from going anywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swarmroll.core.snapshot import TaskState
from swarmroll.sim import SimSwarm

if TYPE_CHECKING:
    from tests.sim.conftest import Web

PORT = {"TargetPort": 80, "PublishedPort": 8080, "PublishMode": "host"}


def _pending(web: Web) -> set[str]:
    return {task.error for task in web.tasks() if task.state is TaskState.PENDING}


def test_tasks_are_spread_over_the_nodes(sim: SimSwarm, web: Web) -> None:
    """Two each."""
    sim.create_service("web", image="app:1", replicas=6)
    nodes = [task.node_id for task in web.tasks()]
    assert sorted(nodes.count(node) for node in set(nodes)) == [2, 2, 2]


def test_reasons_are_joined_the_most_frequent_first(sim: SimSwarm, web: Web) -> None:
    """As docker service ps shows them."""
    sim.node("node-3").pause()
    sim.create_service("web", image="app:1", constraints=["node.labels.disk == ssd"])
    reasons = "scheduling constraints not satisfied on 2 nodes; 1 node not available for new tasks"
    assert _pending(web) == {f"no suitable node ({reasons})"}


def test_a_pending_task_is_placed_when_a_node_fits(sim: SimSwarm, web: Web) -> None:
    """A label is enough."""
    sim.create_service("web", image="app:1", constraints=["node.labels.disk == ssd"])
    sim.node("node-2").label(disk="ssd")
    sim.settle()
    assert web.running("app:1") == 1


def test_tight_reservations_make_stop_first_wait_and_start_first_hang(
    sim: SimSwarm, web: Web
) -> None:
    """What a task holds is given back only when it has stopped."""
    half = {"NanoCPUs": 5_000_000_000}
    sim.create_service("web", image="app:1", replicas=3, reserve=half)
    sim.update_service("web", image="app:2")
    sim.run(0.5)
    assert _pending(web) == {"no suitable node (insufficient resources on 3 nodes)"}
    sim.settle()
    assert web.state() == "completed"
    sim.update_service(
        "web",
        lambda s: {
            **s.with_image("app:1").to_engine(),
            "UpdateConfig": {"Parallelism": 1, "Order": "start-first"},
        },
    )
    sim.run(600)
    assert web.state() == "updating"
    assert _pending(web) == {"no suitable node (insufficient resources on 3 nodes)"}


def test_a_host_port_on_every_node_makes_start_first_hang(sim: SimSwarm, web: Web) -> None:
    """The old task holds the port until it has stopped."""
    sim.create_service(
        "web", image="app:1", replicas=3, ports=[PORT], update={"order": "start-first"}
    )
    sim.update_service("web", image="app:2")
    sim.run(600)
    assert web.state() == "updating"
    assert _pending(web) == {"no suitable node (host-mode port already in use on 3 nodes)"}


def test_max_replicas_per_node_makes_start_first_hang_and_stop_first_not(
    sim: SimSwarm, web: Web
) -> None:
    """The count goes by what is wanted, not by what still runs."""
    sim.create_service("web", image="app:1", replicas=3, max_per_node=1)
    sim.update_service("web", image="app:2")
    sim.settle()
    assert web.images() == ["app:2"] * 3
    sim.update_service(
        "web",
        lambda s: {
            **s.with_image("app:1").to_engine(),
            "UpdateConfig": {"Parallelism": 1, "Order": "start-first"},
        },
    )
    sim.run(600)
    assert web.state() == "updating"
    assert _pending(web) == {"no suitable node (max replicas per node limit exceed)"}


def test_a_label_that_is_taken_away_rejects_the_tasks_there(sim: SimSwarm, web: Web) -> None:
    """The constraint enforcer writes the observed state; the task moves on."""
    for name in ("node-1", "node-2"):
        sim.node(name).label(disk="ssd")
    sim.create_service(
        "web", image="app:1", constraints=["node.labels.disk == ssd"], restart={"delay": 1}
    )
    home = web.tasks()[0].node_id
    sim.node(home).label(disk=None)
    rejected = web.one(TaskState.REJECTED)
    assert rejected.message == "task rejected by constraint enforcer"
    assert rejected.error == "assigned node no longer meets constraints"
    sim.settle()
    assert [task.node_id for task in web.runnable()] != [home]


def test_tasks_are_spread_over_the_values_of_a_label() -> None:
    """Placement preferences come before the count per node."""
    with SimSwarm(nodes=3, seed=1) as sim:
        sim.node("node-1").label(zone="a")
        sim.node("node-2").label(zone="b")
        sim.node("node-3").label(zone="b")
        spec = {
            "TaskTemplate": {
                "ContainerSpec": {"Image": "app:1"},
                "Placement": {
                    "Preferences": [{"Spread": {"SpreadDescriptor": "node.labels.zone"}}]
                },
            },
            "Mode": {"Replicated": {"Replicas": 4}},
        }
        sim.create_service("web", spec=spec)
        first = sum(1 for t in sim.tasks("web") if t.node_id == sim.node("node-1").id)
        assert first == 2


def test_a_node_where_a_service_failed_five_times_is_avoided() -> None:
    """Only preferred less, not forbidden."""
    with SimSwarm(nodes=2, seed=3) as sim:
        sim.image("app:1")
        sim.image("app:1", crashes_after=0.5, on_nodes=["node-2"])
        sim.create_service("web", image="app:1", restart={"delay": 0.1}, settle=0)
        sim.create_service("ballast", image="calm:1", constraints=["node.hostname == node-1"])
        sim.run(60)
        running = [task for task in sim.tasks("web") if task.running]
        assert [task.node_id for task in running] == [sim.node("node-1").id]


def test_a_platform_that_no_node_has_keeps_a_task_pending(sim: SimSwarm) -> None:
    """An image for another machine; the docker CLI writes platforms along with a digest."""
    sim.create_service("web", image="app:1")
    doc = sim.service("web").spec.to_engine()
    doc["TaskTemplate"]["Placement"] = {"Platforms": [{"Architecture": "arm64", "OS": "linux"}]}
    sim.create_service("arm", spec=doc)
    assert {task.error for task in sim.tasks("arm")} == {
        "no suitable node (unsupported platform on 3 nodes)"
    }
    doc["TaskTemplate"]["Placement"] = {"Platforms": [{"Architecture": "amd64", "OS": "linux"}]}
    sim.create_service("intel", spec=doc)
    assert [task.running for task in sim.tasks("intel")] == [True]


def test_a_host_port_makes_a_global_start_first_update_hang(sim: SimSwarm, web: Web) -> None:
    """On every node the old task holds the port that the new one needs."""
    sim.create_service(
        "web",
        image="app:1",
        mode="global",
        ports=[PORT],
        update={"parallelism": 1, "order": "start-first"},
    )
    sim.update_service("web", image="app:2")
    sim.run(3600)
    assert web.state() == "updating"
    assert web.running("app:1") == 3
    assert _pending(web) == {"host-mode port already in use on 1 node"}


def test_a_task_that_nobody_wants_any_more_still_gets_a_node_and_ends_there(
    sim: SimSwarm, web: Web
) -> None:
    """It does not stay pending for ever, though it was given up before it had a node."""
    sim.create_service("web", image="app:1", update={"order": "start-first"})
    sim.update_service("web", image="app:2")
    sim.run_until(lambda: any(t.state is TaskState.PENDING for t in web.tasks()))
    sim.rollback_service("web")
    sim.run(10)
    assert [(t.image, t.state, t.node_id != "") for t in web.tasks()] == [
        ("app:1", TaskState.RUNNING, True),
        ("app:2", TaskState.SHUTDOWN, True),
    ]
