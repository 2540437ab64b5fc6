"""docker-py on the simulated swarm: its high-level and low-level calls, by socket and by TCP."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import docker
import pytest
from docker.errors import APIError, NotFound
from docker.types import EndpointSpec, RestartPolicy, ServiceMode, TaskTemplate, UpdateConfig

from swarmroll.sim import SimSwarm

# docker-py's stubs want texts here, its code numbers.
PORTS: Any = {8080: 80}


@pytest.fixture(params=["unix", "tcp"])
def client(served: SimSwarm, request: pytest.FixtureRequest) -> Iterator[docker.DockerClient]:
    url = served.url if request.param == "unix" else served.tcp_url
    found = docker.DockerClient(url)
    yield found
    found.close()


@pytest.fixture
def low(client: docker.DockerClient) -> Any:
    """The low-level client, whose stubs know little."""
    return client.api


def settled(sim: SimSwarm, service: Any) -> Any:
    sim.settle()
    service.reload()
    return service


def images(service: Any) -> list[str]:
    return sorted(
        task["Spec"]["ContainerSpec"]["Image"]
        for task in service.tasks({"desired-state": "running"})
    )


def test_it_negotiates_the_newest_version(client: docker.DockerClient) -> None:
    """None needs to be named."""
    assert client.api.api_version == "1.51"
    assert client.ping() is True
    assert client.version()["ApiVersion"] == "1.51"
    assert client.info()["Swarm"]["LocalNodeState"] == "active"


def test_each_older_version_works(served: SimSwarm) -> None:
    """As a client that was pinned to one would ask."""
    served.create_service("web", image="app:1")
    for minor in range(41, 52):
        client = docker.DockerClient(served.url, version=f"1.{minor}")
        assert client.services.get("web").name == "web"
        client.close()


def test_a_service_lives(served: SimSwarm, client: docker.DockerClient) -> None:
    """Created, updated, scaled, forced, removed: by the high-level calls."""
    service = client.services.create(
        "app:1",
        name="web",
        env=["A=1"],
        labels={"team": "web"},
        mode=ServiceMode("replicated", replicas=2),
        update_config=UpdateConfig(parallelism=1, failure_action="rollback", monitor=10**9),
        restart_policy=RestartPolicy("any", delay=10**9),
        endpoint_spec=EndpointSpec(ports=PORTS),
    )
    settled(served, service)
    assert images(service) == ["app:1"] * 2
    service.update(image="app:2")
    settled(served, service)
    assert images(service) == ["app:2"] * 2
    assert service.attrs["UpdateStatus"]["State"] == "completed"
    assert service.attrs["Spec"]["TaskTemplate"]["ContainerSpec"]["Env"] == ["A=1"]
    assert service.scale(3) == {"Warnings": None}
    settled(served, service)
    assert len(images(service)) == 3
    service.force_update()
    settled(served, service)
    assert service.attrs["Spec"]["TaskTemplate"]["ForceUpdate"] >= 1
    assert [s.name for s in client.services.list(filters={"name": "we"})] == ["web"]
    service.remove()
    with pytest.raises(NotFound):
        client.services.get("web")


def test_a_bad_release_is_rolled_back(served: SimSwarm, client: docker.DockerClient) -> None:
    """By the engine itself, as the service says."""
    service = client.services.create(
        "app:1",
        name="web",
        update_config=UpdateConfig(parallelism=1, failure_action="rollback", monitor=5 * 10**9),
    )
    settled(served, service)
    service.update(image="bad:1")
    settled(served, service)
    assert service.attrs["UpdateStatus"]["State"] == "rollback_completed"
    assert images(service) == ["app:1"]


def test_scaling_a_plain_service_rolls_its_tasks(
    served: SimSwarm, client: docker.DockerClient
) -> None:
    """docker-py writes the engine's defaults into the spec: its well-known trap."""
    service = client.services.create("app:1", name="web")
    settled(served, service)
    (before,) = (task["ID"] for task in service.tasks({"desired-state": "running"}))
    service.scale(2)
    settled(served, service)
    assert before not in {task["ID"] for task in service.tasks({"desired-state": "running"})}
    assert service.attrs["Spec"]["UpdateConfig"]["Monitor"] == 5 * 10**9


def test_the_low_level_calls(served: SimSwarm, low: Any) -> None:
    """Whole specs and version indexes; a stale one is HTTP 500."""
    template: Any = TaskTemplate({"Image": "app:1"})  # type: ignore[arg-type] # any document will do
    key = low.create_service(template, name="web", mode={"Replicated": {"Replicas": 2}})["ID"]
    served.settle()
    found = low.inspect_service("web")
    assert found["ID"] == key
    assert len(low.tasks({"service": "web", "desired-state": "running"})) == 2
    spec = found["Spec"]
    template = {**spec["TaskTemplate"], "ContainerSpec": {"Image": "app:2"}}
    index = found["Version"]["Index"]
    low.update_service(key, index, template, name="web", mode=spec["Mode"])
    with pytest.raises(APIError, match="update out of sequence") as e:
        low.update_service(key, index, template, name="web", mode=spec["Mode"])
    assert e.value.status_code == 500
    served.settle()
    (listed,) = low.services(filters={"id": key[:6]})
    assert listed["UpdateStatus"]["State"] == "completed"
    task = low.tasks({"service": "web"})[0]
    assert low.inspect_task(task["ID"])["ServiceID"] == key
    assert low.remove_service("web") is True


