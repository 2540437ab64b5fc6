"""The demo: what it shows, and that it does not say so of anything else."""

from __future__ import annotations

import json
import re
import signal
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from swarmroll import EngineUnavailable, Outcome
from swarmroll.demo import BAD, GOOD, SERVICE, DemoError, SimStage, exit_code, show
from swarmroll.sim import SimSwarm
from tests.processes import running

ROOT = Path(__file__).parent.parent


@pytest.fixture
def sim() -> Iterator[SimSwarm]:
    with SimSwarm() as swarm:
        yield swarm


def test_it_shows_a_good_release_and_a_bad_one(sim: SimSwarm) -> None:
    """The plan, both reports, and live lines in between."""
    said: list[str] = []
    shown = show(SimStage(sim), said.append)
    assert (shown.good.outcome, shown.bad.outcome) == (Outcome.COMPLETED, Outcome.ROLLED_BACK)
    story = "\n".join(said)
    wanted = (
        "plan for web",
        "slot 3: it runs, and is healthy",
        "web completed: the release is complete",
        "FAILED: slot ",
        "evidence saved, 2 log lines",
        "web rolled back",
        "| no database at nowhere: giving up",
        "Shown: ",
    )
    assert list(wanted) == sorted(wanted, key=story.index)
    assert sim.service(SERVICE).spec.image.startswith(f"{GOOD}@")


def test_it_says_when_things_happened(sim: SimSwarm) -> None:
    """Each live line begins with the seconds since the rollout began; the first is 0.0."""
    said: list[str] = []
    show(SimStage(sim), said.append)
    times = [float(found[1]) for line in said if (found := re.match(r" +(\d+\.\d) s  ", line))]
    assert times[0] == 0.0
    assert times.count(0.0) >= 2
    assert 5 < max(times) < 15


def test_no_task_of_the_old_release_stops_before_its_successor_is_healthy(sim: SimSwarm) -> None:
    """Which is what the demo promises: three tasks run at every moment."""
    stage = SimStage(sim)
    fewest = [3]
    made = [False]

    def count() -> bool:
        running = len(stage.running()) if sim.store.services else 0
        made[0] = made[0] or running == 3
        if made[0]:
            fewest[0] = min(fewest[0], running)
        return False

    sim.at(count, lambda: None)
    show(stage, lambda _: None)
    assert made[0]
    assert fewest == [3]


def test_a_bad_release_that_runs_is_told(sim: SimSwarm) -> None:
    """Nothing was shown then."""
    stage = SimStage(sim)
    sim.image(BAD)
    with pytest.raises(DemoError, match=r"web:crash crashes, and yet no RolledBack was raised"):
        show(stage, lambda _: None)


def test_a_good_release_that_fails_is_told(sim: SimSwarm) -> None:
    """With its outcome."""
    stage = SimStage(sim)
    sim.image(GOOD, crashes_after=0.5)
    with pytest.raises(DemoError, match="the good release ended as rolled_back"):
        show(stage, lambda _: None)


def test_another_exit_code_is_told(sim: SimSwarm) -> None:
    """The evidence has to name the right one."""
    stage = SimStage(sim)
    sim.image(BAD, crashes_after=0.5, exit_code=4)
    with pytest.raises(DemoError, match=r"the evidence names the exit codes \{4\}"):
        show(stage, lambda _: None)


class Meddled(SimStage):
    """A swarm that runs something else when it is looked at a second time."""

    def connect(self) -> Any:
        self._looked = True
        return super().connect()

    def running(self) -> list[str]:
        found = super().running()
        return [*found[:-1], "web:9"] if getattr(self, "_looked", False) else found


def test_a_second_look_at_the_swarm_decides(sim: SimSwarm) -> None:
    """A report alone proves nothing to somebody who doubts it."""
    with pytest.raises(DemoError, match=r"'web:9'\] run, not 3 of web:2"):
        show(Meddled(sim), lambda _: None)


