"""The command line: a thin face over the library."""

from __future__ import annotations

import hashlib
import json
import signal
import threading
from typing import Any, get_type_hints

import attrs
import click

from swarmroll.sim import Behaviour, SimSwarm
from swarmroll.sim.versions import NEWEST

_KINDS = get_type_hints(Behaviour)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="swarmroll")
def main() -> None:
    """Roll Docker Swarm services forward, and back, without downtime."""


@main.command(short_help="A simulated swarm behind the real Engine API.")
@click.option("--nodes", default=3, show_default=True, help="Nodes, managers included.")
@click.option("--managers", default=1, show_default=True, help="The first ones of them.")
@click.option("--seed", default=7, show_default=True, help="Of everything left to chance.")
@click.option("--speed", default=1.0, show_default=True, help="Its seconds in a second of ours.")
@click.option(
    "--image",
    "images",
    multiple=True,
    metavar="NAME[,WORD=VALUE...]",
    help="How an image behaves; may be given again for others.",
)
@click.option("--only-these", is_flag=True, help="Other images than those given are missing.")
@click.option(
    "--socket", type=click.Path(), help="Path of the unix socket; a new one if not given."
)
@click.option("--port", default=0, help="TCP port on 127.0.0.1; any if not given.")
@click.option("--api-version", default=NEWEST, show_default=True, help="1.41 to 1.51.")
@click.option("--json", "as_json", is_flag=True, help="Print addresses as JSON.")
def sim(
    *,
    nodes: int,
    managers: int,
    seed: int,
    speed: float,
    images: tuple[str, ...],
    only_these: bool,
    socket: str | None,
    port: int,
    api_version: str,
    as_json: bool,
) -> None:
    """
    Start a simulated Docker Swarm, and serve it until Ctrl-C.

    It answers any Docker client, follows the real engine's rules, and runs no container. What it
    prints is what DOCKER_HOST has to be.

    \b
    Examples:
      swarmroll sim
      swarmroll sim --nodes 5 --managers 3 --speed 20
      swarmroll sim --image app:1 --image app:2,crashes_after=2,exit_code=3 --only-these
      swarmroll sim --image slow:1,healthcheck=yes,healthy_after=30

    \b
    and in another shell:
      export DOCKER_HOST=unix:///tmp/swarmroll-sim-.../docker.sock
      docker service create --name web --replicas 3 app:1
      docker service update --image app:2 web

    \b
    What an image may do (times in seconds):
      starts_in=0.5 pulls_in=0 stops_in=0.1 stop_exit_code=143
      crashes_after=... exit_code=1 start_error=... missing=yes
      healthcheck=yes healthy_after=1 unhealthy_after=... logs=... digest=...
    """  # noqa: D301 - the backslashes are click's marks for text that keeps its lines
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    try:
        swarm = SimSwarm(
            nodes=nodes,
            managers=managers,
            seed=seed,
            speed=speed,
            serve=True,
            socket=socket,
            port=port,
            api_version=api_version,
        )
    except (ValueError, OSError) as exc:
        raise click.UsageError(str(exc)) from exc
    with swarm:
        for declared in images:
            _declare(swarm, declared)
        if not only_these:
            swarm.any_image()
        if as_json:
            click.echo(json.dumps({"docker_host": swarm.url, "tcp": swarm.tcp_url}))
        else:
            click.echo(f"export DOCKER_HOST={swarm.url}")
            click.echo(f"# or {swarm.tcp_url}; Ctrl-C ends it", err=True)
        # Not for ever: a wait without an end would not hear the signal on every platform.
        while not stopped.wait(0.5):
            pass


def _declare(swarm: SimSwarm, declared: str) -> None:
    """
    Make an image known.

    Raises:
        click.UsageError: A word that no image knows, or a value that it cannot have.
    """
    name, *words = declared.split(",")
    digest = f"sha256:{hashlib.sha256(name.encode()).hexdigest()}"
    behaviour: dict[str, Any] = {"digest": digest}
    for word in words:
        key, _, text = word.partition("=")
        if key not in _KINDS:
            known = ", ".join(field.name for field in attrs.fields(Behaviour))
            raise click.UsageError(f"--image {declared}: no image knows {key!r}, only {known}")
        try:
            behaviour[key] = _value(str(_KINDS[key]), text)
        except ValueError:
            raise click.UsageError(f"--image {declared}: {key} cannot be {text!r}") from None
    try:
        swarm.image(name, **behaviour)
    except ValueError as exc:
        raise click.UsageError(f"--image {declared}: {exc}") from exc


def _value(kind: str, text: str) -> object:
    if "bool" in kind:
        return bool(click.BOOL.convert(text, None, None))
    if "tuple" in kind:
        return tuple(text.split("\\n"))
    if text == "none":
        return None
    if "float" in kind:
        return float(text)
    return int(text) if "int" in kind else text
