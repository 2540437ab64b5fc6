"""The asyncio surface does what the other one does."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

import pytest

import swarmroll
from swarmroll import (
    Canary,
    NoRollout,
    PlanError,
    RolledBack,
    RolloutPaused,
    ServiceNotFound,
    SpecError,
    Step,
    aio,
)
from swarmroll.core.events import Finished, Started, Wrote
from swarmroll.errors import ConnectionClosed
from swarmroll.sim import SimSwarm

from .conftest import signal_on

ONLY_THERE = {"on_cancel", "threads", "rollouts"}
"""What only the asyncio surface takes."""


def public(kind: type) -> dict[str, Any]:
    return {name: value for name, value in vars(kind).items() if not name.startswith("_")}


def parameters(function: Callable[..., object]) -> list[tuple[str, object, object]]:
    return [
        (one.name, one.kind, one.default)
        for one in inspect.signature(function).parameters.values()
        if one.name not in ONLY_THERE
    ]


@pytest.mark.parametrize("kind", ["Swarm", "Rollout"])
def test_both_surfaces_have_the_same_names(kind: str) -> None:
    """What one can, the other can."""
    inner = {"braked", "start", "listen"} if kind == "Rollout" else {"braked"}
    assert public(getattr(swarmroll, kind)).keys() - inner == public(getattr(aio, kind)).keys()


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (kind, name)
        for kind in ("Swarm", "Rollout")
        for name, value in public(getattr(aio, kind)).items()
        if inspect.isfunction(value)
    ],
)
def test_both_surfaces_take_the_same_arguments(kind: str, name: str) -> None:
    """With the same defaults, and each has a docstring."""
    there, here = getattr(getattr(swarmroll, kind), name), getattr(getattr(aio, kind), name)
    assert parameters(there) == parameters(here)
    assert here.__doc__
    assert inspect.iscoroutinefunction(here) or inspect.isasyncgenfunction(here)


def test_connecting_takes_the_same_arguments() -> None:
    """And a few of its own."""
    assert parameters(swarmroll.connect) == parameters(aio.connect)


@pytest.mark.usefixtures("no_threads_left")
def test_a_release_is_rolled_and_proven(served: SimSwarm) -> None:
    """Planned, rolled, and told, over real sockets."""

    async def story() -> None:
        async with aio.connect(served.url) as swarm:
            assert "Swarm at" in repr(swarm)
            assert len(await swarm.nodes()) == 3
            assert (await swarm.service("web")).spec.image.startswith("app:1")
            plan = await swarm.plan("web", image="app:2")
            assert len(plan.restarts) == 2
            report = await swarm.update("web", image="app:2")
            assert report.outcome == "completed"
            assert [one.rollout_id for one in await swarm.history("web")] == [report.rollout_id]
            assert (await swarm.rollback("web")).outcome == "completed"
            assert (await swarm.service("web")).spec.image.startswith("app:1")

    asyncio.run(story())


def test_connecting_can_be_awaited_too(served: SimSwarm) -> None:
    """For those who close it themselves, twice if they like."""

    async def story() -> None:
        swarm = await aio.connect(served.url)
        await swarm.close()
        await swarm.close()
        for late in (swarm.service("web"), swarm.update("web", image="app:2")):
            with pytest.raises(ConnectionClosed):
                await late

    asyncio.run(story())


def test_the_same_exceptions_come(sim: SimSwarm) -> None:
    """With the report, where there is one."""

    async def story() -> None:
        async with aio.Swarm(sim.connect()) as swarm:
            with pytest.raises(ServiceNotFound):
                await swarm.service("nothing")
            with pytest.raises(SpecError):
                await swarm.update("web", lambda spec: spec.with_replicas(-1))
            with pytest.raises(NoRollout):
                await swarm.attach("web")
            with pytest.raises(RolledBack) as failed:
                await swarm.update("web", image="crash:1")
            assert failed.value.report.failures
            report = await swarm.update("shop", image="crash:1", check=False)
            assert report.outcome == "rolled_back"

    asyncio.run(story())


@pytest.mark.parametrize("wrong", ["explode", None, 3])
def test_a_wrong_way_to_cancel_is_refused(sim: SimSwarm, wrong: Any) -> None:
    """Before anything is done."""
    with pytest.raises(PlanError, match="on_cancel must be one of detach, abort, rollback"):
        aio.Swarm(sim.connect(), on_cancel=wrong)
    with pytest.raises(PlanError, match="on_cancel must be one of detach, abort, rollback"):
        aio.connect(on_cancel=wrong)


def test_a_rollout_has_the_same_handle(served: SimSwarm) -> None:
    """Held, promoted, heard from the beginning."""

    async def story() -> None:
        async with aio.connect(served.url) as swarm:
            strategy = Canary(steps=[Step(tasks=1, hold=None), Step(tasks="100%")])
            plan = await swarm.plan("web", image="app:2", strategy=strategy)
            rollout = await swarm.start(plan)
            assert rollout.plan is plan
            heard = []
            async for event in rollout.events():
                heard.append(event)
                if rollout.phase == "holding" and rollout.report is None:
                    assert rollout.running
                    with pytest.raises(TimeoutError, match="is still holding"):
                        await rollout.wait(0)
                    await rollout.promote()
            assert isinstance(heard[0], Started)
            assert isinstance(heard[-1], Finished)
            report = await rollout.wait()
            assert report is rollout.report
            assert report.outcome == "completed"
            assert rollout.state.phase == "completed"
            assert not rollout.running
            assert [event async for event in rollout.events()] == heard
            await rollout.pause()
            await rollout.abort()
            await rollout.detach()
            assert rollout.report is report

    asyncio.run(story())


def test_a_rollout_is_paused_and_resumed(served: SimSwarm) -> None:
    """Waiting for it raises as ever."""

    async def story() -> None:
        async with aio.connect(served.url) as swarm:
            strategy = Canary(steps=[Step(tasks=1, hold="1h"), Step(tasks="100%")])
            observe, wrote = signal_on(Wrote)
            plan = await swarm.plan("web", image="app:2", strategy=strategy)
            rollout = await swarm.start(plan, observers=[observe])
            await wrote.wait()
            await rollout.pause()
            with pytest.raises(RolloutPaused):
                await rollout.wait()
            assert (await rollout.resume()) is rollout
            await rollout.abort(rollback=True)
            assert (await rollout.wait(60, check=False)).outcome == "aborted"
            assert (await swarm.service("web")).spec.image.startswith("app:1")

    asyncio.run(story())


def test_events_need_not_be_heard_to_the_end(served: SimSwarm) -> None:
    """Who breaks off hears nothing more, and is not kept."""

    async def story() -> None:
        async with aio.connect(served.url) as swarm:
            rollout = await swarm.start(await swarm.plan("web", image="app:2"))
            events = rollout.events()
            assert isinstance(await anext(events), Started)
            await events.aclose()  # type: ignore[attr-defined]
            assert (await rollout.wait()).ok

    asyncio.run(story())


def test_many_rollouts_go_on_at_once(served: SimSwarm) -> None:
    """As in an application that serves several people with one connection."""

    async def story() -> None:
        async with aio.connect(served.url) as swarm, asyncio.TaskGroup() as group:
            rolling = [
                group.create_task(swarm.update(name, image=image))
                for name, image in (("web", "app:2"), ("shop", "app:3"), ("mail", "app:2"))
            ]
            reading = [group.create_task(swarm.service("web")) for _ in range(50)]
        assert [task.result().outcome for task in rolling] == ["completed"] * 3
        assert {task.result().name for task in reading} == {"web"}

    asyncio.run(story())


def test_one_failure_of_a_group_stops_the_others(served: SimSwarm) -> None:
    """Which let go of theirs: they can be taken up again."""

    async def story() -> None:
        async with aio.connect(served.url) as swarm:
            observe, wrote = signal_on(Wrote)

            async def fail() -> None:
                await wrote.wait()
                raise LookupError

            async def both() -> None:
                baking = swarmroll.Rolling(bake="1h")
                async with asyncio.TaskGroup() as group:
                    group.create_task(
                        swarm.update("web", image="app:2", strategy=baking, observers=[observe])
                    )
                    group.create_task(fail())

            with pytest.raises(ExceptionGroup) as failed:
                await both()
            assert failed.value.subgroup(LookupError)
            rollout = await swarm.attach("web")
            await rollout.abort()
            assert (await rollout.wait(check=False)).outcome == "aborted"

    asyncio.run(story())


def test_the_loop_goes_on_while_the_engine_hangs(served: SimSwarm) -> None:
    """Whatever waits for the engine waits in a thread."""

    async def story() -> None:
        async with aio.connect(served.url) as swarm:
            with served.lock:
                # The engine answers nobody now, and this task holds what would let it.
                hanging = [
                    asyncio.create_task(swarm.service("web")),
                    asyncio.create_task(swarm.plan("web", image="app:2")),
                    asyncio.create_task(swarm.update("shop", image="app:2")),
                ]
                for _ in range(1000):
                    await asyncio.sleep(0)
                assert not any(task.done() for task in hanging)
            await asyncio.gather(*hanging)
            assert hanging[2].exception() is None
            assert served.service("shop").spec.image.startswith("app:2")

    asyncio.run(story())
