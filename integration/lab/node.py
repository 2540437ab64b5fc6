"""One node of a swarm under test, and every way to lose it."""

from __future__ import annotations

from contextlib import closing

import attrs
import docker
from docker.models.containers import Container
from docker.models.networks import Network

from integration.lab.clients import connected
from integration.lab.errors import LabError
from integration.lab.waiting import eventually

_DOCKERD = "/run/docker.pid"
_HOLD = "/run/hold"


@attrs.frozen(kw_only=True)
class Node:
    """
    A container that runs an engine.

    Attributes:
        name: Its host name in the swarm: "node1", ...
        address: Its address on the network that the nodes share.
        url: Where its API is published. Stays the same when the node is started again.
        socket_url: Its socket, which answers also while the node is cut off; None where the
            engine's file system is not the machine's.
        web_port: The port on 127.0.0.1 that leads to port 8000 of the node.
    """

    name: str
    address: str
    url: str
    socket_url: str | None
    web_port: int
    project: str
    _outer: docker.DockerClient = attrs.field(repr=False)

    def client(self, timeout: float = 20.0) -> closing[docker.DockerClient]:
        """A new client of the node's engine, for a `with`."""
        return connected(self.url, timeout)

    def kill(self) -> None:
        """Everything on the node ends at once, as in a power cut."""
        self._container().kill()

    def start(self) -> None:
        """Start a node that was killed or stopped, and wait until its engine answers."""
        self._container().start()
        self.wait()

    def stop(self) -> None:
        """Shut the node down in an orderly way."""
        self._container().stop(timeout=10)

    def pause(self) -> None:
        """The node hangs: connections stay open, and nothing answers."""
        self._container().pause()

    def unpause(self) -> None:
        """Let a node that was paused go on as if nothing had happened."""
        self._container().unpause()

    def disconnect(self) -> None:
        """Cut the node off from the other nodes and the registries; its tasks run on."""
        self._network().disconnect(self._container())

    def connect(self) -> None:
        """Plug the node in again, with the address it had."""
        self._network().connect(self._container(), ipv4_address=self.address)

    def kill_dockerd(self, *, restart: bool = True) -> None:
        """
        Kill the node's engine alone; the processes of its tasks live on.

        Args:
            restart: Let it be started again at once; otherwise `start_dockerd()` does.
        """
        if not restart:
            self.exec("touch", _HOLD)
        self.exec("sh", "-c", f"kill -9 $(cat {_DOCKERD})")

    def start_dockerd(self) -> None:
        """Start the engine again after `kill_dockerd(restart=False)`, and wait until it answers."""
        self.exec("rm", "-f", _HOLD)
        self.wait()

    def exec(self, *command: str) -> str:
        """Run a command on the node and return what it prints."""
        code, output = self._container().exec_run(list(command))
        assert isinstance(output, bytes)  # not a stream: none was asked for
        text = output.decode(errors="replace")
        if code:
            raise LabError(f"{' '.join(command)} on {self.name} exited with {code}: {text}")
        return text

    def wait(self) -> None:
        """Wait until the node's engine answers."""

        def answers() -> bool:
            with self.client(timeout=2) as client:
                return bool(client.ping())

        answers.__doc__ = f"the engine of {self.name} answers"
        eventually(answers, limit=60)

    def repair(self) -> bool:
        """Undo every kind of loss above; tells whether there was one."""
        container = self._container()
        match container.status:
            case "paused":
                container.unpause()
            case "running":
                held = container.exec_run(["test", "-e", _HOLD]).exit_code == 0
                if held:
                    self.start_dockerd()
                if not self._cut_off(container):
                    return held
            case _:
                container.start()
        if self._cut_off(container):
            self.connect()
        self.wait()
        return True

    def _cut_off(self, container: Container) -> bool:
        container.reload()
        return self._network().name not in container.attrs["NetworkSettings"]["Networks"]

    def _container(self) -> Container:
        return self._outer.containers.get(f"{self.project}-{self.name}-1")

    def _network(self) -> Network:
        return self._outer.networks.get(f"{self.project}_lab")
