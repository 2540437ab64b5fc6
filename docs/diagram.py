"""Writes the state machine's table into docs/state-machine.md as a diagram."""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from swarmroll.core.phases import diagram  # noqa: E402 - found only now

PAGE = ROOT / "docs" / "state-machine.md"
BLOCK = re.compile(r"(?<=```mermaid\n).*?(?=```)", re.DOTALL)

PAGE.write_text(BLOCK.sub(diagram(), PAGE.read_text()))
