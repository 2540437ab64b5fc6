"""Specs in short: what a test says about a service, as an Engine-API document."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypedDict

from swarmroll.sim.specs import NANO


class Pacing(TypedDict, total=False):
    """UpdateConfig or RollbackConfig in short; times are seconds, what is not said is not set."""

    parallelism: int
    delay: float
    failure_action: str
    monitor: float
    max_failure_ratio: float
    order: str


class Restarting(TypedDict, total=False):
    """RestartPolicy in short; times are seconds, what is not said is not set."""

    condition: str
    delay: float
    max_attempts: int
    window: float


_PACING = {
    "parallelism": "Parallelism",
    "delay": "Delay",
    "failure_action": "FailureAction",
    "monitor": "Monitor",
    "max_failure_ratio": "MaxFailureRatio",
    "order": "Order",
}
_RESTARTING = {
    "condition": "Condition",
    "delay": "Delay",
    "max_attempts": "MaxAttempts",
    "window": "Window",
}
_TIMES = frozenset({"delay", "monitor", "window"})


def service_document(
    name: str,
    *,
    image: str,
    replicas: int | None = None,
    mode: str = "replicated",
    labels: Mapping[str, str] | None = None,
    env: Mapping[str, str] | None = None,
    update: Pacing | None = None,
    rollback: Pacing | None = None,
    restart: Restarting | None = None,
    constraints: Iterable[str] = (),
    max_per_node: int = 0,
    reserve: Mapping[str, int] | None = None,
    ports: Iterable[Mapping[str, Any]] = (),
    networks: Iterable[str] = (),
    stop_grace: float | None = None,
) -> dict[str, Any]:
    """
    A service spec. What is not said is not in it, and the engine's defaults hold.

    Args:
        name: The service's name.
        image: As ``docker service create`` takes it.
        replicas: Slots of a replicated service or job; 1 if not said.
        mode: ``replicated``, ``global``, ``replicated-job`` or ``global-job``.
        labels: Service labels.
        env: Environment of the containers.
        update: Update config in short: see ``Pacing``.
        rollback: Rollback config in short.
        restart: Restart policy in short: see ``Restarting``.
        constraints: Placement constraints, as ``node.role == worker``.
        max_per_node: Most replicas on one node; 0 means no limit.
        reserve: Reservations as ``NanoCPUs`` and ``MemoryBytes``.
        ports: Port documents (``PublishedPort``, ``PublishMode``, ...).
        networks: Names of networks; a task with one takes 2 s more to stop.
        stop_grace: Seconds between the stop signal and the kill.

    Raises:
        ValueError: A word that these shorthands do not know.
    """
    container = {
        "Image": image,
        "Env": [f"{key}={value}" for key, value in (env or {}).items()],
        "StopGracePeriod": None if stop_grace is None else round(stop_grace * NANO),
    }
    placement = {"Constraints": list(constraints), "MaxReplicas": max_per_node or None}
    template = {
        "ContainerSpec": _said(container),
        "Placement": _said(placement),
        "RestartPolicy": _short("restart", restart, _RESTARTING),
        "Resources": {"Reservations": dict(reserve)} if reserve else {},
        "Networks": [{"Target": network} for network in networks],
    }
    listed = [dict(port) for port in ports]
    doc = {
        "Name": name,
        "TaskTemplate": _said(template),
        "Mode": _mode(mode, 1 if replicas is None else replicas),
        "UpdateConfig": _short("update", update, _PACING),
        "RollbackConfig": _short("rollback", rollback, _PACING),
        "EndpointSpec": {"Mode": "vip", "Ports": listed} if listed else {},
    }
    return {**_said(doc), "Labels": dict(labels or {})}


def _said(doc: Mapping[str, Any]) -> dict[str, Any]:
    """Without what nobody said: unset and default are two things to the engine."""
    return {
        key: value
        for key, value in doc.items()
        if value or isinstance(value, _Said) or type(value) is int
    }


class _Said(dict[str, Any]):
    """A document that was given, even if it is empty."""


def _mode(mode: str, replicas: int) -> dict[str, Any]:
    if replicas < 0:
        raise ValueError(f"replicas must be at least 0, got {replicas}")
    match mode:
        case "replicated":
            return {"Replicated": {"Replicas": replicas}}
        case "global":
            return {"Global": {}}
        case "replicated-job":
            return {"ReplicatedJob": {"MaxConcurrent": replicas, "TotalCompletions": replicas}}
        case "global-job":
            return {"GlobalJob": {}}
    raise ValueError(f"mode must be replicated, global, replicated-job or global-job, got {mode!r}")


def _short(
    what: str, given: Mapping[str, Any] | None, names: Mapping[str, str]
) -> dict[str, Any] | None:
    if given is None:
        return None
    doc = _Said()
    for key, value in given.items():
        if key not in names:
            raise ValueError(f"{what}: unknown word {key!r}, known are {', '.join(names)}")
        doc[names[key]] = round(value * NANO) if key in _TIMES else value
    return doc
