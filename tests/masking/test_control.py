"""No escape sequence of others ever reaches a terminal."""

from __future__ import annotations

import functools
import json
import threading
from collections.abc import Iterator
from typing import Any

import attrs
import pytest
from click.testing import CliRunner

import swarmroll
from swarmroll import GateContext, Report, Swarm, Verdict
from swarmroll.cli import main
from swarmroll.core.snapshot import Node, Service, Snapshot, Task
from swarmroll.errors import EngineError
from swarmroll.journal.memory import MemoryJournal
from swarmroll.sim import SimSwarm
from swarmroll.sim.engine import SimEngine

from .outlets import Outlets

EVIL = {
    "escape": "\x1b[31mred\x1b]0;title\x07",
    "return": "\rover",
    "nul": "\x00",
    "bell": "\x07",
    "backspace": "\x08\x08",
    "c1": "\x9b31m\x85",
    "bidi": "\u202egnp.exe\u2066",
    "new line": "one\nplan for nothing (version 0)",
    "line separator": "\u2028\u2029",
    "invisible": "\u200b\ufeff",
    "lone surrogate": "\ud800",
}
RAW = sorted(set("".join(EVIL.values())) - set("abcdefghijklmnopqrstuvwxyz. ()[]0123456789;\n"))
ALL = "".join(EVIL.values())
STORED = ALL.replace("\ud800", "")
"""What an engine may send: JSON has no lone surrogates in UTF-8."""

KEPT = STORED.replace("\x00", "")
"""What a spec may hold."""

FOR_MACHINES = ("to_dict", "to_json")


class EvilEngine(SimEngine):
    """An engine whose names and words are all meant for a terminal."""

    def nodes(self) -> tuple[Node, ...]:
        return tuple(
            attrs.evolve(node, hostname=f"{node.hostname}{STORED}") for node in super().nodes()
        )

    def service(self, ref: str) -> Service:
        return self._evil(super().service(ref))

    def look(self, *args: Any, **words: Any) -> Snapshot:
        seen = super().look(*args, **words)
        service = None if seen.service is None else self._evil(seen.service)
        return attrs.evolve(seen, service=service, tasks=tuple(map(self._said, seen.tasks)))

    def tasks(self, service_id: str) -> tuple[Task, ...]:
        return tuple(map(self._said, super().tasks(service_id)))

    def logs(self, task: Task, *, lines: int) -> tuple[str, ...]:
        return (f"log {STORED}", *super().logs(task, lines=lines))

    def health_output(self, task: Task) -> tuple[str, ...]:
        return (f"health of {task.id} {STORED}",)

    def _said(self, task: Task) -> Task:
        if not task.error:
            return task
        return attrs.evolve(task, error=f"{task.error} {STORED}", message=STORED)

    def _evil(self, service: Service) -> Service:
        status = service.update_status
        if status is not None:
            status = attrs.evolve(status, message=f"{status.message} {STORED}")
        return attrs.evolve(service, name=f"web{STORED}", update_status=status)


@pytest.fixture
def sim() -> Iterator[SimSwarm]:
    with SimSwarm(nodes=3, seed=7) as sim:
        sim.image("app:1")
        sim.image("app:2", crashes_after=1.0)
        sim.create_service("web", image="app:1", replicas=2, update={"monitor": 5})
        yield sim


def evil(sim: SimSwarm, outlets: Outlets, **words: Any) -> Swarm:
    engine = EvilEngine(sim, request_timeout=5.0, patience=5.0)
    return Swarm(engine, observers=[outlets.observe], **words)


def raw(outlets: Outlets) -> list[str]:
    """Where a control character has come out raw."""
    found = []
    for outlet, text in outlets.text().items():
        if any(way in outlet for way in FOR_MACHINES):
            continue
        for character in RAW:
            if character in text:
                at = text.index(character)
                found.append(f"{outlet}: {text[max(0, at - 50) : at + 20]!r}")
                break
    return found


@pytest.mark.parametrize("image", ["app:1", "app:2"])
def test_what_the_engine_says_is_shown_harmless(sim: SimSwarm, image: str) -> None:
    """Names of services and nodes, errors of tasks, log lines, its word about the update."""
    outlets = Outlets()

    def gate(context: GateContext) -> Verdict:
        outlets.see(context)
        return Verdict.passed(STORED)

    def change(spec: swarmroll.ServiceSpec) -> swarmroll.ServiceSpec:
        return (
            spec.with_env(HARMLESS=KEPT)
            .with_label(f"l{KEPT}", KEPT)
            .with_path("TaskTemplate.ContainerSpec.Hostname", KEPT)
            .with_path("TaskTemplate.ContainerSpec.Args", [KEPT])
        )

    with outlets.logged(), evil(sim, outlets) as swarm:
        for node in swarm.nodes():
            outlets.value("node", node)
        outlets.service(swarm.service("web"))
        plan = swarm.plan("web", change, image=image, gates=[gate], reason=STORED)
        outlets.plan(plan)
        rollout = swarm.start(plan)
        outlets.attempt(rollout.wait)
        outlets.value("rollout", rollout)
        outlets.value("state", rollout.state)
        report = rollout.wait(check=False)
        outlets.report(report)
        for past in swarm.history("web"):
            outlets.report(past)
        outlets.attempt(lambda: swarm.update("web", image="app:1", wait_for_lease=-1))
        outlets.attempt(lambda: swarm.attach("web"))
        outlets.attempt(lambda: swarm.rollback("web", reason=STORED))
    for outlet in ("plan str", "diff str", "report str", "exception str", "structlog"):
        assert "\\x1b" in outlets.text()[outlet], outlet
    assert [] == raw(outlets)


