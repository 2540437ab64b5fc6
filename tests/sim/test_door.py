"""The served door: what is asked over HTTP, and what comes back."""

from __future__ import annotations

import stat
import threading
from pathlib import Path
from typing import Any

import pytest

from swarmroll.sim import SimSwarm
from tests.sim.http import Http

CONTAINER = {"ContainerSpec": {"Image": "app:1"}}
WEB = {"Name": "web", "TaskTemplate": CONTAINER, "Mode": {"Replicated": {"Replicas": 2}}}


def create(http: Http, **changes: Any) -> str:
    got = http.post("/services/create", {**WEB, **changes})
    assert got.status == 201, got
    return str(got.json["ID"])


# The door itself


def test_the_socket_is_for_its_owner_only(served: SimSwarm) -> None:
    """0600 in a directory of 0700, and gone afterwards."""
    path = Path(served.url.removeprefix("unix://"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    served.close()
    assert not path.parent.exists()


def test_a_socket_and_a_port_may_be_chosen(tmp_path: Path) -> None:
    """As a tool that was started for somebody else would."""
    with SimSwarm(serve=True, socket=tmp_path / "d.sock") as sim:
        assert sim.url == f"unix://{tmp_path}/d.sock"
        port = int(sim.tcp_url.rpartition(":")[2])
    assert not (tmp_path / "d.sock").exists()
    with SimSwarm(serve=True, port=port) as sim:
        assert sim.tcp_url == f"tcp://127.0.0.1:{port}"


def test_nothing_is_left_when_it_is_closed() -> None:
    """No thread, and no socket (a warning would fail this test)."""
    before = set(threading.enumerate())
    with SimSwarm(serve=True) as sim:
        http = Http(sim)
        with http.events():
            http.get("/nodes")
    assert set(threading.enumerate()) - before == set()


def test_without_serving_there_is_no_address() -> None:
    """And time does not pass by itself."""
    with SimSwarm() as sim:
        with pytest.raises(RuntimeError, match=r"only with SimSwarm\(serve=True\)"):
            _ = sim.url
        with pytest.raises(RuntimeError, match="wait_until"):
            sim.wait_until(lambda: True)


@pytest.mark.parametrize("speed", [0, -1, float("inf"), float("nan")])
def test_time_must_move(speed: float) -> None:
    """Forwards, and not at once."""
    with pytest.raises(ValueError, match="speed must be more than 0"):
        SimSwarm(serve=True, speed=speed)


def test_what_was_planned_and_fails_is_told() -> None:
    """It does not end in a thread that nobody looks at."""

    def fail() -> None:
        raise KeyError("planned badly")

    sim = SimSwarm(serve=True, speed=100)
    http = Http(sim)
    sim.after(0.1, fail)
    assert not sim.wait_until(lambda: False, 5)
    got = http.ask("GET", "/nodes")
    assert got.status == 500
    assert "planned badly" in got.message
    with pytest.raises(RuntimeError, match="planned badly"):
        sim.close()


def test_time_passes_by_itself_and_can_be_jumped(served: SimSwarm) -> None:
    """Jumping ahead does not make it stand still afterwards."""
    served.run(1000)
    jumped = served.now
    assert jumped >= 1000
    assert served.wait_until(lambda: served.now > jumped + 1, 5)


# Versions


@pytest.mark.parametrize("version", [f"1.{minor}" for minor in range(41, 52)])
def test_each_version_is_answered(http: Http, version: str) -> None:
    """From Engine 20.10 to 28.5."""
    assert len(Http(http.sim, version).get("/nodes")) == 3


@pytest.mark.parametrize(
    ("version", "words"),
    [
        (
            "1.52",
            "client version 1.52 is too new. Maximum supported API version is 1.51",
        ),
        (
            "1.40",
            (
                "client version 1.40 is too old. Minimum supported API version is 1.41, please "
                "upgrade your client to a newer version"
            ),
        ),
    ],
)
def test_too_old_and_too_new_clients_are_refused(http: Http, version: str, words: str) -> None:
    """HTTP 400, with the engine's words."""
    got = Http(http.sim, version).ask("GET", "/nodes")
    assert (got.status, got.message) == (400, words)


def test_an_older_engine_may_be_simulated() -> None:
    """It says so wherever an engine says what it is."""
    with SimSwarm(serve=True, api_version="1.41") as sim:
        http = Http(sim)
        version = http.get("/version")
        assert (version["ApiVersion"], version["Version"]) == ("1.41", "20.10.24")
        assert http.ask("GET", "/_ping").headers["Api-Version"] == "1.41"
        assert http.get("/info")["ServerVersion"] == "20.10.24"
        assert http.get("/nodes")[0]["Description"]["Engine"]["EngineVersion"] == "20.10.24"
        assert Http(sim, "1.42").ask("GET", "/nodes").status == 400
    with pytest.raises(ValueError, match=r"api_version must be one of 1\.41"):
        SimSwarm(api_version="1.12")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_ping_tells_the_version(http: Http, method: str) -> None:
    """From which every client begins."""
    got = http.ask(method, "/_ping")
    assert got.status == 200
    assert got.headers["Api-Version"] == "1.51"
    assert got.headers["Ostype"] == "linux"
    assert got.body == (b"OK" if method == "GET" else b"")


def test_info_and_swarm_tell_of_the_cluster(http: Http) -> None:
    """A client sees that this is a manager of a swarm."""
    info = http.get("/info")["Swarm"]
    assert (info["LocalNodeState"], info["ControlAvailable"]) == ("active", True)
    assert (info["Nodes"], info["Managers"]) == (3, 1)
    assert http.get("/swarm")["ID"] == info["Cluster"]["ID"]


# Requests that are none


@pytest.mark.parametrize(
    ("method", "path", "status", "words"),
    [
        ("GET", "/nonsense", 404, "page not found"),
        ("POST", "/tasks", 404, "page not found"),
        ("POST", "/containers/create", 501, "the simulated engine does not do POST"),
        ("POST", "/swarm/leave", 501, "the simulated engine does not do POST /swarm/leave"),
        ("GET", "/services/nope", 404, "service nope not found"),
        ("GET", "/nodes/nope", 404, "node nope not found"),
        ("GET", "/tasks/nope", 404, "task nope not found"),
        ("GET", "/configs/nope", 404, "config nope not found"),
        ("GET", "/secrets/nope", 404, "secret nope not found"),
        ("GET", "/networks/nope", 404, "network nope not found"),
        ("GET", "/containers/nope/json", 404, "No such container: nope"),
        ("GET", "/tasks/nope/logs?stdout=1", 404, "task nope not found"),
    ],
)
def test_what_is_not_there_is_refused(
    http: Http, method: str, path: str, status: int, words: str
) -> None:
    """With the engine's status and words; what is not simulated says so."""
    got = http.ask(method, path)
    assert got.status == status
    assert got.message.startswith(words)


@pytest.mark.parametrize(
    ("raw", "kind", "words"),
    [
        (b"", "application/json", "invalid JSON: got EOF while reading request body"),
        (b"{", "application/json", "invalid JSON"),
        (b"[]", "application/json", "invalid JSON: the body is no object"),
        (b"{}", "text/plain", "unsupported Content-Type header (text/plain)"),
        (
            b'{"Name": "web", "Mode": {"Replicated": {"Replicas": "3"}}}',
            "application/json",
            (
                "invalid JSON: json: cannot unmarshal string into Go struct field "
                "ServiceSpec.Mode.Replicated.Replicas of type uint64"
            ),
        ),
        (
            b'{"Name": "web", "TaskTemplate": {"ContainerSpec": {"Env": "A=1"}}}',
            "application/json",
            (
                "invalid JSON: json: cannot unmarshal string into Go struct field "
                "ServiceSpec.TaskTemplate.ContainerSpec.Env of type []string"
            ),
        ),
        (
            b'{"Name": "web", "TaskTemplate": {}}',
            "application/json",
            "mismatched Runtime and *Spec fields",
        ),
        (
            b'{"Name": "web", "Mode": {"Replicated": {}, "Global": {}}}',
            "application/json",
            "must specify only one service mode",
        ),
    ],
)
def test_bodies_that_are_none_are_refused(http: Http, raw: bytes, kind: str, words: str) -> None:
    """HTTP 400."""
    got = http.ask("POST", "/services/create", raw=raw, headers={"Content-Type": kind})
    assert got.status == 400
    assert got.message.startswith(words)


def test_a_chunked_body_is_read(http: Http) -> None:
    """Some clients do not know the length before they send."""
    connection = http.open()
    connection.putrequest("POST", "/services/create")
    connection.putheader("Content-Type", "application/json")
    connection.putheader("Transfer-Encoding", "chunked")
    connection.endheaders()
    body = b'{"Name": "web", "TaskTemplate": {"ContainerSpec": {"Image": "app:1"}}}'
    for piece in (body[:20], body[20:]):
        connection.send(b"%x\r\n%b\r\n" % (len(piece), piece))
    connection.send(b"0\r\n\r\n")
    assert connection.getresponse().status == 201
    connection.close()


def test_a_spec_that_is_too_large_for_raft_is_refused(http: Http) -> None:
    """HTTP 500."""
    got = http.post("/configs/create", {"Name": "big", "Labels": {"x": "y" * 2_000_000}})
    assert got.status == 500
    assert "raft message is too large" in got.message


# Services


def test_a_service_is_created_updated_rolled_back_and_removed(served: SimSwarm, http: Http) -> None:
    """The whole life of one."""
    key = create(http)
    served.settle()
    first = http.get("/services/web")
    assert first["ID"] == key
    assert "UpdateStatus" not in first
    assert "PreviousSpec" not in first
    spec = {**first["Spec"], "TaskTemplate": {"ContainerSpec": {"Image": "app:2"}}}
    got = http.post("/services/web/update", spec, version=first["Version"]["Index"])
    assert (got.status, got.json) == (200, {"Warnings": None})
    served.settle()
    second = http.get(f"/services/{key}")
    assert second["UpdateStatus"]["State"] == "completed"
    assert second["PreviousSpec"] == first["Spec"]
    index = second["Version"]["Index"]
    got = http.post("/services/web/update", second["Spec"], version=index, rollback="previous")
    assert got.status == 200
    served.settle()
    third = http.get("/services/web")
    assert third["UpdateStatus"]["State"] == "rollback_completed"
    assert third["Spec"] == first["Spec"]
    assert http.delete("/services/web").status == 200
    assert http.ask("GET", "/services/web").status == 404


def test_another_version_is_out_of_sequence(http: Http) -> None:
    """HTTP 500, not 409; lower and higher alike."""
    create(http)
    got = http.post("/services/web/update", WEB, version=1)
    assert got.status == 500
    assert got.message == "rpc error: code = Unknown desc = update out of sequence"


def test_no_version_at_all_is_a_bad_request(http: Http) -> None:
    """HTTP 400."""
    create(http)
    got = http.post("/services/web/update", WEB)
    assert (got.status, got.message.startswith("invalid service version ''")) == (400, True)


@pytest.mark.parametrize(
    ("query", "status", "words"),
    [
        ({"rollback": "previous"}, 400, "does not have a previous spec"),
        ({"rollback": "sideways"}, 500, "unrecognized rollback option sideways"),
        ({"registryAuthFrom": "nowhere"}, 400, "unsupported registryAuthFrom value"),
    ],
)
def test_updates_that_cannot_be_are_refused(
    served: SimSwarm, http: Http, query: dict[str, str], status: int, words: str
) -> None:
    """With the engine's status and words."""
    create(http)
    served.settle()
    index = http.get("/services/web")["Version"]["Index"]
    got = http.post("/services/web/update", WEB, version=index, **query)
    assert got.status == status
    assert words in got.message


def test_a_service_without_a_name_gets_one(http: Http) -> None:
    """As the engine makes one up."""
    key = create(http, Name="")
    assert http.get(f"/services/{key}")["Spec"]["Name"]


def test_credentials_are_kept_and_never_shown(served: SimSwarm, http: Http) -> None:
    """They are part of what is compared, and of no document."""
    http.ask("POST", "/services/create", body=WEB, headers={"X-Registry-Auth": "c2VjcmV0"})
    assert b"c2VjcmV0" not in http.ask("GET", "/services/web").body
    assert served.control.find("web").spec.auth == "c2VjcmV0"


def test_status_counts_every_running_task(served: SimSwarm, http: Http) -> None:
    """Only where it is asked for."""
    create(http)
    served.settle()
    (plain,) = http.get("/services")
    assert "ServiceStatus" not in plain
    (found,) = http.get("/services", status="true")
    wanted = {"RunningTasks": 2, "DesiredTasks": 2, "CompletedTasks": 0}
    assert found["ServiceStatus"] == wanted


def test_defaults_are_inserted_only_when_asked_for(served: SimSwarm, http: Http) -> None:
    """And posting them back rolls every task: what Service.scale() of docker-py runs into."""
    create(http)
    served.settle()
    assert "UpdateConfig" not in http.get("/services/web")["Spec"]
    full = http.get("/services/web", insertDefaults="true")
    assert full["Spec"]["UpdateConfig"]["Monitor"] == 5_000_000_000
    assert full["Spec"]["TaskTemplate"]["RestartPolicy"]["Delay"] == 5_000_000_000
    before = {task["ID"] for task in http.get("/tasks")}
    http.post("/services/web/update", full["Spec"], version=full["Version"]["Index"])
    served.settle()
    running = {t["ID"] for t in http.get("/tasks") if t["Status"]["State"] == "running"}
    assert not running & before


def test_reading_and_writing_back_restarts_nothing(served: SimSwarm, http: Http) -> None:
    """A round trip is the identity."""
    create(http, UpdateConfig={"Parallelism": 1, "Delay": 0, "Monitor": 0})
    served.settle()
    before = {task["ID"] for task in http.get("/tasks")}
    found = http.get("/services/web")
    http.post("/services/web/update", found["Spec"], version=found["Version"]["Index"])
    served.settle()
    assert http.get("/services/web")["Spec"] == found["Spec"]
    assert {task["ID"] for task in http.get("/tasks")} == before


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        ({}, {"web", "webber", "daemon"}),
        ({"name": ["web"]}, {"web", "webber"}),
        ({"name": ["web", "dae"]}, {"web", "webber", "daemon"}),
        ({"name": {"webb": True}}, {"webber"}),
        ({"mode": ["global"]}, {"daemon"}),
        ({"label": ["team"]}, {"web", "daemon"}),
        ({"label": ["team=a"]}, {"web"}),
        ({"label": ["team=a", "other"]}, set()),
        ({"runtime": ["plugin"]}, set()),
        ({"id": ["x"]}, set()),
    ],
)
def test_services_are_filtered(http: Http, filters: dict[str, Any], names: set[str]) -> None:
    """By the engine: names are prefixes, labels must all be there."""
    create(http, Labels={"team": "a"})
    create(http, Name="webber")
    create(http, Name="daemon", Mode={"Global": {}}, Labels={"team": "b"})
    assert {s["Spec"]["Name"] for s in http.get("/services", filters=filters)} == names


