"""What of a state is written down, when, and what a successor makes of it."""

from __future__ import annotations

import attrs
import pytest

from swarmroll.core.findings import Finding, Severity
from swarmroll.core.past import Past, fingerprint, of_past
from swarmroll.core.phases import Trigger
from swarmroll.core.report import Outcome
from swarmroll.core.snapshot import Snapshot
from swarmroll.core.state import LASTING, Ask, Intent, Purpose, Sent, State

from .worlds import a_plan, a_spec

LABELLED = a_spec("app:2").with_label("swarmroll.rollout", "r1.1")
INTENT = Intent(purpose=Purpose.STEP, spec=LABELLED, version=10)


def begun(**changes: object) -> State:
    state = State(plan=a_plan())
    for trigger in (Trigger.START, Trigger.READY):
        state = state.move(trigger, "for a reason", Snapshot(taken_at=5.0))
    return attrs.evolve(state, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "passing",
    [
        {"since": 9.0},
        {"looked_at": 9.0},
        {"progress": 2, "progress_at": 9.0},
        {"version": 99},
        {"waiting_for": ("slot 1: no task",)},
        {"engine_done": True},
        {"witness_lost": True},
    ],
    ids=", ".join,
)
def test_what_a_look_teaches_is_not_worth_a_record(passing: dict[str, object]) -> None:
    """Or each look would cost a write."""
    assert not begun(**passing).worth_recording(begun())


@pytest.mark.parametrize(
    "lasting",
    [
        {"asked": Ask.PAUSE},
        {"step": 1},
        {"intent": INTENT},
        {"replicas": 5},
        {"adopted": ("Replicas: 3 -> 5",)},
        {"aborting": True},
        {"notes": ("a note",)},
        {"back": (a_spec(),)},
        {"standing_still": Trigger.PAUSE_ASKED},
    ],
    ids=", ".join,
)
def test_what_a_successor_needs_is(lasting: dict[str, object]) -> None:
    """It would do something else without it."""
    assert begun(**lasting).worth_recording(begun())


def test_that_a_recorded_write_was_stored_needs_no_record() -> None:
    """The service itself shows it, by the label."""
    recorded = begun(intent=INTENT)
    stored = begun(expected=LABELLED, fallback=a_spec())
    assert not stored.worth_recording(recorded)
    normalised = Finding(code="normalised", severity=Severity.INFO, message="")
    assert not attrs.evolve(stored, findings=(normalised,)).worth_recording(recorded)


def test_what_else_came_of_it_does() -> None:
    """Another's change in the same look; or a spec that is not that write's."""
    recorded = begun(intent=INTENT)
    assert begun(expected=LABELLED, adopted=("x",)).worth_recording(recorded)
    assert begun(expected=a_spec("app:3")).worth_recording(recorded)
    assert begun(expected=None).worth_recording(recorded)
    assert begun(intent=attrs.evolve(INTENT, tries=2)).worth_recording(recorded)


def test_a_write_that_was_known_before_it_was_sent_again_does() -> None:
    """What stood there already is not what came of it."""
    recorded = begun(intent=INTENT, expected=LABELLED)
    assert begun(expected=LABELLED).worth_recording(recorded)


def test_a_successor_believes_nothing_that_it_did_not_see() -> None:
    """Its clock is another, and the engine's monitor proves nothing to it."""
    state = begun(
        asked=Ask.PAUSE,
        intent=attrs.evolve(INTENT, sent=Sent.NOT_YET),
        since=1.0,
        written_at=4.0,
        engine_done=True,
        engine_failed_at=3.0,
        waiting_for=("x",),
    )
    taken = state.taken_up(1000.0, "taken over from you")
    assert (1000.0, 1000.0) == (taken.since, taken.progress_at)
    assert taken.written_at < 0
    assert taken.witness_lost
    assert not taken.engine_done
    assert taken.engine_failed_at is None
    assert taken.plan.nodes == taken.nodes
    assert ("taken over from you",) == taken.notes
    assert () == state.taken_up(1000.0).notes
    kept = {name: getattr(state, name) for name in LASTING if name != "notes"}
    assert kept == {name: getattr(taken, name) for name in kept}


# --- releases that failed

PINNED = a_spec("app:2@sha256:" + "a" * 64)


def failed(**changes: object) -> Past:
    past = Past(
        rollout_id="r0",
        outcome=Outcome.ROLLED_BACK,
        release=fingerprint(PINNED),
        image=PINNED.image,
        failed=True,
        at=1000.0,
    )
    return attrs.evolve(past, **changes)  # type: ignore[arg-type]


def test_the_same_release_is_refused_for_an_hour() -> None:
    """From the moment when it was put back."""
    (finding,) = of_past([failed()], PINNED, 1000.0 + 3599)
    assert ("failed-recently", Severity.ERROR) == (finding.code, finding.severity)
    assert "60 min ago (rolled back)" in finding.message
    assert [] == list(of_past([failed()], PINNED, 1000.0 + 3600))


def test_a_clock_that_is_behind_makes_no_negative_time() -> None:
    """It was on another machine."""
    (finding,) = of_past([failed()], PINNED, 0.0)
    assert "failed 0 min ago" in finding.message


def test_only_the_last_failure_is_told() -> None:
    """However often it was tried."""
    assert 1 == len(list(of_past([failed(), failed(at=900.0)], PINNED, 1100.0)))


@pytest.mark.parametrize(
    "other", [{"failed": False}, {"image": "app:3@sha256:" + "b" * 64}], ids=str
)
def test_other_rollouts_say_nothing(other: dict[str, object]) -> None:
    """Those that were good, and those of other images."""
    assert [] == list(of_past([failed(**other)], PINNED, 1100.0))


def test_a_tag_says_nothing() -> None:
    """It may mean another image by now."""
    spec = a_spec("app:2")
    past = failed(image="app:2", release=fingerprint(spec))
    assert [] == list(of_past([past], spec, 1100.0))


def test_another_spec_of_the_image_is_a_warning() -> None:
    """Perhaps that mended it."""
    (finding,) = of_past([failed()], PINNED.with_env(A="1"), 1100.0)
    assert Severity.WARNING is finding.severity
