"""Configs, secrets and networks, as the engine keeps them."""

from __future__ import annotations

import base64

import pytest

from swarmroll.errors import Conflict, EngineError
from swarmroll.sim import SimSwarm
from tests.sim.http import Http

DATA = base64.b64encode(b"hello").decode()
BOTH = pytest.mark.parametrize("kind", ["config", "secret"])


@BOTH
def test_labels_may_change_and_nothing_else(http: Http, kind: str) -> None:
    """A compare-and-set on the version index; a stale one is HTTP 500."""
    body = {"Name": "one", "Labels": {"a": "1"}, "Data": DATA}
    got = http.post(f"/{kind}s/create", body)
    assert got.status == 201
    key = got.json["ID"]
    found = http.get(f"/{kind}s/{key}")
    index = found["Version"]["Index"]
    assert found["Spec"]["Labels"] == {"a": "1"}
    new = {**found["Spec"], "Labels": {"b": "2"}}
    assert http.post(f"/{kind}s/{key}/update", new, version=index).status == 200
    assert http.get(f"/{kind}s/one")["Spec"]["Labels"] == {"b": "2"}
    stale = http.post(f"/{kind}s/{key}/update", new, version=index)
    assert (stale.status, "update out of sequence" in stale.message) == (500, True)
    index = http.get(f"/{kind}s/{key}")["Version"]["Index"]
    other = {**new, "Data": base64.b64encode(b"other").decode()}
    refused = http.post(f"/{kind}s/{key}/update", other, version=index)
    assert (refused.status, "only updates to Labels are allowed" in refused.message) == (400, True)


def test_a_secret_is_never_shown(http: Http) -> None:
    """A config is."""
    for kind in ("config", "secret"):
        http.post(f"/{kind}s/create", {"Name": "one", "Data": DATA})
    assert http.get("/configs/one")["Spec"]["Data"] == DATA
    assert "Data" not in http.get("/secrets/one")["Spec"]
    assert "Data" not in http.get("/secrets")[0]["Spec"]


@BOTH
def test_names_are_unique(http: Http, kind: str) -> None:
    """HTTP 409: creating one is an atomic test-and-set."""
    body = {"Name": "one", "Data": DATA}
    assert http.post(f"/{kind}s/create", body).status == 201
    got = http.post(f"/{kind}s/create", body)
    words = f"rpc error: code = AlreadyExists desc = {kind} one already exists"
    assert (got.status, got.message) == (409, words)


@BOTH
@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("", DATA, "name must be provided"),
        ("-bad", DATA, "invalid name"),
        ("x" * 65, DATA, "invalid name"),
        ("one", "", "data must be larger than 0 and less than"),
        ("one", base64.b64encode(bytes(1_024_000)).decode(), "data must be larger than 0"),
        ("one", "?", "illegal base64 data"),
    ],
)
def test_what_cannot_be_kept_is_refused(
    http: Http, kind: str, name: str, data: str, words: str
) -> None:
    """HTTP 400."""
    got = http.post(f"/{kind}s/create", {"Name": name, "Data": data})
    assert got.status == 400
    assert words in got.message


@BOTH
def test_lists_are_filtered_by_prefix(http: Http, kind: str) -> None:
    """Two keys, for names that begin so, and for names that are so."""
    for name in ("one", "one-more", "two"):
        http.post(f"/{kind}s/create", {"Name": name, "Data": DATA, "Labels": {"n": name}})

    def names(**filters: list[str]) -> list[str]:
        return [found["Spec"]["Name"] for found in http.get(f"/{kind}s", filters=filters)]

    assert names(name=["one"]) == ["one", "one-more"]
    assert names(names=["one"]) == ["one"]
    assert names(label=["n=two"]) == ["two"]


