"""Gates that are functions."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import attrs

from swarmroll.core.gate import Gate, GateContext, GateRules, Verdict
from swarmroll.errors import PlanError
from swarmroll.gates.base import Asked, verdict_of, wrong
from swarmroll.printable import printable

Check = Callable[[GateContext], bool | Verdict]


@attrs.frozen(repr=False, eq=False)
class FunctionGate(Asked):
    """
    Asks a function: True passes, False fails, a ``Verdict`` says more.

    It runs in a thread beside the rollout. What it raises is a failed check; a check that does not
    return is failed at its time-out, and its thread is left to itself.

    Attributes:
        function: Takes a ``GateContext``, returns a ``bool`` or a ``Verdict``.
        **: See ``Asked``.

    Raises:
        PlanError: It cannot be called that way, or an argument is wrong; the message names it.
    """

    function: Check = attrs.field()

    def __attrs_post_init__(self) -> None:
        if not _is_function(self.function):
            raise wrong("FunctionGate.function", "a function of the context", self.function)
        if _is_async(self.function):
            raise PlanError(
                f"FunctionGate.function must be an ordinary function, and {self._own_name()} is "
                "async; call asyncio.run() in one"
            )
        if not _takes_one(self.function):
            raise PlanError(
                f"FunctionGate.function must take one argument, the context; {self._own_name()} "
                "cannot be called that way"
            )
        super().__attrs_post_init__()

    def check(self, context: GateContext) -> Verdict:
        """Ask it once."""
        return verdict_of(self.function(context))

    def _own_name(self) -> str:
        inner = self.function
        while hasattr(inner, "func"):
            inner = inner.func
        name = getattr(inner, "__name__", type(inner).__name__)
        return "a function" if name == "<lambda>" else str(name)


def as_gate(thing: Any) -> Gate:
    """
    Anything that can be a gate, as one.

    Args:
        thing: A gate; an object with ``check(context)``, and perhaps ``name``; or a function
            ``context -> bool | Verdict``.

    Raises:
        PlanError: It is none of these.
    """
    check = getattr(thing, "check", None)
    if isinstance(thing, type) and check is not None:
        raise PlanError(f"{thing.__name__} is a class: give a gate made of it, {thing.__name__}()")
    if not callable(check):
        if callable(thing):
            return FunctionGate(thing)
        raise wrong("a gate", "a function of the context, or have check(context)", thing)
    rules = getattr(thing, "rules", None)
    if rules is None:
        return FunctionGate(check, name=getattr(thing, "name", "") or type(thing).__name__)
    if not isinstance(rules, GateRules):
        kind = printable(type(thing).__name__)
        raise wrong(f"{kind}.rules", "GateRules", rules)
    gate: Gate = thing
    return gate


def _is_function(value: object) -> bool:
    return callable(value) and not isinstance(value, type)


def _is_async(function: Any) -> bool:
    call = getattr(function, "__call__", None)  # noqa: B004 - of an object that can be called
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)


def _takes_one(function: Any) -> bool:
    try:
        inspect.signature(function).bind(None)
    except TypeError:
        return False
    except ValueError:
        # Some builtins do not tell what they take.
        return True
    return True