@pytest.mark.parametrize(
    ("path", "text", "words"),
    [
        ("/services", '{"colour": ["red"]}', "invalid filter 'colour'"),
        ("/tasks", "{", "invalid filter"),
        ("/nodes", "[]", "invalid filter"),
        ("/tasks", '{"id": 3}', "invalid filter"),
        ("/tasks", '{"desired-state": ["happy"]}', "invalid desired-state filter: 'happy'"),
    ],
)
def test_filters_that_are_none_are_refused(http: Http, path: str, text: str, words: str) -> None:
    """HTTP 400."""
    got = http.ask("GET", path, filters=text)
    assert got.status == 400
    assert got.message.startswith(words)


# Tasks


def test_tasks_are_filtered(served: SimSwarm, http: Http) -> None:
    """By service, node, desired state, id and name; up to date whatever the value is."""
    create(http)
    create(http, Name="other")
    served.settle()
    served.update_service("web", image="app:2")
    served.settle()

    def count(**filters: list[str]) -> int:
        found: list[Any] = http.get(
            "/tasks", filters={k.replace("_", "-"): v for k, v in filters.items()}
        )
        return len(found)

    assert len(http.get("/tasks")) == 6
    assert count(service=["web"]) == 4
    assert count(service=["web", "other"]) == 6
    assert count(service=["web"], desired_state=["running"]) == 2
    assert count(desired_state=["shutdown", "running"]) == 6
    up_to_date = {"service": ["web"], "_up-to-date": ["false"]}
    assert len(http.get("/tasks", filters=up_to_date)) == 2
    assert count(name=["web.1"]) == 2
    on_nodes = sum(count(node=[f"node-{n}"]) for n in (1, 2, 3))
    assert on_nodes == 6
    one = http.get("/tasks")[0]
    assert count(id=[one["ID"][:8]]) == 1
    assert http.get(f"/tasks/{one['ID']}") == one


