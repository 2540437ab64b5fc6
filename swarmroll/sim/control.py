"""
The managers' API for services: what is accepted, what is refused, and with which words.

After swarmkit manager/controlapi/service.go and moby daemon/cluster/services.go.
"""

from __future__ import annotations

from typing import Any

from swarmroll.core.constraints import Constraint
from swarmroll.core.snapshot import UpdateState, UpdateStatus
from swarmroll.errors import Conflict, EngineError, ServiceNotFound, SpecError
from swarmroll.sim.services import SimService
from swarmroll.sim.specs import Doc, StoredSpec, normalise
from swarmroll.sim.store import Store

OUT_OF_SEQUENCE = "rpc error: code = Unknown desc = update out of sequence"
_ACTIONS = ("", "pause", "continue", "rollback")
_ORDERS = ("", "stop-first", "start-first")


class Control:
    """Writes to services, checked as the engine checks them."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def find(self, ref: str) -> SimService:
        """
        A service by id, exact name, or unique id prefix.

        Raises:
            ServiceNotFound: With the engine's words, HTTP 404.
        """
        services = self._store.services
        found = services.get(ref) or services.get(self._store.names.get(ref, ""))
        if found is not None:
            return found
        matches = [s for s in services.values() if ref and s.id.startswith(ref)]
        if len(matches) == 1:
            return matches[0]
        raise ServiceNotFound(f"service {ref} not found", status=404)

    def create(self, doc: Doc, *, auth: str | None = None) -> SimService:
        """Create a service (CreateService)."""
        stored = self._checked(doc)
        if stored["Name"] in self._store.names:
            message = (
                "rpc error: code = AlreadyExists desc = name conflicts with an existing object"
            )
            raise EngineError(f"{message}: service {stored['Name']} already exists", status=409)
        spec = StoredSpec(stored, 0, auth)
        self._check_ports(spec, None)
        service = SimService(
            service_id=self._store.identity(), spec=spec, at=self._store.clock.wall
        )
        self._store.add_service(service)
        return service

    def update(
        self,
        service_id: str,
        version: int,
        doc: Doc,
        *,
        rollback: str = "",
        auth: str | None = None,
        who: str = "api",
    ) -> None:
        """
        Replace a service's spec (UpdateService).

        Every accepted update that is no rollback keeps the former spec as the previous one and
        clears the update status, whatever it changes.

        Args:
            service_id: Id or name.
            version: Version index that was read; no other is accepted.
            doc: The whole new spec.
            auth: Registry credentials to store with it; None keeps those that are there.
            who: For the trace.
            rollback: ``previous`` swaps spec and previous spec; the document is checked and
                otherwise ignored.

        Raises:
            Conflict: The version is not exactly the present one.
        """
        stored = self._checked(doc)
        service = self.find(service_id)
        if rollback not in ("", "none", "previous"):
            raise EngineError(f"unrecognized rollback option {rollback}", status=500)
        if version != service.version:
            raise Conflict(OUT_OF_SEQUENCE, status=500)
        if rollback == "previous":
            self._swap(service, who)
            return
        if stored["Name"] != service.name:
            raise EngineError("renaming services is not supported", status=501)
        spec = StoredSpec(stored, service.version, service.spec.auth if auth is None else auth)
        if spec.mode != service.spec.mode:
            raise EngineError("service mode change is not allowed", status=501)
        self._check_ports(spec, service)
        service.previous, service.spec = service.spec, spec
        service.status = None
        if spec.job:
            service.jobs += 1
        self._store.service_written(service, f"updated by {who}: {_summary(service)}")

    def remove(self, service: SimService) -> None:
        """Remove a service; its tasks are stopped and then forgotten."""
        self._store.remove_service(service)

    def _swap(self, service: SimService, who: str) -> None:
        if service.previous is None:
            message = f"service {service.id} does not have a previous spec"
            raise EngineError(f"rpc error: code = FailedPrecondition desc = {message}", status=400)
        service.spec, service.previous = service.previous, service.spec
        service.status = UpdateStatus(
            state=UpdateState.ROLLBACK_STARTED,
            message="manually requested rollback",
            started_at=self._store.clock.wall,
        )
        self._store.service_written(service, f"rolled back by {who}: {_summary(service)}")

    def _checked(self, doc: Doc) -> dict[str, Any]:
        """The spec as it will be stored, or the engine's refusal."""
        if not doc.get("Name"):
            raise _invalid("meta: name must be provided")
        stored = normalise(doc)
        container = stored["TaskTemplate"].get("ContainerSpec")
        if container is not None and not container.get("Image"):
            raise _invalid("ContainerSpec: image reference must be provided")
        job = "ReplicatedJob" in stored["Mode"] or "GlobalJob" in stored["Mode"]
        if job and stored.get("UpdateConfig") is not None:
            raise _invalid("Jobs may not have an update config")
        for key in ("UpdateConfig", "RollbackConfig"):
            self._check_config(stored.get(key), validate=key == "UpdateConfig")
        placement = stored["TaskTemplate"].get("Placement") or {}
        for text in placement.get("Constraints") or ():
            try:
                Constraint.parse(text)
            except SpecError as exc:
                raise _invalid(f"invalid constraint: {text}") from exc
        for kind, held in (("Secret", self._store.secrets), ("Config", self._store.configs)):
            for reference in (container or {}).get(f"{kind}s") or ():
                if reference.get(f"{kind}ID") not in held:
                    raise _invalid(f"{kind.lower()} not found: {reference.get(f'{kind}Name')}")
        return stored

    def _check_config(self, config: Doc | None, *, validate: bool) -> None:
        if config is None:
            return
        if (action := config.get("FailureAction") or "") not in _ACTIONS:
            raise _invalid(f"unrecognized update failure action {action}", code=None)
        if (order := config.get("Order") or "") not in _ORDERS:
            raise _invalid(f"unrecognized update order {order}", code=None)
        if not validate:
            # swarmkit forgets to look at RollbackConfig.
            return
        if (config.get("Delay") or 0) < 0:
            raise _invalid("TaskSpec: update-delay cannot be negative")
        if (config.get("Monitor") or 0) < 0:
            raise _invalid("TaskSpec: update-monitor cannot be negative")
        ratio = config.get("MaxFailureRatio") or 0
        if not 0 <= ratio <= 1:
            raise _invalid(
                "TaskSpec: update-maxfailureratio cannot be less than 0 or bigger than 1"
            )

    def _check_ports(self, spec: StoredSpec, service: SimService | None) -> None:
        wanted = _ingress(spec)
        if not wanted:
            return
        for other in self._store.services.values():
            if other is service:
                continue
            for port in wanted & _ingress(other.spec):
                raise _invalid(
                    f"port '{port[1]}' is already in use by service '{other.name}' ({other.id}) "
                    "as an ingress port"
                )


