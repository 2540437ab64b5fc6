"""Everything through which something may come out of swarmroll, for a look at what does."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import structlog

import swarmroll
from swarmroll import aio
from swarmroll.core.events import Event
from swarmroll.sim import SimSwarm


class Outlets:
    """
    What came out, by where.

    Attributes:
        out: Texts, by the name of their outlet.
    """

    def __init__(self) -> None:
        self.out: dict[str, list[str]] = {}
        self._lines = io.StringIO()
        self._structured = io.StringIO()
        renderers: list[Any] = [
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            structlog.dev.ConsoleRenderer(colors=False),
        ]
        logger = structlog.wrap_logger(
            structlog.PrintLogger(self._structured), processors=renderers, context_class=dict
        )
        self._observer = swarmroll.StructlogObserver(logger)

    def put(self, outlet: str, text: object) -> None:
        self.out.setdefault(outlet, []).append(str(text))

    def text(self) -> Mapping[str, str]:
        self.out["logging"] = [self._lines.getvalue()]
        self.out["structlog"] = [self._structured.getvalue()]
        return {name: "\n".join(texts) for name, texts in self.out.items()}

    @contextmanager
    def logged(self) -> Iterator[None]:
        """Every logger of the standard library, at debug level."""
        root, handler = logging.getLogger(), logging.StreamHandler(self._lines)
        handler.setFormatter(logging.Formatter("%(name)s %(message)s %(args)r"))
        level = root.level
        root.addHandler(handler)
        root.setLevel(logging.DEBUG)
        try:
            yield
        finally:
            root.setLevel(level)
            root.removeHandler(handler)

    def observe(self, event: Event) -> None:
        self._observer(event)
        self.put("event repr", repr(event))
        self.put("event str", event)

    def value(self, name: str, value: Any) -> None:
        """What people and machines see of a value."""
        self.put(f"{name} str", value)
        self.put(f"{name} repr", repr(value))
        self.put(f"{name} format", f"{value}")
        for way in ("to_dict", "to_json"):
            if hasattr(value, way):
                told = getattr(value, way)()
                self.put(f"{name} {way}", told if isinstance(told, str) else json.dumps(told))

    def plan(self, plan: swarmroll.Plan) -> None:
        self.value("plan", plan)
        self.value("diff", plan.diff)
        for change in plan.diff:
            self.value("change", change)
        for step in plan.steps:
            self.value("step", step)
        for finding in plan.findings:
            self.value("finding", finding)
        self.spec("target", plan.target)
        self.spec("live", plan.live)

    def spec(self, name: str, spec: swarmroll.ServiceSpec) -> None:
        """A spec is what the engine gets, so only what people see of it counts."""
        self.put(f"{name} str", spec)
        self.put(f"{name} repr", repr(spec))
        for part in ("env", "labels", "configs", "secrets", "mounts", "healthcheck", "log_driver"):
            self.put(f"{name}.{part} repr", repr(getattr(spec, part)))

    def service(self, service: swarmroll.Service) -> None:
        self.put("service str", service)
        self.put("service repr", repr(service))
        self.spec("spec", service.spec)

    def report(self, report: swarmroll.Report) -> None:
        self.value("report", report)
        self.put("headline", report.headline)
        again = swarmroll.Report.from_dict(json.loads(report.to_json()))
        self.value("report again", again)
        for evidence in report.failures:
            self.value("evidence", evidence)
        for answer in report.gates:
            self.value("answer", answer)

    def error(self, error: BaseException) -> None:
        """An exception with all that it hangs on to."""
        seen: set[int] = set()
        chain: list[BaseException | None] = [error]
        while chain:
            one = chain.pop()
            if one is None or id(one) in seen:
                continue
            seen.add(id(one))
            self.put("exception str", one)
            self.put("exception repr", repr(one))
            self.put("exception args", repr(one.args))
            self.put("exception notes", repr(getattr(one, "__notes__", [])))
            chain += [one.__cause__, one.__context__]
        self.put("traceback", "".join(traceback.format_exception(error)))
        report = getattr(error, "report", None)
        if report is not None:
            self.report(report)

    def see(self, context: swarmroll.GateContext) -> bool:
        """A gate that shows what gates are shown."""
        self.value("context", context)
        for task in context.tasks:
            self.value("task", task)
        return True

    def attempt(self, call: Callable[[], Any]) -> Any:
        """Do something that may raise."""
        try:
            return call()
        except Exception as exc:  # noqa: BLE001 - all that come out are looked at
            self.error(exc)
            return None

    # --- all of it

    def tour(
        self,
        sim: SimSwarm,
        change: Any = None,
        **options: Any,
    ) -> None:
        """Plan, roll, fail, look back; through both surfaces."""
        with self.logged(), connected(sim, observers=[self.observe]) as swarm:
            self.put("swarm", repr(swarm))
            for node in swarm.nodes():
                self.value("node", node)
            self.service(swarm.service("web"))
            plan = self.attempt(lambda: swarm.plan("web", change, **options))
            if plan is not None:
                self.plan(plan)
            seen = {**options, "gates": [*options.get("gates", ()), self.see]}
            report = self.attempt(lambda: swarm.update("web", change, check=False, **seen))
            if report is not None:
                self.report(report)
            self.attempt(lambda: swarm.update("web", change, **options))
            rollout = self.attempt(lambda: swarm.start(swarm.plan("web", change, **options)))
            if rollout is not None:
                self.attempt(rollout.wait)
                self.value("state", rollout.state)
                self.value("rollout", rollout)
                for event in rollout.events():
                    self.value("stream", event)
            for past in self.attempt(lambda: swarm.history("web")) or ():
                self.report(past)
        asyncio.run(self._async_tour(sim, change, options))

    async def _async_tour(self, sim: SimSwarm, change: Any, options: dict[str, Any]) -> None:
        with self.logged(), connected(sim, observers=[self.observe]) as inner:
            async with aio.Swarm(inner) as swarm:
                self.put("aio", repr(swarm))
                try:
                    report = await swarm.update("web", change, **options)
                except Exception as exc:  # noqa: BLE001 - all that come out are looked at
                    self.error(exc)
                else:
                    self.report(report)

    def leaks(self, *canaries: str) -> list[str]:
        """Where one of these has come out."""
        return sorted(
            f"{outlet}: …{text[max(0, text.index(canary) - 60) :][:120]!r}"
            for outlet, text in self.text().items()
            for canary in canaries
            if canary in text
        )


@contextmanager
def connected(sim: SimSwarm, **options: Any) -> Iterator[swarmroll.Swarm]:
    """Over sockets where it is served, else in process."""
    try:
        url = sim.url
    except RuntimeError:
        yield sim.connect(**options)
        return
    with swarmroll.connect(url, **options) as swarm:
        yield swarm
