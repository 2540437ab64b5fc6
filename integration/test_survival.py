"""A driver is killed, really: another one ends what it began, by what the swarm remembers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import swarmroll
from integration.lab import Cluster, ServiceFactory
from swarmroll import LeaseHeld, NoRollout, Outcome, Swarm

Images = Callable[[str], str]

ROOT = Path(__file__).parent.parent

TIMEOUT, LEASE = 2.0, 3.0

DRIVER = """
import sys, swarmroll

def tell(event):
    for word in ("transition", "purpose"):
        found = getattr(event, word, None)
        if found is not None:
            print(getattr(found, "trigger", found), flush=True)
            if str(getattr(found, "trigger", found)) == sys.argv[4]:
                sys.stdin.readline()

url, timeout, lease, _, image = sys.argv[1:]
strategy = swarmroll.Rolling(parallelism=1, monitor=1, delay=1)
with swarmroll.connect(url, timeout=float(timeout), lease=float(lease), observers=[tell]) as swarm:
    swarm.update("web", image=image, strategy=strategy)
"""


@contextmanager
def killed(cluster: Cluster, when: str, image: str) -> Iterator[None]:
    """A driver that is killed at a moment: what comes after its decision is never carried out."""
    words = [sys.executable, "-c", DRIVER, cluster.url, str(TIMEOUT), str(LEASE), when, image]
    pipe = subprocess.PIPE
    with subprocess.Popen(words, stdin=pipe, stdout=pipe, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        assert any(line.strip() == when for line in iter(process.stdout.readline, ""))
        os.kill(process.pid, signal.SIGKILL)
        process.wait(10)
    yield


@pytest.fixture
def successor(three_nodes: Cluster) -> Iterator[Swarm]:
    """Another machine, as far as anybody can tell."""
    with swarmroll.connect(three_nodes.url, timeout=TIMEOUT, lease=LEASE) as swarm:
        yield swarm


@pytest.mark.main_story
def test_a_release_is_ended_by_another_driver(
    three_nodes: Cluster, successor: Swarm, service: ServiceFactory, images: Images
) -> None:
    """Killed between the decision to write and the write: it is written once, and proven."""
    web = service(replicas=2)
    with killed(three_nodes, "ready", images("web:2")):
        assert Counter({"web:1": 2}) == web.runs()
        with pytest.raises(LeaseHeld, match="pid"):
            successor.attach("web")
        report = successor.attach("web", wait_for_lease=30).wait(60)
    assert report.outcome is Outcome.COMPLETED
    assert Counter({"web:2": 2}) == web.runs()
    assert any("taken over from" in note for note in report.notes)
    (kept,) = successor.history("web")
    assert kept.rollout_id == report.rollout_id
    with pytest.raises(NoRollout):
        successor.attach("web")


def test_a_bad_release_is_put_back_though_its_driver_was_killed(
    three_nodes: Cluster, successor: Swarm, service: ServiceFactory, images: Images
) -> None:
    """Killed in the middle of it, when only the engine knows what goes on."""
    web = service(replicas=2)
    with killed(three_nodes, "step", images("crash:1")):
        report = successor.attach("web", wait_for_lease=30).wait(60, check=False)
    assert report.outcome is Outcome.ROLLED_BACK
    assert Counter({"web:1": 2}) == web.runs()
    assert report.failures
