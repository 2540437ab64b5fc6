"""What all gates share: how they are asked, how they quote others, how they complain."""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any

import attrs

from swarmroll.core.gate import Answer, Budget, GateContext, GateRules, Moment, NoData, Verdict
from swarmroll.core.redact import mask_text, shown
from swarmroll.core.units import Duration, seconds
from swarmroll.errors import PlanError, SpecError
from swarmroll.printable import printable

LONGEST_NAME = 60
"""Characters of a name that a gate gives itself."""

LONGEST_QUOTE = 300
LONGEST_REASON = 1000
_LONGEST_READ = 4096


@attrs.frozen(kw_only=True, repr=False, eq=False)
class Asked(ABC):
    """
    How a gate is asked: the keyword arguments that all gates share.

    Durations are seconds, a ``timedelta`` or a string such as ``"1m30s"``. Wrong values raise
    ``PlanError``, which names the gate, the argument and what came.

    Attributes:
        name: What it is called in plans, reports and logs; one of a kind in a rollout. Empty:
            the gate names itself by what it looks at.
        interval: From one answer to the next check.
        timeout: How long a check may take; one that takes longer has failed.
        passes: Checks in a row that must pass.
        budget: How many may fail.
        limit: How long it may keep a rollout from going on before that is a failure; None waits
            for ever.
        no_data: What an inconclusive check counts for: ``fail``, ``hold`` or ``pass``.
        moments: When it is checked: some of ``during``, ``between``, ``at_end``.
        rules: All of these, read and checked.
    """

    _name: str = ""
    interval: Duration = 5.0
    timeout: Duration = 10.0
    passes: int = 1
    budget: Budget = attrs.field(factory=Budget)
    limit: Duration | None = 600.0
    no_data: NoData | str = NoData.FAIL
    moments: Iterable[Moment | str] = frozenset(Moment)
    rules: GateRules = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "rules", self._read_rules())

    @property
    def name(self) -> str:
        """What it is called."""
        return self.rules.name

    def __repr__(self) -> str:
        # Nothing of what it was given: that may be secret.
        return f"{type(self).__name__}(name={self.name!r})"

    @abstractmethod
    def check(self, context: GateContext) -> Verdict:
        """See ``Gate``."""

    @abstractmethod
    def _own_name(self) -> str:
        """What it is called unless it is told."""

    def _read_rules(self) -> GateRules:
        if not isinstance(self._name, str):
            raise wrong(f"{type(self).__name__}.name", "a string", self._name)
        name = printable(mask_text(self._name)) or cut(_harmless(self._own_name()), LONGEST_NAME)
        if not isinstance(self.budget, Budget):
            raise wrong(f"gate {name}: budget", "a Budget", self.budget)
        return GateRules(
            name=name,
            interval=duration_of(self.interval, f"gate {name}: interval"),
            timeout=duration_of(self.timeout, f"gate {name}: timeout"),
            passes=self.passes,
            budget=self.budget,
            limit=None if self.limit is None else duration_of(self.limit, f"gate {name}: limit"),
            no_data=_no_data(self.no_data, f"gate {name}: no_data"),
            moments=_moments(self.moments, f"gate {name}: moments"),
        )


def wrong(what: str, wanted: str, got: object) -> PlanError:
    """The complaint about an argument; what came is masked by the argument's name."""
    argument = re.split("[. ]", what)[-1]
    return PlanError(f"{what} must be {wanted}, got {shown(got, key=argument)}")


def is_whole(value: object, least: int, most: float = math.inf) -> bool:
    """Whether it is a whole number from ``least`` to ``most``; True and False are none."""
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def is_text(value: object) -> bool:
    """Whether it is a string with something in it."""
    return isinstance(value, str) and bool(value.strip())


def duration_of(value: Any, what: str) -> float:
    """
    A duration in seconds.

    Raises:
        PlanError: It is none.
    """
    try:
        return seconds(value, name=what)
    except SpecError as exc:
        raise PlanError(str(exc)) from exc


def _no_data(value: NoData | str, what: str) -> NoData:
    try:
        return NoData(value)
    except ValueError:
        raise wrong(what, f"one of {', '.join(NoData)}", value) from None


def _moments(value: Iterable[Moment | str], what: str) -> frozenset[Moment]:
    try:
        return frozenset(Moment(each) for each in ([value] if isinstance(value, str) else value))
    except (TypeError, ValueError):
        raise wrong(what, f"some of {', '.join(Moment)}", value) from None


def pattern_of(value: str | re.Pattern[str], what: str) -> re.Pattern[str]:
    """
    A regular expression, compiled.

    Raises:
        PlanError: It is none.
    """
    try:
        pattern = re.compile(value)
    except (re.error, TypeError, RecursionError, OverflowError) as exc:
        raise wrong(what, f"a regular expression ({printable(str(exc))})", value) from None
    if not isinstance(pattern.pattern, str):
        raise wrong(what, "a regular expression of text", value)
    return pattern


def cut(text: str, limit: int) -> str:
    """At most so many characters; what is cut off leaves an ellipsis."""
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def quoted(text: str, secrets: Iterable[str] = ()) -> str:
    """Others' words in a reason, from their beginning: one line, short, nothing secret in it."""
    return f'"{cut(_harmless(text[:_LONGEST_READ], secrets), LONGEST_QUOTE)}"'


def quoted_end(text: str, secrets: Iterable[str] = ()) -> str:
    """The same from their end, where programs say what went wrong."""
    text = _harmless(text[-_LONGEST_READ:], secrets)
    return f'"{text}"' if len(text) <= LONGEST_QUOTE else f'"…{text[1 - LONGEST_QUOTE :]}"'


def _harmless(text: str, secrets: Iterable[str] = ()) -> str:
    return printable(mask_text(text.strip(), secrets))


def words_of(texts: Iterable[str]) -> frozenset[str]:
    """What must not be quoted of texts that may be secret: the whole, and each word."""
    return frozenset(word for text in texts for word in (text.strip(), *text.split()))


def told(exc: BaseException) -> str:
    """An exception in words: its type, and what it says if it can say anything."""
    try:
        text = str(exc)
    except Exception:  # noqa: BLE001 - whatever its __str__ does
        text = ""
    words = cut(_harmless(text[:_LONGEST_READ]), LONGEST_QUOTE)
    return f"{type(exc).__name__}: {words}" if words else type(exc).__name__


def verdict_of(answer: object) -> Verdict:
    """
    What a check returned, as a verdict: True and False are one too, anything else is not.

    Reasons become as short and harmless as any quote: they go into the record of the rollout.
    """
    match answer:
        case Verdict(answer=Answer() as said, reason=str() as reason):
            return Verdict(said, cut(_harmless(reason[:_LONGEST_READ]), LONGEST_REASON))
        case Verdict():
            return Verdict.failed("returned a Verdict whose answer or reason is none")
        case True:
            return Verdict.passed()
        case False:
            return Verdict.failed("said no")
        case _:
            kind = _kind(type(answer))
            return Verdict.failed(f"returned {kind}; a gate returns a bool or a Verdict")


def _kind(cls: type) -> str:
    # numpy's bool is another one.
    return cls.__name__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__name__}"
