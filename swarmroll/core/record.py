"""Values as JSON documents, and back: what a report, or a record of one, is kept as."""

from __future__ import annotations

import enum
import functools
import types
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import attrs

from swarmroll.core.spec import ServiceSpec

T = TypeVar("T")


def to_document(
    value: object, *, spec: Callable[[ServiceSpec], object], text: Callable[[str], str] = str
) -> Any:
    """
    What JSON can hold of a value made of attrs classes, enums, tuples, sets and mappings.

    Args:
        spec: How a service spec is kept: masked, or whole.
        text: What becomes of every other string.
    """
    # One spec stands in a rollout many times: as live, baseline, target, and in steps.
    specs: dict[int, object] = {}

    def one(value: object) -> Any:
        kind: Any = type(value)
        if kind is str:
            return text(cast(str, value))
        if value is None or kind in _PLAIN:
            return value
        match value:
            case ServiceSpec():
                if id(value) not in specs:
                    specs[id(value)] = spec(value)
                return specs[id(value)]
            case enum.Enum():
                return value.value
            case Mapping():
                return {str(key): one(item) for key, item in value.items()}
            case frozenset():
                return sorted(one(item) for item in value)
            case tuple():
                return [one(item) for item in value]
            case _:
                return {name: one(getattr(value, name)) for name in _names(kind)}

    return one(value)


_PLAIN = frozenset({int, float, bool})


@functools.cache
def _names(kind: Any) -> tuple[str, ...]:
    return tuple(field.name for field in _fields(kind))


def from_document(
    kind: type[T], document: object, *, spec: Callable[[object], ServiceSpec] | None = None
) -> T:
    """
    Read back what ``to_document`` gave; keys that the kind does not know are passed over.

    Args:
        spec: Reads a service spec from what it was kept as; None where it was kept whole.

    Raises:
        ValueError: It is not such a document; the message says where.
    """
    return cast(T, _Reading(spec or ServiceSpec.from_engine).read(kind, document, "$"))


def _fields(kind: Any) -> tuple[attrs.Attribute[object], ...]:
    return cast("tuple[attrs.Attribute[object], ...]", attrs.fields(kind))


@functools.cache
def _hints(kind: Any) -> Mapping[str, Any]:
    return get_type_hints(kind)


class _Reading:
    """One document on its way back."""

    def __init__(self, spec: Callable[[object], ServiceSpec]) -> None:
        self._spec = spec

    def read(self, kind: Any, value: object, where: str) -> object:
        origin, inner = get_origin(kind), get_args(kind)
        if origin in (Union, types.UnionType):
            return self._one_of(inner, value, where)
        if origin in (tuple, frozenset):
            items = _wanted(value, list, where)
            return origin(
                self.read(inner[0], item, f"{where}[{i}]") for i, item in enumerate(items)
            )
        if origin is not None:
            pairs = _wanted(value, dict, where)
            return {key: self.read(inner[1], item, f"{where}.{key}") for key, item in pairs.items()}
        if kind is ServiceSpec:
            return self._spec(_wanted(value, dict, where))
        if attrs.has(kind):
            return self._attrs(kind, _wanted(value, dict, where), where)
        if issubclass(kind, enum.Enum):
            try:
                return kind(value)
            except ValueError as exc:
                raise ValueError(f"{where}: {exc}") from None
        return _read_plain(kind, value, where)

    def _attrs(self, kind: Any, document: dict[str, object], where: str) -> object:
        hints = _hints(kind)
        words = {}
        for field in _fields(kind):
            if field.name in document:
                at = f"{where}.{field.name}"
                words[field.name] = self.read(hints[field.name], document[field.name], at)
            elif field.default is attrs.NOTHING:
                raise ValueError(f"{where}: {field.name} is missing")
        return kind(**words)

    def _one_of(self, kinds: tuple[Any, ...], value: object, where: str) -> object:
        if value is None and types.NoneType in kinds:
            return None
        others = [kind for kind in kinds if kind is not types.NoneType]
        for kind in others[:-1]:
            if isinstance(value, kind):
                return value
        return self.read(others[-1], value, where)


def _read_plain(kind: Any, value: object, where: str) -> object:
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return _wanted(value, kind, where)


def _wanted(value: object, kind: Any, where: str) -> Any:
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise ValueError(f"{where}: wanted {kind.__name__}, got {type(value).__name__}")
    return value