@BOTH
def test_one_in_use_stays(served: SimSwarm, http: Http, kind: str) -> None:
    """HTTP 400, naming the service; the previous spec does not hold it."""
    key = served.config("one") if kind == "config" else served.secret("one")
    word = kind.capitalize()
    reference = {f"{word}ID": key, f"{word}Name": "one", "File": {"Name": "x"}}
    container = {"Image": "app:1", f"{word}s": [reference]}
    http.post("/services/create", {"Name": "web", "TaskTemplate": {"ContainerSpec": container}})
    got = http.delete(f"/{kind}s/one")
    assert got.status == 400
    assert f"{kind} 'one' is in use by the following service: web" in got.message
    found = http.get("/services/web")
    spec = {**found["Spec"], "TaskTemplate": {"ContainerSpec": {"Image": "app:1"}}}
    http.post("/services/web/update", spec, version=found["Version"]["Index"])
    assert http.delete(f"/{kind}s/one").status == 204
    assert http.ask("GET", f"/{kind}s/one").status == 404


def test_a_missing_secret_refuses_the_service(http: Http) -> None:
    """HTTP 400, by its name."""
    reference = {"SecretID": "nope", "SecretName": "key", "File": {"Name": "key"}}
    container = {"Image": "app:1", "Secrets": [reference]}
    body = {"Name": "web", "TaskTemplate": {"ContainerSpec": container}}
    got = http.post("/services/create", body)
    assert (got.status, "secret not found: key" in got.message) == (400, True)


def test_a_network_is_made_used_and_removed(served: SimSwarm, http: Http) -> None:
    """Specs name it as they like, and then have its id."""
    got = http.post("/networks/create", {"Name": "net", "Driver": "overlay", "Labels": {"a": "b"}})
    assert got.status == 201
    key = got.json["Id"]
    found = http.get("/networks/net")
    assert (found["Scope"], found["Driver"], found["Labels"]) == ("swarm", "overlay", {"a": "b"})
    template = {"ContainerSpec": {"Image": "app:1"}, "Networks": [{"Target": "net"}]}
    http.post("/services/create", {"Name": "web", "TaskTemplate": template})
    assert http.get("/services/web")["Spec"]["TaskTemplate"]["Networks"] == [{"Target": key}]
    served.settle()
    assert http.get("/tasks")[0]["NetworksAttachments"][0]["Network"]["ID"] == key
    got = http.delete("/networks/net")
    assert (got.status, "is in use by service" in got.message) == (400, True)
    http.delete("/services/web")
    assert http.delete("/networks/net").status == 204


def test_every_engine_has_some_networks(http: Http) -> None:
    """They can be listed and filtered, and not be removed."""
    names = {network["Name"] for network in http.get("/networks")}
    assert names == {"bridge", "host", "none", "ingress"}
    (found,) = http.get("/networks", filters={"scope": ["swarm"]})
    assert found["Ingress"] is True
    assert http.delete("/networks/bridge").status == 403


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"Name": "ingress"}, 409, "network with name ingress already exists"),
        ({"Driver": "overlay"}, 400, "name is empty"),
        ({"Name": 7}, 400, "cannot unmarshal number"),
    ],
)
def test_networks_that_cannot_be_are_refused(
    http: Http, body: dict[str, object], status: int, words: str
) -> None:
    """With the engine's status and words."""
    got = http.post("/networks/create", body)
    assert got.status == status
    assert words in got.message


def test_an_unknown_network_refuses_the_service(http: Http) -> None:
    """HTTP 404."""
    template = {"ContainerSpec": {"Image": "app:1"}, "Networks": [{"Target": "nope"}]}
    got = http.post("/services/create", {"Name": "web", "TaskTemplate": template})
    assert (got.status, got.message) == (404, "network nope not found")


def test_the_same_rules_hold_in_process(sim: SimSwarm) -> None:
    """Without a server."""
    key = sim.config("one", b"data", labels={"a": "b"})
    assert sim.objects.find("config", key[:6]).data == b"data"
    with pytest.raises(EngineError, match="already exists") as e:
        sim.config("one")
    assert e.value.status == 409
    with pytest.raises(Conflict):
        sim.objects.update("config", "one", 1, {"Name": "one", "Labels": {}})
    net = sim.network("net", Attachable=True)
    assert sim.objects.find_network("net").id == net
    sim.remove_config("one")
    sim.remove_network("net")
    with pytest.raises(EngineError, match="config one not found"):
        sim.remove_config("one")
