"""A swarm of several nodes with its registries: started by Compose, repaired after tests."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

import attrs
import docker
from docker.errors import DockerException, NotFound
from docker.models.networks import Network
from pytest_docker.plugin import get_docker_services

from integration.lab import images
from integration.lab.errors import LabError, NotReachable
from integration.lab.host import Host
from integration.lab.node import Node
from integration.lab.progress import say
from integration.lab.waiting import eventually

_COMPOSE_FILE = Path(__file__).with_name("compose.yml")
_SECOND = 10**9

#: Where nodes pull from. The second one wants `LOGIN`.
REGISTRY = "registry:5000"
PRIVATE_REGISTRY = "private:5000"
LOGIN = {"username": "deployer", "password": "open sesame"}

#: On every node from the start, and in no registry.
LOCAL_IMAGE = "local/web:1"


@attrs.frozen(kw_only=True)
class Shape:
    """
    How many nodes a swarm has and of which kind.

    Attributes:
        heartbeat: Seconds; how soon a lost node is noticed. Not 1 with several managers: after a
            change of leader, healthy nodes would be declared down.
    """

    name: str
    managers: int
    workers: int
    heartbeat: int

    @property
    def nodes(self) -> list[str]:
        """Names of the nodes; the managers come first."""
        return [f"node{number}" for number in range(1, self.managers + self.workers + 1)]


THREE_NODES = Shape(name="three", managers=1, workers=2, heartbeat=2)
FIVE_NODES = Shape(name="five", managers=3, workers=2, heartbeat=5)
SHAPES = {len(shape.nodes): shape for shape in (THREE_NODES, FIVE_NODES)}


@attrs.frozen(kw_only=True)
class Cluster:
    """
    A running swarm.

    Attributes:
        registry_port: Where the registry without login is published on 127.0.0.1.
        private_port: The same for the registry with login.
    """

    shape: Shape
    nodes: dict[str, Node]
    registry_port: int
    private_port: int

    @property
    def url(self) -> str:
        """The address of the first manager's API."""
        return self.nodes["node1"].url

    def node(self, name: str) -> Node:
        """The node with that host name."""
        return self.nodes[name]

    @property
    def managers(self) -> list[Node]:
        """The nodes that were made managers."""
        return [self.nodes[name] for name in self.shape.nodes[: self.shape.managers]]

    def image(self, name: str) -> str:
        """The name by which the swarm pulls a test image such as "web:1"."""
        return f"{REGISTRY}/{name}"

    def private_image(self, name: str) -> str:
        """The same image in the registry that wants a login."""
        return f"{PRIVATE_REGISTRY}/{name}"

    @contextmanager
    def manager(self, timeout: float = 20.0) -> Iterator[docker.DockerClient]:
        """
        A client of a manager that answers and knows a leader.

        Raises:
            NotReachable: No manager does.
        """
        for node in self.managers:
            with ExitStack() as stack:
                try:
                    client = stack.enter_context(node.client(timeout=timeout))
                    client.nodes.list()
                except (DockerException, OSError):
                    continue
                yield client
                return
        raise NotReachable(f"no manager of {', '.join(self.nodes)} answers, or they have no leader")

    def leader(self) -> str:
        """The name of the node that leads the swarm."""
        with self.manager(timeout=2) as client:
            for node in client.nodes.list():
                if node.attrs.get("ManagerStatus", {}).get("Leader"):
                    return str(node.attrs["Description"]["Hostname"])
        raise NotReachable(f"none of {', '.join(self.nodes)} is the leader")

    def states(self) -> dict[str, str]:
        """Node name -> "ready", "down" or "unknown", as the swarm sees it."""
        with self.manager(timeout=2) as client:
            return {
                node.attrs["Description"]["Hostname"]: node.attrs["Status"]["State"]
                for node in client.nodes.list()
            }

    def ready(self) -> bool:
        """every node of the swarm is ready"""
        return self.states() == dict.fromkeys(self.nodes, "ready")

    def restore(self) -> None:
        """Make the swarm as it was at the start: nodes repaired and active, nothing running."""
        repaired = [name for name, node in self.nodes.items() if node.repair()]
        if repaired:
            say(f"repaired {', '.join(repaired)}")
        eventually(self.ready, limit=120)
        with self.manager() as client:
            for service in client.services.list():
                service.remove()
            for secret in client.secrets.list():
                secret.remove()
            for config in client.configs.list():
                config.remove()
            for node in client.nodes.list():
                spec = node.attrs["Spec"]
                if spec["Availability"] != "active" or spec["Labels"]:
                    node.update({**spec, "Availability": "active", "Labels": {}})
            for network in client.networks.list(filters={"driver": "overlay", "type": "custom"}):
                eventually(partial(_removed, network))


