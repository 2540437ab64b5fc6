"""The keyword arguments that all gates share, and who may be a gate."""

from __future__ import annotations

import functools
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import attrs
import pytest

import swarmroll
from swarmroll import (
    Answer,
    Budget,
    CommandGate,
    FunctionGate,
    GateContext,
    HttpGate,
    LogGate,
    ManualGate,
    Moment,
    NoData,
    PlanError,
    PrometheusGate,
    TcpGate,
    Verdict,
)
from swarmroll.core.gate import Gate, GateRules
from swarmroll.gates.python import as_gate
from tests.gates.contexts import context


def yes(_context: GateContext) -> bool:
    return True


Make = Callable[..., Gate]
GATES: dict[str, Make] = {
    "HttpGate": functools.partial(HttpGate, "http://host/"),
    "TcpGate": functools.partial(TcpGate, "host", 80),
    "CommandGate": functools.partial(CommandGate, ["true"]),
    "LogGate": functools.partial(LogGate, must="ready"),
    "PrometheusGate": functools.partial(PrometheusGate, "http://host/", "up", "> 0"),
    "FunctionGate": functools.partial(FunctionGate, yes),
    "ManualGate": ManualGate,
}
each_gate = pytest.mark.parametrize("make", GATES.values(), ids=GATES)


def test_every_public_gate_is_tested_here() -> None:
    assert GATES.keys() == {name for name in swarmroll.__all__ if name.endswith("Gate")} - {"Gate"}


@each_gate
def test_all_arguments_are_read(make: Make) -> None:
    """Durations as a number, a timedelta or a string."""
    gate = make(
        name="mine",
        interval="1m30s",
        timeout=timedelta(seconds=2),
        passes=3,
        budget=Budget(count=2),
        limit=60,
        no_data="hold",
        moments=["between", Moment.DURING],
    )
    expected = GateRules(
        name="mine",
        interval=90.0,
        timeout=2.0,
        passes=3,
        budget=Budget(count=2),
        limit=60.0,
        no_data=NoData.HOLD,
        moments=frozenset({Moment.BETWEEN, Moment.DURING}),
    )
    assert expected == gate.rules
    assert "mine" == gate.name


@pytest.mark.parametrize("name", sorted(GATES.keys() - {"ManualGate"}))
def test_what_is_not_given_is_as_documented(name: str) -> None:
    gate = GATES[name]()
    assert GateRules(name=gate.name) == gate.rules
    assert f"{name}(name={gate.name!r})" == repr(gate)


def test_one_moment_needs_no_list() -> None:
    assert frozenset({Moment.AT_END}) == HttpGate("http://host/", moments="at_end").rules.moments


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"interval": "5"}, 'gate mine: interval must say its unit, such as "5s", got "5"'),
    ({"interval": 0}, "gate mine: interval must be more than 0 seconds, got 0"),
    ({"interval": None}, "gate mine: interval must be seconds, a timedelta or a duration"),
    ({"timeout": -1}, "gate mine: timeout must be at least 0 seconds, got -1"),
    ({"timeout": "soon"}, "gate mine: timeout must be seconds, a timedelta or a duration such as"),
    ({"limit": 0}, "gate mine: limit must be more than 0 seconds, got 0"),
    ({"passes": 0}, "gate mine: passes must be a whole number, at least 1, got 0"),
    ({"passes": "2"}, 'gate mine: passes must be a whole number, at least 1, got "2"'),
    ({"passes": True}, "gate mine: passes must be a whole number, at least 1, got True"),
    ({"budget": 3}, "gate mine: budget must be a Budget, got 3"),
    ({"no_data": "ignore"}, 'gate mine: no_data must be one of fail, hold, pass, got "ignore"'),
    ({"moments": ["later"]}, "gate mine: moments must be some of during, between, at_end"),
    ({"moments": "later"}, 'moments must be some of during, between, at_end, got "later"'),
    ({"moments": 5}, "gate mine: moments must be some of during, between, at_end, got 5"),
    ({"moments": ()}, "gate mine is checked at no moment at all"),
]


