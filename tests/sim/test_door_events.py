"""The event stream of the served door."""

from __future__ import annotations

import time
from http.client import HTTPException
from typing import Any

import pytest

from swarmroll.sim import SimSwarm
from tests.sim.http import Http

LOST = (ConnectionError, HTTPException)


def told(event: dict[str, Any]) -> tuple[str, str, dict[str, str]]:
    attributes = dict(event["Actor"]["Attributes"].items())
    attributes.pop("name")
    return event["Type"], event["Action"], attributes


def test_an_update_tells_what_changed(served: SimSwarm, http: Http) -> None:
    """Image and update state; the status that is cleared is not told."""
    served.create_service("web", image="app:1", replicas=2)
    with http.events(filters={"type": ["service"]}) as events:
        served.update_service("web", image="app:2")
        served.settle()
        served.scale("web", 3)
        found = [told(events.next()) for _ in range(4)]
    assert found == [
        ("service", "update", {"image.old": "app:1", "image.new": "app:2"}),
        ("service", "update", {"updatestate.new": "updating"}),
        ("service", "update", {"updatestate.old": "updating", "updatestate.new": "completed"}),
        ("service", "update", {"replicas.old": "2", "replicas.new": "3"}),
    ]


def test_a_rollback_tells_image_and_state_at_once(served: SimSwarm, http: Http) -> None:
    """One event, as one write made both."""
    served.create_service(
        "web", image="app:1", update={"parallelism": 1, "failure_action": "rollback"}
    )
    with http.events(filters={"type": ["service"]}) as events:
        served.update_service("web", image="bad:1")
        served.settle()
        seen = [told(events.next())[2] for _ in range(3)]
    assert seen[2] == {
        "image.old": "bad:1",
        "image.new": "app:1",
        "updatestate.old": "updating",
        "updatestate.new": "rollback_started",
    }


def test_nodes_tell_state_availability_and_leader() -> None:
    """What an operator would alert on."""
    with (
        SimSwarm(nodes=3, managers=3, serve=True, speed=50) as sim,
        Http(sim).events(filters={"type": ["node"]}) as events,
    ):
        sim.node("node-2").drain()
        assert told(events.next())[2] == {
            "availability.old": "active",
            "availability.new": "drain",
        }
        follower = next(n for n in ("node-2", "node-3") if not sim.node(n).leads)
        sim.node(follower).down()
        sim.run(30)
        seen = told(events.next())[2]
        assert (seen["state.old"], seen["state.new"]) == ("ready", "down")
        sim.change_leader(election=1.0)
        sim.run(2)
        changed: dict[str, str] = {}
        while "leader.new" not in changed:
            changed = told(events.next())[2]


def test_other_objects_have_events(served: SimSwarm, http: Http) -> None:
    """Created, updated and removed, by name."""
    with http.events() as events:
        served.config("one")
        served.secret("two")
        served.network("net")
        served.remove_config("one")
        found = [events.next() for _ in range(4)]
    assert [(e["Type"], e["Action"], e["Actor"]["Attributes"]["name"]) for e in found] == [
        ("config", "create", "one"),
        ("secret", "create", "two"),
        ("network", "create", "net"),
        ("config", "remove", "one"),
    ]
    assert found[0]["scope"] == "swarm"
    assert found[0]["timeNano"] // 1_000_000_000 == found[0]["time"]


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        ({"type": ["config"]}, ["one", "two"]),
        ({"config": ["on"]}, ["one", "net"]),
        ({"event": ["remove"]}, ["one"]),
        ({"type": ["config"], "event": ["create"]}, ["one", "two"]),
        ({"scope": ["local"]}, []),
        ({"label": ["name=net"]}, ["net"]),
    ],
)
def test_events_are_filtered(
    served: SimSwarm, http: Http, filters: dict[str, list[str]], names: list[str]
) -> None:
    """By type, action, scope, label, and the beginning of a name."""
    start = served.clock.wall
    served.config("one")
    served.config("two")
    served.network("net")
    served.remove_config("one")
    if filters == {"config": ["on"]}:
        # A filter for one type holds for all of them.
        names = ["one"]
    until = served.clock.wall
    with http.events(since=f"{start:.9f}", until=f"{until + 0.001:.9f}", filters=filters) as events:
        found = [event["Actor"]["Attributes"]["name"] for event in events]
    assert list(dict.fromkeys(found)) == names


