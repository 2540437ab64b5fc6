"""How long things take in the simulated swarm, in virtual seconds."""

from __future__ import annotations

import attrs


@attrs.frozen(kw_only=True)
class Timing:
    """
    Default delays, as they were seen on real engines on a quiet machine.

    Attributes:
        request: One API request.
        react: From a write of a service to the orchestrator's reaction.
        allocate: A new task waits for its networks (NEW to PENDING); the endpoint of a new
            service likewise.
        schedule: The scheduler gathers changes before it decides (scheduler.go, Run).
        dispatch: From the manager's decision to the agent that carries it out.
        accept: From ACCEPTED to PREPARING.
        prepare: Making networks, volumes and the container, pulling not included.
        stop_prepared: Giving up a task whose container was never started.
        stop_dispatch: From desired SHUTDOWN to the stop signal (agent/task.go, retry back-off).
        notice: From the end of a process to its agent's report; the fastest crash was RUNNING
            that long.
        gossip: The same, more, where the task has a network (executor/container/controller.go).
        reap: The task reaper gathers changes before it deletes (taskreaper/task_reaper.go).
        heartbeat: Dispatcher heartbeat; a node is lost after about three of them.
        register: Shortest and longest time until a node registers with a new leader.
        election: Shortest and longest time without a leader after a leader is lost.
        leader_timeout: How long a request waits for a leader before it fails with HTTP 500.
        old_task: How long a replacement waits for the old task (restart.go, DelayStart).
        orphan: How long a node is down before its tasks are given up.
    """

    request: float = 0.002
    react: float = 0.004
    allocate: float = 0.01
    schedule: float = 0.05
    dispatch: float = 0.02
    accept: float = 0.005
    prepare: float = 0.05
    stop_prepared: float = 0.1
    stop_dispatch: float = 1.2
    notice: float = 0.08
    gossip: float = 2.0
    reap: float = 0.25
    heartbeat: float = 5.0
    register: tuple[float, float] = (0.2, 5.0)
    election: tuple[float, float] = (10.0, 21.0)
    leader_timeout: float = 20.0
    old_task: float = 60.0
    orphan: float = 86_400.0
