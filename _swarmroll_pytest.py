"""
The pytest plugin: fixtures with a simulated swarm, for tests of what deploys to one.

It stands beside the package, not in it, and imports swarmroll only when a fixture is used: pytest
loads every installed plugin before each run, also for projects that test something else.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from swarmroll.sim import SimSwarm

_SPEED = 20
_LINES = 40


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line(
        "markers",
        "sim(nodes=3, managers=1, seed=7, ...): how the simulated swarm of the fixtures sim_swarm "
        "and sim_engine is made; see swarmroll.sim.SimSwarm",
    )


def _words(request: pytest.FixtureRequest) -> dict[str, Any]:
    """What the nearest marker says, and what those further out say besides."""
    words: dict[str, Any] = {}
    for marker in request.node.iter_markers("sim"):
        if marker.args:
            raise pytest.UsageError(f"sim: only words like nodes=3 are taken, got {marker.args}")
        words = {**marker.kwargs, **words}
    return words


@pytest.fixture
def sim_swarm(request: pytest.FixtureRequest) -> Iterator[SimSwarm]:
    """A simulated swarm in virtual time; ``sim_swarm.connect()`` is an ordinary ``Swarm``."""
    from swarmroll.sim import SimSwarm  # noqa: PLC0415 - see above

    with SimSwarm(**_words(request)) as sim:
        yield sim


@pytest.fixture
def sim_engine(request: pytest.FixtureRequest) -> Iterator[SimSwarm]:
    """A simulated swarm behind the real Engine API, at ``sim_engine.url``, for any client."""
    from swarmroll.sim import SimSwarm  # noqa: PLC0415 - see above

    with SimSwarm(**{"speed": _SPEED, **_words(request), "serve": True}) as sim:
        yield sim


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that failed shows what had happened in its swarm."""
    report = yield
    if report.when == "call" and report.failed:
        given = getattr(item, "funcargs", {})
        for name in ("sim_swarm", "sim_engine"):
            if name in given:
                lines = [str(line) for line in given[name].trace[-_LINES:]]
                report.sections.append((f"what happened in {name}", "\n".join(lines)))
    return report
