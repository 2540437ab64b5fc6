"""A real swarm of the lab as a door: docker-py carries the requests, and adds nothing to them."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from typing import Any

from docker import APIClient

from integration.conformance.doors import Door, Refused
from integration.lab import Cluster


class RealDoor(Door):
    """
    One connection to the manager.

    Args:
        url: Of the manager's API.
        cluster: The nodes, for who cuts their power.
    """

    def __init__(self, url: str, cluster: Cluster | None = None) -> None:
        self._client = APIClient(url, version="auto", timeout=30)
        self._cluster = cluster

    def close(self) -> None:
        """Hang up."""
        self._client.close()

    def ask(
        self, method: str, path: str, query: dict[str, str] | None = None, body: Any = None
    ) -> Any:
        url = f"{self._client.base_url}/v{self._client.api_version}{path}"
        answer = self._client.request(method, url, params=query, json=body, timeout=30)
        text = answer.text
        if answer.status_code >= 400:
            with suppress(ValueError, KeyError):
                text = json.loads(text)["message"]
            raise Refused(answer.status_code, text)
        if path == "/events":
            return [json.loads(line) for line in text.splitlines() if line.strip()]
        return json.loads(text) if text.strip() else None

    def now(self) -> float:
        # The engine runs on this machine, and has its clock.
        return time.time()

    def pause(self, seconds: float) -> None:
        time.sleep(seconds)

    def cut_power(self, node: str) -> None:
        self._nodes.node(node).kill()

    def cut_off(self, node: str) -> None:
        self._nodes.node(node).disconnect()

    def repair(self, node: str) -> None:
        self._nodes.node(node).repair()

    def kill_container(self, node: str, container: str) -> None:
        with self._nodes.node(node).client() as client:
            client.api.kill(container)

    @property
    def _nodes(self) -> Cluster:
        assert self._cluster is not None, "this needs the nodes, not only the manager's address"
        return self._cluster
