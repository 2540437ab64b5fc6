"""Docker's JSON becomes values; anything else becomes Nonsense, whatever the bytes are."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarmroll.core.snapshot import Availability, NodeState, TaskState, UpdateState
from swarmroll.core.spec import ServiceSpec
from swarmroll.engine import wire
from swarmroll.engine.trouble import Nonsense

from . import documents


def encoded(document: object) -> bytes:
    return json.dumps(document).encode()


def one_task(**changes: Any) -> Any:
    (found,) = wire.tasks(encoded([documents.task(**changes)]), wire.Templates())
    return found


def one_node(**changes: Any) -> Any:
    (found,) = wire.nodes(encoded([documents.node(**changes)]))
    return found


# --- services ------------------------------------------------------------------------------------


def test_a_service_is_read_with_every_key_that_the_engine_sent() -> None:
    document = documents.service(Endpoint={"Spec": {}}, FromTheFuture=[1.5, None, 2**64])
    found = wire.service(encoded(document))
    assert (documents.SERVICE_ID, "web", 42) == (found.id, found.name, found.version)
    assert document == found.raw
    assert ServiceSpec.from_engine(document["Spec"]) == found.spec
    assert found.previous_spec is None
    assert UpdateState.COMPLETED is found.update_status.state  # type: ignore[union-attr]


def test_times_are_seconds_since_the_epoch() -> None:
    found = wire.service(encoded(documents.service()))
    assert 1767323045.123457 == found.created_at
    assert 1767323105.0 == found.updated_at


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00Z", None])
def test_go_s_zero_time_is_none(time: str | None) -> None:
    status = {"State": "updating", "StartedAt": "2026-01-02T03:05:00Z", "CompletedAt": time}
    found = wire.service(encoded(documents.service(UpdateStatus=status, CreatedAt=time)))
    assert (0.0, None) == (found.created_at, found.update_status.completed_at)  # type: ignore[union-attr]


@pytest.mark.parametrize("status", [None, {}, {"State": ""}, {"State": None}])
def test_no_update_status_is_none(status: object) -> None:
    assert wire.service(encoded(documents.service(UpdateStatus=status))).update_status is None


def test_an_update_state_of_the_future_is_unknown() -> None:
    found = wire.service(encoded(documents.service(UpdateStatus={"State": "hibernating"})))
    assert UpdateState.UNKNOWN is found.update_status.state  # type: ignore[union-attr]


def test_a_spec_is_written_as_it_was_read() -> None:
    found = wire.service(encoded(documents.service()))
    assert documents.service()["Spec"] == json.loads(wire.update_body(found.spec))


# --- tasks ---------------------------------------------------------------------------------------


def test_a_task_is_read() -> None:
    found = one_task()
    assert ("task1", 1, "node1", "container1") == (
        found.id,
        found.slot,
        found.node_id,
        found.container_id,
    )
    assert (TaskState.RUNNING, TaskState.RUNNING) == (found.state, found.desired)
    assert (1767323045.5, 1767323047.0) == (found.created_at, found.state_at)
    assert ("app:1", "started", "") == (found.image, found.message, found.error)


def test_a_task_s_template_equals_the_one_that_it_was_made_from() -> None:
    spec = wire.service(encoded(documents.service())).spec
    assert spec.template == one_task().template


def test_tasks_of_one_template_share_it_from_look_to_look() -> None:
    """Comparing 10,000 of them is then comparing one."""
    templates = wire.Templates()
    body = encoded([documents.task(n) for n in range(1, 5)])
    found = [*wire.tasks(body, templates), *wire.tasks(body, templates)]
    assert 1 == len({id(task.template) for task in found})


def test_templates_that_were_not_seen_lately_are_forgotten() -> None:
    templates = wire.Templates(size=2)
    first = templates.get(b'{"ForceUpdate":1}')
    assert first is templates.get(b'{"ForceUpdate":1}')
    templates.get(b'{"ForceUpdate":2}')
    templates.get(b'{"ForceUpdate":3}')
    assert first is not templates.get(b'{"ForceUpdate":1}')


@pytest.mark.parametrize("slot", [0, None])
def test_a_task_of_a_global_service_has_no_slot(slot: int | None) -> None:
    found = one_task(Slot=slot)
    assert (None, "node1") == (found.slot, found.slot_key)


@pytest.mark.parametrize(
    ("state", "container", "expected"),
    [
        ("running", {"ContainerID": "c", "ExitCode": 0}, None),
        ("failed", {"ContainerID": "c", "ExitCode": 3}, 3),
        ("complete", {"ContainerID": "c", "ExitCode": 0}, 0),
        ("rejected", {"ExitCode": 0}, None),
        ("rejected", None, None),
    ],
)
def test_only_a_container_that_has_ended_has_an_exit_code(
    state: str, container: object, expected: int | None
) -> None:
    status = {"State": state, "ContainerStatus": container}
    assert expected == one_task(Status=status).exit_code


@pytest.mark.parametrize("state", list(TaskState))
def test_every_state_of_a_task_is_known(state: TaskState) -> None:
    found = one_task(Status={"State": state.name.lower()}, DesiredState=state.name.lower())
    assert (state, state) == (found.state, found.desired)


@pytest.mark.parametrize("word", ["levitating", "", None])
def test_a_state_of_the_future_proves_nothing(word: str | None) -> None:
    """Neither success nor failure: the task is wanted and does not run."""
    found = one_task(Status={"State": word}, DesiredState=word or "")
    assert (True, False, False) == (found.runnable, found.running, found.state.terminal)


# --- nodes ---------------------------------------------------------------------------------------


def test_a_node_is_read() -> None:
    found = one_node()
    assert ("node1", "one", "manager", True) == (found.id, found.hostname, found.role, found.leader)
    assert ({"zone": "a"}, {"disk": "ssd"}) == (found.labels, found.engine_labels)
    assert ("linux", "x86_64", "10.0.0.1") == (found.os, found.arch, found.addr)
    assert ("28.5.2", 1767323045.0) == (found.engine_version, found.updated_at)


def test_a_node_without_anything_is_not_counted_on() -> None:
    found = one_node(Spec={}, Description=None, Status=None, ManagerStatus=None)
    assert (NodeState.UNKNOWN, Availability.PAUSE) == (found.state, found.availability)
    assert not found.schedulable


# --- events --------------------------------------------------------------------------------------


def event(**fields: Any) -> bytes:
    return encoded({"scope": "swarm", "time": 1, **fields})


def test_an_event_of_a_service_wakes_its_watches() -> None:
    line = event(
        Type="service", Action="update", Actor={"ID": "abc", "Attributes": {"name": "web"}}
    )
    assert wire.Hint(service_id="abc") == wire.hint(line)


def test_an_event_of_a_node_wakes_all() -> None:
    line = event(Type="node", Actor={"ID": "n", "Attributes": {"state.new": "down"}})
    assert wire.Hint() == wire.hint(b"\x1e" + line)


def test_a_new_leader_is_noticed() -> None:
    line = event(Type="node", Actor={"ID": "n", "Attributes": {"leader.new": "true"}})
    assert wire.hint(line).leader_changed


# --- whatever the bytes are ----------------------------------------------------------------------

DECODERS: list[tuple[Callable[[bytes], object], object]] = [
    (wire.service, documents.service(PreviousSpec=documents.service()["Spec"])),
    (lambda body: wire.tasks(body, wire.Templates()), [documents.task(1), documents.task(2)]),
    (wire.nodes, [documents.node()]),
    (wire.hint, {"Type": "service", "Actor": {"ID": "a", "Attributes": {"name": "web"}}}),
    (wire.resolved, {"Descriptor": {"digest": "sha256:a"}, "Platforms": [{"os": "linux"}]}),
    (wire.health_outputs, {"State": {"Health": {"Log": [{"Output": "ok"}]}}}),
    (wire.api_version, {"ApiVersion": "1.51"}),
    (wire.error_message, {"message": "no"}),
    (wire.warnings, {"Warnings": ["careful"]}),
    (wire.log_lines, "x"),
]

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(st.characters(), max_size=5),
    st.just({}),
    st.just([]),
    st.just([None]),
    st.just({"ID": 1}),
)


def places(document: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(document, dict):
        items = document.items()
    elif isinstance(document, list):
        items = enumerate(document)  # type: ignore[assignment]
    else:
        items = ()  # type: ignore[assignment]
    return [path, *(place for key, value in items for place in places(value, (*path, key)))]


def replaced(document: Any, path: tuple[Any, ...], value: object) -> Any:
    if not path:
        return value
    changed = copy.copy(document)
    changed[path[0]] = replaced(document[path[0]], path[1:], value)
    return changed


@settings(max_examples=2000, deadline=None)
@given(st.data())
def test_mutated_documents_are_values_or_nonsense(data: st.DataObject) -> None:
    """Wrong types, nulls, NaN, huge numbers, strange characters: nothing else ever gets out."""
    decode, document = data.draw(st.sampled_from(DECODERS))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.sampled_from(places(document)))
        document = replaced(document, place, data.draw(VALUES))
    check(decode, json.dumps(document).encode("utf-8", "surrogatepass"))


@settings(max_examples=2000, deadline=None)
@given(st.data())
def test_mutated_bytes_are_values_or_nonsense(data: st.DataObject) -> None:
    decode, document = data.draw(st.sampled_from(DECODERS))
    body = bytearray(encoded(document))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(body)))
        length = data.draw(st.sampled_from([0, 0, 1, 1, 5, 50]))
        body[at : at + length] = data.draw(
            st.binary(max_size=4) | st.sampled_from([b'"', b"{", b"\\ud800"])
        )
    check(decode, bytes(body))


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'{"Spec":{"a":', b'[{"Spec":['])
def test_nesting_is_nonsense_at_any_depth(opening: bytes) -> None:
    for decode, _ in DECODERS:
        check(decode, opening * 100_000)


def check(decode: Callable[[bytes], object], body: bytes) -> None:
    said = ""
    try:
        decode(body)
    except Nonsense as exc:
        said = str(exc)
    assert said.isprintable()
