"""
Plays scenarios on a swarm: the same code for the real one and for the simulated one.

One loop looks at everything ten times a second, shows each scenario its service, and does what is
due. There is one request for all services and one for all tasks, so that many scenarios at once
cost little more than one.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, assert_never

from integration.conformance import words
from integration.conformance.doors import Door, Refused
from integration.conformance.trace import Look, Recorder, Trace, seen_task
from integration.conformance.words import Document, Scenario, Settled

_EVERY = 0.1
_LIMIT = 150.0
_QUIET = 0.5
_OUT_OF_SEQUENCE = "update out of sequence"


class Stuck(AssertionError):
    """A scenario did not get to where it should."""


def play(
    door: Door, scenarios: Sequence[Scenario], *, at_once: int = 6
) -> dict[str, Trace | Stuck]:
    """
    Play scenarios, some at once; those that touch nodes one after the other, at the end.

    Returns:
        The trace of each, or where it got stuck.
    """
    traces: dict[str, Trace | Stuck] = {}
    _play(door, deque(s for s in scenarios if not s.exclusive), at_once, traces)
    for name in {name for scenario in scenarios for name in scenario.networks}:
        _remove_network(door, name)
    for scenario in scenarios:
        if scenario.exclusive:
            _prepare(door, scenario)
            _play(door, deque([scenario]), 1, traces)
            _restore(door)
    return traces


def _play(
    door: Door, coming: deque[Scenario], at_once: int, traces: dict[str, Trace | Stuck]
) -> None:
    playing: list[_Play] = []
    watch = _Watch(door)
    while coming or playing:
        while coming and len(playing) < at_once:
            playing.append(_Play(door, coming.popleft()))
        watch.look()
        for play in tuple(playing):
            try:
                play.advance(watch)
            except Stuck as stuck:
                traces[play.scenario.name] = stuck
            if play.over:
                traces[play.scenario.name] = play.recorder.trace()
            if play.scenario.name in traces:
                play.end()
                playing.remove(play)
        door.pause(_EVERY)


class _Watch:
    """What is seen of all services at one moment."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._heard = door.now()
        self._known: dict[tuple[int, str, str], None] = {}
        self.at = self._heard
        self.services: dict[str, Document] = {}
        self.tasks: dict[str, list[Document]] = {}
        self.hosts: dict[str, str] = {}
        self.nodes: dict[str, str] = {}
        self.states: list[tuple[str, float, str]] = []

    def look(self) -> None:
        """Look again."""
        ask = self._door.ask
        self.at = self._door.now()
        self.services = {doc["ID"]: doc for doc in ask("GET", "/services")}
        self.tasks = {}
        for doc in ask("GET", "/tasks"):
            self.tasks.setdefault(doc["ServiceID"], []).append(doc)
        nodes = ask("GET", "/nodes")
        self.hosts = {doc["ID"]: _host(doc) for doc in nodes}
        self.nodes = {_host(doc): doc["Status"]["State"] for doc in nodes}
        self.states = list(self._events())

    def _events(self) -> Iterable[tuple[str, float, str]]:
        """Update states of services since the last look: by service, when, and which."""
        until = self._door.now()
        query = {
            # A little of what was heard before, too: what comes late has an earlier time.
            "since": f"{self._heard - 1:.9f}",
            "until": f"{until:.9f}",
            "filters": json.dumps({"type": ["service"]}),
        }
        self._heard = until
        for event in self._door.ask("GET", "/events", query):
            state = event["Actor"]["Attributes"].get("updatestate.new")
            key = event["timeNano"], event["Actor"]["ID"], state
            if state and key not in self._known:
                self._known[key] = None
                yield event["Actor"]["ID"], event["timeNano"] / 1e9, state