def test_what_has_been_is_told_since(served: SimSwarm, http: Http) -> None:
    """The last 256 events, and none that is older."""
    served.create_service("web", image="app:1")
    before = served.clock.wall
    served.run(1)
    for _ in range(150):
        served.scale("web", 1)
        served.run(0.001)
        served.scale("web", 1)
        served.run(0.001)
    now = served.clock.wall
    with http.events(since=f"{before:.9f}", until=f"{now:.9f}") as events:
        assert len(list(events)) == 256
    served.config("late")
    with http.events(since=f"{now:.9f}", until=f"{served.clock.wall + 1:.9f}") as events:
        assert events.next()["Actor"]["Attributes"]["name"] == "late"


def test_a_stream_ends_when_it_was_told_to(served: SimSwarm, http: Http) -> None:
    """By the managers' clock, with all that came until then."""
    with http.events(until=f"{served.clock.wall + 5:.9f}") as events:
        served.config("one")
        assert [event["Type"] for event in events][-1] == "config"
    assert served.now >= 5


def test_times_that_cannot_be_are_refused(http: Http) -> None:
    """HTTP 400."""
    assert http.ask("GET", "/events", since="yesterday").status == 400
    got = http.ask("GET", "/events", since="20", until="10")
    assert got.status == 400
    assert "`since` time (20) cannot be after `until` time (10)" in got.message


def test_a_broken_stream_is_reset_and_can_be_opened_again(served: SimSwarm, http: Http) -> None:
    """What happened meanwhile is lost."""
    with http.events() as events:
        served.break_events(50.0)
        with pytest.raises(LOST):
            list(events)
    served.config("unheard")
    with pytest.raises(LOST):
        http.events()
    served.run(50)
    with http.events(since="0") as events:
        served.config("heard")
        names = [events.next()["Actor"]["Attributes"]["name"] for _ in range(2)]
        while "heard" not in names:
            names.append(events.next()["Actor"]["Attributes"]["name"])
    assert "unheard" not in names


def test_lost_events_leave_no_trace(served: SimSwarm, http: Http) -> None:
    """The stream stays open, and says nothing."""
    with http.events() as events:
        served.events_off()
        served.config("unheard")
        served.events_on()
        served.config("heard")
        assert events.next()["Actor"]["Attributes"]["name"] == "heard"


def test_late_events_come_late(served: SimSwarm, http: Http) -> None:
    """With the time at which they happened."""
    with http.events() as events:
        served.events_late(20.0)
        at = served.clock.wall
        served.config("one")
        event = events.next()
        assert served.clock.wall - at >= 20
        assert event["time"] - at < 10


def test_a_fault_breaks_the_stream_at_the_next_event(served: SimSwarm, http: Http) -> None:
    """As a proxy in between would."""
    with http.events() as events:
        served.fail_next("SystemEvents", "reset-before-commit")
        served.config("one")
        with pytest.raises(LOST):
            list(events)


def test_a_reader_that_has_gone_is_forgotten(served: SimSwarm, http: Http) -> None:
    """Nothing piles up for somebody who does not come back."""
    with http.events():
        assert served.server.followed
    assert served.wait_until(lambda: not served.server.followed, 5)


def test_a_long_list_does_not_hold_up_the_stream() -> None:
    """Events come while ten lists of 2,000 tasks are on their way."""
    with SimSwarm(nodes=3, serve=True, speed=1) as sim:
        sim.create_service("web", image="app:1", replicas=2000)
        http = Http(sim)
        with http.events() as events:
            slow = [http.open() for _ in range(10)]
            for connection in slow:
                connection.request("GET", "/tasks")
            asked = time.monotonic()
            sim.config("one")
            assert events.next()["Actor"]["Attributes"]["name"] == "one"
            # Nobody has read a byte of the lists yet.
            assert time.monotonic() - asked < 5
            for connection in slow:
                assert len(connection.getresponse().read()) > 1_000_000
                connection.close()


