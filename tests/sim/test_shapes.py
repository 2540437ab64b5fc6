"""What a client posts, and what the engine makes of it."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmroll.sim import SimSwarm
from swarmroll.sim.specs import normalise, with_defaults
from tests.sim.http import Http

MINIMAL = {"Name": "web", "TaskTemplate": {"ContainerSpec": {"Image": "app:1"}}}


def posted(**changes: Any) -> dict[str, Any]:
    return normalise({**MINIMAL, **changes})


def template(**changes: Any) -> dict[str, Any]:
    found: dict[str, Any] = posted(TaskTemplate={**MINIMAL["TaskTemplate"], **changes})[  # type: ignore[dict-item]
        "TaskTemplate"
    ]
    return found


def container(**changes: Any) -> dict[str, Any]:
    found: dict[str, Any] = template(ContainerSpec={"Image": "app:1", **changes})["ContainerSpec"]
    return found


def test_a_minimal_spec_gets_what_is_never_left_out() -> None:
    """As GET /services/{id} gives it back."""
    assert posted() == {
        "Name": "web",
        "Labels": {},
        "TaskTemplate": {
            "ContainerSpec": {"Image": "app:1", "Isolation": "default"},
            "ForceUpdate": 0,
            "Runtime": "container",
        },
        "Mode": {"Replicated": {"Replicas": 1}},
    }


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        (
            {},
            {
                "Parallelism": 0,
                "FailureAction": "pause",
                "MaxFailureRatio": 0,
                "Order": "stop-first",
            },
        ),
        (
            {"Parallelism": 2, "Delay": 0, "Monitor": 0, "Order": "start-first"},
            {
                "Parallelism": 2,
                "FailureAction": "pause",
                "MaxFailureRatio": 0,
                "Order": "start-first",
            },
        ),
        (
            {"Delay": 5, "Monitor": 6, "MaxFailureRatio": 0.25, "FailureAction": "rollback"},
            {
                "Parallelism": 0,
                "Delay": 5,
                "Monitor": 6,
                "FailureAction": "rollback",
                "MaxFailureRatio": 0.25,
                "Order": "stop-first",
            },
        ),
    ],
)
@pytest.mark.parametrize("key", ["UpdateConfig", "RollbackConfig"])
def test_an_update_config_is_completed(
    key: str, sent: dict[str, Any], stored: dict[str, Any]
) -> None:
    """A Delay or a Monitor of 0 cannot be stored, and is not there afterwards."""
    assert posted(**{key: sent})[key] == stored


def test_unset_and_zero_are_two_things_where_the_engine_has_a_pointer() -> None:
    """Restart delay, window, stop grace, init."""
    policy = template(RestartPolicy={"Delay": 0, "Window": 0})["RestartPolicy"]
    assert policy == {"Condition": "any", "Delay": 0, "MaxAttempts": 0, "Window": 0}
    assert template(RestartPolicy={})["RestartPolicy"] == {"Condition": "any", "MaxAttempts": 0}
    assert container(StopGracePeriod=0, Init=False, TTY=False, Env=[], Dir="") == {
        "Image": "app:1",
        "Isolation": "default",
        "StopGracePeriod": 0,
        "Init": False,
    }
    assert template(Placement={}, Resources={"Limits": {"NanoCPUs": 0}})["Resources"] == {
        "Limits": {}
    }
    assert template(Placement={})["Placement"] == {}


def test_keys_match_in_any_case_and_strange_ones_are_forgotten() -> None:
    """As Go's decoder does it."""
    assert container(tty=True, HOSTNAME="h", Colour="red") == {
        "Image": "app:1",
        "Isolation": "default",
        "TTY": True,
        "Hostname": "h",
    }


def test_ports_and_secrets_are_completed() -> None:
    """Protocol, mode, and what has no omitempty."""
    endpoint = posted(EndpointSpec={"Ports": [{"TargetPort": 80}]})["EndpointSpec"]
    assert endpoint == {
        "Mode": "vip",
        "Ports": [{"Protocol": "tcp", "TargetPort": 80, "PublishMode": "ingress"}],
    }
    found = container(Secrets=[{"SecretID": "x"}], Privileges={})
    assert found["Secrets"] == [{"File": None, "SecretID": "x", "SecretName": ""}]
    assert found["Privileges"] == {
        "CredentialSpec": None,
        "SELinuxContext": None,
        "NoNewPrivileges": False,
    }