class _Play:
    """One scenario, as far as it has got."""

    def __init__(self, door: Door, scenario: Scenario) -> None:
        self.scenario = scenario
        self.recorder = Recorder()
        self.over = False
        self._door = door
        self._steps = deque(scenario.steps)
        self._there = False
        self._quiet_since: float | None = None
        for name in scenario.networks:
            door.ask("POST", "/networks/create", None, {"Name": name, "Driver": "overlay"})
        self._began = self._last_act = door.now()
        body = {**scenario.spec, "Name": scenario.name}
        self._id: str = door.ask("POST", "/services/create", None, body)["ID"]

    def advance(self, watch: _Watch) -> None:
        """See the next look, and do what is due."""
        if self._id not in watch.services:
            return
        look = self._look(watch)
        for id_, at, state in watch.states:
            if id_ == self._id:
                self.recorder.event(at, state)
        self.recorder.look(look)
        if not self._there:
            if self.scenario.begins.holds(look):
                self._there = True
                self._last_act = look.at
        elif self._steps:
            if self._steps[0].when.holds(look):
                self._do(self._steps.popleft().do, look)
        else:
            self._maybe_over(look)
        if look.at - self._began > _LIMIT:
            raise Stuck(f"{self.scenario.name}: {len(self._steps)} steps left; {_told(look)}")

    def end(self) -> None:
        """Remove what was made."""
        self._door.ask("DELETE", f"/services/{self._id}")

    def _maybe_over(self, look: Look) -> None:
        """Over when the end has come and nothing has moved for a moment."""
        over = self.scenario.ends.holds(look)
        if not self.scenario.unsettled:
            over = over and Settled().holds(look)
        if not over:
            self._quiet_since = None
        elif self._quiet_since is None:
            self._quiet_since = look.at
        elif look.at - self._quiet_since >= _QUIET:
            self.over = True

    def _look(self, watch: _Watch) -> Look:
        doc = watch.services[self._id]
        status = doc.get("UpdateStatus") or {}
        tasks = watch.tasks.get(self._id, ())
        return Look(
            at=watch.at,
            since=watch.at - self._last_act,
            spec=doc["Spec"],
            previous=doc.get("PreviousSpec") or None,
            status=status.get("State", ""),
            message=status.get("Message", ""),
            tasks=tuple(seen_task(task, watch.hosts) for task in tasks),
            nodes=watch.nodes,
        )

    # Doing

    def _do(self, act: words.Act, look: Look) -> None:
        self._last_act = self._door.now()
        self.recorder.act(self._last_act)
        try:
            self._carry_out(act, look)
        except Refused as refused:
            self.recorder.refused(refused.status, refused.text)

    def _carry_out(self, act: words.Act, look: Look) -> None:
        door = self._door
        match act:
            case words.Update():
                self._write(act)
            case words.RollBack():
                self._write(None)
            case words.Node():
                _write_node(door, act)
            case words.CutPower():
                door.cut_power(act.node)
            case words.CutOff():
                door.cut_off(act.node)
            case words.Repair():
                door.repair(act.node)
            case words.Kill():
                running = [t for t in look.tasks if t.image == act.image and t.state == "running"]
                task = max(running, key=lambda each: str(each.slot))
                door.kill_container(task.node, task.container)
            case _:
                assert_never(act)

    def _write(self, update: words.Update | None) -> None:
        """Read, change, write; again, if the engine wrote in between."""
        while True:
            found = self._door.ask("GET", f"/services/{self._id}")
            query = {"version": str(found["Version"]["Index"])}
            spec = found["Spec"]
            if update is None:
                query["rollback"] = "previous"
            else:
                spec = update.applied(spec)
            try:
                self._door.ask("POST", f"/services/{self._id}/update", query, spec)
            except Refused as refused:
                if _OUT_OF_SEQUENCE in refused.text:
                    continue
                raise
            return


def _write_node(door: Door, act: words.Node) -> None:
    (doc,) = [doc for doc in door.ask("GET", "/nodes") if _host(doc) == act.name]
    spec = {**doc["Spec"], "Availability": act.availability, "Labels": dict(act.labels)}
    query = {"version": str(doc["Version"]["Index"])}
    door.ask("POST", f"/nodes/{doc['ID']}/update", query, spec)


def _prepare(door: Door, scenario: Scenario) -> None:
    for node, labels in scenario.node_labels.items():
        _write_node(door, words.Node(name=node, labels=labels))


def _restore(door: Door) -> None:
    """All nodes there, active and without labels; nothing of the services left."""
    began = door.now()
    for name in ("node2", "node3"):
        door.repair(name)
    while door.now() - began < _LIMIT:
        nodes = door.ask("GET", "/nodes")
        if all(doc["Status"]["State"] == "ready" for doc in nodes):
            break
        door.pause(_EVERY)
    else:
        raise Stuck("not every node came back")
    for doc in nodes:
        if doc["Spec"]["Availability"] != "active" or doc["Spec"].get("Labels"):
            _write_node(door, words.Node(name=_host(doc)))
    while door.ask("GET", "/tasks") and door.now() - began < _LIMIT:
        door.pause(_EVERY)


def _remove_network(door: Door, name: str) -> None:
    """It cannot be removed before the last container on it has ended."""
    began = door.now()
    while True:
        try:
            door.ask("DELETE", f"/networks/{name}")
        except Refused as refused:
            if refused.status == HTTPStatus.NOT_FOUND:
                return
            if door.now() - began > _LIMIT:
                raise
        door.pause(_EVERY)


def _host(doc: Mapping[str, Any]) -> str:
    """node1, whether it is called that or node-1."""
    name: str = doc["Description"]["Hostname"]
    return name.replace("-", "")


def _told(look: Look) -> str:
    tasks = sorted(f"{t.release} {t.state}/{t.desired} {t.error}".strip() for t in look.tasks)
    return f"update status {look.status!r}; {', '.join(tasks)}"
