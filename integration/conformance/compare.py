"""Where a real trace and the simulated ones of the same scenario differ."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import attrs

from integration.conformance.scenarios import SCENARIOS
from integration.conformance.simulated import simulate
from integration.conformance.trace import Pace, Trace
from integration.conformance.words import Scenario

RECORDED = Path(__file__).parent / "recorded"

#: A time may differ by this share of the real one, and this many seconds. The share is for what
#: adds up; the seconds are those of a container that starts or stops late, as
#: happens on a small machine that plays many scenarios at once (1.2 s late was seen).
SHARE, SECONDS = 0.35, 1.5

#: The engine that tests run on, unless told otherwise.
USUAL = "26"

#: Simulated swarms that each real trace is held against.
SEEDS = (1, 2, 3, 4)
#: ... and where something is left to chance; on these, containers also start late on some nodes.
MANY_SEEDS = tuple(range(5, 41))
_LATE = 1.0


@attrs.frozen
class Difference:
    """One thing that is not the same on both."""

    what: str
    real: Any
    simulated: Any

    def __str__(self) -> str:
        """On lines of its own."""
        return f"{self.what}\n  real:      {self.real}\n  simulated: {self.simulated}"


def held(
    scenario: Scenario, real: Trace, *, seeds: Sequence[int] = SEEDS, slack: float = 1.0
) -> list[Difference]:
    """
    Where the simulator differs from what a real engine did, on a machine as quick as that one.

    Args:
        scenario: Which.
        real: What it did.
        seeds: Of the simulated swarms; more are asked only where something is left to chance.
        slack: So many times the tolerance for durations.
    """
    traces = [simulated(scenario, real.pace, seed) for seed in seeds]
    found = differences(scenario, real, traces, slack=slack)
    coming = iter(MANY_SEEDS if scenario.varies else ())
    while found and (more := tuple(islice(coming, len(SEEDS)))):
        traces += [simulated(scenario, real.pace, seed) for seed in more]
        found = differences(scenario, real, traces, slack=slack)
    return found


def agrees(engine: str, scenario: Scenario, real: Trace) -> list[Difference]:
    """As `held`, for a recorded trace; with fewer seeds, for this is in every run of the tests."""
    return held(scenario, real, seeds=SEEDS[:2] if engine == USUAL else SEEDS[:1])


def simulated(scenario: Scenario, pace: Pace, seed: int = SEEDS[0]) -> Trace:
    """What the simulator makes of a scenario; the same as before, if it was asked before."""
    return _simulated(scenario.name, pace, seed)


@cache
def _simulated(name: str, pace: Pace, seed: int) -> Trace:
    (scenario,) = [each for each in SCENARIOS if each.name == name]
    late = _LATE if seed in MANY_SEEDS else 0.0
    return plain(simulate(scenario, pace, seed=seed, late=late))


def differences(
    scenario: Scenario, real: Trace, others: Sequence[Trace], *, slack: float = 1.0
) -> list[Difference]:
    """
    Where they differ.

    A fact has to be the same with every seed, unless the scenario says that chance decides: then
    the real one has to be one of those that the seeds give; of slots, each one's story has to be.

    Args:
        scenario: Which.
        real: What a real engine did.
        others: What the simulator does, by seeds.
        slack: So many times the tolerance for durations.
    """
    found = []
    for name, fact in real.facts.items():
        ours = [trace.facts[name] for trace in others]
        if name == "messages":
            # Some are there so shortly that not every look shows them.
            found += _texts(fact, ours)
        elif name == "in flight" and name not in scenario.varies:
            # Whether one that starts alone takes long enough to be seen is a matter of moments.
            found += [Difference(name, fact, o) for o in ours if max(o, 1) != max(fact, 1)][:1]
        elif name not in scenario.varies:
            found += [Difference(name, fact, other) for other in ours if other != fact][:1]
        elif not _possible(name, fact, ours):
            found.append(Difference(f"{name} (left to chance)", fact, _distinct(ours)))
    if found:
        return found
    chance = "slots" in scenario.varies
    return min((late(real, trace, slack, chance=chance) for trace in others), key=len)


def _texts(real: Mapping[str, str], others: Sequence[Mapping[str, str]]) -> list[Difference]:
    return [
        Difference(f"message of {state}", real[state], other[state])
        for other in others
        for state in real.keys() & other.keys()
        if real[state] != other[state]
    ][:1]


def _possible(name: str, real: Any, others: Sequence[Any]) -> bool:
    if name in ("serving", "in flight"):
        # How long a level lasts decides whether it counts, and that is a matter of moments.
        return True
    if name != "slots":
        return real in others
    stories = [story for other in others for story in other]
    return len(real) in map(len, others) and all(story in stories for story in real)


def _distinct(facts: Sequence[Any]) -> list[Any]:
    return list(map(json.loads, dict.fromkeys(map(json.dumps, facts))))


def late(real: Trace, other: Trace, slack: float, *, chance: bool) -> list[Difference]:
    """What happened at another time, or not as often; how often tasks did may be left to chance."""
    found = []
    for name in sorted(real.marks.keys() | other.marks.keys()):
        ours, theirs = other.marks.get(name, []), real.marks.get(name, [])
        if len(ours) != len(theirs):
            late = not (chance and name in ("created", "running", "ended"))
        else:
            late = any(
                abs(mine - their) > slack * (SECONDS + SHARE * max(their, 0.0))
                for mine, their in zip(ours, theirs, strict=True)
            )
        if late:
            found.append(Difference(f"{name}, at seconds", theirs, ours))
    return found


# Recorded traces


def recorded(engine: str) -> dict[str, Trace]:
    """What an engine did when it was recorded: scenario -> trace."""
    docs = json.loads((RECORDED / f"engine-{engine}.json").read_text(encoding="utf-8"))
    return {
        name: Trace(facts=doc["facts"], marks=doc["marks"], pace=Pace(**doc["pace"]))
        for name, doc in docs.items()
    }


def record(engine: str, traces: Mapping[str, Trace]) -> None:
    """Keep what an engine did; what was recorded before and not played now stays."""
    path = RECORDED / f"engine-{engine}.json"
    RECORDED.mkdir(exist_ok=True)
    docs = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    docs |= {name: attrs.asdict(trace) for name, trace in traces.items()}
    text = json.dumps(dict(sorted(docs.items())), indent=1, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")


def plain(trace: Trace) -> Trace:
    """As it would be read from a file: no tuples."""
    return attrs.evolve(trace, facts=json.loads(json.dumps(trace.facts)))
