"""Good releases: they end completed, proven slot by slot, in the way that was asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import Any

import attrs
import pytest

from integration.lab import Cluster, Service, ServiceFactory, eventually
from swarmroll import Outcome, PlanError, PreflightError, Rolling, Swarm

Images = Callable[[str], str]

HOUR = 3600 * 10**9

HEALTHCHECK = {
    "Test": ["CMD", "healthy"],
    "Interval": 500_000_000,
    "Timeout": 2_000_000_000,
    "Retries": 4,
}


@pytest.mark.main_story
def test_good_release_completes(
    three_nodes: Cluster, swarm: Swarm, service: ServiceFactory, images: Images
) -> None:
    """Every slot runs the new image, and the report proves it slot by slot."""
    web = service(replicas=3)
    report = swarm.update("web", image=images("web:2"), reason="ticket 4711")
    assert report.outcome is Outcome.COMPLETED
    assert Counter({"web:2": 3}) == web.runs()
    running = {task["ID"]: task for task in web.running()}
    assert {1, 2, 3} == {proof.slot for proof in report.slots}
    for proof in report.slots:
        assert running[proof.task_id]["Slot"] == proof.slot
        assert running[proof.task_id]["NodeID"] == proof.node_id
        assert proof.node in three_nodes.nodes
        assert proof.proven_by in {"engine", "watch"}
    assert not report.failures
    assert not report.rolled_back_by
    assert report.reason == "ticket 4711"


def test_image_is_pinned_to_what_its_tag_means_now(
    three_nodes: Cluster, swarm: Swarm, service: ServiceFactory, images: Images
) -> None:
    """The registry tells the digest, and every node runs exactly that."""
    web = service(replicas=2)
    with three_nodes.manager() as client:
        digest = client.images.get_registry_data(images("web:2")).id
    report = swarm.update("web", image=images("web:2"), strategy=Rolling(parallelism=2))
    pinned = f"{images('web:2')}@{digest}"
    assert pinned == report.target.image
    assert [digest] * 2 == [proof.digest for proof in report.slots]
    assert len(web.running(pinned)) == 2


@attrs.frozen(kw_only=True)
class _Replacement:
    """How one slot got its new task; all moments by clocks of this one machine."""

    created: float
    running: float
    old_ended: float


def _replacements(web: Service, image: str) -> list[_Replacement]:
    tasks = web.tasks()
    new = [task for task in tasks if f"/{image}" in task["Spec"]["ContainerSpec"]["Image"]]
    old = {task["Slot"]: task for task in tasks if task not in new}
    return [
        _Replacement(
            created=_moment(task["CreatedAt"]),
            running=_moment(task["Status"]["Timestamp"]),
            old_ended=_moment(old[task["Slot"]]["Status"]["Timestamp"]),
        )
        for task in new
    ]


def _moment(text: str) -> float:
    whole, _, fraction = text.rstrip("Z").partition(".")
    return datetime.fromisoformat(f"{whole}+00:00").timestamp() + float(f"0.{fraction or 0}")


def _most_at_once(replacements: list[_Replacement], rest: float) -> int:
    """How many slots were in motion, or rested after it, at the same time at most."""
    return max(
        sum(other.created <= one.created < other.running + rest for other in replacements)
        for one in replacements
    )


def test_stop_first_waits_for_the_old_task(
    swarm: Swarm, service: ServiceFactory, images: Images
) -> None:
    """No slot ever has two tasks that run."""
    web = service(replicas=2)
    strategy = Rolling(order="stop-first", parallelism=2, monitor=1)
    swarm.update("web", image=images("web:2"), strategy=strategy)
    for slot in _replacements(web, "web:2"):
        assert slot.old_ended <= slot.running


@pytest.mark.main_story
def test_start_first_keeps_the_old_task_until_the_new_one_runs(
    swarm: Swarm, service: ServiceFactory, images: Images
) -> None:
    """No slot is ever without a task that is healthy."""
    web = service(replicas=2, container={"Healthcheck": HEALTHCHECK})
    strategy = Rolling(order="start-first", parallelism=1, monitor=1)
    report = swarm.update("web", image=images("web:2"), strategy=strategy)
    for slot in _replacements(web, "web:2"):
        assert slot.running <= slot.old_ended
    assert ["engine"] * 2 == [proof.health for proof in report.slots]


def test_slots_are_replaced_as_many_at_a_time_and_as_far_apart_as_asked(
    swarm: Swarm, service: ServiceFactory, images: Images
) -> None:
    """By the engine's own record of its tasks: two slots at a time, a second of rest after each."""
    web = service(replicas=4)
    strategy = Rolling(parallelism=2, delay="1s", monitor=1, order="start-first")
    swarm.update("web", image=images("web:2"), strategy=strategy)
    replacements = _replacements(web, "web:2")
    assert len(replacements) == 4
    assert _most_at_once(replacements, rest=1.0) == 2


