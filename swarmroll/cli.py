"""The command line: a thin face over the library."""

from __future__ import annotations

import hashlib
import json
import signal
import sys
import threading
from typing import Any, get_type_hints

import attrs
import click

from swarmroll.demo import exit_code, simulated
from swarmroll.printable import printable
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
        raise _wrong(str(exc)) from exc
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
    if not name.isprintable():
        raise _wrong(f"--image {declared}: no image has such a name")
    digest = f"sha256:{hashlib.sha256(name.encode()).hexdigest()}"
    behaviour: dict[str, Any] = {"digest": digest}
    for word in words:
        key, _, text = word.partition("=")
        if key not in _KINDS:
            known = ", ".join(field.name for field in attrs.fields(Behaviour))
            raise _wrong(f"--image {declared}: no image knows {key!r}, only {known}")
        try:
            behaviour[key] = _value(str(_KINDS[key]), text)
        except ValueError:
            raise _wrong(f"--image {declared}: {key} cannot be {text!r}") from None
    try:
        swarm.image(name, **behaviour)
    except ValueError as exc:
        raise _wrong(f"--image {declared}: {exc}") from exc


def _wrong(text: str) -> click.UsageError:
    """A complaint that quotes what was given, without power over the terminal."""
    return click.UsageError(printable(text))


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


@main.command(short_help="A good release and a bad one, live, on a simulated swarm.")
@click.option(
    "--speed",
    default=1.0,
    show_default=True,
    callback=lambda _context, _option, value: _speed(value),
    help="Its seconds in a second of ours, 10 at most.",
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print both reports as JSON; the story to stderr."
)
def demo(*, speed: float, as_json: bool) -> None:
    """
    Show a good release, and then a bad one that is rolled back, live, in about 20 seconds.

    It is shown on a simulated Docker Swarm, which this command starts and ends: no Docker, no root
    and no network are needed. Everything else is as on a real one: swarmroll talks to it through
    the Engine API, and at the end of each release a second look asks the swarm itself what runs.

    \b
    Exit codes:
      0    both ended as they must
      1    one did not
      130  interrupted; nothing is left behind

    \b
    Examples:
      swarmroll demo
      swarmroll demo --json | jq .bad.headline
    """  # noqa: D301 - the backslashes are click's marks for text that keeps its lines

    def say(text: str) -> None:
        # At once, also where the output is a pipe.
        print(text, file=sys.stderr if as_json else sys.stdout, flush=True)

    def story() -> None:
        shown = simulated(say, speed=speed)
        if as_json:
            click.echo(json.dumps(shown.to_dict()))

    say("swarmroll demo: a good release and a bad one, on a simulated swarm of three nodes.")
    sys.exit(exit_code(story, say))


def _speed(value: float) -> float:
    """
    A speed at which the story can be followed.

    Raises:
        click.BadParameter: It is none.
    """
    if not 0 < value <= 10:
        raise click.BadParameter(f"must be more than 0 and at most 10, got {value:g}")
    return value