@contextmanager
def running(host: Host, shape: Shape) -> Iterator[Cluster]:
    """Start a swarm with the test images in its registries; remove every trace of it afterwards."""
    say(f"starting a swarm of {len(shape.nodes)} nodes, engine {host.engine}")
    project = f"{host.id}-{shape.name}-{host.engine}"
    ports = dict(zip(_port_names(), _free_ports(len(_port_names())), strict=True))
    with ExitStack() as stack:
        outer = stack.enter_context(host.connect())
        if host.sockets:
            for name in shape.nodes:
                Path(host.sockets, f"{shape.name}-{host.engine}", name).mkdir(
                    parents=True, exist_ok=True
                )
        settings = {
            "NODE_IMAGE": host.node_image,
            "REGISTRY_IMAGE": host.bases.registry,
            "SUBNET": _free_subnet(outer),
            "SOCKETS": f"{host.sockets}/{shape.name}-{host.engine}/" if host.sockets else "",
            **ports,
        }
        env_file = Path(host.directory, f"{project}.env")
        lines = (f"{name}={value}\n" for name, value in settings.items())
        env_file.write_text("".join(lines), encoding="utf-8")
        profile = "--profile five" if shape is FIVE_NODES else ""
        stack.enter_context(
            get_docker_services(
                f'{host.compose} --env-file "{env_file}" {profile}',
                str(_COMPOSE_FILE),
                project,
                ["up -d"],
                ["down -v -t 1"],
            )
        )
        nodes = {
            name: Node(
                name=name,
                address=f"{settings['SUBNET']}.{10 + number}",
                url=f"tcp://127.0.0.1:{ports[f'NODE{number}_PORT']}",
                socket_url=f"unix://{settings['SOCKETS']}{name}/docker.sock"
                if host.sockets
                else None,
                web_port=ports[f"NODE{number}_WEB_PORT"],
                project=project,
                outer=outer,
            )
            for number, name in enumerate(shape.nodes, start=1)
        }
        cluster = Cluster(
            shape=shape,
            nodes=nodes,
            registry_port=ports["REGISTRY_PORT"],
            private_port=ports["PRIVATE_PORT"],
        )
        _form(cluster)
        _fill_registries(host, cluster)
        _load_local_image(host, cluster)
        yield cluster


def _form(cluster: Cluster) -> None:
    for node in cluster.nodes.values():
        node.wait()
    first, *others = cluster.nodes.values()
    with first.client() as client:
        client.swarm.init(
            advertise_addr=first.address,
            listen_addr="0.0.0.0:2377",
            dispatcher_heartbeat_period=cluster.shape.heartbeat * _SECOND,
        )
        tokens = client.swarm.attrs["JoinTokens"]
    for node in others:
        with node.client() as client:
            client.swarm.join(
                [f"{first.address}:2377"],
                tokens["Manager" if node in cluster.managers else "Worker"],
                advertise_addr=node.address,
                listen_addr="0.0.0.0:2377",
            )
    eventually(cluster.ready, limit=60)


def _fill_registries(host: Host, cluster: Cluster) -> None:
    say("pushing the test images")
    for name in images.names():
        images.push(host, name, f"127.0.0.1:{cluster.registry_port}")
    for name in ("web:1", "web:2", "web:3"):
        images.push(host, name, f"127.0.0.1:{cluster.private_port}", login=LOGIN)


def _load_local_image(host: Host, cluster: Cluster) -> None:
    image = images.export(host, "web:1", LOCAL_IMAGE)
    for node in cluster.nodes.values():
        with node.client() as client:
            client.images.load(image)


def _removed(network: Network) -> bool:
    """Remove a network, which cannot be done while a task still uses it."""
    # It may be gone meanwhile: by the test, or at an earlier try that did not hear of it.
    with suppress(NotFound):
        network.remove()
    return True


def _port_names() -> list[str]:
    every = [name for shape in SHAPES.values() for name in shape.nodes]
    numbers = sorted({name.removeprefix("node") for name in every})
    nodes = [f"NODE{number}_{kind}" for number in numbers for kind in ("PORT", "WEB_PORT")]
    return ["REGISTRY_PORT", "PRIVATE_PORT", *nodes]


def _free_ports(count: int) -> list[int]:
    """Ports that nobody listens on. Chosen here, not by the engine: they must outlive a restart."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _free_subnet(outer: docker.DockerClient) -> str:
    """The first three numbers of a /24 that no network of the engine overlaps."""
    taken = [
        ipaddress.ip_network(config["Subnet"])
        for network in outer.networks.list()
        for config in network.attrs["IPAM"]["Config"] or ()
        if "Subnet" in config
    ]
    for third in range(256):
        subnet = ipaddress.ip_network(f"10.78.{third}.0/24")
        if not any(subnet.version == each.version and subnet.overlaps(each) for each in taken):
            return f"10.78.{third}"
    raise LabError("the engine has networks in all of 10.78.0.0/16")
