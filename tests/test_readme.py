"""What README.md and docs/ say: their examples run, their tables are whole, their links lead on."""

from __future__ import annotations

import builtins
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import attrs
import pytest

import swarmroll
import swarmroll.aio
from swarmroll import Budget, CommandGate, HttpGate, LogGate, PrometheusGate, TcpGate
from swarmroll.core.report import EXIT_CODES, Outcome
from swarmroll.engine.connect import locate
from swarmroll.gates.base import Asked
from swarmroll.outcomes import FAILURES
from swarmroll.sim import SimSwarm

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "swarmroll"
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]

_BLOCK = re.compile(r"(?:^<!-- ([a-z ]+) -->\n)?^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]*))?\)")
_HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)


def _text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def _blocks() -> list[Any]:
    """Each python block of each page, as a parameter of a test."""
    return [
        pytest.param(code, id=f"{page.name}-{number}")
        for page in PAGES
        for number, (_, code) in enumerate(_BLOCK.findall(_text(page)), start=1)
    ]


def _block(name: str) -> str:
    """The block of README.md that a comment names."""
    (found,) = [code for marked, code in _BLOCK.findall(_text(README)) if marked == name]
    return str(found)


def _rows(page: Path, heading: str) -> Iterator[list[str]]:
    """The rows of the first table below a heading, cell by cell, without its head."""
    section = _text(page).partition(f"{heading}\n")[2]
    table = re.search(r"(?:^\|.*\|$\n?)+", section, re.MULTILINE)
    assert table is not None, f"{page.name} has no table below {heading}"
    for line in table.group().splitlines()[2:]:
        yield [cell.strip() for cell in line.strip("|").split("|")]


def _anchors(page: Path) -> list[str]:
    """The headings of a page, as links name them."""
    words = [re.sub(r"[^\w\- ]", "", text).lower() for text in _HEADING.findall(_text(page))]
    return [text.replace(" ", "-") for text in words]


@pytest.fixture
def sim() -> Iterator[SimSwarm]:
    with SimSwarm(nodes=3, seed=7) as swarm:
        for tag in range(1, 5):
            swarm.image(f"team/web:{tag}")
        swarm.create_service(
            "web",
            image="team/web:1",
            replicas=3,
            update={"parallelism": 1, "monitor": 2},
            rollback={"parallelism": 1},
        )
        yield swarm


def run(code: str, sim: SimSwarm) -> None:
    """Run an example as written; only where it connects, the simulated swarm is what it reaches."""

    def connect(*args: Any, **options: Any) -> swarmroll.Swarm:
        given = inspect.signature(swarmroll.connect).bind(*args, **options).arguments
        assert locate(given.get("host"), tls=given.get("tls"), environ={"HOME": "/nowhere"})
        return sim.connect()

    public = {name: getattr(swarmroll, name) for name in swarmroll.__all__}
    aio = SimpleNamespace(
        connect=lambda *args, **options: swarmroll.aio.Swarm(connect(*args, **options)),
        gate=swarmroll.aio.gate,
    )
    stand_in = SimpleNamespace(**{**public, "connect": connect, "aio": aio})

    def importing(name: str, *rest: Any) -> Any:
        return stand_in if name in ("swarmroll", "swarmroll.aio") else __import__(name, *rest)

    exec(
        compile(code, "<example>", "exec"),
        {"__builtins__": {**vars(builtins), "__import__": importing}, "__name__": "__main__"},
    )


@pytest.mark.parametrize("code", _blocks())
def test_examples_run(code: str, sim: SimSwarm) -> None:
    """Whatever a page shows can be pasted and run."""
    run(code, sim)


def test_the_quick_start_rolls(sim: SimSwarm, capsys: pytest.CaptureFixture[str]) -> None:
    """It prints the plan, and then the report."""
    run(_BLOCK.findall(_text(README))[0][1], sim)
    printed = capsys.readouterr().out
    assert printed.startswith("plan for web")
    assert "web completed" in printed
    assert sim.service("web").spec.image == "team/web:2"


