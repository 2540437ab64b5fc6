"""A driver that is killed anywhere: another one attaches, and ends as one that lived could have."""

from __future__ import annotations

from collections import Counter

import pytest

from .killing import When, died, lived
from .scenes import SCENES

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")

EVERY = 13
"""Of all moments every so many-th is tried in an ordinary run; ``-m exhaustive`` tries them all."""


@pytest.mark.parametrize("number", range(len(SCENES)), ids=list(SCENES))
def test_a_driver_that_is_killed(number: int) -> None:
    """At some of its calls, the same ones in every run; and one that lives, to compare."""
    scene = list(SCENES.values())[number]
    calls, outcome = lived(scene)
    assert outcome in scene.ends
    moments = [(at, when) for at in range(calls) for when in When]
    for at, when in moments[number % EVERY :: EVERY]:
        died(scene, (at, when))


@pytest.mark.parametrize("number", range(len(SCENES)), ids=list(SCENES))
def test_a_driver_whose_successors_are_killed_too(number: int) -> None:
    """Each wherever it stands; the last one ends it."""
    scene = list(SCENES.values())[number]
    calls, _ = lived(scene)
    whens = list(When)
    for third in range(3):
        at = calls // 2 + third
        died(scene, (at, whens[third]), (3 + number % 5, whens[(third + 1) % 3]), (9, whens[third]))


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", SCENES)
def test_a_driver_that_is_killed_anywhere(name: str) -> None:
    """At every call: before it, after it was carried out, and after its answer."""
    scene = SCENES[name]
    calls, outcome = lived(scene)
    ends = Counter(died(scene, (at, when)) for at in range(calls) for when in When)
    # `pytest -m exhaustive -rP` shows it.
    print(f"{name}: {calls} calls, {3 * calls} deaths; lived: {outcome}; then: {dict(ends)}")
    assert sum(ends.values()) == 3 * calls
