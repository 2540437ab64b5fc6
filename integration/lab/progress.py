"""One line for each thing that takes time, so that a waiting person knows what for."""

from __future__ import annotations

import sys


def say(text: str) -> None:
    """Print a progress line at once, also where the output is a pipe."""
    print(f"lab: {text}", file=sys.stderr, flush=True)
