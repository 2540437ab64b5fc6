"""
Logs of services, tasks and containers, as a multiplexed stream.

After moby api/server/httputils/write_log_stream.go and daemon/cluster/services.go (ServiceLogs).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import attrs

from swarmroll.errors import EngineError
from swarmroll.sim.stamps import stamp
from swarmroll.sim.tasks import SimTask

if TYPE_CHECKING:
    from swarmroll.sim.api import Request
    from swarmroll.sim.swarm import SimSwarm

_STDOUT = 1


@attrs.frozen(kw_only=True)
class Reading:
    """
    Logs that somebody reads.

    Attributes:
        kind: Content type.
        follow: Whether to go on when all has been read.
        more: What has come since the last call; the caller has the swarm's lock.
    """

    kind: str
    follow: bool
    more: Callable[[], list[bytes]]


class Log:
    """What containers have written."""

    def __init__(self, sim: SimSwarm) -> None:
        self._sim = sim

    def read(
        self, request: Request, tasks: Callable[[], list[SimTask]], *, terminal: bool
    ) -> Reading:
        """
        Begin to read.

        Args:
            request: What is wanted of them.
            tasks: Whose logs; asked again when they are followed.
            terminal: Whether the containers have a terminal (TTY): then there are no frames.

        Raises:
            EngineError: A tail that is no number.
        """
        tail = _tail(request.query.get("tail", ""))
        seen: set[str] = set()

        def more() -> list[bytes]:
            nonlocal tail
            found: list[bytes] = []
            for task in tasks():
                if task.container_id and task.container_id not in seen and self._reachable(task):
                    seen.add(task.container_id)
                    found.extend(self._frames(task, request, tail))
            tail = None
            return found

        framed = request.version >= (1, 42) and not terminal
        kind = "multiplexed-stream" if framed else "raw-stream"
        return Reading(
            kind=f"application/vnd.docker.{kind}", follow=request.flag("follow"), more=more
        )

    def _reachable(self, task: SimTask) -> bool:
        return task.node is not None and task.node.reachable

    def _frames(self, task: SimTask, request: Request, tail: int | None) -> Iterator[bytes]:
        assert task.node is not None
        if not request.flag("stdout"):
            return
        behaviour = self._sim.images.behaviour(task.spec.image, task.node.hostname, task.slot)
        lines = behaviour.logs
        if tail is not None:
            lines = lines[-tail:] if tail else ()
        for line in lines:
            text = line
            if request.flag("details"):
                details = {
                    "com.docker.swarm.node.id": task.node.id,
                    "com.docker.swarm.service.id": task.service_id,
                    "com.docker.swarm.task.id": task.id,
                }
                text = ",".join(f"{key}={value}" for key, value in details.items()) + f" {text}"
            if request.flag("timestamps"):
                text = f"{stamp(task.state_at + task.node.skew)} {text}"
            if task.spec.terminal:
                # A terminal's lines end as a terminal writes them.
                yield text.encode() + b"\r\n"
                continue
            payload = text.encode() + b"\n"
            yield bytes((_STDOUT, 0, 0, 0)) + len(payload).to_bytes(4, "big") + payload


def _tail(text: str) -> int | None:
    if text in ("", "all"):
        return None
    if not text.isdecimal():
        if text.lstrip("-").isdecimal():
            raise EngineError("negative tail values not supported", status=500)
        raise EngineError('tail value must be a positive integer or "all"', status=500)
    return int(text)
