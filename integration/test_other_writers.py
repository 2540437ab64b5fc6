"""Somebody else writes the service in the middle of a rollout: nothing of theirs is overwritten."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

import swarmroll
from integration.lab import Cluster, Service, ServiceFactory, eventually
from integration.lab.service import ROLLOUT_LABEL
from swarmroll import LeaseHeld, Outcome, PlanError, Rolling, Rollout, Superseded, Swarm

Images = Callable[[str], str]

#: So slow that it is still in the middle, however long the test takes to get there.
ENDLESS = Rolling(parallelism=1, delay="1h", monitor=1, order="start-first")

#: Slow enough to do something in the middle, and quick enough to wait for the end.
GENTLE = Rolling(parallelism=1, delay=2, monitor=1, order="start-first")


def begin(swarm: Swarm, web: Service, image: str, strategy: Rolling) -> Rollout:
    """Start a rollout, and return when the first slot runs the new image."""
    rollout = swarm.start(swarm.plan(web.name, image=image, strategy=strategy))
    eventually(lambda: sum(n for name, n in web.runs().items() if image.endswith(f"/{name}")))
    return rollout


@pytest.mark.main_story
def test_scaling_in_the_middle_is_adopted_and_kept(
    swarm: Swarm, service: ServiceFactory, images: Images
) -> None:
    """A night shift that scales up is not scaled down again by the release."""
    web = service(replicas=2)
    rollout = begin(swarm, web, images("web:2"), GENTLE)
    web.update(_scaled_to(3))
    report = rollout.wait(120)
    assert report.outcome is Outcome.COMPLETED
    assert Counter({"web:2": 3}) == web.runs()
    assert {1, 2, 3} == {proof.slot for proof in report.slots}
    (told,) = report.adopted
    assert "Mode.Replicated.Replicas: 2 -> 3" in told


def _scaled_to(replicas: int) -> Callable[[dict[str, Any]], None]:
    def change(spec: dict[str, Any]) -> None:
        spec["Mode"]["Replicated"]["Replicas"] = replicas

    return change


def _to_image(image: str) -> Callable[[dict[str, Any]], None]:
    def change(spec: dict[str, Any]) -> None:
        spec["TaskTemplate"]["ContainerSpec"]["Image"] = image
        spec["UpdateConfig"]["Delay"] = 0

    return change


def test_scaling_in_the_middle_survives_a_rollback(
    swarm: Swarm, service: ServiceFactory, images: Images
) -> None:
    """The old image is put back, at the number of replicas that somebody asked for."""
    web = service(replicas=2)
    rollout = begin(swarm, web, images("web:2"), ENDLESS)
    web.update(_scaled_to(3))
    eventually(lambda: "Mode.Replicated.Replicas" in str(rollout.state.adopted))
    rollout.abort(rollback=True)
    report = rollout.wait(120, check=False)
    assert report.outcome is Outcome.ABORTED
    assert Counter({"web:1": 3}) == web.runs()


def test_label_in_the_middle_is_adopted_and_kept(
    swarm: Swarm, service: ServiceFactory, images: Images
) -> None:
    """It restarts nothing, so it stands in nobody's way."""
    web = service(replicas=2)
    rollout = begin(swarm, web, images("web:2"), GENTLE)
    web.update(lambda spec: spec["Labels"].update({"owner": "night shift"}))
    report = rollout.wait(120)
    assert report.outcome is Outcome.COMPLETED
    assert {"owner": "night shift"} == web.declared()["Labels"]
    assert Counter({"web:2": 2}) == web.runs()
    (told,) = report.adopted
    assert "Labels.owner" in told


def test_scaling_in_the_middle_can_be_asked_to_stop_the_rollout(
    swarm: Swarm, service: ServiceFactory, images: Images
) -> None:
    """For who wants to be the only one."""
    web = service(replicas=3)
    plan = swarm.plan("web", image=images("web:2"), strategy=ENDLESS, on_foreign="stop")
    rollout = swarm.start(plan)
    eventually(lambda: web.runs()["web:2"])
    web.update(_scaled_to(2))
    assert rollout.wait(120, check=False).outcome is Outcome.SUPERSEDED
    assert web.declared()["Mode"]["Replicated"]["Replicas"] == 2


@pytest.mark.main_story
def test_image_of_somebody_else_supersedes_the_rollout(
    swarm: Swarm, service: ServiceFactory, images: Images
) -> None:
    """Theirs keeps running; the report names what they changed."""
    web = service(replicas=3)
    rollout = begin(swarm, web, images("web:2"), ENDLESS)
    web.update(_to_image(images("web:3")))
    with pytest.raises(Superseded) as raised:
        rollout.wait(120)
    report = raised.value.report
    assert report.outcome is Outcome.SUPERSEDED
    assert "TaskTemplate.ContainerSpec.Image" in report.headline
    assert "nothing was overwritten" in report.headline
    eventually(lambda: Counter({"web:3": 3}) == web.runs())


