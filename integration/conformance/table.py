"""
Write the table of docs/simulator.md: each scenario, the engines that agree, and how long it took.

    python -m integration.conformance.table
"""

from __future__ import annotations

import re
from pathlib import Path

from integration.conformance.compare import RECORDED, USUAL, agrees, recorded, simulated
from integration.conformance.scenarios import SCENARIOS

PAGE = Path(__file__).parents[2] / "docs" / "simulator.md"
SECTION = "## Held to the real thing"

_TABLE = re.compile(r"^\| scenario \|.*\|?$\n(?:^\|.*\|$\n)+", re.MULTILINE)


def table() -> str:
    """The table in Markdown."""
    engines = sorted(path.stem.removeprefix("engine-") for path in RECORDED.glob("*.json"))
    traces = {engine: recorded(engine) for engine in engines}
    lines = [
        f"| scenario | what a user would notice | {' | '.join(engines)} | real | simulated |",
        f"|---|---|{'---|' * len(engines)}---|---|",
    ]
    for scenario in SCENARIOS:
        cells = []
        for engine in engines:
            real = traces[engine].get(scenario.name)
            if real is None:
                cells.append("")
            elif engine in scenario.differs:
                cells.append(f"no: {scenario.differs[engine]}")
            else:
                cells.append("NO" if agrees(engine, scenario, real) else "yes")
        real = traces[USUAL][scenario.name]
        mine = simulated(scenario, real.pace)
        times = f"{_length(real.marks)} | {_length(mine.marks)}"
        lines.append(f"| {scenario.name} | {scenario.tells} | {' | '.join(cells)} | {times} |")
    return "\n".join(lines) + "\n"


def page_with_table(page: str) -> str:
    """The page with a new table in its section."""
    before, heading, after = page.partition(SECTION)
    return before + heading + _TABLE.sub(lambda _: table(), after, count=1)


def _length(marks: dict[str, list[float]]) -> str:
    """When the last thing happened."""
    times = [at for each in marks.values() for at in each]
    return f"{max(times):.1f} s" if times else "-"


if __name__ == "__main__":
    PAGE.write_text(page_with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