def test_dead_tasks_of_the_present_spec_are_up_to_date_too(served: SimSwarm, http: Http) -> None:
    """And none is, once its service is gone."""
    served.create_service("web", image="app:1", settle=0)
    served.update_service("web", image="bad:1")
    served.run(20)
    listed = http.get("/tasks", filters={"service": ["web"], "_up-to-date": ["true"]})
    assert "failed" in {task["Status"]["State"] for task in listed}
    assert {task["Spec"]["ContainerSpec"]["Image"] for task in listed} == {"bad:1"}
    served.remove_service("web")
    assert http.get("/tasks", filters={"_up-to-date": ["true"]}) == []


def test_tasks_of_a_job_count_from_zero_which_is_not_written(served: SimSwarm, http: Http) -> None:
    """Slot 0 and iteration 0 are left out; tasks of an older run keep their iteration."""
    served.image("once:1", crashes_after=0.5, exit_code=0)
    served.create_service("web", image="once:1", mode="replicated-job", replicas=2)
    served.run(10)
    first = http.get("/tasks")
    assert sorted(task.get("Slot", "none") for task in first if "Slot" in task) == [1]
    assert [task["JobIteration"] for task in first] == [{}, {}]
    status = http.get("/services", status="true")[0]["ServiceStatus"]
    assert status["CompletedTasks"] == 2
    served.update_service("web", lambda s: {**s.to_engine(), "Labels": {"a": "b"}})
    served.run(10)
    runs = [task["JobIteration"].get("Index", 0) for task in http.get("/tasks")]
    assert sorted(runs) == [0, 0, 1, 1]


