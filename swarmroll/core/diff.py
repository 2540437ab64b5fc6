"""
What changed between two service specs, and which change restarts tasks.

Lists whose items have a natural name (environment, mounts, ports, secrets, …) are compared by that
name; a change of their order is a change too, for the engine compares lists item by item.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import attrs

from swarmroll.core.constraints import satisfies
from swarmroll.core.dirty import dirty, engine_form, is_unset, restarts
from swarmroll.core.document import ABSENT, Absent, Document, Frozen, copied, format_path, frozen
from swarmroll.core.environment import name_of
from swarmroll.core.redact import MASK, mask_document
from swarmroll.core.units import duration_text, from_nanoseconds
from swarmroll.printable import printable

__all__ = [
    "ABSENT",
    "Absent",
    "Change",
    "Diff",
    "compare",
    "dirty",
    "restarts",
    "satisfies",
]

Keys: TypeAlias = tuple[str, ...]

_CONTAINER = ("TaskTemplate", "ContainerSpec")


def _file(item: Any) -> str:
    return str(item["File"]["Name"])


def _port(item: Any) -> str:
    return f"{item['TargetPort']}/{item.get('Protocol') or 'tcp'}"


def _target(item: Any) -> str:
    return str(item["Target"])


# What tells the items of a list apart.
_NAMED: dict[Keys, Callable[[Any], str]] = {
    (*_CONTAINER, "Env"): name_of,
    (*_CONTAINER, "Mounts"): _target,
    (*_CONTAINER, "Secrets"): _file,
    (*_CONTAINER, "Configs"): _file,
    (*_CONTAINER, "Ulimits"): lambda item: str(item["Name"]),
    ("TaskTemplate", "Networks"): _target,
    ("EndpointSpec", "Ports"): _port,
}
_DURATIONS = frozenset(
    {
        "Delay",
        "Monitor",
        "Window",
        "Interval",
        "Timeout",
        "StartPeriod",
        "StartInterval",
        "StopGracePeriod",
    }
)
_MAX_SHOWN = 160


@attrs.frozen(kw_only=True)
class Change:
    """
    One difference between two specs.

    Attributes:
        path: Where, for people and for grep: ``TaskTemplate.ContainerSpec.Env.LOG``. In lists
            with named items the name stands in the place of the index. Secrets are masked.
        keys: The same, key by key, unmasked.
        before: The value, unmasked; ``ABSENT`` where there was none. Of an environment entry it
            is the text after ``=``, or None for an entry without one.
        after: The same, afterwards.
        restarts_tasks: Whether Swarm replaces tasks for it, in the worst case: a changed
            placement restarts only tasks whose node does not meet the new constraints; ask
            ``restarts()`` about a node.
        reordered: Whether only the order of a list's items changed; ``before`` and ``after`` are
            then their names in a row.

    """

    path: str
    keys: Keys = attrs.field(repr=False)
    before: Frozen | Absent = attrs.field(repr=lambda _: MASK)
    after: Frozen | Absent = attrs.field(repr=lambda _: MASK)
    restarts_tasks: bool
    reordered: bool = False

    def __str__(self) -> str:
        sign = "+" if self.before is ABSENT else "-" if self.after is ABSENT else "~"
        order = " (order)" if self.reordered else ""
        mark = "  [restarts tasks]" if self.restarts_tasks else ""
        values = f"{self._shown(self.before)} -> {self._shown(self.after)}"
        if values == f'"{MASK}" -> "{MASK}"':
            values += " (changed)"
        return f"{sign} {self.path}{order}: {values}{mark}"

    def _shown(self, value: Frozen | Absent) -> str:
        if value is ABSENT:
            return "absent"
        masked = self._masked(value)
        if isinstance(masked, int) and not isinstance(masked, bool) and self.keys[-1] in _DURATIONS:
            return duration_text(from_nanoseconds(masked))
        text = _text(masked)
        return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…"

    def _masked(self, value: Frozen | Absent) -> Any:
        if self.reordered:
            return _plain(value)
        return mask_document(self.keys, _plain(value))

    def to_dict(self) -> dict[str, Any]:
        """For machines: secrets masked; ``before`` or ``after`` is left out where absent."""
        values = {"before": self.before, "after": self.after}
        return {
            "path": self.path,
            **{name: self._masked(v) for name, v in values.items() if v is not ABSENT},
            "restarts_tasks": self.restarts_tasks,
            **({"reordered": True} if self.reordered else {}),
        }


def _shown_path(keys: Keys) -> str:
    # A key may carry a credential too: a label "https://user:password@host", say.
    return format_path([next(iter(mask_document((), {key: None}))) for key in keys])


def _plain(value: Frozen | Absent) -> Any:
    return value if value is ABSENT else copied(value, ())


def _text(value: Any) -> str:
    if isinstance(value, str):
        return f'"{printable(value)}"'
    if isinstance(value, dict):
        return "{" + ", ".join(f"{printable(k)}: {_text(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_text(item) for item in value) + "]"
    words = {None: "null", True: "true", False: "false"}
    return words[value] if value is None or isinstance(value, bool) else f"{value}"


@attrs.frozen
class Diff:
    """
    The changes from one spec to another; true if there is any.

    Printed, it is one line a change; secrets are masked and control characters escaped.
    """

    changes: tuple[Change, ...] = ()

    def __iter__(self) -> Iterator[Change]:
        return iter(self.changes)

    def __len__(self) -> int:
        return len(self.changes)

    @property
    def restarts_tasks(self) -> bool:
        """Does any of the changes restart tasks, in the worst case?"""
        return any(change.restarts_tasks for change in self.changes)

    def __str__(self) -> str:
        return "\n".join(str(change) for change in self.changes) or "no change"

    def to_dict(self) -> dict[str, Any]:
        """For machines, secrets masked."""
        return {
            "changes": [change.to_dict() for change in self.changes],
            "restarts_tasks": self.restarts_tasks,
        }


def compare(before: Document, after: Document) -> Diff:
    """Every difference between two documents, in the order of their keys."""
    return Diff(tuple(_objects((), before.to_engine(), after.to_engine())))


def _objects(keys: Keys, before: dict[str, Any], after: dict[str, Any]) -> Iterator[Change]:
    for key in [*before, *(key for key in after if key not in before)]:
        yield from _values((*keys, key), before.get(key, ABSENT), after.get(key, ABSENT))


def _values(keys: Keys, before: Any, after: Any) -> Iterator[Change]:
    if _equal(before, after):
        return
    if before is ABSENT and after and isinstance(after, dict):
        before = {}
    if isinstance(before, dict) and isinstance(after, dict):
        yield from _objects(keys, before, after)
        return
    if keys in _NAMED:
        named_before = _named(keys, [] if before is ABSENT and after else before)
        named_after = _named(keys, after)
        if named_before is not None and named_after is not None:
            yield from _lists(keys, named_before, named_after)
            return
    yield _change(keys, before, after)


def _equal(before: Any, after: Any) -> bool:
    if before is ABSENT or after is ABSENT or before != after:
        return before is after
    if type(before) is type(after) and not isinstance(before, dict | list):
        return True
    # Python takes True for 1, the engine does not.
    return Document({"": before}) == Document({"": after})


def _named(keys: Keys, items: Any) -> dict[str, Any] | None:
    """A list as a dict by the names of its items; None if it is no such list."""
    if not isinstance(items, list):
        return None
    named: dict[str, Any] = {}
    for item in items:
        try:
            name = _NAMED[keys](item)
        except (KeyError, TypeError, AttributeError):
            return None
        if name in named:
            return None
        named[name] = _entry_value(item) if keys[-1] == "Env" else item
    return named


def _entry_value(entry: str) -> str | None:
    _, equals, value = entry.partition("=")
    return value if equals else None


def _lists(keys: Keys, before: dict[str, Any], after: dict[str, Any]) -> Iterator[Change]:
    for key in [*before, *(key for key in after if key not in before)]:
        yield from _items((*keys, key), before.get(key, ABSENT), after.get(key, ABSENT))
    expected = [key for key in before if key in after] + [k for k in after if k not in before]
    if expected != list(after):
        change = _change(keys, list(before), list(after))
        yield attrs.evolve(change, restarts_tasks=_in_task(keys), reordered=True)


def _items(keys: Keys, before: Any, after: Any) -> Iterator[Change]:
    # Unlike a key, an item that comes or goes is one change: without its other half it is nothing.
    if isinstance(before, dict) and isinstance(after, dict):
        yield from _objects(keys, before, after)
    elif not _equal(before, after):
        change = _change(keys, before, after)
        # An item of a list counts whatever its value: "LOG=" and null are entries too.
        yield attrs.evolve(change, restarts_tasks=_in_task(keys))


def _change(keys: Keys, before: Any, after: Any) -> Change:
    return Change(
        path=_shown_path(keys),
        keys=keys,
        before=before if before is ABSENT else frozen(before),
        after=after if after is ABSENT else frozen(after),
        restarts_tasks=_in_task(keys) and not _same_to_engine(keys, before, after),
    )


def _in_task(keys: Keys) -> bool:
    # Up to engine 28 top-level networks are copied into a template that has none.
    return keys[0] in ("TaskTemplate", "EndpointSpec", "Networks")


def _same_to_engine(keys: Keys, before: Any, after: Any) -> bool:
    return _equal(_engine_value(keys, before), _engine_value(keys, after))


def _engine_value(keys: Keys, value: Any) -> Any:
    in_user_map = len(keys) > 1 and keys[-2] in ("Labels", "Options", "DriverOpts", "Sysctls")
    if value is ABSENT or (not in_user_map and is_unset(keys[-1], value)):
        return ABSENT
    return engine_form({keys[-1]: value}, in_user_map=in_user_map)[keys[-1]]
