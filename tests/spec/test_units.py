"""Durations and shares as users write them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmroll.core.units import (
    Share,
    duration_text,
    from_nanoseconds,
    nanoseconds,
    seconds,
    share,
)
from swarmroll.errors import SpecError


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (5, 5.0),
        (0.25, 0.25),
        (timedelta(minutes=1, milliseconds=500), 60.5),
        ("1m30s", 90.0),
        ("1.5h", 5400.0),
        ("100ms", 0.1),
        ("1h2m3s", 3723.0),
        ("250us", 0.00025),
        ("250µs", 0.00025),
        ("250μs", 0.00025),
        ("7ns", 7e-9),
        (".5s", 0.5),
        ("1.s", 1.0),
        (" 10s ", 10.0),
        ("0", 0.0),
        (0, 0.0),
    ],
)
def test_a_duration_reads_as_the_docker_cli_would(written: Any, expected: float) -> None:
    """Numbers are seconds."""
    assert expected == seconds(written, name="delay")


@pytest.mark.parametrize(
    ("written", "message"),
    [
        (-1, "delay must be at least 0 seconds, got -1"),
        ("-5s", 'delay must be at least 0 seconds, got "-5s"'),
        (timedelta(seconds=-1), "delay must be at least 0"),
        (float("nan"), "delay must be a finite"),
        (float("inf"), "delay must be a finite"),
        pytest.param(10**400, "delay must be a finite", id="huge"),
        (1e12, "delay must be at most 100 years"),
        ("9999999h", "delay must be at most 100 years"),
        (True, "delay must be seconds, .* got True"),
        (None, "delay must be seconds, .* got None"),
        ([5], "delay must be seconds, .* got a list"),
        ("10", 'delay must say its unit, such as "10s"'),
        ("", 'delay must be seconds, .* got ""'),
        ("soon", 'delay must be seconds, .* got "soon"'),
        ("5 s", "delay must be seconds"),
        ("1d", "delay must be seconds"),
        ("s", "delay must be seconds"),
        pytest.param("9" * 5000 + "s", "delay must be seconds", id="long"),
    ],
)
def test_what_is_no_duration_is_refused_by_name(written: Any, message: str) -> None:
    """Field, wish and value."""
    with pytest.raises(SpecError, match=message):
        seconds(written, name="delay")


@given(st.integers(0, 2**52))
def test_nanoseconds_survive_the_way_to_seconds_and_back(number: int) -> None:
    """Up to 52 days."""
    assert number == nanoseconds(from_nanoseconds(number))


@given(st.integers(0, 10**10))
def test_a_duration_text_reads_back(milliseconds: int) -> None:
    """What swarmroll prints it also understands."""
    text = duration_text(milliseconds / 1000)
    assert milliseconds == round(1000 * seconds(text, name="delay"))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, "0s"),
        (0.0000001, "0s"),
        (0.00025, "250µs"),
        (0.0015, "1.5ms"),
        (0.1, "100ms"),
        (0.99999, "1s"),
        (2.5, "2.5s"),
        (59.9999, "1m"),
        (90, "1m30s"),
        (5400, "1h30m"),
        (3601, "1h1s"),
        (-1.5, "-1.5s"),
    ],
)
def test_a_duration_is_short_for_people(value: float, expected: str) -> None:
    """No zero parts, no float dust."""
    assert expected == duration_text(value)


@pytest.mark.parametrize(
    ("written", "total", "expected"),
    [
        (3, 10, 3),
        ("3", 10, 3),
        (0, 10, 0),
        (12, 10, 12),
        ("25%", 10, 3),
        ("25%", 1, 1),
        ("7%", 100, 7),
        ("12.5%", 8, 1),
        ("100%", 9, 9),
        ("1%", 0, 0),
    ],
)
def test_a_share_is_rounded_up(written: Any, total: int, expected: int) -> None:
    """So a small service moves too, and 7 % of 100 is 7."""
    assert expected == share(written, name="parallelism").resolve(total)


@pytest.mark.parametrize("written", [-1, True, 1.5, None, "", "x%", "1e1%", "-5%", [1]])
def test_what_is_no_share_is_refused_by_name(written: Any) -> None:
    """Neither a count nor a percentage."""
    with pytest.raises(SpecError, match="parallelism must be"):
        share(written, name="parallelism")


@pytest.mark.parametrize("written", ["0%", "0.0%", "101%", "100.001%"])
def test_a_percentage_out_of_range_is_refused(written: str) -> None:
    """0 % would never move."""
    with pytest.raises(SpecError, match="above 0% and at most 100%"):
        share(written, name="parallelism")


def test_a_share_prints_as_it_is_written() -> None:
    """For plans."""
    assert [str(share(text, name="x")) for text in ("3", "25%", "12.5%")] == ["3", "25%", "12.5%"]
    assert share(Share(count=2), name="x") == Share(count=2)
