"""What the tests of gates share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, Protocol

import pytest

from tests.engine.server import Answer, Request, Server


class Serve(Protocol):
    """Starts a server on the loopback device that answers as a test wants."""

    def __call__(self, answer: Answer | Callable[[Request], Answer], **options: Any) -> Server: ...


@pytest.fixture
def serve() -> Iterator[Serve]:
    with ExitStack() as stack:

        def start(answer: Answer | Callable[[Request], Answer], **options: Any) -> Server:
            says = (lambda _: answer) if isinstance(answer, bytes) else answer
            return stack.enter_context(Server(says, **options))  # type: ignore[arg-type]

        yield start
