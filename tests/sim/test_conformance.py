"""
The simulated swarm does what real engines did: their recorded traces, scenario by scenario.

`make conformance RECORD=1` records them; `integration/test_conformance.py` plays the same scenarios
on a real swarm.
"""

from __future__ import annotations

import re
from contextlib import closing
from pathlib import Path
from typing import Any

import attrs
import pytest

from integration.conformance.compare import (
    RECORDED,
    USUAL,
    agrees,
    held,
    plain,
    recorded,
)
from integration.conformance.driver import play
from integration.conformance.real import RealDoor
from integration.conformance.scenarios import SCENARIOS
from integration.conformance.simulated import simulate, tell
from integration.conformance.table import SECTION, page_with_table
from integration.conformance.trace import Trace
from integration.conformance.words import Scenario
from swarmroll.sim import SimSwarm

ENGINES = sorted(path.stem.removeprefix("engine-") for path in RECORDED.glob("*.json"))
RECORDS = {engine: recorded(engine) for engine in ENGINES}
PAGE = Path(__file__).parents[2] / "docs" / "simulator.md"
BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_it_does_what_a_real_engine_did(scenario: Scenario, engine: str) -> None:
    """Facts are equal, or what the engine may do too; durations are within the tolerance."""
    real = RECORDS[engine].get(scenario.name)
    if real is None:
        pytest.skip(f"not recorded on engine {engine}")
    if engine in scenario.differs:
        pytest.skip(f"differs: {scenario.differs[engine]}")
    found = agrees(engine, scenario, real)
    assert not found, f"{scenario.tells}:\n" + "\n".join(map(str, found))


def test_every_scenario_is_recorded() -> None:
    """On the engine that the tests run on by default, and no other one is."""
    assert {scenario.name for scenario in SCENARIOS} == set(RECORDS[USUAL])


def test_there_are_enough_scenarios() -> None:
    """Each has a name and a story of its own."""
    assert len(SCENARIOS) == len(BY_NAME) >= 40
    assert len({scenario.tells for scenario in SCENARIOS}) == len(SCENARIOS)


@pytest.mark.parametrize("engine", ENGINES)
def test_recorded_traces_tell_nothing_of_the_machine(engine: str) -> None:
    """No id, address, path or date."""
    text = (RECORDED / f"engine-{engine}.json").read_text(encoding="utf-8")
    assert not re.findall(
        r"\b[a-z0-9]{25}\b|\b[0-9a-f]{64}\b|\d+\.\d+\.\d+\.\d+|:\d{4}|\b20\d\d-", text
    )
    assert not re.findall(r"(?<![\w:])/\w", text)


@pytest.mark.parametrize("name", ["crash-rolls-back", "nothing-to-go-back-to"])
def test_the_served_door_gives_the_same_trace(name: str) -> None:
    """A Docker client over HTTP, in passing time, sees what is seen in process."""
    scenario = BY_NAME[name]
    with SimSwarm(nodes=3, serve=True, speed=5) as sim:
        tell(sim, scenario, None)
        with closing(ServedDoor(sim)) as door:
            trace = play(door, [scenario])[name]
    assert isinstance(trace, Trace)
    facts = plain(trace).facts
    assert facts["update states"] == plain(simulate(scenario)).facts["update states"]
    assert facts["refused"] == plain(simulate(scenario)).facts["refused"]


class ServedDoor(RealDoor):
    """The client that real swarms are asked by, on a simulated one whose time runs faster."""

    def __init__(self, sim: SimSwarm) -> None:
        super().__init__(sim.url)
        self._sim = sim

    def now(self) -> float:
        return self._sim.clock.wall

    def pause(self, seconds: float) -> None:
        end = self._sim.clock.now + seconds
        self._sim.wait_until(lambda: self._sim.clock.now >= end)


# The comparison itself: what differs must be found


@pytest.fixture
def real() -> Trace:
    return plain(simulate(BY_NAME["good-release"]))


def told(real: Trace, **facts: Any) -> list[str]:
    """What is found where a real engine did this."""
    changed = attrs.evolve(real, facts={**real.facts, **facts})
    scenario = BY_NAME["good-release"]
    return [each.what for each in held(scenario, changed)]


def test_what_is_the_same_is_no_difference(real: Trace) -> None:
    assert told(real) == []


@pytest.mark.parametrize("fact", ["update states", "ends", "slots", "order", "serving", "refused"])
def test_another_fact_is_a_difference(real: Trace, fact: str) -> None:
    assert told(real, **{fact: ["something else"]}) == [fact]


def test_another_message_is_a_difference(real: Trace) -> None:
    assert told(real, messages={"completed": "done"}) == ["message of completed"]


def test_another_time_is_a_difference(real: Trace) -> None:
    """More than a third and two seconds late."""
    marks = {**real.marks, "completed": [real.marks["completed"][0] * 2 + 3]}
    scenario = BY_NAME["good-release"]
    late = attrs.evolve(real, marks=marks)
    found = held(scenario, late)
    assert [each.what for each in found] == ["completed, at seconds"]


def test_what_chance_cannot_do_is_a_difference() -> None:
    """Also where a scenario says that chance decides."""
    scenario = BY_NAME["crash-rolls-back"]
    trace = plain(simulate(scenario))
    slots = [["web:1: running"], ["web:1: running"], ["web:1: shutdown"]]
    wrong = attrs.evolve(trace, facts={**trace.facts, "slots": slots})
    found = held(scenario, wrong)
    assert [each.what for each in found] == ["slots (left to chance)"]


def test_the_table_in_the_documentation_is_that_of_the_records() -> None:
    """`python -m integration.conformance.table` writes it anew."""
    page = PAGE.read_text(encoding="utf-8")
    assert SECTION in page
    assert page == page_with_table(page)
