"""
Filters of lists and events, as a query has them.

After moby api/types/filters (parse.go) and daemon/cluster/filters.go, and swarmkit
manager/controlapi: names and ids are prefixes, the values of one key are alternatives (labels are
not), the keys must all be met.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

from swarmroll.errors import EngineError

Filters = Mapping[str, Sequence[str]]


def parse(text: str | None, accepted: frozenset[str] | None = None) -> Filters:
    """
    The filters of a query.

    Args:
        text: JSON: lists of values by key, or (the older form) objects with the values as keys.
        accepted: The keys that this request knows; None accepts any.

    Raises:
        EngineError: No JSON, or a key that is not accepted, HTTP 400.
    """
    if not text:
        return {}
    try:
        given = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise _invalid(exc) from None
    if not isinstance(given, dict):
        raise _invalid(f"cannot unmarshal {type(given).__name__} into filters")
    found = {key: _values(value) for key, value in given.items()}
    for key in found:
        if accepted is not None and key not in accepted:
            raise EngineError(f"invalid filter '{key}'", status=400)
    return found


def _values(value: object) -> list[str]:
    if isinstance(value, dict):
        return [key for key, wanted in value.items() if wanted]
    if isinstance(value, list):
        return [str(item) for item in value]
    raise _invalid(f"cannot unmarshal {type(value).__name__} into a list of strings")


def _invalid(why: object) -> EngineError:
    return EngineError(f"invalid filter: {why}", status=400)


def prefix(filters: Filters, key: str, *names: str) -> bool:
    """Whether one of the names begins with one of the values, or the key is not asked for."""
    values = filters.get(key)
    return not values or any(name.startswith(value) for value in values for name in names)


def exact(filters: Filters, key: str, name: str) -> bool:
    """Whether the name is one of the values, or the key is not asked for."""
    values = filters.get(key)
    return not values or name in values


def pattern(filters: Filters, key: str, name: str) -> bool:
    """Whether one of the values, a regular expression, is found in the name."""
    values = filters.get(key)
    return not values or any(_search(value, name) for value in values)


def _search(value: str, name: str) -> bool:
    try:
        return re.search(value, name) is not None
    except re.error:
        return value in name


def labels(filters: Filters, key: str, given: Mapping[str, str]) -> bool:
    """Whether all labels are there: ``name``, or ``name=value``."""
    for wanted in filters.get(key) or ():
        name, equals, value = wanted.partition("=")
        if name not in given or (equals and value and given[name] != value):
            return False
    return True
