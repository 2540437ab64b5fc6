"""
Run the integration tests on every engine and tell what was run and what was not.

    python -m integration.lab.run [--everything] [--engines "20 26 28"] [pytest arguments]
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import attrs

from integration.lab.errors import LabError, LabUnavailable
from integration.lab.host import Host
from integration.lab.hosts import hosts
from integration.lab.interrupts import terminable
from integration.lab.namespace import entered
from integration.lab.progress import say
from integration.lab.recipes import ENGINES, OUTER

_TESTS = Path(__file__).parents[1]

#: Variables that would make a test's client talk to something else than it is told to.
_MISLEADING = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH")


@attrs.frozen(kw_only=True)
class Result:
    """How the tests on one engine ended."""

    engine: str
    verdict: str
    passed: bool
    seconds: float = 0.0


def main() -> int:
    """Run, print the summary, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m integration.lab.run", description=__doc__)
    parser.add_argument(
        "--everything", action="store_true", help=f"all tests on all engines, not on {OUTER} only"
    )
    parser.add_argument(
        "--engines",
        default=os.environ.get("SWARMROLL_ENGINES") or " ".join([OUTER, *_others()]),
        help="versions, in this order (or set SWARMROLL_ENGINES)",
    )
    options, pytest_arguments = parser.parse_known_args()
    engines = options.engines.split()
    unknown = [engine for engine in engines if engine not in ENGINES]
    if not engines or unknown:
        parser.error(f"engines are some of {', '.join(ENGINES)}, got {options.engines!r}")
    try:
        with terminable(), hosts(engines) as available:
            results = [
                _test(engine, available.get(engine), options.everything, pytest_arguments)
                for engine in engines
            ]
    except LabUnavailable as error:
        return _not_run(str(error))
    except LabError as error:
        say(f"FAILED: {error}")
        return 1
    except KeyboardInterrupt:
        say("interrupted; everything is removed")
        return 130
    _print_summary(results)
    return 0 if all(result.passed for result in results) else 1


def _others() -> list[str]:
    return [engine for engine in ENGINES if engine != OUTER]


def _test(engine: str, host: Host | None, everything: bool, arguments: list[str]) -> Result:
    if host is None:
        return Result(engine=engine, verdict="NOT RUN: could not be had, see above", passed=True)
    selection = "" if everything else "not lab_itself" if engine == OUTER else "main_story"
    selected = ["-m", selection] if selection else []
    say(f"testing on engine {engine}{f': {selection}' if selection else ''}")
    file = Path(host.directory, f"lab-{engine}.json")
    host.save(file)
    started = time.monotonic()
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-ra",
        "--durations=10",
        f"--lab={file}",
        *selected,
        *arguments,
    ]
    if not any(Path(argument.partition("::")[0]).exists() for argument in arguments):
        command.append(str(_TESTS))
    code = _run_pytest(command, host)
    return Result(
        engine=engine,
        verdict="passed" if code == 0 else f"FAILED (pytest exited with {code})",
        passed=code == 0,
        seconds=time.monotonic() - started,
    )


def _run_pytest(command: list[str], host: Host) -> int:
    environment = {name: text for name, text in os.environ.items() if name not in _MISLEADING}
    environment["DOCKER_HOST"] = host.docker_url
    with entered(host.namespace):
        process = subprocess.Popen(
            command,
            env=environment,
            cwd=_TESTS.parent,
            # A Ctrl-C in the terminal is for us alone; below, it gets one and not two.
            start_new_session=True,
        )
    try:
        return process.wait()
    except KeyboardInterrupt:
        # It removes its swarms itself when it is interrupted, and not by half.
        process.send_signal(signal.SIGINT)
        try:
            process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        raise


def _print_summary(results: list[Result]) -> None:
    print("\nintegration tests on real swarms:")
    for result in results:
        took = f"{result.seconds:6.1f} s" if result.seconds else ""
        print(f"  engine {result.engine}  {took:>8}  {result.verdict}")
    sys.stdout.flush()


def _not_run(reason: str) -> int:
    print(f"\n{'=' * 20} INTEGRATION TESTS: NOT RUN {'=' * 20}\n{reason}\n{'=' * 68}", flush=True)
    # Somebody at a desk may go on without; CI has to mean what it says.
    return 1 if os.environ.get("CI") == "true" else 0


if __name__ == "__main__":
    sys.exit(main())
