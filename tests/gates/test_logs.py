"""LogGate: patterns in the logs of the tasks of the release."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest

from swarmroll import Answer, LogGate, PlanError, Task, TaskState, Verdict
from tests.gates.contexts import NODES, context, task

Logs = Mapping[int, tuple[str, ...]]


def ask(logs: Logs, **options: Any) -> Verdict:
    tasks = tuple(task(slot) for slot in logs)

    def read(which: Task, lines: int) -> tuple[str, ...]:
        assert which.slot is not None
        return logs[which.slot][-lines:]

    return LogGate(**options).check(context(tasks=tasks, nodes=NODES, logs=read))


def test_a_line_in_every_log_passes() -> None:
    verdict = ask({1: ("ready",), 2: ("x", "ready", "y")}, must="^ready$")
    assert Verdict.passed("the logs of 2 tasks are as they should be") == verdict


def test_a_missing_line_is_waited_for() -> None:
    """It comes when it comes; the limit of the gate ends that."""
    verdict = ask({1: ("ready",), 2: ("starting",)}, must="ready")
    assert Verdict.waiting('"ready" is not in the log of slot 2 on worker-2') == verdict


def test_a_line_that_must_not_be_fails_with_it() -> None:
    verdict = ask({1: ("ok",), 2: ("panic: no \x1b[1mdb", "ok")}, must_not="panic")
    assert Verdict.failed(r'slot 2 on worker-2 logged "panic: no \x1b[1mdb"') == verdict


def test_a_bad_line_beats_everything_else() -> None:
    logs = {1: (), 2: ("starting",), 3: ("ready", "panic")}
    assert (
        Answer.FAILED == ask(logs, must="ready", must_not=re.compile("PANIC", re.IGNORECASE)).answer
    )


@pytest.mark.parametrize("options", [{"must": "ready"}, {"must_not": "panic"}])
def test_a_log_that_cannot_be_read_is_inconclusive(options: dict[str, Any]) -> None:
    verdict = ask({1: ("ready",), 2: ()}, **options)
    assert Verdict.inconclusive("no log could be read of slot 2 on worker-2") == verdict


def test_only_so_many_lines_are_read() -> None:
    logs = {1: ("panic", *["fine"] * 10)}
    assert Answer.PASSED == ask(logs, must_not="panic", lines=10).answer
    assert Answer.FAILED == ask(logs, must_not="panic", lines=11).answer


def test_of_many_tasks_a_few_are_named() -> None:
    reason = ask(dict.fromkeys(range(1, 9), ("x",)), must="ready").reason
    assert reason.endswith("slot 3 on worker-3; and 5 more")


def test_a_secret_in_a_line_is_masked() -> None:
    assert "hunter2" not in ask({1: ("panic: password=hunter2",)}, must_not="panic").reason


def test_tasks_that_do_not_run_are_not_read() -> None:
    tasks = (task(1, TaskState.STARTING), task(2, TaskState.FAILED))
    verdict = LogGate(must="x").check(context(tasks=tasks))
    assert Verdict.waiting("no task of the release runs yet") == verdict


def test_a_task_of_a_global_service_is_named_by_its_node() -> None:
    lines = {"logs": lambda _task, _lines: ("panic",), "tasks": (task(None),)}
    verdict = LogGate(must_not="panic").check(context(**lines))
    assert Verdict.failed('the task on nNone logged "panic"') == verdict


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "LogGate needs a pattern to look for"),
        ({"must": "("}, "LogGate.must must be a regular expression (missing ), unterminated"),
        ({"must_not": b"x"}, "LogGate.must_not must be a regular expression of text"),
        ({"must": "x", "lines": 0}, "LogGate.lines must be a number, at least 1, got 0"),
    ],
)
def test_a_wrong_argument_is_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(PlanError) as raised:
        LogGate(**options)
    assert message in str(raised.value)


def test_it_is_named_by_its_patterns() -> None:
    assert "logs must ready, must not panic" == LogGate(must="ready", must_not="panic").name
    assert len(LogGate(must="x" * 500).name) <= 60
