"""Everything that can happen to a swarm while somebody rolls a service in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from types import MappingProxyType

from swarmroll.errors import EngineError
from swarmroll.sim import SimSwarm
from swarmroll.sim.faults import READS, STREAMS, WRITES, kinds

from .oracle import NAME, Case

Happen = Callable[[Case, Random], object]

REQUESTS = (
    "ServiceInspect",
    "TaskList",
    "NodeList",
    "ServiceUpdate",
    "ConfigInspect",
    "ConfigUpdate",
    "ConfigCreate",
    "ConfigDelete",
    "ConfigList",
    "DistributionInspect",
    "TaskLogs",
    "SystemEvents",
)
"""Every request that swarmroll makes of an engine in process."""

assert set(REQUESTS) <= READS | WRITES | STREAMS


def _worker(case: Case, chance: Random) -> str:
    """Any node; where there is one manager alone, not that."""
    names = [node.hostname for node in case.sim.store.nodes.values() if not node.leader]
    return chance.choice(sorted(names))


def _down_for_a_while(case: Case, chance: Random) -> None:
    node = case.sim.node(_worker(case, chance))
    node.down()
    case.sim.after(chance.choice((5.0, 40.0)), node.up)


def _cut_off_for_a_while(case: Case, chance: Random) -> None:
    node = case.sim.node(_worker(case, chance))
    node.cut_off()
    case.sim.after(chance.choice((5.0, 40.0)), node.up)


def _container(case: Case, chance: Random, do: Callable[[SimSwarm, int], None]) -> None:
    """Something happens to a container, if there is one in the slot."""
    slot = chance.randint(1, 3)
    try:
        do(case.sim, slot)
    except (ValueError, EngineError):
        case.sim.store.note("fault", NAME, f"no container in slot {slot}")


def _slow_for_a_while(case: Case, chance: Random) -> None:
    case.sim.slow(chance.choice((0.5, 3.0)))
    case.sim.after(chance.choice((5.0, 30.0)), lambda: case.sim.slow(0))


def _fail(case: Case, chance: Random) -> None:
    operation = chance.choice(REQUESTS)
    kind = chance.choice(kinds(operation))
    # A service that is "not found" again and again is gone.
    times = 1 if kind == "404" else chance.choice((1, 1, 2, 4))
    case.sim.fail_next(operation, kind, times=times)


def _label(case: Case, chance: Random) -> None:
    mark = str(chance.randint(0, 9))
    case.foreigner(
        lambda: case.sim.update_service(NAME, lambda spec: spec.with_label("team", mark)),
        final=case.stops,
    )


def _scale(case: Case, chance: Random) -> None:
    if case.original.replicas is not None:
        wanted = chance.choice((2, 4, 5))
        case.foreigner(lambda: case.sim.scale(NAME, wanted), final=case.stops)


def _back(case: Case, _: Random) -> None:
    if NAME in case.sim.store.names and case.sim.service(NAME).previous_spec is not None:
        case.foreigner(lambda: case.sim.rollback_service(NAME), final=True)


def _remove(case: Case, _: Random) -> None:
    if NAME in case.sim.store.names:
        case.sim.remove_service(NAME)


FATES: Mapping[str, Happen] = MappingProxyType(
    {
        "a request fails": _fail,
        "a node goes down": lambda case, chance: case.sim.node(_worker(case, chance)).down(),
        "a node goes down and comes back": _down_for_a_while,
        "a node is cut off for a while": _cut_off_for_a_while,
        "a node is drained": lambda case, chance: case.sim.node(_worker(case, chance)).drain(),
        "a node is paused": lambda case, chance: case.sim.node(_worker(case, chance)).pause(),
        "a clock is wrong": lambda case, chance: case.sim.node(_worker(case, chance)).clock_off(
            chance.choice((-3600, -2, 2, 3600))
        ),
        "the leader changes": lambda case, chance: case.sim.change_leader(
            election=chance.choice((0.1, 2.0, 12.0, 25.0)), health_bypass=chance.random() < 0.3
        ),
        "the engine is slow": _slow_for_a_while,
        "events are lost": lambda case, _: case.sim.events_off(),
        "the stream of events breaks": lambda case, chance: case.sim.break_events(
            chance.choice((0.1, 3.0))
        ),
        "events are late": lambda case, chance: case.sim.events_late(chance.choice((0.2, 7.0))),
        "events come twice": lambda case, chance: case.sim.events_doubled(
            chance.choice((0.01, 3.0))
        ),
        "events are shuffled": lambda case, chance: case.sim.events_shuffled(
            chance.choice((0.5, 8.0))
        ),
        "old events come again": lambda case, _: case.sim.replay_events(),
        "somebody kills a container": lambda case, chance: _container(
            case, chance, lambda sim, slot: sim.kill_container(NAME, slot)
        ),
        "somebody stops a container": lambda case, chance: _container(
            case, chance, lambda sim, slot: sim.kill_container(NAME, slot, exit_code=143)
        ),
        "a container turns unhealthy": lambda case, chance: _container(
            case, chance, lambda sim, slot: sim.make_unhealthy(NAME, slot)
        ),
        "somebody scales": _scale,
        "somebody labels": _label,
        "somebody deploys": lambda case, _: case.foreigner(
            lambda: case.sim.update_service(NAME, image="app:3"), final=True
        ),
        "somebody rolls back": _back,
        "somebody removes it": _remove,
    }
)

HARMLESS = frozenset(
    {
        "a request fails",
        "a clock is wrong",
        "the engine is slow",
        "events are lost",
        "the stream of events breaks",
        "events are late",
        "events come twice",
        "events are shuffled",
        "old events come again",
    }
)
"""What happens between swarmroll and the engine, and to nothing that runs: same verdict."""


def at_request(case: Case, number: int, happen: Callable[[], object]) -> None:
    """Let something happen as soon as so many requests have been made."""
    sim = case.sim
    begun = sim.faults.asked.total()

    def due() -> bool:
        return sim.faults.asked.total() - begun >= number

    sim.at(due, happen)
