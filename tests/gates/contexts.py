"""What gates are told in these tests."""

from __future__ import annotations

from typing import Any

from swarmroll.core.gate import GateContext, Moment
from swarmroll.core.snapshot import Node, Task, TaskState


def context(**changes: Any) -> GateContext:
    """A rollout of web that holds after its first step."""
    given: dict[str, Any] = {
        "rollout_id": "r1",
        "service": "web",
        "service_id": "s1",
        "moment": Moment.BETWEEN,
        "phase": "holding",
        "step": 0,
        "steps": 2,
        "image": "team/web:2",
        "slots": 3,
    }
    return GateContext(**{**given, **changes})


def task(slot: int | None, state: TaskState = TaskState.RUNNING) -> Task:
    return Task(id=f"t{slot}", slot=slot, node_id=f"n{slot}", state=state)


NODES = {f"n{slot}": Node(id=f"n{slot}", hostname=f"worker-{slot}") for slot in range(1, 9)}
