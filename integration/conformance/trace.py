"""
What was seen of a service, and what of it can be compared.

A `Recorder` is shown every look and every event, and keeps them by task. `Recorder.trace` makes of
this a `Trace`, in which nothing is left of ids, slot numbers, hosts and dates.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from statistics import median
from typing import Any

import attrs

_ENDED = frozenset({"complete", "shutdown", "failed", "rejected", "orphaned", "remove"})
_OFF = frozenset({"shutdown", "remove"})
_ID = re.compile(r"\b[a-z0-9]{25}\b")

#: A level (so many tasks running) counts if it lasts so long: what happens at the same moment has
#: no order.
_LASTS = 0.4

#: A task that ended so soon after its start may have run without anybody seeing it.
_RAN = 1.0

#: A task that took longer to start had a health check, or was tried again.
_STARTS = 3.0

Facts = dict[str, Any]
Marks = dict[str, list[float]]


@attrs.frozen(kw_only=True)
class SeenTask:
    """A task in one look."""

    id: str
    slot: int | str
    node: str
    image: str
    release: str
    state: str
    desired: str
    state_at: float
    created_at: float
    message: str
    error: str
    exit_code: int | None
    container: str

    @property
    def ended(self) -> bool:
        """Whether its state is a last one."""
        return self.state in _ENDED

    def moving(self, lost: frozenset[str]) -> bool:
        """Whether something about it will change by itself, and soon; not on a lost node."""
        if self.ended:
            return self.desired == "running"
        if self.desired in _OFF:
            return bool(self.node) and self.node not in lost
        if self.desired == "running":
            return self.state != "running" and not self.error
        return self.state != "ready" and not self.error


@attrs.frozen(kw_only=True)
class Look:
    """
    One look at one service.

    Attributes:
        since: Seconds since the last act.
        spec: As it is stored.
        status: The update state; "" is none.
        nodes: Node -> its state.
    """

    at: float
    since: float
    spec: Mapping[str, Any]
    previous: Mapping[str, Any] | None
    status: str
    message: str
    tasks: tuple[SeenTask, ...]
    nodes: Mapping[str, str]

    @property
    def lost(self) -> frozenset[str]:
        """Nodes that are down."""
        return frozenset(node for node, state in self.nodes.items() if state == "down")


@attrs.frozen(kw_only=True)
class Pace:
    """
    How quick the machine was, as seconds: the simulated one is told to be as quick.

    Attributes:
        prepare: From the creation of a task to READY, or until its image is found missing.
        start: From STARTING to RUNNING, where there is no health check.
        stop: From desired SHUTDOWN to the end of the container, on nodes that were never lost.
    """

    prepare: float
    start: float
    stop: float


@attrs.frozen(kw_only=True)
class Trace:
    """
    What can be compared.

    Attributes:
        facts: What has to be equal.
        marks: What happened when, in seconds since the first act.
    """

    facts: Facts
    marks: Marks
    pace: Pace


@attrs.define
class _Life:
    """A task's life, as the looks showed it."""

    last: SeenTask
    since: dict[str, float] = attrs.field(factory=dict)
    off_at: float | None = None

    def see(self, task: SeenTask, at: float) -> None:
        self.last = task
        self.since.setdefault(task.state, task.state_at)
        if task.desired in _OFF:
            # Its agent says RUNNING once more when it hears of it: better than when we looked.
            heard = task.state == "running" and task.state_at > self.since["running"]
            self.off_at = min(self.off_at or at, task.state_at if heard else at)

    @property
    def ended_at(self) -> float | None:
        return self.last.state_at if self.last.ended else None

    @property
    def ran_at(self) -> float | None:
        """When it came to run, if it ran long enough to be seen by everybody who looks."""
        since, until = self.since.get("running"), self.ended_at
        if since is None or (until is not None and until - since < _RAN):
            return None
        return since

    def line(self, messages: Mapping[str, str]) -> str:
        """In words, without anything that is different each time."""
        task = self.last
        if task.desired == "remove":
            # It is gone a quarter of a second after its end: few see it, or what came of it.
            return "removed"
        text = f"{task.release}: {task.state}"
        if task.desired != task.state:
            text += f", wanted {task.desired}"
        if task.error:
            text += f", {_plain(task.error, messages)}"
        shortly = task.state == "shutdown" and self.ran_at is None
        if task.ended and task.exit_code and not shortly:
            text += f", exit code {task.exit_code}"
        return text


