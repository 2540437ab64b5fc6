"""CommandGate: what a program says, how it is told, and that nothing of it stays."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from swarmroll import Answer, CommandGate, PlanError, Verdict
from tests.gates.contexts import context


def ask(code: str, **options: Any) -> Verdict:
    return CommandGate([sys.executable, "-c", code], **options).check(context())


def shell(code: str, **options: Any) -> Verdict:
    return CommandGate(["sh", "-c", code], **options).check(context())


def test_exit_0_passes() -> None:
    assert Verdict.passed("exit 0") == shell("exit 0")


def test_another_code_fails_with_the_last_words() -> None:
    """Of both outputs, in their order."""
    verdict = shell("echo one; echo two >&2; exit 3")
    assert Answer.FAILED == verdict.answer
    assert verdict.reason.endswith(r': exit 3: "one\ntwo"')


@pytest.mark.parametrize(
    ("code", "options", "answer"),
    [
        (75, {}, Answer.WAITING),
        (75, {"waiting": None}, Answer.FAILED),
        (4, {"waiting": 4}, Answer.WAITING),
        (5, {"inconclusive": 5}, Answer.INCONCLUSIVE),
    ],
)
def test_chosen_codes_say_that_it_cannot_tell(
    code: int, options: dict[str, Any], answer: Answer
) -> None:
    verdict = shell(f"echo soon; exit {code}", **options)
    assert answer == verdict.answer
    assert f'exit {code}: "soon"' in verdict.reason


def test_a_signal_is_named() -> None:
    assert "killed by SIGTERM" in shell("kill -TERM $$").reason
    assert (
        f"killed by signal {signal.SIGRTMIN + 3}" in shell(f"kill -{signal.SIGRTMIN + 3} $$").reason
    )


def test_it_is_told_of_the_rollout() -> None:
    code = 'echo "$SWARMROLL_SERVICE $SWARMROLL_IMAGE $SWARMROLL_PHASE $SWARMROLL_MOMENT '
    code += '$SWARMROLL_STEP $SWARMROLL_ROLLOUT $EXTRA"; pwd'
    verdict = shell(code, env={"EXTRA": "abc"}, cwd="/")
    expected = r'exit 0: "web team/web:2 holding between 0 r1 abc\n/"'
    assert Verdict.passed(expected) == verdict


def test_it_has_nothing_to_read() -> None:
    """A program that asks a question gets no answer, and does not wait for one."""
    assert Answer.FAILED == shell("read answer", timeout=5).answer


def test_there_is_no_shell() -> None:
    verdict = CommandGate(["echo", "$HOME; exit 1"]).check(context())
    assert Verdict.passed('exit 0: "$HOME; exit 1"') == verdict


def ended(pid: int) -> bool:
    """Gone, or dead and waiting for whoever reaps orphans."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state in "ZX"


def within(seconds: float, pid: int) -> bool:
    ends = time.monotonic() + seconds
    while not ended(pid):
        if time.monotonic() > ends:
            return False
        os.sched_yield()
    return True


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into /proc")
def test_at_the_limit_the_whole_group_is_killed(tmp_path: Path) -> None:
    """Also what ignores SIGTERM, and what it has started."""
    pids = tmp_path / "pids"
    code = f"trap '' TERM; sleep 60 & echo $$ $! > {pids}; echo working; wait"
    begun = time.monotonic()
    verdict = shell(code, timeout=0.5)
    assert time.monotonic() - begun < 3
    assert Answer.FAILED == verdict.answer
    assert verdict.reason.endswith('was killed after 500ms: "working"')
    assert all(within(5, int(pid)) for pid in pids.read_text(encoding="utf-8").split())


def test_closing_its_output_does_not_make_it_immortal() -> None:
    begun = time.monotonic()
    verdict = shell("exec >&- 2>&-; sleep 60", timeout=0.3)
    assert "was killed after 300ms" in verdict.reason
    assert time.monotonic() - begun < 3


def test_endless_output_costs_no_memory_and_ends() -> None:
    verdict = shell("yes swarm", timeout=0.3)
    assert Answer.FAILED == verdict.answer
    assert len(verdict.reason) < 700


def test_the_end_of_long_output_is_told() -> None:
    verdict = ask("print('x' * 100_000); print('the end'); raise SystemExit(1)")
    assert verdict.reason.endswith(r'xxx\nthe end"')
    assert len(verdict.reason) < 700


def test_nothing_secret_and_nothing_raw_is_shown() -> None:
    gate = CommandGate(
        ["sh", "-c", "printf '\\033[2J'; env; exit 1", "x", "--password=hunter2"],
        env={"THING": "open-sesame"},
    )
    told = f"{gate!r} {gate.check(context())}"
    assert not [word for word in ("hunter2", "sesame", "\x1b") if word in told]


def test_a_program_that_is_gone_by_now_fails(tmp_path: Path) -> None:
    program = tmp_path / "check"
    program.write_text("#!/bin/sh\n", encoding="utf-8")
    program.chmod(0o755)
    gate = CommandGate(["./check"], cwd=tmp_path)
    assert Answer.PASSED == gate.check(context()).answer
    program.unlink()
    expected = "./check could not be run: No such file or directory"
    assert Verdict.failed(expected) == gate.check(context())


@pytest.mark.parametrize(
    ("argv", "options", "message"),
    [
        ("ls -l", {}, 'CommandGate.argv must be a list of strings such as ["check", "--all"]'),
        ([], {}, "CommandGate.argv must be a list"),
        (["ls", 5], {}, "CommandGate.argv must be a list"),
        (["ls", "a\0b"], {}, "CommandGate.argv must be a list"),
        ([""], {}, "CommandGate.argv must be a list"),
        (["no-such-program"], {}, 'begun by a program that can be run, got "no-such-program"'),
        (["ls"], {"env": {"PATH": "/nowhere"}}, "begun by a program that can be run"),
        (["ls"], {"env": {"A=B": "c"}}, "CommandGate.env must be a mapping of names to strings"),
        (["ls"], {"env": {"A": 5}}, "CommandGate.env must be a mapping"),
        (["ls"], {"env": "A=hush"}, "CommandGate.env must be a mapping"),
        (["ls"], {"cwd": "/no/where"}, 'CommandGate.cwd must be a directory, got "/no/where"'),
        (["ls"], {"waiting": 0}, "CommandGate.waiting must be an exit code from 1 to 255"),
        (["ls"], {"inconclusive": 256}, "CommandGate.inconclusive must be an exit code"),
    ],
)
def test_a_wrong_argument_is_named(argv: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(PlanError) as raised:
        CommandGate(argv, **options)
    assert message in str(raised.value)
    assert "hush" not in str(raised.value)


def test_it_is_named_by_its_program() -> None:
    assert "command sh" == CommandGate(["/bin/sh", "-c", "exit"]).name
