"""
The same surface for asyncio: ``async with swarmroll.aio.connect() as swarm``.

A thin wrapper over the same runner. What blocks runs in threads, never in the loop: short calls in
at most ``threads`` of them, calls that roll and wait in at most ``rollouts`` others (more of them
wait their turn), and a rollout that ``start`` or ``attach`` hands out in one of its own. Waiting
for such a rollout, and hearing its events, takes no thread. Observers, gates and functions that
change a spec are called in those threads, ``async def`` gates in the loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import threading
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Generator,
    Iterable,
    Sequence,
)
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from swarmroll import rollout as sync_rollout
from swarmroll import swarm as sync
from swarmroll.brake import Brake, OnCancel
from swarmroll.core.events import Event, Finished
from swarmroll.core.gate import Gate, GateContext, Verdict
from swarmroll.core.phases import Phase
from swarmroll.core.plan import ADOPT, FAIL, ROLLBACK, Plan
from swarmroll.core.redact import shown
from swarmroll.core.report import Report
from swarmroll.core.snapshot import Node, Service
from swarmroll.core.state import State
from swarmroll.core.strategy import Strategy
from swarmroll.core.units import Duration, duration_text
from swarmroll.errors import ConnectionClosed, PlanError
from swarmroll.gates.python import FunctionGate
from swarmroll.journal.port import Journal
from swarmroll.runner import Observer

if TYPE_CHECKING:
    from swarmroll.engine.connect import TLS

T = TypeVar("T")

Check = Callable[[GateContext], Awaitable[bool | Verdict]]
"""An ``async def`` gate."""


class AsyncGate(Protocol):
    """An object that is an ``async`` gate; one that has a ``name`` is called so."""

    async def check(self, context: GateContext) -> bool | Verdict:
        """Ask it once."""


GateLike = sync.GateLike | Check | AsyncGate
"""A gate, or a function that is one, ``async`` or not."""

THREADS = 8
ROLLOUTS = 64

DETACH = OnCancel.DETACH


class Rollout:
    """
    A rollout in a thread of its own, for one event loop; see ``swarmroll.Rollout``.

    Attributes:
        plan: What is being carried out.
        state: Where it stands, as a value.
        phase: Where it stands, in a word.
        report: How it ended, or was paused; None as long as it goes on.
        running: Whether it is neither over nor paused, nor left to others.
    """

    def __init__(self, rollout: sync_rollout.Rollout, threads: _Threads) -> None:
        self._rollout = rollout
        self._threads = threads

    @property
    def plan(self) -> Plan:
        """What is being carried out."""
        return self._rollout.plan

    @property
    def state(self) -> State:
        """Where it stands, as a value."""
        return self._rollout.state

    @property
    def phase(self) -> Phase:
        """Where it stands, in a word."""
        return self._rollout.phase

    @property
    def report(self) -> Report | None:
        """How it ended, or was paused; None as long as it goes on."""
        return self._rollout.report

    @property
    def running(self) -> bool:
        """Whether it is neither over nor paused, nor left to others."""
        return self._rollout.running

    async def wait(
        self,
        timeout: float | None = None,
        *,
        check: bool = True,
        on_cancel: OnCancel | str | None = None,
    ) -> Report:
        """
        Wait until it is over or paused; as ``swarmroll.Rollout.wait``.

        Args:
            timeout: Seconds to wait at most; None waits as long as it takes.
            check: Raise for an outcome that is not ``COMPLETED`` or ``UNCHANGED``.
            on_cancel: What becomes of the rollout when this is cancelled: None lets it go on, and
                only the waiting ends; else see ``OnCancel``.
        """
        how = None if on_cancel is None else _how(on_cancel)
        try:
            async with asyncio.timeout(timeout):
                while self._rollout.running:
                    await self._over()
        except TimeoutError:
            # The sync one says so, if it is so, in its own words.
            pass
        except asyncio.CancelledError as exc:
            if how is not None:
                await self._stopped(how, exc)
            raise
        return self._rollout.wait(0, check=check)

    async def _over(self) -> None:
        loop = asyncio.get_running_loop()
        over = asyncio.Event()

        def hear(event: Event | None) -> None:
            if event is None:
                _soon(loop, over.set)

        stop = self._rollout.listen(hear)
        try:
            await over.wait()
        finally:
            stop()

    async def _stopped(self, how: OnCancel, exc: asyncio.CancelledError) -> None:
        """Stop it, and wait for that whatever comes; being cancelled again lets go of it."""
        stopping = self._threads.driver(_stop, self._rollout, how)
        await _ended(stopping, self._let_go)
        if self.report is not None:
            exc.add_note(_told(self.report))

    def _let_go(self) -> None:
        self._rollout.detach(wait=False)

    async def events(self) -> AsyncIterator[Event]:
        """Every event from the beginning on; ends when the rollout is over or paused."""
        loop = asyncio.get_running_loop()
        heard: asyncio.Queue[Event | None] = asyncio.Queue()
        stop = self._rollout.listen(lambda event: _soon(loop, heard.put_nowait, event))
        try:
            while (event := await heard.get()) is not None:
                yield event
        finally:
            stop()

    async def pause(self) -> None:
        """Start nothing more; as ``swarmroll.Rollout.pause``."""
        await self._threads.call(self._rollout.pause)

    async def resume(self) -> Rollout:
        """Go on with a paused rollout; as ``swarmroll.Rollout.resume``."""
        await self._threads.call(self._rollout.resume)
        return self

    async def promote(self) -> None:
        """End a hold that waits for it; as ``swarmroll.Rollout.promote``."""
        await self._threads.call(self._rollout.promote)

    async def abort(self, *, rollback: bool = False) -> None:
        """
        Stop; as ``swarmroll.Rollout.abort``.

        Args:
            rollback: Put the last known good spec back, and prove it.
        """
        await self._threads.call(self._rollout.abort, rollback=rollback)

    async def detach(self, *, wait: bool = True) -> None:
        """
        Let go of it, for ``attach``; as ``swarmroll.Rollout.detach``.

        Args:
            wait: Until its lease is given back.
        """
        await self._threads.call(self._rollout.detach, wait=wait)


class Swarm:
    """
    One swarm, for one event loop; see ``swarmroll.Swarm``.

    An async context manager: leaving it lets go of every rollout that still goes on (they stay on
    record, for ``attach``) and gives back sockets and threads. Any number of tasks may share it.
    """

    def __init__(
        self,
        swarm: sync.Swarm,
        *,
        on_cancel: OnCancel | str = DETACH,
        threads: int = THREADS,
        rollouts: int = ROLLOUTS,
    ) -> None:
        """
        Args:
            swarm: What to wrap: a swarm as ``swarmroll.connect`` or a simulated one gives it;
                closed with this one.
            on_cancel: What becomes of a rollout when the ``update`` or ``rollback`` that drives
                it is cancelled; see ``OnCancel``.
            threads: So many short calls are under way at the same time.
            rollouts: So many calls of ``update``, ``rollback`` and ``attach``.
        """
        self._swarm = swarm
        self._on_cancel = _how(on_cancel)
        self._threads = _Threads(threads, rollouts)
        self._brakes: set[Brake] = set()
        self._rollouts: set[sync_rollout.Rollout] = set()
        self._closing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Swarm:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return repr(self._swarm)

    async def close(self) -> None:
        """
        Let go of what is under way, and give back sockets and threads.

        A second call waits for the first. Being cancelled does not shorten it: it takes no longer
        than the requests that are under way may take.
        """
        if self._closing is None:
            self._closing = asyncio.create_task(self._close(), name="swarmroll-close")
        cancelled: asyncio.CancelledError | None = None
        while not self._closing.done():
            try:
                await asyncio.wait([self._closing])
            except asyncio.CancelledError as exc:
                cancelled = exc
        self._closing.result()
        if cancelled is not None:
            raise cancelled

    async def _close(self) -> None:
        self._threads.closed = True
        for brake in tuple(self._brakes):
            brake.pull(DETACH)
        for rollout in tuple(self._rollouts):
            rollout.detach(wait=False)
        await self._threads.drivers_end()
        for rollout in tuple(self._rollouts):
            await _result(self._threads.driver(rollout.detach))
        await _result(self._threads.driver(self._swarm.close))
        await self._threads.end()

    # --- looking and planning

    async def nodes(self) -> tuple[Node, ...]:
        """Every node of the swarm; as ``swarmroll.Swarm.nodes``."""
        return await self._threads.call(self._swarm.nodes)

    async def service(self, name: str) -> Service:
        """Read a service; as ``swarmroll.Swarm.service``."""
        return await self._threads.call(self._swarm.service, name)

    async def history(self, service: str) -> tuple[Report, ...]:
        """Finished rollouts of a service, newest first; as ``swarmroll.Swarm.history``."""
        return await self._threads.call(self._swarm.history, service)

    async def plan(
        self,
        service: str,
        change: sync.Change | None = None,
        *,
        image: str | None = None,
        strategy: Strategy | None = None,
        gates: Sequence[GateLike] = (),
        on_failure: str = ROLLBACK,
        deadline: Duration | None = None,
        on_foreign: str = ADOPT,
        on_bad_node: str = FAIL,
        allow: Iterable[str] = (),
        reason: str = "",
    ) -> Plan:
        """Say what would change, in steps; writes nothing; as ``swarmroll.Swarm.plan``."""
        return await self._threads.call(
            self._swarm.plan,
            service,
            change,
            image=image,
            strategy=strategy,
            gates=_gates(gates),
            on_failure=on_failure,
            deadline=deadline,
            on_foreign=on_foreign,
            on_bad_node=on_bad_node,
            allow=allow,
            reason=reason,
        )

    # --- rolling

    async def update(
        self,
        service: str,
        change: sync.Change | None = None,
        *,
        image: str | None = None,
        strategy: Strategy | None = None,
        gates: Sequence[GateLike] = (),
        on_failure: str = ROLLBACK,
        deadline: Duration | None = None,
        on_foreign: str = ADOPT,
        on_bad_node: str = FAIL,
        allow: Iterable[str] = (),
        reason: str = "",
        wait_for_lease: Duration = 0.0,
        observers: Iterable[Observer] = (),
        check: bool = True,
        on_cancel: OnCancel | str | None = None,
    ) -> Report:
        """
        Plan, roll, and wait for the proven end; as ``swarmroll.Swarm.update``.

        Cancelled, it stops the driver, waits until that is done, and only then raises
        ``CancelledError``, whose notes tell what became of the rollout; cancelled once more while
        it waits, it lets go of the rollout.

        Args:
            on_cancel: What becomes of the rollout then; None as ``connect`` was told.
        """
        given = _gates(gates)
        return await self._drive(
            on_cancel,
            lambda swarm: swarm.update(
                service,
                change,
                image=image,
                strategy=strategy,
                gates=given,
                on_failure=on_failure,
                deadline=deadline,
                on_foreign=on_foreign,
                on_bad_node=on_bad_node,
                allow=allow,
                reason=reason,
                wait_for_lease=wait_for_lease,
                observers=(*observers, _ends_checks(given)),
                check=check,
            ),
        )

    async def rollback(
        self,
        service: str,
        *,
        strategy: Strategy | None = None,
        check: bool = True,
        on_cancel: OnCancel | str | None = None,
        **options: Any,
    ) -> Report:
        """
        Roll to the last known good spec; as ``swarmroll.Swarm.rollback``.

        Args:
            on_cancel: As for ``update``.
        """
        given = _gates(options.pop("gates", ()))
        told = (*options.pop("observers", ()), _ends_checks(given))
        return await self._drive(
            on_cancel,
            lambda swarm: swarm.rollback(
                service, strategy=strategy, check=check, gates=given, observers=told, **options
            ),
        )

    async def start(
        self,
        plan: Plan,
        *,
        gates: Sequence[GateLike] | None = None,
        wait_for_lease: Duration = 0.0,
        observers: Iterable[Observer] = (),
    ) -> Rollout:
        """Carry out a plan in the background; as ``swarmroll.Swarm.start``."""
        self._threads.check_open()
        planned = self._swarm._gates.get(plan.id, ())  # noqa: SLF001 - of the same house
        given = _gates(planned if gates is None else gates)
        # It asks the engine nothing: that is the new thread's.
        rollout = self._swarm.start(
            plan,
            gates=None if gates is None else given,
            wait_for_lease=wait_for_lease,
            observers=(*observers, _ends_checks(given)),
        )
        return self._kept(rollout)

    async def attach(
        self,
        service: str,
        *,
        gates: Sequence[GateLike] = (),
        wait_for_lease: Duration = 0.0,
        observers: Iterable[Observer] = (),
    ) -> Rollout:
        """
        Take up an unfinished rollout again; as ``swarmroll.Swarm.attach``.

        Cancelled, it lets go of the rollout.
        """
        given = _gates(gates)
        handed: list[sync_rollout.Rollout] = []

        def attach(swarm: sync.Swarm) -> None:
            handed.append(
                swarm.attach(
                    service,
                    gates=given,
                    wait_for_lease=wait_for_lease,
                    observers=(*observers, _ends_checks(given)),
                )
            )

        try:
            await self._drive(DETACH, attach)
        except asyncio.CancelledError:
            for rollout in handed:
                await _ended(self._threads.driver(rollout.detach))
            raise
        return self._kept(handed[0])

    def _kept(self, rollout: sync_rollout.Rollout) -> Rollout:
        self._rollouts = {one for one in self._rollouts if not one.phase.terminal} | {rollout}
        return Rollout(rollout, self._threads)

    async def _drive(self, on_cancel: OnCancel | str | None, call: Callable[[sync.Swarm], T]) -> T:
        """Make a call that rolls; if it is cancelled, stop it and wait until it has ended."""
        self._threads.check_open()
        how = self._on_cancel if on_cancel is None else _how(on_cancel)
        brake = Brake()
        driving = self._threads.driver(call, self._swarm.braked(brake))
        self._brakes.add(brake)
        try:
            return await _result(driving)
        except asyncio.CancelledError as exc:
            if not driving.cancel():
                brake.pull(how)
                await _ended(driving, lambda: brake.pull(DETACH))
                report = _report_of(driving)
                if report is not None:
                    exc.add_note(_told(report))
            raise
        finally:
            self._brakes.discard(brake)


class _Connecting:
    """What ``connect`` returns: to be awaited, or entered."""

    def __init__(self, connecting: Callable[[], Coroutine[Any, Any, Swarm]]) -> None:
        self._connecting = connecting
        self._swarm: Swarm | None = None

    def __await__(self) -> Generator[Any, None, Swarm]:
        return self._connecting().__await__()

    async def __aenter__(self) -> Swarm:
        self._swarm = await self
        return self._swarm

    async def __aexit__(self, *exc: object) -> None:
        assert self._swarm is not None
        await self._swarm.close()


def connect(
    host: str | Sequence[str] | None = None,
    *,
    client: Any = None,
    tls: TLS | bool | None = None,
    journal: Journal | None = None,
    lease: Duration | None = None,
    observers: Iterable[Observer] = (),
    timeout: float | tuple[float, float] | None = None,
    heartbeat: Duration = 5.0,
    max_body: int | None = None,
    on_cancel: OnCancel | str = DETACH,
    threads: int = THREADS,
    rollouts: int = ROLLOUTS,
) -> _Connecting:
    """
    Reach a swarm, as ``swarmroll.connect``; to be entered with ``async with``, or awaited.

    Args:
        on_cancel: See ``Swarm``.
        threads: See ``Swarm``.
        rollouts: See ``Swarm``.
    """
    how = _how(on_cancel)

    def reach() -> sync.Swarm:
        return sync.connect(
            host,
            client=client,
            tls=tls,
            journal=journal,
            lease=lease,
            observers=observers,
            timeout=timeout,
            heartbeat=heartbeat,
            max_body=max_body,
        )

    async def connecting() -> Swarm:
        pool = ThreadPoolExecutor(1, thread_name_prefix="swarmroll-connect")
        reaching = pool.submit(reach)
        pool.shutdown(wait=False)
        try:
            swarm = await _result(reaching)
        except asyncio.CancelledError:
            # It cannot be interrupted; its thread ends in time, and closes what it has opened.
            reaching.add_done_callback(_close_again)
            raise
        return Swarm(swarm, on_cancel=how, threads=threads, rollouts=rollouts)

    return _Connecting(connecting)


def gate(check: Check, **options: Any) -> Gate:
    """
    An ``async def`` gate with rules of its own: ``gate(smoke, timeout=30, passes=3)``.

    It runs in the loop in which this is called, and is cancelled at its time-out, or when the
    rollout ends. What blocks in it blocks the loop, ``context.logs`` too: use
    ``asyncio.to_thread`` for those.

    Args:
        check: A function of a ``GateContext`` to a ``bool`` or a ``Verdict``.
        **options: See ``swarmroll.FunctionGate``.

    Raises:
        PlanError: It is no ``async`` function, or an option is wrong.
    """
    if not _is_async(check):
        raise PlanError(f"aio.gate() takes an async function, got {shown(check)}")
    options.setdefault("name", getattr(check, "__name__", type(check).__name__))
    bridge = _Bridge(check, asyncio.get_running_loop())
    made = FunctionGate(bridge, **options)
    bridge.timeout = made.rules.timeout
    return made


class _Bridge:
    """An ``async`` check for those who ask it in a thread."""

    def __init__(self, check: Check, loop: asyncio.AbstractEventLoop) -> None:
        self._check = check
        self._loop = loop
        self._running: set[Future[bool | Verdict]] = set()
        self._lock = threading.Lock()
        self.timeout = 0.0

    def __call__(self, context: GateContext) -> bool | Verdict:
        running = Future[bool | Verdict]()
        with self._lock:
            self._running.add(running)
        try:
            self._loop.call_soon_threadsafe(self._begin, context, running)
            return running.result(self.timeout)
        except TimeoutError:
            if running.done():
                # It raised that itself.
                raise
            return Verdict.failed(f"did not answer within {duration_text(self.timeout)}")
        finally:
            running.cancel()
            with self._lock:
                self._running.discard(running)

    def _begin(self, context: GateContext, running: Future[bool | Verdict]) -> None:
        """In the loop: begin a check, which ends when nobody waits for it, and pass on its word."""

        async def checking() -> bool | Verdict:
            return await self._check(context)

        task = self._loop.create_task(checking(), name="swarmroll-gate")
        running.add_done_callback(lambda _: _soon(self._loop, task.cancel))
        task.add_done_callback(functools.partial(_pass_on, running))

    def stop(self) -> None:
        """End what is being checked: nobody waits for its answer any more."""
        with self._lock:
            running = tuple(self._running)
        for one in running:
            one.cancel()


def _pass_on(running: Future[bool | Verdict], task: asyncio.Task[bool | Verdict]) -> None:
    error: BaseException | None = asyncio.CancelledError() if task.cancelled() else task.exception()
    if not running.set_running_or_notify_cancel():
        return
    if error is not None:
        running.set_exception(error)
    else:
        running.set_result(task.result())


def _is_async(thing: object) -> bool:
    call = getattr(thing, "__call__", None)  # noqa: B004 - of an object that can be called
    return inspect.iscoroutinefunction(thing) or inspect.iscoroutinefunction(call)


def _gates(gates: Sequence[GateLike]) -> list[Any]:
    """Gates that can be asked in threads."""
    return [_as_sync(one) for one in gates]


def _as_sync(thing: Any) -> Any:
    check = getattr(thing, "check", None)
    if isinstance(thing, type):
        return thing
    if callable(check):
        name = getattr(thing, "name", "") or type(thing).__name__
        return gate(check, name=name) if _is_async(check) else thing
    return gate(thing) if _is_async(thing) else thing


def _ends_checks(gates: Sequence[object]) -> Observer:
    """An observer that ends the ``async`` checks of a rollout that is over."""

    def observe(event: Event) -> None:
        if isinstance(event, Finished):
            for one in gates:
                function = getattr(one, "function", None)
                if isinstance(function, _Bridge):
                    function.stop()

    return observe


def _how(on_cancel: OnCancel | str) -> OnCancel:
    try:
        return OnCancel(on_cancel)
    except ValueError:
        wanted = ", ".join(OnCancel)
        raise PlanError(f"on_cancel must be one of {wanted}, got {shown(on_cancel)}") from None


def _stop(rollout: sync_rollout.Rollout, how: OnCancel) -> None:
    """Stop a rollout, and wait for that."""
    if how is DETACH:
        rollout.detach()
        return
    rollout.abort(rollback=how is OnCancel.ROLLBACK and rollout.plan.baseline is not None)
    rollout.wait(check=False)


def _close_again(reaching: Future[sync.Swarm]) -> None:
    if reaching.exception() is None:
        reaching.result().close()


def _report_of(driving: Future[Any]) -> Report | None:
    """What a call that has ended tells of its rollout."""
    error = driving.exception()
    told = driving.result() if error is None else getattr(error, "report", None)
    return told if isinstance(told, Report) else None


def _told(report: Report) -> str:
    return f"swarmroll: {report.headline}"


def _soon(loop: asyncio.AbstractEventLoop, call: Callable[..., object], *args: object) -> None:
    """Call something in a loop, from any thread; once that is closed, nobody is there to care."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(call, *args)


