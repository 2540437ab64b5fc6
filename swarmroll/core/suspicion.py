"""Bad node or bad release? Failures on one node only, while others run the release well."""

from __future__ import annotations

import enum

from swarmroll.core.failure import exceeds
from swarmroll.core.plan import WAIT
from swarmroll.core.state import State


class Suspect(enum.StrEnum):
    """
    Whom the failures so far speak against.

    NODE: all of them were on one node, and another has run the release for its monitor time.
    UNDECIDED: the same, but for the time: another is still to show it. RELEASE: anything else.
    """

    RELEASE = "release"
    UNDECIDED = "undecided"
    NODE = "node"


def suspect(state: State) -> Suspect:
    """Whom the failures speak against that count so far; there must be one."""
    nodes = {failure.node_id for failure in state.open_failures}
    if len(nodes) != 1 or "" in nodes:
        return Suspect.RELEASE
    monitor = state.plan.steps[state.step].monitor
    elsewhere = [
        sighting.running_until - sighting.running_since
        for task_id, sighting in state.seen.items()
        if sighting.running_since is not None
        and sighting.node_id not in nodes
        and task_id not in state.displaced
    ]
    if not elsewhere:
        return Suspect.RELEASE
    return Suspect.NODE if max(elsewhere) >= monitor else Suspect.UNDECIDED


def too_many(state: State) -> str:
    """
    Why the release has failed too often, a sentence; empty if it has not.

    Failures that speak against a node do not count where the policy is to wait for those slots
    elsewhere: the scheduler turns to other nodes when one has failed the service several times
    (swarmkit manager/scheduler/nodeinfo.go, countRecentFailures).
    """
    step = state.plan.steps[state.step]
    config = step.spec.effective_update_config
    reason = exceeds(state.open_failures, config, max(1, step.restarts + step.adds))
    return "" if not reason or excused(state) else reason + only_on(state)


def only_on(state: State) -> str:
    """What to add to the reason of a failure; empty where it speaks against the release."""
    if not state.open_failures or suspect(state) is Suspect.RELEASE:
        return ""
    node = state.open_failures[-1].node
    return f"; only on node {node}, others run it: the node may be bad, not the release"


def excused(state: State) -> bool:
    """Whether the failures are not held against the release, or not yet, by the policy."""
    waiting = state.plan.on_bad_node == WAIT and bool(state.open_failures)
    return waiting and suspect(state) is not Suspect.RELEASE
