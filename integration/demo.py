"""
A rolling update and a rollback on a real swarm, watched live.

    python -m integration.demo

Exits with 0 only if the good release was completed and the bad one rolled back, as a second look
at the swarm confirms.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from typing import assert_never

import swarmroll
from integration.lab import Cluster, LabError, LabUnavailable, Service, single_swarm
from integration.lab.interrupts import terminable
from integration.lab.service import create
from swarmroll.core import events
from swarmroll.core.state import Purpose

_REPLICAS = 3
_GOOD, _BAD = "web:2", "web:crash"
_BAD_EXIT_CODE = 3
_SECOND = 10**9
_UNAVAILABLE, _INTERRUPTED = 1, 130
_HERE = "--here"

# With a health check and start-first, no old task stops before its successor is known to work. The
# two seconds that the program takes to start are there to be watched.
_HEALTHCHECK = {
    "Test": ["CMD", "healthy"],
    "Interval": _SECOND // 2,
    "Timeout": 2 * _SECOND,
    "Retries": 2,
    "StartPeriod": 5 * _SECOND,
}
_START = ["START_DELAY=2"]
_PACE = {"Parallelism": 1, "Delay": 0, "Monitor": 1 * _SECOND, "Order": "start-first"}


class DemoError(Exception):
    """Something ended otherwise than it must."""


def main() -> int:
    """
    Show it in a session of its own, and return the exit code.

    A Ctrl-C in the terminal reaches every process there: the first would be followed, if somebody
    is impatient, by one that stops Compose from removing the swarm. This one passes on the first.
    """
    if _HERE in sys.argv[1:]:
        return _demo()
    command = [sys.executable, "-m", "integration.demo", _HERE]
    with terminable(), subprocess.Popen(command, start_new_session=True) as process:
        try:
            return process.wait()
        except KeyboardInterrupt:
            process.send_signal(signal.SIGINT)
            return process.wait()


def _demo() -> int:
    _say("swarmroll demo: a good release and a bad one, on a throw-away swarm of three nodes.")
    _say("Starting that swarm takes a quarter of a minute, the first time longer.\n")
    try:
        with single_swarm() as cluster:
            try:
                _show(cluster)
            finally:
                _say("\nRemoving the swarm.")
    except LabUnavailable as error:
        return _not_shown(str(error))
    except (LabError, swarmroll.SwarmrollError, DemoError) as error:
        _say(f"\nDEMO FAILED: {error}")
        return 1
    except KeyboardInterrupt:
        _say("\nInterrupted; everything that was started is removed.")
        return _INTERRUPTED
    _say(
        "\nShown: a release rolled out slot by slot and proven; a bad one rolled back by itself,"
        " reported as a failure, with slot, node and exit code."
    )
    return 0


def _show(cluster: Cluster) -> None:
    _title(f"A service: {_REPLICAS} replicas of web:1, start-first, with a health check")
    service = create(
        cluster,
        image="web:1",
        replicas=_REPLICAS,
        container={"Healthcheck": _HEALTHCHECK, "Env": _START},
        update=_PACE,
        rollback=_PACE,
    )
    _say("All replicas run.")
    with swarmroll.connect(cluster.url) as swarm:
        _roll_forward(cluster, swarm, service)
        _roll_back(cluster, swarm, service)


def _roll_forward(cluster: Cluster, swarm: swarmroll.Swarm, service: Service) -> None:
    image = cluster.image(_GOOD)
    _title(f'The plan: swarm.plan("{service.name}", image="{image}")')
    _say(str(swarm.plan(service.name, image=image)))
    _title(f'A good release: swarm.update("{service.name}", image="{image}")')
    report = swarm.update(service.name, image=image, observers=[Live()])
    _say(f"\n{report}")
    _expect(report.outcome is swarmroll.Outcome.COMPLETED, f"it ended as {report.outcome}")
    _expect_running(service, image)


def _roll_back(cluster: Cluster, swarm: swarmroll.Swarm, service: Service) -> None:
    image = cluster.image(_BAD)
    _title(f'A release that crashes: swarm.update("{service.name}", image="{image}")')
    try:
        swarm.update(service.name, image=image, observers=[Live()])
    except swarmroll.RolledBack as error:
        report = error.report
    else:
        raise DemoError(f"{image} crashes, and yet no RolledBack was raised")
    _say(f"\nIt raised RolledBack, and error.report is:\n\n{report}")
    codes = {evidence.exit_code for evidence in report.failures}
    _expect(codes == {_BAD_EXIT_CODE}, f"the evidence names the exit codes {codes}")
    _expect_running(service, cluster.image(_GOOD))


def _expect_running(service: Service, image: str) -> None:
    """Ask the swarm itself, not swarmroll, what runs."""
    images = [task["Spec"]["ContainerSpec"]["Image"] for task in service.running()]
    right = [found for found in images if found.partition("@")[0] == image]
    _expect(len(right) == len(images) == _REPLICAS, f"{images} run, not {_REPLICAS} of {image}")


def _expect(fact: bool, otherwise: str) -> None:
    if not fact:
        raise DemoError(otherwise)


class Live:
    """An observer that prints one plain line for each thing that happens."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._back = False

    def __call__(self, event: swarmroll.Event) -> None:
        """Print it, if it is worth a line."""
        text = self._text(event)
        if text:
            _say(f"{time.monotonic() - self._began:6.1f} s  {text}")

    def _text(self, event: swarmroll.Event) -> str:
        which = "old spec" if self._back else "new spec"
        match event:
            case events.Moved(transition=move):
                self._back = self._back or move.target is swarmroll.Phase.ROLLING_BACK
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


def _title(text: str) -> None:
    _say(f"\n--- {text}\n")


def _say(text: str) -> None:
    """At once, also where the output is a pipe."""
    print(text, flush=True)


def _not_shown(reason: str) -> int:
    _say(f"\n{'=' * 25} DEMO: NOT SHOWN {'=' * 26}\n{reason}\n{'=' * 68}")
    return _UNAVAILABLE


if __name__ == "__main__":
    sys.exit(main())
