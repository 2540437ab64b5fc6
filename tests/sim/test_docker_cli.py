"""The docker CLI on the simulated swarm; needs the client only, no engine."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from swarmroll.sim import SimSwarm

DOCKER = shutil.which("docker")
pytestmark = pytest.mark.skipif(
    DOCKER is None, reason="NO DOCKER CLI HERE: the simulated swarm was not tested with it"
)
# Fast enough for the CLI's own waiting, which is in real time.
QUICK = ("--update-monitor", "200ms", "--rollback-monitor", "200ms", "--restart-delay", "1s")


class Cli:
    def __init__(self, url: str, home: Path) -> None:
        self._prefix = [DOCKER or "docker", "-H", url]
        self._environment = {
            "PATH": os.environ.get("PATH", ""),
            "HOME": str(home),
            "DOCKER_CONFIG": str(home),
        }

    def run(self, *words: str, data: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self._prefix, *words],
            env=self._environment,
            input=data,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def __call__(self, *words: str, data: str = "") -> str:
        done = self.run(*words, data=data)
        assert done.returncode == 0, done
        return done.stdout.strip()

    def rows(self, *words: str) -> list[str]:
        return self(*words).splitlines()


@pytest.fixture(params=["unix", "tcp"])
def cli(served: SimSwarm, request: pytest.FixtureRequest, tmp_path: Path) -> Cli:
    return Cli(served.url if request.param == "unix" else served.tcp_url, tmp_path)


@pytest.fixture
def web(served: SimSwarm, cli: Cli) -> Callable[[], str]:
    """Create a service as an operator would; returns how to ask for its update state."""
    done = cli.run(
        "service", "create", "--detach=false", "--name", "web", "--replicas", "2", *QUICK, "app:1"
    )
    assert done.returncode == 0, done
    assert "converged" in done.stdout
    assert served.service("web").spec.replicas == 2
    return lambda: cli("service", "inspect", "web", "--format", "{{.UpdateStatus.State}}")


def test_version_and_info(cli: Cli) -> None:
    """The CLI takes it for an engine that manages a swarm."""
    assert cli("version", "--format", "{{.Server.APIVersion}}") == "1.51"
    assert cli("info", "--format", "{{.Swarm.LocalNodeState}} {{.Swarm.Nodes}}") == "active 3"


def test_create_list_inspect_and_remove(cli: Cli, web: Callable[[], str]) -> None:
    """What an operator looks at."""
    assert cli("service", "ls", "--format", "{{.Name}} {{.Mode}} {{.Replicas}}") == (
        "web replicated 2/2"
    )
    tasks = cli.rows("service", "ps", "web", "--format", "{{.Name}} {{.DesiredState}}")
    assert tasks == ["web.1 Running", "web.2 Running"]
    (found,) = json.loads(cli("service", "inspect", "web"))
    pinned = f"app:1@sha256:{'1' * 64}"
    assert found["Spec"]["TaskTemplate"]["ContainerSpec"]["Image"] == pinned
    assert "Monitoring Period: 200ms" in cli("service", "inspect", "--pretty", "web")
    assert cli("service", "rm", "web") == "web"
    assert "no such service: web" in cli.run("service", "inspect", "web").stderr
    assert web is not None


def test_update_shows_its_progress(served: SimSwarm, cli: Cli, web: Callable[[], str]) -> None:
    """And comes back when it is done, with exit code 0."""
    done = cli.run("service", "update", "--detach=false", "--image", "app:2", "web")
    assert done.returncode == 0, done
    assert "overall progress: " in done.stdout
    served.settle()
    assert web() == "completed"
    images = cli.rows(
        "service", "ps", "web", "--format", "{{.Image}}", "-f", "desired-state=running"
    )
    assert images == ["app:2", "app:2"]
    assert len(cli.rows("service", "ps", "web", "--format", "{{.Image}}")) == 4


def test_rollback(served: SimSwarm, cli: Cli, web: Callable[[], str]) -> None:
    """To the previous spec; without one it is refused."""
    refused = cli.run("service", "rollback", "web")
    assert refused.returncode == 1
    assert "does not have a previous spec" in refused.stderr
    cli("service", "update", "-d", "--image", "app:2", "web")
    served.settle()
    done = cli.run("service", "rollback", "--detach=false", "web")
    assert done.returncode == 0, done
    assert "rollback: manually requested rollback" in done.stdout
    served.settle()
    assert web() == "rollback_completed"


def test_a_bad_release_pauses(served: SimSwarm, cli: Cli, web: Callable[[], str]) -> None:
    """Exit code 1, and the engine's words."""
    done = cli.run(
        *("service", "update", "--detach=false", "--update-monitor", "5s", "--image", "bad:1"),
        "web",
    )
    assert done.returncode == 1, done
    assert "service update paused: update paused due to failure" in done.stderr
    assert web() == "paused"
    errors = cli("service", "ps", "web", "--no-trunc", "--format", "{{.Error}}")
    assert "task: non-zero exit (1)" in errors
    assert served.service("web").update_status is not None


def test_an_automatic_rollback(cli: Cli, web: Callable[[], str], served: SimSwarm) -> None:
    """Exit code 0, as the real CLI has it: a well-known trap."""
    done = cli.run(
        *("service", "update", "--detach=false", "--update-monitor", "5s"),
        *("--update-failure-action", "rollback", "--image", "bad:1", "web"),
    )
    assert done.returncode == 0, done
    assert "overall progress: rolling back update" in done.stdout
    served.settle()
    assert web() == "rollback_completed"


