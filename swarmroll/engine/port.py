"""
What swarmroll asks of a swarm, in the core's words.

Every method may raise EngineError and its children, and nothing else. Reads are retried inside
the engine within its time limit; a write is sent at most once per call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import attrs

from swarmroll.core.snapshot import Depth, Node, Service, Snapshot, Task
from swarmroll.core.spec import ServiceSpec


class Clock(Protocol):
    """Time, passed in, so that tests and the simulated swarm can bring their own."""

    def monotonic(self) -> float:
        """Seconds that only ever increase."""

    def wall(self) -> float:
        """Seconds since the epoch, for people and records only."""

    def boottime(self) -> float:
        """As ``monotonic``, and it goes on while the machine sleeps, where that can be told."""

    def sleep(self, seconds: float) -> None:
        """Let time pass."""


@attrs.frozen(kw_only=True)
class StoredConfig:
    """
    A config object of the swarm.

    Attributes:
        version: Version index; new labels are accepted only with exactly this number.
        labels: May be changed.
        data: Never changes.
    """

    id: str
    name: str
    version: int
    labels: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    data: bytes = attrs.field(default=b"", repr=False)


class Watch(Protocol):
    """Wakes one rollout when its service may have changed. Events are hints, never the truth."""

    def wait(self, seconds: float) -> bool:
        """
        Return when something may have changed, or after ``seconds``.

        Returns:
            True when woken by a hint (or by ``wake``), False when the time was over.
        """

    def wake(self) -> None:
        """End a wait from another thread: somebody asks the rollout for something."""

    @property
    def unbroken_since(self) -> float | None:
        """See ``Snapshot.unbroken_since``."""

    def close(self) -> None:
        """Stop being woken; the stream itself is shared and ends with its last watch."""


@attrs.frozen(kw_only=True)
class Resolved:
    """
    What a registry says about an image now.

    Attributes:
        digest: ``sha256:...``; None when no registry could tell.
        platforms: What it runs on, as ``linux/amd64``; empty when not known.
        reason: Why there is no digest, as a sentence for people; empty when there is one.
    """

    digest: str | None = None
    platforms: tuple[str, ...] = ()
    reason: str = ""


class Engine(Protocol):
    """One swarm, reached through one or more of its managers."""

    @property
    def host(self) -> str:
        """The address in use, for messages."""

    @property
    def requests(self) -> int:
        """HTTP requests sent so far, retries included."""

    @property
    def clock(self) -> Clock:
        """The clock by which ``look`` stamps snapshots and ``Watch.wait`` waits."""

    @property
    def request_timeout(self) -> float:
        """Seconds after which a single request is given up."""

    def service(self, ref: str) -> Service:
        """
        Read a service by id, exact name, or unique id prefix.

        Raises:
            ServiceNotFound: No such service.
            NotAManager: The engine is not part of a swarm, or not a manager.
            EngineUnavailable: No answer within the limit.
        """

    def look(self, service_id: str, depth: Depth, *, after: Snapshot | None = None) -> Snapshot:
        """
        One look at a service; a service that is gone is a snapshot without one.

        The service is read first and the tasks after it, so that a task list is never older
        than the spec that it is judged by.

        Args:
            service_id: Full id.
            depth: How much to look at.
            after: A shallower look taken a moment ago: what it saw is not asked for again.
        """

    def tasks(self, service_id: str) -> tuple[Task, ...]:
        """Every task of the service that the swarm still remembers."""

    def nodes(self) -> tuple[Node, ...]:
        """Every node of the swarm."""

    def update(
        self,
        service_id: str,
        version: int,
        spec: ServiceSpec,
        *,
        auth_for: str | None = None,
        last_check: Callable[[], None] | None = None,
    ) -> tuple[str, ...]:
        """
        Replace the service's spec; sent once, never repeated by the engine door.

        Args:
            service_id: Full id.
            version: The version index that was read; the engine accepts no other.
            spec: The whole new spec.
            auth_for: Image whose registry's credentials are sent along; None sends none and the
                engine keeps those it has.
            last_check: Called when nothing is left to do but to send it; may raise to prevent it.

        Returns:
            The engine's warnings.

        Raises:
            Conflict: ``version`` is not the current one; nothing was written.
            ServiceNotFound: The service is gone; nothing was written.
            EngineUnavailable: No answer: it may or may not have been written. Look.
            EngineError: Refused, with the engine's message; nothing was written.
        """

    def config(self, ref: str) -> StoredConfig | None:
        """A config by id or exact name; None if there is none."""

    def configs(self, label: str, value: str) -> tuple[StoredConfig, ...]:
        """Every config that has this label with this value."""

    def create_config(self, name: str, data: bytes, labels: Mapping[str, str]) -> None:
        """
        Make a config; sent once, never repeated by the engine door.

        Raises:
            Conflict: There is one of that name; nothing was made.
            EngineUnavailable: No answer: it may or may not have been made. Look.
            EngineError: Refused, with the engine's message; nothing was made.
        """

    def label_config(self, config: StoredConfig, labels: Mapping[str, str]) -> None:
        """
        Replace the labels of a config as it was read; sent once, never repeated.

        Raises:
            Conflict: It was changed since, or removed; nothing was written.
            EngineUnavailable: No answer: it may or may not have been written. Look.
            EngineError: Refused, with the engine's message; nothing was written.
        """

    def remove_config(self, ref: str) -> None:
        """Remove a config by id or exact name; one that is not there is removed."""

    def resolve(self, image: str, *, timeout: float) -> Resolved:
        """
        Ask the image's registry, through the engine, which digest the image has now.

        Returns:
            One without a digest, and with the reason, when no registry answers within
            ``timeout`` seconds or does not know the image. Never raises.
        """

    def logs(self, task: Task, *, lines: int) -> tuple[str, ...]:
        """The last lines that the task's container wrote; empty when they cannot be had."""

    def health_output(self, task: Task) -> tuple[str, ...]:
        """Outputs of its last health checks; empty unless its node is the one we talk to."""

    def watch(self, service_id: str) -> Watch:
        """A new watch on a service; all watches of an engine share one event stream."""

    def close(self) -> None:
        """Give back sockets and threads; a second call does nothing."""
