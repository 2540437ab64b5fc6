"""Answers that no engine gives: swarmroll's own errors, soon, and in little memory."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor

from tests.faults.mutants import LONGEST, MOST_MEMORY, answers, play, read

COUNT = 20_000


def test_spoilt_answers_end_in_swarmrolls_own_errors(crew: ProcessPoolExecutor) -> None:
    """Bytes, types, sizes, nesting, encodings, keys; every twentieth through a real socket."""
    parts = [crew.submit(play, part * COUNT // 4, COUNT // 4) for part in range(4)]
    told = [part.result() for part in parts]
    assert [] == [wrong for one in told for wrong in one.wrong]
    assert LONGEST > max(one.slowest for one in told)
    assert MOST_MEMORY > max(one.grown for one in told)
    assert COUNT == sum(one.ends.total() for one in told)
    # Most are noticed: what is spoilt is mostly what is read.
    assert COUNT / 3 < sum(one.ends["EngineError"] for one in told)


def test_answers_that_are_not_spoilt_are_read() -> None:
    """Or else the others would prove nothing."""
    assert {"good"} == {read(name, body) for name, body in answers().items()}
