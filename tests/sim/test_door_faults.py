"""Requests that go wrong at the served door, as they do on a real wire."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
import time

import pytest

from swarmroll.sim import SimSwarm
from tests.sim.http import Got, Http

LOST = (ConnectionError, http.client.HTTPException)


@pytest.fixture
def web(served: SimSwarm) -> SimSwarm:
    served.create_service("web", image="app:1")
    return served


def scale(http: Http, replicas: int) -> Got:
    found = http.get("/services/web")
    spec = {**found["Spec"], "Mode": {"Replicated": {"Replicas": replicas}}}
    return http.ask(
        "POST", "/services/web/update", body=spec, seconds=1, version=found["Version"]["Index"]
    )


def replicas(sim: SimSwarm) -> int | None:
    return sim.service("web").spec.replicas


@pytest.mark.parametrize(
    ("kind", "done"), [("reset-before-commit", False), ("reset-after-commit", True)]
)
def test_a_connection_is_reset_before_or_after_the_write(
    web: SimSwarm, http: Http, kind: str, done: bool
) -> None:
    """The client cannot tell which; the swarm knows."""
    web.fail_next("ServiceUpdate", kind)
    with pytest.raises(LOST):
        scale(http, 3)
    assert (replicas(web) == 3) is done
    assert scale(http, 4).status == 200


def test_a_reset_is_a_reset(web: SimSwarm, http: Http) -> None:
    """Not an orderly end: the kernel says ECONNRESET."""
    web.fail_next("ServiceInspect", "reset-before-commit")
    with pytest.raises(ConnectionResetError):
        http.get("/services/web")


@pytest.mark.parametrize(("kind", "done"), [("timeout", False), ("timeout-after-commit", True)])
def test_an_answer_does_not_come(web: SimSwarm, http: Http, kind: str, done: bool) -> None:
    """Until the client has had enough."""
    web.fail_next("ServiceUpdate", kind)
    with pytest.raises(TimeoutError):
        scale(http, 3)
    assert (replicas(web) == 3) is done


@pytest.mark.parametrize(
    ("kind", "status", "words"),
    [
        ("500", 500, "context deadline exceeded"),
        ("503", 503, "service unavailable"),
        ("404", 404, "not found"),
        ("409", 409, "in the way"),
        ("out-of-sequence", 500, "update out of sequence"),
    ],
)
def test_the_engine_says_no(web: SimSwarm, http: Http, kind: str, status: int, words: str) -> None:
    """And has done nothing."""
    web.fail_next("ServiceUpdate", kind)
    got = scale(http, 3)
    assert got.status == status
    assert words in got.message
    assert replicas(web) == 1


def test_an_answer_ends_in_the_middle(web: SimSwarm, http: Http) -> None:
    """Though its length was promised."""
    web.fail_next("TaskList", "truncated")
    with pytest.raises(LOST):
        http.get("/tasks")
    assert len(http.get("/tasks")) == 1


def test_an_answer_is_no_json(web: SimSwarm, http: Http) -> None:
    """Though its status is 200."""
    web.fail_next("TaskList", "malformed")
    got = http.ask("GET", "/tasks")
    assert got.status == 200
    with pytest.raises(json.JSONDecodeError):
        _ = got.json


def test_an_answer_is_of_another_shape(web: SimSwarm, http: Http) -> None:
    """An object where a list was asked for, and the other way round."""
    web.fail_next("TaskList", "wrong-type")
    assert isinstance(http.get("/tasks"), dict)
    web.fail_next("ServiceInspect", "wrong-type")
    assert isinstance(http.get("/services/web"), list)


def test_an_answer_comes_twice_over(web: SimSwarm, http: Http) -> None:
    """In one body, whose length is right."""
    web.fail_next("TaskList", "duplicated")
    got = http.ask("GET", "/tasks")
    with pytest.raises(json.JSONDecodeError):
        _ = got.json
    assert got.status == 200


def test_an_answer_drips(web: SimSwarm, http: Http) -> None:
    """Byte by byte: each comes in time, the last one never."""
    web.fail_next("ServiceUpdate", "drip")
    connection = http.open()
    try:
        connection.request("GET", "/services/web")
        found = json.loads(connection.getresponse().read())
        spec = {**found["Spec"], "Mode": {"Replicated": {"Replicas": 3}}}
        path = f"/services/web/update?version={found['Version']['Index']}"
        headers = {"Content-Type": "application/json"}
        connection.request("POST", path, body=json.dumps(spec), headers=headers)
        answer = connection.getresponse()
        assert answer.status == 200
        length = int(answer.headers["Content-Length"])
        begun = time.monotonic()
        assert len(answer.read(2)) == 2 < length
        assert time.monotonic() - begun >= 0.1
        assert replicas(web) == 3
    finally:
        connection.close()


def test_a_spoilt_answer_to_a_write_does_not_undo_it(web: SimSwarm, http: Http) -> None:
    """It was carried out."""
    web.fail_next("ServiceUpdate", "truncated")
    with pytest.raises(LOST):
        scale(http, 3)
    assert replicas(web) == 3
    web.fail_next("ServiceUpdate", "malformed")
    assert scale(http, 4).status == 200
    assert replicas(web) == 4


def test_a_stale_read_is_what_was_answered_before(web: SimSwarm, http: Http) -> None:
    """To the same request."""
    old = http.get("/services/web")
    web.scale("web", 3)
    web.fail_next("ServiceInspect", "stale-read")
    assert http.get("/services/web") == old
    assert http.get("/services/web") != old


def test_faults_may_wait_for_their_turn(web: SimSwarm, http: Http) -> None:
    """The third and the fourth request fail."""
    web.fail_next("NodeList", 503, times=2, after=2)
    found = [http.ask("GET", "/nodes").status for _ in range(5)]
    assert found == [200, 200, 503, 503, 200]


@pytest.mark.parametrize(
    ("operation", "method", "path"),
    [
        ("SystemPing", "GET", "/_ping"),
        ("SystemInfo", "GET", "/info"),
        ("ServiceList", "GET", "/services"),
        ("ServiceCreate", "POST", "/services/create"),
        ("ServiceDelete", "DELETE", "/services/web"),
        ("ConfigCreate", "POST", "/configs/create"),
        ("DistributionInspect", "GET", "/distribution/app:1/json"),
        ("SystemEvents", "GET", "/events"),
    ],
)
def test_any_request_can_fail(
    web: SimSwarm, http: Http, operation: str, method: str, path: str
) -> None:
    """By the Engine API's name of it."""
    web.fail_next(operation, 500)
    assert http.ask(method, path, body={}).status == 500


