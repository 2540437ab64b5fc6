"""The engine's door on real swarms: what the sockets of the unit tests imitate is really so."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from integration.lab import Cluster, Node, ServiceFactory, eventually
from swarmroll.core.dirty import dirty
from swarmroll.core.snapshot import Depth, NodeState, TaskState, UpdateState
from swarmroll.engine.connect import open_engine
from swarmroll.engine.docker import DockerEngine
from swarmroll.errors import Conflict, EngineError, EngineUnavailable, NotAManager, ServiceNotFound

Images = Callable[[str], str]


@pytest.fixture
def engine(three_nodes: Cluster) -> Iterator[DockerEngine]:
    """The door to the manager."""
    engine = open_engine(three_nodes.url)
    yield engine
    engine.close()


@pytest.mark.main_story
def test_a_look_sees_service_tasks_and_nodes(
    engine: DockerEngine, three_nodes: Cluster, service: ServiceFactory
) -> None:
    """One request each, and none to find the version."""
    web = service()
    snapshot = engine.look(web.id, Depth.NODES)
    assert 4 == engine.requests
    assert snapshot.service
    assert (web.name, 3) == (snapshot.service.name, snapshot.service.spec.replicas)
    assert web.inspect()["Spec"] == snapshot.service.spec.to_engine()
    assert frozenset(task.id for task in snapshot.tasks) == snapshot.up_to_date
    assert {1, 2, 3} == {task.slot for task in snapshot.tasks}
    assert {TaskState.RUNNING} == {task.state for task in snapshot.tasks}
    assert not any(dirty(t.template, None, snapshot.service.spec, None) for t in snapshot.tasks)
    assert set(three_nodes.nodes) == {node.hostname for node in snapshot.nodes.values()}
    assert ["node1"] == [node.hostname for node in snapshot.nodes.values() if node.leader]
    assert {NodeState.READY} == {node.state for node in snapshot.nodes.values()}


@pytest.mark.main_story
def test_a_write_needs_the_newest_version(engine: DockerEngine, service: ServiceFactory) -> None:
    """The engine says so as HTTP 500, and swarmroll as Conflict."""
    web = service()
    found = engine.service(web.name)
    assert () == engine.update(web.id, found.version, found.spec.with_label("a", "1"))
    with pytest.raises(Conflict):
        engine.update(web.id, found.version, found.spec.with_label("a", "2"))
    assert "1" == engine.service(web.id).spec.labels["a"]


@pytest.mark.main_story
def test_events_wake_until_an_update_is_completed(
    engine: DockerEngine, service: ServiceFactory, images: Images
) -> None:
    """Without polling: every change of its status is announced."""
    web = service(replicas=1)
    watch = engine.watch(web.id)
    found = engine.service(web.id)
    engine.update(web.id, found.version, found.spec.with_image(images("web:2")))
    ends = time.monotonic() + 60
    while time.monotonic() < ends:
        status = engine.service(web.id).update_status
        if status is not None and status.state is UpdateState.COMPLETED:
            break
        assert watch.wait(ends - time.monotonic())
    assert status
    assert status.started_at
    assert status.completed_at
    assert status.started_at < status.completed_at
    assert engine.requests < 20
    watch.close()


def test_what_an_engine_refuses_is_told(engine: DockerEngine, service: ServiceFactory) -> None:
    """In the engine's own words."""
    web = service()
    found = engine.service(web.id)
    bad = found.spec.with_path("UpdateConfig.Order", "sideways")
    with pytest.raises(EngineError, match="sideways"):
        engine.update(web.id, found.version, bad)
    with pytest.raises(ServiceNotFound):
        engine.update("nowhere", found.version, found.spec)
    with pytest.raises(ServiceNotFound):
        engine.service("nowhere")
    web.remove()
    assert engine.look(web.id, Depth.NODES).service is None


@pytest.mark.main_story
def test_a_worker_is_no_manager(three_nodes: Cluster, service: ServiceFactory) -> None:
    """Alone it is an error; among others it is passed over."""
    web = service()
    worker = open_engine(three_nodes.node("node2").url)
    with pytest.raises(NotAManager):
        worker.service(web.id)
    worker.close()
    both = open_engine([three_nodes.node("node2").url, three_nodes.url])
    assert web.id == both.service(web.id).id
    both.close()


def test_a_failed_task_is_evidence(engine: DockerEngine, service: ServiceFactory) -> None:
    """Its error, its exit code, and that of no task that runs."""
    web = service()
    crash = service("crash", "web:crash", wait=False)

    def failed() -> bool:
        """a task has failed"""
        return any(task.state is TaskState.FAILED for task in engine.tasks(crash.id))

    eventually(failed)
    task = next(task for task in engine.tasks(crash.id) if task.state is TaskState.FAILED)
    assert task.exit_code
    assert "non-zero exit" in task.error
    assert {None} == {task.exit_code for task in engine.tasks(web.id)}
    assert isinstance(engine.logs(task, lines=10), tuple)


