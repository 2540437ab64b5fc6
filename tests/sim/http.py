"""A bare HTTP client, to see exactly what the served door sends."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

from swarmroll.sim import SimSwarm


class Got(NamedTuple):
    status: int
    body: bytes
    headers: dict[str, str]

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def message(self) -> str:
        """The engine's words in an error."""
        return str(self.json["message"])


class Http:
    """One request a connection, by TCP, unversioned unless told otherwise."""

    def __init__(self, sim: SimSwarm, version: str | None = None) -> None:
        self.sim = sim
        self._prefix = "" if version is None else f"/v{version}"
        address = urlsplit(sim.tcp_url)
        assert address.hostname is not None
        assert address.port is not None
        self.address = (address.hostname, address.port)

    def open(self, seconds: float = 10.0) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(*self.address, timeout=seconds)

    def ask(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        raw: bytes | None = None,
        headers: dict[str, str] | None = None,
        seconds: float = 10.0,
        **query: Any,
    ) -> Got:
        words = {
            key: json.dumps(value) if isinstance(value, dict) else value
            for key, value in query.items()
        }
        url = self._prefix + path + (f"?{urlencode(words)}" if words else "")
        sent = {"Content-Type": "application/json", **(headers or {})}
        connection = self.open(seconds)
        try:
            content = raw if body is None else json.dumps(body).encode()
            connection.request(method, url, body=content, headers=sent)
            response = connection.getresponse()
            return Got(response.status, response.read(), dict(response.headers))
        finally:
            connection.close()

    def get(self, path: str, **query: Any) -> Any:
        """The document that a GET answers."""
        got = self.ask("GET", path, **query)
        assert got.status == 200, got
        return got.json

    def post(self, path: str, body: Any = None, **query: Any) -> Got:
        return self.ask("POST", path, body=body, **query)

    def delete(self, path: str) -> Got:
        return self.ask("DELETE", path)

    def events(self, seconds: float = 10.0, **query: Any) -> Events:
        return Events(self, seconds, query)


class Events:
    """An event stream; open when this returns."""

    def __init__(self, client: Http, seconds: float, query: dict[str, Any]) -> None:
        words = {k: json.dumps(v) if isinstance(v, dict) else v for k, v in query.items()}
        self._connection = client.open(seconds)
        try:
            self._connection.request("GET", f"/events?{urlencode(words)}")
            self.response = self._connection.getresponse()
        except BaseException:
            self._connection.close()
            raise
        assert self.response.status == 200

    def __iter__(self) -> Iterator[dict[str, Any]]:
        while line := self.response.readline():
            yield json.loads(line)

    def next(self) -> dict[str, Any]:
        return next(iter(self))

    def __enter__(self) -> Events:
        return self

    def __exit__(self, *exc: object) -> None:
        self.response.close()
        self._connection.close()
