"""Asks gates beside the watch: one check of a gate at a time, none of them waited for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, Future
from typing import ParamSpec, TypeVar

import attrs

from swarmroll.core.gate import Gate, GateContext, Verdict
from swarmroll.core.units import duration_text
from swarmroll.gates.base import told, verdict_of

P = ParamSpec("P")
T = TypeVar("T")

GRACE = 0.25
"""Seconds beyond its time-out in which a check may still say why it took so long."""

_HANGS = Verdict.failed("the check before it still hangs")


class DaemonThreads(Executor):
    """
    Runs each call in a thread of its own, which never keeps Python from ending.

    The threads of a ``ThreadPoolExecutor`` do: they are waited for at the exit. A gate that hangs
    would then hang the deployment script after its rollout.
    """

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Call ``fn`` in a new thread."""
        future: Future[T] = Future()

        def run() -> None:
            try:
                future.set_result(fn(*args, **kwargs))
            except BaseException as exc:  # noqa: BLE001 - the future carries it
                future.set_exception(exc)

        threading.Thread(target=run, name="swarmroll-gate", daemon=True).start()
        return future


@attrs.define(eq=False)
class _Check:
    """
    One check under way.

    Attributes:
        ends: When the question has waited too long for its answer, by the keeper's clock.
        timed_out: Whether that has been told: then nobody waits for the answer any more.
        next: A newer question, of another moment of the rollout, which takes the place of this
            one: what it was asked is of no interest any more.
    """

    gate: Gate
    ends: float
    timed_out: bool = False
    next: GateContext | None = None


class Keeper:
    """
    Asks gates, and keeps what they say until it is asked for.

    A question gets one answer: the gate's verdict; or failed, when it raises, returns something
    else, takes longer than its time-out, or still hangs since the question before. Only a newer
    question to the same gate takes its place. May be used from several threads.
    """

    def __init__(
        self,
        gates: Iterable[Gate],
        *,
        executor: Executor | None = None,
        monotonic: Callable[[], float],
        wake: Callable[[], object],
    ) -> None:
        """
        Args:
            gates: Those that may be asked, by name.
            executor: Runs the checks, never more than there are gates; None uses daemon threads.
            monotonic: The clock that time-outs are measured by.
            wake: Called when there is something to hear, from whichever thread.
        """
        self._gates = {gate.rules.name: gate for gate in gates}
        self._executor = executor or DaemonThreads()
        self._monotonic = monotonic
        self._wake = wake
        self._lock = threading.Lock()
        self._running: dict[str, _Check] = {}
        self._heard: list[tuple[str, Verdict]] = []
        self._closed = False

    def ask(self, name: str, context: GateContext) -> None:
        """Have a gate check, as soon as a check of it that still runs is over."""
        gate = self._gates[name]
        with self._lock:
            if self._closed:
                return
            ends = self._monotonic() + gate.rules.timeout + GRACE
            before = self._running.get(name)
            if before is None:
                check = self._running[name] = _Check(gate, ends)
            elif before.timed_out:
                self._heard.append((name, _HANGS))
            else:
                before.next, before.ends = context, ends
                return
        if before is None:
            self._start(check, context)
        else:
            self._wake()

    def heard(self) -> list[tuple[str, Verdict]]:
        """What has been said since the last call, by name, in order; too late is said too."""
        now = self._monotonic()
        with self._lock:
            for name, check in self._running.items():
                if not check.timed_out and now >= check.ends:
                    check.timed_out, check.next = True, None
                    self._heard.append((name, _too_late(check.gate)))
            heard, self._heard = self._heard, []
        return heard

    @property
    def due(self) -> float | None:
        """When the next question will have waited too long, by the clock; None without one."""
        with self._lock:
            ends = [check.ends for check in self._running.values() if not check.timed_out]
            return min(ends, default=None)

    def close(self) -> None:
        """Ask nothing more, and hear nothing more; what hangs is left to itself."""
        with self._lock:
            self._closed = True
            self._running.clear()
            self._heard.clear()

    def _start(self, check: _Check, context: GateContext) -> None:
        try:
            self._executor.submit(self._check, check, context)
        except RuntimeError as exc:
            # No thread can be started any more.
            self._done(check, Verdict.failed(f"could not be asked: {told(exc)}"))

    def _check(self, check: _Check, context: GateContext) -> None:
        """Runs in the executor."""
        try:
            verdict = verdict_of(check.gate.check(context))
        except BaseException as exc:
            # Also sys.exit(), and what test and async frameworks raise beside Exception.
            self._done(check, Verdict.failed(f"raised {told(exc)}"))
            if isinstance(exc, KeyboardInterrupt):
                raise
        else:
            self._done(check, verdict)

    def _done(self, check: _Check, verdict: Verdict) -> None:
        name = check.gate.rules.name
        with self._lock:
            if self._running.get(name) is not check:
                return
            late = self._monotonic() >= check.ends
            context, check.next = check.next, None
            if context is None or late:
                del self._running[name]
                if check.timed_out:
                    return
                self._heard.append((name, _too_late(check.gate) if late else verdict))
                context = None
        if context is None:
            self._wake()
        else:
            self._start(check, context)


def _too_late(gate: Gate) -> Verdict:
    return Verdict.failed(f"did not answer within {duration_text(gate.rules.timeout)}")
