"""Real processes, real signals: a driver that sleeps too long, or never wakes again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

import swarmroll
from swarmroll import LeaseHeld, Swarm
from swarmroll.sim import SimSwarm

TIMEOUT, LEASE = 0.6, 1.5
"""Seconds, real ones: those of a request, and of a lease."""

DRIVER = Path(__file__).parent / "driver.py"


@pytest.fixture
def sim() -> Iterator[SimSwarm]:
    with SimSwarm(serve=True, speed=25, nodes=3) as swarm:
        swarm.image("app:1")
        swarm.image("app:2")
        swarm.image("app:3")
        swarm.create_service("web", image="app:1", replicas=3)
        yield swarm


@contextmanager
def driving(sim: SimSwarm) -> Iterator[subprocess.Popen[str]]:
    """A driver that has decided to write, has it on record, and waits for a line to go on."""
    words = [sys.executable, str(DRIVER), sim.url, str(TIMEOUT), str(LEASE), "app:2"]
    pipe = subprocess.PIPE
    with subprocess.Popen(words, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            assert said(process.stdout, "connected")
            assert said(process.stdout, "decided")
            yield process
        finally:
            process.kill()


def said(stream: IO[str] | None, word: str) -> bool:
    assert stream is not None
    return any(line.startswith(word) for line in iter(stream.readline, ""))


@contextmanager
def connected(sim: SimSwarm) -> Iterator[Swarm]:
    with swarmroll.connect(sim.url, timeout=TIMEOUT, lease=LEASE) as swarm:
        yield swarm


def commits(sim: SimSwarm) -> int:
    return sum(one.kind == "service" and one.what.startswith("updated") for one in sim.trace)


def stopped(process: subprocess.Popen[str]) -> bool:
    state = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0]
    return state == "T"


def until(condition: Callable[[], bool]) -> None:
    ends = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.005)


def attach(swarm: Swarm) -> str:
    return swarm.attach("web", wait_for_lease=30).wait(30).target.image


def begin_another(swarm: Swarm) -> str:
    return swarm.update("web", image="app:3", wait_for_lease=30).target.image


@pytest.mark.parametrize("take_over", [attach, begin_another])
def test_a_driver_that_slept_past_its_lease_writes_nothing(
    sim: SimSwarm, take_over: Callable[[Swarm], str]
) -> None:
    """SIGSTOP just before it sends, SIGCONT when somebody else has ended what it began."""
    with driving(sim) as process, connected(sim) as other:
        process.send_signal(signal.SIGSTOP)
        until(lambda: stopped(process))
        image = take_over(other)
        done = commits(sim)
        assert done == 1
        process.send_signal(signal.SIGCONT)
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
        assert said(process.stdout, "LeaseHeld")
        process.wait(10)
        assert commits(sim) == done
        assert sim.service("web").spec.image == image
        outcomes = [report.outcome for report in other.history("web")]
        assert outcomes[0] == "completed"


def test_as_long_as_its_lease_lasts_nobody_takes_it_over(sim: SimSwarm) -> None:
    """The other one is told who drives it, and since when; then the first one goes on."""
    with driving(sim) as process, connected(sim) as other:
        with pytest.raises(LeaseHeld, match=f"pid {process.pid}"):
            other.attach("web")
        process.communicate("\n", timeout=30)
        assert commits(sim) == 1
        assert other.history("web")[0].outcome == "completed"


def test_a_driver_that_is_killed_is_followed_by_another(sim: SimSwarm) -> None:
    """SIGKILL between the decision and the write: it is written once, by the other one."""
    with driving(sim) as process, connected(sim) as other:
        os.kill(process.pid, signal.SIGKILL)
        process.wait(10)
        assert commits(sim) == 0
        rollout = other.attach("web", wait_for_lease=30)
        report = rollout.wait(30)
        assert report.outcome == "completed"
        assert any(f"pid {process.pid}" in note for note in report.notes)
        assert commits(sim) == 1
