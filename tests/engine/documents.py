"""Documents as an engine sends them."""

from __future__ import annotations

from typing import Any

SERVICE_ID = "jzl0yd55uyzp"
TEMPLATE = {"ContainerSpec": {"Image": "app:1", "Env": ["A=1"]}, "ForceUpdate": 0}


def service(**changes: Any) -> dict[str, Any]:
    """A service that has been updated once."""
    return {
        "ID": SERVICE_ID,
        "Version": {"Index": 42},
        "CreatedAt": "2026-01-02T03:04:05.123456789Z",
        "UpdatedAt": "2026-01-02T03:05:05Z",
        "Spec": {
            "Name": "web",
            "Labels": {},
            "TaskTemplate": TEMPLATE,
            "Mode": {"Replicated": {"Replicas": 3}},
        },
        "UpdateStatus": {
            "State": "completed",
            "StartedAt": "2026-01-02T03:05:00Z",
            "CompletedAt": "2026-01-02T03:05:05Z",
            "Message": "update completed",
        },
        **changes,
    }


def task(number: int = 1, **changes: Any) -> dict[str, Any]:
    """A running task."""
    return {
        "ID": f"task{number}",
        "Version": {"Index": 50 + number},
        "CreatedAt": "2026-01-02T03:04:05.5Z",
        "Spec": TEMPLATE,
        "ServiceID": SERVICE_ID,
        "Slot": number,
        "NodeID": "node1",
        "Status": {
            "Timestamp": "2026-01-02T03:04:07Z",
            "State": "running",
            "Message": "started",
            "ContainerStatus": {"ContainerID": f"container{number}", "PID": 1, "ExitCode": 0},
        },
        "DesiredState": "running",
        **changes,
    }


def node(**changes: Any) -> dict[str, Any]:
    """A manager that is ready."""
    return {
        "ID": "node1",
        "Version": {"Index": 9},
        "UpdatedAt": "2026-01-02T03:04:05Z",
        "Spec": {"Role": "manager", "Availability": "active", "Labels": {"zone": "a"}},
        "Description": {
            "Hostname": "one",
            "Platform": {"Architecture": "x86_64", "OS": "linux"},
            "Engine": {"EngineVersion": "28.5.2", "Labels": {"disk": "ssd"}},
        },
        "Status": {"State": "ready", "Addr": "10.0.0.1"},
        "ManagerStatus": {"Leader": True, "Reachability": "reachable", "Addr": "10.0.0.1:2377"},
        **changes,
    }
