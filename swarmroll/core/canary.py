"""The canary: a release goes to a few tasks of the service, is watched, and goes on in waves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from math import ceil

import attrs

from swarmroll.core.checks import YEARS
from swarmroll.core.plan import PAUSE
from swarmroll.core.spec import UpdateConfig
from swarmroll.core.strategy import MOST_SLOTS, ORDERS, PlanStep
from swarmroll.core.units import Duration, Share, seconds, share
from swarmroll.errors import PlanError, SpecError

ALL = share("100%", name="")


@attrs.frozen(kw_only=True)
class Step:
    """
    One wave of a canary.

    Attributes:
        tasks: How many tasks run the release when the wave is done, those of the waves before
            included: a number, or a share such as ``"25%"`` of those that are to be replaced
            (rounded up).
        hold: How long the wave is then watched, with gates, before the next one; None waits for
            ``promote()``. Of a wave that takes all tasks: how long these are watched.

    Raises:
        SpecError: A value out of its range; the message names the field.
    """

    tasks: int | str
    hold: Duration | None = 0.0

    def __attrs_post_init__(self) -> None:
        if self.share.count == 0:
            raise SpecError("Step.tasks must be at least 1, got 0")
        if self.hold is not None:
            seconds(self.hold, name="Step.hold")

    @property
    def share(self) -> Share:
        """``tasks``, read."""
        return share(self.tasks, name="Step.tasks")


def _steps(steps: Iterable[Step]) -> tuple[Step, ...]:
    found = tuple(steps)
    for step in found:
        if not isinstance(step, Step):
            raise SpecError(f"Canary.steps must be of Step, got a {type(step).__name__}")
    return found


def _may_grow(before: Share, after: Share) -> bool:
    """Whether more tasks may follow; a number and a share only compare once there are tasks."""
    if before.count is not None and after.count is not None:
        return before.count < after.count
    if before.millipercent is not None and after.millipercent is not None:
        return before.millipercent < after.millipercent
    return True


@attrs.frozen(kw_only=True)
class Canary:
    """
    Waves inside one service: the engine replaces so many slots and is held until the next wave.

    What is None is inherited from the service's own update config, which the service has again
    in the end; the waves only borrow it. The tasks of one wave are replaced at the same time.

    Three limits that Swarm sets: while a wave holds, a task of the old release that ends comes
    back as one of the new (a leak, counted and told); the engine chooses the slots; and when the
    leading manager changes, the engine may replace one more wave (an overrun, counted and told).

    Attributes:
        steps: The waves. If the last one is not all of the tasks, one more takes the rest.
        parallelism: Slots replaced at the same time in the last wave: a number or a share.
        order: ``stop-first`` or ``start-first``.
        monitor: Seconds that each new task is watched before its wave counts as done.

    Raises:
        SpecError: A value out of its range; the message names the field.
        PlanError: Waves that shrink, or a last one that would hold for ever.
    """

    steps: Sequence[Step] = attrs.field(converter=_steps)
    parallelism: int | str | None = None
    order: str | None = None
    monitor: Duration | None = None

    def __attrs_post_init__(self) -> None:
        if not self.steps:
            raise PlanError("Canary.steps is empty: name at least one wave")
        for before, after in pairwise(self.steps):
            if not _may_grow(before.share, after.share):
                raise PlanError(
                    f"Canary.steps must grow, got {after.tasks!r} after {before.tasks!r}"
                )
        last = self.steps[-1]
        if last.hold is None and last.share == ALL:
            raise PlanError(
                "the last wave of a canary takes all tasks and cannot wait for promote()"
            )
        if self.parallelism is not None:
            share(self.parallelism, name="Canary.parallelism")
        if self.order is not None and self.order not in ORDERS:
            raise SpecError(f"Canary.order must be one of {', '.join(ORDERS)}, got {self.order!r}")
        if self.monitor is not None and seconds(self.monitor, name="Canary.monitor") <= 0:
            raise SpecError(f"Canary.monitor must be more than 0, got {self.monitor!r}")

    @classmethod
    def ramp(
        cls, *, start: int = 1, factor: float = 2.0, hold: Duration | None = 0.0, **words: object
    ) -> Canary:
        """
        Waves that grow by a factor, until every task runs the release.

        Args:
            start: Tasks of the first wave.
            factor: How many times as many tasks run the release after each further wave; more
                than 1.
            hold: After each wave but the last one; None waits for ``promote()`` each time.
            **words: The other fields of a ``Canary``.

        Raises:
            SpecError: A value out of its range.
        """
        if start < 1:
            raise SpecError(
                f"Canary.ramp: start must be a number of tasks from 1 on, got {start!r}"
            )
        if not factor > 1:
            raise SpecError(f"Canary.ramp: factor must be more than 1, got {factor!r}")
        counts = [start]
        while counts[-1] < MOST_SLOTS:
            counts.append(max(counts[-1] + 1, ceil(counts[-1] * factor)))
        return cls(steps=[Step(tasks=n, hold=hold) for n in counts], **words)  # type: ignore[arg-type]

    @property
    def borrows(self) -> bool:
        """See Strategy: the waves' update config is not the service's own."""
        return True

    def policy(self, inherited: UpdateConfig, slots: int) -> UpdateConfig:
        """See Strategy. One failed task is too many."""
        given: dict[str, object] = {"max_failure_ratio": 0.0, "delay": 0.0}
        if self.parallelism is not None:
            wanted = share(self.parallelism, name="Canary.parallelism")
            given["parallelism"] = wanted.resolve(max(slots, 1))
        if self.order is not None:
            given["order"] = self.order
        if self.monitor is not None:
            given["monitor"] = seconds(self.monitor, name="Canary.monitor")
        return attrs.evolve(inherited, **given)  # type: ignore[arg-type]

    def cut(self, step: PlanStep) -> tuple[PlanStep, ...]:
        """
        See Strategy.

        Raises:
            PlanError: The waves shrink at this number of tasks.
        """
        waves: list[PlanStep] = []
        rest = step
        moved = 0
        for wave in self.steps:
            wanted = wave.share.resolve(step.restarts)
            if wanted < moved:
                raise PlanError(
                    f"Canary.steps must grow, but {wave.tasks!r} of {step.restarts} slots is"
                    f" {wanted}, after {moved}"
                )
            if wanted >= step.restarts:
                rest = _baked(step, wave)
                break
            if wanted > moved:
                waves.append(_wave(step, len(waves) + 1, moved, wanted, wave))
            moved = wanted
        action = PAUSE if waves else rest.spec.effective_update_config.failure_action
        last = attrs.evolve(
            rest,
            name=f"the other {step.restarts - moved} slots" if waves else rest.name,
            spec=rest.spec.with_update_config(
                attrs.evolve(rest.spec.effective_update_config, failure_action=action)
            ),
            restarts=step.restarts - moved,
        )
        return (*waves, last)


def _baked(step: PlanStep, last: Step) -> PlanStep:
    """All at once: there is nothing to hold back, and nothing to promote to."""
    bake = 0.0 if last.hold is None else seconds(last.hold, name="Step.hold")
    return attrs.evolve(step, bake=bake)


def _wave(step: PlanStep, number: int, before: int, wanted: int, wave: Step) -> PlanStep:
    """
    The engine is told to wait for years after so many slots.

    It may roll back by itself in the first wave only: from the second on, the spec before is the
    release itself.
    """
    config = attrs.evolve(
        step.spec.effective_update_config, parallelism=wanted - before, delay=YEARS
    )
    if number > 1:
        config = attrs.evolve(config, failure_action=PAUSE)
    return attrs.evolve(
        step,
        name=f"wave {number}, {wanted} of {step.restarts} slots",
        spec=step.spec.with_update_config(config),
        restarts=wanted - before,
        wave=wanted,
        hold=None if wave.hold is None else seconds(wave.hold, name="Step.hold"),
    )
