"""The previous spec, and rolling back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from swarmroll.core.snapshot import TaskState
from swarmroll.errors import Conflict, EngineError
from swarmroll.sim import SimSwarm

if TYPE_CHECKING:
    from tests.sim.conftest import Web


def test_a_fresh_service_has_no_previous_spec(sim: SimSwarm) -> None:
    """HTTP 400, in the engine's words."""
    service = sim.create_service("web", image="app:1")
    with pytest.raises(EngineError, match=f"service {service.id} does not have a previous") as e:
        sim.rollback_service("web")
    assert e.value.status == 400


def test_a_manual_rollback_brings_back_scale_and_labels_too(sim: SimSwarm, web: Web) -> None:
    """The whole spec is swapped."""
    sim.create_service("web", image="app:1", replicas=2)
    sim.update_service(
        "web",
        lambda s: {
            **s.with_image("app:2").to_engine(),
            "Mode": {"Replicated": {"Replicas": 4}},
            "Labels": {"team": "web"},
        },
    )
    sim.settle()
    sim.rollback_service("web")
    assert web.message() == "manually requested rollback"
    sim.settle()
    spec = sim.service("web").spec
    assert (spec.image, spec.replicas, dict(spec.labels)) == ("app:1", 2, {})
    assert web.images() == ["app:1", "app:1"]
    assert web.states()[-2:] == ["rollback_started", "rollback_completed"]


def test_rolling_back_twice_rolls_forward(sim: SimSwarm, web: Web) -> None:
    """And nothing in the states tells that it was forward."""
    sim.create_service("web", image="app:1")
    sim.update_service("web", image="app:2")
    sim.settle()
    sim.rollback_service("web")
    sim.settle()
    sim.rollback_service("web")
    sim.settle()
    assert web.images() == ["app:2"]
    assert web.states()[-2:] == ["rollback_started", "rollback_completed"]


def test_a_rollback_is_paced_by_the_rollback_config_of_the_restored_spec(sim: SimSwarm) -> None:
    """One that came with the bad spec has no effect."""
    sim.create_service("web", image="app:1", replicas=3, rollback={"parallelism": 0, "monitor": 1})
    sim.update_service(
        "web",
        lambda s: {
            **s.with_image("app:2").to_engine(),
            "RollbackConfig": {"Parallelism": 1, "Monitor": 20_000_000_000},
        },
    )
    sim.settle()
    began = sim.now
    sim.rollback_service("web")
    sim.settle()
    assert sim.now - began == pytest.approx(2.8, abs=0.3)


def test_a_rollback_with_nothing_to_do_completes_at_once(sim: SimSwarm, web: Web) -> None:
    """After an update that only changed labels."""
    sim.create_service("web", image="app:1")
    sim.update_service("web", lambda s: {**s.to_engine(), "Labels": {"a": "b"}})
    sim.settle()
    sim.rollback_service("web")
    sim.run(0.02)
    assert web.states()[-2:] == ["rollback_started", "rollback_completed"]


def test_dead_slots_are_all_brought_back_at_once_outside_the_rollback_config(
    sim: SimSwarm, web: Web
) -> None:
    """Slots that died for good do not wait for parallelism or delay."""
    sim.create_service(
        "web",
        image="app:1",
        replicas=3,
        update={"parallelism": 3, "failure_action": "pause"},
        rollback={"parallelism": 1, "delay": 60},
        restart={"condition": "none"},
    )
    sim.update_service("web", image="bad:1")
    sim.run(20)
    assert web.runnable() == []
    sim.rollback_service("web")
    sim.run(2)
    assert web.running("app:1") == 3


def test_a_pending_task_stalls_a_stop_first_rollback_for_a_minute(sim: SimSwarm, web: Web) -> None:
    """Nobody ever stops a task that has no node."""
    sim.create_service("web", image="app:1", replicas=2, restart={"delay": 0})

    def unplaceable(_: object) -> dict[str, object]:
        doc = sim.service("web").spec.with_image("app:2").to_engine()
        doc["TaskTemplate"]["Placement"] = {"Constraints": ["node.labels.disk == ssd"]}
        return doc

    sim.update_service("web", unplaceable)
    sim.run(5)
    began = sim.now
    sim.rollback_service("web")
    sim.run_until(lambda: web.running("app:1") == 2)
    assert sim.now - began == pytest.approx(60.6, abs=0.5)


