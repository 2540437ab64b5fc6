"""Service specs as the managers keep them: documents, and what the swarm reads in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import attrs

from swarmroll.core.constraints import Constraint
from swarmroll.core.dirty import engine_form
from swarmroll.errors import EngineError
from swarmroll.sim.shapes import service_spec

if TYPE_CHECKING:
    from swarmroll.sim.nodes import SimNode

Doc = Mapping[str, Any]
"""A document of the Engine API. Never changed once it is stored: a new one replaces it."""

NANO = 1_000_000_000


@attrs.frozen(kw_only=True)
class UpdaterConfig:
    """
    UpdateConfig or RollbackConfig with its defaults filled in.

    An object that is absent means the defaults as a whole; in one that is present a missing
    Parallelism means 0, all dirty slots at once, and a Monitor of 0 means 5 s (swarmkit
    api/defaults/service.go; moby daemon/cluster/convert/service.go, updateConfigToGRPC).
    """

    parallelism: int = 1
    delay: float = 0.0
    failure_action: str = "pause"
    monitor: float = 5.0
    max_failure_ratio: float = 0.0
    start_first: bool = False


@attrs.frozen(kw_only=True)
class RestartPolicy:
    """When a task that ended is replaced (swarmkit api/defaults/service.go)."""

    condition: str = "any"
    delay: float = 5.0
    max_attempts: int = 0
    window: float = 0.0


@attrs.frozen(kw_only=True)
class Reservations:
    """What the scheduler sets aside for one task."""

    nano_cpus: int = 0
    memory: int = 0


_DEFAULT_CONFIG = UpdaterConfig()
_DEFAULT_RESTART = RestartPolicy()
_NO_RESERVATIONS = Reservations()


class StoredSpec:
    """
    One accepted version of a service's spec.

    Attributes:
        doc: The spec as an Engine-API document.
        version: SpecVersion, which no API shows; two posts of one spec differ in it.
        encoded: The task template as JSON, once somebody has asked for it over HTTP.
        auth: Registry credentials stored with it (PullOptions), which no API shows either.
        compared_template: The task template as the engine compares it: what its JSON becomes.
        compared_endpoint: The endpoint spec likewise.
    """

    __slots__ = (
        "auth",
        "cache",
        "compared_endpoint",
        "compared_template",
        "concurrent",
        "constraints",
        "doc",
        "encoded",
        "endpoint",
        "grace",
        "healthcheck",
        "host_ports",
        "image",
        "max_replicas",
        "mode",
        "name",
        "networked",
        "platforms",
        "replicas",
        "reservations",
        "restart",
        "rollback",
        "spread",
        "template",
        "terminal",
        "update",
        "version",
    )

    def __init__(self, doc: Doc, version: int, auth: str | None = None) -> None:
        self.doc = doc
        self.version = version
        self.auth = auth
        self.cache: object = None
        self.encoded: bytes | None = None
        self.name: str = doc["Name"]
        self.template: Doc = doc["TaskTemplate"]
        self.endpoint: Doc | None = doc.get("EndpointSpec")
        self.compared_template: Doc = engine_form(self.template)
        self.compared_endpoint: Doc | None = engine_form(self.endpoint)
        self.mode, self.replicas = _mode(doc.get("Mode"))
        job: Doc = (doc.get("Mode") or {}).get("ReplicatedJob") or {}
        self.concurrent: int = job.get("MaxConcurrent") or 1
        self.update = _updater_config(doc.get("UpdateConfig"))
        self.rollback = _updater_config(doc.get("RollbackConfig"))
        self.restart = _restart(self.template.get("RestartPolicy"))
        container: Doc = self.template.get("ContainerSpec") or {}
        self.image: str = container.get("Image", "")
        self.terminal = bool(container.get("TTY"))
        grace = container.get("StopGracePeriod")
        self.grace: float = 10.0 if grace is None else grace / NANO
        self.healthcheck = _healthcheck(container.get("Healthcheck"))
        placement: Doc = self.template.get("Placement") or {}
        self.constraints = tuple(
            Constraint.parse(text) for text in placement.get("Constraints") or ()
        )
        self.platforms = tuple(
            (str(wanted.get("OS") or ""), _machine(str(wanted.get("Architecture") or "")))
            for wanted in placement.get("Platforms") or ()
        )
        self.max_replicas: int = placement.get("MaxReplicas") or 0
        self.spread = tuple(
            preference["Spread"]["SpreadDescriptor"]
            for preference in placement.get("Preferences") or ()
            if preference.get("Spread")
        )
        self.reservations = _reservations(self.template.get("Resources"))
        ports = (self.endpoint or {}).get("Ports") or ()
        self.host_ports = frozenset(
            (port.get("Protocol") or "tcp", port["PublishedPort"])
            for port in ports
            if port.get("PublishMode") == "host" and port.get("PublishedPort")
        )
        self.networked = bool(self.template.get("Networks") or doc.get("Networks"))

    @property
    def job(self) -> bool:
        """Whether the service is a job, which is run again and never rolled."""
        return self.mode in ("replicated-job", "global-job")

    @property
    def per_node(self) -> bool:
        """Whether its slots are nodes."""
        return self.mode in ("global", "global-job")


def satisfies(spec: StoredSpec, node: SimNode) -> bool:
    """Whether a node meets every placement constraint (constraint.go, NodeMatches)."""
    return all(constraint.met_by(node) for constraint in spec.constraints)


def normalise(doc: Doc) -> dict[str, Any]:
    """
    The spec as the engine gives it back.

    What its structs do not know or leave out when empty is gone, and what they do not leave empty
    has its default (moby daemon/cluster/convert/service.go; see ``swarmroll.sim.shapes``).

    Raises:
        EngineError: A value of a wrong type, or more than one mode.
    """
    stored = service_spec(doc)
    mode = stored["Mode"]
    if len(mode) > 1:
        raise EngineError("must specify only one service mode", status=400)
    if "ReplicatedJob" in mode:
        concurrent = mode["ReplicatedJob"].setdefault("MaxConcurrent", 1)
        mode["ReplicatedJob"].setdefault("TotalCompletions", concurrent)
    elif not mode or "Replicated" in mode:
        mode.setdefault("Replicated", {}).setdefault("Replicas", 1)
    template = stored["TaskTemplate"]
    template.setdefault("Runtime", "container")
    if (container := template.get("ContainerSpec")) is not None:
        container["Isolation"] = container.get("Isolation") or "default"
    if (policy := template.get("RestartPolicy")) is not None:
        policy.setdefault("Condition", "any")
        policy.setdefault("MaxAttempts", 0)
    for key in ("UpdateConfig", "RollbackConfig"):
        if (config := stored.get(key)) is not None:
            config.setdefault("FailureAction", "pause")
            config["Order"] = config["Order"] or "stop-first"
    if (endpoint := stored.get("EndpointSpec")) is not None:
        endpoint.setdefault("Mode", "vip")
        for port in endpoint.get("Ports") or ():
            port.setdefault("Protocol", "tcp")
            port.setdefault("PublishMode", "ingress")
    return stored


def with_defaults(doc: Doc) -> dict[str, Any]:
    """
    A stored spec with the defaults merged in, as ``insertDefaults=true`` gives it.

    Swarmkit api/defaults/service.go, InterpolateService. What is written back from it differs
    from what was stored, and rolls every task.
    """
    template = dict(doc["TaskTemplate"])
    if (container := template.get("ContainerSpec")) is not None:
        template["ContainerSpec"] = {"StopGracePeriod": 10 * NANO, "DNSConfig": {}, **container}
    template.setdefault("Resources", {})
    policy = template.get("RestartPolicy")
    if policy is None:
        policy = {"Condition": "any", "MaxAttempts": 0}
    template["RestartPolicy"] = {"Delay": 5 * NANO, **policy}
    template.setdefault("Placement", {})
    full = {**doc, "TaskTemplate": template}
    for key in ("UpdateConfig", "RollbackConfig"):
        config = doc.get(key)
        if config is None:
            config = {
                "Parallelism": 1,
                "FailureAction": "pause",
                "MaxFailureRatio": 0,
                "Order": "stop-first",
            }
        full[key] = {"Monitor": 5 * NANO, **config}
    return full


_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


def _machine(architecture: str) -> str:
    """One word for an architecture that has two (scheduler/filter.go, normalizeArch)."""
    return _MACHINES.get(architecture, architecture)


def supports(spec: StoredSpec, node: SimNode) -> bool:
    """Whether the image runs on a node's platform, as far as the spec says (PlatformFilter)."""
    return not spec.platforms or any(
        system in ("", node.os) and machine in ("", _machine(node.arch))
        for system, machine in spec.platforms
    )


