"""The walls of the house: who may import whom, and where Docker's words may stand."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs
import pytest

PACKAGE = Path(__file__).parent.parent / "swarmroll"

OUTSIDE = frozenset({"errors", "core", "printable"})
ROOMS: Mapping[str, frozenset[str]] = {
    "printable": frozenset(),
    "errors": frozenset({"printable"}),
    "core": frozenset({"errors", "printable"}),
    "streams": frozenset(),
    "engine": OUTSIDE | {"streams"},
    # A journal stamps its leases by the engine's clock.
    "journal": OUTSIDE | {"engine"},
    "gates": OUTSIDE | {"streams"},
    "traffic": OUTSIDE,
    "observers": OUTSIDE,
    "render": OUTSIDE,
    "outcomes": OUTSIDE,
    "brake": OUTSIDE,
    "runner": OUTSIDE | {"brake", "engine", "journal", "gates"},
    "rollout": OUTSIDE | {"outcomes", "runner"},
    "swarm": OUTSIDE | {"brake", "engine", "journal", "gates", "outcomes", "runner", "rollout"},
    "sim": OUTSIDE | {"engine", "journal", "runner", "rollout", "swarm"},
    "aio": OUTSIDE
    | {"brake", "engine", "gates", "journal", "outcomes", "runner", "rollout", "swarm"},
    "_public": OUTSIDE | {"engine", "journal", "gates", "observers", "rollout", "swarm"},
    "__init__": frozenset({"_public"}),
    "demo": OUTSIDE | {"sim", "swarm"},
    "cli": OUTSIDE | {"_public", "demo", "observers", "render", "rollout", "sim", "swarm"},
    "__main__": frozenset({"cli"}),
    "tasks": OUTSIDE | {"_public", "observers", "render", "rollout", "swarm"},
}
"""Who may know whom; each knows itself. An arrow never turns back."""

IMPURE = frozenset(
    {
        "asyncio",
        "concurrent",
        "datetime",
        "http",
        "io",
        "logging",
        "os",
        "pathlib",
        "queue",
        "random",
        "secrets",
        "selectors",
        "socket",
        "subprocess",
        "sys",
        "tempfile",
        "threading",
        "time",
        "urllib",
        "uuid",
    }
)
DATES = frozenset({("report.py", "datetime"), ("units.py", "datetime")})
FOREIGN: Mapping[str, str | tuple[str, ...]] = {
    "docker": "engine/docker.py",
    "requests": "engine/",
    "urllib3": "engine/",
    "paramiko": "engine/",
    "tenacity": "engine/",
    # Ten thousand tasks at a time are read there, and written here.
    "msgspec": ("engine/", "sim/answers.py"),
    "click": "cli.py",
    "structlog": "observers/",
}
"""Where a library may be imported."""

WIRE_WORDS = frozenset(
    {
        "CreatedAt",
        "DesiredState",
        "ManagerStatus",
        "NodeID",
        "PreviousSpec",
        "ServiceID",
        "StartedAt",
        "UpdateStatus",
        "UpdatedAt",
    }
)
"""Keys that only what the engine sends has; those of a spec stand in the core as its paths."""


@attrs.frozen
class Import:
    """One import of one module."""

    path: Path
    line: int
    module: str
    typing_only: bool

    @property
    def room(self) -> str:
        return room_of(self.path)

    @property
    def where(self) -> str:
        return f"{self.path.relative_to(PACKAGE.parent)}:{self.line}: {self.module}"


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def files() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def _for_typing(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def _walk(node: ast.AST, *, typing_only: bool = False) -> Iterator[tuple[ast.AST, bool]]:
    for child in ast.iter_child_nodes(node):
        inside = typing_only or _for_typing(child)
        yield child, inside
        yield from _walk(child, typing_only=inside)


def imports() -> Iterator[Import]:
    for path in files():
        for node, typing_only in _walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path}: imports are absolute"
                assert node.module is not None
                deeper = node.module == "swarmroll"
                modules = [
                    f"{node.module}.{alias.name}" if deeper else node.module for alias in node.names
                ]
            else:
                continue
            for module in modules:
                yield Import(path, node.lineno, module, typing_only)


def test_every_room_is_on_the_map() -> None:
    """A new room says first who may know it: here, and in docs/architecture.md."""
    assert {room_of(path) for path in files()} <= ROOMS.keys()


def test_arrows_never_turn_back() -> None:
    """What a lower room needs of a higher one belongs into the lower one."""
    stray = []
    for found in imports():
        package, _, rest = found.module.partition(".")
        if package != "swarmroll" or found.typing_only:
            continue
        room = rest.partition(".")[0]
        if room not in ROOMS[found.room] | {found.room}:
            stray.append(found.where)
    assert stray == []


def test_only_the_errors_name_what_they_carry() -> None:
    """An import for the type checker alone is no way around the walls."""
    stray = [
        found.where
        for found in imports()
        if found.typing_only
        and found.module.startswith("swarmroll.")
        and found.room not in ("errors", "__init__")
        and found.module.split(".")[1] not in ROOMS[found.room] | {found.room}
    ]
    assert stray == []


def test_the_core_has_no_clock_no_chance_and_no_door() -> None:
    """It is given the time, and asks others to act; dates are read and written, never asked for."""
    stray = [
        found.where
        for found in imports()
        if found.room == "core"
        and found.module.split(".")[0] in IMPURE
        and (found.path.name, found.module) not in DATES
    ]
    assert stray == []


@pytest.mark.parametrize("library", FOREIGN)
def test_each_library_has_its_place(library: str) -> None:
    """So that it can be replaced there."""
    stray = [
        found.where
        for found in imports()
        if found.module.split(".")[0] == library
        and not found.path.relative_to(PACKAGE).as_posix().startswith(FOREIGN[library])
    ]
    assert stray == []


def strings(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def test_what_the_engine_sends_is_read_in_one_place() -> None:
    """JSON keys stand in engine/wire.py; the simulated swarm has its own."""
    stray = [
        f"{path.relative_to(PACKAGE)}: {word}"
        for path in files()
        if path.relative_to(PACKAGE).as_posix() != "engine/wire.py" and room_of(path) != "sim"
        for word in WIRE_WORDS.intersection(strings(path))
    ]
    assert stray == []


def test_nanoseconds_stay_at_the_door() -> None:
    """Durations are seconds inside; only the wire, the spec's own reading and the sim convert."""
    allowed = {"engine/wire.py", "core/units.py"}
    stray = [
        path.relative_to(PACKAGE).as_posix()
        for path in files()
        if room_of(path) != "sim" and path.relative_to(PACKAGE).as_posix() not in allowed
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and node.value in (1_000_000_000, 1e9)
    ]
    assert stray == []
