"""Config objects, as the journal uses them: the same through both doors."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from swarmroll.engine.connect import open_engine
from swarmroll.engine.port import Engine, StoredConfig
from swarmroll.engine.trouble import Nonsense
from swarmroll.engine.wire import config as config_of
from swarmroll.errors import Conflict, EngineError, EngineUnavailable
from swarmroll.sim import SimSwarm


@pytest.fixture(params=["in process", "served"])
def sim(request: pytest.FixtureRequest) -> Iterator[SimSwarm]:
    if request.param == "served":
        with SimSwarm(serve=True, speed=100) as sim:
            yield sim
    else:
        with SimSwarm() as sim:
            yield sim


@pytest.fixture
def engine(sim: SimSwarm, request: pytest.FixtureRequest) -> Iterator[Engine]:
    if "served" not in request.node.name:
        yield sim.engine(patience=1)
        return
    engine = open_engine(sim.url, timeout=1)
    yield engine
    engine.close()


def made(engine: Engine, name: str = "record", **labels: str) -> StoredConfig:
    engine.create_config(name, b"\x00data\xff", labels)
    found = engine.config(name)
    assert found is not None
    return found


def test_what_was_made_is_read_back(engine: Engine) -> None:
    """By its name and by its id, data and labels whole."""
    found = made(engine, a="1", b="ü \u2028")
    assert ("record", b"\x00data\xff") == (found.name, found.data)
    assert {"a": "1", "b": "ü \u2028"} == found.labels
    assert found == engine.config(found.id)


def test_one_that_is_not_there_is_none(engine: Engine) -> None:
    """Which is no error."""
    assert engine.config("record") is None
    engine.remove_config("record")


def test_a_second_of_one_name_is_refused(engine: Engine) -> None:
    """So that making one is a test and set."""
    found = made(engine)
    with pytest.raises(Conflict):
        engine.create_config("record", b"other", {})
    assert found == engine.config("record")


def test_labels_are_written_over_what_was_read(engine: Engine) -> None:
    """Once, and not over something newer, or something gone."""
    found = made(engine, a="1")
    engine.label_config(found, {"a": "2"})
    with pytest.raises(Conflict):
        engine.label_config(found, {"a": "3"})
    newer = engine.config("record")
    assert newer is not None
    assert {"a": "2"} == newer.labels
    assert found.data == newer.data
    assert newer.version > found.version
    engine.remove_config(found.id)
    assert engine.config("record") is None
    with pytest.raises(Conflict):
        engine.label_config(newer, {"a": "4"})


def test_they_are_found_by_a_label(engine: Engine) -> None:
    """With exactly this value."""
    made(engine, "one", service="web")
    made(engine, "two", service="api")
    made(engine, "three", service="web", more="x")
    assert ["one", "three"] == sorted(found.name for found in engine.configs("service", "web"))
    assert () == engine.configs("service", "we")


def test_one_in_use_is_not_removed(sim: SimSwarm, engine: Engine) -> None:
    """The engine says by whom."""
    found = made(engine)
    reference = {
        "ConfigID": found.id,
        "ConfigName": "record",
        "File": {"Name": "/record", "UID": "0", "GID": "0", "Mode": 292},
    }
    container = {"Image": "app:1", "Configs": [reference]}
    sim.any_image()
    sim.create_service("web", spec={"Name": "web", "TaskTemplate": {"ContainerSpec": container}})
    with pytest.raises(EngineError, match="in use"):
        engine.remove_config("record")


@pytest.mark.parametrize("what", ["ConfigCreate", "ConfigUpdate", "ConfigDelete"])
def test_a_write_without_an_answer_may_have_been_done(
    sim: SimSwarm, engine: Engine, what: str
) -> None:
    """It is not sent again by the door: whoever asked looks."""
    found = made(engine)
    sim.fail_next(what, "reset-after-commit")
    with pytest.raises(EngineUnavailable):
        {
            "ConfigCreate": lambda: engine.create_config("other", b"data", {}),
            "ConfigUpdate": lambda: engine.label_config(found, {"a": "2"}),
            "ConfigDelete": lambda: engine.remove_config("record"),
        }[what]()
    held = {name: engine.config(name) for name in ("record", "other")}
    match what:
        case "ConfigCreate":
            assert held["other"] is not None
        case "ConfigUpdate":
            assert held["record"] is not None
            assert {"a": "2"} == held["record"].labels
        case _:
            assert held["record"] is None


@pytest.mark.parametrize("what", ["ConfigInspect", "ConfigList"])
def test_a_read_is_asked_again(sim: SimSwarm, engine: Engine, what: str) -> None:
    """As every other one."""
    found = made(engine, a="1")
    sim.fail_next(what, "503")
    if what == "ConfigInspect":
        assert found == engine.config("record")
    else:
        assert (found,) == engine.configs("a", "1")


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"{}",
        b'{"ID": "", "Version": {"Index": 1}, "Spec": {"Name": "a"}}',
        b'{"ID": "a", "Version": {"Index": 1}, "Spec": {"Name": "a", "Data": "?"}}',
    ],
)
def test_what_is_no_config_is_nonsense(body: bytes) -> None:
    """Whatever it is."""
    with pytest.raises(Nonsense):
        config_of(body)


def test_the_last_check_comes_before_a_write_is_sent(sim: SimSwarm, engine: Engine) -> None:
    """And can prevent it."""
    sim.any_image()
    sim.create_service("web", image="app:1")
    service = engine.service("web")

    class No(Exception):
        pass

    def refuse() -> None:
        raise No

    with pytest.raises(No):
        engine.update(service.id, service.version, service.spec, last_check=refuse)
    assert service.version == engine.service("web").version
    engine.update(service.id, service.version, service.spec, last_check=lambda: None)
    assert service.version < engine.service("web").version
