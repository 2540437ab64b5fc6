"""
Bad releases: each is rolled back by itself and reported with the right culprit.

All of them are rolled at the same time on one `Swarm`, as a busy team would; every test then reads
one report.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import attrs
import pytest

import swarmroll
from integration.conformance.scenarios import UNEVEN
from integration.lab import Cluster
from integration.lab.service import create
from swarmroll import Evidence, Outcome, Phase, Report, RolledBack, Rolling, ServiceSpec, Swarm

pytestmark = pytest.mark.main_story

_SECOND = 10**9


@attrs.frozen(kw_only=True)
class Story:
    """
    A release that goes wrong.

    Attributes:
        options: What `plan` is told besides the change.
        fields: How the service is made; see `integration.lab.service.create`.
    """

    before: str = "web:1"
    after: str | None = None
    env: Mapping[str, str] = attrs.field(factory=dict)
    constraint: str = ""
    network: bool = False
    strategy: Rolling = attrs.field(factory=lambda: Rolling(parallelism=2))
    options: Mapping[str, Any] = attrs.field(factory=dict)
    fields: Mapping[str, Any] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class Ending:
    """How it ended: the report, and the service before and after."""

    report: Report
    before: dict[str, Any]
    after: dict[str, Any]
    runs: Counter[str]


STORIES = {
    "crash": Story(after="web:crash", env={"DATABASE": "db-7"}),
    "sick": Story(before="checked:1", after="checked:sick"),
    "sick-dies": Story(before="checked:1", after="checked:sick-dies"),
    "missing": Story(after="missing:1"),
    "network": Story(after="web:crash", network=True),
    "nowhere": Story(constraint="node.labels.rack == nowhere", options={"deadline": "3s"}),
    # The first slot crashes after the engine has stopped watching it, while others are replaced.
    "late": Story(after="web:crash-late", strategy=Rolling(), fields={"replicas": 4}),
    # Every slot crashes after the engine has called the update completed.
    "very-late": Story(after="web:crash-late", strategy=Rolling(parallelism=2, bake=8)),
    "masked": Story(after="web:2", fields={"container": UNEVEN}),
}


@pytest.fixture(autouse=True)
def restored() -> None:
    """Nothing: after `endings`, the tests here do not touch the swarm."""


@pytest.fixture(scope="module")
def endings(three_nodes: Cluster) -> dict[str, Ending]:
    """Every story told to its end, all at once."""
    try:
        return _told(three_nodes)
    finally:
        three_nodes.restore()


def _told(three_nodes: Cluster) -> dict[str, Ending]:
    with swarmroll.connect(three_nodes.url) as swarm, three_nodes.manager() as client:
        network = client.networks.create("backend", driver="overlay")
        assert network.id
        services = {
            name: create(
                three_nodes, name, story.before, wait=False, **{"replicas": 2, **story.fields}
            )
            for name, story in STORIES.items()
        }
        for service in services.values():
            service.wait()
        before = {name: service.declared() for name, service in services.items()}
        rollouts = {name: swarm.start(_plan(swarm, three_nodes, name)) for name in STORIES}
        reports = {name: rollout.wait(180, check=False) for name, rollout in rollouts.items()}
        for report in reports.values():
            print(report)
        return {
            name: Ending(
                report=reports[name],
                before=before[name],
                after=services[name].declared(),
                runs=services[name].runs(),
            )
            for name in STORIES
        }


def _plan(swarm: Swarm, cluster: Cluster, name: str) -> swarmroll.Plan:
    story = STORIES[name]

    def change(spec: ServiceSpec) -> ServiceSpec:
        spec = spec.with_env(story.env)
        if story.constraint:
            spec = spec.with_constraints([story.constraint])
        return spec.with_networks(["backend"]) if story.network else spec

    image = cluster.image(story.after) if story.after else None
    return swarm.plan(name, change, image=image, strategy=story.strategy, **story.options)


@pytest.mark.parametrize("name", STORIES)
def test_bad_release_is_rolled_back(endings: dict[str, Ending], name: str) -> None:
    """The old image runs again in every slot, and the service is declared as it was before."""
    ending = endings[name]
    assert ending.report.outcome is Outcome.ROLLED_BACK
    replicas = ending.before["Mode"]["Replicated"]["Replicas"]
    assert Counter({STORIES[name].before: replicas}) == ending.runs
    for declared in (ending.before, ending.after):
        # A manager can die of a spec without placement over tasks with one: an empty one it is.
        declared["TaskTemplate"].setdefault("Placement", {})
    assert ending.before == ending.after
    assert set(range(1, replicas + 1)) == {proof.slot for proof in ending.report.slots}
    assert ending.report.engine_requests > 0


@pytest.mark.parametrize(
    ("name", "by"),
    [
        ("crash", "engine"),
        ("sick", "engine"),
        ("sick-dies", "engine"),
        ("missing", "engine"),
        ("network", "engine"),
        ("nowhere", "swarmroll"),
        ("late", "swarmroll"),
        ("very-late", "swarmroll"),
        ("masked", "swarmroll"),
    ],
)
def test_report_says_who_rolled_back(endings: dict[str, Ending], name: str, by: str) -> None:
    """What the engine does not see, swarmroll does."""
    report = endings[name].report
    assert by == report.rolled_back_by
    assert f"rolled back by: {by}" in str(report)


@pytest.mark.parametrize(
    ("name", "end", "error", "cause"),
    [
        ("crash", ("failed", 3), "task: non-zero exit (3)", ""),
        ("network", ("failed", 3), "task: non-zero exit (3)", ""),
        ("late", ("failed", 3), "task: non-zero exit (3)", ""),
        ("very-late", ("failed", 3), "task: non-zero exit (3)", ""),
        ("masked", ("failed", 3), "task: non-zero exit (3)", ""),
        ("sick-dies", ("failed", 143), "unhealthy container", "its health check failed"),
        ("sick", ("complete", 0), "", "its health check failed"),
        ("missing", ("rejected", None), "No such image", "the image does not exist"),
    ],
)
def test_culprit_is_named(
    endings: dict[str, Ending], name: str, end: tuple[str, int | None], error: str, cause: str
) -> None:
    """Slot, node, the engine's own error, and the exit code."""
    report = endings[name].report
    culprit = _culprit(report)
    assert culprit.node in {"node1", "node2", "node3"}
    assert end == (culprit.state, culprit.exit_code)
    assert error in culprit.error
    assert cause in culprit.likely_cause
    assert error in report.headline


