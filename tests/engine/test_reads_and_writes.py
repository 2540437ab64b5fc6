"""Reads are asked again and of other managers, writes never; requests are few and counted."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import attrs
import pytest

from swarmroll.core.snapshot import Depth, Service
from swarmroll.engine.docker import DockerEngine
from swarmroll.errors import (
    Conflict,
    EngineError,
    EngineUnavailable,
    NotAManager,
    ServiceNotFound,
)

from .conftest import Open, Serve, swarm
from .documents import SERVICE_ID, node, service, task
from .server import Answer, Request, Server, error, ok

NO_LEADER = error(500, "rpc error: code = Unknown desc = The swarm does not have a leader.")
WORKER = error(503, "This node is not a swarm manager. Worker nodes can't be used to view")
OUT_OF_SEQUENCE = "rpc error: code = Unknown desc = update out of sequence"


def reset(connection: object) -> None:
    """Hang up without a word."""


def write(engine: DockerEngine, found: Service) -> tuple[str, ...]:
    return engine.update(found.id, found.version, found.spec.with_image("app:2"))


# --- requests ------------------------------------------------------------------------------------


def test_connecting_asks_nothing(serve: Serve, connect: Open) -> None:
    server = serve()
    engine = connect(server)
    assert ([], 0) == (server.seen, engine.requests)


def test_the_version_is_negotiated_by_the_first_answer(serve: Serve, connect: Open) -> None:
    """No request is spent on it, and no older version may strip fields from what is written."""
    server = serve()
    engine = connect(server)
    engine.nodes()
    engine.nodes()
    assert ["/nodes", "/v1.51/nodes"] == [request.target for request in server.seen]
    assert 2 == engine.requests


def test_a_filter_that_hides_the_version_is_asked_for_it(serve: Serve, connect: Open) -> None:
    def answer(request: Request) -> Answer:
        document = {"ApiVersion": "1.45"} if request.path == "/version" else [node()]
        return ok(document, version="")

    server = serve(answer)
    engine = connect(server)
    engine.nodes()
    engine.nodes()
    assert ["/nodes", "/version", "/v1.45/nodes"] == [request.target for request in server.seen]


def test_an_engine_that_is_too_old_is_refused(serve: Serve, connect: Open) -> None:
    server = serve(lambda _: ok([node()], version="1.40"))
    with pytest.raises(EngineError, match=r"speaks Engine API 1\.40.*1\.41"):
        connect(server).nodes()


def test_an_upgraded_engine_is_spoken_to_in_its_new_version(serve: Serve, connect: Open) -> None:
    versions = iter(["1.45", "1.51", "1.51"])
    server = serve(lambda _: ok([node()], version=next(versions)))
    engine = connect(server)
    for _ in range(3):
        engine.nodes()
    assert ["/nodes", "/v1.45/nodes", "/v1.51/nodes"] == [r.target for r in server.seen]


@pytest.mark.parametrize(
    ("depth", "requests"),
    [(Depth.SERVICE, 1), (Depth.TARGET, 2), (Depth.FULL, 3), (Depth.NODES, 4)],
)
def test_a_look_asks_for_no_more_than_its_depth(
    depth: Depth, requests: int, serve: Serve, connect: Open
) -> None:
    engine = connect(serve())
    snapshot = engine.look(SERVICE_ID, depth)
    assert (requests, depth) == (engine.requests, snapshot.depth)
    assert (3 if depth >= Depth.TARGET else 0) == len(snapshot.tasks)
    assert (depth >= Depth.NODES) == ("node1" in snapshot.nodes)


def test_a_look_asks_for_the_service_then_for_its_tasks(serve: Serve, connect: Open) -> None:
    """A task list must not be older than the spec that it is judged by."""
    server = serve()
    connect(server).look(SERVICE_ID, Depth.FULL)
    asked = [request.target.partition("filters=")[2] for request in server.seen]
    assert ["", True, False] == [a and "_up-to-date" in a for a in asked]


def test_a_deeper_look_does_not_ask_again_for_what_was_seen(serve: Serve, connect: Open) -> None:
    engine = connect(serve())
    shallow = engine.look(SERVICE_ID, Depth.TARGET)
    before = engine.requests
    deep = engine.look(SERVICE_ID, Depth.NODES, after=shallow)
    assert 2 == engine.requests - before
    assert (shallow.service, shallow.up_to_date) == (deep.service, deep.up_to_date)


def test_a_look_at_a_service_that_is_gone_is_a_snapshot_without_one(
    serve: Serve, connect: Open
) -> None:
    snapshot = connect(serve(lambda _: error(404, "service x not found"))).look("x", Depth.FULL)
    assert (None, Depth.FULL, ()) == (snapshot.service, snapshot.depth, snapshot.tasks)


def test_a_service_that_goes_while_it_is_looked_at_is_gone(serve: Serve, connect: Open) -> None:
    left = itertools.count()

    def answer(_: Request) -> Answer:
        return ok(service()) if next(left) == 0 else error(404, "service x not found")

    assert connect(serve(answer)).look(SERVICE_ID, Depth.FULL).service is None


def test_many_threads_share_an_engine(serve: Serve, connect: Open) -> None:
    engine = connect(serve())
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda _: engine.look(SERVICE_ID, Depth.FULL), range(100)))
    assert {3} == {len(snapshot.tasks) for snapshot in found}
    assert 300 == engine.requests


# --- reads ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        reset,
        NO_LEADER,
        error(500, "rpc error: code = DeadlineExceeded desc = context deadline exceeded"),
        error(502, "bad gateway"),
        error(503, "service unavailable"),
        ok(json.dumps(service())[:50].encode()),
        ok([]),
    ],
    ids=["reset", "no leader", "deadline", "gateway", "busy", "truncated", "wrong type"],
)
def test_one_fault_is_survived_by_a_read(fault: Answer, serve: Serve, connect: Open) -> None:
    """Each of these made the docker CLI or docker-py report a failure that was none."""
    answers = iter([fault])
    server = serve(lambda request: next(answers, None) or swarm(request))
    engine = connect(server)
    assert 42 == engine.service("web").version
    assert 2 == engine.requests


def test_a_request_that_hangs_leaves_time_for_another(serve: Serve, connect: Open) -> None:
    released = threading.Event()
    answers = iter([lambda _: released.wait(10)])
    server = serve(lambda request: next(answers, None) or swarm(request))
    engine = connect(server, timeout=(2.0, 0.2))
    assert 42 == engine.service("web").version
    released.set()


def test_a_read_ends_with_its_time(serve: Serve, connect: Open) -> None:
    engine = connect(serve(lambda _: NO_LEADER), timeout=(0.6, 0.3))
    begun = time.monotonic()
    with pytest.raises(EngineUnavailable, match=r"does not have a leader.*tried \d+ times"):
        engine.service("web")
    assert 0.2 < time.monotonic() - begun < 1.2


def test_an_address_where_nothing_listens_is_not_waited_for(connect: Open) -> None:
    """Most likely it is wrong; and says so at once."""
    with Server(swarm) as gone:
        pass
    begun = time.monotonic()
    with pytest.raises(EngineUnavailable, match="connection refused"):
        connect(gone, timeout=(20.0, 10.0)).nodes()
    assert time.monotonic() - begun < 5


def test_an_engine_that_restarts_is_waited_for(connect: Open, tmp_path: Path) -> None:
    path = tmp_path / "engine.sock"
    with Server(swarm, path=path) as server:
        engine = connect(server, timeout=(10.0, 1.0))
        engine.nodes()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(engine.nodes)
        with Server(swarm, path=path):
            assert 1 == len(waiting.result(10))


def test_closing_ends_a_read_that_waits(serve: Serve, connect: Open) -> None:
    server = serve(lambda _: NO_LEADER)
    engine = connect(server, timeout=(60.0, 10.0))
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(engine.nodes)
        server.wait_until(lambda s: len(s.seen) >= 2)
        engine.close()
        with pytest.raises(EngineUnavailable):
            waiting.result(5)
    with pytest.raises(EngineUnavailable, match="closed"):
        engine.nodes()


def gone_once_after_the_first_answer() -> Callable[[Request], Answer]:
    numbers = itertools.count()

    def answer(request: Request) -> Answer:
        return error(404, "service not found") if next(numbers) == 1 else swarm(request)

    return answer


def test_a_service_that_was_there_is_gone_only_when_it_is_gone_twice(
    serve: Serve, connect: Open
) -> None:
    """One spurious 404 made every other tool fail the rollout."""
    server = serve(gone_once_after_the_first_answer())
    engine = connect(server)
    engine.service(SERVICE_ID)
    assert SERVICE_ID == engine.service(SERVICE_ID).id


def test_a_spurious_404_of_the_task_list_is_survived(serve: Serve, connect: Open) -> None:
    server = serve(gone_once_after_the_first_answer())
    assert 3 == len(connect(server).look(SERVICE_ID, Depth.FULL).tasks)


def test_a_service_that_never_was_is_asked_for_once(serve: Serve, connect: Open) -> None:
    engine = connect(serve())
    with pytest.raises(ServiceNotFound, match="no service nope"):
        engine.service("nope")
    assert 1 == engine.requests


def test_a_name_cannot_climb_out_of_its_place(serve: Serve, connect: Open) -> None:
    server = serve()
    with pytest.raises(ServiceNotFound):
        connect(server).service("../nodes?x=1#y")
    assert "/services/..%2Fnodes%3Fx%3D1%23y" == server.seen[0].target


def test_a_service_without_a_name_is_not_asked_for(serve: Serve, connect: Open) -> None:
    """Its path would be that of the list of all services."""
    engine = connect(serve())
    with pytest.raises(ServiceNotFound):
        engine.service("")
    assert 0 == engine.requests


def test_a_worker_is_no_manager(serve: Serve, connect: Open) -> None:
    with pytest.raises(NotAManager, match="connect to a manager"):
        connect(serve(lambda _: WORKER)).service("web")


# --- several managers ----------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [WORKER, NO_LEADER, reset], ids=["demoted", "no leader", "reset"])
def test_reads_go_to_the_next_manager(fault: Answer, serve: Serve, connect: Open) -> None:
    first, second = serve(lambda _: fault), serve()
    engine = connect(first, second)
    assert 42 == engine.service("web").version
    assert (1, 1) == (len(first.seen), len(second.seen))
    assert second.url == engine.host


def test_the_manager_that_answered_is_asked_from_then_on(serve: Serve, connect: Open) -> None:
    first, second = serve(lambda _: WORKER), serve()
    engine = connect(first, second)
    engine.nodes()
    engine.nodes()
    assert (1, 2) == (len(first.seen), len(second.seen))


def test_managers_that_are_all_out_of_reach_are_each_tried_once(connect: Open) -> None:
    with Server(swarm) as one, Server(swarm) as two:
        pass
    with pytest.raises(EngineUnavailable, match=r"refused.*tried 2 times"):
        connect(one, two, timeout=(20.0, 10.0)).nodes()


# --- writes --------------------------------------------------------------------------------------


def test_the_whole_spec_is_written_as_it_is(serve: Serve, connect: Open) -> None:
    server = serve()
    engine = connect(server)
    found = engine.service("web")
    assert () == engine.update(found.id, found.version, found.spec)
    sent = server.seen[-1]
    assert ("POST", f"/v1.51/services/{SERVICE_ID}/update?version=42") == (sent.method, sent.target)
    assert found.raw["Spec"] == json.loads(sent.body)
    assert "x-registry-auth" not in sent.headers


def test_the_engine_s_warnings_are_returned(serve: Serve, connect: Open) -> None:
    def answer(request: Request) -> Answer:
        return ok({"Warnings": ["unpinned"]}) if request.method == "POST" else swarm(request)

    engine = connect(serve(answer))
    assert ("unpinned",) == write(engine, engine.service("web"))


@pytest.mark.parametrize(
    ("fault", "expected", "says"),
    [
        (reset, EngineUnavailable, "may or may not have been written"),
        (NO_LEADER, EngineUnavailable, "may or may not have been written"),
        (error(503, "try later"), EngineUnavailable, "may or may not have been written"),
        (error(500, OUT_OF_SEQUENCE), Conflict, "out of sequence"),
        (error(400, OUT_OF_SEQUENCE), Conflict, "out of sequence"),
        (error(409, "name conflicts with an existing object"), Conflict, "existing object"),
        (error(404, "service x not found"), ServiceNotFound, "not found"),
        (WORKER, NotAManager, "not a manager"),
        (error(400, "unrecognized update order sideways"), EngineError, "order sideways"),
        (error(500, "rpc error: code = Unknown desc = too large"), EngineError, "too large"),
        (error(501, "service mode change is not allowed"), EngineError, "mode change"),
    ],
)
def test_a_write_is_sent_once_whatever_comes_back(
    fault: Answer, expected: type[EngineError], says: str, serve: Serve, connect: Open
) -> None:
    """A second POST could roll back what somebody else has written in between."""

    def answer(request: Request) -> Answer:
        return fault if request.method == "POST" else swarm(request)

    server, other = serve(answer), serve(answer)
    engine = connect(server, other)
    found = engine.service("web")
    with pytest.raises(EngineError, match=says) as raised:
        write(engine, found)
    assert expected is type(raised.value)
    assert 1 == server.asked(f"/services/{SERVICE_ID}/update")
    assert 0 == len(other.seen)


def test_a_write_that_could_not_be_sent_was_not_written(connect: Open) -> None:
    with Server(swarm) as server:
        engine = connect(server)
        found = engine.service("web")
    with pytest.raises(EngineUnavailable, match="nothing was written"):
        write(engine, found)


@pytest.mark.parametrize(
    "body", [b"not JSON", b'{"Warnings": 3}', b"[" * 100_000], ids=["text", "type", "deep"]
)
def test_an_accepted_write_stands_whatever_its_answer_says(
    body: bytes, serve: Serve, connect: Open
) -> None:
    def answer(request: Request) -> Answer:
        return ok(body) if request.method == "POST" else swarm(request)

    engine = connect(serve(answer))
    assert () == write(engine, engine.service("web"))


def test_an_accepted_write_stands_though_its_answer_is_cut_off(serve: Serve, connect: Open) -> None:
    def answer(request: Request) -> Answer:
        if request.method == "POST":
            return lambda c: c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
        return swarm(request)

    engine = connect(serve(answer))
    assert () == write(engine, engine.service("web"))


def test_after_a_write_without_an_answer_another_manager_is_asked(
    serve: Serve, connect: Open
) -> None:
    first = serve(lambda request: reset if request.method == "POST" else swarm(request))
    second = serve()
    engine = connect(first, second)
    found = engine.service("web")
    with pytest.raises(EngineUnavailable):
        write(engine, found)
    engine.service("web")
    assert [f"/services/{'web'}"] == [request.path for request in second.seen]


# --- evidence ------------------------------------------------------------------------------------


def test_a_digest_is_asked_of_the_registry_through_the_engine(serve: Serve, connect: Open) -> None:
    digest = "sha256:" + "a" * 64
    platforms = [{"os": "linux", "architecture": "arm64", "variant": "v8"}, {"os": "linux"}]
    server = serve(lambda _: ok({"Descriptor": {"digest": digest}, "Platforms": platforms}))
    resolved = connect(server).resolve("registry.example:5000/team/app:2", timeout=1.0)
    assert digest == resolved.digest
    assert ("linux/arm64/v8", "linux") == resolved.platforms
    assert "/distribution/registry.example%3A5000/team/app%3A2/json" == server.seen[0].target


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (error(404, "manifest unknown"), "manifest unknown"),
        (error(500, "no basic auth credentials"), "no basic auth credentials"),
        (ok({"Descriptor": None}), "Descriptor"),
        (reset, "connection was lost"),
    ],
)
def test_an_image_that_cannot_be_resolved_says_why(
    answer: Answer, reason: str, serve: Serve, connect: Open
) -> None:
    server = serve(lambda _: answer)
    resolved = connect(server).resolve("app:2", timeout=1.0)
    assert resolved.digest is None
    assert reason in resolved.reason


def test_credentials_in_a_reference_do_not_get_into_a_url(serve: Serve, connect: Open) -> None:
    server = serve()
    resolved = connect(server).resolve("user:hunter2@registry.example/app:2", timeout=1.0)
    assert resolved.digest is None
    assert "hunter2" not in resolved.reason
    assert [] == server.seen


def frames(*lines: str) -> bytes:
    return b"".join(
        bytes([1, 0, 0, 0]) + len(line).to_bytes(4, "big") + line.encode() for line in lines
    )


@pytest.mark.parametrize(
    "body", [frames("one\n", "two\n"), b"one\r\ntwo\r\n"], ids=["frames", "terminal"]
)
def test_the_last_lines_of_a_task_are_read(body: bytes, serve: Serve, connect: Open) -> None:
    engine = connect(serve(lambda request: ok(body) if "logs" in request.path else swarm(request)))
    assert ("two",) == engine.logs(engine.tasks(SERVICE_ID)[0], lines=1)


def test_logs_that_are_cut_off_are_returned_as_far_as_they_came(
    serve: Serve, connect: Open
) -> None:
    def cut(connection: object) -> None:
        head = b"HTTP/1.1 200 OK\r\nApi-Version: 1.51\r\nContent-Length: 999\r\n\r\n"
        connection.sendall(head + frames("one\n", "two"))  # type: ignore[attr-defined]

    engine = connect(serve(lambda request: cut if "logs" in request.path else swarm(request)))
    assert ("one", "two") == engine.logs(engine.tasks(SERVICE_ID)[0], lines=10)


@pytest.mark.parametrize("answer", [reset, error(500, "no"), ok([])], ids=["reset", "500", "list"])
def test_evidence_that_cannot_be_had_is_empty(answer: Answer, serve: Serve, connect: Open) -> None:
    engine = connect(serve(lambda request: swarm(request) if request.path == "/tasks" else answer))
    one = engine.tasks(SERVICE_ID)[0]
    assert () == engine.logs(one, lines=0)
    assert () == engine.health_output(one)
    assert () == engine.health_output(attrs.evolve(one, container_id=""))


def test_outputs_of_health_checks_are_read(serve: Serve, connect: Open) -> None:
    state = {"Health": {"Log": [{"Output": "ok"}, {"Output": "connection refused"}]}}
    server = serve(
        lambda request: ok([task()]) if request.path == "/tasks" else ok({"State": state})
    )
    engine = connect(server)
    assert ("ok", "connection refused") == engine.health_output(engine.tasks(SERVICE_ID)[0])
    assert "/containers/container1/json" == server.seen[-1].path
