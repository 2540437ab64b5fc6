"""How a change is cut into steps. A strategy only cuts; the state machine knows no strategy."""

from __future__ import annotations

from typing import Protocol

import attrs

from swarmroll.core.spec import ServiceSpec, UpdateConfig
from swarmroll.core.units import Duration, seconds, share
from swarmroll.errors import SpecError

ORDERS = ("stop-first", "start-first")

MOST_SLOTS = 1_000_000


@attrs.frozen(kw_only=True)
class PlanStep:
    """
    One write of the service, and what must be true before the next.

    Attributes:
        name: What it does, for people: ``update``, ``scale up to 6``.
        spec: The whole spec to store. Its replica count gives way to the live one when somebody
            scales the service meanwhile and this step is not about scaling.
        restarts: Slots whose task this step replaces.
        adds: Slots that it adds; the engine neither paces nor watches those.
        scales: Whether the step is about the number of replicas.
        monitor: Seconds that each new task is watched; 0 where no task is new.
        bake: Seconds that every slot is watched once more after that.
        hold: Seconds to wait, with gates, before the next step; None waits for ``promote()``.
        wave: Of a wave: how many slots run the release when it is done, those of the waves
            before included; the engine is held after those. 0 where it is not held.
    """

    name: str
    spec: ServiceSpec
    restarts: int = 0
    adds: int = 0
    scales: bool = False
    monitor: float = 0.0
    bake: float = 0.0
    hold: float | None = 0.0
    wave: int = 0

    @property
    def pace(self) -> UpdateConfig:
        """The engine's update config, without the delay that only holds it."""
        config = self.spec.effective_update_config
        return attrs.evolve(config, delay=0.0) if self.wave else config


class Strategy(Protocol):
    """Cuts the part of a change that replaces tasks."""

    @property
    def borrows(self) -> bool:
        """
        Whether what it writes as update config is only for the rollout.

        The service then has the one that it declares again in the end.
        """

    def policy(self, inherited: UpdateConfig, slots: int) -> UpdateConfig:
        """The update config to write, every field set, from what the service declares."""

    def cut(self, step: PlanStep) -> tuple[PlanStep, ...]:
        """The steps that take the place of one step that replaces every task at once."""


@attrs.frozen(kw_only=True)
class Rolling:
    """
    One service update, paced by the engine's own updater, which goes on when this process dies.

    What is None is inherited from the service's own update config, field by field. The written
    values become the service's declared update config, as with any Docker client.

    Attributes:
        parallelism: Slots replaced at the same time: a number, or a share such as ``"25%"``
            (rounded up, at least 1). 0 means all of them at once, as in Docker.
        delay: Seconds between a slot that is done and the next.
        order: ``stop-first`` or ``start-first``.
        monitor: Seconds that the engine watches each new task from RUNNING on. Not 0, which the
            engine would read as 5 s (moby daemon/cluster/convert/service.go).
        max_failure_ratio: Share of the slots, 0 to 1, that may fail; more than it is a failure.
        bake: Seconds that swarmroll goes on watching every slot after the engine is done.

    Raises:
        SpecError: A value out of its range; the message names the field.
    """

    parallelism: int | str | None = None
    delay: Duration | None = None
    order: str | None = None
    monitor: Duration | None = None
    max_failure_ratio: float | None = None
    bake: Duration = 0.0

    def __attrs_post_init__(self) -> None:
        if self.parallelism is not None:
            share(self.parallelism, name="Rolling.parallelism")
            if isinstance(self.parallelism, int) and self.parallelism > MOST_SLOTS:
                raise SpecError(
                    f"Rolling.parallelism must be at most {MOST_SLOTS}, got {self.parallelism}"
                )
        for field, least in (("delay", 0.0), ("monitor", 0.001), ("bake", 0.0)):
            value = getattr(self, field)
            if value is not None and seconds(value, name=f"Rolling.{field}") < least:
                raise SpecError(
                    f"Rolling.{field} must be more than 0 (the engine reads 0 as its own"
                    f" default of 5 s), got {value!r}"
                )
        if self.order is not None and self.order not in ORDERS:
            raise SpecError(f"Rolling.order must be one of {', '.join(ORDERS)}, got {self.order!r}")
        ratio = self.max_failure_ratio
        number = isinstance(ratio, int | float) and not isinstance(ratio, bool)
        if ratio is not None and not (number and 0 <= ratio <= 1):
            raise SpecError(f"Rolling.max_failure_ratio must be 0 to 1, got {ratio!r}")

    @property
    def borrows(self) -> bool:
        """See Strategy: what it writes is what the service declares from then on."""
        return False

    def policy(self, inherited: UpdateConfig, slots: int) -> UpdateConfig:
        """See Strategy."""
        given: dict[str, object] = {}
        if self.parallelism is not None:
            wanted = share(self.parallelism, name="Rolling.parallelism")
            given["parallelism"] = wanted.resolve(max(slots, 1))
        if self.delay is not None:
            given["delay"] = seconds(self.delay, name="Rolling.delay")
        if self.monitor is not None:
            given["monitor"] = seconds(self.monitor, name="Rolling.monitor")
        if self.order is not None:
            given["order"] = self.order
        if self.max_failure_ratio is not None:
            given["max_failure_ratio"] = float(self.max_failure_ratio)
        return attrs.evolve(inherited, **given)  # type: ignore[arg-type]

    def cut(self, step: PlanStep) -> tuple[PlanStep, ...]:
        """See Strategy: it stays one step."""
        return (attrs.evolve(step, bake=seconds(self.bake, name="Rolling.bake")),)