def test_a_slow_engine_takes_its_time_and_holds_up_nobody(web: SimSwarm, http: Http) -> None:
    """So many virtual seconds a request, each in its own time."""
    web.slow(25.0)
    begun, now = time.monotonic(), web.now
    threads = [threading.Thread(target=http.get, args=("/nodes",)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert web.now - now >= 25
    assert time.monotonic() - begun < 4 * 0.5
    web.slow(0)


def test_requests_hang_while_nobody_leads(http: Http) -> None:
    """And are answered once somebody does, or refused with HTTP 500."""
    with SimSwarm(nodes=3, managers=3, serve=True, speed=100) as sim:
        door = Http(sim)
        sim.change_leader(election=10.0)
        now = sim.now
        assert len(door.get("/nodes")) == 3
        assert sim.now - now >= 9
        sim.change_leader(election=60.0)
        got = door.ask("GET", "/services")
        assert got.status == 500
        assert "The swarm does not have a leader" in got.message
        assert door.ask("GET", "/_ping").status == 200
    assert http.get("/nodes")


def test_closing_ends_requests_that_wait(web: SimSwarm, http: Http) -> None:
    """Nobody is left hanging."""
    web.fail_next("NodeList", "timeout")
    ended = threading.Event()

    def ask() -> None:
        with contextlib.suppress(*LOST):
            http.ask("GET", "/nodes", seconds=30)
        ended.set()

    threading.Thread(target=ask, daemon=True).start()
    assert web.wait_until(lambda: any(h.kind == "fault" for h in web.trace), 5)
    web.close()
    assert ended.wait(5)