def test_jobs_are_completed() -> None:
    """One at a time, and as many as at a time."""
    assert posted(Mode={"ReplicatedJob": {}})["Mode"] == {
        "ReplicatedJob": {"MaxConcurrent": 1, "TotalCompletions": 1}
    }
    assert posted(Mode={"ReplicatedJob": {"MaxConcurrent": 3}})["Mode"] == {
        "ReplicatedJob": {"MaxConcurrent": 3, "TotalCompletions": 3}
    }


def test_what_is_posted_is_not_changed() -> None:
    """Documents belong to whoever made them."""
    sent = {**MINIMAL, "UpdateConfig": {"Delay": 0}, "Mode": {"Replicated": {}}}
    before = copy.deepcopy(sent)
    normalise(sent)
    assert sent == before


numbers = st.integers(min_value=0, max_value=10**12)
configs = st.fixed_dictionaries(
    {},
    optional={
        "Parallelism": numbers,
        "Delay": numbers,
        "Monitor": numbers,
        "FailureAction": st.sampled_from(["", "pause", "continue", "rollback"]),
        "MaxFailureRatio": st.sampled_from([0, 0.0, 0.5, 1]),
        "Order": st.sampled_from(["", "stop-first", "start-first"]),
    },
)
containers = st.fixed_dictionaries(
    {"Image": st.just("app:1")},
    optional={
        "Env": st.lists(st.text(max_size=4), max_size=2),
        "Labels": st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=2),
        "Init": st.none() | st.booleans(),
        "TTY": st.booleans(),
        "StopGracePeriod": st.none() | numbers,
        "Healthcheck": st.none()
        | st.fixed_dictionaries({}, optional={"Test": st.just(["CMD", "x"]), "Interval": numbers}),
        "Mounts": st.lists(
            st.fixed_dictionaries(
                {"Type": st.just("volume")}, optional={"ReadOnly": st.booleans()}
            ),
            max_size=1,
        ),
        "Unknown": st.integers(),
    },
)
specs = st.fixed_dictionaries(
    {
        "Name": st.just("web"),
        "TaskTemplate": st.fixed_dictionaries(
            {"ContainerSpec": containers},
            optional={
                "RestartPolicy": st.none()
                | st.fixed_dictionaries({}, optional={"Delay": numbers, "MaxAttempts": numbers}),
                "Placement": st.none()
                | st.fixed_dictionaries({}, optional={"MaxReplicas": numbers}),
                "ForceUpdate": numbers,
            },
        ),
    },
    optional={"UpdateConfig": configs, "RollbackConfig": configs, "Labels": st.none()},
)


@given(specs)
def test_reading_and_posting_again_changes_nothing(spec: dict[str, Any]) -> None:
    """What the engine gives back, it takes as it is; with the defaults inserted likewise."""
    stored = normalise(spec)
    assert normalise(stored) == stored
    assert normalise(json.loads(json.dumps(stored))) == stored
    full = with_defaults(stored)
    assert normalise(full) == full
    assert with_defaults(full) == full


# By API version


EVERYTHING = {
    "Image": "app:1",
    "OomScoreAdj": 5,
    "Healthcheck": {"Test": ["CMD", "x"], "StartInterval": 7},
    "Privileges": {"NoNewPrivileges": True, "Seccomp": {"Mode": "unconfined"}},
    "Mounts": [
        {"Type": "tmpfs", "Target": "/t", "TmpfsOptions": {"SizeBytes": 1, "Options": [["exec"]]}}
    ],
}


@pytest.mark.parametrize(
    ("version", "gone"),
    [
        ("1.43", {"OomScoreAdj", "StartInterval", "Seccomp", "Options"}),
        ("1.44", {"OomScoreAdj", "Options"}),
        ("1.45", {"OomScoreAdj", "Options"}),
        ("1.46", set()),
        (None, set()),
    ],
)
def test_newer_fields_of_older_clients_are_dropped_in_silence(
    served: SimSwarm, version: str | None, gone: set[str]
) -> None:
    """On writes; a read shows every field, at whatever version."""
    http = Http(served, version)
    body = {"Name": "web", "TaskTemplate": {"ContainerSpec": EVERYTHING}}
    assert http.post("/services/create", body).status == 201
    stored = json.dumps(http.get("/services/web"))
    known = {"OomScoreAdj", "StartInterval", "Seccomp", "Options"}
    assert {key for key in known if f'"{key}"' in stored} == known - gone
    old = json.dumps(Http(served, "1.41").get("/services/web"))
    assert old == stored