def _mode(mode: Doc | None) -> tuple[str, int]:
    if not mode or "Replicated" in mode:
        replicas = ((mode or {}).get("Replicated") or {}).get("Replicas")
        return "replicated", 1 if replicas is None else replicas
    if "Global" in mode:
        return "global", 0
    if "GlobalJob" in mode:
        return "global-job", 0
    job = mode.get("ReplicatedJob") or {}
    concurrent = job.get("MaxConcurrent") or 1
    return "replicated-job", job.get("TotalCompletions") or concurrent


def _updater_config(config: Doc | None) -> UpdaterConfig:
    if config is None:
        return _DEFAULT_CONFIG
    return UpdaterConfig(
        parallelism=config.get("Parallelism") or 0,
        delay=(config.get("Delay") or 0) / NANO,
        failure_action=config.get("FailureAction") or "pause",
        monitor=(config.get("Monitor") or 5 * NANO) / NANO,
        max_failure_ratio=config.get("MaxFailureRatio") or 0.0,
        start_first=config.get("Order") == "start-first",
    )


def _restart(policy: Doc | None) -> RestartPolicy:
    if policy is None:
        return _DEFAULT_RESTART
    delay = policy.get("Delay")
    return RestartPolicy(
        condition=policy.get("Condition") or "any",
        delay=5.0 if delay is None else delay / NANO,
        max_attempts=policy.get("MaxAttempts") or 0,
        window=(policy.get("Window") or 0) / NANO,
    )


def _healthcheck(check: Doc | None) -> bool | None:
    """True or False where the spec says so, None where the image decides."""
    test = (check or {}).get("Test") or ()
    if not test:
        return None
    return bool(test[0] != "NONE")


def _reservations(resources: Doc | None) -> Reservations:
    reserved = (resources or {}).get("Reservations")
    if not reserved:
        return _NO_RESERVATIONS
    return Reservations(
        nano_cpus=reserved.get("NanoCPUs") or 0, memory=reserved.get("MemoryBytes") or 0
    )
