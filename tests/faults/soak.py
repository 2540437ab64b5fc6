"""
Random worlds by the thousand.

    python -m tests.faults.soak                      # a million, on every core
    python -m tests.faults.soak --from 250000 --count 50000

Every failing seed is printed, with the command that plays it again. The first world that was not
yet played is kept in a file (``--kept``), from which the next soak goes on.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from .worlds import run

CHUNK = 250
KEPT = Path("build/soak.txt")


def cores() -> int:
    """How many processes are worth having."""
    return max(1, min(os.cpu_count() or 1, 8))


def play(first: int, count: int) -> tuple[int, list[str]]:
    """Play so many worlds; how many rollouts that were, what was wrong, and how to see it again."""
    runs, found = 0, []
    for seed in range(first, first + count):
        try:
            more, wrong = run(seed)
        except Exception as exc:  # noqa: BLE001 - the others are to be played as well
            more, wrong = 0, [f"the world of seed {seed} broke: {exc!r}"]
        runs += more
        found += [f"{text}\n    python -m tests.faults.replay {seed}" for text in wrong]
    return runs, found


def chunks(first: int, count: int) -> Iterator[tuple[int, int]]:
    for begin in range(first, first + count, CHUNK):
        yield begin, min(CHUNK, first + count - begin)


def main() -> int:
    """Play them all; 1 if anything was wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults.soak",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--from", dest="first", type=int, help="the first seed")
    parser.add_argument("--count", type=int, default=1_000_000, help="how many worlds")
    parser.add_argument("--jobs", type=int, default=cores(), help="how many processes")
    parser.add_argument("--kept", type=Path, default=KEPT, help=f"where it stands ({KEPT})")
    options = parser.parse_args()
    first = options.first
    if first is None:
        first = int(options.kept.read_text()) if options.kept.exists() else 0
    begun, done, found, runs = time.monotonic(), 0, 0, 0
    options.kept.parent.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.jobs, mp_context=context) as pool:
        pending = [pool.submit(play, *chunk) for chunk in chunks(first, options.count)]
        for number, part in enumerate(pending):
            more, wrong = part.result()
            runs, found = runs + more, found + len(wrong)
            for text in wrong:
                print(text, flush=True)
            done = min((number + 1) * CHUNK, options.count)
            options.kept.write_text(f"{first + done}\n")
            if number % 20 == 19 or done == options.count:
                took = time.monotonic() - begun
                print(
                    f"{done} of {options.count} worlds from seed {first}, {runs} rollouts:"
                    f" {found} wrong, {took:.0f} s, {runs / took:.0f} rollouts a second",
                    flush=True,
                )
    if options.first is None and not found:
        options.kept.unlink(missing_ok=True)
    return found > 0


if __name__ == "__main__":
    sys.exit(main())