class Recorder:
    """Keeps what it is shown of one service."""

    def __init__(self) -> None:
        self._lives: dict[str, _Life] = {}
        self._states: list[tuple[float, str]] = []
        self._messages: dict[str, str] = {}
        self._acts: list[float] = []
        self._refusals: list[str] = []
        self._last: Look | None = None
        self._lost: set[str] = set()

    @property
    def names(self) -> dict[str, str]:
        """Task id -> what it is called where ids are not."""
        return {id_: life.last.release for id_, life in self._lives.items()}

    def look(self, look: Look) -> None:
        """See one look."""
        self._last = look
        self._lost |= look.lost
        for task in look.tasks:
            self._lives.setdefault(task.id, _Life(task)).see(task, look.at)
        if look.status and self._acts:
            self._messages[look.status] = look.message

    def event(self, at: float, state: str) -> None:
        """Hear of an update state."""
        self._states.append((at, state))

    def act(self, at: float) -> None:
        """Something is about to be done."""
        self._acts.append(at)

    def refused(self, status: int, text: str) -> None:
        """The engine would not do it."""
        self._refusals.append(f"HTTP {status} {_plain(text, self.names)}")

    # Making a trace of it

    def trace(self) -> Trace:
        """What can be compared of it."""
        last = self._last
        assert last is not None
        began = (
            self._acts[0]
            if self._acts
            else min(life.last.created_at for life in self._lives.values())
        )
        states = sorted((at, state) for at, state in self._states if at >= began - 0.01)
        messages = {s: _plain(text, self.names) for s, text in self._messages.items()}
        facts: Facts = {
            "update states": [state for _, state in states],
            "messages": messages,
            "ends": last.status,
            "spec": release(last.spec),
            "previous spec": None if last.previous is None else release(last.previous),
            "slots": self._slots(),
            "order": self._order(began),
            "serving": self._levels(self._serving(), began, last.at),
            "in flight": self._levels(self._flights(began), began, last.at)[1],
            "per node": sorted(
                Counter(t.node for t in last.tasks if t.desired == "running" and t.node).values()
            ),
            "refused": self._refusals,
        }
        lives = [life for life in self._lives.values() if life.last.created_at >= began - 0.05]
        running = [life.ran_at for life in lives if life.ran_at is not None]
        ended = [
            life.ended_at
            for life in self._lives.values()
            if life.ended_at is not None
            and life.ended_at >= began
            and life.last.desired != "remove"
        ]
        marks: Marks = {
            "created": _after(began, (life.last.created_at for life in lives)),
            "running": _after(began, running),
            "ended": _after(began, ended),
        }
        for at, state in states:
            marks.setdefault(state, []).append(round(at - began, 2))
        return Trace(facts=facts, marks=marks, pace=self._pace())

    def _slots(self) -> list[list[str]]:
        """Each slot's tasks in order; the slots themselves sorted, for their numbers are chance."""
        slots: dict[int | str, list[_Life]] = {}
        for life in sorted(self._lives.values(), key=lambda each: each.last.created_at):
            slots.setdefault(life.last.slot, []).append(life)
        names = self.names
        return sorted([life.line(names) for life in lives] for lives in slots.values())

    def _order(self, began: float) -> list[str]:
        """For each slot that was replaced: did the new task run before the old one had ended."""
        found = set()
        slots: dict[int | str, list[_Life]] = {}
        for life in sorted(self._lives.values(), key=lambda each: each.last.created_at):
            slots.setdefault(life.last.slot, []).append(life)
        for lives in slots.values():
            for old, new in pairwise(lives):
                runs = new.ran_at
                if new.last.created_at < began or runs is None or old.ran_at is None:
                    continue
                first = old.ended_at is not None and old.ended_at <= runs
                found.add("old ended first" if first else "new ran first")
        return sorted(found)

    def _serving(self) -> Iterable[tuple[float, float | None]]:
        """From the start of a task until it ends, or is told to."""
        for life in self._lives.values():
            if life.ran_at is not None:
                ends = [at for at in (life.off_at, life.ended_at) if at is not None]
                yield life.ran_at, min(ends, default=None)

    def _flights(self, began: float) -> Iterable[tuple[float, float | None]]:
        """From the creation of a task to its start, if it ever runs."""
        for life in self._lives.values():
            if life.last.created_at >= began and life.ran_at is not None:
                yield life.last.created_at, life.ran_at

    def _levels(
        self, spans: Iterable[tuple[float, float | None]], start: float, end: float
    ) -> tuple[int, int]:
        """The least and the most of them at the same time."""
        changes: list[tuple[float, int]] = []
        level = 0
        for since, until in spans:
            stop = end if until is None else until
            if stop - since < _LASTS or stop <= start:
                continue
            if since <= start:
                level += 1
            else:
                changes.append((since, 1))
            changes.append((stop, -1))
        levels = []
        at = start
        for when, change in sorted(changes):
            moment = min(when, end)
            if moment - at >= _LASTS:
                levels.append(level)
            at = max(at, moment)
            level += change
        if end - at >= _LASTS or not levels:
            levels.append(level)
        return min(levels), max(levels)

    def _pace(self) -> Pace:
        lives = self._lives.values()
        prepare = [
            life.since[state] - life.last.created_at
            for life in lives
            for state in ("ready", "rejected")
            if state in life.since
            and life.last.node
            and life.since[state] - life.last.created_at < _STARTS
        ]
        start = [
            life.since["running"] - life.since["starting"]
            for life in lives
            if {"starting", "running"} <= life.since.keys()
            and life.last.image.startswith("web")
            and life.since["running"] - life.since["starting"] < _STARTS
        ]
        stop = [
            life.ended_at - life.off_at
            for life in lives
            if life.ended_at is not None
            and life.off_at is not None
            and "running" in life.since
            and life.last.state == "shutdown"
            and life.ended_at > life.off_at
            and life.last.node not in self._lost
        ]
        return Pace(prepare=_middle(prepare), start=_middle(start), stop=_middle(stop))


