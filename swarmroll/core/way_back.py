"""Which writes put the baseline back, and what is given back once it runs again."""

from __future__ import annotations

import attrs

from swarmroll.core.plan import PAUSE
from swarmroll.core.spec import ServiceSpec
from swarmroll.core.stages import stages
from swarmroll.core.state import State


def putting_back(state: State, live: ServiceSpec, baseline: ServiceSpec) -> tuple[ServiceSpec, ...]:
    """
    The specs that make the baseline run again, at the live number of replicas.

    An ordinary update, governed by the update config that is sent along: the baseline's own
    rollback config, with action pause, since a rollback is never itself rolled back.
    """
    config = baseline.effective_rollback_config
    config = attrs.evolve(
        config,
        failure_action=PAUSE,
        max_failure_ratio=min(max(config.max_failure_ratio, 0.0), 1.0),
    )
    if live.replicas is not None:
        # From nothing, back to nothing: no task of the old spec was ever seen to run.
        nothing = state.plan.live.replicas == 0
        baseline = baseline.with_replicas(0 if nothing else live.replicas)
    # No write on the way, not even one that only scales, may make the engine roll back.
    live = live.with_update_config(config)
    return stages(live, state.keeping_adopted(baseline).with_update_config(config))


def restored(state: State, baseline: ServiceSpec) -> ServiceSpec:
    """
    The baseline as it is left in the end: its declared update config, the right replica count.

    That count is what somebody else set meanwhile, else what it was before this rollout.
    """
    before = state.plan.live.replicas
    if before is not None:
        baseline = baseline.with_replicas(before)
    return state.keeping_adopted(baseline)
