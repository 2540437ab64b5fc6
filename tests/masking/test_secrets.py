"""A secret goes to the engine, and comes out nowhere else."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import attrs
import pytest

import swarmroll
from swarmroll import EngineError, GateContext, HttpGate, ServiceSpec, Swarm, Task, Verdict, aio
from swarmroll.core.redact import MASK
from swarmroll.sim import SimSwarm
from swarmroll.sim.engine import SimEngine

from .outlets import Outlets

PLAIN = "canary-in-the-coalmine"
"""Nothing about it looks like a secret: only where it stands says so."""

TOKEN = "ghp_" + "C4n4ryInTheC0alMine" * 2
"""This one is one wherever it stands."""

CONTAINER = "TaskTemplate.ContainerSpec"

PLACES: Mapping[str, Callable[[ServiceSpec], ServiceSpec]] = {
    "environment": lambda s: s.with_env(DB_PASSWORD=PLAIN),
    "environment, in JSON": lambda s: s.with_env(SETTINGS=f'{{"password": "{PLAIN}"}}'),
    "environment, in a URL": lambda s: s.with_env(DATABASE=f"postgres://app:{PLAIN}@db/app"),
    "environment, by looks": lambda s: s.with_env(HARMLESS=TOKEN),
    "label": lambda s: s.with_label("traefik.auth.basic.token", PLAIN),
    "label, by looks": lambda s: s.with_label("harmless", TOKEN),
    "container label": lambda s: s.with_path(f"{CONTAINER}.Labels", {"api-secret": PLAIN}),
    "args, with an equals sign": lambda s: s.with_path(
        f"{CONTAINER}.Args", [f"--admin-password={PLAIN}"]
    ),
    "args, two": lambda s: s.with_path(f"{CONTAINER}.Args", ["--token", PLAIN]),
    "command in a shell": lambda s: s.with_path(
        f"{CONTAINER}.Command", ["sh", "-c", f"app --password '{PLAIN}' && wait"]
    ),
    "header in a health check": lambda s: s.with_path(
        f"{CONTAINER}.Healthcheck",
        {"Test": ["CMD-SHELL", f"curl -H 'Authorization: Bearer {PLAIN}' localhost"]},
    ),
    "log driver's option": lambda s: s.with_path(
        "TaskTemplate.LogDriver", {"Name": "splunk", "Options": {"splunk-token": PLAIN}}
    ),
    "volume driver's option": lambda s: s.with_path(
        f"{CONTAINER}.Mounts",
        [
            {
                "Type": "volume",
                "Source": "data",
                "Target": "/data",
                "VolumeOptions": {
                    "DriverConfig": {"Name": "cifs", "Options": {"o": f"password={PLAIN}"}}
                },
            }
        ],
    ),
    "host name": lambda s: s.with_path(f"{CONTAINER}.Hostname", TOKEN),
    "a field of a newer engine": lambda s: s.with_path(f"{CONTAINER}.Vault", {"Token": PLAIN}),
}


def talkative(*, monitor: float = 5.0, **served: Any) -> SimSwarm:
    """A swarm on which a new release says its secret aloud and dies of it."""
    sim = SimSwarm(nodes=3, seed=7, **served)
    says = (f"connecting with {PLAIN}", f"using {TOKEN} now", f'{{"pw": "{PLAIN}"}}')
    sim.image("app:1")
    sim.image("app:2", crashes_after=1.0, logs=says)
    sim.image("app:3", start_error=f'starting failed: invalid argument "{PLAIN}" or {TOKEN}')
    sim.create_service("web", image="app:1", replicas=2, update={"monitor": monitor})
    return sim


@pytest.fixture
def sim() -> Iterator[SimSwarm]:
    with talkative() as sim:
        yield sim


def secrets_in(place: str) -> set[str]:
    """What nobody may see: a token never, the plain one where it stands as a secret."""
    document = json.dumps(PLACES[place](BARE).to_engine())
    return {TOKEN, *([PLAIN] if PLAIN in document else [])}


BARE = ServiceSpec.from_engine({"Name": "bare", "TaskTemplate": {"ContainerSpec": {"Image": "a"}}})
EVERYWHERE = {"plan str", "diff to_dict", "report str", "report to_json", "exception str"} | {
    "traceback",
    "structlog",
    "event repr",
    "state repr",
    "logging",
}


@pytest.mark.parametrize("image", ["app:2", "app:3"])
@pytest.mark.parametrize("place", PLACES)
def test_a_new_secret_comes_out_nowhere(sim: SimSwarm, place: str, image: str) -> None:
    """The containers log it, and the engine quotes it."""
    outlets = Outlets()
    outlets.tour(sim, PLACES[place], image=image, allow="*")
    assert [] == outlets.leaks(*secrets_in(place))
    assert EVERYWHERE <= outlets.out.keys()


# What an engine does not know it does not keep.
@pytest.mark.parametrize("place", [place for place in PLACES if "newer" not in place])
def test_an_old_secret_comes_out_nowhere(sim: SimSwarm, place: str) -> None:
    """Where it is taken away."""
    service = sim.service("web")
    sim.update_service("web", PLACES[place])
    outlets = Outlets()
    outlets.tour(sim, lambda _: service.spec, image="app:2", allow="*")
    assert [] == outlets.leaks(*secrets_in(place))
    assert EVERYWHERE <= outlets.out.keys()


def test_nor_over_sockets() -> None:
    """Where the libraries for HTTP log what they do."""
    with talkative(monitor=0.1, serve=True, speed=100) as sim:
        outlets = Outlets()
        outlets.tour(sim, PLACES["environment"], image="app:3", allow="*")
    assert [] == outlets.leaks(PLAIN, TOKEN)
    assert "urllib3" in outlets.text()["logging"]


def test_a_task_shows_itself_without_what_it_was_to_run_with() -> None:
    """The engine quotes that in its error; where nobody knows what it was, by looks alone."""
    made_from = PLACES["environment"](BARE).template
    task = Task(id="t", error=f"bad {PLAIN} and {TOKEN}", template=made_from)
    assert f"bad {MASK} and {MASK}" in repr(task)
    assert f"bad {PLAIN} and {MASK}" in repr(attrs.evolve(task, template=None))


@pytest.mark.parametrize("fault", ["refused", "unclear"])
def test_an_engine_that_quotes_the_spec_it_refuses_is_quoted_without(
    sim: SimSwarm, fault: str
) -> None:
    """The error body holds the secret bare."""
    words = f"rpc error: invalid value {PLAIN} of the environment"

    class Quoting(SimEngine):
        def update(self, *_args: Any, **_words: Any) -> Any:
            raise EngineError(words, status=400 if fault == "refused" else 500)

    engine = Quoting(sim, request_timeout=5.0, patience=5.0)
    outlets = Outlets()
    with outlets.logged(), Swarm(engine, observers=[outlets.observe]) as swarm:
        report = swarm.update("web", PLACES["environment"], check=False)
        outlets.report(report)
        for past in swarm.history("web"):
            outlets.report(past)
        outlets.attempt(lambda: swarm.update("web", PLACES["environment"]))
    assert MASK in report.headline
    assert "exception str" in outlets.out
    assert [] == outlets.leaks(PLAIN)


def test_an_engine_that_is_lost_with_a_secret_on_its_lips(sim: SimSwarm) -> None:
    """What cuts a rollout off is raised, with all that it hangs on to."""

    class Losing(SimEngine):
        lost = False

        def update(self, *args: Any, **words: Any) -> Any:
            self.lost = True
            return super().update(*args, **words)

        def look(self, *args: Any, **words: Any) -> Any:
            if self.lost:
                raise EngineError(f"HTTP 500: cannot decode {PLAIN}", status=500)
            return super().look(*args, **words)

    outlets = Outlets()
    engine = Losing(sim, request_timeout=5.0, patience=5.0)
    with outlets.logged(), Swarm(engine, observers=[outlets.observe]) as swarm:
        outlets.attempt(lambda: swarm.update("web", PLACES["environment"]))
    assert "cannot decode" in outlets.text()["traceback"]
    assert [] == outlets.leaks(PLAIN)


def test_a_gate_s_words_and_address_are_masked(sim: SimSwarm) -> None:
    """What it says of the secret, and what it was given to ask with."""

    def loud(_context: GateContext) -> Verdict:
        return Verdict.failed(f"the service says {PLAIN} and {TOKEN}")

    def raising(_context: GateContext) -> bool:
        raise LookupError(f"no {PLAIN}, no {TOKEN}")

    class Request:
        name = f"https://u:{PLAIN}@h"

        def check(self, _context: GateContext) -> bool:
            return False

    outlets = Outlets()
    gate = HttpGate(
        f"http://user:{PLAIN}@127.0.0.1:1/?token={PLAIN}",
        headers={"Authorization": f"Bearer {PLAIN}", "X-Api-Key": PLAIN},
        interval=0.1,
    )
    outlets.value("gate", gate)
    for gates in ([loud], [raising], [gate], [Request()]):
        outlets.tour(sim, PLACES["environment"], image="app:1", gates=gates, allow="*")
    assert "answer str" in outlets.out
    assert [] == outlets.leaks(PLAIN, TOKEN)


@pytest.mark.parametrize(
    "image",
    [f"user:{PLAIN}@registry.example/app:2", f"https://user:{PLAIN}@registry.example/app", TOKEN],
)
def test_credentials_in_an_image_s_name_are_refused_unseen(sim: SimSwarm, image: str) -> None:
    """Some write them there."""
    outlets = Outlets()
    outlets.tour(sim, image=image, allow="*")
    outlets.tour(sim, lambda spec: spec.with_path(f"{CONTAINER}.Image", image), allow="*")
    assert "exception str" in outlets.out
    assert [] == outlets.leaks(PLAIN, TOKEN)


WRONG: list[Callable[[ServiceSpec], Any]] = [
    lambda s: s.with_env(DB_PASSWORD=[PLAIN]),  # type: ignore[arg-type]
    lambda s: s.with_env(**{f"A={TOKEN}": "x"}),
    lambda s: s.with_label("", TOKEN),
    lambda s: s.with_path(f"{CONTAINER}.Env", f"DB_PASSWORD={PLAIN}"),
    lambda s: s.with_path(f"{CONTAINER}.Privileges", {"Password": {PLAIN}}),
    lambda s: s.with_replicas(TOKEN),  # type: ignore[arg-type]
    lambda _: TOKEN,
]


@pytest.mark.parametrize("change", WRONG)
def test_a_wrong_value_is_refused_unseen(sim: SimSwarm, change: Any) -> None:
    """The message names the path, and not what stood there."""
    outlets = Outlets()
    outlets.tour(sim, change, allow="*")
    assert "exception str" in outlets.out
    assert [] == outlets.leaks(PLAIN, TOKEN)


@pytest.mark.parametrize(
    "host",
    [
        f"tcp://user:{PLAIN}@127.0.0.1:1",
        f"https://{TOKEN}@127.0.0.1:1",
        f"tcp://user:{PLAIN}@127.0.0.1:port",
        f"gopher://user:{PLAIN}@127.0.0.1",
        f"ssh://user:{PLAIN}@127.0.0.1:1",
        f"tcp://127.0.0.1:1?token={PLAIN}",
    ],
)
def test_credentials_in_an_address_come_out_nowhere(host: str) -> None:
    """Nor in what the ssh client or a library says of it."""
    outlets = Outlets()
    with outlets.logged():
        outlets.attempt(lambda: swarmroll.connect(host, timeout=(2.0, 1.0)))
        outlets.attempt(lambda: asyncio.run(connected(host)))
    assert "exception str" in outlets.out
    assert [] == outlets.leaks(PLAIN, TOKEN)


async def connected(host: str) -> None:
    async with aio.connect(host, timeout=(2.0, 1.0)):
        pass
