"""Swarms to test on, and short ways to look at them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from swarmroll.core.snapshot import Task, TaskState
from swarmroll.sim import SimSwarm
from tests.sim.http import Http


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """A client that was not tried must not go unnoticed."""
    if shutil.which("docker") is None:
        text = "NO DOCKER CLI HERE: the simulated swarm was not tested with it"
        terminalreporter.write_line(text, red=True)


class Web:
    """A service called web, seen from outside."""

    def __init__(self, sim: SimSwarm) -> None:
        self.sim = sim

    def states(self) -> list[str | None]:
        """Update states so far; None where absent."""
        return [None if s is None else s.value for _, s in self.sim.update_states("web")]

    def state(self) -> str | None:
        status = self.sim.service("web").update_status
        return None if status is None else status.state.value

    def message(self) -> str:
        status = self.sim.service("web").update_status
        assert status is not None
        return status.message

    def at(self, state: str) -> float:
        """When the update state last became this."""
        return [at for at, s in self.sim.update_states("web") if s is not None and s == state][-1]

    def tasks(self) -> tuple[Task, ...]:
        return self.sim.tasks("web")

    def runnable(self) -> list[Task]:
        return [task for task in self.tasks() if task.runnable]

    def images(self) -> list[str]:
        """Images of the runnable tasks, by slot."""
        found = sorted(self.runnable(), key=lambda t: (t.slot or 0, t.node_id, t.created_at))
        return [task.image for task in found]

    def running(self, image: str) -> int:
        return sum(1 for task in self.tasks() if task.running and task.image == image)

    def trace(self, kind: str = "task") -> list[str]:
        """What happened to tasks of the service, in order, as ``slot what``."""
        return [
            f"{h.subject.split('.')[1] if '.' in h.subject else ''} {h.what}".strip()
            for h in self.sim.trace
            if h.kind == kind and h.subject.startswith("web")
        ]

    def started_slots(self, image: str) -> list[int]:
        """Slots in the order in which they got a task of this image."""
        found = sorted((t for t in self.tasks() if t.image == image), key=lambda t: t.created_at)
        return [task.slot or 0 for task in found]

    def one(self, state: TaskState) -> Task:
        (task,) = [task for task in self.tasks() if task.state is state]
        return task


@pytest.fixture
def sim() -> Iterator[SimSwarm]:
    with SimSwarm(nodes=3, seed=7) as swarm:
        swarm.image("app:1")
        swarm.image("app:2")
        swarm.image("bad:1", crashes_after=0.6)
        yield swarm


@pytest.fixture
def web(sim: SimSwarm) -> Web:
    return Web(sim)


@pytest.fixture
def served() -> Iterator[SimSwarm]:
    """Behind the Engine API, fifty times as fast as life."""
    with SimSwarm(nodes=3, managers=1, seed=7, serve=True, speed=50) as swarm:
        swarm.image("app:1", digest=f"sha256:{'1' * 64}", logs=("one", "two", "three"))
        swarm.image("app:2", digest=f"sha256:{'2' * 64}")
        swarm.image("bad:1", crashes_after=0.6)
        yield swarm


@pytest.fixture
def http(served: SimSwarm) -> Http:
    return Http(served)
