"""
A JSON object as a value: frozen, hashable, comparable, edited by path.

Equality is the engine's: objects whatever the order of their keys, ``1`` equal to ``1.0``, but
``true`` not equal to ``1``, and an absent key not equal to ``null``.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from json import dumps
from math import isfinite
from typing import Any, TypeAlias

import attrs

from swarmroll.core.redact import mask_document, shown
from swarmroll.errors import SpecError
from swarmroll.printable import printable

Path: TypeAlias = str | Sequence[str | int]
"""``"TaskTemplate.Networks.0.Target"``, with ``\\.`` for a dot in a key, or the keys in a row."""

Frozen: TypeAlias = "bool | int | float | str | tuple[Frozen, ...] | Document | None"
"""JSON without anything that can be changed."""


class Absent(enum.Enum):
    """Nothing there; which is not the same as ``null``."""

    ABSENT = "ABSENT"

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT = Absent.ABSENT

MAX_DEPTH = 100
"""Levels of nesting. The engine's own documents have fewer than ten."""


@attrs.frozen(eq=False, repr=False)
class Document:
    """
    A frozen JSON object.

    Made by ``Document.from_engine()``; the initialiser takes what it is given without a copy.
    """

    _value: dict[str, Any]

    @classmethod
    def from_engine(cls, value: object, *, name: str = "document") -> Document:
        """
        Copy a JSON object, as the engine sends it.

        Raises:
            SpecError: It is no dict, or holds what JSON cannot: other types, keys that are not
                strings, NaN, integers beyond 64 bits, too many levels.

        """
        if not isinstance(value, dict):
            raise SpecError(f"{name} must be a JSON object (a dict), got {shown(value)}")
        return cls(copied(value, ()))

    def to_engine(self) -> dict[str, Any]:
        """The JSON object, as a copy that belongs to the caller."""
        copy: dict[str, Any] = _thawed(self._value)
        return copy

    @cached_property
    def _key(self) -> str:
        return dumps(_canonical(self._value), sort_keys=True, separators=(",", ":"))

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, Document):
            return NotImplemented
        return self._value is other._value or self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    def __repr__(self) -> str:
        return printable(f"Document({mask_document((), self._value)})")

    def __contains__(self, key: object) -> bool:
        return key in self._value

    def __iter__(self) -> Iterator[str]:
        return iter(self._value)

    def __len__(self) -> int:
        return len(self._value)

    def get(self, path: Path, default: Frozen = None) -> Frozen:
        """
        The value at a path, or ``default`` where the path leads nowhere.

        Raises:
            SpecError: The path is malformed.

        """
        found: Any = self._value
        for segment in parse_path(path):
            if isinstance(found, dict) and segment in found:
                found = found[segment]
            elif isinstance(found, list) and segment.isdecimal() and int(segment) < len(found):
                found = found[int(segment)]
            else:
                return default
        return frozen(found)

    def with_path(self, path: Path, value: object) -> Document:
        """
        The same document with another value at one path.

        Missing parents are made, as objects. In a list, the index after the last one appends.

        Raises:
            SpecError: The path is malformed or leads through something that has no keys; the
                value is not JSON.

        """
        segments = parse_path(path)
        return Document(_put(self._value, segments, 0, copied(value, segments)))

    def without_path(self, path: Path) -> Document:
        """
        The same document without one key or list item. Its parents stay, even if empty.

        Raises:
            SpecError: The path is malformed.

        """
        segments = parse_path(path)
        changed = _dropped(self._value, segments, 0)
        return self if changed is self._value else Document(changed)


def peek(document: Document, *path: str) -> Any:
    """
    Plain JSON inside a document, or None where there is nothing. To be read, never changed.

    Raises:
        SpecError: Something on the way is not an object.

    """
    found: Any = document._value  # noqa: SLF001 - a friend: the one reader without a copy
    for depth, key in enumerate(path):
        if found is None:
            return None
        if not isinstance(found, dict):
            raise SpecError(f"{format_path(path[:depth])} must be an object, got {shown(found)}")
        found = found.get(key)
    return found


def copied(value: object, path: tuple[str, ...]) -> Any:
    """
    A deep copy of JSON, checked on the way.

    Args:
        value: JSON; tuples are taken for lists, and documents for objects.
        path: Where it will stand, for errors.

    Raises:
        SpecError: It is not JSON.

    """
    kind = type(value)
    if kind is str or value is None or kind is bool:
        return value
    if isinstance(value, dict):
        return _copied_dict(value, path)
    if isinstance(value, list | tuple):
        _check_depth(path)
        return [copied(item, (*path, str(index))) for index, item in enumerate(value)]
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int | float):
        return _copied_number(value, path)
    if isinstance(value, Document):
        return value.to_engine()
    raise SpecError(f"{format_path(path)} must be JSON, got {shown(value)}")