def test_scale_and_labels(served: SimSwarm, cli: Cli, web: Callable[[], str]) -> None:
    """Nothing is restarted by it."""
    before = set(cli.rows("service", "ps", "-q", "web"))
    assert "converged" in cli("service", "scale", "--detach=false", "web=3")
    cli("service", "update", "-d", "--label-add", "team=web", "web")
    served.settle()
    after = cli.rows("service", "ps", "-q", "web")
    assert len(after) == 3
    assert before < set(after)
    assert cli("service", "ls", "-q", "--filter", "label=team=web")
    assert web is not None


def test_logs(cli: Cli, web: Callable[[], str]) -> None:
    """Each line with its task and node."""
    lines = cli.rows("service", "logs", "web")
    assert len(lines) == 6
    assert all(line.startswith("web.") and "@node-" in line for line in lines)
    task = cli.rows("service", "ps", "-q", "web")[0]
    assert [line.split("| ")[1] for line in cli.rows("service", "logs", "--tail", "1", task)] == [
        "three"
    ]
    assert web is not None


def test_nodes(cli: Cli) -> None:
    """Listed, drained, labelled, promoted."""
    rows = cli.rows("node", "ls", "--format", "{{.Hostname}} {{.Status}} {{.ManagerStatus}}")
    assert [row.split() for row in rows] == [
        ["node-1", "Ready", "Leader"],
        ["node-2", "Ready"],
        ["node-3", "Ready"],
    ]
    cli("node", "update", "--availability", "drain", "--label-add", "disk=ssd", "node-2")
    found = cli("node", "inspect", "node-2", "--format", "{{.Spec.Availability}} {{.Spec.Labels}}")
    assert found == "drain map[disk:ssd]"
    cli("node", "promote", "node-3")
    assert cli("node", "inspect", "node-3", "--format", "{{.Spec.Role}}") == "manager"
    cli("node", "demote", "node-3")
    refused = cli.run("node", "demote", "node-1")
    assert "attempting to demote the last manager" in refused.stderr


def test_tasks_of_a_node(served: SimSwarm, cli: Cli) -> None:
    """A drained node has none that run."""
    served.create_service("web", image="app:1", replicas=3)
    cli("node", "update", "--availability", "drain", "node-2")
    served.settle()
    assert cli("node", "ps", "node-2", "-f", "desired-state=running", "-q") == ""
    assert len(cli.rows("node", "ps", "self", "-q")) >= 1


@pytest.mark.parametrize("kind", ["config", "secret"])
def test_configs_and_secrets(cli: Cli, kind: str) -> None:
    """Made, listed, shown, used and removed."""
    key = cli(kind, "create", "--label", "a=b", "one", "-", data="hello")
    assert cli(kind, "ls", "--format", "{{.ID}} {{.Name}} {{.Labels}}") == f"{key} one a=b"
    pretty = cli(kind, "inspect", "--pretty", "one")
    assert ("hello" in pretty) is (kind == "config")
    again = cli.run(kind, "create", "one", "-", data="hello")
    assert f"{kind} one already exists" in again.stderr
    cli("service", "create", "-d", "--name", "web", f"--{kind}", "one", "app:1")
    assert "is in use by the following service: web" in cli.run(kind, "rm", "one").stderr
    cli("service", "rm", "web")
    assert cli(kind, "rm", "one") in (key, "one")


def test_networks(cli: Cli) -> None:
    """An overlay network, and a service on it."""
    key = cli("network", "create", "-d", "overlay", "--attachable", "net")
    assert "net overlay swarm" in cli.rows(
        "network", "ls", "--format", "{{.Name}} {{.Driver}} {{.Scope}}"
    )
    cli("service", "create", "-d", "--name", "web", "--network", "net", "app:1")
    assert cli("service", "inspect", "web", "--format", "{{json .Spec.TaskTemplate.Networks}}") == (
        json.dumps([{"Target": key}], separators=(",", ":"))
    )
    cli("service", "rm", "web")
    assert cli("network", "rm", "net") == "net"


def test_a_stack(served: SimSwarm, cli: Cli, tmp_path: Path) -> None:
    """Deployed, listed, and removed, with its network and its config."""
    (tmp_path / "settings").write_text("a=1")
    compose = {
        "version": "3.8",
        "services": {
            "web": {
                "image": "app:1",
                "configs": ["settings"],
                "deploy": {"replicas": 2, "update_config": {"order": "start-first"}},
            }
        },
        "configs": {"settings": {"file": str(tmp_path / "settings")}},
    }
    (tmp_path / "stack.yml").write_text(json.dumps(compose))
    cli("stack", "deploy", "-d", "-c", str(tmp_path / "stack.yml"), "shop")
    served.settle()
    assert cli("stack", "services", "shop", "--format", "{{.Name}} {{.Replicas}}") == (
        "shop_web 2/2"
    )
    assert len(cli.rows("stack", "ps", "shop", "-q")) == 2
    cli("stack", "rm", "shop")
    assert cli("stack", "ls", "--format", "{{.Name}}") == ""
    assert cli("network", "ls", "-q", "--filter", "name=shop") == ""


def test_events_are_followed(served: SimSwarm, cli: Cli) -> None:
    """From a moment until another."""
    start = served.clock.wall
    seen: list[str] = []

    def watch() -> None:
        seen.extend(
            cli.rows(
                *("events", "--since", f"{start:.9f}", "--until", f"{start + 100:.9f}"),
                *("--filter", "type=service", "--format", "{{.Action}} {{.Actor.Attributes.name}}"),
            )
        )

    reader = threading.Thread(target=watch)
    reader.start()
    assert served.wait_until(lambda: served.server.followed, 10)
    served.create_service("web", image="app:1")
    served.remove_service("web")
    served.run(100)
    reader.join(20)
    assert seen == ["create web", "update web", "remove web"]