def _middle(values: Sequence[float]) -> float:
    return round(median(values), 2) if values else 0.0


def _after(began: float, times: Iterable[float]) -> list[float]:
    return sorted(round(at - began, 2) for at in times)


def _plain(text: str, names: Mapping[str, str]) -> str:
    """A text of the engine without ids and addresses."""
    text = _ID.sub(lambda found: f"<{names.get(found[0], 'id')}>", text)
    return text.replace("registry:5000/", "").strip()


# Reading the Engine API's documents


def release(spec: Mapping[str, Any]) -> str:
    """What a spec of a service or a task is called: its image, and what else tells it apart."""
    template = spec.get("TaskTemplate", spec)
    container = template["ContainerSpec"]
    words = [container["Image"].rpartition("/")[2], *(container.get("Env") or ())]
    if template.get("ForceUpdate"):
        words.append(f"forced {template['ForceUpdate']}")
    return " ".join(words)


def moment(text: str) -> float:
    """A time of the API as seconds since the epoch."""
    day, _, fraction = text.removesuffix("Z").partition(".")
    whole = datetime.fromisoformat(f"{day}+00:00").timestamp()
    return whole + float(f"0.{fraction or 0}")


def seen_task(doc: Mapping[str, Any], nodes: Mapping[str, str]) -> SeenTask:
    """
    A task of ``GET /tasks``.

    Args:
        doc: The document.
        nodes: Node id -> host name.
    """
    status = doc["Status"]
    container = status.get("ContainerStatus") or {}
    node = nodes.get(doc.get("NodeID", ""), "")
    return SeenTask(
        id=doc["ID"],
        slot=doc.get("Slot") or node,
        node=node,
        image=doc["Spec"]["ContainerSpec"]["Image"].rpartition("/")[2],
        release=release(doc["Spec"]),
        state=status["State"],
        desired=doc["DesiredState"],
        state_at=moment(status["Timestamp"]),
        created_at=moment(doc["CreatedAt"]),
        message=status.get("Message", ""),
        error=status.get("Err", ""),
        exit_code=container.get("ExitCode"),
        container=container.get("ContainerID", ""),
    )
