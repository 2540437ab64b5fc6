"""One run of a program, measured from outside."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import IO

import attrs

from bench.proxy import Proxy, Request
from bench.subject import dialer

_LINE_END = re.compile(rb"[\r\n]+")


@attrs.frozen(kw_only=True)
class Run:
    """
    What a program did.

    Attributes:
        began: Seconds since the epoch.
        ended: Seconds since the epoch: when its process was gone.
        exit_code: Negative: the number of the signal that ended it.
        cpu: Seconds, user and system, its children included.
        lines: What it printed on either stream, each line with when it came.
        load: The machine's load average (1 minute) when it began.
    """

    began: float
    ended: float
    exit_code: int
    cpu: float
    lines: tuple[tuple[float, str], ...]
    load: float
    requests: tuple[Request, ...] = ()
    received: int = 0
    sent: int = 0

    @property
    def wrote_at(self) -> list[float]:
        """When it sent updates of a service."""
        return [
            r.at
            for r in self.requests
            if r.method == "POST" and "/services/" in r.path and "/update" in r.path
        ]

    @property
    def output(self) -> str:
        return "\n".join(line for _, line in self.lines)


def run(command: list[str], *, limit: float = 300.0) -> Run:
    """
    Run a program to its end.

    Args:
        limit: Seconds after which it is killed.
    """
    with tempfile.TemporaryDirectory(prefix="swarmroll-bench-") as home:
        load, began = os.getloadavg()[0], time.time()
        process = subprocess.Popen(
            command,
            env=_environment(home),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=Path(__file__).parents[1],
            start_new_session=True,
        )
        assert process.stdout is not None
        lines: list[tuple[float, str]] = []
        reader = threading.Thread(target=_read, args=(process.stdout, lines))
        reader.start()
        killer = threading.Timer(limit, _kill, args=(process.pid,))
        killer.start()
        try:
            _, status, usage = os.wait4(process.pid, 0)
            ended = time.time()
        except BaseException:
            _kill(process.pid)
            raise
        finally:
            killer.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        reader.join()
    return Run(
        began=began,
        ended=ended,
        exit_code=process.returncode,
        cpu=usage.ru_utime + usage.ru_stime,
        lines=tuple(lines),
        load=load,
    )


def run_proxied(command: list[str], url: str, *, limit: float = 300.0) -> Run:
    """Run a program that finds the engine's address in place of `{url}` in its command."""
    with (
        tempfile.TemporaryDirectory(prefix="swarmroll-bench-") as folder,
        Proxy(Path(folder) / "engine.sock", dialer(url)) as proxy,
    ):
        done = run([word.replace("{url}", proxy.url) for word in command], limit=limit)
        return attrs.evolve(
            done,
            requests=tuple(proxy.requests),
            received=proxy.received,
            sent=proxy.sent,
        )


def _environment(home: str) -> dict[str, str]:
    """Nothing of the user's: no proxies, no contexts, no credentials, no rich colours."""
    return {"PATH": os.environ.get("PATH", os.defpath), "HOME": home, "DOCKER_CONFIG": home}


def _kill(group: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def _read(stream: IO[bytes], lines: list[tuple[float, str]]) -> None:
    rest = b""
    with stream:
        while piece := os.read(stream.fileno(), 65536):
            now = time.time()
            *whole, rest = _LINE_END.split(rest + piece)
            lines += [(now, line.decode(errors="replace")) for line in whole if line]
    if rest:
        lines.append((time.time(), rest.decode(errors="replace")))
