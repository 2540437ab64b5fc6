"""Services, as the managers store them."""

from __future__ import annotations

from typing import Any

from swarmroll.core.snapshot import Service, UpdateState, UpdateStatus
from swarmroll.core.spec import ServiceSpec
from swarmroll.sim.specs import Doc, StoredSpec
from swarmroll.sim.stamps import stamp


class SimService:
    """
    A service.

    Attributes:
        spec: The current spec, with its spec version.
        previous: The previous spec, one level deep.
        status: What the updater says; None when absent.
        version: Version index, from the cluster-wide counter.
        jobs: Job iteration, for services that are jobs.
        given_ports: Published ports that the allocator chose, for ports that name none.
        states: Every update state that it has had, with its time; None where absent.
    """

    __slots__ = (
        "_raw",
        "_value",
        "created_at",
        "given_ports",
        "id",
        "jobs",
        "previous",
        "spec",
        "states",
        "status",
        "updated_at",
        "version",
    )

    def __init__(self, *, service_id: str, spec: StoredSpec, at: float) -> None:
        self.id = service_id
        self.spec = spec
        self.previous: StoredSpec | None = None
        self.status: UpdateStatus | None = None
        self.version = 0
        self.jobs = 0
        self.given_ports: tuple[int, ...] = ()
        self.states: list[tuple[float, UpdateState | None]] = []
        self.created_at = at
        self.updated_at = at
        self._raw: dict[str, Any] | None = None
        self._value: Service | None = None

    @property
    def name(self) -> str:
        """Its name; a service is never renamed."""
        return self.spec.name

    def touched(self, version: int, at: float, now: float) -> None:
        """Take over a new version index; both times are now, by the wall and by the clock."""
        self.version = version
        self.updated_at = at
        state = None if self.status is None else self.status.state
        if not self.states or self.states[-1][1] is not state:
            self.states.append((now, state))
        self._raw = None
        self._value = None

    def document(self) -> dict[str, Any]:
        """The service as ``GET /services/{id}`` gives it."""
        if self._raw is None:
            raw: dict[str, Any] = {
                "ID": self.id,
                "Version": {"Index": self.version},
                "CreatedAt": stamp(self.created_at),
                "UpdatedAt": stamp(self.updated_at),
                "Spec": self.spec.doc,
                "Endpoint": self._endpoint(),
            }
            if self.previous is not None:
                raw["PreviousSpec"] = self.previous.doc
            if self.status is not None:
                raw["UpdateStatus"] = _status(self.status)
            if self.spec.job:
                raw["JobStatus"] = {"JobIteration": {"Index": self.jobs} if self.jobs else {}}
            self._raw = raw
        return self._raw

    def _endpoint(self) -> Doc:
        if self.spec.endpoint is None:
            return {"Spec": {}}
        endpoint: dict[str, Any] = {"Spec": self.spec.endpoint}
        if ports := self.spec.endpoint.get("Ports"):
            given = iter(self.given_ports)
            endpoint["Ports"] = [
                port if not needs_port(port) else {**port, "PublishedPort": next(given, 0)}
                for port in ports
            ]
        return endpoint

    def seen(self) -> Service:
        """As the core sees it; built once for each change."""
        if self._value is None:
            self._value = Service(
                id=self.id,
                name=self.name,
                version=self.version,
                spec=read(self.spec),
                previous_spec=None if self.previous is None else read(self.previous),
                update_status=self.status,
                created_at=self.created_at,
                updated_at=self.updated_at,
                raw=self.document(),
            )
        return self._value


def read(spec: StoredSpec) -> ServiceSpec:
    """The core's value of a stored spec; made once."""
    if not isinstance(spec.cache, ServiceSpec):
        spec.cache = ServiceSpec.from_engine(spec.doc)
    assert isinstance(spec.cache, ServiceSpec)
    return spec.cache


def _status(status: UpdateStatus) -> dict[str, str]:
    doc = {"State": status.state.value, "Message": status.message}
    if status.started_at is not None:
        doc["StartedAt"] = stamp(status.started_at)
    if status.completed_at is not None:
        doc["CompletedAt"] = stamp(status.completed_at)
    return doc


def needs_port(port: Doc) -> bool:
    """Whether the allocator chooses under which port of the nodes this one is published."""
    return port.get("PublishMode") != "host" and not port.get("PublishedPort")
