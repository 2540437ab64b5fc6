"""Preflight: what is wrong with a rollout before anything is written."""

from __future__ import annotations

from collections.abc import Iterator

from swarmroll.core.findings import Finding, Severity
from swarmroll.core.placement import has_placement
from swarmroll.core.snapshot import BUSY, Service, UpdateState
from swarmroll.core.spec import ServiceSpec, UpdateConfig

YEARS = 10 * 365 * 24 * 3600.0
"""The delay, in seconds, that holds the engine's updater after the slots in motion."""


def held(service: Service) -> bool:
    """Whether the engine's updater waits for years, since a rollout was paused."""
    status = service.update_status
    updating = status is not None and status.state is UpdateState.UPDATING
    return updating and service.spec.effective_update_config.delay >= YEARS


def unattended_rollback(baseline: ServiceSpec) -> str | None:
    """
    Why the engine cannot be trusted to roll back to this spec by itself; None if it can.

    The engine rolls back under the rollback config inside the restored spec, which it never
    validates (swarmkit manager/controlapi/service.go), and an action of ``rollback`` there ends
    as ``completed`` (manager/orchestrator/update/updater.go).
    """
    config: UpdateConfig = baseline.effective_rollback_config
    if config.parallelism < 1:
        return "its rollback config has parallelism 0, which replaces every task at once"
    if config.failure_action == "rollback":
        return "its rollback config has failure action 'rollback', which hides a failed rollback"
    if not 0 <= config.max_failure_ratio <= 1:
        return f"its rollback config has max failure ratio {config.max_failure_ratio:g}"
    return None


def of_service(service: Service) -> Iterator[Finding]:
    """What the service's own state says against a rollout now."""
    status = service.update_status
    if status is not None and status.state in (UpdateState.PAUSED, UpdateState.ROLLBACK_PAUSED):
        yield Finding(
            code="update-paused",
            severity=Severity.ERROR,
            message=f"an earlier update of {service.name} stands paused: {status.message}",
            fix="allow 'update-paused' to roll over it, or put the old spec back first",
        )
    if held(service):
        yield Finding(
            code="update-paused",
            severity=Severity.ERROR,
            message=f"an earlier rollout of {service.name} stands paused in the middle",
            fix="resume or abort that, or allow 'update-paused' to roll over it",
        )
    elif status is not None and status.state in BUSY:
        yield Finding(
            code="update-in-progress",
            severity=Severity.WARNING,
            message=f"another update of {service.name} is in progress; it is waited for",
        )


def of_target(target: ServiceSpec) -> Iterator[Finding]:
    """What the new spec itself says."""
    if target.has_legacy_networks:
        yield Finding(
            code="legacy-networks",
            severity=Severity.ERROR,
            message="the spec names networks at its top level, which engines from 29 on ignore",
            fix="move them to TaskTemplate.Networks",
        )


def of_lost_placement(live: ServiceSpec, baseline: ServiceSpec | None) -> Iterator[Finding]:
    """Whether a rollback by the engine itself could kill its managers; see ``placement``."""
    if baseline is None or has_placement(live.template) or not has_placement(baseline.template):
        return
    yield Finding(
        code="no-unattended-rollback",
        severity=Severity.WARNING,
        message="the engine is not asked to roll back by itself, since the live spec has no"
        " placement and its tasks may have one: restoring it can kill managers up to engine 28;"
        " this process puts it back with an empty placement",
        fix="a release through swarmroll gives the service an empty placement",
    )


def of_way_back(baseline: ServiceSpec | None, why_not: str, on_failure: str) -> Iterator[Finding]:
    """Whether the old spec can be put back, and whether without anybody watching."""
    if on_failure != "rollback":
        return
    if baseline is None:
        yield Finding(
            code="no-baseline",
            severity=Severity.WARNING,
            message=f"nothing to roll back to: {why_not}; a failure pauses instead",
            fix="a release that completes becomes the next baseline",
        )
        return
    unsafe = unattended_rollback(baseline)
    if unsafe is not None:
        yield Finding(
            code="no-unattended-rollback",
            severity=Severity.WARNING,
            message=f"the engine is not asked to roll back by itself, since {unsafe};"
            " this process does it while it lives",
            fix="give the service a rollback config with parallelism 1 and action pause",
        )


def of_waves() -> Iterator[Finding]:
    """What Swarm cannot keep a canary inside one service from doing."""
    yield Finding(
        code="canary-leaks",
        severity=Severity.INFO,
        message="while a wave holds, a task of the old spec that ends comes back with the new one;"
        " the engine chooses the slots; and a change of leader may move one more wave",
    )


def of_waiting() -> Iterator[Finding]:
    """What it costs to wait for slots of a bad node elsewhere."""
    yield Finding(
        code="no-unattended-rollback",
        severity=Severity.WARNING,
        message="the engine is not asked to roll back by itself, since it cannot tell a bad node"
        " from a bad release; this process does it while it lives",
        fix="leave on_bad_node at 'fail' where nobody watches",
    )
