"""The baseline, and going back to it: the last known good, not merely the previous spec."""

from __future__ import annotations

import pytest

from swarmroll import PlanError, ServiceSpec
from swarmroll.sim import SimSwarm

from .conftest import Story


def test_going_back_after_a_good_release(web: Story) -> None:
    """To the one that was good before it."""
    web.service(3)
    web.roll()
    report = web.back()
    assert report.outcome == "completed"
    assert web.running() == ["app:1"] * 3


def test_going_back_after_two_bad_ones(sim: SimSwarm, web: Story) -> None:
    """The engine's previous spec is the first bad one; ours is the good one."""
    web.service(3)
    web.roll(image="crash:1", on_failure="pause")
    web.roll(image="missing:1", on_failure="pause", allow="*")
    previous = sim.service("web").previous_spec
    assert previous is not None
    assert previous.image == "crash:1"
    report = web.back()
    assert report.outcome == "completed"
    assert web.running() == ["app:1"] * 3


def test_a_bad_release_after_a_paused_one_goes_back_to_the_good_one(web: Story) -> None:
    """A second update does not lose the baseline."""
    web.service(3)
    web.roll(image="crash:1", on_failure="pause")
    report = web.roll(image="missing:1", allow="update-paused")
    assert report.outcome == "rolled_back"
    assert web.running() == ["app:1"] * 3


@pytest.mark.parametrize("what", ["scale", "label"])
def test_scaling_or_labelling_does_not_lose_the_way_back(
    sim: SimSwarm, web: Story, what: str
) -> None:
    """The engine's previous spec is lost by it; and the live number of replicas is kept."""
    web.service(3)
    web.roll()
    if what == "scale":
        sim.scale("web", 5)
    else:
        sim.update_service("web", lambda spec: spec.with_label("a", "b"))
    sim.settle()
    report = web.back()
    assert report.outcome == "completed"
    assert set(web.running()) == {"app:1"}
    assert len(web.running()) == (5 if what == "scale" else 3)


def test_going_back_after_a_release_was_put_back_does_not_bring_the_bad_one(
    web: Story,
) -> None:
    """The engine's previous spec is the bad one then."""
    web.service(3, rollback={"parallelism": 0})
    web.roll(image="crash:1")
    with pytest.raises(PlanError, match="it runs the last known good spec"):
        web.back()
    assert web.running() == ["app:1"] * 3


def test_without_a_record_the_previous_spec_is_taken(sim: SimSwarm, web: Story) -> None:
    """If its tasks would differ."""
    web.service(2)
    sim.update_service("web", image="app:2")
    sim.settle()
    report = web.back()
    assert report.outcome == "completed"
    assert web.running() == ["app:1"] * 2


def test_without_a_record_and_without_a_difference_there_is_nothing(
    sim: SimSwarm, web: Story
) -> None:
    """Nothing is written."""
    web.service(2)
    with pytest.raises(PlanError, match="nothing to roll web back to"):
        web.back()
    sim.update_service("web", lambda spec: spec.with_label("a", "b"))
    with pytest.raises(PlanError, match="same task template"):
        web.back()
    assert web.writes() == 0


def test_going_back_that_fails_pauses(sim: SimSwarm, web: Story) -> None:
    """There is nothing behind it."""
    web.service(2)
    web.roll()
    sim.image("app:1", missing=True)
    report = web.back()
    assert report.outcome == "paused"


def test_the_baseline_is_never_pinned(sim: SimSwarm, web: Story) -> None:
    """It is put back as it was."""
    sim.image("app:1", digest="sha256:" + "1" * 64)
    sim.image("crash:1", crashes_after=1, digest="sha256:" + "2" * 64)
    web.service(2)
    declared = web.spec
    report = web.roll(image="crash:1", on_failure="rollback")
    assert report.target.image == "crash:1@sha256:" + "2" * 64
    assert web.spec.same_as(declared)
    assert web.spec.image == "app:1"


# --- digests


def pinned(number: int) -> str:
    return "sha256:" + str(number) * 64


def test_an_image_is_pinned_to_what_its_tag_means_now(sim: SimSwarm, web: Story) -> None:
    """And every slot is proven with that digest."""
    sim.image("app:2", digest=pinned(2))
    web.service(2)
    report = web.roll()
    assert report.target.image == f"app:2@{pinned(2)}"
    assert {slot.digest for slot in report.slots} == {pinned(2)}


def test_the_same_digest_is_no_change(sim: SimSwarm, web: Story) -> None:
    """Not even under another tag."""
    sim.image("app:2", digest=pinned(2))
    sim.image("app:latest", digest=pinned(2))
    web.service(2)
    web.roll()
    assert web.roll().outcome == "unchanged"
    assert web.roll(image="app:latest").outcome == "unchanged"


def test_a_tag_that_moved_is_a_change(sim: SimSwarm, web: Story) -> None:
    """The same name, another content."""
    sim.image("app:2", digest=pinned(2))
    web.service(2)
    web.roll()
    sim.image("app:2", digest=pinned(3))
    assert web.roll().outcome == "completed"
    assert web.spec.image == f"app:2@{pinned(3)}"


def test_a_tag_that_cannot_be_resolved_keeps_what_is_known(sim: SimSwarm, web: Story) -> None:
    """A registry that is down does not unpin an image."""
    sim.image("app:2", digest=pinned(2))
    web.service(2)
    web.roll()
    sim.fail_next("DistributionInspect", "503")
    report = web.roll()
    assert report.outcome == "unchanged"
    assert web.spec.image == f"app:2@{pinned(2)}"
    assert "digest-unresolved" in [finding.code for finding in report.findings]


def test_what_the_journal_keeps_is_what_was_stored(sim: SimSwarm, web: Story) -> None:
    """With what others changed meanwhile."""
    web.service(3)
    sim.at(lambda: web.rolling() == 1, lambda: sim.scale("web", 4))
    web.roll()
    web.roll(image="crash:1", on_failure="pause")

    def label(spec: ServiceSpec) -> ServiceSpec:
        return spec.with_label("x", "y")

    web.back()
    assert web.running() == ["app:2"] * 4
    assert web.roll(label).outcome == "completed"
