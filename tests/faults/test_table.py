"""One fault in a whole rollout: the verdict is the same, and true."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor

import pytest

from swarmroll.core.phases import Phase
from tests.faults.scenes import SCENES
from tests.faults.table import faults, play, play_all

WHOLE = {
    "a good release",
    "a crash that swarmroll undoes",
    "a canary whose gate fails",
    "paused and resumed",
}
"""Tried in full in every run; they reach every phase in which anything is asked of an engine."""

EVERY = 11
"""Of the others every so many-th; ``make soak`` tries them all."""

LEAST = 2000


def chosen(name: str) -> list[tuple[str, str, int]]:
    found = faults(name)
    return found if name in WHOLE else found[len(name) % EVERY :: EVERY]


@pytest.mark.parametrize("name", SCENES)
def test_without_a_fault(name: str) -> None:
    """It ends as it should: that is what is compared with."""
    assert [] == play(name, None)


def test_every_phase_is_reached() -> None:
    """By the scenes that are tried in full."""
    reached = set()
    for name in WHOLE:
        case = SCENES[name].stage()
        report = SCENES[name].play(case)
        assert report is not None
        reached |= {move.target for move in report.transitions}
    assert {phase for phase in Phase if not phase.terminal} - {Phase.PENDING} <= reached


def test_no_fault_is_left_out() -> None:
    """So many cases, so that they do not become fewer unseen."""
    assert sum(len(chosen(name)) for name in SCENES) >= LEAST


@pytest.mark.parametrize("name", SCENES)
def test_one_fault(name: str, crew: ProcessPoolExecutor) -> None:
    """
    At each request, in each way in which it can fail.

    Reset before and after it was carried out, 500, 503, 409, 404, out of sequence, no answer, one
    that drips, that is cut off, is no JSON, of another type, or comes twice over; an old answer.
    """
    cases = chosen(name)
    parts = [crew.submit(play_all, name, cases[part::4]) for part in range(4)]
    assert [] == [wrong for part in parts for wrong in part.result()]
