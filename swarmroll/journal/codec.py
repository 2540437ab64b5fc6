"""
Shelves and entries as text and bytes, and back: versioned, compressed, and with a checksum.

A spec is written once, however often it occurs, and named by its number everywhere else; of one
that differs from another in the rollout label alone, only the label is written. What is read is not
believed: a checksum must hold, sizes have limits, and every value must be of its kind.
"""

from __future__ import annotations

import base64
import binascii
import functools
import hashlib
import json
import lzma
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs

from swarmroll.core.plan import Plan
from swarmroll.core.record import from_document, to_document
from swarmroll.core.report import Evidence, Report
from swarmroll.core.spec import ROLLOUT_LABEL, ServiceSpec
from swarmroll.core.state import LASTING, State
from swarmroll.errors import JournalError
from swarmroll.journal.port import Record
from swarmroll.journal.shelf import Entry, Holder, Line, Shelf

FORMAT = 1

LARGEST = 16 * 1024 * 1024
"""Bytes that one document may have before it is packed; an engine takes a spec of about one MB."""

LONG = 32 * 1024
"""Bytes from which a compressor with a long memory is worth its time: large specs repeat."""

_XZ = b"\xfd7zXZ"
# The quickest, with a memory that reaches over a whole document.
_FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": LARGEST}]


class Damaged(ValueError):
    """What was read is not what was written; the message says in what way."""


class Newer(ValueError):
    """What was read was written by a newer swarmroll."""


# --- bytes


def pack(document: object) -> bytes:
    """
    A JSON document, compressed.

    Raises:
        JournalError: It is too large for any journal.
    """
    text = json.dumps(document, separators=(",", ":")).encode()
    if len(text) > LARGEST:
        raise JournalError(
            f"a record of {len(text) >> 20} MiB is more than a journal keeps"
            f" ({LARGEST >> 20} MiB): the service's spec is too large; nothing was written"
        )
    return zlib.compress(text, 9) if len(text) < LONG else lzma.compress(text, filters=_FILTERS)


def unpack(data: bytes) -> Any:
    """
    Read back what ``pack`` gave.

    Raises:
        Damaged: It is not that.
    """
    try:
        if data.startswith(_XZ):
            text = lzma.LZMADecompressor().decompress(data, LARGEST)
        else:
            text = zlib.decompressobj().decompress(data, LARGEST)
        return json.loads(text)
    except (zlib.error, lzma.LZMAError, EOFError, ValueError, RecursionError) as exc:
        raise Damaged("it is cut off, or was changed") from exc


def shown(data: bytes) -> str:
    """Packed bytes as text."""
    return base64.b64encode(data).decode()


def hidden(text: object) -> bytes:
    """
    Text as packed bytes.

    Raises:
        Damaged: It is no such text.
    """
    try:
        return base64.b64decode(text if isinstance(text, str) else "?", validate=True)
    except (binascii.Error, ValueError) as exc:
        raise Damaged("it is cut off, or was changed") from exc


def name_of(data: bytes) -> str:
    """What a part is called: by what is in it."""
    return hashlib.sha256(data).hexdigest()[:40]


def pieces(data: bytes, limit: int) -> dict[str, bytes]:
    """A packed document in parts of a bounded size, by their names, in order."""
    cut = [data[at : at + limit] for at in range(0, len(data), limit)]
    return {name_of(piece): piece for piece in cut}


# --- specs


class Specs:
    """The specs of a document, each once."""

    def __init__(self, known: Iterable[ServiceSpec] = ()) -> None:
        self._known = list(known)
        self._before = len(self._known)

    @property
    def all(self) -> tuple[ServiceSpec, ...]:
        """Every spec, by its number."""
        return tuple(self._known)

    def new(self) -> list[dict[str, Any]]:
        """Those that were not known at the beginning, as documents."""
        return [spec.to_engine() for spec in self._known[self._before :]]

    def number(self, spec: ServiceSpec) -> dict[str, object]:
        """What stands for a spec."""
        label = spec.rollout_label
        for number, known in enumerate(self._known):
            if known is spec or known == spec:
                return {"spec": number}
            if label and known.same_as(spec) and known.with_label(ROLLOUT_LABEL, label) == spec:
                return {"spec": number, "rollout": label}
        self._known.append(spec)
        return {"spec": len(self._known) - 1}

    def spec(self, document: object) -> ServiceSpec:
        """
        The spec that something stands for.

        Raises:
            ValueError: None does.
        """
        match document:
            case {"spec": int(number), **rest} if 0 <= number < len(self._known):
                found, label = self._known[number], rest.get("rollout")
                return found if label is None else found.with_label(ROLLOUT_LABEL, str(label))
        raise Damaged("it names a spec that it does not have")


def _specs(documents: object, known: Sequence[ServiceSpec] = ()) -> Specs:
    if not isinstance(documents, list):
        raise Damaged("its specs are missing")
    return Specs([*known, *(ServiceSpec.from_engine(document) for document in documents)])


# --- the rollout under way: its plan, which never changes, and its progress


