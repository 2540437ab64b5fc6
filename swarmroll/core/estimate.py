"""How long a step will take when nothing goes wrong, by the engine's own arithmetic."""

from __future__ import annotations

from math import ceil

from swarmroll.core.spec import ServiceSpec, UpdateConfig

# Seconds from the order to replace a slot to its new task RUNNING, without the program's own
# stopping and starting, measured on engines 20.10 to 28 (docs/performance.md). Stop-first waits
# for the old task: a second for the agent to notice and, on a network, two more for the name
# service to forget it (moby daemon/cluster/executor/container/controller.go).
STOP_FIRST_ON_NETWORK = 3.4
STOP_FIRST = 1.7
START_FIRST = 0.4

# Seconds that each further task started at the same time adds. Measured where all nodes share two
# cores: a larger swarm is faster, and then a little faster than predicted.
AT_ONCE = 0.11


def slot_seconds(spec: ServiceSpec, config: UpdateConfig) -> float:
    """Seconds that one slot is expected to take, from the order to replace it to RUNNING."""
    if config.order == "start-first":
        base = START_FIRST
    elif spec.networks or spec.ports:
        base = STOP_FIRST_ON_NETWORK
    else:
        base = STOP_FIRST
    return base + _until_healthy(spec)


def _until_healthy(spec: ServiceSpec) -> float:
    """Seconds until the first health check can pass; 0 without one."""
    check = spec.healthcheck
    if check is None or check.disabled:
        return 0.0
    if check.start_period and check.start_interval:
        return min(check.start_interval, check.start_period)
    return check.effective_interval


def update_seconds(spec: ServiceSpec, config: UpdateConfig, slots: int) -> float:
    """
    Seconds from the write to the engine's ``completed``.

    Workers take slots one by one and wait out the delay after each, the last included; then the
    engine watches for ``monitor``, or for delay + 1 s where the delay is not shorter
    (swarmkit manager/orchestrator/update/updater.go, Updater.Run).
    """
    if slots == 0:
        return 0.0
    rounds = ceil(slots / (config.parallelism or slots))
    watch = config.delay + 1.0 if config.delay >= config.monitor else config.monitor
    crowd = AT_ONCE * (slots - rounds)
    return rounds * (slot_seconds(spec, config) + config.delay) + crowd + watch
