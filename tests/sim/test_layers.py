"""Who may know of the simulated swarm."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]


def imported(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
        elif isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
    return found


def test_only_the_command_line_and_the_plugin_import_it() -> None:
    """The library must not lean on its own test bench."""
    users = {
        str(path.relative_to(ROOT))
        for path in [*ROOT.glob("swarmroll/**/*.py"), *ROOT.glob("*.py")]
        if "sim" not in path.relative_to(ROOT).parts
        and any(name.startswith("swarmroll.sim") for name in imported(path))
    }
    assert users == {"swarmroll/cli.py", "_swarmroll_pytest.py"}


def test_it_needs_nothing_that_a_library_user_does_not_have() -> None:
    """The standard library, attrs and msgspec; docker-py only beyond the engine door."""
    foreign = {
        name.partition(".")[0]
        for path in ROOT.glob("swarmroll/sim/**/*.py")
        for name in imported(path)
    } & {"docker", "requests", "urllib3", "pytest", "click", "tenacity"}
    assert foreign == set()
