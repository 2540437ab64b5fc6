"""The keeper: gates that hang, raise or talk nonsense, beside a loop that never waits for them."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from typing import Any

import pytest

from swarmroll import FunctionGate, GateContext, Verdict
from swarmroll.core.gate import Gate
from swarmroll.gates.keeper import GRACE, DaemonThreads, Keeper
from swarmroll.sim.inline import InlineExecutor
from tests.gates.contexts import context


class Time:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@contextmanager
def keeping(
    *gates: Gate, clock: Callable[[], float] | None = None, executor: Executor | None = None
) -> Iterator[tuple[Keeper, threading.Semaphore]]:
    """A keeper, and what it wakes: one release for each time."""
    woken = threading.Semaphore(0)
    keeper = Keeper(gates, executor=executor, monotonic=clock or time.monotonic, wake=woken.release)
    try:
        yield keeper, woken
    finally:
        keeper.close()


def gate(function: Callable[[GateContext], Any], **options: Any) -> FunctionGate:
    return FunctionGate(function, **{"name": "mine", **options})


def ask(function: Callable[[GateContext], Any], executor: Executor | None = None) -> Verdict:
    """One question to one gate."""
    with keeping(gate(function), executor=executor) as (keeper, woken):
        keeper.ask("mine", context())
        assert woken.acquire(timeout=10)
        ((name, verdict),) = keeper.heard()
        assert "mine" == name
        assert keeper.due is None
        return verdict


def raising(exception: BaseException) -> Callable[[GateContext], bool]:
    def check(_context: GateContext) -> bool:
        raise exception

    return check


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("cannot even be printed")


class Truth:
    """As numpy's bool, which is none of Python's."""

    def __bool__(self) -> bool:
        return True


ANSWERS: dict[str, tuple[Callable[[GateContext], Any], Verdict]] = {
    "true": (lambda _: True, Verdict.passed()),
    "false": (lambda _: False, Verdict.failed("said no")),
    "a verdict": (lambda _: Verdict.waiting("soon"), Verdict.waiting("soon")),
    "nothing": (
        lambda _: None,
        Verdict.failed("returned NoneType; a gate returns a bool or a Verdict"),
    ),
    "a truth of another kind": (
        lambda _: Truth(),
        Verdict.failed(f"returned {Truth.__module__}.Truth; a gate returns a bool or a Verdict"),
    ),
    "a verdict that is none": (
        lambda _: Verdict("yes"),  # type: ignore[arg-type]
        Verdict.failed("returned a Verdict whose answer or reason is none"),
    ),
    "a reason that is none": (
        lambda _: Verdict.failed(5),  # type: ignore[arg-type]
        Verdict.failed("returned a Verdict whose answer or reason is none"),
    ),
    "a long reason": (
        lambda _: Verdict.failed("x" * 10_000_000),
        Verdict.failed("x" * 999 + "…"),
    ),
    "a raw reason": (
        lambda _: Verdict.waiting("\x1b[2Jtoken=t0psecret"),
        Verdict.waiting("\\x1b[2Jtoken=••••"),
    ),
    "an exception": (raising(ValueError("no db")), Verdict.failed("raised ValueError: no db")),
    "a silent one": (raising(ValueError()), Verdict.failed("raised ValueError")),
    "a mute one": (raising(Mute()), Verdict.failed("raised Mute")),
    "an exit": (raising(SystemExit(3)), Verdict.failed("raised SystemExit: 3")),
    "a secret": (
        raising(ValueError("password=hunter2\x1b[2J")),
        Verdict.failed(r"raised ValueError: password=••••"),
    ),
}


@pytest.mark.parametrize("executor", [None, InlineExecutor()], ids=["threads", "inline"])
@pytest.mark.parametrize("what", ANSWERS)
def test_whatever_a_gate_does_is_a_verdict(what: str, executor: Executor | None) -> None:
    function, expected = ANSWERS[what]
    assert expected == ask(function, executor)


def test_an_interrupt_of_the_user_goes_on() -> None:
    """Inline, Ctrl-C hits whoever runs: the gate has failed, and the program still ends."""
    mine = gate(raising(KeyboardInterrupt()))
    with keeping(mine, executor=InlineExecutor()) as (keeper, _):
        with pytest.raises(KeyboardInterrupt):
            keeper.ask("mine", context())
        assert [("mine", Verdict.failed("raised KeyboardInterrupt"))] == keeper.heard()


def test_the_gate_is_told_of_the_rollout() -> None:
    seen: list[GateContext] = []
    ask(seen.append)
    assert [context()] == seen


def test_a_hanging_gate_has_failed_and_is_not_asked_twice() -> None:
    """The loop is never held up, one thread hangs and no other, a late answer counts no more."""
    clock, asked, go_on, calls = Time(), threading.Event(), threading.Event(), []

    def hang(_context: GateContext) -> bool:
        calls.append(threading.current_thread())
        asked.set()
        return go_on.wait(20)

    with keeping(gate(hang, timeout=10), clock=clock) as (keeper, woken):
        keeper.ask("mine", context())
        assert asked.wait(10)
        assert [110 + GRACE] == [keeper.due]
        clock.now = 110 + GRACE - 0.01
        assert [] == keeper.heard()
        clock.now = 110 + GRACE
        assert [("mine", Verdict.failed("did not answer within 10s"))] == keeper.heard()
        assert keeper.due is None
        for _ in range(3):
            keeper.ask("mine", context())
            assert woken.acquire(timeout=10)
            assert [("mine", Verdict.failed("the check before it still hangs"))] == keeper.heard()
        (thread,) = calls
        assert thread.daemon
        go_on.set()
        thread.join(10)
        assert [] == keeper.heard()
        # It hangs no more: it is asked again.
        keeper.ask("mine", context())
        assert woken.acquire(timeout=10)
        assert [("mine", Verdict.passed())] == keeper.heard()
        assert 2 == len(calls)


def test_a_newer_question_takes_the_place_of_one_that_is_open() -> None:
    """What was found out about the wave before says nothing about this one."""
    go_on, asked, steps = threading.Event(), threading.Event(), []

    def slow(given: GateContext) -> Verdict:
        steps.append(given.step)
        asked.set()
        go_on.wait(20)
        return Verdict.passed(f"step {given.step} is fine")

    clock = Time()
    with keeping(gate(slow, timeout=10), clock=clock) as (keeper, woken):
        keeper.ask("mine", context(step=0))
        assert asked.wait(10)
        clock.now = 105
        keeper.ask("mine", context(step=1))
        keeper.ask("mine", context(step=2))
        assert [115 + GRACE] == [keeper.due]
        go_on.set()
        assert woken.acquire(timeout=10)
        assert [("mine", Verdict.passed("step 2 is fine"))] == keeper.heard()
        assert [0, 2] == steps
        assert not woken.acquire(blocking=False)


def test_a_question_that_waits_for_one_that_hangs_has_failed_too() -> None:
    """Its time began when it was asked."""
    go_on, asked, clock = threading.Event(), threading.Event(), Time()
    threads = []

    def hang(_context: GateContext) -> bool:
        threads.append(threading.current_thread())
        asked.set()
        return go_on.wait(20)

    with keeping(gate(hang, timeout=10), clock=clock) as (keeper, _):
        keeper.ask("mine", context(step=0))
        assert asked.wait(10)
        clock.now = 105
        keeper.ask("mine", context(step=1))
        clock.now = 112
        assert [] == keeper.heard()
        clock.now = 116
        assert [("mine", Verdict.failed("did not answer within 10s"))] == keeper.heard()
        go_on.set()
        threads[0].join(10)
        assert [] == keeper.heard()
        assert 1 == len(threads)


def test_gates_do_not_wait_for_each_other() -> None:
    go_on = threading.Event()
    slow = gate(lambda _: go_on.wait(20), name="slow")
    quick = gate(lambda _: True, name="quick")
    with keeping(slow, quick) as (keeper, woken):
        keeper.ask("slow", context())
        keeper.ask("quick", context())
        assert woken.acquire(timeout=10)
        assert [("quick", Verdict.passed())] == keeper.heard()
        go_on.set()
        assert woken.acquire(timeout=10)
        assert [("slow", Verdict.passed())] == keeper.heard()


def test_the_earliest_time_out_is_due() -> None:
    clock, go_on = Time(), threading.Event()
    gates = [gate(lambda _: go_on.wait(20), name=str(s), timeout=s) for s in (30, 20)]
    with keeping(*gates, clock=clock) as (keeper, _):
        for each in gates:
            keeper.ask(each.name, context())
        assert 120 + GRACE == keeper.due
        clock.now = 125
        assert ["20"] == [name for name, _ in keeper.heard()]
        assert 130 + GRACE == keeper.due
        go_on.set()


@pytest.mark.parametrize(("took", "passes"), [(10.0, True), (10.0 + GRACE, False)])
def test_inline_a_check_that_took_too_long_has_failed(took: float, *, passes: bool) -> None:
    """In virtual time, a gate moves the clock itself."""
    clock = Time()

    def slow(_context: GateContext) -> bool:
        clock.now += took
        return True

    with keeping(gate(slow, timeout=10), clock=clock, executor=InlineExecutor()) as (keeper, _):
        keeper.ask("mine", context())
        expected = Verdict.passed() if passes else Verdict.failed("did not answer within 10s")
        assert [("mine", expected)] == keeper.heard()


class NoThreads(Executor):
    def submit(self, *_args: Any, **_kwargs: Any) -> Future[Any]:
        raise RuntimeError("can't start new thread")


def test_a_machine_without_threads_fails_the_gate() -> None:
    expected = "could not be asked: RuntimeError: can't start new thread"
    assert Verdict.failed(expected) == ask(lambda _: True, NoThreads())


def test_after_the_end_nothing_is_asked_and_nothing_heard() -> None:
    asked, go_on, calls = threading.Event(), threading.Event(), []

    def slow(_context: GateContext) -> bool:
        calls.append(threading.current_thread())
        asked.set()
        return go_on.wait(20)

    with keeping(gate(slow)) as (keeper, woken):
        keeper.ask("mine", context())
        assert asked.wait(10)
        keeper.close()
        keeper.ask("mine", context())
        go_on.set()
        calls[0].join(10)
        assert 1 == len(calls)
        assert [] == keeper.heard()
        assert keeper.due is None
        assert not woken.acquire(blocking=False)


def test_threads_carry_answers_and_exceptions() -> None:
    """As of any executor."""
    with DaemonThreads() as threads:
        assert 3 == threads.submit(max, 1, 3).result(10)
        assert isinstance(threads.submit(int, "x").exception(10), ValueError)


def test_a_hanging_gate_does_not_keep_python_from_ending() -> None:
    code = """
import threading, time
from swarmroll import FunctionGate
from swarmroll.gates.keeper import Keeper
asked = threading.Event()
def hang(context):
    asked.set()
    threading.Event().wait()
keeper = Keeper([FunctionGate(hang)], monotonic=time.monotonic, wake=print)
keeper.ask("hang", None)
asked.wait()
"""
    assert 0 == subprocess.run([sys.executable, "-c", code], check=False, timeout=30).returncode
