"""
Fixtures for tests against real swarms: see README.md for how to run them.

The runner starts the engine that the nodes run on and passes it by `--lab`; the swarms themselves
are started here, when the first test asks for one, and repaired after every test.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

import swarmroll
from integration.lab.cluster import (
    FIVE_NODES,
    LOGIN,
    PRIVATE_REGISTRY,
    REGISTRY,
    THREE_NODES,
    Cluster,
    running,
)
from integration.lab.host import Host
from integration.lab.service import Service, ServiceFactory, create
from swarmroll import Swarm


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--lab", metavar="FILE", help="a lab that `python -m integration.lab.run` started"
    )
    parser.addoption("--whole", action="store_true", help="play every scenario of conformance")
    parser.addoption(
        "--record",
        action="store_true",
        help="keep the traces of conformance as those of the engine",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """
    Tests on five nodes come last, so that a run of the others never starts those nodes.

    Scenarios that are not for every run are left out, unless they are asked for.
    """
    if not config.getoption("--whole"):
        left_out = [item for item in items if item.get_closest_marker("whole")]
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)
    for item in items:
        if "five_nodes" in getattr(item, "fixturenames", ()):
            item.add_marker("five_nodes")
    items.sort(key=lambda item: item.get_closest_marker("five_nodes") is not None)


@pytest.fixture(scope="session")
def lab(pytestconfig: pytest.Config) -> Host:
    """What the nodes run on; `lab.engine` is the version under test: "20", "26" or "28"."""
    file = pytestconfig.getoption("--lab")
    if not file:
        pytest.fail("these tests want a lab: start them by `python -m integration.lab.run`")
    return Host.load(Path(file))


@pytest.fixture(scope="session")
def three_nodes(lab: Host, started: list[Cluster]) -> Iterator[Cluster]:
    """A swarm of one manager and two workers."""
    with running(lab, THREE_NODES) as cluster:
        started.append(cluster)
        yield cluster
        started.remove(cluster)


@pytest.fixture(scope="session")
def five_nodes(lab: Host, started: list[Cluster]) -> Iterator[Cluster]:
    """A swarm of three managers and two workers."""
    with running(lab, FIVE_NODES) as cluster:
        started.append(cluster)
        yield cluster
        started.remove(cluster)


@pytest.fixture(scope="session")
def started() -> list[Cluster]:
    """The swarms that run by now."""
    return []


@pytest.fixture(autouse=True)
def restored(started: list[Cluster]) -> Iterator[None]:
    """After each test, whatever it killed runs again and whatever it left is gone."""
    yield
    for cluster in started:
        cluster.restore()


@pytest.fixture
def swarm(three_nodes: Cluster) -> Iterator[Swarm]:
    """swarmroll, connected to the manager of the three nodes."""
    with swarmroll.connect(three_nodes.url) as swarm:
        yield swarm


@pytest.fixture(scope="session")
def registry() -> str:
    """The registry that holds the test images, as nodes call it."""
    return REGISTRY


@pytest.fixture(scope="session")
def private_registry() -> str:
    """The registry that wants a login, as nodes call it."""
    return PRIVATE_REGISTRY


@pytest.fixture(scope="session")
def login() -> dict[str, str]:
    """User name and password for the private registry."""
    return dict(LOGIN)


@pytest.fixture(scope="session")
def images(registry: str) -> Callable[[str], str]:
    """Turns the short name of a test image ("web:1") into the one that nodes pull."""
    return lambda name: f"{registry}/{name}"


@pytest.fixture
def service(request: pytest.FixtureRequest) -> Iterator[ServiceFactory]:
    """
    Creates services that run when it returns, and removes them after the test.

    On the three nodes unless the test uses the five; see `integration.lab.service.create`.
    """
    name = "five_nodes" if "five_nodes" in request.fixturenames else "three_nodes"
    cluster: Cluster = request.getfixturevalue(name)
    with ExitStack() as stack:

        def factory(name: str = "web", image: str = "web:1", **fields: Any) -> Service:
            made = create(cluster, name, image, **fields)
            stack.callback(made.remove)
            return made

        yield factory
