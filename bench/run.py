"""
Measure swarmroll beside other clients, on one real swarm; write the tables.

    python -m bench.run                                    # all of it: about an hour
    python -m bench.run --only updates --cells 3-p1,30-p5 --rounds 2
    python -m bench.run --tables                           # only print what was measured before

How it is done, and what came of it: docs/performance.md.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench import decode, starts, updates
from bench.tables import CORES, tables, write_into
from bench.updates import CELLS, FAILING, HEAVY, LATE, PEERS, Bench

PARTS = ("imports", "looks", "failing", "late", "updates")
PAGE = Path("docs/performance.md")
RESULTS = Path("build/bench.jsonl")
REGISTRY = "registry:5000"


def main() -> int:
    """Measure, and tell."""
    options = _parser().parse_args()
    rows = _read(options.results) if options.tables or options.add else []
    if not options.tables:
        options.results.parent.mkdir(parents=True, exist_ok=True)
        with options.results.open("a" if options.add else "w", encoding="utf-8") as file:
            for row in _rows(options):
                row["heavy"] = row["load"] > 2 * CORES
                rows.append(row)
                file.write(json.dumps(row) + "\n")
                file.flush()
                _show(row)
    if not rows:
        print("nothing was measured", file=sys.stderr)
        return 1
    text = tables(rows)
    print(text)
    if options.page is not None:
        write_into(options.page, text)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.run",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    cells = [cell.name for cell in CELLS]
    add = parser.add_argument
    add("--only", metavar="PARTS", default=PARTS, type=_listed, help=f"some of {','.join(PARTS)}")
    add("--cells", default=cells, type=_listed, help=f"of updates, some of {','.join(cells)}")
    add("--peers", default=PEERS, type=_peers, help=f"separated by /: some of {'/'.join(PEERS)}")
    heavy = ", ".join(f"{name}: {rounds}" for name, rounds in HEAVY.items())
    add("--rounds", type=int, help=f"of each cell; 5 unless told ({heavy})")
    add("--engine", default="26", help="version of the engine of the swarm that is started")
    add("--host", help="measure on this swarm instead, which has the test images")
    add("--cli", help="the docker CLI; the one in PATH, or one of the lab's packages")
    add("--results", type=Path, default=RESULTS, help=f"JSON lines, one a run ({RESULTS})")
    add("--add", action="store_true", help="to the results that are there")
    add("--tables", action="store_true", help="measure nothing")
    add("--page", type=Path, help=f"write the tables into this page, such as {PAGE}")
    return parser


def _listed(text: str) -> list[str]:
    return text.split(",")


def _peers(text: str) -> list[str]:
    return text.split("/")


def _rows(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    if "imports" in options.only:
        yield from starts.starts(3 * (options.rounds or 5))
    if "looks" in options.only:
        yield from decode.looks(10_000, options.rounds or 5)
    if {"updates", "failing", "late"} & set(options.only):
        with _bench(options) as bench:
            yield from _on_a_swarm(bench, options)


def _on_a_swarm(bench: Bench, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    if "failing" in options.only:
        for bad in FAILING:
            yield from _patiently(bad.name, updates.failing, bench, bad, options)
    if "late" in options.only:
        for name in LATE:
            yield from updates.late(bench, name, 2 * (options.rounds or 5))
    if "updates" in options.only:
        for cell in CELLS:
            if cell.name in options.cells:
                yield from _patiently(cell.name, updates.good, bench, cell, options)


def _patiently(
    name: str,
    measure: Callable[..., Iterator[dict[str, Any]]],
    bench: Bench,
    what: object,
    options: argparse.Namespace,
) -> Iterator[dict[str, Any]]:
    print(f"--- {name}", file=sys.stderr, flush=True)
    rounds = options.rounds or HEAVY.get(name, 5)
    yield from measure(bench, what, options.peers, rounds)


@contextmanager
def _bench(options: argparse.Namespace) -> Iterator[Bench]:
    cli = options.cli or shutil.which("docker")
    if options.host:
        yield Bench(url=options.host, registry=REGISTRY, cli=cli or _cli_of_the_lab())
        return
    from integration.lab import single_swarm  # noqa: PLC0415 - it brings up a lot

    with single_swarm(options.engine) as swarm:
        node = swarm.node("node1")
        url = node.socket_url or node.url
        yield Bench(url=url, registry=REGISTRY, cli=cli or _cli_of_the_lab())


def _cli_of_the_lab() -> str:
    from integration.lab import cache  # noqa: PLC0415

    found = sorted(cache.directory().glob("engine-*/usr/bin/docker"))
    if not found:
        raise SystemExit("there is no docker CLI to compare with: give --cli")
    return str(found[-1])


def _read(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _show(row: dict[str, Any]) -> None:
    known = ("lag", "notice", "decided", "requests", "cpu", "peak", "seconds")
    figures = " ".join(f"{key}={row[key]:.3f}" for key in known if key in row)
    mark = " HEAVY LOAD" if row["heavy"] else ""
    at = time.strftime("%H:%M:%S")
    where = f"{row['kind']} {row['cell']}, round {row['round']}"
    print(f"{at} {where}, {row['peer']}: {figures}{mark}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