def test_the_deploy_script_reports_a_rollback(
    sim: SimSwarm, capsys: pytest.CaptureFixture[str]
) -> None:
    """It ends with the exit code of the outcome, and the report on stderr."""
    sim.image("team/web:2", crashes_after=0.5, exit_code=3)
    with pytest.raises(SystemExit) as end:
        run(_block("the deploy script"), sim)
    assert end.value.code == EXIT_CODES[Outcome.ROLLED_BACK]
    assert capsys.readouterr().err.startswith("web rolled back")
    assert sim.service("web").spec.image == "team/web:1"


def test_the_deploy_script_is_short() -> None:
    """Ten lines, as promised, blank ones not counted."""
    assert len([line for line in _block("the deploy script").splitlines() if line]) <= 10


def test_every_option_of_rolling_is_told() -> None:
    """In the order in which they are declared."""
    told = [cells[0].strip("`") for cells in _rows(README, "## Rolling")]
    assert told == [field.name for field in attrs.fields(swarmroll.Rolling)]


def _told_names(page: Path, heading: str) -> set[str]:
    """All names in the first column of a table."""
    return {name for cells in _rows(page, heading) for name in re.findall(r"`(\w+)`", cells[0])}


def test_every_argument_of_gates_is_told() -> None:
    """What all share in one table, and what a gate has of its own in that of the gate."""
    page = ROOT / "docs" / "gates.md"
    shared = {field.alias for field in attrs.fields(Asked) if field.init}
    assert shared == _told_names(page, "## When and how often")
    for gate in (HttpGate, TcpGate, CommandGate, LogGate, PrometheusGate):
        own = inspect.signature(gate).parameters.keys() - shared
        assert own == _told_names(page, f"## {gate.__name__}")
    assert {field.name for field in attrs.fields(Budget)} == _told_names(page, "## Failure budget")


def test_every_outcome_is_told() -> None:
    """With the exception that it raises, and its exit code."""
    rows = list(_rows(README, "## Outcomes, exceptions, exit codes"))
    codes = {cells[0].strip("`"): int(cells[3]) for cells in rows}
    raised: Mapping[str, str] = {cells[0].strip("`"): cells[2].strip("`") for cells in rows}
    assert codes == {outcome.name: code for outcome, code in EXIT_CODES.items()}
    assert {raised[outcome.name] for outcome in FAILURES} == {e.__name__ for e in FAILURES.values()}


def test_every_finding_is_told() -> None:
    """Each code in the source has a row and a section in docs/findings.md."""
    sources = [path for path in PACKAGE.rglob("*.py") if "sim" not in path.parts]
    codes = {code for path in sources for code in re.findall(r'code="([a-z-]+)"', _text(path))}
    page = ROOT / "docs" / "findings.md"
    assert codes == set(re.findall(r"^## (.*)$", _text(page), re.MULTILINE))
    assert codes == {re.findall(r"`(.*?)`", cells[0])[0] for cells in _rows(page, "# Findings")}


def test_every_module_is_told() -> None:
    """docs/architecture.md has a line for each file, and for none that is not there."""
    modules = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if "sim" not in path.parts and not (path.name == "__init__.py" and path.parent != PACKAGE)
    }
    rows = _rows(ROOT / "docs" / "architecture.md", "## The rooms")
    told = {cells[0].strip("`*") for cells in rows}
    assert modules == {name for name in told if name.endswith(".py")}


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md"], ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """To a file that is there, and to a heading that it has."""
    for path, heading in _LINK.findall(_text(page)):
        target = (page.parent / path) if path else page
        assert target.exists(), f"{page.name} links to {path}"
        if heading:
            assert heading in _anchors(target), f"{page.name} links to {path}#{heading}"


def test_docker_py_is_loaded_when_connecting_only() -> None:
    """A script that only plans to connect stays quick, as docs/architecture.md says."""
    code = "import sys, swarmroll; swarmroll.connect; sys.exit('docker' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
