"""
Play the world of a seed once more, and tell everything: ``python -m tests.faults.replay 4711``.

With ``--brief`` without the trace of the swarm.
"""

from __future__ import annotations

import sys

from .worlds import draw, play, stage


def main(words: list[str]) -> int:
    """Play, and tell; 1 if anything was wrong."""
    seeds = [int(word) for word in words if word != "--brief"]
    wrong = []
    for seed in seeds:
        world = draw(seed)
        print(world)
        case = stage(world)
        play(world, case)
        if "--brief" not in words:
            for happening in case.sim.trace:
                print(happening)
        for report in case.reports:
            print(report)
        for error in case.errors:
            print(repr(error))
        for text in case.wrong or ["right"]:
            print(f"seed {seed}: {text}")
        wrong += case.wrong
        case.sim.close()
    return len(wrong) > 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
