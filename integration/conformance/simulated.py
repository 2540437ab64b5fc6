"""The simulated swarm as a door: in virtual time, by the requests of the Engine API."""

from __future__ import annotations

import json
from collections.abc import Sequence
from random import Random
from typing import Any

from integration.conformance.doors import Door, Refused
from integration.conformance.driver import Stuck, play
from integration.conformance.trace import Pace, Trace
from integration.conformance.words import REGISTRY, Scenario
from swarmroll.errors import EngineError
from swarmroll.sim import SimSwarm
from swarmroll.sim.agent import KILLED
from swarmroll.sim.api import Answer, Api, Following, Request, find
from swarmroll.sim.images import BehaviourWords
from swarmroll.sim.timing import Timing
from swarmroll.sim.versions import number

#: How the lab's images behave (`integration/lab/images.py`), in the simulator's words. They look at
#: their health every half a second, and not within the first five if they have never been healthy.
IMAGES: dict[str, BehaviourWords] = {
    "web:1": {},
    "web:2": {},
    "web:3": {},
    "web:stubborn": {"stops_in": 1000.0},
    "web:drain": {"stops_in": 2.1},
    "web:crash": {"crashes_after": 0.05, "exit_code": 3},
    "web:crash-late": {"crashes_after": 3.0, "exit_code": 3},
    "checked:1": {"healthcheck": True, "healthy_after": 0.6},
    "checked:2": {"healthcheck": True, "healthy_after": 0.6},
    "checked:slow": {"healthcheck": True, "healthy_after": 2.6},
    "checked:sick": {"healthcheck": True, "healthy_after": None, "unhealthy_after": 6.2},
    "checked:sick-late": {"healthcheck": True, "healthy_after": 0.6, "unhealthy_after": 4.4},
    "checked:sick-dies": {
        "healthcheck": True,
        "healthy_after": None,
        "unhealthy_after": 6.2,
        "stop_exit_code": 143,
    },
}

#: The lab's dispatcher heartbeat, and what a real machine needs where none was measured.
_HEARTBEAT = 2.0
_USUAL = Pace(prepare=0.15, start=0.4, stop=1.4)


def simulate(
    scenario: Scenario, pace: Pace | None = None, *, seed: int = 7, late: float = 0.0
) -> Trace:
    """
    Play one scenario on a simulated swarm of its own.

    Args:
        scenario: Which.
        pace: How quick the machine is that the trace will be compared with.
        seed: Of everything that is left to chance.
        late: Seconds by which containers of a node start late at most, as on a busy machine.

    Raises:
        Stuck: It does not get to where it should.
    """
    sim = SimSwarm(nodes=3, seed=seed, timing=_timing(pace))
    with sim:
        rng = Random(seed)
        tell(sim, scenario, pace, late=[rng.uniform(0, late) for _ in range(3)] if late else ())
        played = play(SimDoor(sim), [scenario])[scenario.name]
    if isinstance(played, Stuck):
        raise played
    return played


def tell(
    sim: SimSwarm,
    scenario: Scenario,
    pace: Pace | None,
    *,
    late: Sequence[float] = (),
) -> None:
    """
    Tell a swarm of the lab's images, and of what a scenario's commands would do.

    Args:
        sim: The swarm.
        scenario: What will be played on it.
        pace: See `simulate`.
        late: By how many seconds containers start late, by node.
    """
    measured = pace or _USUAL
    stop = (measured.stop or _USUAL.stop) - Timing().stop_dispatch
    if scenario.networks:
        stop -= Timing().gossip
    usual: BehaviourWords = {
        "starts_in": measured.start or _USUAL.start,
        "stops_in": max(stop, 0.05),
        "stop_exit_code": 0,
    }
    for name, behaviour in IMAGES.items():
        words: BehaviourWords = {**usual, **behaviour}
        sim.image(f"{REGISTRY}/{name}", **words)
        for place, seconds in enumerate(late, start=1):
            starts_in = words["starts_in"] + seconds
            sim.image(f"{REGISTRY}/{name}", on_nodes=[f"node-{place}"], starts_in=starts_in)
    for name, slots, behaviour in scenario.told:
        if slots:
            sim.image(f"{REGISTRY}/{name}", on_slots=slots, **behaviour)
        else:
            words = {**usual, **behaviour}
            sim.image(f"{REGISTRY}/{name}", **words)


def _timing(pace: Pace | None) -> Timing:
    timing = Timing(heartbeat=_HEARTBEAT)
    before = timing.allocate + timing.schedule + timing.dispatch + timing.accept
    prepare = (pace or _USUAL).prepare or _USUAL.prepare
    return Timing(heartbeat=_HEARTBEAT, prepare=max(prepare - before, 0.02))


class SimDoor(Door):
    """Requests go to the simulator's own API, without a connection between."""

    def __init__(self, sim: SimSwarm) -> None:
        self._sim = sim
        self._api = Api(sim)

    def ask(
        self, method: str, path: str, query: dict[str, str] | None = None, body: Any = None
    ) -> Any:
        request = Request(
            method=method,
            path=path,
            version=number(self._sim.release.api),
            query=query or {},
            headers={"content-type": "application/json"} if body is not None else {},
            body=b"" if body is None else json.dumps(body).encode(),
        )
        self._sim.run(self._sim.timing.request)
        try:
            with self._sim.moment():
                found, operation = find(request)
                answer = self._api.do(operation, found)
        except EngineError as refused:
            raise Refused(refused.status or 0, str(refused)) from refused
        if isinstance(answer, Following):
            return [event.document() for event in answer.past]
        assert isinstance(answer, Answer)
        return json.loads(answer.body) if answer.body.strip() else None

    def now(self) -> float:
        return self._sim.clock.wall

    def pause(self, seconds: float) -> None:
        self._sim.run(seconds)

    def cut_power(self, node: str) -> None:
        self._node(node).down()

    def cut_off(self, node: str) -> None:
        self._node(node).cut_off()

    def repair(self, node: str) -> None:
        self._node(node).up()

    def kill_container(self, node: str, container: str) -> None:  # noqa: ARG002 - the id says it all
        with self._sim.moment():
            (task,) = [
                task for task in self._sim.store.tasks.values() if task.container_id == container
            ]
            self._sim.agents.exited(task, KILLED)

    def _node(self, name: str) -> Any:
        return self._sim.node(name.replace("node", "node-"))
