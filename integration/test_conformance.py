"""
The simulated swarm is held to the real one: the same scenarios, and their traces agree.

All scenarios of a run are played first, many at a time; then each test reads one trace. Without
`--whole` only the fast ones are played. Where one differs, the simulator is wrong.
"""

from __future__ import annotations

from contextlib import closing

import pytest

from integration.conformance.compare import held, plain, record
from integration.conformance.driver import Stuck, play
from integration.conformance.real import RealDoor
from integration.conformance.scenarios import SCENARIOS
from integration.conformance.trace import Trace
from integration.conformance.words import Scenario
from integration.lab import Cluster
from integration.lab.host import Host

#: Times the tolerance of `compare`: this machine may be busy with other things.
_SLACK = 1.5


@pytest.fixture(autouse=True)
def restored() -> None:
    """Nothing: after `played`, the tests here do not touch the swarm."""


@pytest.fixture(scope="module")
def played(
    request: pytest.FixtureRequest, lab: Host, three_nodes: Cluster
) -> dict[str, Trace | Stuck]:
    """The trace of every scenario that was selected."""
    selected = {
        item.callspec.id
        for item in request.session.items
        if isinstance(item, pytest.Function) and "played" in item.fixturenames
    }
    try:
        with closing(RealDoor(three_nodes.url, three_nodes)) as door:
            traces = play(door, [s for s in SCENARIOS if s.name in selected])
    finally:
        three_nodes.restore()
    if request.config.getoption("--record"):
        record(lab.engine, {n: t for n, t in traces.items() if isinstance(t, Trace)})
    return traces


def _cases() -> list[object]:
    marks = {True: (), False: (pytest.mark.whole,)}
    return [pytest.param(s, id=s.name, marks=marks[s.fast]) for s in SCENARIOS]


@pytest.mark.parametrize("scenario", _cases())
def test_the_simulated_swarm_does_the_same(
    scenario: Scenario, lab: Host, played: dict[str, Trace | Stuck]
) -> None:
    """As each scenario tells: update states, tasks, order, what restarts, what is refused, when."""
    trace = played[scenario.name]
    if isinstance(trace, Stuck):
        raise trace
    if lab.engine in scenario.differs:
        pytest.skip(f"differs: {scenario.differs[lab.engine]}")
    found = held(scenario, plain(trace), slack=_SLACK)
    assert not found, f"{scenario.tells}:\n" + "\n".join(map(str, found))