def test_what_machines_get_keeps_every_character(sim: SimSwarm) -> None:
    """JSON has escapes of its own, so that nothing is lost."""
    outlets = Outlets()
    with evil(sim, outlets) as swarm:
        report = swarm.update("web", image="app:2", check=False)
    again = Report.from_dict(json.loads(report.to_json()))
    assert again.service == f"web{STORED}"
    assert all(character.isprintable() for character in report.to_json())


@pytest.mark.parametrize("word", EVIL.values(), ids=EVIL)
def test_what_callers_give_is_refused_or_shown_harmless(sim: SimSwarm, word: str) -> None:
    """Wherever a string is wanted."""
    outlets = Outlets()

    def loud(_context: GateContext) -> Verdict:
        return Verdict.failed(f"no {word}")

    def raising(_context: GateContext) -> bool:
        raise LookupError(word)

    class Named:
        name = f"gate {word}"

        def check(self, _context: GateContext) -> bool:
            return False

    with outlets.logged(), sim.connect(observers=[outlets.observe]) as swarm:
        for call in (
            lambda: swarm.service(f"no{word}"),
            lambda: swarm.plan(f"no{word}"),
            lambda: swarm.history(f"no{word}"),
            lambda: swarm.attach(f"no{word}"),
            lambda: swarm.plan("web", word),  # type: ignore[arg-type]
            lambda: swarm.plan("web", image=f"app:{word}"),
            lambda: swarm.plan("web", on_failure=word),
            lambda: swarm.plan("web", on_foreign=word),
            lambda: swarm.plan("web", deadline=word),
            lambda: swarm.plan("web", gates=[word]),  # type: ignore[list-item]
            lambda: swarm.plan("web", strategy=swarmroll.Rolling(order=word)),
            lambda: swarm.plan("web", strategy=swarmroll.Rolling(parallelism=word)),
            lambda: swarm.plan("web", lambda s: s.with_path(word, 1)),
            lambda: swarm.plan("web", lambda s: s.with_env(**{word: "x"})),
            lambda: swarm.plan("web", lambda s: s.with_label(word, 3)),
            lambda: outlets.plan(swarm.plan("web", image="app:1", reason=word)),
            lambda: swarmroll.connect(f"tcp://{word}:1"),
            lambda: swarmroll.connect(f"{word}://h"),
            lambda: swarmroll.HttpGate(word),
            lambda: swarmroll.TcpGate(word),  # type: ignore[call-arg]
        ):
            outlets.attempt(call)
        gates: list[Any] = [loud, raising, Named()]
        for gate in gates:
            roll = functools.partial(swarm.update, "web", described, gates=[gate], check=False)
            report = outlets.attempt(functools.partial(roll, reason=word, allow="*"))
            if report is not None:
                outlets.report(report)
    assert "report str" in outlets.out
    assert len(outlets.out["exception str"]) > 12
    assert [] == raw(outlets)


def test_whoever_holds_the_lease_has_no_power_over_our_terminal(sim: SimSwarm) -> None:
    """His reason is quoted in the refusal."""
    journal = MemoryJournal(sim.engine().clock)
    outlets = Outlets()
    with outlets.logged(), sim.connect(journal=journal) as swarm:
        other = sim.connect(journal=journal)
        gates = [swarmroll.ManualGate(limit=None)]
        plan = swarm.plan("web", image="app:1", change=relabelled, reason=STORED, gates=gates)
        began = threading.Event()
        held = swarm.start(plan, observers=[lambda _: began.set()])
        assert began.wait(30)
        outlets.attempt(lambda: other.update("web", image="app:1"))
        held.detach()
    assert "LeaseHeld" in outlets.text()["exception repr"]
    assert [] == raw(outlets)


def described(spec: swarmroll.ServiceSpec) -> swarmroll.ServiceSpec:
    return spec.with_env(A="b")


def relabelled(spec: swarmroll.ServiceSpec) -> swarmroll.ServiceSpec:
    return spec.with_label("a", "b")


def test_the_engine_s_refusal_is_quoted_harmless(sim: SimSwarm) -> None:
    """Its error body is somebody else's text."""

    class Refusing(SimEngine):
        def update(self, *_args: Any, **_words: Any) -> Any:
            raise EngineError(f"HTTP 400: {STORED}", status=400)

    outlets = Outlets()
    engine = Refusing(sim, request_timeout=5.0, patience=5.0)
    with outlets.logged(), Swarm(engine, observers=[outlets.observe]) as swarm:
        outlets.attempt(lambda: swarm.update("web", image="app:2"))
    assert "HTTP 400" in outlets.text()["exception str"]
    assert [] == raw(outlets)


@pytest.mark.parametrize("word", EVIL.values(), ids=EVIL)
def test_the_command_line_prints_nothing_raw(word: str) -> None:
    """What it complains of, it quotes."""
    runner = CliRunner()
    for arguments in (
        ["sim", "--image", f"a,{word}=1"],
        ["sim", "--image", f"a,exit_code={word}"],
        ["sim", "--image", f"{word},exit_code=x"],
        ["sim", "--api-version", word],
        ["demo", "--speed", word],
        [f"x{word}"],
    ):
        result = runner.invoke(main, arguments)
        assert result.exit_code == 2
        assert not [c for c in RAW if c in result.output], (arguments, result.output)