@attrs.frozen
class Bound:
    """A plan as it was read or written, with the specs that its progress may name."""

    plan: Plan
    document: Any
    specs: tuple[ServiceSpec, ...]


def plan_document(plan: Plan) -> tuple[Any, Bound]:
    """A plan, to be packed; and what its progress is written against."""
    specs = Specs()
    document = to_document(plan, spec=specs.number)
    return {"plan": document, "specs": specs.new()}, Bound(plan, document, specs.all)


def read_plan(document: Any) -> Bound:
    """
    Read back a plan.

    Raises:
        ValueError: It is none.
    """
    specs = _specs(_at(document, "specs"))
    inner = _at(document, "plan")
    return Bound(from_document(Plan, inner, spec=specs.spec), inner, specs.all)


def progress_document(record: Record, bound: Bound) -> Any:
    """What changes of a record."""
    specs = Specs(bound.specs)
    state = {
        name: to_document(getattr(record.state, name), spec=specs.number)
        for name in LASTING
        if name != "plan"
    }
    evidence = {key: to_document(one, spec=specs.number) for key, one in record.evidence.items()}
    return {
        "state": state,
        "evidence": evidence,
        "started_at": record.started_at,
        "engine_requests": record.engine_requests,
        "specs": specs.new(),
    }


def read_record(document: Any, bound: Bound) -> Record:
    """
    Read back a record.

    Raises:
        ValueError: It is none.
    """
    specs = _specs(_at(document, "specs"), bound.specs)
    state = from_document(
        State, {**_at(document, "state"), "plan": bound.document}, spec=specs.spec
    )
    evidence = {
        str(key): from_document(Evidence, one) for key, one in _at(document, "evidence").items()
    }
    return Record(
        state=state,
        evidence=evidence,
        started_at=from_document(float, _at(document, "started_at")),
        engine_requests=from_document(int, _at(document, "engine_requests")),
    )


# --- finished rollouts


def entry_document(entry: Entry) -> Any:
    """A finished rollout: its report with secrets masked, and the specs that it proved, whole."""
    good = [spec.to_engine() for spec in entry.good]
    return {"format": FORMAT, "report": entry.report.to_dict(), "good": good}


def read_entry(document: Any) -> Entry:
    """
    Read back a finished rollout.

    Raises:
        ValueError: It is none.
    """
    _check_format(document)
    good = tuple(ServiceSpec.from_engine(spec) for spec in _at(document, "good"))
    return Entry(report=Report.from_dict(_at(document, "report")), good=good)


# --- the head: everything that is replaced as a whole


def head_text(shelf: Shelf, opened: Mapping[str, object] | None) -> str:
    """
    A shelf as one line of JSON, with its checksum.

    Args:
        opened: Where plan and progress of the rollout under way are kept.
    """
    document = {
        "format": FORMAT,
        "turns": shelf.turns,
        "stamp": shelf.stamp,
        "holder": None if shelf.holder is None else attrs.asdict(shelf.holder),
        "open": opened,
        "lines": [_line_document(line) for line in shelf.lines],
    }
    return json.dumps({**document, "sum": _sum(document)}, separators=(",", ":"))


@functools.lru_cache(maxsize=1000)
def _line_document(line: Line) -> Any:
    """Written again with each head; it never changes, and nobody changes what this gives."""
    return to_document(line, spec=_no_spec)


@attrs.frozen(kw_only=True)
class Head:
    """A head as it was read: a shelf without its record, and where that is kept."""

    shelf: Shelf
    opened: Mapping[str, Any] | None


def read_head(text: str) -> Head:
    """
    Read back a head.

    Raises:
        Damaged: It is cut off, or was changed.
        Newer: It was written by a newer swarmroll.
        ValueError: It is none.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise Damaged("it is cut off, or was changed") from exc
    _check_format(document)
    if document.pop("sum", None) != _sum(document):
        raise Damaged("its checksum is wrong: it was changed by somebody")
    holder, lines = _at(document, "holder"), _at(document, "lines")
    shelf = Shelf(
        turns=from_document(int, _at(document, "turns")),
        stamp=from_document(str, _at(document, "stamp")),
        holder=None if holder is None else from_document(Holder, holder),
        lines=tuple(from_document(Line, line) for line in lines),
    )
    return Head(shelf=shelf, opened=_at(document, "open"))


def _no_spec(_: ServiceSpec) -> object:
    raise AssertionError("a line has no spec")


def _sum(document: Mapping[str, object]) -> str:
    text = json.dumps(document, separators=(",", ":"), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _check_format(document: Any) -> None:
    number = document.get("format") if isinstance(document, dict) else None
    if not isinstance(number, int):
        raise Damaged("it is not a record of swarmroll")
    if number > FORMAT:
        raise Newer(
            f"it has format {number}, and this swarmroll knows formats up to {FORMAT}:"
            " use the newer swarmroll that wrote it"
        )


def _at(document: Any, key: str) -> Any:
    if not isinstance(document, dict) or key not in document:
        raise Damaged(f"{key} is missing")
    return document[key]