def test_credentials_may_be_taken_from_the_previous_spec(served: SimSwarm, http: Http) -> None:
    """Without a header they stay, or come from the one before; no document shows them."""
    http.ask("POST", "/services/create", body=WEB, headers={"X-Registry-Auth": "b25l"})
    served.settle()

    def update(query: dict[str, str], auth: dict[str, str]) -> str | None:
        index = http.get("/services/web")["Version"]["Index"]
        words: dict[str, Any] = {"version": index, **query}
        got = http.ask("POST", "/services/web/update", body=WEB, headers=auth, **words)
        assert got.status == 200
        served.settle()
        return served.control.find("web").spec.auth

    assert update({}, {"X-Registry-Auth": "dHdv"}) == "dHdv"
    assert update({"registryAuthFrom": "previous-spec"}, {}) == "b25l"
    assert update({}, {}) == "b25l"


def test_networks_at_the_top_of_a_spec_count_where_the_template_has_none(
    served: SimSwarm, http: Http
) -> None:
    """As engines up to 28 have it: its tasks are attached."""
    served.network("net")
    create(http, Networks=[{"Target": "net"}])
    served.settle()
    attached = [task.get("NetworksAttachments") for task in http.get("/tasks")]
    assert [len(networks or ()) for networks in attached] == [1, 1]