@each_gate
@pytest.mark.parametrize(("options", "message"), WRONG, ids=[message for _, message in WRONG])
def test_a_wrong_argument_names_gate_and_field(
    make: Make, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(PlanError) as raised:
        make(name="mine", **options)
    assert message in str(raised.value)


@each_gate
def test_a_name_is_a_string(make: Make) -> None:
    with pytest.raises(PlanError, match=r"Gate\.name must be a string, got 5"):
        make(name=5)


def test_a_name_has_no_power_over_a_terminal() -> None:
    assert r"\x1b[2J" == ManualGate(name="\x1b[2J").name


@each_gate
def test_a_gate_is_not_changed(make: Make) -> None:
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        make().passes = 5  # type: ignore[attr-defined]


def test_a_name_of_its_own_holds_no_secret() -> None:
    assert "hunter2" not in PrometheusGate("http://h/", 'x{password="hunter2"}', "> 0").name


def test_what_came_is_masked_by_the_argument_s_name_alone() -> None:
    with pytest.raises(PlanError, match="got 5"):
        HttpGate("http://host/", name="password check", no_data=5)  # type: ignore[arg-type]


# --- who may be a gate


def warm(_context: GateContext) -> Verdict:
    return Verdict.waiting("warming up")


class Shop:
    """An object of the user's, which is asked by a method."""

    name = "the shop"

    def check(self, given: GateContext) -> bool:
        return given.service == "web"

    def open(self, _context: GateContext) -> bool:
        return False


class Called:
    def __call__(self, _context: GateContext) -> bool:
        return True


@pytest.mark.parametrize(
    ("thing", "name", "answer"),
    [
        (yes, "yes", Answer.PASSED),
        (warm, "warm", Answer.WAITING),
        (Shop(), "the shop", Answer.PASSED),
        (Shop().open, "open", Answer.FAILED),
        (Called(), "Called", Answer.PASSED),
        (functools.partial(functools.partial(yes)), "yes", Answer.PASSED),
        (lambda _context: True, "a function", Answer.PASSED),
        (bool, None, None),
    ],
)
def test_functions_and_objects_are_gates(thing: Any, name: str, answer: Answer) -> None:
    if isinstance(thing, type):
        with pytest.raises(PlanError, match=r"FunctionGate\.function must be a function"):
            as_gate(thing)
        return
    gate = as_gate(thing)
    assert (name, answer) == (gate.name, gate.check(context()).answer)


def test_a_gate_is_a_gate() -> None:
    gate = TcpGate("host", 80)
    assert gate is as_gate(gate)


async def later(_context: GateContext) -> bool:
    return True


class Slow:
    async def check(self, _context: GateContext) -> bool:
        return True


class Odd:
    rules = 5

    def check(self, _context: GateContext) -> bool:
        return True


@pytest.mark.parametrize(
    ("thing", "message"),
    [
        (Shop, r"Shop is a class: give a gate made of it, Shop\(\)"),
        (HttpGate, "HttpGate is a class: give a gate made of it"),
        ("http://host/", r"a gate must be a function of the context, or have check\(context\)"),
        (None, "a gate must be a function of the context"),
        (later, "later is async; call asyncio.run"),
        (Slow(), "check is async"),
        (lambda: True, "must take one argument, the context"),
        (lambda _a, _b: True, "must take one argument, the context"),
        (Odd(), r"Odd\.rules must be GateRules, got 5"),
    ],
)
def test_what_cannot_be_a_gate_is_told_why(thing: Any, message: str) -> None:
    with pytest.raises(PlanError, match=message):
        as_gate(thing)


def test_a_builtin_that_does_not_tell_what_it_takes_is_tried() -> None:
    builtin: Any = max
    assert "max" == FunctionGate(builtin).name


def test_a_function_that_returns_something_else_fails() -> None:
    gate = FunctionGate(lambda _context: 1)  # type: ignore[arg-type,return-value]
    expected = "returned int; a gate returns a bool or a Verdict"
    assert Verdict.failed(expected) == gate.check(context())
