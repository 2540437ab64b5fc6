"""The in-process engine door: looks, waits, and requests that go wrong."""

from __future__ import annotations

import pytest

from swarmroll.core.dirty import dirty
from swarmroll.core.snapshot import Depth, TaskState
from swarmroll.engine.port import Clock, Engine, Watch
from swarmroll.errors import Conflict, EngineUnavailable, ServiceNotFound
from swarmroll.sim import SimEngine, SimSwarm


@pytest.fixture
def engine(sim: SimSwarm) -> SimEngine:
    sim.create_service("web", image="app:1", replicas=3)
    return sim.engine()


def test_it_is_an_engine(sim: SimSwarm, engine: SimEngine) -> None:
    """The protocols are kept; the type checker sees to the rest."""
    door: Engine = engine
    clock: Clock = door.clock
    watch: Watch = door.watch("x")
    assert clock.monotonic() == sim.now
    assert watch.unbroken_since == sim.now
    watch.close()


def test_a_service_is_found_by_name_id_and_prefix(engine: SimEngine) -> None:
    """And by nothing else."""
    service = engine.service("web")
    assert engine.service(service.id) == service
    assert engine.service(service.id[:8]) == service
    with pytest.raises(ServiceNotFound, match="service nope not found"):
        engine.service("nope")


def test_each_depth_sees_more(engine: SimEngine) -> None:
    """Service, up-to-date tasks, all tasks, nodes."""
    service = engine.service("web")
    engine.update(service.id, service.version, service.spec.with_image("app:2"))
    engine.sim.run_until(lambda: any(t.image == "app:2" for t in engine.sim.tasks("web")))
    looks = [engine.look(service.id, depth) for depth in Depth]
    assert [len(look.tasks) for look in looks] == [0, 1, 4, 4]
    assert [look.up_to_date is None for look in looks] == [True, False, False, False]
    assert [len(look.nodes) for look in looks] == [0, 0, 0, 3]
    assert looks[1].up_to_date == frozenset(task.id for task in looks[1].tasks)


def test_a_deeper_look_asks_only_for_what_is_new(engine: SimEngine) -> None:
    """Requests are counted as the real engine door counts them."""
    service = engine.service("web")
    before = engine.requests
    shallow = engine.look(service.id, Depth.TARGET)
    assert engine.requests - before == 2
    engine.look(service.id, Depth.NODES, after=shallow)
    assert engine.requests - before == 4


def test_a_look_at_a_service_that_is_gone_has_none(sim: SimSwarm, engine: SimEngine) -> None:
    """That is an answer, no error."""
    service = engine.service("web")
    sim.remove_service("web")
    look = engine.look(service.id, Depth.FULL)
    assert (look.service, look.tasks, look.up_to_date) == (None, (), None)


def test_the_raw_document_has_the_keys_of_the_engine(sim: SimSwarm, engine: SimEngine) -> None:
    """As GET /services/{id} gives it, status and previous spec only where there are any."""
    raw = engine.service("web").raw
    assert set(raw) == {"ID", "Version", "CreatedAt", "UpdatedAt", "Spec", "Endpoint"}
    sim.update_service("web", image="app:2")
    sim.settle()
    service = engine.service("web")
    assert service.raw["Spec"] == service.spec.to_engine()
    assert {"UpdateStatus", "PreviousSpec"} <= set(service.raw)


def test_a_wait_ends_at_the_next_event_of_the_service(sim: SimSwarm, engine: SimEngine) -> None:
    """And at the end of the time when nothing is said."""
    service = engine.service("web")
    watch = engine.watch(service.id)
    sim.after(3, lambda: sim.update_service("web", image="app:2"))
    began = sim.now
    assert watch.wait(60)
    assert sim.now - began == pytest.approx(3)
    watch.wait(1)
    assert not watch.wait(0.5)


def test_events_of_another_service_wake_nobody(sim: SimSwarm, engine: SimEngine) -> None:
    """Each watch hears of its own."""
    sim.create_service("other", image="app:1")
    watch = engine.watch(engine.service("web").id)
    sim.after(1, lambda: sim.scale("other", 2))
    assert not watch.wait(10)


def test_without_events_only_the_time_ends_a_wait(sim: SimSwarm, engine: SimEngine) -> None:
    """And nothing is known to be unbroken."""
    watch = engine.watch(engine.service("web").id)
    sim.events_off()
    sim.update_service("web", image="app:2")
    assert not watch.wait(10)
    assert watch.unbroken_since is None
    sim.events_on()
    assert watch.unbroken_since == sim.now


def test_a_change_of_leader_breaks_what_was_unbroken(engine: SimEngine) -> None:
    """A new beginning from the new leader on."""
    sim = engine.sim
    watch = engine.watch(engine.service("web").id)
    sim.change_leader(election=5)
    sim.run(6)
    since = watch.unbroken_since
    assert since is not None
    assert since == pytest.approx(sim.now - 1, abs=0.1)


