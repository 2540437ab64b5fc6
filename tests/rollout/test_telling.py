"""Reports, events, evidence and logs: the whole story, and no secrets."""

from __future__ import annotations

import json
from typing import Any

import pytest
import structlog

from swarmroll import Canary, PreflightError, Report, RolledBack, Rolling, Step
from swarmroll.core import events
from swarmroll.observers.structlog import StructlogObserver
from swarmroll.sim import SimSwarm

from .conftest import Story

CANARY = "c4n4ry-0f-the-mine"


def test_evidence_is_saved_when_it_happens(sim: SimSwarm, web: Story) -> None:
    """Node, error, exit code, the last log lines, and a guess at the cause."""
    sim.image("bad:1", crashes_after=1, exit_code=127, logs=("one", "two", "sh: x: not found"))
    web.service(3)
    report = web.roll(image="bad:1")
    evidence = report.failures[0]
    assert evidence.node.startswith("node-")
    assert evidence.error == "task: non-zero exit (127)"
    assert evidence.exit_code == 127
    assert evidence.logs == ("one", "two", "sh: x: not found")
    assert evidence.likely_cause == "its command cannot be run"
    assert "sh: x: not found" in str(report)


def test_a_failure_is_told_at_once_and_its_evidence_after(web: Story) -> None:
    """Observers hear of the failed task first."""
    web.service(3)
    web.roll(image="crash:1")
    kinds = [type(event) for event in web.told]
    assert kinds.index(events.TaskFailed) < kinds.index(events.EvidenceSaved)


def test_the_story_of_a_good_release_is_told_in_order(web: Story) -> None:
    """From the beginning to the end, each thing once."""
    web.service(2)
    report = web.roll()
    kinds = [type(event).__name__ for event in web.told]
    assert kinds[0] == "Started"
    assert kinds[-1] == "Finished"
    assert kinds.count("Wrote") == 1
    assert kinds.count("TaskRunning") == 2
    moves = [event.transition for event in web.told if isinstance(event, events.Moved)]
    assert tuple(moves) == report.transitions


def test_an_exception_carries_the_story(web: Story) -> None:
    """``except RolloutFailed as e: print(e.report)``."""
    web.service(3)
    with pytest.raises(RolledBack) as failed:
        web.swarm.update("web", image="crash:1")
    assert failed.value.report.outcome == "rolled_back"
    assert str(failed.value).startswith("web rolled back: the engine rolled back by itself")
    assert "task: non-zero exit (1)" in str(failed.value)


def test_a_report_is_neither_true_nor_false(web: Story) -> None:
    """Ask report.ok."""
    web.service(1)
    with pytest.raises(TypeError, match=r"report\.ok"):
        bool(web.roll())


@pytest.mark.parametrize("image", ["app:2", "crash:1", "app:1"])
def test_a_report_can_be_kept_and_read_back(web: Story, image: str) -> None:
    """As one line of JSON."""
    web.service(2, mode="global")
    report = web.roll(image=image, strategy=Rolling(parallelism=2), reason="ticket")
    read = Report.from_dict(json.loads(report.to_json()))
    assert read.outcome == report.outcome
    assert read.transitions == report.transitions
    assert read.failures == report.failures
    assert read.slots == report.slots
    assert read.findings == report.findings
    assert str(read).splitlines()[0] == report.headline


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda d: d.pop("service"), r"\$: service is missing"),
        (lambda d: d.update(service=3), r"\$\.service: wanted str, got int"),
        (lambda d: d.update(started_at="now"), r"\$\.started_at: wanted float, got str"),
        (lambda d: d.update(outcome="odd"), r"\$\.outcome: 'odd' is not a valid Outcome"),
        (lambda d: d.update(slots={}), r"\$\.slots: wanted list, got dict"),
        (lambda d: d["plan"].update(nodes=[]), r"\$\.plan\.nodes: wanted dict, got list"),
        (lambda d: d.update(target=[]), r"\$\.target: wanted dict, got list"),
        (lambda d: d.update(leaks=True), r"\$\.leaks: wanted int, got bool"),
    ],
)
def test_what_is_no_report_is_not_read(web: Story, spoil: Any, says: str) -> None:
    """The message says where it is wrong."""
    web.service(1)
    document = web.roll().to_dict()
    spoil(document)
    with pytest.raises(ValueError, match=says):
        Report.from_dict(document)


