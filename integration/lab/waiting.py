"""Waiting for something to become true, the only way to wait in these tests."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from docker.errors import DockerException

from integration.lab.errors import NotReachable

T = TypeVar("T")


def eventually(condition: Callable[[], T], limit: float = 30.0, pause: float = 0.1) -> T:
    """
    Ask again and again until the answer is true, and return it.

    An engine that cannot be reached, or that reports an error, counts as "not yet": nodes come and
    go in these tests.

    Args:
        condition: Asked again and again. Its docstring, if it has one, is what a failure shows.
        limit: Seconds after which to give up.
        pause: Seconds between two questions.

    Raises:
        AssertionError: The limit is over; it tells the last answer or error.
    """
    started = time.monotonic()
    while True:
        try:
            answer = condition()
            last = f"the last answer was {answer!r}"
        except (DockerException, OSError, NotReachable) as error:
            answer = None
            last = f"the last error was {type(error).__name__}: {error}"
        if answer:
            return answer
        if time.monotonic() - started > limit:
            what = condition.__doc__ or repr(condition)
            raise AssertionError(f"not within {limit:g} s: {what.strip()}; {last}")
        time.sleep(pause)
