"""From runs to tables: medians, ratios, and the aims beside what was measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from statistics import median, quantiles
from typing import Any

Row = dict[str, Any]

CORES = 2
"""Above a load of twice as many, a run is marked."""

_BEGIN, _END = "<!-- measured: begin -->", "<!-- measured: end -->"


def write_into(page: Path, tables: str) -> None:
    """Put the tables where the page wants them."""
    text = page.read_text(encoding="utf-8")
    before, begin, rest = text.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise ValueError(f"{page} has no place for tables: {_BEGIN} ... {_END}")
    page.write_text(f"{before}{_BEGIN}\n\n{tables}\n{_END}{after}", encoding="utf-8")


def tables(rows: Sequence[Row]) -> str:
    """All of them, as Markdown."""
    updates = [row for row in rows if row["kind"] == "update"]
    parts = [_section("Aims", _aims(rows))]
    if updates:
        parts += [
            _section("Return after the engine's completion", _lags(updates)),
            _section("Cost of an update", _costs(updates)),
            _section("Predicted and real duration", _predictions(updates)),
        ]
    failing = [row for row in rows if row["kind"] == "failing"]
    if failing:
        parts.append(_section("Releases that fail", _failures(failing)))
    parts.append(_heavy(rows))
    return "\n".join(parts)


# --- the aims ---------------------------------------------------------------------------------


def _aims(rows: Sequence[Row]) -> str:
    lines = [line for measure in _AIMS for line in measure(rows)]
    return _table(["what", "aim", "measured", "n", ""], lines)


def _judged(what: str, aim: str, measured: str, n: int, good: bool) -> list[str]:
    return [what, aim, measured, str(n), "met" if good else "**missed**"]


def _lag_aim(rows: Sequence[Row]) -> Iterator[list[str]]:
    ours, cli, floor = (_of(rows, "update", peer) for peer in ("swarmroll", "docker CLI", "floor"))
    if not (ours and cli and floor):
        return
    for what, key in (("`update()` returned", "call_lag"), ("process gone", "lag")):
        lag = _median(ours, key)
        for peer, runs, most in (("docker CLI", cli, 1 / 4), ("floor client", floor, 3)):
            theirs = _median(runs, key)
            yield _judged(
                f"{what} after the engine's completion, against the {peer}",
                f"{most:g} x",
                f"{_ms(lag)} of {_ms(theirs)} = {lag / theirs:.2f} x",
                len(ours),
                lag <= most * theirs,
            )


def _early_aim(rows: Sequence[Row]) -> Iterator[list[str]]:
    ours = _of(rows, "update", "swarmroll")
    if ours:
        early = sum(row["call_lag"] < 0 for row in ours)
        yield _judged("early returns", "0", str(early), len(ours), early == 0)


def _request_aim(rows: Sequence[Row]) -> Iterator[list[str]]:
    for what, key in (("of the rollout", "after_plan"), ("of the whole process", "requests")):
        ours = [row for row in _of(rows, "update", "swarmroll") if row.get(key)]
        if ours:
            over = [row[key] - allowed(row) for row in ours]
            within = sum(each <= 0 for each in over)
            spread = f"median {median(over):+.1f}, worst {max(over):+.1f}"
            yield _judged(
                f"requests {what}",
                "8 + 0.3/s, + 1.2/s while we watch",
                f"{within} of {len(ours)} within; {spread}",
                len(ours),
                within == len(ours),
            )


def allowed(row: Row) -> float:
    """
    Requests that an update may cost.

    We watch from the moment when the first new task may have outlived the engine's monitor.
    """
    return 8 + 0.3 * float(row["seconds"]) + 1.2 * float(row["watched_alone"])


def _bytes_aim(rows: Sequence[Row]) -> Iterator[list[str]]:
    ours, cli = (_in(rows, "30-p5", peer) for peer in ("swarmroll", "docker CLI"))
    if ours and cli:
        mine, theirs = _median(ours, "received"), _median(cli, "received")
        words = f"{_size(mine)} of {_size(theirs)} = {mine / theirs:.3f} x"
        yield _judged(
            "bytes received, 30 replicas, parallelism 5",
            "1/10",
            words,
            len(ours),
            mine <= theirs / 10,
        )


def _cpu_aim(rows: Sequence[Row]) -> Iterator[list[str]]:
    for cell, most in (("3-p1", 1.4), ("30-p1", 0.8)):
        ours, loop = (_in(rows, cell, peer) for peer in ("swarmroll", "docker-py, status"))
        if ours and loop:
            mine, theirs = _median(ours, "cpu"), _median(loop, "cpu")
            what = f"CPU of the whole process, {_median(ours, 'seconds'):.0f} s update ({cell})"
            words = f"{_ms(mine)} of {_ms(theirs)} = {mine / theirs:.2f} x"
            aim = f"{most} x the docker-py loop"
            yield _judged(what, aim, words, len(ours), mine <= most * theirs)


def _notice_aim(rows: Sequence[Row]) -> Iterator[list[str]]:
    ours = _of(rows, "failing", "swarmroll")
    if ours:
        late = _median(ours, "notice")
        named = sum(row["named"] for row in ours)
        what = "first notice after the engine's decision on a bad release"
        yield _judged(what, "30 ms", _ms(late), len(ours), late <= 0.030)
        what = "... with slot, node, error and exit code"
        yield _judged(what, "all", f"{named} of {len(ours)}", len(ours), named == len(ours))


def _late_aim(rows: Sequence[Row]) -> Iterator[list[str]]:
    ours = _of(rows, "late", "swarmroll")
    if ours:
        for cell in dict.fromkeys(row["cell"] for row in ours):
            some = [row for row in ours if row["cell"] == cell]
            took = _median(some, "decided")
            words = f"{took:.2f} s; then {_ms(_median(some, 'written'))} to the write"
            yield _judged(
                f"bad task that the engine does not watch, to our decision: {cell}",
                "0.6 s",
                words,
                len(some),
                took <= 0.6,
            )


def _look_aim(rows: Sequence[Row]) -> Iterator[list[str]]:
    ours, theirs = (_of(rows, "look", way) for way in ("swarmroll", "docker-py"))
    if ours and theirs:
        cell = ours[0]["cell"]
        mine, other = _median(ours, "cpu"), _median(theirs, "cpu")
        words = f"{_ms(mine)} of {_ms(other)} = {mine / other:.3f} x"
        yield _judged(
            f"one look at {cell}: CPU", "1/8 of docker-py", words, len(ours), mine <= other / 8
        )
        mine, other = _median(ours, "peak"), _median(theirs, "peak")
        words = f"{mine:.0f} MiB of {other:.0f} MiB = {mine / other:.2f} x"
        yield _judged(
            f"one look at {cell}: peak memory",
            "1/2 of docker-py",
            words,
            len(ours),
            mine <= other / 2,
        )


def _import_aim(rows: Sequence[Row]) -> Iterator[list[str]]:
    ours, theirs, bare = (_of(rows, "import", name) for name in ("swarmroll", "docker", "nothing"))
    if ours and theirs:
        mine, other = _median(ours, "seconds"), _median(theirs, "seconds")
        words = f"{_ms(mine)} of {_ms(other)} = {mine / other:.2f} x"
        words += f" (Python alone: {_ms(_median(bare, 'seconds'))})"
        yield _judged(
            "`import swarmroll`", "1/2 of `import docker`", words, len(ours), mine <= other / 2
        )
    used, theirs = (_of(rows, "import", name) for name in ("all of swarmroll", "docker"))
    if used and theirs:
        mine, other = _median(used, "seconds"), _median(theirs, "seconds")
        words = f"{_ms(mine)} of {_ms(other)} = {mine / other:.2f} x"
        yield ["everything that an update needs, imported", "", words, str(len(used)), ""]


def _prediction_aim(rows: Sequence[Row]) -> Iterator[list[str]]:
    ours = [row for row in _of(rows, "update", "swarmroll") if row["predicted"]]
    if ours:
        cells = list(dict.fromkeys(row["cell"] for row in ours))
        off = {
            cell: _median([r for r in ours if r["cell"] == cell], "predicted")
            / _median([r for r in ours if r["cell"] == cell], "engine")
            - 1
            for cell in cells
        }
        worst = max(off, key=lambda cell: abs(off[cell]))
        within = sum(abs(each) <= 0.2 for each in off.values())
        words = f"{within} of {len(off)} cells; worst {off[worst]:+.0%} ({worst})"
        yield _judged("predicted duration", "within 20 %", words, len(ours), within == len(off))


_AIMS: tuple[Callable[[Sequence[Row]], Iterator[list[str]]], ...] = (
    _lag_aim,
    _early_aim,
    _request_aim,
    _bytes_aim,
    _cpu_aim,
    _notice_aim,
    _late_aim,
    _look_aim,
    _import_aim,
    _prediction_aim,
)


# --- the tables -------------------------------------------------------------------------------


def _lags(updates: Sequence[Row]) -> str:
    peers = _names(updates, "peer")
    lines = []
    for cell in _names(updates, "cell"):
        some = [row for row in updates if row["cell"] == cell]
        each = [[r for r in some if r["peer"] == peer] for peer in peers]
        counts = "/".join(str(n) for n in sorted({len(runs) for runs in each if runs}))
        lags = [_ms(_median(runs, "lag")) if runs else "" for runs in each]
        lines.append([cell, counts, f"{_median(some, 'engine'):.1f} s", *lags])
    pooled = [[r["lag"] for r in updates if r["peer"] == peer] for peer in peers]
    lines.append(["all: median", "", "", *(_ms(median(lags)) for lags in pooled)])
    lines.append(["all: 95 %", "", "", *(_ms(_high(lags)) for lags in pooled)])
    early = [sum(lag < 0 for lag in lags) for lags in pooled]
    told = [f"{bad} of {len(lags)}" for bad, lags in zip(early, pooled, strict=True)]
    lines.append(["early", "", "", *told])
    return _table(["cell", "n", "engine", *peers], lines)


def _costs(updates: Sequence[Row]) -> str:
    lines = []
    for cell in _names(updates, "cell"):
        for peer in _names(updates, "peer"):
            runs = [r for r in updates if r["cell"] == cell and r["peer"] == peer]
            if runs:
                figures = [
                    f"{_median(runs, 'requests'):.0f}",
                    _size(_median(runs, "received")),
                    _ms(_median(runs, "cpu")),
                    _ms(_median(runs, "to_write")),
                ]
                lines.append([cell, peer, *figures])
    head = ["cell", "client", "requests", "received", "CPU of the process", "start to write"]
    return _table(head, lines)


def _predictions(updates: Sequence[Row]) -> str:
    lines = []
    for cell in _names(updates, "cell"):
        runs = [r for r in updates if r["cell"] == cell and r["predicted"]]
        if runs:
            real, told = _median(runs, "engine"), _median(runs, "predicted")
            lines.append([cell, f"{told:.1f} s", f"{real:.1f} s", f"{told / real - 1:+.0%}"])
    return _table(["cell", "predicted", "real", "off by"], lines)


def _failures(failing: Sequence[Row]) -> str:
    lines = []
    for cell in _names(failing, "cell"):
        for peer in _names(failing, "peer"):
            runs = [r for r in failing if r["cell"] == cell and r["peer"] == peer]
            if runs:
                named = sum(r["named"] for r in runs)
                codes = ", ".join(str(code) for code in sorted({r["exit_code"] for r in runs}))
                notice = _ms(_median(runs, "notice"))
                lines.append([cell, peer, notice, f"{named} of {len(runs)}", codes])
    head = ["release", "client", "decision to first notice", "cause named", "exit code"]
    return _table(head, lines)


def _heavy(rows: Iterable[Row]) -> str:
    loads = [row["load"] for row in rows]
    heavy = sum(load > 2 * CORES for load in loads)
    return (
        f"Load average while measuring: median {median(loads):.1f}, highest {max(loads):.1f};"
        f" {heavy} of {len(loads)} runs began above {2 * CORES}"
        f" (marked `heavy` in the JSON lines, and not left out).\n"
    )


# --- helpers ----------------------------------------------------------------------------------


def _of(rows: Iterable[Row], kind: str, peer: str) -> list[Row]:
    return [row for row in rows if row["kind"] == kind and row["peer"] == peer]


def _in(rows: Iterable[Row], cell: str, peer: str) -> list[Row]:
    return [row for row in _of(rows, "update", peer) if row["cell"] == cell]


def _names(rows: Iterable[Row], key: str) -> list[str]:
    order = {name: number for number, name in enumerate(_ORDER)}
    found = dict.fromkeys(row[key] for row in rows)
    return sorted(found, key=lambda name: order.get(name, len(order)))


_ORDER = (
    "swarmroll",
    "docker CLI",
    "python-on-whales",
    "docker-py, tasks",
    "docker-py, status",
    "floor",
)


def _median(rows: Iterable[Row], key: str) -> float:
    return float(median(row[key] for row in rows))


def _high(values: Sequence[float]) -> float:
    """What 95 % of the values do not exceed."""
    return quantiles(values, n=20, method="inclusive")[-1] if len(values) > 1 else values[0]


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"


def _size(count: float) -> str:
    return f"{count / 1e6:.2f} MB" if count >= 1e6 else f"{count / 1e3:.0f} kB"


def _section(title: str, table: str) -> str:
    return f"### {title}\n\n{table}"


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rows = [head, ["---"] * len(head), *lines]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)