def test_a_service_that_does_not_start_is_told(sim: SimSwarm) -> None:
    """Instead of waiting for it for ever."""
    stage = SimStage(sim)
    for number in (1, 2, 3):
        sim.node(f"node-{number}").drain()
    with pytest.raises(DemoError, match=r"only \[\] run of 3 replicas"):
        show(stage, lambda _: None)


@pytest.mark.parametrize(
    ("failure", "code", "words"),
    [
        (DemoError("web:9 runs"), 1, "DEMO FAILED: web:9 runs"),
        (EngineUnavailable("no answer"), 1, "DEMO FAILED: no answer"),
        (OSError("no socket"), 1, "DEMO FAILED: no socket"),
        (KeyboardInterrupt(), 130, "Interrupted; everything that was started is removed."),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_exit_code_tells_that_it_was_not_shown(
    failure: BaseException, code: int, words: str
) -> None:
    """And the last line tells why."""
    said: list[str] = []

    def story() -> None:
        raise failure

    assert exit_code(story, said.append) == code
    assert [line.strip() for line in said] == [words]


# As a user runs it


def test_from_a_shell() -> None:
    """Live, and with exit code 0; it ends with the report and what was shown."""
    with running("swarmroll", "demo", "--speed", "10") as process:
        out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")
    last = out.strip().split("\n\n")[-2:]
    assert last[0].startswith("web rolled back: ")
    assert last[1].startswith("Shown: ")


def test_as_json() -> None:
    """Both reports to stdout, the story to stderr."""
    with running("swarmroll", "demo", "--speed", "10", "--json") as process:
        out, err = process.communicate(timeout=30)
    found: Mapping[str, Any] = json.loads(out)
    assert (found["good"]["exit_code"], found["bad"]["exit_code"]) == (0, 4)
    assert "Shown: " in err


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A folder in which the path of a unix socket is not too long."""
    with tempfile.TemporaryDirectory(prefix="demo-") as path:
        yield Path(path)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_it_can_be_interrupted(number: signal.Signals, short_path: Path) -> None:
    """Exit code 130, and nothing is left behind: neither a process nor a socket."""
    with running("swarmroll", "demo", "--speed", "10", TMPDIR=str(short_path)) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "a task of the new spec was made" in line:
                break
        assert [*short_path.glob("*/docker.sock")] != []
        process.send_signal(number)
        rest = process.stdout.read()
        assert process.wait(10) == 130
    assert "Interrupted; everything that was started is removed." in rest
    assert [*short_path.iterdir()] == []


def test_a_reader_that_has_seen_enough_ends_it() -> None:
    """As in ``swarmroll demo | head``: without a traceback."""
    with running("swarmroll", "demo", "--speed", "10") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        for line in process.stdout:
            if "a task of the new spec was made" in line:
                break
        process.stdout.close()
        assert process.wait(20) == 1
        assert process.stderr.read() == ""


@pytest.mark.parametrize("speed", ["0", "-1", "nan", "11", "soon"])
def test_a_speed_that_is_none_is_refused(speed: str) -> None:
    """Exit code 2, naming the option."""
    with running("swarmroll", "demo", "--speed", speed) as process:
        _, err = process.communicate(timeout=30)
    assert process.returncode == 2
    assert "Invalid value for '--speed'" in err


def test_without_an_engine_it_is_shown_on_a_simulated_swarm() -> None:
    """make demo says so loudly, with the reason, and goes on."""
    nowhere = {"SWARMROLL_LAB": "user", "DOCKER_HOST": "unix:///nowhere/docker.sock"}
    with running("integration.demo", **nowhere) as process:
        assert process.stdout is not None
        said = []
        for line in process.stdout:
            said.append(line.strip())
            if said[-1] == "All replicas run.":
                break
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130
    assert any("NO ENGINE HERE: SHOWN ON A SIMULATED SWARM" in line for line in said)
    assert any("no lab can be run here: no Docker engine" in line for line in said)