def test_the_log_of_a_task_is_read(engine: DockerEngine, service: ServiceFactory) -> None:
    """Its last lines, without the frames that they come in."""
    command = ["sh", "-c", "echo one; echo two >&2; sleep 600"]
    web = service(container={"Command": command}, replicas=1)
    (task,) = engine.tasks(web.id)

    def written() -> bool:
        """both lines are in the log"""
        return len(engine.logs(task, lines=5)) == 2

    eventually(written)
    assert {"one", "two"} == set(engine.logs(task, lines=5))
    assert 1 == len(engine.logs(task, lines=1))


def test_the_output_of_health_checks_is_read(engine: DockerEngine, service: ServiceFactory) -> None:
    """Where the task's node is the one that we talk to."""
    check = {"Test": ["CMD-SHELL", "echo well"], "Interval": 250_000_000}
    web = service(replicas=None, container={"Healthcheck": check})
    here = next(node.id for node in engine.nodes() if node.hostname == "node1")
    outputs = {task.node_id: engine.health_output(task) for task in engine.tasks(web.id)}
    assert "well" in "".join(outputs.pop(here))
    assert {()} == set(outputs.values())


def test_an_image_is_resolved_by_its_registry(engine: DockerEngine, images: Images) -> None:
    """And says why, when it cannot be."""
    found = engine.resolve(images("web:1"), timeout=5)
    assert found.digest
    assert ("linux/amd64",) == found.platforms
    missing = engine.resolve(images("missing:1"), timeout=5)
    assert missing.digest is None
    assert "manifest unknown" in missing.reason


def test_a_private_registry_wants_the_cli_s_credentials(
    three_nodes: Cluster, login: dict[str, str], private_registry: str
) -> None:
    """Those of a docker-py client that has logged in will do."""
    image = three_nodes.private_image("web:1")
    with three_nodes.manager() as client:
        engine = open_engine(client=client)
        refused = engine.resolve(image, timeout=5)
        client.login(login["username"], login["password"], registry=private_registry)
        found = engine.resolve(image, timeout=5)
        engine.close()
    assert (None, True) == (refused.digest, "no basic auth credentials" in refused.reason)
    assert found.digest


def test_an_engine_that_is_killed_is_waited_for(
    engine: DockerEngine, three_nodes: Cluster, service: ServiceFactory
) -> None:
    """A read that is under way survives, and so do the watches."""
    web = service()
    watch = engine.watch(web.id)
    before = watch.unbroken_since
    node = three_nodes.node("node1")
    node.kill()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(engine.service, web.id)
        node.start()
        assert web.id == waiting.result(60).id

    def heard_again() -> bool:
        """the event stream is open again"""
        return watch.unbroken_since not in (None, before)

    eventually(heard_again)
    assert watch.wait(0)
    watch.close()


def test_a_lost_leader_is_survived_by_reads(five_nodes: Cluster, service: ServiceFactory) -> None:
    """For 10 to 21 seconds nobody answers, or everybody with HTTP 500."""
    web = service()
    leader = five_nodes.node(five_nodes.leader())
    others = [node for node in five_nodes.managers if node is not leader]
    engine = open_engine([node.url for node in [leader, *others]], timeout=(60.0, 5.0))
    watch = engine.watch(web.id)
    found = engine.service(web.id)
    leader.kill()
    with pytest.raises(EngineUnavailable, match=r"nothing was written|may or may not"):
        engine.update(web.id, found.version, found.spec.with_label("a", "1"))
    assert web.id == engine.look(web.id, Depth.NODES).service.id  # type: ignore[union-attr]
    assert leader.url != engine.host

    def heard_again() -> bool:
        """the events come from another manager"""
        return watch.unbroken_since is not None

    eventually(heard_again)
    engine.close()


def test_a_manager_that_hangs_is_left(five_nodes: Cluster, service: ServiceFactory) -> None:
    """After the time for one request, not after the time for all."""
    web = service()
    leader = five_nodes.leader()
    hung: Node = next(node for node in five_nodes.managers if node.name != leader)
    engine = open_engine([hung.url, five_nodes.node(leader).url], timeout=(30.0, 2.0))
    engine.service(web.id)
    hung.pause()
    begun = time.monotonic()
    assert web.id == engine.service(web.id).id
    assert time.monotonic() - begun < 5
    engine.close()
