"""A gate that runs a program."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs

from swarmroll.core.gate import GateContext, Verdict
from swarmroll.core.redact import mask_args
from swarmroll.core.units import duration_text
from swarmroll.errors import PlanError
from swarmroll.gates.base import Asked, is_whole, quoted_end, wrong
from swarmroll.printable import printable

TRY_LATER = os.EX_TEMPFAIL if hasattr(os, "EX_TEMPFAIL") else 75
"""What a program exits with that cannot tell yet (sysexits.h, EX_TEMPFAIL)."""

_KEPT = 4096


@attrs.frozen(repr=False, eq=False)
class CommandGate(Asked):
    """
    Passes when a program exits with 0; any other code fails, but for the two below.

    It runs without a shell, in a process group of its own, with nothing to read, and is over when
    it has exited and its output is closed. At the time limit the whole group is killed. It is told
    of the rollout by ``SWARMROLL_SERVICE``, ``_IMAGE``, ``_PHASE``, ``_MOMENT``, ``_STEP`` and
    ``_ROLLOUT``. Not for Windows.

    Attributes:
        argv: The program and its arguments.
        env: Added to the environment; the values are not shown.
        cwd: The directory that it runs in.
        waiting: The exit code that says: too early to tell; None: none does.
        inconclusive: The exit code that says: there is nothing to tell it by; None: none does.
        **: See ``Asked``.

    Raises:
        PlanError: An argument is wrong, or there is no such program; the message names it.
    """

    argv: Sequence[str] = attrs.field()
    env: Mapping[str, str] = attrs.field(factory=dict, kw_only=True)
    cwd: str | Path | None = attrs.field(default=None, kw_only=True)
    waiting: int | None = attrs.field(default=TRY_LATER, kw_only=True)
    inconclusive: int | None = attrs.field(default=None, kw_only=True)

    def __attrs_post_init__(self) -> None:
        if not _are_words(self.argv):
            raise wrong(
                "CommandGate.argv", 'a list of strings such as ["check", "--all"]', self.argv
            )
        if not _is_environment(self.env):
            raise PlanError("CommandGate.env must be a mapping of names to strings")
        if self.cwd is not None and not Path(self.cwd).is_dir():
            raise wrong("CommandGate.cwd", "a directory", str(self.cwd))
        for name in ("waiting", "inconclusive"):
            code = getattr(self, name)
            if code is not None and not is_whole(code, 1, 255):
                raise wrong(f"CommandGate.{name}", "an exit code from 1 to 255, or None", code)
        self._check_program()
        super().__attrs_post_init__()

    def check(self, context: GateContext) -> Verdict:
        """Run it once."""
        ends = time.monotonic() + self.rules.timeout
        try:
            process = subprocess.Popen(
                list(self.argv),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env={**os.environ, **_told(context), **self.env},
                cwd=self.cwd,
                start_new_session=True,
            )
        except OSError as exc:
            return Verdict.failed(f"{self._command} could not be run: {exc.strerror}")
        with process:
            try:
                output, ended = _watched(process, ends)
            finally:
                if process.returncode is None:
                    _kill(process)
        return self._judged(process.returncode, output.decode(errors="replace"), ended=ended)

    def _own_name(self) -> str:
        return f"command {Path(self.argv[0]).name}"

    @property
    def _command(self) -> str:
        return printable(" ".join(mask_args(self.argv)))

    def _check_program(self) -> None:
        program = self.argv[0]
        if os.sep in program and self.cwd is not None:
            program = str(Path(self.cwd, program))
        if shutil.which(program, path=self.env.get("PATH")) is None:
            raise wrong("CommandGate.argv", "begun by a program that can be run", self.argv[0])

    def _judged(self, code: int, output: str, *, ended: bool) -> Verdict:
        said = f": {quoted_end(output, self.env.values())}" if output.strip() else ""
        if not ended:
            limit = duration_text(self.rules.timeout)
            return Verdict.failed(f"{self._command} was killed after {limit}{said}")
        if code == 0:
            return Verdict.passed(f"exit 0{said}")
        if code == self.waiting:
            return Verdict.waiting(f"{self._command}: exit {code}{said}")
        if code == self.inconclusive:
            return Verdict.inconclusive(f"{self._command}: exit {code}{said}")
        how = f"killed by {_signal_name(-code)}" if code < 0 else f"exit {code}"
        return Verdict.failed(f"{self._command}: {how}{said}")


def _watched(process: subprocess.Popen[bytes], ends: float) -> tuple[bytes, bool]:
    """
    Let it run until its output is closed and it has exited, or the time is over.

    Returns:
        The end of what it wrote, and whether it ended by itself.
    """
    assert process.stdout is not None, "it is a pipe"
    output, descriptor = b"", process.stdout.fileno()
    # Not waited for before its output has ended: until then its id, and so its group's, is nobody
    # else's.
    while (left := ends - time.monotonic()) > 0:
        if not select.select([descriptor], [], [], left)[0]:
            continue
        piece = os.read(descriptor, 65536)
        if not piece:
            return output, _has_exited(process, ends)
        output = (output + piece)[-_KEPT:]
    return output, False


def _has_exited(process: subprocess.Popen[bytes], ends: float) -> bool:
    try:
        process.wait(max(0.0, ends - time.monotonic()))
    except subprocess.TimeoutExpired:
        return False
    return True


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _told(context: GateContext) -> dict[str, str]:
    return {
        "SWARMROLL_SERVICE": context.service,
        "SWARMROLL_IMAGE": context.image,
        "SWARMROLL_PHASE": context.phase,
        "SWARMROLL_MOMENT": context.moment,
        "SWARMROLL_STEP": str(context.step),
        "SWARMROLL_ROLLOUT": context.rollout_id,
    }


def _are_words(value: object) -> bool:
    return (
        isinstance(value, Sequence)
        and not isinstance(value, str | bytes)
        and len(value) > 0
        and all(isinstance(word, str) and "\0" not in word for word in value)
        and bool(value[0])
    )


def _is_environment(value: object) -> bool:
    return isinstance(value, Mapping) and all(map(_is_variable, value.items()))


def _is_variable(pair: tuple[object, object]) -> bool:
    name, value = pair
    texts = isinstance(name, str) and isinstance(value, str)
    return texts and bool(name) and "=" not in str(name) and "\0" not in f"{name}{value}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
