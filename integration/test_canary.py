"""Canaries on a real swarm: exactly so many slots, watched, and back again when they fail."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import attrs

import swarmroll
from integration.lab import Cluster, Service, ServiceFactory
from integration.lab.service import ROLLOUT_LABEL
from swarmroll import Canary, Outcome, Step, Swarm
from swarmroll.core.events import Event, Moved

Images = Callable[[str], str]


@attrs.define
class Holds:
    """
    An observer that looks at the service whenever a wave begins to hold.

    Attributes:
        seen: What ran then, by image.
        then: What to do in each hold, once.
    """

    web: Service
    seen: list[Counter[str]] = attrs.field(factory=list)
    then: list[Callable[[], object]] = attrs.field(factory=list)

    def __call__(self, event: Event) -> None:
        if isinstance(event, Moved) and event.transition.target == "holding":
            self.seen.append(self.web.runs())
            if self.then:
                self.then.pop(0)()


def _canary(hold: float = 2.0) -> Canary:
    return Canary(
        steps=[Step(tasks=1, hold=hold), Step(tasks="50%", hold=1)], parallelism="100%", monitor=1
    )


def test_each_wave_has_exactly_its_slots(
    swarm: Swarm, service: ServiceFactory, images: Images
) -> None:
    """Of four one, then two, then all; in the end the service declares what it did before."""
    web = service(replicas=4)
    before = web.declared()
    holds = Holds(web)
    report = swarm.update("web", image=images("web:2"), strategy=_canary(), observers=[holds])
    assert Outcome.COMPLETED is report.outcome
    assert [1, 2] == [runs["web:2"] for runs in holds.seen]
    assert [3, 2] == [runs["web:1"] for runs in holds.seen]
    assert Counter({"web:2": 4}) == web.runs()
    assert (0, 0) == (report.leaks, report.overruns)
    assert before["UpdateConfig"] == web.declared()["UpdateConfig"]
    assert {1, 2, 3, 4} == {proof.slot for proof in report.slots}


def test_a_canary_that_crashes_late_is_taken_back_from_its_hold(
    swarm: Swarm, service: ServiceFactory, images: Images
) -> None:
    """The engine has long stopped watching; the three others never moved."""
    web = service(replicas=4)
    before, old = web.declared(), {task["ID"] for task in web.running()}
    holds = Holds(web)
    report = swarm.update(
        "web", image=images("web:crash-late"), strategy=_canary(30), observers=[holds], check=False
    )
    assert Outcome.ROLLED_BACK is report.outcome
    assert "swarmroll" == report.rolled_back_by
    assert [1] == [runs["web:crash-late"] for runs in holds.seen]
    assert 3 == len(old & {task["ID"] for task in web.running()})
    assert "exit code 3" in report.headline
    assert before["UpdateConfig"] == web.declared()["UpdateConfig"]


def test_an_old_task_that_dies_in_a_hold_comes_back_as_a_leak(
    three_nodes: Cluster, swarm: Swarm, service: ServiceFactory, images: Images
) -> None:
    """It is counted and proven, and the next wave moves one slot less."""
    web = service(replicas=4)

    def kill_an_old_one() -> None:
        old = next(task for task in web.running() if "/web:1" in _image(task))
        names = {node["ID"]: node["Description"]["Hostname"] for node in _nodes(three_nodes)}
        with three_nodes.node(names[old["NodeID"]]).client() as client:
            client.containers.get(old["Status"]["ContainerStatus"]["ContainerID"]).kill()

    holds = Holds(web, then=[kill_an_old_one])
    report = swarm.update("web", image=images("web:2"), strategy=_canary(8), observers=[holds])
    assert Outcome.COMPLETED is report.outcome
    assert (1, 0) == (report.leaks, report.overruns)
    assert [1, 2] == [runs["web:2"] for runs in holds.seen]
    assert Counter({"web:2": 4}) == web.runs()


def _image(task: dict[str, dict[str, dict[str, str]]]) -> str:
    return task["Spec"]["ContainerSpec"]["Image"]


def _nodes(cluster: Cluster) -> list[dict[str, dict[str, str]]]:
    with cluster.manager() as client:
        nodes: list[dict[str, dict[str, str]]] = client.api.nodes()
    return nodes


def test_a_gate_between_waves_takes_the_release_back(
    swarm: Swarm, service: ServiceFactory, images: Images
) -> None:
    """It reads the new task's log through the engine."""
    web = service(replicas=2)
    lines: list[str] = []

    def says_what_it_should(context: swarmroll.GateContext) -> swarmroll.Verdict:
        lines.extend(line for task in context.tasks for line in context.logs(task, 20))
        return swarmroll.Verdict.failed("not a word of the migration")

    report = swarm.update(
        "web",
        image=images("web:2"),
        strategy=Canary(steps=[Step(tasks=1)], monitor=1),
        gates=[
            swarmroll.FunctionGate(
                says_what_it_should,
                budget=swarmroll.Budget(consecutive=1),
                moments=["between"],
            )
        ],
        check=False,
    )
    assert Outcome.ROLLED_BACK is report.outcome
    assert "not a word of the migration" in report.headline
    assert Counter({"web:1": 2}) == web.runs()
    assert web.inspect()["Spec"]["Labels"][ROLLOUT_LABEL].startswith(report.rollout_id)
