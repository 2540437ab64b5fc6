"""
Every kind of single fault at every request of every scene.

    python -m tests.faults.table          # all of them, scene by scene
    python -m tests.faults.table "a canary" TaskList stale-read 4
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from swarmroll import Outcome
from swarmroll.sim.faults import Faults, kinds

from .scenes import SCENES

Fault = tuple[str, str, int]
"""Operation, kind, and how many requests of that operation go well before."""


def faults(name: str) -> list[Fault]:
    """What can go wrong with the requests that a scene makes when nothing does."""
    case = SCENES[name].stage()
    case.sim.faults = Faults()
    SCENES[name].play(case)
    case.sim.close()
    return [
        (operation, kind, at)
        for operation, count in sorted(case.sim.faults.asked.items())
        for kind in kinds(operation)
        for at in range(count)
    ]


def play(name: str, fault: Fault | None) -> list[str]:
    """Play a scene with one fault, or none; what was wrong."""
    scene = SCENES[name]
    case = scene.stage(thorough=fault is None)
    if fault is not None:
        operation, kind, at = fault
        case.sim.fail_next(operation, kind, after=at)
    report = scene.play(case)
    if report is None and not case.commits:
        # It could not even be planned, and said so; nothing was written.
        case.heal()
        report = scene.play(case)
    elif report is None or report.outcome is Outcome.DETACHED or report.trouble:
        report = case.finish()
    case.check_end(report)
    if report is None or report.outcome != scene.outcome:
        said = "nothing" if report is None else report.headline
        case.complain(f"it should have {scene.outcome}, and came to: {said}")
    case.sim.close()
    return case.wrong


def play_all(name: str, chosen: Sequence[Fault]) -> list[str]:
    """What was wrong in any of these, and how to see it again."""
    return [
        f'{wrong}\n    python -m tests.faults.table "{name}" {" ".join(map(str, fault))}'
        for fault in chosen
        for wrong in play(name, fault)
    ]


def main(words: Sequence[str]) -> int:
    """All of them, or the one that is named."""
    if words:
        name, operation, kind, at = words
        wrong = play_all(name, [(operation, kind, int(at))])
        print("\n".join(wrong) or "right")
        return len(wrong) > 0
    found = 0
    for name in SCENES:
        chosen = faults(name)
        wrong = play_all(name, chosen)
        found += len(wrong)
        print(f"{name}: {len(chosen)} faults, {len(wrong)} wrong")
        print("\n".join(wrong))
    return found > 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
