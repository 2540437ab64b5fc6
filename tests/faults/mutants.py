"""
Real answers of an engine, spoilt at random, through the real decoding: never a foreign exception.

    python -m tests.faults.mutants --count 1000000
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import gzip
import json
import multiprocessing
import resource
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from random import Random
from types import MappingProxyType
from typing import Any

import attrs
import requests

from swarmroll.engine import wire
from swarmroll.engine.transport import Ask, Door
from swarmroll.engine.trouble import Trouble, translated
from swarmroll.errors import EngineError
from swarmroll.sim import SimSwarm
from swarmroll.sim.api import Answer, Api, Request, find
from swarmroll.streams import WholeTime

from .soak import cores

LONGEST = 2.0
"""Seconds that one answer may take, on a machine that has other things to do."""

MOST_MEMORY = 128 * 1024
"""KiB by which a process may grow while it reads a great many of them."""

Decode = Callable[[bytes], object]

DECODERS: Mapping[str, tuple[str, Decode]] = MappingProxyType(
    {
        "service": ("/services/web", wire.service),
        "tasks": ("/tasks", lambda body: wire.tasks(body, wire.Templates(8))),
        "nodes": ("/nodes", wire.nodes),
        "config": ("/configs/one", wire.config),
        "configs": ("/configs", wire.configs),
        "distribution": ("/distribution/app:1/json", wire.resolved),
        "version": ("/version", wire.api_version),
        "container": ("", wire.health_outputs),
        "event": ("", wire.hint),
        "error": ("", wire.error_message),
        "warnings": ("", wire.warnings),
        "log": ("", wire.log_lines),
    }
)
"""Where each kind of answer is had from, if the simulated engine gives it; and what reads it."""


def answers() -> dict[str, bytes]:
    """One good answer of each kind."""
    sim = SimSwarm(nodes=3, managers=3)
    sim.image("app:1", digest=f"sha256:{'0' * 64}", healthcheck=True)
    sim.config("one", b"data", labels={"a": "b"})
    sim.create_service(
        "web", image="app:1", replicas=3, update={"parallelism": 1, "monitor": 2.0}, rollback={}
    )
    sim.update_service("web", lambda spec: spec.with_env(A="b").with_label("team", "web"))
    sim.run(3)
    api = Api(sim)
    found = {}
    for name, (path, _) in DECODERS.items():
        if path:
            blank: Mapping[str, str] = {}
            asked = Request(
                method="GET", path=path, version=(1, 51), query=blank, headers=blank, body=b""
            )
            request, operation = find(asked)
            answer = api.do(operation, request)
            assert isinstance(answer, Answer)
            found[name] = answer.body
    event = sim.store.events.kept[-1]
    found["event"] = json.dumps(event.document()).encode()
    found["error"] = b'{"message": "rpc error: code = Unknown desc = update out of sequence"}'
    found["warnings"] = b'{"Warnings": ["unable to pin image"]}'
    found["container"] = b'{"State": {"Health": {"Log": [{"Output": "ok", "ExitCode": 0}]}}}'
    found["log"] = b"".join(b"\x01\x00\x00\x00\x00\x00\x00\x06line %d" % n for n in range(9))
    sim.close()
    return found


JUNK: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    1.5,
    "",
    "x" * 5000,
    "\x00\u202e\U0001f40b",
    [],
    {},
    [[]],
    {"": None},
    2**63,
    -(2**64),
    "9999-12-31T23:59:59.999999999Z",
    "0001-01-01T00:00:00Z",
    "2026-01-01T00:00:00+23:59",
    "2026-13-45T99:99:99Z",
    "running",
)

RAW = (
    b"1e999",
    b"-1e400",
    b"9" * 5000,
    b"NaN",
    b"Infinity",
    b'"\\ud800"',
    b'"\xff\xfe"',
    b"[" * 600 + b"]" * 600,
    b'{"a":' * 600 + b"1" + b"}" * 600,
    b"[" * 100_000,
    b'"',
    b"{}{}",
)


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Each container in a document, with a key or index in it."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in list(items):
        yield value, key
        if isinstance(inner, dict | list):
            yield from places(inner)


def in_document(body: bytes, chance: Random) -> bytes:
    """Spoil the document: another type, a key too many, too few, of another name, or twice."""
    try:
        document = json.loads(body)
    except ValueError:
        return in_bytes(body, chance)
    mark = "@@@"
    for _ in range(chance.choice((1, 1, 2, 5))):
        found = list(places(document)) if isinstance(document, dict | list) else []
        if not found:
            break
        holder, key = chance.choice(found)
        how = chance.random()
        if how < 0.5:
            holder[key] = copy.deepcopy(chance.choice(JUNK))
        elif how < 0.65:
            holder[key] = mark
        elif how < 0.8:
            del holder[key]
        elif isinstance(holder, dict):
            other = chance.choice((key.lower(), key + "s", "ID", "Spec", "", "\u0130"))
            holder[other] = copy.deepcopy(holder[key])
        else:
            holder += copy.deepcopy(holder[:50] * 3)
    text = json.dumps(document).encode()
    return text.replace(b'"@@@"', chance.choice(RAW))


def in_bytes(body: bytes, chance: Random) -> bytes:
    """Spoil the bytes: flipped, cut off, left out, repeated, put in, or in another encoding."""
    data = bytearray(body)
    how = chance.randrange(8)
    if how == 0:
        return bytes(data[: chance.randrange(len(data) + 1)])
    if how == 1:
        return chance.choice((body.decode("latin-1").encode("utf-16"), b"\xef\xbb\xbf" + body))
    if how == 2:
        return gzip.compress(body)
    if how == 3:
        return body + chance.choice((body, b"\n" + body, b",", b"\x00" * 100, b"}"))
    for _ in range(chance.choice((1, 2, 8, 64))):
        if not data:
            break
        at = chance.randrange(len(data))
        end = min(len(data), at + chance.randrange(1, 40))
        if how == 4:
            data[at] ^= 1 << chance.randrange(8)
        elif how == 5:
            del data[at:end]
        elif how == 6:
            data[at:at] = data[at:end] * chance.choice((1, 3))
        else:
            data[at:end] = chance.choice((b"null", b'""', b"-1", b"[", b"}", b"\\u", b"e9"))
    return bytes(data)


def mutant(body: bytes, chance: Random) -> bytes:
    """An answer that something is wrong with."""
    return (in_document if chance.random() < 0.6 else in_bytes)(body, chance)


def read(name: str, body: bytes) -> str:
    """
    Read an answer as the engine's door does.

    Returns:
        ``good`` where nothing is wrong with it, or the kind of swarmroll's own error.

    Raises:
        Exception: It is not swarmroll's own; that is what must not be.
    """
    try:
        DECODERS[name][1](body)
    except Exception as exc:
        trouble = translated(exc, "unix:///docker.sock")
        if "bug" in str(trouble.error) or not isinstance(exc, ValueError | EngineError):
            raise
        assert isinstance(trouble.error, EngineError)
        return type(trouble.error).__name__
    return "good"


def send(name: str, body: bytes, chance: Random) -> str:
    """Read an answer through the whole transport, its head spoilt as well."""
    length = len(body) if chance.random() < 0.6 else chance.choice((0, 1, 10**9, len(body) + 5))
    head = (
        b"HTTP/1.1 200 OK\r\nApi-Version: 1.51\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n" % length
    )
    if chance.random() < 0.5:
        head = in_bytes(head, chance)
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        theirs.send(head + body)
    theirs.shutdown(socket.SHUT_WR)
    stream = WholeTime(fileno=ours.detach())
    door = Door(
        "unix:///docker.sock",
        dial=lambda seconds: _until(stream, seconds),
        session=_SESSION,
        headers={},
        max_body=1 << 20,
        sent=lambda: None,
    )
    try:
        return read(name, bytes(door.ask(Ask(path="/x"), 1.0)))
    except Trouble as trouble:
        return type(trouble.error).__name__
    finally:
        door.close()
        stream.close()
        theirs.close()


_SESSION = requests.Session()


def _until(stream: WholeTime, seconds: float | None) -> socket.socket:
    stream.settimeout(seconds)
    return stream


@attrs.frozen(kw_only=True)
class Told:
    """
    What came of a great many answers.

    Attributes:
        ends: How often each came to what.
        wrong: What must not be, with the seed of it.
        slowest: Seconds that the slowest took.
        grown: KiB by which the process has grown.
    """

    ends: Counter[str]
    wrong: tuple[str, ...]
    slowest: float
    grown: int


def one(seed: int, good: Mapping[str, bytes]) -> str:
    """The answer of a seed; every twentieth comes through a socket."""
    chance = Random(seed)
    name = chance.choice(tuple(DECODERS))
    body = mutant(good[name], chance)
    return send(name, body, chance) if seed % 20 == 0 else read(name, body)


def play(first: int, count: int) -> Told:
    """Read so many spoilt answers."""
    good = answers()
    for name, body in good.items():
        assert read(name, body) == "good", name
    ends: Counter[str] = Counter()
    wrong: list[str] = []
    slowest, before = 0.0, 0
    for seed in range(first, first + count):
        begun = time.perf_counter()
        try:
            ends[one(seed, good)] += 1
        except Exception as exc:  # noqa: BLE001 - that is what is looked for
            wrong.append(f"seed {seed}: {exc!r}")
        slowest = max(slowest, time.perf_counter() - begun)
        if seed == first + min(500, count // 2):
            # By then everything is loaded, and was used.
            before = _peak()
    return Told(ends=ends, wrong=tuple(wrong), slowest=slowest, grown=_peak() - before)


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> int:
    """Read them all; 1 if anything was wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.mutants", description=__doc__)
    parser.add_argument("--from", dest="first", type=int, default=0, help="the first seed")
    parser.add_argument("--count", type=int, default=1_000_000, help="how many answers")
    parser.add_argument("--jobs", type=int, default=cores(), help="how many processes")
    options = parser.parse_args()
    begun, part = time.monotonic(), max(1, min(50_000, options.count))
    ends: Counter[str] = Counter()
    wrong, slowest, grown = 0, 0.0, 0
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.jobs, mp_context=context) as pool:
        firsts = range(options.first, options.first + options.count, part)
        for told in pool.map(play, firsts, [part] * len(firsts)):
            ends += told.ends
            wrong += len(told.wrong)
            slowest, grown = max(slowest, told.slowest), max(grown, told.grown)
            print("\n".join(told.wrong), end="\n" if told.wrong else "", flush=True)
    print(
        f"{ends.total() + wrong} answers, {wrong} wrong, {time.monotonic() - begun:.0f} s;"
        f" the slowest {slowest * 1000:.0f} ms, grown by {grown} KiB; {dict(ends)}"
    )
    return wrong > 0 or grown > MOST_MEMORY


if __name__ == "__main__":
    sys.exit(main())
