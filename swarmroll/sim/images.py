"""Images that behave as told, everywhere or only on some nodes or slots."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from typing import TypedDict

import attrs


def _not_negative(_: object, attribute: attrs.Attribute[float], value: float | None) -> None:
    if value is not None and not 0 <= value < math.inf:
        raise ValueError(f"image: {attribute.name} must be at least 0, got {value!r}")


def _seconds(default: float | None) -> float:
    field: float = attrs.field(default=default, validator=_not_negative)
    return field


@attrs.frozen(kw_only=True)
class Behaviour:
    """
    What a container made from an image does. All times are seconds.

    Attributes:
        digest: What the registry says of the name; None when no registry knows it.
        missing: No node has it and no registry gives it.
        pulls_in: Time to pull it, added to the time to prepare the task.
        starts_in: From the start of the container until its process is up.
        start_error: The container cannot be started; the text of the task's error.
        crashes_after: The process ends by itself so long after it came up; None: never.
        exit_code: With which it ends then.
        healthcheck: Whether the image has one; a spec's own health check has precedence.
        healthy_after: From process up to the first good check; None: never healthy, never not.
        unhealthy_after: From process up to unhealthy; None: never.
        stops_in: From the stop signal to the end of the process, unless the grace ends before.
        stop_exit_code: With which the process ends when it is told to stop.
        logs: Lines that the container writes.
    """

    digest: str | None = None
    missing: bool = False
    pulls_in: float = _seconds(0.0)
    starts_in: float = _seconds(0.5)
    start_error: str | None = None
    crashes_after: float | None = attrs.field(default=None, validator=_not_negative)
    exit_code: int = 1
    healthcheck: bool = False
    healthy_after: float | None = attrs.field(default=1.0, validator=_not_negative)
    unhealthy_after: float | None = attrs.field(default=None, validator=_not_negative)
    stops_in: float = _seconds(0.1)
    stop_exit_code: int = 143
    logs: tuple[str, ...] = ()


class BehaviourWords(TypedDict, total=False):
    """The fields of ``Behaviour``, as ``SimSwarm.image`` takes them."""

    digest: str | None
    missing: bool
    pulls_in: float
    starts_in: float
    start_error: str | None
    crashes_after: float | None
    exit_code: int
    healthcheck: bool
    healthy_after: float | None
    unhealthy_after: float | None
    stops_in: float
    stop_exit_code: int
    logs: tuple[str, ...]


@attrs.frozen(kw_only=True)
class _Exception:
    nodes: frozenset[str] | None
    slots: frozenset[int] | None
    behaviour: Behaviour

    def covers(self, hostname: str, slot: int | None) -> bool:
        if self.nodes is not None and hostname not in self.nodes:
            return False
        return self.slots is None or slot in self.slots


_MISSING = Behaviour(missing=True)


class Images:
    """The images that the nodes and the registry have, by name."""

    def __init__(self) -> None:
        self._known: dict[str, Behaviour] = {}
        self._exceptions: dict[str, list[_Exception]] = {}
        self._others = _MISSING

    def tell(
        self,
        name: str,
        words: BehaviourWords,
        *,
        on_nodes: Iterable[str] | None = None,
        on_slots: Iterable[int] | None = None,
    ) -> None:
        """
        Say how an image behaves; with nodes or slots it is an exception for those only.

        An exception has what was said of the image before, but for the words that it comes with.
        """
        if on_nodes is None and on_slots is None:
            self._known[name] = Behaviour(**words)
            self._exceptions.pop(name, None)
            return
        usual = self._known.setdefault(name, Behaviour())
        behaviour = attrs.evolve(usual, **words)
        exception = _Exception(
            nodes=None if on_nodes is None else frozenset(on_nodes),
            slots=None if on_slots is None else frozenset(on_slots),
            behaviour=behaviour,
        )
        self._exceptions.setdefault(name, []).insert(0, exception)

    def tell_of_others(self, words: BehaviourWords) -> None:
        """Say how images behave that nobody told of."""
        self._others = Behaviour(**words)

    def knows(self, reference: str) -> bool:
        """Whether the image was told of."""
        return self._find(reference) is not None

    def behaviour(self, reference: str, hostname: str, slot: int | None) -> Behaviour:
        """How it behaves there; an image that nobody told of is missing, unless said otherwise."""
        name = self._find(reference)
        if name is None:
            return self._others
        for exception in self._exceptions.get(name, ()):
            if exception.covers(hostname, slot):
                return exception.behaviour
        return self._known[name]

    def digest(self, reference: str) -> str | None:
        """What the registry has for it now."""
        name = self._find(reference)
        if name is None:
            if self._others.missing:
                return None
            _, at, pinned = reference.partition("@")
            return pinned if at else f"sha256:{hashlib.sha256(reference.encode()).hexdigest()}"
        return None if self._known[name].missing else self._known[name].digest

    def _find(self, reference: str) -> str | None:
        if reference in self._known:
            return reference
        name, _, digest = reference.partition("@")
        known = self._known.get(name)
        if digest and known is not None and known.digest in (None, digest):
            return name
        return None
