"""Services for tests to begin with, made with Docker's own words and quick settings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, Protocol

import attrs
from docker.errors import NotFound

from integration.lab.cluster import Cluster
from integration.lab.waiting import eventually

_SECOND = 10**9

#: By this service label swarmroll knows its own writes.
ROLLOUT_LABEL = "swarmroll.rollout"

#: What a test wants of a service unless it says otherwise: everything at once, and a short watch.
_UPDATE = {"Parallelism": 1, "Delay": 0, "Monitor": 1 * _SECOND, "FailureAction": "pause"}


@attrs.frozen(kw_only=True)
class Service:
    """A service on a swarm under test; each answer is asked for anew."""

    id: str
    name: str
    cluster: Cluster

    def inspect(self) -> dict[str, Any]:
        """The service as the engine's API gives it."""
        with self.cluster.manager() as client:
            answer: dict[str, Any] = client.api.inspect_service(self.id)
        return answer

    def tasks(self) -> list[dict[str, Any]]:
        """The service's tasks, old ones too, as the engine's API gives them."""
        with self.cluster.manager() as client:
            answer: list[dict[str, Any]] = client.api.tasks(filters={"service": self.id})
        return answer

    def running(self, image: str | None = None) -> list[dict[str, Any]]:
        """The tasks that run and are meant to; only those of an image, if one is given."""
        return [
            task
            for task in self.tasks()
            if task["DesiredState"] == task["Status"]["State"] == "running"
            and image in (None, task["Spec"]["ContainerSpec"]["Image"])
        ]

    def wait(self) -> None:
        """Wait until all tasks run that should."""
        mode = self.inspect()["Spec"]["Mode"]
        nodes = len(self.cluster.nodes)
        wanted = mode["Replicated"]["Replicas"] if "Replicated" in mode else nodes

        def all_run() -> bool:
            return len(self.running()) == wanted

        all_run.__doc__ = f"{wanted} tasks of {self.name} run"
        eventually(all_run, limit=60)

    def runs(self) -> Counter[str]:
        """How many tasks run of each image, by its short name: {"web:1": 3}."""
        return Counter(
            short_name(task["Spec"]["ContainerSpec"]["Image"]) for task in self.running()
        )

    def version(self) -> int:
        """The version index: every write moves it, the engine's own too."""
        version: int = self.inspect()["Version"]["Index"]
        return version

    def declared(self) -> dict[str, Any]:
        """The spec without the label by which swarmroll knows its own writes."""
        spec: dict[str, Any] = self.inspect()["Spec"]
        labels = spec.get("Labels") or {}
        return {**spec, "Labels": {k: v for k, v in labels.items() if k != ROLLOUT_LABEL}}

    def update(self, change: Callable[[dict[str, Any]], None]) -> None:
        """Write the service as somebody else would who does not know of swarmroll."""

        def written() -> bool:
            """the engine takes the change"""
            with self.cluster.manager() as client:
                found = client.api.inspect_service(self.id)
                spec = found["Spec"]
                change(spec)
                client.api.update_service(
                    self.id,
                    found["Version"]["Index"],
                    task_template=spec["TaskTemplate"],
                    name=spec["Name"],
                    labels=spec["Labels"],
                    mode=spec["Mode"],
                    update_config=spec.get("UpdateConfig"),
                    rollback_config=spec.get("RollbackConfig"),
                    endpoint_spec=spec.get("EndpointSpec"),
                )
            return True

        # The engine moves the version too: then it is "out of sequence", and to be tried again.
        eventually(written)

    def remove(self) -> None:
        """Remove the service, if the test has not."""
        with self.cluster.manager() as client:
            try:
                client.api.remove_service(self.id)
            except NotFound:
                return


def short_name(image: str) -> str:
    """The name of a test image without registry and digest: "web:1"."""
    return image.partition("@")[0].rpartition("/")[2]


class ServiceFactory(Protocol):
    """What the `service` fixture gives: `create` without its first argument."""

    def __call__(self, name: str = ..., image: str = ..., **fields: Any) -> Service: ...


def create(
    cluster: Cluster,
    name: str = "web",
    image: str = "web:1",
    *,
    replicas: int | None = 3,
    container: dict[str, Any] | None = None,
    template: dict[str, Any] | None = None,
    update: dict[str, Any] | None = None,
    rollback: dict[str, Any] | None = None,
    endpoint: dict[str, Any] | None = None,
    labels: dict[str, str] | None = None,
    wait: bool = True,
) -> Service:
    """
    Create a service and wait until all its tasks run.

    Args:
        cluster: Where.
        name: The service's.
        image: A test image ("web:1"), or any name with a "/" in it as it is.
        replicas: None makes it global.
        container: Fields of the ContainerSpec, such as Env or Healthcheck, over the quick ones.
        template: Fields of the TaskTemplate besides ContainerSpec, such as Placement or Networks.
        update: Fields of the UpdateConfig.
        rollback: Fields of the RollbackConfig.
        endpoint: The EndpointSpec.
        labels: The service's.
        wait: Whether to wait until they run.
    """
    whole_name = image if "/" in image else cluster.image(image)
    mode = {"Global": {}} if replicas is None else {"Replicated": {"Replicas": replicas}}
    with cluster.manager() as client:
        answer = client.api.create_service(
            {
                "RestartPolicy": {"Condition": "any", "Delay": 0},
                **(template or {}),
                "ContainerSpec": {
                    "Image": whole_name,
                    "StopGracePeriod": 1 * _SECOND,
                    **(container or {}),
                },
            },
            name=name,
            labels=labels,
            mode=mode,
            update_config={**_UPDATE, **(update or {})},
            rollback_config={**_UPDATE, **(rollback or {})},
            endpoint_spec=endpoint,
        )
    service = Service(id=answer["ID"], name=name, cluster=cluster)
    if wait:
        service.wait()
    return service
