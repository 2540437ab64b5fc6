"""
Which tasks a service's spec has outdated.

Written from swarmkit's rule, not from swarmroll's own (``swarmroll.core.diff``): the simulated
engine must be able to contradict the library that is tested on it.
"""

from __future__ import annotations

from swarmroll.core.snapshot import TaskState
from swarmroll.sim.services import SimService
from swarmroll.sim.specs import Doc, StoredSpec, satisfies
from swarmroll.sim.tasks import SimTask


def is_dirty(spec: StoredSpec, task: SimTask) -> bool:
    """
    Whether a task must be replaced (swarmkit manager/orchestrator/task.go, IsTaskDirty).

    A task of the same spec version is clean. One whose template differs in nothing but Placement
    is clean as long as its node meets the new constraints, and then its endpoint is not looked
    at. Registry credentials do not count for a task that has its image. Otherwise the whole
    template and the endpoint spec are compared, structurally.
    """
    made = task.spec
    if made.version == spec.version:
        return False
    same_template = (
        made.template is spec.template or made.compared_template == spec.compared_template
    )
    same_auth = made.auth == spec.auth
    has_image = task.runnable and TaskState.READY <= task.state <= TaskState.RUNNING
    if (
        not same_template
        and task.node is not None
        and _but_placement(made.compared_template) == _but_placement(spec.compared_template)
        and same_auth
        and satisfies(spec, task.node)
    ):
        return False
    if not same_template or not (same_auth or has_image):
        return True
    return made.compared_endpoint != spec.compared_endpoint


def up_to_date(service: SimService, task: SimTask) -> bool:
    """Whether the ``_up-to-date`` filter lists it, dead or alive."""
    return not is_dirty(service.spec, task)


def _but_placement(template: Doc) -> Doc:
    return {key: value for key, value in template.items() if key != "Placement"}
