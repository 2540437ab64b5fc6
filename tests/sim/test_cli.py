"""``swarmroll sim``, from a shell."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import docker
import pytest

from tests.processes import running

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_it_is_told_to_stop(number: signal.Signals) -> None:
    """It prints what to export, and leaves nothing behind."""
    with running(
        "swarmroll", "sim", "--nodes", "2", "--speed", "50", "--image", "app:1,starts_in=0.1"
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline().strip()
        assert line.startswith("export DOCKER_HOST=unix://")
        path = Path(line.partition("unix://")[2])
        client = docker.DockerClient(f"unix://{path}")
        assert client.info()["Swarm"]["Nodes"] == 2
        client.services.create("any:thing", name="web")
        client.close()
        process.send_signal(number)
        assert process.wait(10) == 0
        assert not path.parent.exists()


def test_addresses_as_json_and_images_as_told(tmp_path: Path) -> None:
    """For scripts."""
    words = ("--json", "--socket", str(tmp_path / "s"), "--only-these", "--api-version", "1.44")
    image = "app:1,crashes_after=2,healthcheck=yes,unhealthy_after=none,logs=a\\nb"
    with running("swarmroll", "sim", *words, "--image", image) as process:
        assert process.stdout is not None
        found = json.loads(process.stdout.readline())
        assert found["docker_host"] == f"unix://{tmp_path}/s"
        client = docker.DockerClient(found["tcp"])
        assert client.version()["ApiVersion"] == "1.44"
        assert client.images.get_registry_data("app:1").id
        with pytest.raises(docker.errors.NotFound):
            client.images.get_registry_data("other:1")
        client.close()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--nodes", "0"), "nodes must be at least 1, got 0"),
        (("--managers", "9"), "managers must be 1 to 3, got 9"),
        (("--speed", "-1"), "speed must be more than 0"),
        (("--api-version", "1.99"), "api_version must be one of"),
        (("--image", "a,colour=red"), "no image knows 'colour'"),
        (("--image", "a,starts_in=soon"), "starts_in cannot be 'soon'"),
        (("--image", "a,starts_in=-1"), "starts_in must be at least 0"),
    ],
)
def test_what_cannot_be_is_refused(words: tuple[str, ...], message: str) -> None:
    """Exit code 2, naming it."""
    with running("swarmroll", "sim", *words) as process:
        assert process.stderr is not None
        assert process.wait(20) == 2
        assert message in " ".join(process.stderr.read().split())


def test_help_has_examples() -> None:
    """To copy."""
    done = subprocess.run(
        [sys.executable, "-m", "swarmroll", "sim", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "swarmroll sim --nodes 5 --managers 3 --speed 20" in done.stdout
    assert "docker service create" in done.stdout
