"""Nodes that go and come, global services, jobs, leaders."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from swarmroll.core.snapshot import NodeState, TaskState
from swarmroll.errors import EngineError, EngineUnavailable
from swarmroll.sim import SimSwarm

if TYPE_CHECKING:
    from tests.sim.conftest import Web


def _host_of(sim: SimSwarm, node_id: str) -> str:
    return next(n.hostname for n in sim.store.nodes.values() if n.id == node_id)


def _run_until_down(sim: SimSwarm, hostname: str) -> None:
    sim.run_until(lambda: sim.node(hostname).state is NodeState.DOWN)


# Availability and loss


def test_a_paused_node_keeps_its_tasks_and_gets_no_new_ones(sim: SimSwarm, web: Web) -> None:
    """Rolled tasks go elsewhere."""
    sim.create_service("web", image="app:1", replicas=3)
    sim.node("node-2").pause()
    assert len(web.runnable()) == 3
    sim.update_service("web", image="app:2")
    sim.settle()
    assert sim.node("node-2").id not in {task.node_id for task in web.runnable()}


def test_a_drained_node_is_left_without_a_restart_delay(sim: SimSwarm, web: Web) -> None:
    """The new task starts as soon as the old one has stopped."""
    sim.create_service("web", image="app:1", replicas=3, restart={"delay": 60})
    sim.node("node-2").drain()
    sim.run(5)
    assert web.running("app:1") == 3
    assert sim.node("node-2").id not in {task.node_id for task in web.runnable()}


def test_a_lost_node_is_down_after_its_heartbeats(sim: SimSwarm) -> None:
    """8 to 16.5 s later, when nothing is left to chance."""
    times = []
    for seed in range(8):
        with SimSwarm(seed=seed) as one:
            one.node("node-3").down()
            _run_until_down(one, "node-3")
            times.append(one.now)
    assert min(times) >= 8
    assert max(times) <= 16.5
    sim.node("node-3").down()
    sim.run(7)
    assert sim.node("node-3").state is NodeState.READY


def test_tasks_of_a_lost_node_stay_running_in_the_list(sim: SimSwarm, web: Web) -> None:
    """Desired shutdown, observed running: frozen; a new task runs elsewhere."""
    sim.create_service("web", image="app:1", replicas=3)
    sim.node("node-3").down()
    sim.run(30)
    frozen = [t for t in web.tasks() if t.node_id == sim.node("node-3").id]
    assert [(t.state, t.desired) for t in frozen] == [(TaskState.RUNNING, TaskState.SHUTDOWN)]
    assert web.running("app:1") == 3


def test_a_lost_node_that_is_back_stops_what_was_replaced(sim: SimSwarm, web: Web) -> None:
    """Nothing moves back."""
    sim.create_service("web", image="app:1", replicas=3)
    node = sim.node("node-3")
    node.cut_off()
    sim.run(30)
    node.up()
    sim.settle()
    assert node.state is NodeState.READY
    assert [t.state for t in web.tasks() if t.node_id == node.id] == [TaskState.SHUTDOWN]
    assert web.running("app:1") == 3


def test_a_short_cut_goes_unnoticed(sim: SimSwarm, web: Web) -> None:
    """Its containers went on."""
    sim.create_service("web", image="app:1", replicas=3)
    before = web.tasks()
    sim.node("node-3").cut_off()
    sim.run(4)
    sim.node("node-3").up()
    sim.run(60)
    assert web.tasks() == before


def test_a_node_lost_while_a_slot_waits_for_it_ends_the_wait(sim: SimSwarm, web: Web) -> None:
    """As soon as it is down, not after 60 s."""
    sim.create_service("web", image="app:1", replicas=1, constraints=["node.role == worker"])
    home = web.tasks()[0].node_id
    sim.node(home).down()
    began = sim.now
    sim.update_service("web", image="app:2")
    sim.run_until(lambda: web.running("app:2") == 1)
    assert sim.now - began < 20


def test_a_replacement_after_a_node_loss_uses_the_current_spec(sim: SimSwarm, web: Web) -> None:
    """Also in the middle of a held update."""
    sim.create_service("web", image="app:1", replicas=3, update={"parallelism": 1, "delay": 86_400})
    sim.update_service("web", image="app:2")
    sim.run(10)
    old = next(
        t for t in web.runnable() if t.image == "app:1" and _host_of(sim, t.node_id) != "node-1"
    )
    sim.node(old.node_id).down()
    sim.run(40)
    assert web.running("app:2") >= 2


# Global services


def test_a_global_service_has_a_task_on_every_node(sim: SimSwarm, web: Web) -> None:
    """Its tasks have no slot number."""
    sim.create_service("web", image="app:1", mode="global")
    assert {task.node_id for task in web.tasks()} == set(sim.store.nodes)
    assert {task.slot for task in web.tasks()} == {None}


def test_paused_nodes_are_left_out_of_a_global_update(sim: SimSwarm, web: Web) -> None:
    """It completes without them, and they follow at once when activated."""
    sim.create_service("web", image="app:1", mode="global")
    sim.node("node-3").pause()
    sim.update_service("web", image="app:2")
    sim.settle()
    assert web.state() == "completed"
    assert sorted(web.images()) == ["app:1", "app:2", "app:2"]
    sim.node("node-3").activate()
    sim.settle()
    assert web.images() == ["app:2"] * 3
    assert web.states() == [None, "updating", "completed"]


def test_a_node_that_does_not_match_any_more_loses_its_global_task(sim: SimSwarm, web: Web) -> None:
    """At once, and nothing is counted."""
    sim.create_service("web", image="app:1", mode="global")

    def workers_only(_: object) -> dict[str, object]:
        doc = sim.service("web").spec.to_engine()
        doc["TaskTemplate"]["Placement"] = {"Constraints": ["node.role == worker"]}
        return doc

    sim.update_service("web", workers_only)
    sim.settle()
    assert {t.node_id for t in web.runnable()} == {sim.node(f"node-{n}").id for n in (2, 3)}


def test_a_global_task_that_does_not_fit_says_why_without_the_wrapper(
    sim: SimSwarm, web: Web
) -> None:
    """And blocks its worker for ever."""
    port = {"TargetPort": 80, "PublishedPort": 8080, "PublishMode": "host"}
    sim.create_service(
        "web",
        image="app:1",
        mode="global",
        ports=[port],
        update={"order": "start-first", "parallelism": 1},
    )
    sim.update_service("web", image="app:2")
    sim.run(600)
    assert web.state() == "updating"
    assert web.one(TaskState.PENDING).error == "host-mode port already in use on 1 node"


def test_a_drained_node_stops_its_global_task_for_good(sim: SimSwarm, web: Web) -> None:
    """And gets a new one when it is active again."""
    sim.create_service("web", image="app:1", mode="global")
    sim.node("node-2").drain()
    sim.settle()
    assert len(web.runnable()) == 2
    sim.node("node-2").activate()
    sim.settle()
    assert len(web.runnable()) == 3


# Jobs


def test_any_update_runs_a_job_again(sim: SimSwarm, web: Web) -> None:
    """Even a label; slots begin with 0."""
    sim.image("once:1", crashes_after=1.0, exit_code=0)
    sim.create_service("web", image="once:1", mode="replicated-job", replicas=2)
    sim.run(10)
    assert {(t.slot, t.state) for t in web.tasks()} == {
        (0, TaskState.COMPLETE),
        (1, TaskState.COMPLETE),
    }
    sim.update_service("web", lambda s: {**s.to_engine(), "Labels": {"a": "b"}})
    sim.run(10)
    assert sum(1 for t in web.tasks() if t.state is TaskState.COMPLETE) == 4
    assert sim.service("web").raw["JobStatus"] == {"JobIteration": {"Index": 1}}


def test_a_job_takes_no_update_config_and_its_rollback_never_ends(sim: SimSwarm, web: Web) -> None:
    """rollback_started, for ever."""
    with pytest.raises(EngineError, match="Jobs may not have an update config"):
        sim.create_service("job", image="app:1", mode="replicated-job", update={"parallelism": 1})
    sim.create_service("web", image="app:1", mode="replicated-job")
    sim.update_service("web", image="app:2")
    sim.rollback_service("web")
    sim.run(3600)
    assert web.state() == "rollback_started"


# Leaders


def _three(seed: int = 7) -> SimSwarm:
    sim = SimSwarm(nodes=5, managers=3, seed=seed)
    sim.image("app:2")
    return sim


def test_a_new_leader_goes_on_with_an_update_and_keeps_its_start() -> None:
    """Counts, timers and monitoring are lost."""
    with _three() as sim:
        sim.create_service("web", image="app:1", replicas=5, update={"parallelism": 1})
        sim.update_service("web", image="app:2")
        sim.run(3)
        before = sim.service("web").update_status
        sim.change_leader(election=12)
        assert sim.settle()
        after = sim.service("web").update_status
        assert before is not None
        assert after is not None
        assert after.state == "completed"
        assert after.started_at == before.started_at
        assert {t.image for t in sim.tasks("web") if t.runnable} == {"app:2"}


def test_a_new_leader_completes_at_once_what_is_still_monitored() -> None:
    """A monitor of 60 s is cut short."""
    with _three() as sim:
        sim.create_service(
            "web", image="app:1", replicas=1, update={"parallelism": 1, "monitor": 60}
        )
        sim.update_service("web", image="app:2")
        sim.run(5)
        sim.change_leader(election=12)
        sim.run(13)
        status = sim.service("web").update_status
        assert status is not None
        assert status.state == "completed"


def test_start_first_slots_in_flight_lose_their_old_task_to_a_new_leader() -> None:
    """Though the new one does not run yet."""
    with _three() as sim:
        sim.image("slow:1", starts_in=40.0)
        sim.create_service(
            "web", image="app:1", replicas=1, update={"parallelism": 1, "order": "start-first"}
        )
        sim.update_service("web", image="slow:1")
        sim.run(3)
        sim.change_leader(election=10)
        sim.run(12)
        assert [(t.image, t.state) for t in sim.tasks("web") if t.runnable] == [
            ("slow:1", TaskState.STARTING)
        ]


def test_a_paused_update_stays_paused_under_a_new_leader() -> None:
    """Paused is persisted."""
    with _three() as sim:
        sim.create_service("web", image="app:1", replicas=3)
        sim.update_service("web", image="nowhere:1")
        sim.run(10)
        sim.change_leader(election=10)
        sim.run(60)
        status = sim.service("web").update_status
        assert status is not None
        assert status.state == "paused"
        assert sum(1 for t in sim.tasks("web") if t.image == "app:1" and t.running) >= 1


def test_every_node_is_unknown_until_it_registers_with_the_new_leader() -> None:
    """Tasks there are left alone."""
    with _three() as sim:
        sim.create_service("web", image="app:1", replicas=5)
        before = {t.id for t in sim.tasks("web")}
        sim.change_leader(election=10)
        sim.run(10.01)
        assert {node.state for node in sim.store.nodes.values()} == {NodeState.UNKNOWN}
        sim.run(10)
        assert {node.state for node in sim.store.nodes.values()} == {NodeState.READY}
        assert {t.id for t in sim.tasks("web") if t.runnable} == before


def test_a_leader_that_lost_its_power_turns_down_under_the_new_one() -> None:
    """About half a minute after it."""
    with _three() as sim:
        sim.create_service("web", image="app:1", replicas=5)
        sim.node("node-1").down()
        sim.run(60)
        assert sim.node("node-1").state is NodeState.DOWN
        assert sum(1 for t in sim.tasks("web") if t.running) == 5


def test_requests_hang_without_a_leader_and_then_fail() -> None:
    """HTTP 500 after 20 s; a write is not sent again."""
    with _three() as sim:
        service = sim.create_service("web", image="app:1")
        engine = sim.engine()
        sim.change_leader(election=25)
        began = sim.now
        with pytest.raises(EngineUnavailable, match="does not have a leader") as e:
            engine.update(service.id, service.version, service.spec)
        assert e.value.status == 500
        assert sim.now - began == pytest.approx(20, abs=0.1)
        assert engine.service("web").name == "web"


def test_an_unhealthy_task_may_be_reported_running_after_a_leader_change() -> None:
    """RUNNING is no proof of health across a fail-over."""
    with _three() as sim:
        sim.image("never:1", healthcheck=True, healthy_after=None)
        sim.create_service("web", image="never:1", settle=0)
        sim.run(5)
        sim.change_leader(election=10, health_bypass=True)
        sim.run(30)
        assert [task.state for task in sim.tasks("web")] == [TaskState.RUNNING]


def test_the_only_manager_that_comes_back_leads_again() -> None:
    """Until then nothing is decided."""
    with SimSwarm(nodes=2, managers=1, seed=1) as sim:
        sim.create_service("web", image="app:1", constraints=["node.role == worker"])
        sim.node("node-1").down()
        sim.run(100)
        assert not any(node.leader for node in sim.store.nodes.values())
        sim.node("node-1").up()
        sim.run(60)
        assert any(node.leader for node in sim.store.nodes.values())
        assert [task.state for task in sim.tasks("web") if task.runnable] == [TaskState.RUNNING]


def test_a_leader_that_is_cut_off_is_replaced() -> None:
    """And its own tasks go on until the new leader gives it up."""
    with _three() as sim:
        sim.create_service("web", image="app:1", replicas=5)
        sim.node("node-1").cut_off()
        sim.run(90)
        assert sim.node("node-1").state is NodeState.DOWN
        assert sum(1 for t in sim.tasks("web") if t.running) == 5


def test_a_node_that_joins_gets_its_global_task_at_once(sim: SimSwarm, web: Web) -> None:
    """Outside the update, and without a word in its status."""
    sim.create_service(
        "web", image="app:1", mode="global", update={"parallelism": 1, "delay": 86_400}
    )
    sim.update_service("web", image="app:2")
    sim.run(10)
    node = sim.add_node()
    sim.run(2)
    assert [t.image for t in web.runnable() if t.node_id == node.id] == ["app:2"]
    assert web.states() == [None, "updating"]


def test_tasks_of_a_node_that_is_down_for_a_day_are_orphaned(sim: SimSwarm, web: Web) -> None:
    """Only then is their observed state given up."""
    sim.create_service("web", image="app:1", replicas=3)
    sim.node("node-3").down()
    sim.run(23 * 3600)
    assert not any(t.state is TaskState.ORPHANED for t in web.tasks())
    sim.run(2 * 3600)
    assert web.one(TaskState.ORPHANED).node_id == sim.node("node-3").id


def test_a_global_task_that_crashes_is_restarted_on_its_node(sim: SimSwarm, web: Web) -> None:
    """After the restart delay, from the current spec."""
    sim.image("app:1")
    sim.image("app:1", crashes_after=3.0, on_nodes=["node-2"])
    sim.create_service("web", image="app:1", mode="global", restart={"delay": 1}, settle=0)
    sim.run(6)
    on_two = [t for t in web.tasks() if t.node_id == sim.node("node-2").id]
    assert [t.state for t in on_two] == [TaskState.FAILED, TaskState.RUNNING]


def test_a_global_task_that_crashes_on_a_paused_node_stays_away(sim: SimSwarm, web: Web) -> None:
    """Until the node is active again."""
    sim.image("app:1")
    sim.image("app:1", crashes_after=3.0, on_nodes=["node-2"])
    sim.create_service("web", image="app:1", mode="global", restart={"delay": 1}, settle=0)
    sim.run(2)
    sim.node("node-2").pause()
    sim.run(20)
    assert len(web.runnable()) == 2


def test_a_global_job_runs_once_on_every_node(sim: SimSwarm, web: Web) -> None:
    """And is never rolled."""
    sim.image("once:1", crashes_after=1.0, exit_code=0)
    sim.create_service("web", image="once:1", mode="global-job")
    sim.run(10)
    assert [t.state for t in web.tasks()] == [TaskState.COMPLETE] * 3


def test_restart_delays_survive_a_change_of_leader() -> None:
    """A task in READY is released after the rest of its delay."""
    with _three() as sim:
        sim.create_service("web", image="app:1", replicas=1, restart={"delay": 40})
        sim.kill_container("web", 1)
        crashed = sim.now
        sim.run(5)
        sim.change_leader(election=10)
        sim.run_until(lambda: any(t.running for t in sim.tasks("web")))
        assert 39 < sim.now - crashed < 48


def test_attempts_are_counted_again_by_a_new_leader() -> None:
    """From the tasks that are remembered."""
    with _three() as sim:
        sim.image("bad:2", crashes_after=1.0)
        sim.create_service("web", image="bad:2", restart={"max_attempts": 2, "delay": 1}, settle=0)
        sim.run(30)
        sim.change_leader(election=10)
        sim.run(60)
        assert len(sim.tasks("web")) == 3


def test_nobody_leads_without_more_than_half_of_the_managers() -> None:
    """Two of three are lost: requests are refused, tasks go on, and one that is back is enough."""
    with _three() as sim:
        sim.create_service("web", image="app:1", replicas=3)
        sim.node("node-2").cut_off()
        sim.run(60)
        before = [task.id for task in sim.tasks("web") if task.running]
        assert len(before) == 3
        sim.node("node-3").cut_off()
        sim.run(60)
        engine = sim.engine(patience=0)
        with pytest.raises(EngineUnavailable, match="The swarm does not have a leader") as refused:
            engine.service("web")
        assert refused.value.status == 500
        assert [task.id for task in sim.tasks("web") if task.running] == before
        sim.node("node-3").up()
        sim.run(60)
        assert engine.service("web").name == "web"


def test_a_second_manager_does_not_help_when_one_of_two_is_lost() -> None:
    """More than half of two is two."""
    with SimSwarm(nodes=3, managers=2) as sim:
        sim.node("node-2").down()
        sim.run(60)
        assert not any(sim.node(f"node-{number}").leads for number in (1, 2, 3))


def test_tasks_of_a_node_that_is_removed_are_made_elsewhere(sim: SimSwarm, web: Web) -> None:
    """Its own are orphaned at once; its name is not given again."""
    sim.create_service("web", image="app:1", replicas=6, restart={"delay": 0})
    lost = {task.id for task in web.tasks() if task.node_id == sim.node("node-3").id}
    assert lost
    node = sim.node("node-3")
    node.remove(force=True)
    assert sim.settle()
    assert {task.id for task in web.tasks() if task.state is TaskState.ORPHANED} == lost
    assert web.running("app:1") == 6
    assert len(sim.connect().nodes()) == 2
    assert sim.add_node().hostname == "node-4"
    with pytest.raises(ValueError, match="node-3 was removed from the swarm"):
        node.up()


def test_a_global_task_goes_with_its_node(sim: SimSwarm, web: Web) -> None:
    """The others stay as they are."""
    sim.create_service("web", image="app:1", mode="global")
    sim.node("node-2").drain()
    sim.run(10)
    sim.node("node-2").remove(force=True)
    sim.run(30)
    assert web.running("app:1") == 2
    assert len(web.runnable()) == 2


def test_a_node_that_is_no_worker_or_not_down_is_not_removed(sim: SimSwarm) -> None:
    """As the engine refuses it."""
    with pytest.raises(EngineError, match="must be demoted to worker before removal"):
        sim.node("node-1").remove(force=True)
    with pytest.raises(EngineError, match="is not down and can't be removed"):
        sim.node("node-2").remove()


def test_a_job_tries_again_what_failed_and_not_what_is_complete(sim: SimSwarm, web: Web) -> None:
    """Until as many are complete as it wants, and no more at a time than it says."""
    sim.image("work:1", crashes_after=1.0, exit_code=0)
    sim.image("work:1", crashes_after=1.0, exit_code=1, on_slots=[1])
    spec = {
        "TaskTemplate": {
            "ContainerSpec": {"Image": "work:1"},
            "RestartPolicy": {"Condition": "any", "Delay": 0},
        },
        "Mode": {"ReplicatedJob": {"MaxConcurrent": 2, "TotalCompletions": 4}},
    }
    sim.create_service("web", spec=spec, settle=0)
    most = [0]

    def count() -> bool:
        living = (
            [task for task in web.tasks() if task.state < TaskState.COMPLETE]
            if sim.store.services
            else []
        )
        most[0] = max(most[0], len(living))
        return False

    sim.at(count, lambda: None)
    sim.run(20)
    done = {task.slot for task in web.tasks() if task.state is TaskState.COMPLETE}
    assert done == {0, 2, 3}
    assert len([task for task in web.tasks() if task.state is TaskState.FAILED]) > 3
    sim.image("work:1", crashes_after=1.0, exit_code=0)
    sim.run(20)
    complete = [task.slot for task in web.tasks() if task.state is TaskState.COMPLETE]
    assert sorted(slot or 0 for slot in complete) == [0, 1, 2, 3]
    wanted = {task.desired for task in web.tasks() if task.state is TaskState.COMPLETE}
    assert wanted == {TaskState.COMPLETE}
    assert most[0] == 2


def test_a_job_that_must_not_be_restarted_is_not(sim: SimSwarm, web: Web) -> None:
    """Restart condition none."""
    sim.create_service(
        "web", image="bad:1", mode="replicated-job", restart={"condition": "none"}, settle=0
    )
    sim.run(60)
    assert [task.state for task in web.tasks()] == [TaskState.FAILED]