def test_tasks_of_an_unknown_service_are_not_found(http: Http) -> None:
    """HTTP 404, though it is a list."""
    got = http.ask("GET", "/tasks", filters={"service": ["nope"]})
    assert (got.status, got.message) == (404, "service nope not found")


def test_a_task_tells_what_happened_to_it(served: SimSwarm, http: Http) -> None:
    """State, message, error, container and exit code."""
    create(
        http,
        TaskTemplate={"ContainerSpec": {"Image": "bad:1"}, "RestartPolicy": {"Condition": "none"}},
    )
    served.run(10)
    task = http.get("/tasks")[0]
    status = task["Status"]
    assert (status["State"], status["Message"], status["Err"]) == (
        "failed",
        "started",
        "task: non-zero exit (1)",
    )
    assert status["ContainerStatus"]["ExitCode"] == 1
    assert task["Spec"]["RestartPolicy"] == {"Condition": "none", "MaxAttempts": 0}
    assert {"Slot", "NodeID", "ServiceID", "DesiredState", "Version"} <= set(task)


def test_a_wrong_clock_shows_in_what_its_agent_reports(served: SimSwarm, http: Http) -> None:
    """And nowhere else: the managers stamp what they write themselves."""
    for number in (1, 2, 3):
        served.node(f"node-{number}").clock_off(-3600)
    create(http)
    served.settle()
    task = http.get("/tasks")[0]
    assert task["Status"]["Timestamp"] < task["CreatedAt"] <= task["UpdatedAt"]


