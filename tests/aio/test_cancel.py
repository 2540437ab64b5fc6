"""What becomes of a rollout when somebody no longer wants to wait for it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import swarmroll
from swarmroll import ManualGate, MemoryJournal, PlanError, Report, Rolling, aio
from swarmroll.core.events import Event, Finished, TaskRunning, Wrote
from swarmroll.core.snapshot import UpdateState
from swarmroll.sim import SimSwarm

from .conftest import signal_on

LONG: dict[str, Any] = {"image": "app:2", "strategy": Rolling(parallelism=1, delay="1h")}
"""A rollout that is not over before the test is."""


async def cancelled(task: asyncio.Task[Any]) -> asyncio.CancelledError:
    """Cancel it, and wait until it is."""
    task.cancel()
    with pytest.raises(asyncio.CancelledError) as end:
        await task
    return end.value


async def under_way(
    swarm: aio.Swarm, **options: Any
) -> tuple[asyncio.Task[Report], Callable[[Event], None]]:
    """An update in the middle."""
    observe, running = signal_on(TaskRunning)
    task = asyncio.create_task(swarm.update("web", observers=[observe], **LONG, **options))
    await running.wait()
    return task, observe


@pytest.mark.usefixtures("no_threads_left")
def test_cancelled_it_lets_go(served: SimSwarm) -> None:
    """By the time it has raised, anybody may take the rollout up, and does."""

    async def story() -> None:
        async with aio.connect(served.url) as swarm:
            task, _ = await under_way(swarm)
            end = await cancelled(task)
            (note,) = end.__notes__
            assert "its driver was asked to let go; the rollout was updating" in note
            assert "the engine goes on by itself" in note
            status = served.service("web").update_status
            assert status is not None
            assert status.state is UpdateState.UPDATING
            # Nobody is waited for: the lease is free.
            with swarmroll.connect(served.url) as other:
                rollout = other.attach("web")
                rollout.abort(rollback=True)
                assert rollout.wait(60, check=False).outcome == "aborted"

    asyncio.run(story())


@pytest.mark.usefixtures("no_threads_left")
@pytest.mark.parametrize("on_cancel", ["abort", "rollback"])
def test_cancelled_it_ends_as_it_was_told(served: SimSwarm, on_cancel: str) -> None:
    """The rollout is over then, on record, and the note says how."""

    async def story() -> None:
        async with aio.connect(served.url, on_cancel=on_cancel) as swarm:
            task, _ = await under_way(swarm)
            end = await cancelled(task)
            assert "web aborted" in end.__notes__[0]
            (report,) = await swarm.history("web")
            assert report.outcome == "aborted"
            back = on_cancel == "rollback"
            assert back == served.service("web").spec.image.startswith("app:1")

    asyncio.run(story())


def test_each_call_may_say_otherwise(served: SimSwarm) -> None:
    """Than the connection was told."""

    async def story() -> None:
        async with aio.connect(served.url, on_cancel="abort") as swarm:
            task, _ = await under_way(swarm, on_cancel="detach")
            await cancelled(task)
            rollout = await swarm.attach("web")
            assert rollout.phase == "updating"
            await rollout.abort()

    asyncio.run(story())


def test_going_back_without_anything_to_go_back_to_is_an_abort(served: SimSwarm) -> None:
    """The rollout stops all the same."""
    served.image("app:1", on_slots=[1], crashes_after=0.5)
    served.create_service("ill", image="app:1", replicas=1, settle=False)

    async def story() -> None:
        async with aio.connect(served.url) as swarm:
            observe, wrote = signal_on(Wrote)
            task = asyncio.create_task(
                swarm.update(
                    "ill",
                    image="app:2",
                    strategy=Rolling(bake="1h"),
                    allow="*",
                    observers=[observe],
                    on_cancel="rollback",
                )
            )
            await wrote.wait()
            assert "ill aborted" in (await cancelled(task)).__notes__[0]

    asyncio.run(story())


def test_cancelled_twice_it_lets_go(served: SimSwarm) -> None:
    """Of a rollback that would take too long."""
    served.image("app:1", starts_in=100_000.0)

    async def story() -> None:
        async with aio.connect(served.url) as swarm:
            task, _ = await under_way(swarm, on_cancel="rollback")
            task.cancel()
            await until(lambda: served.service("web").spec.image.startswith("app:1"), served)
            assert not task.done()
            end = await cancelled(task)
            assert "the rollout was rolling_back" in end.__notes__[0]
            rollout = await swarm.attach("web")
            assert rollout.phase == "rolling_back"
            await rollout.detach()

    asyncio.run(story())


async def until(condition: Callable[[], bool], sim: SimSwarm) -> None:
    """Wait for something to be true of the swarm."""
    assert await asyncio.to_thread(sim.wait_until, condition)


def test_a_time_limit_is_a_cancellation(served: SimSwarm) -> None:
    """asyncio.timeout() works as with everything else."""

    async def story() -> None:
        async with aio.connect(served.url) as swarm:
            observe, running = signal_on(TaskRunning)
            updating = asyncio.ensure_future(swarm.update("web", observers=[observe], **LONG))

            async def limited() -> None:
                async with asyncio.timeout(None) as limit:
                    await running.wait()
                    limit.reschedule(asyncio.get_running_loop().time())
                    await updating

            with pytest.raises(TimeoutError):
                await limited()
            assert updating.cancelled()
            await (await swarm.attach("web")).abort()

    asyncio.run(story())


@pytest.mark.usefixtures("no_threads_left")
def test_cancelled_before_it_has_begun_nothing_is_written(served: SimSwarm) -> None:
    """Whether it waits for a thread, for an answer, or for somebody else's lease."""

    async def story() -> None:
        async with aio.connect(served.url, rollouts=2) as swarm:
            with served.lock:
                asked = [
                    asyncio.create_task(swarm.update(name, image="app:2"))
                    for name in ("web", "shop", "mail")
                ]
                for _ in range(100):
                    await asyncio.sleep(0)
                for task in asked:
                    task.cancel()
                for _ in range(100):
                    await asyncio.sleep(0)
                # The third had no thread yet; the two others wait for the engine's answer.
                assert [task.done() for task in asked] == [False, False, True]
            for task in asked:
                with pytest.raises(asyncio.CancelledError):
                    await task
            for name in ("web", "shop", "mail"):
                assert served.service(name).spec.image == "app:1"

    asyncio.run(story())


