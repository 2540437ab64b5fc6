"""Which writes a change needs: what may not change together is written one after the other."""

from __future__ import annotations

from swarmroll.core.dirty import restarts
from swarmroll.core.spec import ServiceSpec


def stages(live: ServiceSpec, target: ServiceSpec) -> tuple[ServiceSpec, ...]:
    """
    The specs to store one after the other; the last one is the target.

    Slots that one update both adds and changes start all at once on the new template, unpaced
    and unwatched (swarmkit manager/orchestrator/replicated/services.go), so the number of
    replicas and the template never change together. An update of placement and endpoint alone
    restarts nothing and leaves tasks with the old endpoint (manager/orchestrator/task.go,
    IsTaskDirty), so neither do those two: first the endpoint, for a task whose placement is an
    older one is never looked at for its endpoint again.
    """
    if not restarts(live, target):
        return (target,)
    way: list[ServiceSpec] = []
    at = live
    if target.replicas is not None and _scale_first(live.replicas or 0, target.replicas):
        at = at.with_replicas(target.replicas)
        way.append(at)
    replaced = target if at.replicas is None else target.with_replicas(at.replicas)
    if at.endpoint != replaced.endpoint and _only_placement_differs(at, replaced):
        way.append(replaced.with_placement_of(at))
    way.append(replaced)
    if replaced.replicas != target.replicas:
        way.append(target)
    return tuple(way)


def _only_placement_differs(one: ServiceSpec, other: ServiceSpec) -> bool:
    same = other.with_placement_of(one)
    return one.template != other.template and one.template == same.template


def _scale_first(now: int, wanted: int) -> bool:
    """
    Scaling up comes before the new template, scaling down after it.

    Except to and from zero, where there would be nothing to replace but tasks that nobody wants.
    """
    return wanted == 0 < now or 0 < now < wanted