@pytest.mark.parametrize(
    ("kind", "written"),
    [
        ("reset-before-commit", False),
        ("reset-after-commit", True),
        ("timeout", False),
        ("timeout-after-commit", True),
        (500, False),
        (503, False),
    ],
)
def test_a_write_without_an_answer_may_have_been_carried_out(
    engine: SimEngine, kind: str | int, written: bool
) -> None:
    """It is sent once; only a look can tell."""
    service = engine.service("web")
    engine.sim.fail_next("ServiceUpdate", kind)
    requests = engine.requests
    with pytest.raises(EngineUnavailable):
        engine.update(service.id, service.version, service.spec.with_image("app:2"))
    assert engine.requests == requests + 1
    assert (engine.service("web").spec.image == "app:2") is written


def test_a_write_may_be_told_to_be_out_of_sequence(engine: SimEngine) -> None:
    """As if somebody else had been first."""
    service = engine.service("web")
    engine.sim.fail_next("ServiceUpdate", "out-of-sequence")
    with pytest.raises(Conflict, match="update out of sequence"):
        engine.update(service.id, service.version, service.spec.with_image("app:2"))
    assert engine.service("web").spec.image == "app:1"


def test_reads_are_repeated_until_they_succeed(engine: SimEngine) -> None:
    """Within the patience of the door."""
    engine.sim.fail_next("ServiceInspect", "500", times=3)
    requests = engine.requests
    assert engine.service("web").name == "web"
    assert engine.requests == requests + 4


def test_reads_that_never_succeed_are_given_up(engine: SimEngine) -> None:
    """After the patience is over."""
    engine.sim.fail_next("TaskList", "timeout", times=100)
    began = engine.sim.now
    with pytest.raises(EngineUnavailable, match="no answer within 30 s"):
        engine.tasks(engine.service("web").id)
    assert engine.sim.now - began < 120


def test_a_stale_read_repeats_the_answer_of_the_last_time(engine: SimEngine) -> None:
    """A partitioned old leader may still serve it."""
    service = engine.service("web")
    engine.update(service.id, service.version, service.spec.with_image("app:2"))
    engine.sim.fail_next("ServiceInspect", "stale-read")
    assert engine.service("web") == service
    assert engine.service("web").spec.image == "app:2"


@pytest.mark.parametrize(
    ("operation", "kind", "words"),
    [
        ("ServiceExplode", "500", "operation must be one of"),
        ("ServiceUpdate", "stale-read", "ServiceUpdate can fail as"),
        ("TaskList", "explosion", "TaskList can fail as"),
    ],
)
def test_impossible_faults_are_refused(
    sim: SimSwarm, operation: str, kind: str, words: str
) -> None:
    """With what would be possible."""
    with pytest.raises(ValueError, match=words):
        sim.fail_next(operation, kind)


def test_a_broken_event_stream_is_there_again_a_second_later(engine: SimEngine) -> None:
    """What happened meanwhile is lost."""
    sim = engine.sim
    watch = engine.watch(engine.service("web").id)
    sim.fail_next("SystemEvents", "reset-before-commit")
    broken_at = sim.now
    sim.scale("web", 4)
    assert engine.look(watch.service_id, Depth.SERVICE).unbroken_since is None
    assert not watch.wait(0.5)
    sim.run(1)
    assert watch.unbroken_since == broken_at + 1


def test_templates_of_tasks_compare_with_the_spec(engine: SimEngine) -> None:
    """The core's own rule agrees with what the engine lists as up to date."""
    service = engine.service("web")
    engine.update(service.id, service.version, service.spec.with_image("app:2"))
    engine.sim.run(3)
    look = engine.look(service.id, Depth.NODES)
    assert look.service is not None
    assert look.up_to_date is not None
    for task in look.tasks:
        node = look.nodes.get(task.node_id)
        clean = not dirty(task.template, None, look.service.spec, node)
        assert clean is (task.id in look.up_to_date)
    assert 0 < len(look.up_to_date) < len(look.tasks)


def test_what_a_failed_container_wrote_can_be_read(sim: SimSwarm) -> None:
    """As long as its node is there."""
    sim.image("bad:2", crashes_after=0.5, logs=("starting", "boom"))
    sim.create_service("web", image="bad:2", restart={"condition": "none"})
    sim.run(5)
    engine = sim.engine()
    (task,) = engine.tasks("web")
    assert task.state is TaskState.FAILED
    assert engine.logs(task, lines=1) == ("boom",)


def test_a_digest_is_what_the_registry_was_told_to_have(sim: SimSwarm) -> None:
    """None where nobody knows it."""
    digest = "sha256:" + "a" * 64
    sim.image("app:3", digest=digest)
    engine = sim.engine()
    assert engine.resolve("app:3", timeout=5).digest == digest
    assert engine.resolve("app:1", timeout=5).reason == "no registry knows app:1"
    sim.create_service("web", image=f"app:3@{digest}")
    assert [task.state for task in sim.tasks("web")] == [TaskState.RUNNING]