def test_a_pending_task_does_not_stall_the_way_forward(sim: SimSwarm, web: Web) -> None:
    """The scheduler cleans up a pending task of an older spec."""
    sim.create_service("web", image="app:1", replicas=2)
    good = sim.service("web").spec

    def unplaceable(_: object) -> dict[str, object]:
        doc = good.with_image("app:2").to_engine()
        doc["TaskTemplate"]["Placement"] = {"Constraints": ["node.labels.disk == ssd"]}
        return doc

    sim.update_service("web", unplaceable)
    sim.run(5)
    began = sim.now
    sim.update_service("web", lambda _: good)
    sim.run_until(lambda: web.running("app:1") == 2)
    assert sim.now - began < 2


def test_a_failed_rollback_is_paused_and_says_update(sim: SimSwarm, web: Web) -> None:
    """The message says update, not rollback."""
    sim.create_service("web", image="app:1", replicas=2, update={"parallelism": 1})
    sim.update_service("web", image="app:2")
    sim.settle()
    sim.image("app:1", crashes_after=0.5)
    sim.rollback_service("web")
    sim.run(30)
    assert web.state() == "rollback_paused"
    assert web.message().startswith("update paused due to failure")


def test_a_failed_rollback_with_action_rollback_ends_completed(sim: SimSwarm, web: Web) -> None:
    """The engine pauses, forgets to stop, and then says completed."""
    sim.create_service(
        "web",
        image="app:1",
        rollback={"parallelism": 1, "failure_action": "rollback"},
    )
    sim.update_service("web", image="app:2")
    sim.settle()
    sim.image("app:1", crashes_after=0.5)
    sim.rollback_service("web")
    sim.run(30)
    assert web.states()[-3:] == ["rollback_started", "rollback_paused", "completed"]
    assert web.at("completed") - web.at("rollback_paused") < 0.05


def test_a_continued_rollback_is_completed_whatever_happens(sim: SimSwarm, web: Web) -> None:
    """Failure action continue looks at nothing."""
    sim.create_service(
        "web", image="app:1", rollback={"parallelism": 1, "failure_action": "continue"}
    )
    sim.update_service("web", image="app:2")
    sim.settle()
    sim.image("app:1", crashes_after=0.5)
    sim.rollback_service("web")
    sim.run(30)
    assert web.state() == "rollback_completed"


def test_untouched_tasks_survive_an_automatic_rollback(sim: SimSwarm, web: Web) -> None:
    """They are clean against the restored spec."""
    sim.create_service(
        "web", image="app:1", replicas=4, update={"failure_action": "rollback", "parallelism": 1}
    )
    before = {task.id for task in web.runnable()}
    sim.update_service("web", image="bad:1")
    sim.settle()
    assert len({task.id for task in web.runnable()} & before) >= 2
    assert web.images() == ["app:1"] * 4


def test_a_stale_version_is_refused_and_a_higher_one_too(sim: SimSwarm) -> None:
    """HTTP 500, update out of sequence."""
    service = sim.create_service("web", image="app:1")
    engine = sim.engine()
    for version in (service.version - 1, service.version + 1):
        with pytest.raises(Conflict, match="update out of sequence") as e:
            engine.update(service.id, version, service.spec)
        assert e.value.status == 500


def test_the_engine_moves_the_version_by_itself_after_a_write(sim: SimSwarm) -> None:
    """Creating allots the endpoint, updating marks the status."""
    service = sim.create_service("web", image="app:1", settle=0)
    sim.run(0.02)
    created = sim.service("web").version
    assert created > service.version
    sim.update_service("web", image="app:2")
    written = sim.service("web").version
    sim.run(0.02)
    assert sim.service("web").version > written


