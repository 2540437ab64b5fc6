"""The way to the swarm: engines that cannot be had, managers that go, events that do not come."""

from __future__ import annotations

import socket
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

import swarmroll
from integration.lab import Cluster, ServiceFactory, eventually
from integration.lab.proxy import proxied
from integration.test_other_writers import ENDLESS, begin
from swarmroll import (
    EngineUnavailable,
    NotAManager,
    Outcome,
    Rolling,
    ServiceNotFound,
)

Images = Callable[[str], str]
QUICK = Rolling(parallelism=2, monitor=1, order="start-first")


def test_worker_is_no_manager(three_nodes: Cluster) -> None:
    """The error says whom one has reached."""
    worker = three_nodes.node("node2").url
    with pytest.raises(NotAManager, match=worker):
        swarmroll.connect(worker)


def test_host_that_does_not_answer_is_named(three_nodes: Cluster) -> None:  # noqa: ARG001
    """Nobody listens there."""
    nobody = _closed_port()
    with pytest.raises(EngineUnavailable, match=nobody):
        swarmroll.connect(nobody, timeout=3)


def _closed_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"tcp://127.0.0.1:{free.getsockname()[1]}"


def test_host_that_hangs_is_named(three_nodes: Cluster) -> None:  # noqa: ARG001
    """It accepts, and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(EngineUnavailable, match=address):
            swarmroll.connect(address, timeout=(2, 1))


def test_manager_that_is_down_is_passed_over(three_nodes: Cluster, service: ServiceFactory) -> None:
    """Of several managers, the first that answers is asked."""
    service(replicas=1)
    with swarmroll.connect([_closed_port(), three_nodes.url]) as swarm:
        assert swarm.service("web").name == "web"


def test_manager_that_goes_in_the_middle_is_replaced_by_another(
    three_nodes: Cluster, service: ServiceFactory, images: Images
) -> None:
    """The rollout does not even pause: another way to the swarm is left."""
    web = service(replicas=2)
    with (
        proxied(three_nodes.url) as first,
        proxied(three_nodes.url) as second,
        swarmroll.connect([first.url, second.url]) as swarm,
    ):
        slow = Rolling(parallelism=1, delay=2, monitor=1, order="start-first")
        rollout = begin(swarm, web, images("web:2"), slow)
        first.cut()
        assert rollout.wait(120).outcome is Outcome.COMPLETED
    assert Counter({"web:2": 2}) == web.runs()


@pytest.mark.parametrize(
    ("image", "outcome"), [("web:2", Outcome.COMPLETED), ("web:crash", Outcome.ROLLED_BACK)]
)
def test_verdict_is_the_same_without_events(
    three_nodes: Cluster, service: ServiceFactory, images: Images, image: str, outcome: Outcome
) -> None:
    """They are hints only; inspection is the truth, one heartbeat later."""
    web = service(replicas=2)
    with (
        proxied(three_nodes.url, refused="/events") as deaf,
        swarmroll.connect(deaf.url, heartbeat=2) as swarm,
    ):
        report = swarm.update("web", image=images(image), strategy=QUICK, check=False)
    assert outcome is report.outcome
    assert Counter({"web:2" if report.ok else "web:1": 2}) == web.runs()
    if not report.ok:
        assert "non-zero exit (3)" in report.headline


def test_swarm_that_goes_for_good_leaves_the_report_so_far(
    three_nodes: Cluster, service: ServiceFactory, images: Images
) -> None:
    """The engine goes on with what it was told, and the error carries what was seen."""
    web = service(replicas=2)
    with (
        proxied(three_nodes.url) as way,
        swarmroll.connect(way.url, timeout=(2, 1)) as swarm,
    ):
        rollout = begin(swarm, web, images("web:2"), ENDLESS)
        way.cut()
        # Nobody waits two minutes here: closing the connection is the other way to give up.
        swarm.close()
        with pytest.raises(EngineUnavailable) as raised:
            rollout.wait(150)
    assert raised.value.report is not None
    assert raised.value.report.outcome is Outcome.DETACHED
    assert Counter({"web:2": 1, "web:1": 1}) == web.runs()


def test_nothing_is_left_behind(
    three_nodes: Cluster, service: ServiceFactory, images: Images
) -> None:
    """No thread, no socket, and on the swarm nothing but the service and its record."""
    web = service(replicas=2)
    threads, sockets = _threads(), _sockets()
    with swarmroll.connect(three_nodes.url) as swarm:
        swarm.update("web", image=images("web:2"), strategy=QUICK)
        swarm.update("web", image=images("web:crash"), strategy=QUICK, check=False)
        rollout = begin(swarm, web, images("web:3"), ENDLESS)
        rollout.abort(rollback=True)
        rollout.wait(60, check=False)
    eventually(lambda: _threads() <= threads)
    eventually(lambda: _sockets() <= sockets)
    with three_nodes.manager() as client:
        (left,) = client.services.list()
        assert "web" == left.name
        records = [each.attrs["Spec"]["Labels"] for each in client.configs.list()]
        # One for the lease and whatever is under way, and one for each rollout that has ended.
        assert 4 == len(records)
        assert {left.id} == {labels["swarmroll.service"] for labels in records}
        assert not client.secrets.list()
        networks = client.networks.list(filters={"driver": "overlay", "type": "custom"})
        assert {each.name for each in networks} <= {"ingress"}


def _threads() -> set[threading.Thread]:
    return set(threading.enumerate())


def _sockets() -> set[str]:
    open_files = Path("/proc/self/fd").iterdir()
    targets = {_target(file) for file in open_files}
    return {target for target in targets if target.startswith("socket:")}


def _target(file: Path) -> str:
    try:
        return str(file.readlink())
    except OSError:
        # The directory's own, closed by now.
        return ""


def test_unknown_service_is_named(three_nodes: Cluster) -> None:
    """With the name as it was given."""
    with (
        swarmroll.connect(three_nodes.url) as swarm,
        pytest.raises(ServiceNotFound, match="wep"),
    ):
        swarm.update("wep", image="app:2")