async def _settled(future: Future[Any]) -> None:
    """Wait until a call in another thread has ended, in whichever way."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    future.add_done_callback(lambda _: _soon(loop, ended.set))
    await ended.wait()


async def _result(future: Future[T]) -> T:
    await _settled(future)
    return future.result()


async def _ended(future: Future[Any], again: Callable[[], object] | None = None) -> None:
    """
    Wait for a call's end whatever comes, on the way to raise ``CancelledError``.

    Args:
        again: Called each time this is cancelled.
    """
    while not future.done():
        try:
            await _settled(future)
        except asyncio.CancelledError:
            if again is not None:
                again()


class _Threads:
    """
    The threads of one ``Swarm``: some for short calls, others for those that roll.

    Attributes:
        closed: Whether nothing more may be begun.
    """

    def __init__(self, threads: int, rollouts: int) -> None:
        self._short = ThreadPoolExecutor(threads, thread_name_prefix="swarmroll-call")
        self._long = ThreadPoolExecutor(rollouts, thread_name_prefix="swarmroll-rollout")
        self._under_way: set[Future[Any]] = set()
        self._driving: set[Future[Any]] = set()
        self.closed = False

    def check_open(self) -> None:
        """
        Go on only while it is open.

        Raises:
            ConnectionClosed: It is closed.
        """
        if self.closed:
            raise ConnectionClosed("this connection has been closed; open another")

    async def call(self, function: Callable[..., T], /, *args: Any, **words: Any) -> T:
        """Make a short call; cancelled, its thread ends with the request that it makes."""
        self.check_open()
        calling = self._short.submit(function, *args, **words)
        _keep(self._under_way, calling)
        return await _result(calling)

    def driver(self, function: Callable[..., T], /, *args: Any) -> Future[T]:
        """Begin a long call."""
        driving = self._long.submit(function, *args)
        _keep(self._driving, driving)
        return driving

    async def drivers_end(self) -> None:
        """Wait for the long calls that are under way."""
        for one in tuple(self._driving):
            await _settled(one)

    async def end(self) -> None:
        """Wait for the short calls too, and end the threads."""
        for one in tuple(self._under_way):
            await _settled(one)
        # All of them are idle.
        self._short.shutdown()
        self._long.shutdown()


def _keep(calls: set[Future[Any]], call: Future[Any]) -> None:
    calls.add(call)
    call.add_done_callback(calls.discard)
