"""Misfortunes in process: slow engines, late events, spoilt answers, wrong clocks."""

from __future__ import annotations

from typing import Any

import pytest

from swarmroll.core.snapshot import Depth
from swarmroll.errors import EngineUnavailable
from swarmroll.sim import SimEngine, SimSwarm


@pytest.fixture
def engine(sim: SimSwarm) -> SimEngine:
    sim.create_service("web", image="app:1", replicas=3)
    return sim.engine(request_timeout=10.0, patience=60.0)


def test_a_slow_engine_takes_its_time(sim: SimSwarm, engine: SimEngine) -> None:
    """For each request, until it is well again."""
    sim.slow(3.0)
    begun = sim.now
    engine.look(engine.service("web").id, Depth.FULL)
    assert sim.now - begun == pytest.approx(12.0, abs=0.1)
    sim.slow(0)
    begun = sim.now
    engine.service("web")
    assert sim.now - begun < 0.1


def test_an_engine_that_is_too_slow_is_given_up(sim: SimSwarm, engine: SimEngine) -> None:
    """A read is repeated until patience ends; a write may have been done."""
    service = engine.service("web")
    sim.slow(11.0)
    with pytest.raises(EngineUnavailable, match="no answer within 10 s"):
        engine.service("web")
    with pytest.raises(EngineUnavailable, match="no answer within 10 s"):
        engine.update(service.id, service.version, service.spec.with_image("app:2"))
    assert sim.service("web").spec.image == "app:2"


@pytest.mark.parametrize("kind", ["truncated", "malformed"])
def test_a_spoilt_answer_is_asked_for_again(sim: SimSwarm, engine: SimEngine, kind: str) -> None:
    """And to a write it changes nothing: it was done."""
    sim.fail_next("ServiceInspect", kind, times=2)
    before = engine.requests
    service = engine.service("web")
    assert engine.requests - before == 3
    sim.fail_next("ServiceUpdate", kind)
    assert engine.update(service.id, service.version, service.spec.with_image("app:2")) == ()
    assert sim.service("web").spec.image == "app:2"


def test_late_events_wake_late(sim: SimSwarm, engine: SimEngine) -> None:
    """By as much as was said."""
    watch = engine.watch(engine.service("web").id)
    sim.events_late(4.0)
    sim.scale("web", 4)
    begun = sim.now
    assert watch.wait(30.0)
    assert sim.now - begun == pytest.approx(4.0, abs=0.1)


def test_a_rollout_survives_late_events_and_a_slow_engine(sim: SimSwarm) -> None:
    """They are hints, never the truth."""
    sim.create_service("web", image="app:1", replicas=3)
    sim.events_late(20.0)
    sim.slow(0.5)
    assert sim.connect().update("web", image="app:2").ok


def test_a_wrong_clock_is_in_the_agents_reports_only(sim: SimSwarm) -> None:
    """What the managers write has their own time."""
    for number in (1, 2, 3):
        sim.node(f"node-{number}").clock_off(-600)
    sim.create_service("web", image="app:1")
    (task,) = sim.tasks("web")
    assert task.state_at == pytest.approx(task.created_at - 600, abs=5)


@pytest.mark.parametrize("off", [-600.0, 600.0])
def test_a_rollout_survives_wrong_clocks(sim: SimSwarm, off: float) -> None:
    """Good and bad releases are told apart all the same."""
    sim.create_service("web", image="app:1", replicas=3)
    for number in (1, 2, 3):
        sim.node(f"node-{number}").clock_off(off * number)
    swarm = sim.connect()
    assert swarm.update("web", image="app:2").ok
    assert not swarm.update("web", image="bad:1", check=False).ok
    assert [task.image for task in sim.tasks("web") if task.running] == ["app:2"] * 3


def test_any_image_may_be_there(sim: SimSwarm) -> None:
    """For playing; a name that nobody told of is missing otherwise."""
    sim.create_service("web", image="app:1")
    sim.update_service("web", image="other:1")
    sim.run(5)
    assert any(task.error == "No such image: other:1" for task in sim.tasks("web"))
    sim.any_image(starts_in=0.1)
    sim.update_service("web", image="another:1")
    sim.settle()
    assert [task.image for task in sim.tasks("web") if task.running] == ["another:1"]
    pinned = sim.engine().resolve("another:1", timeout=5.0).digest
    assert pinned is not None
    assert sim.images.digest(f"another:1@{pinned}") == pinned


def test_ports_that_are_not_named_are_given(sim: SimSwarm) -> None:
    """From 30000 on, each once; the spec stays as it was."""
    for name in ("one", "two"):
        sim.create_service(name, image="app:1", ports=[{"TargetPort": 80}, {"TargetPort": 81}])
    raw: list[Any] = [sim.service(name).raw for name in ("one", "two")]
    given = [[port["PublishedPort"] for port in doc["Endpoint"]["Ports"]] for doc in raw]
    assert given == [[30000, 30001], [30002, 30003]]
    assert "PublishedPort" not in raw[0]["Spec"]["EndpointSpec"]["Ports"][0]
