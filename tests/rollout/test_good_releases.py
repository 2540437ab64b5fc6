"""Releases that are as they should be: completed, proven, and paced as asked."""

from __future__ import annotations

from typing import Any

import pytest

from swarmroll import Report, Rolling
from swarmroll.sim import SimSwarm

from .conftest import Story, phases

FORWARD = ["preparing", "updating", "verifying", "finalizing", "completed"]


@pytest.mark.parametrize("order", ["stop-first", "start-first"])
@pytest.mark.parametrize("parallelism", [0, 1, 2, "50%"])
@pytest.mark.parametrize("delay", [0, 3])
def test_a_good_release_completes(
    web: Story, order: str, parallelism: int | str, delay: float
) -> None:
    """Every slot runs the new image, and the report names the task that proves it."""
    web.service(4)
    report = web.roll(strategy=Rolling(parallelism=parallelism, delay=delay, order=order))
    assert phases(report) == FORWARD
    assert web.running() == ["app:2"] * 4
    assert [slot.proven_by for slot in report.slots] == ["engine"] * 4
    assert web.writes() == 1
    assert not report.failures


def most_at_once(web: Story, image: str) -> int:
    """How many slots were between their order and their new task's RUNNING at one moment."""
    moving: set[str] = set()
    most = 0
    ids = {task.id for task in web.tasks() if task.image == image}
    for happening in web.sim.trace:
        key = happening.subject.rpartition(".")[2]
        if happening.kind != "task" or not any(task.startswith(key) for task in ids):
            continue
        if happening.what.startswith("created"):
            moving.add(key)
        elif happening.what == "RUNNING":
            moving.discard(key)
        most = max(most, len(moving))
    return most


@pytest.mark.parametrize("parallelism", [1, 2, 3])
def test_no_more_slots_move_at_once_than_asked(web: Story, parallelism: int) -> None:
    """With parallelism 2, a third task is never missing."""
    web.service(6)
    web.roll(strategy=Rolling(parallelism=parallelism, delay=1))
    assert most_at_once(web, "app:2") == parallelism


def test_start_first_never_has_fewer_tasks_than_replicas(sim: SimSwarm, web: Story) -> None:
    """No capacity is lost on the way."""
    web.service(3)
    least = 3

    def count() -> bool:
        nonlocal least
        least = min(least, sum(task.running for task in web.tasks()))
        return False

    sim.at(count, lambda: None)
    web.roll(strategy=Rolling(order="start-first"))
    assert least == 3


@pytest.mark.parametrize(
    ("kept", "value"),
    [
        ("parallelism", 2),
        ("delay", 4.0),
        ("monitor", 9.0),
        ("order", "start-first"),
        ("max_failure_ratio", 0.25),
    ],
)
def test_what_the_strategy_leaves_open_is_inherited(web: Story, kept: str, value: Any) -> None:
    """Rolling() goes on as the service declares, field by field."""
    update = {
        "parallelism": 2,
        "delay": 4,
        "monitor": 9,
        "order": "start-first",
        "max_failure_ratio": 0.25,
    }
    web.service(4, update=update)
    web.roll(strategy=Rolling())
    assert getattr(web.spec.update_config, kept) == value


def test_the_written_values_become_the_declared_ones(web: Story) -> None:
    """As with any Docker client."""
    web.service(3, update={"parallelism": 1, "delay": 1})
    web.roll(strategy=Rolling(parallelism=3, delay=0, monitor=7))
    config = web.spec.update_config
    assert (config.parallelism, config.delay, config.monitor) == (3, 0.0, 7.0)


def test_a_slow_start_is_not_a_failure(sim: SimSwarm, web: Story) -> None:
    """A minute until it is up is no reason to go back."""
    sim.image("app:2", starts_in=60)
    web.service(2)
    assert web.roll().outcome == "completed"
    assert web.rolling() == 2


def test_a_slow_pull_is_not_a_failure(sim: SimSwarm, web: Story) -> None:
    """Nor are eight minutes of pulling, slot after slot: each is progress."""
    sim.image("app:2", pulls_in=480)
    web.service(3)
    assert web.roll().outcome == "completed"


def test_healthy_tasks_are_proven_by_their_health_check(sim: SimSwarm, web: Story) -> None:
    """The report says what "runs" means."""
    sim.image("app:2", healthcheck=True, healthy_after=3)
    web.service(2)
    report = web.roll(
        lambda spec: spec.with_image("app:2").with_healthcheck(test=["CMD", "true"], interval=1)
    )
    assert report.outcome == "completed"
    assert {slot.health for slot in report.slots} == {"engine"}


def test_a_bake_time_is_watched_after_the_engine_is_done(sim: SimSwarm, web: Story) -> None:
    """Nothing is called good before it is over."""
    web.service(2)
    begun = sim.now
    report = web.roll(strategy=Rolling(bake=30))
    assert report.outcome == "completed"
    assert sim.now - begun > 30 + 5
    assert {slot.proven_by for slot in report.slots} == {"watch"}


def test_a_bake_time_longer_than_the_deadline_is_no_standstill(web: Story) -> None:
    """To watch is not to be stuck."""
    web.service(2)
    report = web.roll(strategy=Rolling(bake="20m"), deadline="1m")
    assert report.outcome == "completed"


def test_a_monitor_longer_than_the_deadline_is_no_standstill(web: Story) -> None:
    """Every slot is there; the engine only watches on."""
    web.service(2)
    report = web.roll(strategy=Rolling(monitor="20m", parallelism=0), deadline="1m")
    assert report.outcome == "completed"


def test_a_delay_longer_than_the_deadline_is_no_standstill(web: Story) -> None:
    """The deadline does not count the delay that was asked for."""
    web.service(3)
    report = web.roll(strategy=Rolling(delay="5m"), deadline="1m")
    assert report.outcome == "completed"


@pytest.mark.parametrize(
    ("strategy", "a_second"),
    [
        (Rolling(parallelism=0, monitor=30), 0.3),
        (Rolling(monitor=5, bake=60), 1.2),
        (Rolling(delay=10), 1.2),
    ],
    ids=["the engine watches", "we watch after it", "we watch beside it"],
)
def test_the_whole_costs_few_requests(web: Story, strategy: Rolling, a_second: float) -> None:
    """
    A third of a request each second while only the engine needs to watch, else about one.

    The journal takes 7, and 2 for each 20 s to keep the lease.
    """
    web.service(6)
    report = web.roll(strategy=strategy)
    took = report.finished_at - report.started_at
    assert report.engine_requests <= 15 + (a_second + 0.1) * took


def test_the_verdict_comes_soon_after_the_engines(sim: SimSwarm, web: Story) -> None:
    """Within 30 ms of the engine's own completion."""
    web.service(4)
    report = web.roll()
    done = [at for at, state in sim.update_states("web") if state == "completed"][-1]
    assert 0 <= sim.now - done < 0.03
    assert report.ok


def test_one_seed_gives_one_history() -> None:
    """To the last transition."""

    def history() -> Report:
        with SimSwarm(seed=5) as sim:
            return Story(sim).service(4).roll(strategy=Rolling(parallelism=2))

    one, other = history(), history()
    assert [(m.at, m.trigger) for m in one.transitions] == [
        (m.at, m.trigger) for m in other.transitions
    ]
