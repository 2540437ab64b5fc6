"""The pytest plugin, as a user's project has it, and the example in docs/testing.md."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from swarmroll.sim import SimSwarm

ROOT = Path(__file__).parents[2]


def run_pytest(where: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own; the plugin by name, for a checkout may not be installed."""
    installed = "swarmroll" in os.environ.get("PYTEST_PLUGINS", "")
    load = () if installed else ("-p", "_swarmroll_pytest")
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *load, *words],
        cwd=where,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join((str(ROOT), str(where))),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


BLOCKS = re.findall(
    r"(?:<!-- file: (\S+) -->\n)?```py\n(.*?)```", (ROOT / "docs/testing.md").read_text(), re.DOTALL
)


def test_the_example_in_the_documentation_runs(tmp_path: Path) -> None:
    """Word for word; every test of it in much less than a second."""
    files = {name: source for name, source in BLOCKS if name}
    assert set(files) == {"deploy.py", "test_deploy.py"}
    for name, source in files.items():
        (tmp_path / name).write_text(source)
    done = run_pytest(tmp_path, "-q", "--durations=0", "--durations-min=0")
    assert "6 passed" in done.stdout, done.stdout
    spent = re.findall(r"^([\d.]+)s (?:call|setup)", done.stdout, re.MULTILINE)
    # The first test imports swarmroll as well.
    assert sum(float(seconds) for seconds in spent) < 3, done.stdout


def test_the_fixtures_in_the_documentation_work(tmp_path: Path) -> None:
    """Whatever defines a test there is one."""
    tests = [source for name, source in BLOCKS if not name and "def test_" in source]
    head = "import contextlib\nimport docker\nimport pytest\n"
    (tmp_path / "test_pieces.py").write_text(head + "\n".join(tests))
    done = run_pytest(tmp_path, "-q")
    assert f"{len(tests)} passed" in done.stdout, done.stdout


@pytest.mark.parametrize(
    "line",
    [
        line
        for name, source in BLOCKS
        if not name and "def test_" not in source
        for line in source.splitlines()
    ],
)
def test_every_word_in_the_documentation_is_known(sim: SimSwarm, line: str) -> None:
    """Each line by itself, on a swarm that runs a service."""
    sim.create_service("web", image="app:1", replicas=3)
    exec(line, {"sim": sim})
    sim.run(60)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "test_it.py").write_text(
        """
import pytest
from docker import DockerClient

def test_default(sim_swarm):
    assert len(sim_swarm.connect().nodes()) == 3

@pytest.mark.sim(nodes=5, managers=3)
class TestMarked:
    def test_marked(self, sim_swarm):
        assert len(sim_swarm.connect().nodes()) == 5

    @pytest.mark.sim(nodes=4)
    def test_nearest_wins(self, sim_swarm):
        nodes = sim_swarm.connect().nodes()
        assert [node.role for node in nodes] == ["manager"] * 3 + ["worker"]

@pytest.mark.sim(api_version="1.45")
def test_engine(sim_engine):
    client = DockerClient(sim_engine.url)
    assert client.version()["ApiVersion"] == "1.45"
    client.close()

def test_that_fails(sim_swarm):
    sim_swarm.create_service("web", image="app:1")
    assert False
"""
    )
    return tmp_path


def test_the_fixtures_and_their_marker(project: Path) -> None:
    """The nearest marker wins; a strict pytest knows it; a failure shows what happened."""
    done = run_pytest(project, "-q", "--strict-markers")
    assert "1 failed, 4 passed" in done.stdout, done.stdout
    assert "what happened in sim_swarm" in done.stdout
    assert "web.1" in done.stdout


def test_loading_it_does_not_load_swarmroll() -> None:
    """Every pytest run of every project pays for what a plugin imports."""
    code = "import sys, _swarmroll_pytest; sys.exit('swarmroll' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