def test_containers_of_this_node_tell_their_lives(served: SimSwarm, http: Http) -> None:
    """Of another node nothing; in stop-first the new one is made before the old one is killed."""
    served.image("app:1", stop_exit_code=0)
    served.create_service("web", image="app:1", mode="global", restart={"delay": 0})
    (old,) = http.get("/containers/json")
    with http.events(filters={"type": ["container"]}) as events:
        served.image("sick:2", healthcheck=True, healthy_after=None, unhealthy_after=0.5)
        served.update_service("web", image="sick:2")
        served.settle(20)
        found: list[dict[str, Any]] = []
        while len(found) < 9:
            found.append(events.next())
    assert {event["scope"] for event in found} == {"local"}
    (node,) = {event["Actor"]["Attributes"]["com.docker.swarm.node.id"] for event in found}
    assert node == http.get("/nodes/node-1")["ID"]
    mine = [event["Action"] for event in found if event["Actor"]["ID"] == old["Id"]]
    assert mine == ["kill", "die", "stop"]
    new = [event for event in found if event["Actor"]["ID"] != old["Id"]][:6]
    actions = [event["Action"] for event in new]
    assert actions == ["create", "start", "health_status: unhealthy", "kill", "die", "create"]
    assert new[4]["Actor"]["Attributes"]["exitCode"] == "143"
    assert new[0]["Actor"]["Attributes"]["image"] == "sick:2"
    assert (new[0]["status"], new[0]["from"]) == ("create", "sick:2")
    order = [(event["Actor"]["ID"] == old["Id"], event["Action"]) for event in found]
    assert order.index((False, "create")) < order.index((True, "kill"))


def test_containers_are_destroyed_when_the_swarm_forgets_them(served: SimSwarm, http: Http) -> None:
    """Until then they can be looked into."""
    served.create_service("web", image="app:1", mode="global")
    (here,) = http.get("/containers/json")
    wanted = {"type": ["container"], "event": ["destroy"], "container": [here["Id"]]}
    with http.events(filters=wanted) as events:
        served.remove_service("web")
        served.run(10)
        assert events.next()["Actor"]["ID"] == here["Id"]
    assert http.get("/containers/json", all="1") == []


def test_most_writes_tell_nothing_but_that_they_were(served: SimSwarm, http: Http) -> None:
    """The endpoint that is allotted after a create, a label, an update config: no attributes."""
    with http.events(filters={"type": ["service"]}) as events:
        served.create_service("web", image="app:1")
        served.settle()
        served.update_service("web", lambda s: {**s.to_engine(), "Labels": {"a": "b"}})
        served.update_service("web", lambda s: {**s.to_engine(), "UpdateConfig": {"Delay": 9}})
        found = [told(events.next()) for _ in range(4)]
    assert found == [("service", "create", {}), *[("service", "update", {})] * 3]


def test_a_rollback_that_fails_with_action_rollback_tells_both_its_ends(
    served: SimSwarm, http: Http
) -> None:
    """rollback_paused, and completed a few milliseconds later: who polls sees only the latter."""
    served.create_service(
        "web", image="app:1", rollback={"parallelism": 1, "failure_action": "rollback"}
    )
    served.update_service("web", image="app:2")
    served.settle()
    served.image("app:1", crashes_after=0.5)
    with http.events(filters={"type": ["service"]}) as events:
        served.rollback_service("web")
        served.run(30)
        found = [events.next() for _ in range(3)]
    assert [event["Actor"]["Attributes"].get("updatestate.new") for event in found] == [
        "rollback_started",
        "rollback_paused",
        "completed",
    ]
    assert (found[2]["timeNano"] - found[1]["timeNano"]) / 1e9 < 0.05
