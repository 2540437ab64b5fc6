from __future__ import annotations

import copy
from typing import Any

import pytest

from swarmroll.core.spec import ServiceSpec

from .shapes import WEB


@pytest.fixture
def document() -> dict[str, Any]:
    """A typical spec, as the engine sends it."""
    return copy.deepcopy(WEB)


@pytest.fixture
def web(document: dict[str, Any]) -> ServiceSpec:
    """The same, wrapped."""
    return ServiceSpec.from_engine(document)