def _culprit(report: Report) -> Evidence:
    """The failure that the headline tells of is among the evidence."""
    (culprit, *_) = [
        evidence
        for evidence in report.failures
        if f"slot {evidence.slot} on node {evidence.node}:" in report.headline
    ]
    return culprit


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("crash", "no database at db-7: giving up"),
        ("very-late", "no database at nowhere: giving up"),
    ],
)
def test_last_words_of_a_failed_task_are_kept(
    endings: dict[str, Ending], name: str, line: str
) -> None:
    """The swarm forgets a task's log soon; the report does not."""
    assert line in [last for evidence in endings[name].report.failures for last in evidence.logs]


def test_slot_that_cannot_be_placed_is_named(endings: dict[str, Ending]) -> None:
    """It is no failure to the engine, which would wait for ever."""
    report = endings["nowhere"].report
    assert "no further slot converged within 3s" in report.headline
    assert "no suitable node (scheduling constraints not satisfied on 3 nodes)" in report.headline


def test_only_the_slot_that_crashed_is_blamed_for_a_masked_failure(
    endings: dict[str, Ending],
) -> None:
    """The engine never looked at it: it waited for the other slot."""
    assert {1} == {evidence.slot for evidence in endings["masked"].report.failures}


def test_crash_after_completion_is_seen_while_baking(endings: dict[str, Ending]) -> None:
    """Every slot ran the new image, and the engine was done with it."""
    phases = [move.target for move in endings["very-late"].report.transitions]
    assert phases.index(Phase.VERIFYING) < phases.index(Phase.ROLLING_BACK)


def test_unresolved_image_is_a_finding(endings: dict[str, Ending]) -> None:
    """It is no error by itself: the image may be on the nodes."""
    assert "digest-unresolved" in {finding.code for finding in endings["missing"].report.findings}


def test_rollback_is_raised_with_its_report(endings: dict[str, Ending]) -> None:
    """A deploy script that does not look at the report fails, with the right exit code."""
    report = endings["crash"].report
    assert report.exit_code == 4
    with pytest.raises(RolledBack, match=r"slot [12] on node"):
        swarmroll.outcomes.raise_unless_ok(report)