def test_a_secret_of_the_previous_spec_may_vanish_and_the_rollback_fails(
    sim: SimSwarm, web: Web
) -> None:
    """Restored tasks cannot start; replicas are lost."""
    old = sim.secret("old")
    sim.create_service("web", image="app:1", replicas=2)

    def with_secret(secret: str | None) -> None:
        doc = sim.service("web").spec.to_engine()
        wanted = [{"SecretID": secret, "SecretName": "old"}] if secret else []
        doc["TaskTemplate"]["ContainerSpec"]["Secrets"] = wanted
        sim.update_service("web", lambda _: doc)
        sim.settle()

    with_secret(old)
    with pytest.raises(EngineError, match="is in use"):
        sim.remove_secret("old")
    with_secret(None)
    sim.remove_secret("old")
    sim.rollback_service("web")
    sim.run(30)
    assert web.state() == "rollback_paused"
    assert any(f"secret {old} not found" in task.error for task in web.tasks())


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        ({"Name": "other"}, 501, "renaming services is not supported"),
        ({"Mode": {"Global": {}}}, 501, "service mode change is not allowed"),
        ({"UpdateConfig": {"MaxFailureRatio": 2}}, 400, "cannot be less than 0 or bigger than 1"),
        ({"UpdateConfig": {"FailureAction": "explode"}}, 400, "unrecognized update failure"),
        ({"TaskTemplate": {"ContainerSpec": {}}}, 400, "image reference must be provided"),
    ],
)
def test_what_the_engine_refuses_is_refused(
    sim: SimSwarm, change: dict[str, object], status: int, words: str
) -> None:
    """With its status and its words, and nothing is written."""
    service = sim.create_service("web", image="app:1")
    with pytest.raises(EngineError, match=words) as e:
        sim.update_service("web", lambda s: {**s.to_engine(), **change})
    assert e.value.status == status
    assert sim.service("web").version == service.version


def test_other_networks_at_the_top_of_a_spec_are_refused(sim: SimSwarm) -> None:
    """HTTP 501: they are to be moved into the task template first."""
    for name in ("one", "two"):
        sim.network(name)
    template = {"ContainerSpec": {"Image": "app:1"}}
    sim.create_service("web", spec={"TaskTemplate": template, "Networks": [{"Target": "one"}]})
    with pytest.raises(EngineError, match="networks must be migrated to TaskSpec") as e:
        sim.update_service("web", lambda s: {**s.to_engine(), "Networks": [{"Target": "two"}]})
    assert e.value.status == 501


def test_a_rollback_config_is_not_validated(sim: SimSwarm) -> None:
    """A ratio of 2 is accepted there."""
    made = sim.create_service("web", image="app:1", rollback={"max_failure_ratio": 2.0})
    assert made.spec.to_engine()["RollbackConfig"]["MaxFailureRatio"] == 2.0


def test_names_are_unique(sim: SimSwarm) -> None:
    """HTTP 409."""
    sim.create_service("web", image="app:1")
    with pytest.raises(EngineError, match="name conflicts with an existing object") as e:
        sim.create_service("web", image="app:1")
    assert e.value.status == 409


def test_a_published_port_belongs_to_one_service(sim: SimSwarm) -> None:
    """HTTP 400, naming the other one."""
    port = {"TargetPort": 80, "PublishedPort": 8080}
    sim.create_service("web", image="app:1", ports=[port])
    with pytest.raises(EngineError, match="already in use by service 'web'") as e:
        sim.create_service("other", image="app:1", ports=[port])
    assert e.value.status == 400


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"UpdateConfig": {"Delay": -1}}, "update-delay cannot be negative"),
        ({"UpdateConfig": {"Monitor": -1}}, "update-monitor cannot be negative"),
        ({"UpdateConfig": {"Order": "sideways"}}, "unrecognized update order sideways"),
        (
            {
                "TaskTemplate": {
                    "ContainerSpec": {"Image": "app:1"},
                    "Placement": {"Constraints": ["nonsense"]},
                }
            },
            "invalid constraint",
        ),
        (
            {
                "TaskTemplate": {
                    "ContainerSpec": {
                        "Image": "app:1",
                        "Secrets": [{"SecretID": "x", "SecretName": "key"}],
                    }
                }
            },
            "secret not found: key",
        ),
    ],
)
def test_what_cannot_be_created_is_refused(
    sim: SimSwarm, spec: dict[str, object], words: str
) -> None:
    """HTTP 400, in the engine's words."""
    whole = {"TaskTemplate": {"ContainerSpec": {"Image": "app:1"}}, **spec}
    with pytest.raises(EngineError, match=words) as e:
        sim.create_service("web", spec=whole)
    assert e.value.status == 400