# Nodes


def test_a_node_is_drained_labelled_and_promoted(http: Http) -> None:
    """By whole specs, with the version that was read."""
    node = http.get("/nodes/node-2")
    assert node["Spec"] == {"Labels": {}, "Role": "worker", "Availability": "active"}
    spec = {"Labels": {"disk": "ssd"}, "Role": "manager", "Availability": "drain"}
    index = node["Version"]["Index"]
    assert http.post("/nodes/node-2/update", spec, version=index).status == 200
    found = http.get("/nodes/node-2")
    assert found["Spec"] == spec
    assert found["ManagerStatus"]["Reachability"] == "reachable"
    got = http.post("/nodes/node-2/update", spec, version=index)
    assert (got.status, "out of sequence" in got.message) == (500, True)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"Role": "worker", "Availability": "active"}, "attempting to demote the last manager"),
        ({"Role": "king", "Availability": "active"}, 'invalid Role: "king"'),
        ({"Role": "manager", "Availability": "busy"}, 'invalid Availability: "busy"'),
    ],
)
def test_node_updates_that_cannot_be_are_refused(
    http: Http, spec: dict[str, str], words: str
) -> None:
    """HTTP 400."""
    index = http.get("/nodes/node-1")["Version"]["Index"]
    got = http.post("/nodes/node-1/update", spec, version=index)
    assert got.status == 400
    assert words in got.message


def test_a_node_is_removed_once_it_is_down(served: SimSwarm, http: Http) -> None:
    """HTTP 400 before that, and for a manager at any time."""
    key = http.get("/nodes/node-3")["ID"]
    refused = http.delete("/nodes/node-3")
    assert (refused.status, refused.message) == (
        400,
        f"rpc error: code = FailedPrecondition desc = node {key} is not down and can't be removed",
    )
    manager = http.ask("DELETE", "/nodes/node-1", force="1")
    assert (manager.status, "must be demoted to worker before removal" in manager.message) == (
        400,
        True,
    )
    served.node("node-3").down()
    served.run(20)
    assert http.delete("/nodes/node-3").status == 200
    assert http.delete("/nodes/node-3").status == 404
    assert len(http.get("/nodes")) == 2


def test_a_door_that_is_no_manager_any_more_says_so() -> None:
    """HTTP 503, with the engine's words; what is no business of the swarm's is still answered."""
    with SimSwarm(nodes=3, managers=3, serve=True, speed=50) as sim:
        http = Http(sim)
        served = http.get("/nodes/node-1")
        spec = {**served["Spec"], "Role": "worker"}
        index = served["Version"]["Index"]
        assert http.post("/nodes/node-1/update", spec, version=index).status == 200
        sim.run(60)
        got = http.ask("GET", "/services")
        assert (got.status, got.message.partition(".")[0]) == (
            503,
            "This node is not a swarm manager",
        )
        assert http.ask("GET", "/version").status == 200


def test_nodes_are_filtered(served: SimSwarm, http: Http) -> None:
    """By role, name and label."""
    served.node("node-3").label(disk="ssd")

    def names(**filters: list[str]) -> list[str]:
        found = http.get("/nodes", filters={k.replace("_", "."): v for k, v in filters.items()})
        return [node["Description"]["Hostname"] for node in found]

    assert names(role=["manager"]) == ["node-1"]
    assert names(name=["node-2", "node-3"]) == ["node-2", "node-3"]
    assert names(node_label=["disk=ssd"]) == ["node-3"]


# Images and containers