def test_a_round_trip_of_an_older_client_rolls_every_task(served: SimSwarm) -> None:
    """The template has lost a field, and so it differs."""
    new, old = Http(served), Http(served, "1.43")
    new.post("/services/create", {"Name": "web", "TaskTemplate": {"ContainerSpec": EVERYTHING}})
    served.settle()
    (before,) = (task["ID"] for task in new.get("/tasks"))
    found = old.get("/services/web")
    old.post("/services/web/update", found["Spec"], version=found["Version"]["Index"])
    served.settle()
    running = [t["ID"] for t in new.get("/tasks") if t["Status"]["State"] == "running"]
    assert before not in running


# Against the Engine API's own description


DESCRIPTIONS = Path(__file__).parents[1] / "data/engine-api"
# What engines answer, though their description does not say so.
UNTOLD = {
    "Service": {"PreviousSpec"},
    "TaskSpec.ContainerSpec": {"Healthcheck"},
    "Task": {"NetworksAttachments"},
}


class Description:
    """The definitions of one API version."""

    def __init__(self, version: str) -> None:
        text = (DESCRIPTIONS / f"v{version}.json").read_text()
        self._definitions = json.loads(text)["definitions"]

    def strange(self, value: Any, name: str) -> list[str]:
        """Paths in a document that the description does not know, or that are of another type."""
        return list(self._strange(value, {"$ref": f"#/definitions/{name}"}, name))

    def _strange(self, value: Any, schema: dict[str, Any], path: str) -> list[str]:
        while "$ref" in schema:
            schema = self._definitions[schema["$ref"].rpartition("/")[2]]
        if value is None:
            return []
        if "allOf" in schema:
            merged: dict[str, Any] = {"type": "object", "properties": {}}
            for part in schema["allOf"]:
                known = (
                    self._definitions[part["$ref"].rpartition("/")[2]] if "$ref" in part else part
                )
                merged["properties"].update(known.get("properties", {}))
            schema = merged
        kind = schema.get("type", "object" if "properties" in schema else None)
        if kind is not None and not isinstance(value, KINDS[kind]):
            return [f"{path} is no {kind}"]
        if isinstance(value, list):
            return [s for one in value for s in self._strange(one, schema.get("items", {}), path)]
        if isinstance(value, dict) and "properties" in schema:
            return self._strange_keys(value, schema["properties"], path)
        return []

    def _strange_keys(self, value: dict[str, Any], known: dict[str, Any], path: str) -> list[str]:
        found = []
        for key, item in value.items():
            if key in known:
                found += self._strange(item, known[key], f"{path}.{key}")
            elif key not in UNTOLD.get(
                re.sub(r"^Service\.Spec\.TaskTemplate|^Task\.Spec", "TaskSpec", path), ()
            ):
                found.append(f"{path}.{key}")
        return found


KINDS: dict[str, Any] = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
}


@pytest.mark.parametrize("version", ["1.45", "1.51"])
def test_documents_are_what_the_engine_api_describes(served: SimSwarm, version: str) -> None:
    """No key that it does not know, and each of its type."""
    key = served.config("settings")
    served.secret("key")
    served.network("net")
    doc = {
        **EVERYTHING,
        "Configs": [{"ConfigID": key, "ConfigName": "settings", "File": {"Name": "/x"}}],
    }
    http = Http(served)
    body = {
        "Name": "web",
        "TaskTemplate": {
            "ContainerSpec": doc,
            "Networks": [{"Target": "net"}],
            "RestartPolicy": {},
            "Placement": {"Constraints": ["node.role == worker"]},
        },
        "UpdateConfig": {},
        "EndpointSpec": {"Ports": [{"TargetPort": 80, "PublishedPort": 8080}]},
    }
    assert http.post("/services/create", body).status == 201
    served.settle()
    served.update_service("web", image="app:2")
    served.settle()
    description = Description(version)
    newer = {"1.45": {"OomScoreAdj", "Options", "EnableIPv4"}, "1.51": set()}[version]
    answers = {
        "Service": http.get("/services", status="true"),
        "Task": http.get("/tasks"),
        "Node": http.get("/nodes"),
        "Config": http.get("/configs"),
        "Secret": http.get("/secrets"),
        "Network": http.get("/networks"),
        "Swarm": [http.get("/swarm")],
        "SystemVersion": [http.get("/version")],
        "DistributionInspect": [http.get("/distribution/app:1/json")],
    }
    with http.events(since="0") as events:
        answers["EventMessage"] = [events.next() for _ in range(5)]
    strange = {
        path
        for name, found in answers.items()
        for one in found
        for path in description.strange(one, name)
        if path.rpartition(".")[2] not in newer
    }
    assert strange == set()