def _copied_dict(value: dict[Any, Any], path: tuple[str, ...]) -> dict[str, Any]:
    _check_depth(path)
    copy = {}
    for key, item in value.items():
        if type(key) is not str:
            raise SpecError(f"{format_path(path)} must have strings as keys, got {shown(key)}")
        kind = type(item)
        # The common leaves, without another call: half of the time is spent here.
        copy[key] = item if kind is str or kind is bool else copied(item, (*path, key))
    return copy


def _check_depth(path: tuple[str, ...]) -> None:
    if len(path) > MAX_DEPTH:
        raise SpecError(
            f"{format_path(path[:3])}… must be nested less than {MAX_DEPTH} levels deep"
        )


def _copied_number(value: int | float, path: tuple[str, ...]) -> int | float:
    if isinstance(value, float):
        if not isfinite(value):
            raise SpecError(f"{format_path(path)} must be a finite number, got {shown(value)}")
        return float(value)
    if abs(value) >= 2**64:
        raise SpecError(f"{format_path(path)} must fit into 64 bits, got {shown(value)}")
    return int(value)


def _thawed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _thawed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_thawed(item) for item in value]
    return value


def _canonical(value: Any) -> Any:
    kind = type(value)
    if kind is dict:
        return {key: _canonical(item) for key, item in value.items()}
    if kind is list:
        return [_canonical(item) for item in value]
    if kind is float and value.is_integer():
        return int(value)
    return value


def frozen(value: Any) -> Frozen:
    """Plain JSON as a value that cannot be changed: objects as documents, lists as tuples."""
    if isinstance(value, dict):
        return Document(value)
    if isinstance(value, list):
        return tuple(frozen(item) for item in value)
    found: bool | int | float | str | None = value
    return found


def _put(node: Any, path: tuple[str, ...], depth: int, value: Any) -> Any:
    if depth == len(path):
        return value
    segment = path[depth]
    if node is None:
        node = {}
    if isinstance(node, dict):
        return {**node, segment: _put(node.get(segment), path, depth + 1, value)}
    if isinstance(node, list):
        index = _index(segment, path[:depth], len(node))
        old = node[index] if index < len(node) else None
        return [*node[:index], _put(old, path, depth + 1, value), *node[index + 1 :]]
    raise SpecError(
        f"{format_path(path)} must lead through objects and lists, "
        f"but {format_path(path[:depth])} is {shown(node, key=path[depth - 1])}"
    )


def _index(segment: str, path: tuple[str, ...], length: int) -> int:
    if segment.isdecimal() and segment.isascii() and len(segment) < 10 and int(segment) <= length:
        return int(segment)
    raise SpecError(
        f"{format_path(path)} is a list: wanted an index from 0 to {length}, got {shown(segment)}"
    )


def _dropped(node: Any, path: tuple[str, ...], depth: int) -> Any:
    """The node without what the path leads to; the very same node if it leads nowhere."""
    key: Any = path[depth]
    if isinstance(node, list) and key.isdecimal():
        key = int(key)
        if key >= len(node):
            return node
    elif not isinstance(node, dict) or key not in node:
        return node
    copy = node.copy()
    if depth + 1 == len(path):
        del copy[key]
        return copy
    copy[key] = _dropped(node[key], path, depth + 1)
    return node if copy[key] is node[key] else copy


_SEGMENT = re.compile(r"((?:[^.\\]|\\[.\\])+)(?:\.(?!$)|$)", re.DOTALL)


def parse_path(path: Path) -> tuple[str, ...]:
    r"""
    The keys of a path.

    ``"Labels.com\.example\.team"`` and ``("Labels", "com.example.team")`` are the same path.

    Raises:
        SpecError: It is empty, has an empty key, or a backslash before anything but ``.`` and
            ``\``.

    """
    if not isinstance(path, str):
        return _checked_keys(path)
    segments, at = [], 0
    while match := _SEGMENT.match(path, at):
        segments.append(re.sub(r"\\(.)", r"\1", match[1]))
        at = match.end()
        if at == len(path):
            return tuple(segments)
    raise SpecError(
        "a path must be keys with dots between them, such as TaskTemplate.ContainerSpec.Image "
        f"(a dot inside a key is written \\.), got {shown(path)}"
    )


def _checked_keys(path: object) -> tuple[str, ...]:
    if not isinstance(path, Sequence) or not path:
        raise SpecError(f"a path must be a string or a list of keys, got {shown(path)}")
    for key in path:
        if not isinstance(key, str | int) or isinstance(key, bool):
            raise SpecError(f"a path must consist of keys and indices, got {shown(key)}")
    return tuple(str(key) for key in path)


def format_path(path: Sequence[str]) -> str:
    """Keys as one path, such as ``parse_path()`` reads; for the whole document ``spec``."""
    if not path:
        return "spec"
    if all(key.isascii() and key.isidentifier() for key in path):
        return ".".join(path)
    return printable(".".join(re.sub(r"([.\\])", r"\\\1", key) for key in path))
