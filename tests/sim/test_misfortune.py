"""Misfortunes in process: slow engines, late events, spoilt answers, wrong clocks."""

from __future__ import annotations

from typing import Any

import pytest

from swarmroll.core.snapshot import Depth
from swarmroll.errors import Conflict, EngineUnavailable
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


@pytest.mark.parametrize("kind", ["truncated", "malformed", "wrong-type", "duplicated", "drip"])
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


@pytest.mark.parametrize("operation", ["ServiceInspect", "TaskList"])
def test_a_service_is_gone_only_when_it_is_gone_twice(
    sim: SimSwarm, engine: SimEngine, operation: str
) -> None:
    """A manager that has just joined may not know it yet."""
    service = engine.service("web")
    sim.fail_next(operation, 404)
    assert engine.look(service.id, Depth.FULL).service == service
    sim.fail_next("ServiceInspect", 404, times=2)
    assert engine.look(service.id, Depth.FULL).service is None


def test_something_that_is_in_the_way_is_a_conflict(sim: SimSwarm, engine: SimEngine) -> None:
    """Nothing was written."""
    service = engine.service("web")
    sim.fail_next("ServiceUpdate", 409)
    with pytest.raises(Conflict):
        engine.update(service.id, service.version, service.spec.with_image("app:2"))
    assert sim.service("web").spec.image == "app:1"


def test_requests_are_counted(sim: SimSwarm, engine: SimEngine) -> None:
    """By the Engine API's name of them, those that fail as well."""
    sim.fail_next("ServiceInspect", 503)
    engine.service("web")
    assert sim.faults.asked == {"ServiceInspect": 2}


def test_events_come_twice(sim: SimSwarm, engine: SimEngine) -> None:
    """The second time later."""
    watch = engine.watch(engine.service("web").id)
    sim.events_doubled(4.0)
    sim.update_service("web", lambda spec: spec.with_label("a", "b"))
    begun = sim.now
    assert watch.wait(10.0)
    assert watch.wait(10.0)
    assert sim.now - begun == pytest.approx(4.0, abs=0.1)
    assert not watch.wait(10.0)


def test_events_come_in_another_order(sim: SimSwarm) -> None:
    """And none is lost."""
    engine = sim.engine()
    for name in ("a", "b", "c", "d"):
        sim.create_service(name, image="app:1")
    watches = {name: engine.watch(engine.service(name).id) for name in ("a", "b", "c", "d")}
    sim.events_shuffled(20.0)
    for name in watches:
        sim.update_service(name, lambda spec: spec.with_label("x", "y"))
    heard = []
    for _ in range(2000):
        heard += [name for name, watch in watches.items() if watch.wait(0.0)]
        sim.run(0.01)
    assert sorted(heard) == list(watches)
    assert heard != list(watches)


def test_old_events_come_again(sim: SimSwarm, engine: SimEngine) -> None:
    """Of what has long been over."""
    sim.run(100)
    watch = engine.watch(engine.service("web").id)
    assert not watch.wait(0.0)
    sim.replay_events()
    assert watch.wait(0.0)