def test_a_slot_brought_back_may_overlap_with_its_own_old_task(sim: SimSwarm, web: Web) -> None:
    """Stop-first or not: the original is still stopping while its successor runs."""
    sim.network("net")
    sim.create_service(
        "web",
        image="app:1",
        replicas=2,
        networks=["net"],
        update={"parallelism": 1, "failure_action": "rollback"},
        restart={"condition": "none"},
    )
    originals = {task.id for task in web.tasks()}
    sim.update_service("web", image="nowhere:1")
    sim.run(2)
    running = {t.id for t in web.tasks() if t.state is TaskState.RUNNING}
    assert originals < running
    assert len(running) == 3
    sim.settle()
    assert web.images() == ["app:1"] * 2


def test_a_pending_task_does_not_stall_a_start_first_rollback(sim: SimSwarm, web: Web) -> None:
    """There is nothing to wait for."""
    first = {"parallelism": 1, "order": "start-first"}
    sim.create_service("web", image="app:1", replicas=1, update=first, rollback=first)

    def unplaceable(_: object) -> dict[str, object]:
        doc = sim.service("web").spec.with_image("app:2").to_engine()
        doc["TaskTemplate"]["Placement"] = {"Constraints": ["node.labels.disk == ssd"]}
        return doc

    sim.update_service("web", unplaceable)
    sim.run(5)
    began = sim.now
    sim.rollback_service("web")
    sim.run_until(lambda: web.state() == "rollback_completed")
    assert sim.now - began < 10
    assert web.images() == ["app:1"]


def test_the_body_of_a_rollback_is_checked_and_otherwise_ignored(sim: SimSwarm) -> None:
    """It must be a spec that could be written; what it says does not matter."""
    sim.create_service("web", image="app:1")
    sim.update_service("web", image="app:2")
    sim.settle()
    service = sim.service("web")
    other = service.spec.with_image("app:9").with_replicas(5).to_engine()
    broken = {**other, "TaskTemplate": {"ContainerSpec": {}}}
    with pytest.raises(EngineError, match="image reference must be provided"):
        sim.control.update(service.id, service.version, broken, rollback="previous")
    sim.control.update(service.id, service.version, other, rollback="previous")
    spec = sim.service("web").spec
    assert (spec.image, spec.replicas) == ("app:1", 1)


def test_starts_and_ends_of_updates_and_rollbacks_are_told(sim: SimSwarm) -> None:
    """An automatic rollback keeps the update's start, a manual one has its own."""
    sim.create_service("web", image="app:1", update={"failure_action": "rollback"})

    def status() -> tuple[float | None, float | None, str]:
        found = sim.service("web").update_status
        assert found is not None
        return found.started_at, found.completed_at, found.message

    sim.update_service("web", image="app:2")
    sim.run(0.1)
    assert status()[1:] == (None, "update in progress")
    sim.settle()
    assert status()[2] == "update completed"
    sim.run(10)
    manual = sim.clock.wall
    sim.rollback_service("web")
    sim.settle()
    started, completed, message = status()
    assert started == pytest.approx(manual, abs=0.1)
    assert completed is not None
    assert message == "rollback completed"
    sim.run(10)
    update = sim.clock.wall
    sim.update_service("web", image="bad:1")
    sim.settle()
    assert status()[0] == pytest.approx(update, abs=0.1)


def test_a_rollback_that_goes_on_whatever_happens_leaves_it_at_that(
    sim: SimSwarm, web: Web
) -> None:
    """Of what has ended in a slot the last one heard of counts, and agents say things again."""
    sim.create_service(
        "web",
        image="app:2",
        restart={"condition": "none"},
        rollback={"failure_action": "continue", "monitor": 1},
        update={"monitor": 1},
    )
    sim.image("app:2", missing=True)
    sim.update_service("web", image="app:1")
    sim.settle()
    sim.rollback_service("web")
    sim.run(30)
    assert web.states()[-1] == "rollback_completed"
    assert [task.image for task in web.tasks()] == ["app:2", "app:1", "app:2"]
