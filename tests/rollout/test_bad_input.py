"""Bad input gets a clear error before anything is written."""

from __future__ import annotations

from typing import Any

import pytest

from swarmroll import (
    NoRollout,
    PlanError,
    Rolling,
    ServiceNotFound,
    SpecError,
    SwarmrollError,
)

from .conftest import Story


@pytest.mark.parametrize(
    ("words", "error", "says"),
    [
        ({"image": "UPPER:1"}, SpecError, "UPPER"),
        ({"image": "app: 2"}, SpecError, "white space"),
        ({"image": ""}, SpecError, "image"),
        ({"image": 7}, SpecError, "image"),
        ({"image": "app@sha256:12"}, SpecError, "digest"),
        ({"change": 7}, PlanError, "the change must be a ServiceSpec or a function"),
        ({"change": lambda _: None}, PlanError, "got a NoneType"),
        ({"change": lambda spec: spec.with_replicas(-1)}, SpecError, "-1"),
        ({"change": lambda spec: spec.with_replicas(10**30)}, SpecError, "1000000"),
        ({"change": lambda spec: spec.with_replicas("three")}, SpecError, "three"),
        ({"image": "app:2", "on_failure": "hope"}, PlanError, "'rollback' or 'pause', got 'hope'"),
        ({"image": "app:2", "on_foreign": "fight"}, PlanError, "'adopt' or 'stop', got 'fight'"),
        ({"image": "app:2", "deadline": -5}, SwarmrollError, "deadline"),
        ({"image": "app:2", "deadline": "soon"}, SwarmrollError, "deadline"),
        ({"image": "app:2", "deadline": float("nan")}, SwarmrollError, "deadline"),
        ({"image": "app:2", "deadline": float("inf")}, SwarmrollError, "deadline"),
        ({"image": "app:2", "deadline": 0}, SwarmrollError, "deadline"),
        ({"image": "app:2", "wait_for_lease": -1}, SwarmrollError, "wait_for_lease"),
        ({"image": "app:2", "gates": [7]}, PlanError, "gate"),
    ],
)
def test_bad_arguments_are_refused(
    web: Story, words: dict[str, Any], error: type[Exception], says: str
) -> None:
    """The message names the argument, what was wanted, and what came."""
    web.service(2)
    change = words.pop("change", None)
    with pytest.raises(error, match=says):
        web.swarm.update("web", change, **words)
    assert web.writes() == 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({"parallelism": -1}, "parallelism"),
        ({"parallelism": 1.5}, "parallelism"),
        ({"parallelism": True}, "parallelism"),
        ({"parallelism": "200%"}, "parallelism"),
        ({"parallelism": "half"}, "parallelism"),
        ({"parallelism": 10**30}, "parallelism"),
        ({"delay": -1}, "delay"),
        ({"delay": 10**30}, "delay"),
        ({"delay": float("nan")}, "delay"),
        ({"order": "sideways"}, "order must be one of stop-first, start-first, got 'sideways'"),
        ({"monitor": 0}, "monitor must be more than 0"),
        ({"monitor": -3}, "monitor"),
        ({"max_failure_ratio": 1.1}, "max_failure_ratio must be 0 to 1, got 1.1"),
        ({"max_failure_ratio": -0.1}, "max_failure_ratio"),
        ({"max_failure_ratio": True}, "max_failure_ratio"),
        ({"max_failure_ratio": "much"}, "max_failure_ratio"),
        ({"max_failure_ratio": float("nan")}, "max_failure_ratio"),
        ({"bake": -1}, "bake"),
    ],
)
def test_bad_strategies_are_refused(words: dict[str, Any], says: str) -> None:
    """When they are made, not when they are used."""
    with pytest.raises(SpecError, match=says):
        Rolling(**words)


def test_an_unknown_service_is_named(web: Story) -> None:
    """With every method that takes one."""
    web.service(1)
    calls = (
        lambda: web.swarm.update("nope", image="app:2"),
        lambda: web.swarm.plan("nope", image="app:2"),
        lambda: web.swarm.service("nope"),
        lambda: web.swarm.rollback("nope"),
        lambda: web.swarm.attach("nope"),
        lambda: web.swarm.history("nope"),
    )
    for call in calls:
        with pytest.raises(ServiceNotFound, match="nope"):
            call()


def test_a_mode_cannot_be_changed(web: Story) -> None:
    """The engine would refuse it."""
    web.service(1)
    with pytest.raises(PlanError, match="web is replicated; the engine does not change the mode"):
        web.swarm.update("web", lambda spec: spec.with_path("Mode", {"Global": {}}))
    assert web.writes() == 0


def test_nothing_to_take_up(web: Story) -> None:
    """No rollout was ever begun."""
    web.service(1)
    with pytest.raises(NoRollout):
        web.swarm.attach("web")


def test_a_function_that_fails_is_the_callers(web: Story) -> None:
    """Its exception comes through as it is."""
    web.service(1)
    with pytest.raises(ZeroDivisionError):
        web.swarm.update("web", lambda spec: spec.with_replicas(1 // 0))
    assert web.writes() == 0


def test_legacy_networks_are_refused(web: Story) -> None:
    """Engines from 29 on would ignore them without a word."""
    web.service(1)
    report = web.roll(lambda spec: spec.with_path("Networks", [{"Target": "net"}]))
    assert report.outcome == "refused"
    assert "legacy-networks" in [finding.code for finding in report.findings]
    assert web.writes() == 0