def test_rollback_by_a_person_supersedes_the_rollout(
    swarm: Swarm, service: ServiceFactory, images: Images
) -> None:
    """`docker service rollback` in the middle: that person knows why."""
    web = service(replicas=3)
    before = web.declared()
    rollout = begin(swarm, web, images("web:2"), ENDLESS)
    _roll_back_as_the_docker_cli_does(web)
    report = rollout.wait(120, check=False)
    assert report.outcome is Outcome.SUPERSEDED
    assert not report.rolled_back_by
    eventually(lambda: Counter({"web:1": 3}) == web.runs())
    assert before == web.declared()


def _roll_back_as_the_docker_cli_does(web: Service) -> None:
    def accepted() -> bool:
        """the engine takes the rollback"""
        found = web.inspect()
        with web.cluster.manager() as client:
            answer = client.api.post(
                f"{client.api.base_url}/services/{web.id}/update",
                params={"version": found["Version"]["Index"], "rollback": "previous"},
                json=found["Spec"],
            )
        return answer.status_code == 200

    eventually(accepted)


def test_removal_in_the_middle_ends_the_rollout(
    swarm: Swarm, service: ServiceFactory, images: Images
) -> None:
    """There is nothing left to roll."""
    web = service(replicas=2)
    rollout = begin(swarm, web, images("web:2"), ENDLESS)
    web.remove()
    assert rollout.wait(120, check=False).outcome is Outcome.SERVICE_GONE


def test_plan_for_an_older_version_is_refused(
    swarm: Swarm, service: ServiceFactory, images: Images
) -> None:
    """What was reviewed is no longer what would happen."""
    web = service(replicas=1)
    plan = swarm.plan("web", image=images("web:2"))
    web.update(lambda spec: spec["TaskTemplate"].update(ForceUpdate=1))
    before = web.declared()
    with pytest.raises(PlanError, match="stale"):
        swarm.start(plan).wait(60)
    assert before == web.declared()
    assert ROLLOUT_LABEL not in web.inspect()["Spec"]["Labels"]


def test_second_rollout_of_a_service_is_turned_away(
    swarm: Swarm, service: ServiceFactory, images: Images
) -> None:
    """One `Swarm`, one rollout of a service at a time; the error says whose."""
    web = service(replicas=2)
    rollout = begin(swarm, web, images("web:2"), ENDLESS)
    with pytest.raises(LeaseHeld, match="pid"):
        swarm.update("web", image=images("web:3"))
    rollout.abort()
    rollout.wait(60, check=False)
    assert Counter({"web:2": 1, "web:1": 1}) == web.runs()


def test_rollout_of_another_service_goes_on_beside_it(
    swarm: Swarm, service: ServiceFactory, images: Images
) -> None:
    """They share one watch of the swarm."""
    web, api = service(replicas=2), service("api", replicas=2)
    rollout = begin(swarm, web, images("web:2"), ENDLESS)
    report = swarm.update("api", image=images("web:3"), strategy=Rolling(parallelism=2, monitor=1))
    assert report.outcome is Outcome.COMPLETED
    assert Counter({"web:3": 2}) == api.runs()
    rollout.abort(rollback=True)
    assert rollout.wait(120, check=False).outcome is Outcome.ABORTED
    assert Counter({"web:1": 2}) == web.runs()


def test_of_two_that_update_at_the_same_time_one_is_told_who_the_other_is(
    three_nodes: Cluster, swarm: Swarm, service: ServiceFactory, images: Images
) -> None:
    """Two processes that know nothing of each other: the lease in the swarm keeps them apart."""
    web = service(replicas=2)
    quick = Rolling(parallelism=2, monitor=1)
    with swarmroll.connect(three_nodes.url) as other:
        first = swarm.start(swarm.plan("web", image=images("web:2"), strategy=quick))
        second = other.start(other.plan("web", image=images("web:3"), strategy=quick))
        ends = {"web:2": _end(first), "web:3": _end(second)}
    (winner,) = [image for image, end in ends.items() if end is Outcome.COMPLETED]
    (held,) = [end for end in ends.values() if isinstance(end, LeaseHeld)]
    assert "pid" in held.owner
    assert Counter({winner: 2}) == web.runs()


def _end(rollout: Rollout) -> Outcome | LeaseHeld:
    try:
        return rollout.wait(120, check=False).outcome
    except LeaseHeld as exc:
        return exc
