"""
A rolling update and a rollback on a real swarm, watched live.

    python -m integration.demo

The story is swarmroll's own (``swarmroll.demo``); here it has a throw-away swarm of three nodes.
Where this machine offers no engine to make one with, that is said loudly, and a simulated swarm is
taken.

Exits with 0 only if the good release was completed and the bad one rolled back, as a second look
at the swarm confirms.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import swarmroll
from integration.lab import Cluster, LabError, LabUnavailable, Service, single_swarm
from integration.lab.interrupts import terminable
from integration.lab.service import create
from swarmroll.demo import REPLICAS, SERVICE, DemoError, exit_code, show, simulated

_HERE = "--here"


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
    return exit_code(_story, _say)


def _story() -> None:
    try:
        _on_a_real_swarm()
    except LabUnavailable as error:
        _say_that_it_is_simulated(str(error))
        simulated(_say)
    except LabError as error:
        raise DemoError(str(error)) from error


def _on_a_real_swarm() -> None:
    with single_swarm() as cluster:
        try:
            show(RealStage(cluster), _say)
        finally:
            _say("\nRemoving the swarm.")


class RealStage:
    """A swarm of the lab as a stage."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._service: Service | None = None

    def image(self, short: str) -> str:
        """See ``Stage.image``."""
        return self._cluster.image(short)

    def create(self, spec: Mapping[str, Any]) -> None:
        """See ``Stage.create``."""
        template = spec["TaskTemplate"]
        container = template["ContainerSpec"]
        self._service = create(
            self._cluster,
            name=SERVICE,
            image=container["Image"],
            replicas=REPLICAS,
            container=container,
            template=template,
            update=spec["UpdateConfig"],
            rollback=spec["RollbackConfig"],
        )

    def connect(self) -> swarmroll.Swarm:
        """See ``Stage.connect``."""
        return swarmroll.connect(self._cluster.url)

    def running(self) -> list[str]:
        """See ``Stage.running``."""
        assert self._service is not None
        return [task["Spec"]["ContainerSpec"]["Image"] for task in self._service.running()]


def _say(text: str) -> None:
    """At once, also where the output is a pipe."""
    print(text, flush=True)


def _say_that_it_is_simulated(reason: str) -> None:
    line = " NO ENGINE HERE: SHOWN ON A SIMULATED SWARM "
    _say(f"{line:=^76}\n{reason}\n{'=' * 76}")


if __name__ == "__main__":
    sys.exit(main())
