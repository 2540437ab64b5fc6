"""What the driver needs of a swarm, real or simulated: the Engine API, time, and power cuts."""

from __future__ import annotations

from typing import Any, Protocol


class Refused(Exception):
    """
    The engine would not do it.

    Attributes:
        status: HTTP status.
        text: The engine's words.
    """

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"HTTP {status}: {text}")
        self.status = status
        self.text = text


class Door(Protocol):
    """The way to a swarm of three nodes, which scenarios call node1 (the manager) to node3."""

    def ask(
        self, method: str, path: str, query: dict[str, str] | None = None, body: Any = None
    ) -> Any:
        """
        One request of the Engine API; a stream is read to its end, and is a list.

        Raises:
            Refused: The engine answered so.
        """

    def now(self) -> float:
        """The engine's wall clock, seconds since the epoch."""

    def pause(self, seconds: float) -> None:
        """Let time pass."""

    def cut_power(self, node: str) -> None:
        """Everything on a node ends at once."""

    def cut_off(self, node: str) -> None:
        """A node cannot be reached any more; its containers go on."""

    def repair(self, node: str) -> None:
        """Undo both."""

    def kill_container(self, node: str, container: str) -> None:
        """Kill a container on a node."""
