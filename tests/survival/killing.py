"""A driver that can be killed at any of its calls to the engine, and what it leaves behind."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from swarmroll import NoRollout, Report, Rollout, Swarm
from swarmroll.core.phases import TABLE, Phase, after
from swarmroll.core.spec import ServiceSpec
from swarmroll.engine.port import Clock, Engine, Watch
from swarmroll.sim import SimSwarm
from swarmroll.sim.inline import InlineExecutor


class Killed(BaseException):
    """What SIGKILL looks like from inside: nothing catches it."""


class When(enum.StrEnum):
    """
    At which moment of a call the driver dies.

    BEFORE: the request is not sent. UNANSWERED: it was carried out, and nobody hears of it.
    ANSWERED: the answer was taken in, and then nothing more is done, not even looking at a clock.
    """

    BEFORE = "before"
    UNANSWERED = "unanswered"
    ANSWERED = "answered"


OURS = "mortal-"
"""How the ids of the rollouts begin that are begun by a driver that may die."""

CALLS = frozenset(
    {
        "service",
        "look",
        "tasks",
        "nodes",
        "update",
        "resolve",
        "config",
        "configs",
        "create_config",
        "label_config",
        "remove_config",
        "logs",
        "health_output",
    }
)


class Mortal:
    """
    An engine (see ``swarmroll.engine.port.Engine``) whose driver dies at one of its calls.

    Attributes:
        calls: The names of all calls so far.
        commits: How often the write with each rollout label was stored.
    """

    def __init__(
        self,
        sim: SimSwarm,
        at: int | None = None,
        when: When = When.BEFORE,
        *,
        commits: Counter[str] | None = None,
    ) -> None:
        self._sim = sim
        self._engine: Engine = sim.engine()
        self._at = at
        self._when = when
        self._dead = False
        self._clock = _Clock(self, self._engine.clock)
        self.calls: list[str] = []
        self.commits: Counter[str] = Counter() if commits is None else commits

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._engine, name)
        return self._mortal(name, found) if name in CALLS else found

    def _mortal(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def mortal(*args: Any, **words: Any) -> Any:
            self.live()
            number = len(self.calls)
            self.calls.append(name)
            fatal = number == self._at
            if fatal and self._when is When.BEFORE:
                self.die()
            before = self._stored()
            try:
                return call(*args, **words)
            finally:
                if name == "update" and self._stored() > before:
                    spec: ServiceSpec = args[2]
                    self.commits[spec.rollout_label] += 1
                if fatal and self._when is When.UNANSWERED:
                    self.die()
                self._dead = self._dead or fatal

        return mortal

    def _stored(self) -> int:
        return sum(
            one.kind == "service" and one.what.startswith("updated by swarmroll")
            for one in self._sim.trace
        )

    def die(self) -> None:
        self._dead = True
        raise Killed

    def live(self) -> None:
        """Die, if dead."""
        if self._dead:
            raise Killed

    @property
    def clock(self) -> Clock:
        return self._clock

    def watch(self, service_id: str) -> Watch:
        self.live()
        return _Watch(self, self._engine.watch(service_id))

    def close(self) -> None:
        self._engine.close()


class _Clock:
    def __init__(self, engine: Mortal, clock: Clock) -> None:
        self._engine, self._clock = engine, clock

    def monotonic(self) -> float:
        self._engine.live()
        return self._clock.monotonic()

    def wall(self) -> float:
        self._engine.live()
        return self._clock.wall()

    def boottime(self) -> float:
        self._engine.live()
        return self._clock.boottime()

    def sleep(self, seconds: float) -> None:
        self._engine.live()
        self._clock.sleep(seconds)


class _Watch:
    def __init__(self, engine: Mortal, watch: Watch) -> None:
        self._engine, self._watch = engine, watch

    def wait(self, seconds: float) -> bool:
        self._engine.live()
        return self._watch.wait(seconds)

    def wake(self) -> None:
        self._watch.wake()

    @property
    def unbroken_since(self) -> float | None:
        return self._watch.unbroken_since

    def close(self) -> None:
        self._watch.close()


@attrs.frozen(kw_only=True)
class Scene:
    """
    A service, what is done with it, and how that may end.

    Attributes:
        ends: For each outcome that a driver that lives can reach, the image that then runs
            everywhere; empty where it may be any.
        prepare: Before the driver begins: earlier rollouts, and misfortunes to come.
        act: What the driver does; returns a handle where a person asks it for something.
        sim: Words for the simulated swarm.
        service: Words for its service.
        kept: What must be so in the end, whatever became of the rollout.
    """

    ends: Mapping[str, str]
    prepare: Callable[[SimSwarm, Swarm], object] = lambda _sim, _swarm: None
    act: Callable[[SimSwarm, Swarm], Rollout | None]
    sim: Mapping[str, Any] = attrs.field(factory=dict)
    service: Mapping[str, Any] = attrs.field(factory=dict)
    kept: Callable[[SimSwarm], bool] = lambda _sim: True


def swarm_on(engine: Mortal) -> Swarm:
    numbers = iter(range(1000))
    return Swarm(engine, executor=InlineExecutor(), new_id=lambda: f"{OURS}{next(numbers)}")


def stage(scene: Scene) -> SimSwarm:
    """The swarm as the driver finds it."""
    sim = SimSwarm(**{"nodes": 3, "seed": 7, **scene.sim})
    sim.image("app:1")
    sim.image("app:2")
    sim.image("app:3")
    sim.image("crash:1", crashes_after=1.0, logs=("starting", "boom"))
    sim.image("late:1", crashes_after=8.0)
    sim.image("ill:1", healthcheck=True, unhealthy_after=2.0)
    words = dict(scene.service)
    if words.get("mode") != "global":
        words.setdefault("replicas", 3)
    sim.create_service("web", **{"image": "app:1", **words})
    scene.prepare(sim, sim.connect())
    return sim


def lived(scene: Scene) -> tuple[int, str]:
    """Let the driver live: how many calls it makes, and how it ends."""
    with stage(scene) as sim:
        service_id = sim.service("web").id
        engine = Mortal(sim)
        drive(scene, sim, engine)
        report = left(sim.connect(), service_id)
        assert report is not None
        check(scene, sim, report, engine.commits)
        return len(engine.calls), report.outcome


def drive(scene: Scene, sim: SimSwarm, engine: Mortal) -> None:
    """Do what the scene says, until that is over or the driver is dead."""
    try:
        rollout = scene.act(sim, swarm_on(engine))
    except Killed:
        return
    if rollout is not None:
        # Ends with the driver, however that ends.
        list(rollout.events())


def left(swarm: Swarm, service_id: str) -> Report | None:
    """The last rollout on record: finished, or paused."""
    try:
        return swarm.attach(service_id, wait_for_lease="10m").wait(0, check=False)
    except NoRollout:
        return next(iter(swarm.history(service_id)), None)


def died(scene: Scene, *deaths: tuple[int, When]) -> str:
    """
    Kill the driver, and each that takes it up but the last, and check what must hold.

    Args:
        deaths: At which call each of them dies, and when; one that makes fewer calls lives.

    Returns:
        How it ended.
    """
    with stage(scene) as sim:
        service_id = sim.service("web").id
        past = len(sim.connect().history(service_id))
        engine = Mortal(sim, *deaths[0])
        commits = engine.commits
        drive(scene, sim, engine)
        for death in (*deaths[1:], (None, When.BEFORE)):
            successor = Mortal(sim, *death, commits=commits)
            other = swarm_on(successor)
            try:
                rollout = other.attach(service_id, wait_for_lease="10m")
                list(rollout.events())
            except Killed:
                continue
            except NoRollout:
                break
        reports = sim.connect().history(service_id)
        last = reports[0] if len(reports) > past else left(sim.connect(), service_id)
        if last is None or not last.rollout_id.startswith(OURS):
            assert not commits, "something was written that is not on record"
            return "not begun"
        check(scene, sim, last, commits)
        return last.outcome


def check(scene: Scene, sim: SimSwarm, report: Report, commits: Counter[str]) -> None:
    """What must hold after any rollout, whoever ended it."""
    assert report.outcome in scene.ends, f"{report.outcome}: {report}"
    assert all(count == 1 for count in commits.values()), f"committed twice: {commits}"
    phase = Phase.PENDING
    for move in report.transitions:
        assert move.source is phase, report
        assert after(phase, move.trigger) is move.target
        phase = move.target
    assert not TABLE[phase] or phase is Phase.PAUSED, report
    image = scene.ends[report.outcome]
    if image:
        assert sim.settle(), report
        runnable = [task for task in sim.tasks("web") if task.runnable]
        assert {task.image for task in runnable} == {image}, report
    assert scene.kept(sim), report