def test_requests_are_counted(web: Story) -> None:
    """Those of this rollout, retries included."""
    web.service(2)
    assert 4 < web.roll().engine_requests < 20


# --- secrets


@pytest.mark.parametrize("image", ["app:2", "crash:1", "echo:1"])
def test_secrets_are_never_told(sim: SimSwarm, web: Story, image: str) -> None:
    """Not in reports, plans, events, errors or logs; whichever way the rollout ends."""
    sim.image(
        "echo:1",
        start_error=f"cannot reach postgres://me:{CANARY}@db",
        logs=(f"connecting with {CANARY}",),
    )
    log = structlog.testing.CapturingLogger()
    observer = StructlogObserver(
        structlog.wrap_logger(log, processors=[structlog.processors.JSONRenderer(default=repr)])
    )
    web.service(2, env={"DB_PASSWORD": CANARY}, labels={"team": "web"})
    web.roll(image=image, observers=[observer])
    web.roll(lambda spec: spec.with_env(DB_PASSWORD=f"{CANARY}-new", URL=f"http://u:{CANARY}@h"))
    web.roll(lambda spec: spec.with_label("api_token", CANARY))
    web.roll(
        lambda spec: spec.with_path(
            "TaskTemplate.ContainerSpec.Command", ["app", f"--password={CANARY}"]
        )
    )
    plan = web.swarm.plan("web", lambda spec: spec.with_env(DB_PASSWORD=f"{CANARY}-3"))
    texts = [str(plan), repr(plan), json.dumps(plan.to_dict()), str(log.calls)]
    for report in web.swarm.history("web"):
        texts += [str(report), repr(report), report.to_json(), report.headline]
    texts += [repr(event) for event in web.told]
    assert len(web.told) > 20
    assert [text for text in texts if CANARY in text] == []


# --- logs


def test_log_events_are_names_and_keys(web: Story) -> None:
    """Each event of the rollout, with its service, and no sentence for a name."""
    log = structlog.testing.CapturingLogger()
    observer = StructlogObserver(
        structlog.wrap_logger(log, processors=[structlog.processors.JSONRenderer()])
    )
    web.service(3)
    web.roll(image="crash:1", observers=[observer])
    lines = [(call.method_name, json.loads(call.args[0])) for call in log.calls]
    names = [line["event"] for _, line in lines]
    assert names[0] == "rollout.started"
    assert names[-1] == "rollout.finished"
    assert all(line["service"] == "web" for _, line in lines)
    failed = next(line for _, line in lines if line["event"] == "rollout.task_failed")
    assert failed["exit_code"] == 1
    assert failed["error"] == "task: non-zero exit (1)"
    assert [level for level, line in lines if line["event"] == "rollout.finished"] == ["warning"]


def test_structlog_is_used_as_it_is_configured(web: Story) -> None:
    """Without a logger of its own."""
    web.service(2)
    with structlog.testing.capture_logs() as lines:
        web.roll(observers=[StructlogObserver()])
    assert {line["event"] for line in lines} >= {"rollout.moved", "rollout.wrote"}


def test_a_refusal_names_its_findings(sim: SimSwarm, web: Story) -> None:
    """PreflightError carries them, and the report."""
    web.service(2)
    sim.update_service("web", image="crash:1")
    sim.run(30)
    with pytest.raises(PreflightError, match="update-paused") as refused:
        web.swarm.update("web", image="app:2")
    assert [finding.code for finding in refused.value.findings] == ["update-paused"]
    plan = web.swarm.plan("web", image="app:2")
    with pytest.raises(PreflightError):
        web.swarm.start(plan)


def test_a_plan_tells_of_a_hold_without_an_end(web: Story) -> None:
    """Somebody has to promote it."""
    web.service(2)
    waves = Canary(steps=[Step(tasks=1, hold=None), Step(tasks="100%")])
    assert "then hold until promote()" in str(web.swarm.plan("web", image="app:2", strategy=waves))
