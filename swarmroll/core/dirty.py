"""
Swarm's own rule of which tasks an update replaces.

Source: swarmkit manager/orchestrator/task.go, IsTaskDirty, and moby
daemon/cluster/convert/service.go for what JSON becomes before it is compared.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from swarmroll.core.constraints import NodeLike, satisfies
from swarmroll.core.document import ABSENT, Absent, Document, peek

if TYPE_CHECKING:
    from swarmroll.core.spec import ServiceSpec

# Fields that are pointers in the engine: unset and zero are two things there. Everywhere else an
# empty string, 0 and false are what an unset field is.
_POINTERS = frozenset(
    {"Init", "StopGracePeriod", "Delay", "Window", "SwapBytes", "MemorySwappiness", "Replicas"}
)
# Words that the engine stores for an unset field.
_UNSET_WORDS = frozenset(
    {
        ("Runtime", "container"),
        ("Isolation", "default"),
        ("Condition", "any"),
        ("Mode", "vip"),
        ("Protocol", "tcp"),
        ("PublishMode", "ingress"),
    }
)
# Maps whose keys belong to the user: an empty value is a value there.
_USER_MAPS = frozenset({"Labels", "Options", "DriverOpts", "Sysctls"})
# Lists that the engine builds anew, so that none and an empty one are the same to it.
_REBUILT = frozenset({"Networks", "Ports", "Preferences", "Platforms"})


def is_unset(key: str, value: Any) -> bool:
    """Does the engine take this JSON, under this key, for a field that is not set?"""
    if value is None:
        return True
    if isinstance(value, str | bool | int | float):
        return (not value and key not in _POINTERS) or (key, value) in _UNSET_WORDS
    return not value and key in _REBUILT


def engine_form(value: Any, *, in_user_map: bool = False) -> Any:
    """JSON as the engine compares it: what it takes for unset is left out."""
    if isinstance(value, dict):
        return {
            key: engine_form(item, in_user_map=key in _USER_MAPS and not in_user_map)
            for key, item in value.items()
            if in_user_map or not is_unset(key, item)
        }
    if isinstance(value, list):
        return [engine_form(item) for item in value]
    return value


@lru_cache(maxsize=512)
def same_to_engine(one: Document, other: Document) -> bool:
    """
    Are two templates, or two endpoints, equal to the engine?

    Remembered: of a thousand tasks, all but a few share one template, and are looked at again.
    """
    if one == other:
        return True
    return Document(engine_form(one.to_engine())) == Document(engine_form(other.to_engine()))


def dirty(
    template: object,
    endpoint: Document | Absent | None,
    spec: ServiceSpec,
    node: NodeLike | None,
) -> bool:
    """
    Would the engine replace this task under this spec?

    Where only the placement differs, it stays as long as its node meets the new constraints;
    and then the endpoint is not even looked at.

    Args:
        template: The task template that the task was made from, a ``Document`` as
            ``spec.template``; of anything else (as None, "not known") the answer is yes.
        endpoint: The endpoint spec that it was made with, as ``spec.endpoint``; None if it is not
            known, for the engine's API does not tell, and then it is not compared.
        spec: The service spec now.
        node: The node that the task is on; None if there is none, or if it is not known.

    """
    if not isinstance(template, Document):
        return True
    same_template = same_to_engine(template, spec.template)
    if not same_template and node is not None and _only_placement_differs(template, spec.template):
        constraints = peek(spec.template, "Placement", "Constraints") or ()
        if satisfies(constraints, node):
            return False
    return not same_template or (endpoint is not None and not _same_endpoint(endpoint, spec))


def _only_placement_differs(one: Document, other: Document) -> bool:
    return same_to_engine(one.without_path("Placement"), other.without_path("Placement"))


def _same_endpoint(endpoint: Document | Absent, spec: ServiceSpec) -> bool:
    if endpoint is ABSENT or spec.endpoint is ABSENT:
        return endpoint is spec.endpoint
    return same_to_engine(endpoint, spec.endpoint)


def restarts(before: ServiceSpec, after: ServiceSpec, node: NodeLike | None = None) -> bool:
    """
    Would a task of ``before``, on this node, be replaced by writing ``after``?

    Without a node the answer is the worst case.
    """
    return dirty(before.template, before.endpoint, after, node)
