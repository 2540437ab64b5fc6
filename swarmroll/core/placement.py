"""
Keeps managers alive.

Up to engine 28 a manager that compares a task with a service spec from which it differs in its
placement alone dies when that spec has no placement at all (swarmkit manager/orchestrator/task.go,
nodeMatches; seen on engine 26.1.5). It compares when such a spec is written, when it is restored,
and when up-to-date tasks are listed; and after a restart it does so again. An empty placement
means the same and harms nobody.
"""

from __future__ import annotations

from collections.abc import Iterable

from swarmroll.core.document import Document
from swarmroll.core.spec import ServiceSpec


def has_placement(template: object) -> bool:
    """Whether a task template has a placement, be it empty."""
    return isinstance(template, Document) and isinstance(template.get("Placement"), Document)


def any_placed(templates: Iterable[object]) -> bool:
    """Whether any of these task templates has a placement."""
    return any(has_placement(template) for template in templates)


def guarded(spec: ServiceSpec, *, placed: bool) -> ServiceSpec:
    """The spec, with an empty placement if it has none while something else has one."""
    if not placed or has_placement(spec.template):
        return spec
    return spec.with_path("TaskTemplate.Placement", {})
