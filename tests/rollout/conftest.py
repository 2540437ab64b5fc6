"""A service on a simulated swarm, a way to roll it, and what must hold after every rollout."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from swarmroll import Report, Rollout, Swarm
from swarmroll.core.events import Event, Moved
from swarmroll.core.phases import TABLE, Phase, after
from swarmroll.core.snapshot import Task
from swarmroll.sim import SimSwarm

SETTLED = (Phase.COMPLETED, Phase.UNCHANGED)


class Story:
    """
    One service called web, seen from outside.

    Attributes:
        told: Every event of every rollout so far.
    """

    def __init__(self, sim: SimSwarm, **habits: Any) -> None:
        self.sim = sim
        self._habits = habits
        self.told: list[Event] = []
        self._swarm: Swarm | None = None

    @property
    def swarm(self) -> Swarm:
        """One connection, made when it is first needed."""
        if self._swarm is None:
            self._swarm = self.connect(**self._habits)
        return self._swarm

    def connect(self, **habits: Any) -> Swarm:
        return self.sim.connect(observers=[self.told.append], **habits)

    def service(self, replicas: int = 3, **words: Any) -> Story:
        if words.get("mode") != "global":
            words["replicas"] = replicas
        self.sim.create_service("web", image="app:1", **words)
        return self

    def roll(self, change: Any = None, *, swarm: Swarm | None = None, **options: Any) -> Report:
        """Roll, and check what must hold after any rollout."""
        if change is None and "image" not in options:
            options["image"] = "app:2"
        before = self.writes()
        options.setdefault("check", False)
        report = (swarm or self.swarm).update("web", change, **options)
        self.check(report, self.writes() - before)
        return report

    @contextmanager
    def starting(self, *observers: Callable[[Event], None], **options: Any) -> Iterator[Rollout]:
        """
        A rollout in the background, which begins when the block is left.

        In the block it is said what will happen, and when: virtual time is the rollout's own.
        """
        began, said = threading.Event(), threading.Event()
        options.setdefault("image", "app:2")

        def wait(_: Event) -> None:
            began.set()
            said.wait(30)

        plan = self.swarm.plan("web", **options)
        rollout = self.swarm.start(plan, observers=[wait, *observers])
        assert began.wait(30)
        try:
            yield rollout
        finally:
            said.set()

    def back(self, **options: Any) -> Report:
        """Roll to the last known good."""
        before = self.writes()
        report = self.swarm.rollback("web", check=False, **options)
        self.check(report, self.writes() - before)
        return report

    def check(self, report: Report, writes: int) -> None:
        """What must hold after any rollout."""
        phase = Phase.PENDING
        for move in report.transitions:
            assert move.source is phase
            assert after(phase, move.trigger) is move.target
            assert move.reason
            phase = move.target
        assert not TABLE[phase] or phase is Phase.PAUSED
        if phase in SETTLED:
            rolled = {n.id for n in self.sim.engine().nodes() if n.hostname not in report.skipped}
            runnable = [t for t in self.tasks() if t.runnable and t.node_id in rolled]
            assert {slot.task_id for slot in report.slots} == {t.id for t in runnable if t.running}
            assert all(task.image == self.spec.image for task in runnable if task.running)
        if phase in (Phase.UNCHANGED, Phase.REFUSED):
            assert writes == 0
        document = report.to_dict()
        again = Report.from_dict(json.loads(json.dumps(document))).to_dict()
        # Of secrets that changed only the mask is kept, on both sides of the difference.
        assert {**again, "diff": None} == {**document, "diff": None}
        assert str(report)

    # --- looking on

    @property
    def spec(self) -> Any:
        return self.sim.service("web").spec

    def tasks(self) -> tuple[Task, ...]:
        return self.sim.tasks("web")

    def running(self) -> list[str]:
        """Images of the tasks that run and are wanted, by slot."""
        found = sorted(self.tasks(), key=lambda t: (t.slot or 0, t.node_id))
        return [task.image for task in found if task.running]

    def writes(self, who: str = "swarmroll") -> int:
        """How many of somebody's writes the managers have stored."""
        return sum(
            happening.kind == "service" and happening.what.startswith(f"updated by {who}")
            for happening in self.sim.trace
        )

    def commits_after(self, at: float) -> int:
        """How many of our writes the managers have stored since a virtual time."""
        return sum(
            happening.at >= at and happening.what.startswith("updated by swarmroll")
            for happening in self.sim.trace
        )

    def rolling(self, image: str = "app:2") -> int:
        """How many wanted tasks of an image run now."""
        return sum(task.running and task.image == image for task in self.tasks())


def just_before_write(trigger: str, do: Callable[[], object]) -> Callable[[Event], None]:
    """
    An observer that does something once, between a decision to write and the write.

    Args:
        trigger: Of the move with which the write is decided.
    """
    done: list[Event] = []

    def observe(event: Event) -> None:
        if isinstance(event, Moved) and event.transition.trigger == trigger and not done:
            done.append(event)
            do()

    return observe


def phases(report: Report) -> list[str]:
    """The phases that a rollout went through."""
    return [str(move.target) for move in report.transitions]


def why(report: Report, phase: str) -> str:
    """Why a rollout came to a phase."""
    return next(move.reason for move in report.transitions if move.target == phase)


@pytest.fixture
def sim() -> Iterator[SimSwarm]:
    with SimSwarm(nodes=3, seed=7) as swarm:
        swarm.image("app:1")
        swarm.image("app:2")
        swarm.image("crash:1", crashes_after=1.0, logs=("starting", "boom"))
        yield swarm


@pytest.fixture
def web(sim: SimSwarm) -> Story:
    return Story(sim)