def test_a_rollback_by_raw_post(served: SimSwarm, low: Any) -> None:
    """docker-py has no word for it."""
    served.create_service("web", image="app:1")
    served.update_service("web", image="app:2")
    served.settle()
    found = low.inspect_service("web")
    query = {"version": found["Version"]["Index"], "rollback": "previous"}
    low.post(f"{low.base_url}/services/web/update", json=found["Spec"], params=query)
    served.settle()
    assert low.inspect_service("web")["UpdateStatus"]["State"] == "rollback_completed"


def test_what_the_engine_refuses_is_an_error(client: docker.DockerClient) -> None:
    """With its status and words."""
    client.services.create("app:1", name="web")
    with pytest.raises(APIError, match="name conflicts with an existing object") as e:
        client.services.create("app:1", name="web")
    assert e.value.status_code == 409
    with pytest.raises(NotFound, match="service nope not found"):
        client.services.get("nope")
    with pytest.raises(NotFound, match="service nope not found"):
        client.api.tasks({"service": "nope"})


def test_nodes(served: SimSwarm, client: docker.DockerClient) -> None:
    """Listed, filtered, and updated by whole specs."""
    assert [node.attrs["Description"]["Hostname"] for node in client.nodes.list()] == [
        "node-1",
        "node-2",
        "node-3",
    ]
    (manager,) = client.nodes.list(filters={"role": "manager"})
    assert manager.attrs["ManagerStatus"]["Leader"] is True
    worker = client.nodes.get("node-2")
    worker.update({"Role": "worker", "Availability": "drain", "Labels": {"disk": "ssd"}})
    worker.reload()
    assert worker.attrs["Spec"]["Availability"] == "drain"
    assert client.swarm.attrs["JoinTokens"]
    assert served.node("node-2").state == "ready"


def test_configs_and_secrets(low: Any, client: docker.DockerClient) -> None:
    """Created once, listed, used and removed."""
    config: Any = client.configs.create(name="settings", data=b"a=1", labels={"team": "web"})
    secret = low.create_secret("key", b"hush", labels={})["ID"]
    with pytest.raises(APIError, match="config settings already exists") as e:
        client.configs.create(name="settings", data=b"a=2")
    assert e.value.status_code == 409
    assert client.configs.get(config.id).name == "settings"
    assert [found.name for found in client.configs.list(filters={"name": "set"})] == ["settings"]
    assert "Data" not in low.inspect_secret(secret)["Spec"]
    container = docker.types.ContainerSpec(
        "app:1",
        configs=[docker.types.ConfigReference(config.id, "settings")],
        secrets=[docker.types.SecretReference(secret, "key")],
    )
    low.create_service(TaskTemplate(container), name="web")
    with pytest.raises(APIError, match="is in use by the following service: web"):
        low.remove_secret(secret)
    low.remove_service("web")
    assert low.remove_secret(secret) is True
    assert client.configs.get(config.id).remove() is True


def test_networks(served: SimSwarm, client: docker.DockerClient) -> None:
    """An overlay network, and a service on it."""
    network = client.networks.create("net", driver="overlay", labels={"team": "web"})
    assert client.networks.get("net").id == network.id
    assert [found.name for found in client.networks.list(names=["net"])] == ["net"]
    service = client.services.create("app:1", name="web", networks=["net"])
    settled(served, service)
    assert service.attrs["Spec"]["TaskTemplate"]["Networks"] == [{"Target": network.id}]
    with pytest.raises(APIError, match="in use by service"):
        network.remove()


def test_events(served: SimSwarm, client: docker.DockerClient) -> None:
    """Decoded one by one, as they come."""
    stream = client.events(decode=True, filters={"type": "service"})
    seen: list[dict[str, Any]] = []

    def read() -> None:
        for event in stream:
            seen.append(event)
            if len(seen) == 2:
                return

    reader = threading.Thread(target=read)
    reader.start()
    assert served.wait_until(lambda: served.server.followed, 5)
    client.services.create("app:1", name="web")
    reader.join(10)
    stream.close()
    assert [(event["Type"], event["Action"]) for event in seen] == [
        ("service", "create"),
        ("service", "update"),
    ]
    assert seen[0]["Actor"]["Attributes"] == {"name": "web"}


def test_logs(served: SimSwarm, client: docker.DockerClient) -> None:
    """Demultiplexed by docker-py."""
    service = client.services.create("app:1", name="web")
    settled(served, service)
    assert b"".join(service.logs(stdout=True)) == b"one\ntwo\nthree\n"
    assert b"".join(service.logs(stdout=True, tail=1)) == b"three\n"


def test_digests(client: docker.DockerClient) -> None:
    """What a client pins by itself."""
    found = client.images.get_registry_data("app:2")
    assert found.id == f"sha256:{'2' * 64}"
    with pytest.raises(NotFound):
        client.images.get_registry_data("unknown:1")


def test_containers_of_this_node(served: SimSwarm, client: docker.DockerClient) -> None:
    """Enough for evidence."""
    service = client.services.create("app:1", name="web", mode=ServiceMode("global"))
    settled(served, service)
    (container,) = client.containers.list()
    assert container.labels["com.docker.swarm.service.name"] == "web"
    assert container.attrs["State"]["Running"] is True
    assert container.logs() == b"one\ntwo\nthree\n"