def test_the_registry_knows_what_it_was_told_of(http: Http) -> None:
    """A digest to pin; of others nothing."""
    found = http.get("/distribution/app:1/json")
    assert found["Descriptor"]["digest"] == f"sha256:{'1' * 64}"
    assert found["Platforms"] == [{"architecture": "amd64", "os": "linux"}]
    assert http.ask("GET", "/distribution/team/unknown:1/json").status == 404


def test_a_container_of_this_node_gives_evidence(served: SimSwarm, http: Http) -> None:
    """Health and exit code; one of another node is not to be seen."""
    served.image("sick:1", healthcheck=True, unhealthy_after=0.5, healthy_after=None)
    create(
        http,
        Mode={"Global": {}},
        TaskTemplate={"ContainerSpec": {"Image": "sick:1"}, "RestartPolicy": {"Condition": "none"}},
    )
    served.run(10)
    nodes = {node["ID"]: node["Description"]["Hostname"] for node in http.get("/nodes")}
    for task in http.get("/tasks"):
        container = task["Status"]["ContainerStatus"]["ContainerID"]
        got = http.ask("GET", f"/containers/{container}/json")
        if nodes[task["NodeID"]] == "node-1":
            state = got.json["State"]
            assert (state["Status"], state["Health"]["Status"]) == ("exited", "unhealthy")
            assert state["Health"]["Log"][0]["Output"] == "unhealthy"
        else:
            assert got.status == 404
    assert http.get("/containers/json") == []
    (listed,) = http.get("/containers/json", all="true")
    assert listed["Labels"]["com.docker.swarm.service.name"] == "web"


# Logs


def frames(body: bytes) -> list[str]:
    lines = []
    while body:
        size = int.from_bytes(body[4:8], "big")
        lines.append(body[8 : 8 + size].decode().rstrip("\n"))
        body = body[8 + size :]
    return lines


def test_logs_come_in_frames(served: SimSwarm, http: Http) -> None:
    """Of a service, of a task and of a container."""
    create(http, Mode={"Replicated": {"Replicas": 1}})
    served.settle()
    got = http.ask("GET", "/services/web/logs", stdout="true")
    assert got.headers["Content-Type"] == "application/vnd.docker.multiplexed-stream"
    assert frames(got.body) == ["one", "two", "three"]
    (task,) = http.get("/tasks")
    last = http.ask("GET", f"/tasks/{task['ID']}/logs", stdout="1", stderr="1", tail="1")
    assert frames(last.body) == ["three"]
    detailed = http.ask("GET", "/services/web/logs", stdout="1", details="1", timestamps="1")
    assert f"com.docker.swarm.task.id={task['ID']} one" in frames(detailed.body)[0]
    assert http.ask("GET", "/services/web/logs", stderr="1").body == b""


def test_logs_of_a_terminal_come_without_frames(served: SimSwarm, http: Http) -> None:
    """As the terminal wrote them, line ends included."""
    container = {"Image": "app:1", "TTY": True}
    create(http, TaskTemplate={"ContainerSpec": container}, Mode={"Replicated": {"Replicas": 1}})
    served.settle()
    got = http.ask("GET", "/services/web/logs", stdout="1", tail="2")
    assert got.headers["Content-Type"] == "application/vnd.docker.raw-stream"
    assert got.body == b"two\r\nthree\r\n"


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({}, "you must choose at least one stream"),
        ({"stdout": "1", "tail": "many"}, "tail value must be a positive integer"),
        ({"stdout": "1", "tail": "-1"}, "negative tail values not supported"),
    ],
)
def test_logs_that_cannot_be_are_refused(http: Http, query: dict[str, Any], words: str) -> None:
    """HTTP 500, as the engine does it for services."""
    create(http)
    got = http.ask("GET", "/services/web/logs", **query)
    assert got.status == 500
    assert words in got.message


def test_logs_may_be_followed(served: SimSwarm, http: Http) -> None:
    """What is written later comes later."""
    create(http, Mode={"Replicated": {"Replicas": 1}})
    served.settle()
    connection = http.open()
    connection.request("GET", "/services/web/logs?stdout=1&follow=1")
    response = connection.getresponse()
    size = 8 * 3 + len("one\ntwo\nthree\n")
    assert frames(response.read(size)) == ["one", "two", "three"]
    served.kill_container("web", 1)
    assert frames(response.read(size)) == ["one", "two", "three"]
    response.close()
    connection.close()
