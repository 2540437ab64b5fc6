"""The lab itself: if one of these fails, do not look for the fault in swarmroll."""

from __future__ import annotations

import urllib.request
from collections.abc import Callable
from functools import partial

import pytest
from docker.errors import APIError

from integration.lab import Cluster, Node, ServiceFactory, eventually
from integration.lab.cluster import LOCAL_IMAGE
from integration.lab.host import Host


@pytest.mark.main_story
def test_nodes_run_the_engine_that_is_asked_for(lab: Host, three_nodes: Cluster) -> None:
    """Every node, not only the first."""
    versions = []
    for node in three_nodes.nodes.values():
        with node.client() as client:
            versions.append(client.version()["Version"].partition(".")[0])
    assert [lab.engine] * 3 == versions


@pytest.mark.main_story
def test_a_service_runs_on_every_node(three_nodes: Cluster, service: ServiceFactory) -> None:
    """Each node pulls from the lab's registry."""
    tasks = service(replicas=None).running()
    assert len({task["NodeID"] for task in tasks}) == len(three_nodes.nodes)


def test_published_port_of_a_node_can_be_reached(
    three_nodes: Cluster, service: ServiceFactory
) -> None:
    """A request from a test arrives in a task on that very node."""
    port = {"TargetPort": 8080, "PublishedPort": 8000, "PublishMode": "host"}
    service(image="web:2", replicas=None, endpoint={"Mode": "dnsrr", "Ports": [port]})
    for node in three_nodes.nodes.values():
        answer = eventually(partial(_get, f"http://127.0.0.1:{node.web_port}/cgi-bin/version"))
        assert answer.startswith("2 ")


def test_private_registry_wants_a_login(
    three_nodes: Cluster, login: dict[str, str], private_registry: str
) -> None:
    """The same image cannot be had without one, and can with one."""
    image = three_nodes.private_image("web:1")
    with three_nodes.manager() as client:
        with pytest.raises(APIError, match="no basic auth credentials"):
            client.images.pull(image)
        client.login(login["username"], login["password"], registry=private_registry)
        assert image in client.images.pull(image).tags


def test_local_image_is_on_every_node_and_in_no_registry(three_nodes: Cluster) -> None:
    """For services whose image was built where they run."""
    for node in three_nodes.nodes.values():
        with node.client() as client:
            assert LOCAL_IMAGE in client.images.get(LOCAL_IMAGE).tags
            with pytest.raises(APIError):
                client.images.pull(LOCAL_IMAGE)


@pytest.mark.lab_itself
@pytest.mark.parametrize(
    ("image", "state"),
    [
        ("web:crash", "failed"),
        ("checked:sick", "complete"),
        ("checked:sick-dies", "failed"),
        ("registry:5000/missing:1", "rejected"),
    ],
)
def test_bad_images_are_bad(service: ServiceFactory, image: str, state: str) -> None:
    """Each way to fail ends in the task state that it is named for."""
    bad = service(
        image=image, replicas=1, wait=False, template={"RestartPolicy": {"Condition": "none"}}
    )

    def ended() -> str | None:
        """the task has ended"""
        (task,) = bad.tasks()
        seen: str = task["Status"]["State"]
        return seen if seen in {"complete", "failed", "rejected"} else None

    assert state == eventually(ended)


@pytest.mark.lab_itself
def test_good_image_with_a_health_check_runs(service: ServiceFactory) -> None:
    """It counts as running once it is healthy."""
    assert service(image="checked:1", replicas=1).running()


@pytest.mark.lab_itself
@pytest.mark.parametrize(
    ("lose", "find"),
    [(Node.kill, Node.start), (Node.pause, Node.unpause), (Node.disconnect, Node.connect)],
    ids=["killed", "hanging", "cut off"],
)
def test_lost_worker_is_down_and_comes_back(
    three_nodes: Cluster, lose: Callable[[Node], None], find: Callable[[Node], None]
) -> None:
    """Whatever the way it was lost."""
    node = three_nodes.node("node3")
    lose(node)
    eventually(lambda: three_nodes.states()["node3"] == "down", limit=60)
    find(node)
    eventually(three_nodes.ready, limit=60)


@pytest.mark.lab_itself
def test_engine_killed_while_its_tasks_live_on(
    three_nodes: Cluster, service: ServiceFactory
) -> None:
    """The processes survive, and the engine is there again under the same address."""
    web = service(replicas=None)
    node = three_nodes.node("node1")
    node.kill_dockerd(restart=False)
    assert "serve" in node.exec("ps")
    node.start_dockerd()
    eventually(three_nodes.ready, limit=60)
    eventually(lambda: len(web.running()) == 3, limit=60)


@pytest.mark.lab_itself
def test_lost_leader_is_replaced(five_nodes: Cluster) -> None:
    """Another manager leads after a while."""
    lost = five_nodes.leader()
    five_nodes.node(lost).kill()
    assert eventually(five_nodes.leader, limit=90) != lost


def _get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=3) as answer:
        body: bytes = answer.read()
    return body.decode()
