"""Stops, from another thread, a call that plans, rolls and waits."""

from __future__ import annotations

import enum
import threading
from collections.abc import Callable

from swarmroll.errors import PlanError


class OnCancel(enum.StrEnum):
    """
    What becomes of a rollout when the call that drives it is cut short.

    DETACH: its driver lets go; the rollout stays on record for ``attach``, and the engine goes on
    with what it was told. ABORT: no further step is started. ROLLBACK: the last known good spec is
    put back, and proven; where there is none, as ABORT.
    """

    DETACH = "detach"
    ABORT = "abort"
    ROLLBACK = "rollback"


Stop = Callable[[OnCancel], object]


class Brake:
    """Given to one call with ``Swarm.braked``; pulled from another thread, also twice."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._how: OnCancel | None = None
        self._stop: Stop | None = None

    @property
    def pulled(self) -> bool:
        """Whether it was."""
        return self._how is not None

    def pull(self, how: OnCancel) -> None:
        """Stop the call: what it does now, and whatever it would begin next."""
        with self._lock:
            self._how, stop = how, self._stop
        if stop is not None:
            stop(how)

    def on(self, stop: Stop | None) -> None:
        """Say what stops what the call does now; at once, if it was pulled before."""
        with self._lock:
            self._stop, how = stop, self._how
        if stop is not None and how is not None:
            stop(how)

    def check(self) -> None:
        """
        Go on only if it was not pulled.

        Raises:
            PlanError: It was; nothing was written.
        """
        if self.pulled:
            raise PlanError("stopped, as asked, before anything was written")
