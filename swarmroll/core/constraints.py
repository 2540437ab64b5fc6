"""
Placement constraints, read and judged as swarmkit does.

Source: swarmkit manager/constraint/constraint.go.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Protocol

import attrs

from swarmroll.core.redact import shown
from swarmroll.errors import SpecError


class NodeLike(Protocol):
    """What constraints may ask of a node."""

    @property
    def id(self) -> str:
        """Id of the node."""

    @property
    def hostname(self) -> str:
        """Its hostname; empty if not known."""

    @property
    def role(self) -> str:
        """``worker`` or ``manager``."""

    @property
    def labels(self) -> Mapping[str, str]:
        """Labels of the node."""

    @property
    def engine_labels(self) -> Mapping[str, str]:
        """Labels of the node's engine."""

    @property
    def os(self) -> str:
        """Operating system, such as ``linux``."""

    @property
    def arch(self) -> str:
        """Architecture, such as ``x86_64``."""

    @property
    def addr(self) -> str:
        """IP address, without a port."""


@attrs.frozen(kw_only=True)
class Constraint:
    """One condition: ``key == value``, or ``key != value`` (then ``equal`` is False)."""

    key: str
    equal: bool
    value: str

    @classmethod
    def parse(cls, text: str, *, name: str = "constraint") -> Constraint:
        """
        Read a constraint.

        Raises:
            SpecError: The engine would refuse it.

        """
        # "==" is looked for first, anywhere in the text, as swarmkit does.
        equal = "==" in text
        key, operator, value = text.partition("==" if equal else "!=")
        key, value = key.strip(), value.strip()
        if not operator or not _KEY.fullmatch(key) or not _VALUE.fullmatch(value):
            raise SpecError(
                f'{name} must be such as "node.role == worker" or "node.labels.disk != hdd", '
                f"got {shown(text)}"
            )
        return cls(key=key, equal=equal, value=value)

    def met_by(self, node: NodeLike) -> bool:
        """Does the node meet it? A key that swarmkit does not know is met by none."""
        key = self.key.lower()
        if key == "node.ip":
            return self._met_by_address(node.addr)
        for prefix, labels in (("node.labels.", "labels"), ("engine.labels.", "engine_labels")):
            if key.startswith(prefix) and len(key) > len(prefix):
                # The label itself is case sensitive. A missing one counts as empty.
                label = getattr(node, labels).get(self.key[len(prefix) :], "")
                return self._matches(label)
        attribute = _ATTRIBUTES.get(key)
        return attribute is not None and self._matches(getattr(node, attribute))

    def _matches(self, text: str) -> bool:
        return _same_folded(self.value, text) == self.equal

    def _met_by_address(self, text: str) -> bool:
        address = _address(text)
        if (wanted := _address(self.value)) is not None:
            return (address == wanted) == self.equal
        if not re.fullmatch(r"[^/]+/\d{1,3}", self.value):
            return False
        try:
            network = ip_network(self.value, strict=False)
        except ValueError:
            return False
        return (address is not None and address in network) == self.equal


_KEY = re.compile(r"[a-z_][a-z0-9\-_.]+", re.IGNORECASE)
_VALUE = re.compile(r"[a-z0-9:\-_\s.*()?+\[\]\\^$|/]+", re.IGNORECASE | re.ASCII)
_ATTRIBUTES = {
    "node.id": "id",
    "node.hostname": "hostname",
    "node.role": "role",
    "node.platform.os": "os",
    "node.platform.arch": "arch",
}


def _same_folded(one: str, other: str) -> bool:
    # Go's strings.EqualFold folds letter by letter: "ß" is not "ss".
    return len(one) == len(other) and one.casefold() == other.casefold()


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def satisfies(constraints: Iterable[str], node: NodeLike) -> bool:
    """
    Does a node meet all of these constraints?

    If one of them is malformed, none counts: swarmkit ignores the error of its parser
    (manager/orchestrator/task.go, nodeMatches). The engine stores no such spec, though.
    """
    try:
        parsed = [Constraint.parse(text) for text in constraints]
    except SpecError:
        return True
    return all(constraint.met_by(node) for constraint in parsed)
