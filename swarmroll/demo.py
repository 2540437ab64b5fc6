"""
The demo: a good release and a bad one, shown live on any swarm.

The story is one, whatever it is shown on: ``Stage`` is what it needs of a swarm. ``simulated()``
shows it on a simulated swarm behind the real Engine API; ``make demo``, on a real one.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, Protocol, assert_never

import attrs

from swarmroll.core import events
from swarmroll.core.events import Event
from swarmroll.core.parts import Healthcheck
from swarmroll.core.phases import Phase
from swarmroll.core.report import Outcome, Report
from swarmroll.core.spec import ServiceSpec
from swarmroll.core.state import Purpose
from swarmroll.errors import RolledBack, SwarmrollError
from swarmroll.sim import SimSwarm, service_document
from swarmroll.sim.documents import Pacing
from swarmroll.swarm import Swarm, connect

SERVICE = "web"
REPLICAS = 3
OLD, GOOD, BAD = "web:1", "web:2", "web:crash"
BAD_EXIT_CODE = 3

_FAILED, _INTERRUPTED = 1, 130

Say = Callable[[str], None]

# With a health check and start-first, no old task stops before its successor is known to work.
_PACE: Pacing = {"parallelism": 1, "delay": 0, "monitor": 1, "order": "start-first"}
_HEALTHCHECK = Healthcheck(
    test=("CMD", "healthy"), interval=0.5, timeout=2, retries=2, start_period=5
)


class DemoError(Exception):
    """Something ended otherwise than it must."""


class Stage(Protocol):
    """
    A swarm to show the story on.

    It has three images. ``web:1`` and ``web:2`` run, and are healthy some two seconds after their
    start, for the eye to follow; ``web:crash`` ends with exit code 3 instead.
    """

    def image(self, short: str) -> str:
        """The whole name there of ``web:1``, ``web:2`` or ``web:crash``."""
        ...

    def create(self, spec: Mapping[str, Any]) -> None:
        """Create a service from an Engine-API document, and wait until all its tasks run."""
        ...

    def connect(self) -> Swarm:
        """As a user of swarmroll would."""
        ...

    def running(self) -> list[str]:
        """The image of each task that runs, as the swarm itself tells it, not swarmroll."""
        ...


@attrs.frozen(kw_only=True)
class Shown:
    """How the two releases ended."""

    good: Report
    bad: Report

    def to_dict(self) -> dict[str, Any]:
        """Both reports, for machines."""
        return {"good": self.good.to_dict(), "bad": self.bad.to_dict()}


def show(stage: Stage, say: Say) -> Shown:
    """
    Show the story.

    Raises:
        DemoError: A release ended otherwise than it must, or the swarm does not run what it should.
        SwarmrollError: As anywhere.
    """
    _title(say, f"A service: {REPLICAS} replicas of {OLD}, start-first, with a health check")
    stage.create(service_spec(stage.image(OLD)))
    say("All replicas run.")
    with stage.connect() as swarm:
        shown = Shown(good=_roll_forward(stage, swarm, say), bad=_roll_back(stage, swarm, say))
    say(
        "\nShown: a release rolled out slot by slot and proven; a bad one rolled back by itself,"
        " reported as a failure, with slot, node and exit code."
    )
    return shown


def exit_code(story: Callable[[], object], say: Say) -> int:
    """Let a story be shown: 0, or 1 if it failed, or 130 if it was interrupted, which is said."""
    try:
        story()
    except BrokenPipeError:
        # Nobody reads any more, and so nobody can be told.
        raise
    except (DemoError, SwarmrollError, OSError) as error:
        say(f"\nDEMO FAILED: {error}")
        return _FAILED
    except KeyboardInterrupt:
        say("\nInterrupted; everything that was started is removed.")
        return _INTERRUPTED
    return 0


def service_spec(image: str) -> dict[str, Any]:
    """The service of the story, as an Engine-API document."""
    document = service_document(
        SERVICE,
        image=image,
        replicas=REPLICAS,
        # The program's own words: it is to take two seconds, which are there to be watched.
        env={"START_DELAY": "2"},
        update=_PACE,
        rollback=_PACE,
        restart={"condition": "any", "delay": 0},
        stop_grace=1,
    )
    return ServiceSpec.from_engine(document).with_healthcheck(_HEALTHCHECK).to_engine()


def _roll_forward(stage: Stage, swarm: Swarm, say: Say) -> Report:
    image = stage.image(GOOD)
    _title(say, f'The plan: swarm.plan("{SERVICE}", image="{image}")')
    say(str(swarm.plan(SERVICE, image=image)))
    _title(say, f'A good release: swarm.update("{SERVICE}", image="{image}")')
    report = swarm.update(SERVICE, image=image, observers=[Live(say)], check=False)
    say(f"\n{report}")
    _expect(report.outcome is Outcome.COMPLETED, f"the good release ended as {report.outcome}")
    _expect_running(stage, image)
    return report


def _roll_back(stage: Stage, swarm: Swarm, say: Say) -> Report:
    image = stage.image(BAD)
    _title(say, f'A release that crashes: swarm.update("{SERVICE}", image="{image}")')
    try:
        swarm.update(SERVICE, image=image, observers=[Live(say)])
    except RolledBack as error:
        report = error.report
    else:
        raise DemoError(f"{image} crashes, and yet no RolledBack was raised")
    say(f"\nIt raised RolledBack, and error.report is:\n\n{report}")
    codes = {evidence.exit_code for evidence in report.failures}
    _expect(codes == {BAD_EXIT_CODE}, f"the evidence names the exit codes {codes}")
    _expect_running(stage, stage.image(GOOD))
    return report


def _expect_running(stage: Stage, image: str) -> None:
    images = stage.running()
    right = [found for found in images if found.partition("@")[0] == image]
    _expect(len(right) == len(images) == REPLICAS, f"{images} run, not {REPLICAS} of {image}")


def _expect(fact: bool, otherwise: str) -> None:  # noqa: FBT001 - as assert has it
    if not fact:
        raise DemoError(otherwise)


def _title(say: Say, text: str) -> None:
    say(f"\n--- {text}\n")


class Live:
    """An observer that tells one plain line for each thing that happens."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._began: float | None = None
        self._back = False

    def __call__(self, event: Event) -> None:
        """Tell it, if it is worth a line."""
        if self._began is None:
            self._began = event.at
        text = self._text(event)
        if text:
            # An observer's failures are none of the rollout's; the story itself will meet this one.
            with suppress(BrokenPipeError):
                self._say(f"{event.at - self._began:6.1f} s  {text}")

    def _text(self, event: Event) -> str:
        which = "old spec" if self._back else "new spec"
        match event:
            case events.Moved(transition=move):
                self._back = self._back or move.target is Phase.ROLLING_BACK
                return f"{move.target.replace('_', ' '):<13} {move.reason}"
            case events.Wrote(purpose=purpose):
                return f"  the service has the {_wrote(purpose)}"
            case events.TaskMade():
                return f"  slot {event.slot}: a task of the {which} was made"
            case events.TaskRunning():
                return f"  slot {event.slot}: it runs, and is healthy"
            case events.TaskFailed(failure=failure):
                return f"  FAILED: {failure.headline}"
            case events.EvidenceSaved(evidence=evidence):
                return f"  slot {evidence.slot}: evidence saved, {len(evidence.logs)} log lines"
            case _:
                return ""


