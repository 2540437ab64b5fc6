"""The documentation shows the state machine as it is."""

from __future__ import annotations

import re
from pathlib import Path

from swarmroll.core.phases import Phase, diagram

PAGE = Path(__file__).parent.parent.parent / "docs" / "state-machine.md"
BLOCK = re.compile(r"(?<=```mermaid\n).*?(?=```)", re.DOTALL)


def test_the_diagram_is_the_table() -> None:
    """When this fails: python scripts/state-diagram."""
    (block,) = BLOCK.findall(PAGE.read_text())
    assert block == diagram()


def test_every_phase_is_explained() -> None:
    """What is true in it stands beside its name."""
    rows = re.findall(r"^\| (.+?) \| (.+?) \|", PAGE.read_text(), re.MULTILINE)
    explained = {name for cell, _ in rows for name in re.findall(r"`(\w+)`", cell)}
    assert explained == {str(phase) for phase in Phase}
