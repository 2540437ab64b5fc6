"""A spec without placement can kill a manager (up to engine 28): it is never written over tasks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from integration.lab import ServiceFactory, eventually
from swarmroll import Outcome, Rolling, Swarm

Images = Callable[[str], str]
QUICK = Rolling(parallelism=3, monitor=1, order="start-first")
LINUX = {"Constraints": ["node.platform.os == linux"]}


def bare(spec: dict[str, Any]) -> None:
    spec["TaskTemplate"].pop("Placement", None)


@pytest.mark.main_story
def test_taking_the_placement_away_leaves_the_manager_alive(
    swarm: Swarm, service: ServiceFactory, images: Images
) -> None:
    """The tasks differ from the new spec in nothing else, and go on."""
    web = service(replicas=2)

    def placed(spec: dict[str, Any]) -> None:
        spec["TaskTemplate"]["ContainerSpec"]["Image"] = images("web:2")
        spec["TaskTemplate"]["Placement"] = LINUX

    web.update(placed)
    eventually(lambda: Counter({"web:2": 2}) == web.runs())
    eventually(lambda: "completed" == (web.inspect().get("UpdateStatus") or {}).get("State"))
    before = {proof["ID"] for proof in web.tasks() if proof["DesiredState"] == "running"}
    report = swarm.update("web", lambda spec: spec.without_path("TaskTemplate.Placement"))
    assert report.outcome is Outcome.COMPLETED
    assert before == {proof.task_id for proof in report.slots}
    assert not web.declared()["TaskTemplate"].get("Placement")
    assert Outcome.UNCHANGED is swarm.update("web").outcome


def test_going_back_to_no_placement_leaves_the_manager_alive(
    swarm: Swarm, service: ServiceFactory, images: Images
) -> None:
    """A constraint that no node meets is taken back; the engine is not asked to do that."""
    web = service(replicas=2)

    def without(spec: dict[str, Any]) -> None:
        bare(spec)
        spec["TaskTemplate"]["ContainerSpec"]["Image"] = images("web:2")

    web.update(without)
    eventually(lambda: Counter({"web:2": 2}) == web.runs())
    eventually(lambda: "completed" == (web.inspect().get("UpdateStatus") or {}).get("State"))
    report = swarm.update(
        "web",
        lambda spec: spec.with_constraints(["node.labels.nowhere == yes"]),
        strategy=QUICK,
        deadline=5,
        check=False,
    )
    assert report.outcome is Outcome.ROLLED_BACK
    assert "swarmroll" == report.rolled_back_by
    assert Counter({"web:2": 2}) == web.runs()
    assert not web.declared()["TaskTemplate"].get("Placement")
