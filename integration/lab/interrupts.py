"""SIGTERM unwinds the stack like Ctrl-C does, so that everything started is ended."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def terminable() -> Iterator[None]:
    """Turn SIGTERM, SIGHUP and Ctrl-C into one KeyboardInterrupt; any further one is ignored."""

    def interrupt(number: int, _frame: FrameType | None) -> None:
        # Impatience must not break the cleaning up.
        for each in previous:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt(signal.Signals(number).name)

    watched = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
    previous = {number: signal.signal(number, interrupt) for number in watched}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