@pytest.mark.parametrize("on_cancel", ["detach", "abort", "rollback"])
def test_waiting_for_somebody_elses_lease_can_be_cancelled(
    served: SimSwarm, on_cancel: str
) -> None:
    """His rollout goes on, and ours never began."""

    async def story() -> None:
        journal = Patient()
        async with (
            aio.connect(served.url, journal=journal) as mine,
            aio.connect(served.url, journal=journal) as his,
        ):
            gate = ManualGate(limit=None)
            plan = await his.plan("web", image="app:2", gates=[gate])
            observe, wrote = signal_on(Wrote)
            rollout = await his.start(plan, observers=[observe])
            await wrote.wait()
            # Until the engine has done its part, the update waits for that; then for the lease.
            await until(lambda: quiet(served), served)
            waiting = [
                asyncio.create_task(
                    mine.update("web", image="app:3", wait_for_lease="1h", on_cancel=on_cancel)
                ),
                asyncio.create_task(mine.attach("web", wait_for_lease="1h")),
                asyncio.create_task(mine.rollback("web", wait_for_lease="1h")),
            ]
            await until(lambda: len(journal.waiting) == len(waiting), served)
            for task in waiting:
                await cancelled(task)
            gate.approve("somebody")
            assert (await rollout.wait()).outcome == "completed"
            assert served.service("web").spec.image.startswith("app:2")

    asyncio.run(story())


class Patient(MemoryJournal):
    """
    A journal that knows who waits for a lease.

    Attributes:
        waiting: Names of the threads that have waited.
    """

    def __init__(self) -> None:
        super().__init__()
        self.waiting: set[str] = set()

    def acquire(self, *args: Any, **words: Any) -> Any:
        give_up = words.pop("give_up")

        def asked() -> bool:
            self.waiting.add(threading.current_thread().name)
            return bool(give_up())

        return super().acquire(*args, give_up=asked, **words)


def quiet(sim: SimSwarm) -> bool:
    status = sim.service("web").update_status
    return status is not None and status.state is UpdateState.COMPLETED


def test_waiting_for_a_rollout_can_be_given_up(served: SimSwarm) -> None:
    """It goes on: only who was told to stop it with the waiting stops it."""

    async def story() -> None:
        async with aio.connect(served.url) as swarm:
            observe, running = signal_on(TaskRunning)
            rollout = await swarm.start(await swarm.plan("web", **LONG), observers=[observe])
            await running.wait()
            await cancelled(await begun(rollout.wait()))
            assert rollout.running
            end = await cancelled(await begun(rollout.wait(on_cancel="detach")))
            assert "asked to let go" in end.__notes__[0]
            with pytest.raises(swarmroll.Detached) as left:
                await rollout.wait()
            assert left.value.report.outcome == "detached"
            again = await swarm.attach("web")
            await cancelled(await begun(again.wait(on_cancel="rollback")))
            assert again.report is not None
            assert again.report.outcome == "aborted"
            assert served.service("web").spec.image.startswith("app:1")

    asyncio.run(story())


async def begun(call: Awaitable[Report]) -> asyncio.Task[Report]:
    """A call that has come to its first wait."""
    task = asyncio.ensure_future(call)
    await asyncio.sleep(0)
    assert isinstance(task, asyncio.Task)
    return task


@pytest.mark.usefixtures("no_threads_left")
def test_leaving_lets_go_of_everything(served: SimSwarm) -> None:
    """Of what is awaited and of what runs in the background; the leases are free at once."""

    async def story() -> None:
        async with aio.connect(served.url) as swarm:
            task, observe = await under_way(swarm)
            rollout = await swarm.start(
                await swarm.plan("shop", image="app:2", strategy=Rolling(bake="1h")),
                observers=[observe],
            )
        assert rollout.report is not None
        assert rollout.report.outcome == "detached"
        with pytest.raises(swarmroll.Detached):
            await task
        async with aio.connect(served.url) as swarm:
            for name in ("web", "shop"):
                await (await swarm.attach(name)).abort()

    asyncio.run(story())


