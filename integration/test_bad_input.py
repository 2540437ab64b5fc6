"""Bad input gets a clear error, and nothing is written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from integration.lab import Service, ServiceFactory
from swarmroll import Mount, Outcome, PlanError, Rolling, ServiceSpec, SpecError, Swarm

Images = Callable[[str], str]


@contextmanager
def nothing_written(web: Service) -> Iterator[None]:
    """The version index says so."""
    version = web.version()
    yield
    assert version == web.version()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"image": "web:2:3"}, "must have a tag"),
        ({"image": "team/Web:2"}, "ContainerSpec.Image"),
        ({"image": ""}, "ContainerSpec.Image"),
        ({"change": lambda spec: spec.with_replicas(-1)}, "Replicas must be"),
        ({"change": lambda spec: spec.with_update_config(order="sideways")}, "stop-first"),
        ({"change": lambda spec: spec.with_stop_grace("soon")}, "StopGracePeriod"),
        ({"deadline": -1}, "deadline"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_value_that_cannot_be_is_named(
    swarm: Swarm, service: ServiceFactory, options: dict[str, Any], words: str
) -> None:
    """What was wanted, and what came."""
    web = service(replicas=0)
    with nothing_written(web), pytest.raises(SpecError, match=words):
        swarm.update("web", **options)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"parallelism": -1}, "Rolling.parallelism"),
        ({"parallelism": "150%"}, "Rolling.parallelism"),
        ({"delay": -1}, "Rolling.delay"),
        ({"monitor": 0}, "Rolling.monitor"),
        ({"max_failure_ratio": 2}, "Rolling.max_failure_ratio"),
        ({"order": "random"}, "Rolling.order must be one of stop-first, start-first"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_strategy_that_cannot_be_is_named(fields: dict[str, Any], words: str) -> None:
    """Before any engine is asked."""
    with pytest.raises(SpecError, match=words):
        Rolling(**fields)


def _mounted(kind: str, source: str) -> Callable[[ServiceSpec], ServiceSpec]:
    return lambda spec: spec.with_mounts([Mount(type=kind, source=source, target="/data")])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_mounted("floppy", "a"), "(?i)mount"),
        (
            lambda spec: spec.with_path(
                "TaskTemplate.ContainerSpec.Secrets",
                [{"SecretID": "x", "SecretName": "key", "File": {"Name": "key"}}],
            ),
            "secret not found",
        ),
        (lambda spec: spec.with_path("Name", "other"), "renaming services is not supported"),
    ],
    ids=["mount", "secret", "name"],
)
def test_spec_that_the_engine_refuses_is_refused_in_its_words(
    swarm: Swarm,
    service: ServiceFactory,
    change: Callable[[ServiceSpec], ServiceSpec],
    words: str,
) -> None:
    """swarmroll does not know every rule of the engine, and does not hide what it says."""
    web = service(replicas=1)
    with nothing_written(web), pytest.raises(PlanError, match=words) as raised:
        swarm.update("web", change)
    report = raised.value.report
    assert report is not None
    assert report.outcome is Outcome.REFUSED


def test_mode_cannot_be_changed(swarm: Swarm, service: ServiceFactory) -> None:
    """The engine has no way to do it."""
    web = service(replicas=1)
    with nothing_written(web), pytest.raises(PlanError, match="mode"):
        swarm.update("web", lambda spec: spec.without_path("Mode").with_path("Mode.Global", {}))


def test_change_that_is_no_spec_is_refused(swarm: Swarm, service: ServiceFactory) -> None:
    """A function that forgets its return."""
    web = service(replicas=1)
    with nothing_written(web), pytest.raises(PlanError, match="NoneType"):
        swarm.update("web", lambda _: None)  # type: ignore[arg-type]


def test_plan_writes_nothing(swarm: Swarm, service: ServiceFactory, images: Images) -> None:
    """It is the dry run: the diff, the slots, the steps."""
    web = service(replicas=2)
    with nothing_written(web):
        plan = swarm.plan("web", image=images("web:2"))
    assert plan.restarts == (1, 2)
    assert ["TaskTemplate.ContainerSpec.Image"] == [
        change.path for change in plan.diff if change.restarts_tasks
    ]
    assert "restarts 2 of 2 slots: 1, 2" in str(plan)