def remove_reference(store: Store, kind: str, name: str) -> None:
    """
    Remove a secret or a config; only current specs keep it.

    The previous spec is not looked at (swarmkit controlapi/secret.go, RemoveSecret).
    """
    held = store.secrets if kind == "Secret" else store.configs
    found = next((key for key, value in held.items() if value == name), None)
    if found is None:
        raise EngineError(f"{kind.lower()} {name} not found", status=404)
    users = [
        service.name
        for service in store.services.values()
        for reference in (service.spec.template.get("ContainerSpec") or {}).get(f"{kind}s") or ()
        if reference.get(f"{kind}ID") == found
    ]
    if users:
        word = kind.lower()
        raise _invalid(f"{word} '{name}' is in use by the following service: {users[0]}")
    del held[found]
    store.counted()
    store.note("swarm", name, f"{kind.lower()} removed")


def _ingress(spec: StoredSpec) -> set[tuple[str, int]]:
    return {
        (port.get("Protocol") or "tcp", port["PublishedPort"])
        for port in (spec.endpoint or {}).get("Ports") or ()
        if port.get("PublishMode") != "host" and port.get("PublishedPort")
    }


def _summary(service: SimService) -> str:
    mode = f"{service.spec.replicas} replicas" if service.spec.mode == "replicated" else "global"
    return f"{service.spec.image}, {mode}"


def _invalid(message: str, code: str | None = "InvalidArgument") -> EngineError:
    prefix = f"rpc error: code = {code} desc = " if code else ""
    return EngineError(prefix + message, status=400)