def test_parallelism_can_be_a_share_of_the_slots(
    swarm: Swarm, service: ServiceFactory, images: Images
) -> None:
    """Half of four slots is two."""
    web = service(replicas=4)
    strategy = Rolling(parallelism="50%", delay=0.5, monitor=1, order="start-first")
    swarm.update("web", image=images("web:2"), strategy=strategy)
    assert web.declared()["UpdateConfig"]["Parallelism"] == 2
    assert _most_at_once(_replacements(web, "web:2"), rest=0.5) == 2


def test_unchanged_service_is_not_written(
    swarm: Swarm, service: ServiceFactory, images: Images
) -> None:
    """The same release again: no write, no restart, and the outcome says so."""
    web = service(replicas=2)
    swarm.update("web", image=images("web:2"), strategy=Rolling(parallelism=2))
    version, tasks = web.version(), web.running()
    report = swarm.update("web", image=images("web:2"))
    assert report.outcome is Outcome.UNCHANGED
    assert not report.plan.steps
    assert {1, 2} == {proof.slot for proof in report.slots}
    assert version == web.version()
    assert {task["ID"] for task in tasks} == {task["ID"] for task in web.running()}


def test_label_of_the_service_restarts_nothing(swarm: Swarm, service: ServiceFactory) -> None:
    """The plan says so beforehand, and the tasks prove it."""
    web = service(replicas=2)
    before = {task["ID"] for task in web.tasks()}
    plan = swarm.plan("web", lambda spec: spec.with_label("team", "web"))
    assert not plan.restarts
    report = swarm.start(plan).wait(60)
    assert report.outcome is Outcome.COMPLETED
    assert {"team": "web"} == web.declared()["Labels"]
    assert before == {task["ID"] for task in web.tasks()}


@pytest.mark.parametrize(("before", "after"), [(2, 3), (3, 2)], ids=["up", "down"])
def test_scale_and_image_change_together(
    swarm: Swarm, service: ServiceFactory, images: Images, before: int, after: int
) -> None:
    """In two writes, so that every slot of the new image is paced and watched."""
    web = service(replicas=before)
    report = swarm.update(
        "web",
        lambda spec: spec.with_replicas(after),
        image=images("web:2"),
        strategy=Rolling(parallelism=3, order="start-first"),
    )
    assert report.outcome is Outcome.COMPLETED
    assert len(report.plan.steps) == 2
    assert len(report.slots) == after
    eventually(lambda: Counter({"web:2": after}) == web.runs())


def test_service_without_replicas_can_be_updated(
    swarm: Swarm, service: ServiceFactory, images: Images
) -> None:
    """There is nothing to wait for, and the next scaling brings the new image."""
    web = service(replicas=0)
    report = swarm.update("web", image=images("web:2"))
    assert report.outcome is Outcome.COMPLETED
    assert not report.slots
    swarm.update("web", lambda spec: spec.with_replicas(1))
    assert Counter({"web:2": 1}) == web.runs()


def test_service_of_one_replica_can_be_updated(
    swarm: Swarm, service: ServiceFactory, images: Images
) -> None:
    """Start-first, so that it is never away."""
    web = service(replicas=1)
    report = swarm.update("web", image=images("web:2"), strategy=Rolling(order="start-first"))
    assert report.outcome is Outcome.COMPLETED
    assert Counter({"web:2": 1}) == web.runs()


@pytest.mark.main_story
def test_global_service_is_rolled_on_every_node(
    three_nodes: Cluster, swarm: Swarm, service: ServiceFactory, images: Images
) -> None:
    """The slots are the nodes, and the report calls them by name."""
    web = service(replicas=None)
    report = swarm.update("web", image=images("web:2"), strategy=Rolling(parallelism=3))
    assert report.outcome is Outcome.COMPLETED
    assert set(three_nodes.nodes) == {proof.node for proof in report.slots}
    assert Counter({"web:2": 3}) == web.runs()


