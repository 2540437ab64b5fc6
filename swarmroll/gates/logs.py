"""A gate that reads what the new tasks have logged."""

from __future__ import annotations

import re

import attrs

from swarmroll.core.gate import GateContext, Verdict
from swarmroll.core.snapshot import Task, TaskState
from swarmroll.errors import PlanError
from swarmroll.gates.base import Asked, cut, is_whole, pattern_of, quoted, wrong

LONGEST_LINE = 4096
"""Characters of a line that are looked at."""

_NAMED = 3
"""Tasks that a reason tells of; there may be hundreds."""


@attrs.frozen(repr=False, eq=False)
class LogGate(Asked):
    """
    Looks for patterns in the last log lines of every task of the release that runs.

    A line that must not be there fails it. One that must be there and is not yet keeps it waiting,
    until ``limit`` is over. A task of which no line can be read makes it inconclusive: its node is
    out of reach, its log driver keeps nothing that could be read, or it has said nothing.

    Attributes:
        must: A regular expression that has to be found in a line of each task.
        must_not: One that must not be found in any line of any task.
        lines: How many of the last lines of each task are read.
        **: See ``Asked``.

    Raises:
        PlanError: An argument is wrong; the message names it.
    """

    must: str | re.Pattern[str] | None = attrs.field(default=None, kw_only=True)
    must_not: str | re.Pattern[str] | None = attrs.field(default=None, kw_only=True)
    lines: int = attrs.field(default=100, kw_only=True)
    _must: re.Pattern[str] | None = attrs.field(init=False)
    _must_not: re.Pattern[str] | None = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        if self.must is None and self.must_not is None:
            raise PlanError("LogGate needs a pattern to look for: must=, must_not=, or both")
        for name in ("must", "must_not"):
            given = getattr(self, name)
            found = None if given is None else pattern_of(given, f"LogGate.{name}")
            object.__setattr__(self, f"_{name}", found)
        if not is_whole(self.lines, 1):
            raise wrong("LogGate.lines", "a number, at least 1", self.lines)
        super().__attrs_post_init__()

    def check(self, context: GateContext) -> Verdict:
        """Read the logs of all running tasks once."""
        tasks = [task for task in context.tasks if task.state == TaskState.RUNNING]
        if not tasks:
            return Verdict.waiting("no task of the release runs yet")
        bad, silent, missing = [], [], []
        for task in tasks:
            lines = context.logs(task, self.lines)
            found = self._forbidden(lines)
            if found is not None:
                bad.append(f"{_place(task, context)} logged {quoted(found)}")
            elif not lines:
                silent.append(_place(task, context))
            elif self._must is not None and not _found(self._must, lines):
                missing.append(_place(task, context))
        if bad:
            return Verdict.failed(_some(bad))
        if silent:
            return Verdict.inconclusive(f"no log could be read of {_some(silent)}")
        if missing:
            pattern = "" if self._must is None else self._must.pattern
            return Verdict.waiting(f"{quoted(pattern)} is not in the log of {_some(missing)}")
        return Verdict.passed(f"the logs of {len(tasks)} tasks are as they should be")

    def _own_name(self) -> str:
        words = [
            f"{word} {pattern.pattern}"
            for word, pattern in (("must", self._must), ("must not", self._must_not))
            if pattern is not None
        ]
        return f"logs {', '.join(words)}"

    def _forbidden(self, lines: tuple[str, ...]) -> str | None:
        return None if self._must_not is None else _found(self._must_not, lines)


def _found(pattern: re.Pattern[str], lines: tuple[str, ...]) -> str | None:
    """The last line in which the pattern is."""
    return next((line for line in reversed(lines) if pattern.search(line[:LONGEST_LINE])), None)


def _place(task: Task, context: GateContext) -> str:
    node = context.nodes.get(task.node_id)
    where = cut(node.hostname if node else task.node_id, 60)
    return f"slot {task.slot} on {where}" if task.slot is not None else f"the task on {where}"


def _some(words: list[str]) -> str:
    more = len(words) - _NAMED
    return "; ".join(words[:_NAMED]) + (f"; and {more} more" if more > 0 else "")
