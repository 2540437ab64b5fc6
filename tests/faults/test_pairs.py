"""Two misfortunes at once, anywhere in a rollout."""

from __future__ import annotations

from random import Random

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.faults.misfortunes import FATES, HARMLESS, at_request
from tests.faults.scenes import SCENES
from tests.faults.worlds import finished

SCENE = st.sampled_from(sorted(SCENES))


FATES_AT = st.tuples(st.sampled_from(sorted(FATES)), st.integers(0, 70))


@given(scene=SCENE, first=FATES_AT, second=FATES_AT, seed=st.integers(0, 2**32))
@example(
    scene="a canary", first=("somebody labels", 16), second=("somebody rolls back", 17), seed=1
)
@example(
    scene="a good release", first=("somebody scales", 8), second=("somebody labels", 8), seed=1
)
@settings(max_examples=250, deadline=None)
def test_a_pair_of_misfortunes(
    scene: str, first: tuple[str, int], second: tuple[str, int], seed: int
) -> None:
    """What is said in the end is true; between swarmroll and the engine alone, it is the same."""
    case = SCENES[scene].stage()
    chance = Random(seed)
    for fate, number in (first, second):
        happen = FATES[fate]
        at_request(case, number, lambda happen=happen: happen(case, chance))  # type: ignore[misc]
    report = finished(case, SCENES[scene].play(case))
    case.check_end(report)
    case.sim.close()
    assert [] == case.wrong
    if report is not None and {first[0], second[0]} <= HARMLESS and scene not in CROWDED:
        assert SCENES[scene].outcome == report.outcome


CROWDED = {"paused and resumed", "aborted and put back", "somebody scales", "somebody deploys"}
"""Where somebody else comes in, who might come too late."""