def test_paused_node_of_a_global_service_is_not_waited_for(
    three_nodes: Cluster, swarm: Swarm, service: ServiceFactory, images: Images
) -> None:
    """The engine leaves it alone; the report says which node still runs the old image."""
    web = service(replicas=None)
    with three_nodes.manager() as client:
        node = client.nodes.list(filters={"name": "node3"})[0]
        node.update({**node.attrs["Spec"], "Availability": "pause"})
    report = swarm.update("web", image=images("web:2"), strategy=Rolling(parallelism=3))
    assert report.outcome is Outcome.COMPLETED
    assert {"node1", "node2"} == {proof.node for proof in report.slots}
    assert report.skipped == ("node3",)
    assert Counter({"web:2": 2, "web:1": 1}) == web.runs()


def test_jobs_are_refused(three_nodes: Cluster, swarm: Swarm, images: Images) -> None:
    """Any update would run the whole job again."""
    job = _create_job(three_nodes, images("web:1"))
    before = job.version()
    with pytest.raises(PlanError, match="migrate is a replicated-job"):
        swarm.update("migrate", image=images("web:2"))
    assert before == job.version()


def _create_job(cluster: Cluster, image: str) -> Service:
    with cluster.manager() as client:
        answer = client.api.create_service(
            {"ContainerSpec": {"Image": image, "Command": ["true"]}},
            name="migrate",
            mode={"ReplicatedJob": {"MaxConcurrent": 1, "TotalCompletions": 1}},
        )
    job = Service(id=answer["ID"], name="migrate", cluster=cluster)

    def done() -> bool:
        """the job has run"""
        return any(task["Status"]["State"] == "complete" for task in job.tasks())

    eventually(done)
    return job


def test_half_rolled_service_is_converged(
    swarm: Swarm, service: ServiceFactory, images: Images
) -> None:
    """Somebody's update stands paused in the middle: the same spec again finishes the job."""
    web = service(replicas=3, update={"Delay": HOUR, "Monitor": HOUR})
    _pause_after_one_slot(web, images("web:2"))
    with pytest.raises(PreflightError, match="stands paused"):
        swarm.update("web")
    strategy = Rolling(parallelism=3, delay=0, monitor=1)
    report = swarm.update("web", allow="update-paused", strategy=strategy)
    assert report.outcome is Outcome.COMPLETED
    assert len(report.plan.restarts) == 2
    assert Counter({"web:2": 3}) == web.runs()


def _pause_after_one_slot(web: Service, image: str) -> None:
    """Let the engine replace one slot, and take the end of its new task for a failure."""

    def to_new_image(spec: dict[str, Any]) -> None:
        spec["TaskTemplate"]["ContainerSpec"]["Image"] = image

    def paused() -> bool:
        """the engine has paused the update, and three tasks run"""
        status = web.inspect().get("UpdateStatus") or {}
        return status.get("State") == "paused" and len(web.running()) == 3

    web.update(to_new_image)
    (task,) = eventually(lambda: web.running(image))
    _kill(web.cluster, task)
    eventually(paused)


def test_slot_whose_restart_policy_gave_up_is_revived(
    swarm: Swarm, service: ServiceFactory
) -> None:
    """The same spec with a dead slot is not "unchanged"."""
    web = service(replicas=2, template={"RestartPolicy": {"Condition": "none"}})
    victim = web.running()[0]
    _kill(web.cluster, victim)
    eventually(lambda: len(web.running()) == 1)
    report = swarm.update("web", strategy=Rolling(parallelism=2))
    assert report.outcome is Outcome.COMPLETED
    assert len(web.running()) == 2


def _kill(cluster: Cluster, task: dict[str, Any]) -> None:
    for node in cluster.nodes.values():
        with node.client() as client:
            if client.info()["Swarm"]["NodeID"] == task["NodeID"]:
                client.containers.get(task["Status"]["ContainerStatus"]["ContainerID"]).kill()


