"""Text maps of a service spec: labels and options, and the environment, which is a list in it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from swarmroll.core.redact import mask_document, shown
from swarmroll.errors import SpecError
from swarmroll.printable import printable


class TextMap(Mapping[str, str]):
    """An immutable mapping of texts, in the order given. Its ``repr`` masks secrets."""

    __slots__ = ("_items",)
    _items: dict[str, str]

    def __init__(self, items: Mapping[str, str] | Iterable[tuple[str, str]] = ()) -> None:
        self._items = dict(items)

    def __getitem__(self, key: str) -> str:
        return self._items[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __hash__(self) -> int:
        return hash(frozenset(self._items.items()))

    def __repr__(self) -> str:
        return printable(f"{type(self).__name__}({mask_document((), self._items)})")


class Environment(TextMap):
    """
    The environment of a container: names and values.

    Of several entries with the same name the last one counts, as for the container.

    Attributes:
        entries: Everything as the engine holds it, also duplicates and entries without ``=``
            (which Docker takes for "unset"; they have no value, so the mapping leaves them out).

    """

    __slots__ = ("entries",)
    entries: tuple[str, ...]

    def __init__(self, entries: Iterable[str] = ()) -> None:
        self.entries = tuple(entries)
        pairs = (entry.partition("=") for entry in self.entries)
        super().__init__((name, value) for name, equals, value in pairs if equals)


def name_of(entry: str) -> str:
    """The name in an entry of the environment."""
    return entry.partition("=")[0]


def changed(entries: list[str], changes: Mapping[str, str | int | None]) -> list[str]:
    """
    Entries after some changes: a value sets, None removes.

    A changed entry stays in its place and what is not named stays as it is. Of duplicates, the last
    is changed, and all are removed.

    Raises:
        SpecError: A name or a value that no environment can hold.

    """
    result = list(entries)
    for name, value in changes.items():
        _check_name(name)
        places = [at for at, entry in enumerate(result) if name_of(entry) == name]
        if value is None:
            result = [entry for entry in result if name_of(entry) != name]
        elif places:
            result[places[-1]] = f"{name}={_value(name, value)}"
        else:
            result.append(f"{name}={_value(name, value)}")
    return result


def _check_name(name: object) -> None:
    if not isinstance(name, str) or not name or re.search(r"[=\s\x00-\x1f\x7f]", name):
        raise SpecError(f"env must have names without white space and =, got {shown(name)}")


def _value(name: str, value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise SpecError(
            f"env.{printable(name)} must be a string, an integer, or None to remove it, "
            f"got {shown(value)}"
        )
    if "\0" in value:
        raise SpecError(f"env.{printable(name)} must not contain a NUL character")
    return value
