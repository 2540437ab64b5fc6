"""docs/simulator-facts.md: every fact about the real swarm has a test, or a reason why not."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import NamedTuple

import pytest

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "simulator-facts.md"
_ROW = re.compile(r"^\| (\d+)\.(\d+) \| (.+) \| (.+) \|$")


class Fact(NamedTuple):
    number: tuple[int, int]
    sentence: str
    shown: str

    @property
    def tests(self) -> list[str]:
        return re.findall(r"`(test_\w+)`", self.shown)


def _facts(text: str) -> list[Fact]:
    rows = [_ROW.match(line) for line in text.splitlines()]
    return [Fact((int(row[1]), int(row[2])), row[3].strip(), row[4].strip()) for row in rows if row]


SHOWN, _, OTHERS = PAGE.read_text(encoding="utf-8").partition("## Not for the simulator")
FACTS, EXCEPTIONS = _facts(SHOWN), _facts(OTHERS)


def _tests() -> dict[str, list[ast.FunctionDef]]:
    """Every test beside this one, by name."""
    found: dict[str, list[ast.FunctionDef]] = {}
    for path in HERE.glob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                found.setdefault(node.name, []).append(node)
    return found


TESTS = _tests()


def _checks(test: ast.FunctionDef) -> bool:
    """Whether it can fail by more than an accident."""
    return any(
        isinstance(node, ast.Assert) or (isinstance(node, ast.Attribute) and node.attr == "raises")
        for node in ast.walk(test)
    )


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: "{}.{}".format(*fact.number))
def test_each_fact_is_shown_by_tests_that_are_there(fact: Fact) -> None:
    """By name; a test that is renamed is renamed in the table too."""
    assert fact.tests, f"{fact.number} names no test"
    for name in fact.tests:
        assert name in TESTS, f"{fact.number}: there is no {name}"
        assert all(_checks(test) for test in TESTS[name]), f"{name} checks nothing"


@pytest.mark.parametrize("fact", EXCEPTIONS, ids=lambda fact: "{}.{}".format(*fact.number))
def test_what_is_not_shown_has_a_reason(fact: Fact) -> None:
    """And is not shown by the way."""
    assert fact.shown.endswith(".")
    assert fact.tests == []


def test_the_table_is_whole() -> None:
    """Each line of it is read, and numbered one after the other within its section."""
    lines = [line for line in (SHOWN + OTHERS).splitlines() if re.match(r"\| \d", line)]
    assert len(lines) == len(FACTS) + len(EXCEPTIONS) > 120
    sections: dict[int, list[int]] = {}
    for fact in (*FACTS, *EXCEPTIONS):
        sections.setdefault(fact.number[0], []).append(fact.number[1])
    assert list(sections) == list(range(1, len(sections) + 1))
    for numbers in sections.values():
        assert numbers == list(range(1, len(numbers) + 1))