RICH_CONTAINER: dict[str, Any] = {
    "Labels": {"tier": "front"},
    "Env": ["LOG=debug", "PASSWORD=geheim", "EMPTY=", "BARE"],
    "Args": ["serve"],
    "Hostname": "web-{{.Task.Slot}}",
    "Dir": "/tmp",
    "User": "0:0",
    "Groups": ["0"],
    "StopSignal": "SIGTERM",
    "Init": True,
    "ReadOnly": False,
    "TTY": False,
    "DNSConfig": {"Nameservers": ["127.0.0.1"], "Search": ["lab"], "Options": ["timeout:1"]},
    "Hosts": ["10.0.0.1 db"],
    "Sysctls": {"net.ipv4.ip_unprivileged_port_start": "80"},
    "CapabilityAdd": ["CAP_NET_ADMIN"],
    "CapabilityDrop": ["CAP_MKNOD"],
    "Ulimits": [{"Name": "nofile", "Soft": 512, "Hard": 1024}],
    "Healthcheck": HEALTHCHECK,
    "Mounts": [
        {"Type": "volume", "Source": "data", "Target": "/data", "VolumeOptions": {"NoCopy": True}},
        {"Type": "tmpfs", "Target": "/scratch", "TmpfsOptions": {"SizeBytes": 1048576}},
    ],
}
RICH_TEMPLATE: dict[str, Any] = {
    "Resources": {
        "Limits": {"NanoCPUs": 500_000_000, "MemoryBytes": 67_108_864, "Pids": 64},
        "Reservations": {"NanoCPUs": 1_000_000, "MemoryBytes": 8_388_608},
    },
    "RestartPolicy": {"Condition": "on-failure", "Delay": 0, "MaxAttempts": 5, "Window": 10**10},
    "Placement": {
        "Constraints": ["node.role != nobody"],
        "Preferences": [{"Spread": {"SpreadDescriptor": "node.id"}}],
        "MaxReplicas": 4,
    },
    "LogDriver": {"Name": "json-file", "Options": {"max-size": "1m"}},
}


@pytest.mark.main_story
def test_new_image_changes_nothing_else_of_a_rich_spec(
    three_nodes: Cluster, swarm: Swarm, service: ServiceFactory, images: Images
) -> None:
    """One leaf, our label, and the failure action that was asked for; nothing is lost."""
    web = service(
        replicas=2,
        container={**RICH_CONTAINER, **_files(three_nodes)},
        template=RICH_TEMPLATE,
        endpoint={
            "Mode": "dnsrr",
            "Ports": [{"TargetPort": 8080, "PublishedPort": 8000, "PublishMode": "host"}],
        },
        labels={"team": "web"},
        rollback={"FailureAction": "continue", "MaxFailureRatio": 0.25},
    )
    spec = swarm.service("web").spec
    before = web.inspect()["Spec"]
    assert before == spec.to_engine()
    swarm.update("web", image=images("web:2"), strategy=Rolling(parallelism=1))
    assert {
        "TaskTemplate.ContainerSpec.Image",
        "UpdateConfig.FailureAction",
        "Labels.swarmroll.rollout",
    } == _changed(before, web.inspect()["Spec"])


def _files(cluster: Cluster) -> dict[str, Any]:
    file = {"UID": "0", "GID": "0", "Mode": 0o444}
    with cluster.manager() as client:
        secret = client.api.create_secret("key", b"geheim")["ID"]
        config = client.api.create_config("settings", b"a = 1")["ID"]
    return {
        "Secrets": [{"SecretID": secret, "SecretName": "key", "File": {"Name": "key", **file}}],
        "Configs": [
            {"ConfigID": config, "ConfigName": "settings", "File": {"Name": "/settings", **file}}
        ],
    }


def test_minimal_spec_stays_minimal(three_nodes: Cluster, swarm: Swarm, images: Images) -> None:
    """What was left to the engine stays so: a default spelled out would restart every task."""
    with three_nodes.manager() as client:
        answer = client.api.create_service(
            {"ContainerSpec": {"Image": images("web:1")}},
            name="web",
            mode={"Replicated": {"Replicas": 1}},
        )
    web = Service(id=answer["ID"], name="web", cluster=three_nodes)
    eventually(web.running)
    before = web.inspect()["Spec"]
    swarm.update("web", image=images("web:2"), strategy=Rolling(monitor=1, order="start-first"))
    changed = _changed(before, web.inspect()["Spec"])
    assert {
        "TaskTemplate.ContainerSpec.Image",
        "Labels.swarmroll.rollout",
    } == {path for path in changed if not path.startswith("UpdateConfig.")}
    (task,) = web.running()
    swarm.update("web", lambda spec: spec.with_label("team", "web"))
    assert [task["ID"]] == [task["ID"] for task in web.running()]


def _changed(before: dict[str, Any], after: dict[str, Any]) -> set[str]:
    """Paths of the leaves that are not the same."""
    old, new = dict(_leaves(before)), dict(_leaves(after))
    return {path for path in old.keys() | new.keys() if old.get(path) != new.get(path)}


def _leaves(value: Any, path: str = "") -> list[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        return [
            leaf
            for key, each in value.items()
            for leaf in _leaves(each, f"{path}.{key}".strip("."))
        ]
    return [(path, value)] if value != {} else []
