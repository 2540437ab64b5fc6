"""What people ask of a rollout under way, and of the way back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from integration.lab import ServiceFactory, eventually
from integration.test_other_writers import ENDLESS, begin
from swarmroll import Aborted, Outcome, Phase, PlanError, Rolling, RolloutPaused, Swarm

Images = Callable[[str], str]
QUICK = Rolling(parallelism=3, monitor=1, order="start-first")


def test_rollback_leads_to_the_last_known_good(
    swarm: Swarm, service: ServiceFactory, images: Images
) -> None:
    """Not merely to the previous spec, which a change of a label has made the same release."""
    web = service(replicas=2)
    swarm.update("web", image=images("web:2"), strategy=QUICK)
    web.update(lambda spec: spec["TaskTemplate"]["ContainerSpec"].update(Image=images("web:3")))
    eventually(lambda: Counter({"web:3": 2}) == web.runs())
    web.update(lambda spec: spec["Labels"].update(note="night"))
    report = swarm.rollback("web", strategy=QUICK)
    assert report.outcome is Outcome.COMPLETED
    assert Counter({"web:2": 2}) == web.runs()


def test_rollback_without_a_record_leads_to_the_previous_spec(
    swarm: Swarm, service: ServiceFactory, images: Images
) -> None:
    """As `docker service rollback` would, at the live number of replicas."""
    web = service(replicas=2)
    web.update(lambda spec: spec["TaskTemplate"]["ContainerSpec"].update(Image=images("web:3")))
    eventually(lambda: Counter({"web:3": 2}) == web.runs())
    report = swarm.rollback("web", strategy=QUICK)
    assert report.outcome is Outcome.COMPLETED
    assert Counter({"web:1": 2}) == web.runs()


def test_rollback_to_nothing_is_refused(swarm: Swarm, service: ServiceFactory) -> None:
    """A service that was never updated has nothing to go back to."""
    web = service(replicas=1)
    version = web.version()
    with pytest.raises(PlanError, match="nothing to roll web back to"):
        swarm.rollback("web")
    assert version == web.version()


def test_pause_holds_and_resume_finishes(
    swarm: Swarm, service: ServiceFactory, images: Images
) -> None:
    """While paused at most one more slot moves; resumed, all do."""
    web = service(replicas=4)
    slow = Rolling(parallelism=1, delay=1, monitor=1, order="start-first")
    rollout = begin(swarm, web, images("web:2"), slow)
    rollout.pause()
    with pytest.raises(RolloutPaused):
        rollout.wait(60)
    assert rollout.phase is Phase.PAUSED
    mixed = web.runs()
    assert mixed["web:1"] > 0
    assert mixed["web:2"] > 0
    report = rollout.resume().wait(120)
    assert report.outcome is Outcome.COMPLETED
    assert Counter({"web:2": 4}) == web.runs()
    assert web.declared()["UpdateConfig"]["Delay"] == 10**9


@pytest.mark.main_story
def test_abort_puts_the_old_release_back(
    swarm: Swarm, service: ServiceFactory, images: Images
) -> None:
    """And proves it, slot by slot."""
    web = service(replicas=3)
    before = web.declared()
    rollout = begin(swarm, web, images("web:2"), ENDLESS)
    rollout.abort(rollback=True)
    with pytest.raises(Aborted) as raised:
        rollout.wait(120)
    report = raised.value.report
    assert Counter({"web:1": 3}) == web.runs()
    assert before == web.declared()
    assert {1, 2, 3} == {proof.slot for proof in report.slots}
    assert report.rolled_back_by == "swarmroll"


def test_abort_of_a_paused_rollout_puts_the_old_release_back(
    swarm: Swarm, service: ServiceFactory, images: Images
) -> None:
    """Also when nothing is in motion any more."""
    web = service(replicas=3)
    before = web.declared()
    rollout = begin(swarm, web, images("web:2"), ENDLESS)
    rollout.pause()
    rollout.wait(60, check=False)
    rollout.abort(rollback=True)
    assert rollout.wait(120, check=False).outcome is Outcome.ABORTED
    assert Counter({"web:1": 3}) == web.runs()
    assert before == web.declared()


def test_abort_without_rollback_says_what_goes_on(
    swarm: Swarm, service: ServiceFactory, images: Images
) -> None:
    """The engine goes on with what it was told; the report does not hide it."""
    web = service(replicas=2)
    rollout = begin(swarm, web, images("web:2"), ENDLESS)
    rollout.abort()
    report = rollout.wait(60, check=False)
    assert report.outcome is Outcome.ABORTED
    assert "the engine goes on with the update" in report.headline
    assert Counter({"web:2": 1, "web:1": 1}) == web.runs()


def test_failure_pauses_where_that_was_asked_for(
    swarm: Swarm, service: ServiceFactory, images: Images
) -> None:
    """The mixed service is left as it stands, for a person to look at; then it can be undone."""
    web = service(replicas=2, container={"StopGracePeriod": 10**9})
    plan = swarm.plan(
        "web", image=images("web:crash"), on_failure="pause", strategy=Rolling(order="start-first")
    )
    rollout = swarm.start(plan)
    report = rollout.wait(60, check=False)
    assert report.outcome is Outcome.PAUSED
    assert "non-zero exit (3)" in report.headline
    rollout.abort(rollback=True)
    assert rollout.wait(120, check=False).outcome is Outcome.ABORTED
    assert Counter({"web:1": 2}) == web.runs()
