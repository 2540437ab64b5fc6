"""
The managers' API for services: what is accepted, what is refused, and with which words.

After swarmkit manager/controlapi/service.go and moby daemon/cluster/services.go.
"""

from __future__ import annotations

import re
from typing import Any

from swarmroll.core.constraints import Constraint
from swarmroll.core.snapshot import UpdateState, UpdateStatus
from swarmroll.errors import Conflict, EngineError, ServiceNotFound, SpecError
from swarmroll.sim.objects import OUT_OF_SEQUENCE, Objects
from swarmroll.sim.services import SimService
from swarmroll.sim.specs import Doc, StoredSpec, normalise
from swarmroll.sim.store import Store

_ACTIONS = ("", "pause", "continue", "rollback")
_ORDERS = ("", "stop-first", "start-first")
_CONDITIONS = ("none", "on-failure", "any")
_NAME = re.compile(r"[a-zA-Z0-9](?:[-_]*[A-Za-z0-9]+)*")


class Control:
    """Writes to services, checked as the engine checks them."""

    def __init__(self, store: Store, objects: Objects) -> None:
        self._store = store
        self._objects = objects

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
        if matches:
            text = f"service {ref} is ambiguous ({len(matches)} matches found)"
            raise EngineError(text, status=400)
        raise ServiceNotFound(f"service {ref} not found", status=404)

    def create(self, doc: Doc, *, auth: str | None = None) -> SimService:
        """Create a service (CreateService)."""
        stored = self._checked(doc)
        if stored["Name"] in self._store.names:
            message = (
                "rpc error: code = AlreadyExists desc = name conflicts with an existing object"
            )
            raise EngineError(message, status=409)
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
        auth_from: str = "",
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
            auth_from: ``spec`` or ``previous-spec``: whose credentials are kept.
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
        kept = self._credentials(service, auth_from)
        if version != service.version:
            raise Conflict(OUT_OF_SEQUENCE, status=500)
        if rollback == "previous":
            self._swap(service, who)
            return
        if stored["Name"] != service.name:
            raise EngineError("renaming services is not supported", status=501)
        spec = StoredSpec(stored, service.version, kept if auth is None else auth)
        if spec.mode != service.spec.mode:
            raise EngineError("service mode change is not allowed", status=501)
        former = service.spec.doc.get("Networks")
        if stored.get("Networks") and former and stored["Networks"] != former:
            text = "networks must be migrated to TaskSpec before being changed"
            raise EngineError(f"rpc error: code = Unimplemented desc = {text}", status=501)
        self._check_ports(spec, service)
        service.previous, service.spec = service.spec, spec
        service.status = None
        if spec.job:
            service.jobs += 1
        self._store.service_written(service, f"updated by {who}: {_summary(service)}")

    def remove(self, service: SimService) -> None:
        """Remove a service; its tasks are stopped and then forgotten."""
        self._store.remove_service(service)

    def _credentials(self, service: SimService, whose: str) -> str | None:
        if whose in ("", "spec"):
            return service.spec.auth
        if whose != "previous-spec":
            raise EngineError("unsupported registryAuthFrom value", status=400)
        if service.previous is None:
            raise EngineError("service does not have a previous spec", status=500)
        return service.previous.auth

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
        stored = normalise(doc)
        self._check_name(stored.get("Name", ""))
        self._use_networks(stored)
        container = stored["TaskTemplate"].get("ContainerSpec")
        if container is None:
            raise _invalid("mismatched Runtime and *Spec fields", code=None)
        if not container.get("Image"):
            raise _invalid("ContainerSpec: image reference must be provided")
        job = "ReplicatedJob" in stored["Mode"] or "GlobalJob" in stored["Mode"]
        if job and stored.get("UpdateConfig") is not None:
            raise _invalid("Jobs may not have an update config")
        for key in ("UpdateConfig", "RollbackConfig"):
            self._check_config(stored.get(key), validate=key == "UpdateConfig")
        if (policy := stored["TaskTemplate"].get("RestartPolicy")) is not None:
            self._check_restarts(policy)
        placement = stored["TaskTemplate"].get("Placement") or {}
        for text in placement.get("Constraints") or ():
            try:
                Constraint.parse(text)
            except SpecError as exc:
                raise _invalid(f"invalid constraint: {text}") from exc
        self._check_references(container)
        return stored

    def _check_references(self, container: Doc) -> None:
        for kind, held in (("Secret", self._store.secrets), ("Config", self._store.configs)):
            for reference in container.get(f"{kind}s") or ():
                if reference.get(f"{kind}ID") not in held:
                    raise _invalid(f"{kind.lower()} not found: {reference.get(f'{kind}Name')}")

    def _check_name(self, name: str) -> None:
        if not name:
            raise _invalid("meta: name must be provided")
        if not _NAME.fullmatch(name):
            raise _invalid("name must be valid as a DNS name component")
        if len(name) > 63:
            raise _invalid("name must be 63 characters or fewer")

    def _use_networks(self, stored: dict[str, Any]) -> None:
        """Names of networks become their ids (moby daemon/cluster, populateNetworkID)."""
        for holder in (stored["TaskTemplate"], stored):
            for network in holder.get("Networks") or ():
                network["Target"] = self._objects.find_network(network.get("Target", "")).id

    def _check_restarts(self, policy: Doc) -> None:
        for key, word in (("Delay", "restart-delay"), ("Window", "restart-window")):
            if (policy.get(key) or 0) < 0:
                raise _invalid(f"TaskSpec: {word} cannot be negative")
        if (condition := policy.get("Condition")) not in _CONDITIONS:
            raise _invalid(f"invalid RestartCondition: {condition!r}".replace("'", '"'), code=None)

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