def _wrote(purpose: Purpose) -> str:
    match purpose:
        case Purpose.STEP:
            return "new spec; the engine replaces its tasks"
        case Purpose.STAND_STILL:
            return "same spec; the engine is held"
        case Purpose.PUT_BACK:
            return "old spec; the engine replaces its tasks"
        case Purpose.GIVE_BACK:
            return "old update config"
        case _:
            assert_never(purpose)


# On a simulated swarm


def simulated(say: Say, *, speed: float = 1.0) -> Shown:
    """
    Show it on a simulated swarm behind the real Engine API, which is gone afterwards.

    Args:
        say: Told each line.
        speed: The swarm's seconds in one of ours.

    Raises:
        DemoError: As ``show``.
        SwarmrollError: As ``show``.
        ValueError: A speed at which time would stand still.
        KeyboardInterrupt: Ctrl-C, or SIGTERM; a further one does not keep it from cleaning up.
    """
    with _interruptible(), SimSwarm(nodes=3, serve=True, speed=speed) as sim:
        return show(SimStage(sim), say)


class SimStage:
    """A simulated swarm as a stage: by its served door if it has one, else in virtual time."""

    def __init__(self, sim: SimSwarm) -> None:
        self._sim = sim
        for digit, good in enumerate((OLD, GOOD), start=1):
            sim.image(good, digest=f"sha256:{str(digit) * 64}", starts_in=0.4, healthy_after=1.6)
        sim.image(
            BAD,
            digest=f"sha256:{'f' * 64}",
            starts_in=0.4,
            healthy_after=None,
            crashes_after=1.6,
            exit_code=BAD_EXIT_CODE,
            logs=("web crash is starting", "no database at nowhere: giving up"),
        )

    def image(self, short: str) -> str:
        """See ``Stage.image``."""
        return short

    def create(self, spec: Mapping[str, Any]) -> None:
        """See ``Stage.create``."""
        sim = self._sim
        sim.create_service(SERVICE, spec=spec, settle=0)
        wait = sim.run_until if sim.pump is None else sim.wait_until
        if not wait(lambda: len(self.running()) == REPLICAS, 60.0):
            raise DemoError(f"only {self.running()} run of {REPLICAS} replicas")

    def connect(self) -> Swarm:
        """See ``Stage.connect``."""
        return self._sim.connect() if self._sim.pump is None else connect(self._sim.url)

    def running(self) -> list[str]:
        """See ``Stage.running``."""
        return [task.image for task in self._sim.tasks(SERVICE) if task.running]


@contextmanager
def _interruptible() -> Iterator[None]:
    """Ctrl-C, SIGTERM and SIGHUP are one KeyboardInterrupt; a second one is ignored."""

    def interrupt(number: int, _: FrameType | None) -> None:
        for each in previous:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt(signal.Signals(number).name)

    watched = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP"):
        watched.append(signal.SIGHUP)
    previous = {number: signal.signal(number, interrupt) for number in watched}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