def test_leaving_may_be_cancelled_and_is_finished_all_the_same(served: SimSwarm) -> None:
    """Nothing is left behind by impatience."""

    async def story() -> None:
        swarm = await aio.connect(served.url)
        task, _ = await under_way(swarm)
        with served.lock:
            closing = asyncio.create_task(swarm.close())
            for _ in range(10):
                await asyncio.sleep(0)
            closing.cancel()
            for _ in range(10):
                await asyncio.sleep(0)
            assert not closing.done()
        with pytest.raises(asyncio.CancelledError):
            await closing
        with pytest.raises(swarmroll.Detached):
            await task

    asyncio.run(story())


@pytest.mark.usefixtures("no_threads_left")
def test_connecting_can_be_cancelled(served: SimSwarm) -> None:
    """What it would have opened is closed again."""

    async def story() -> None:
        with served.lock:
            connecting = asyncio.ensure_future(connected(served.url))
            for _ in range(10):
                await asyncio.sleep(0)
            connecting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await connecting

    asyncio.run(story())


async def connected(url: str) -> aio.Swarm:
    return await aio.connect(url)


# --- async gates


def test_an_async_gate_runs_in_the_loop(served: SimSwarm) -> None:
    """It may use whatever the application has there."""
    asked = []

    async def gate(context: swarmroll.GateContext) -> bool:
        asked.append((threading.current_thread(), context.service))
        lines = await asyncio.to_thread(context.logs, context.tasks[0], 5)
        return isinstance(lines, tuple)

    class Checker:
        name = "checker"

        async def check(self, context: swarmroll.GateContext) -> swarmroll.Verdict:
            return swarmroll.Verdict.passed(f"saw {len(context.tasks)} tasks")

    async def story() -> None:
        async with aio.connect(served.url) as swarm:
            report = await swarm.update("web", image="app:2", gates=[gate, Checker()])
        assert report.outcome == "completed"
        assert {str(one.gate) for one in report.gates} == {"gate", "checker"}

    asyncio.run(story())
    assert set(asked) == {(threading.main_thread(), "web")}


def test_an_async_gate_that_hangs_has_failed(served: SimSwarm) -> None:
    """At its time-out it is cancelled, and the release goes back."""
    ends = []

    async def hang(_context: object) -> bool:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ends.append("cancelled")
            raise
        return True

    async def story() -> None:
        async with aio.connect(served.url) as swarm:
            gates = [aio.gate(hang, timeout=0.05, interval=0.05, budget=swarmroll.Budget())]
            report = await swarm.update("web", image="app:2", gates=gates, check=False)
        assert report.outcome == "rolled_back"
        assert any("did not answer within 50ms" in str(answer) for answer in report.gates)

    asyncio.run(story())
    assert "cancelled" in ends


@pytest.mark.parametrize("error", [TimeoutError("late"), LookupError("nothing there")])
def test_an_async_gate_that_raises_has_failed(served: SimSwarm, error: Exception) -> None:
    """With its own words."""

    async def broken(_context: object) -> bool:
        raise error

    async def story() -> None:
        async with aio.connect(served.url) as swarm:
            gates = [aio.gate(broken, interval=0.05)]
            report = await swarm.update("web", image="app:2", gates=gates, check=False)
        assert report.outcome == "rolled_back"
        assert any(f"{type(error).__name__}: {error}" in str(a) for a in report.gates)

    asyncio.run(story())


@pytest.mark.usefixtures("no_threads_left")
def test_an_async_gate_ends_with_its_rollout(served: SimSwarm) -> None:
    """Nobody waits for its answer any more."""

    async def story() -> None:
        asked, ended = asyncio.Event(), asyncio.Event()

        async def hang(_context: object) -> bool:
            asked.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()
            return True

        async with aio.connect(served.url) as swarm:
            gate = aio.gate(hang, timeout="1h")
            rollout = await swarm.start(await swarm.plan("web", image="app:2", gates=[gate]))
            await asked.wait()
            await rollout.detach()
            await ended.wait()
            asked.clear()
            ended.clear()
            with pytest.raises(PlanError, match="async"):
                aio.gate(len)  # type: ignore[arg-type]
            again = await swarm.attach("web", gates=[gate])
            await asked.wait()
            await again.abort(rollback=True)
            await again.wait(check=False)
            await ended.wait()

    asyncio.run(story())


def test_finished_is_told_of_what_was_let_go(sim: SimSwarm) -> None:
    """Observers hear of it as of any end."""
    told: list[Event] = []

    async def story() -> None:
        async with aio.Swarm(sim.connect(observers=[told.append])) as swarm:
            gate = ManualGate(limit=None)
            plan = await swarm.plan("web", image="app:2", gates=[gate])
            rollout = await swarm.start(plan)
            await rollout.detach()

    asyncio.run(story())
    assert isinstance(told[-1], Finished)
    assert told[-1].report.outcome == "detached"
