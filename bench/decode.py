"""
What a long task list costs: swarmroll's door beside docker-py's ``tasks()``.

    python -m bench.decode [--tasks 10000] [--rounds 5]

A server on a unix socket answers ``GET /tasks`` with tasks of the usual size (2.5 kB); every figure
comes from a process of its own. Ratios are what to compare: the milliseconds belong to one machine.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

WAYS = ("docker-py", "swarmroll")


def task(number: int) -> dict[str, object]:
    """One running task, as large as they usually are."""
    return {
        "ID": f"task{number:021d}",
        "Version": {"Index": 1000 + number},
        "CreatedAt": "2026-01-02T03:04:05.123456789Z",
        "UpdatedAt": "2026-01-02T03:04:06.123456789Z",
        "Labels": {},
        "Spec": {
            "ContainerSpec": {
                "Image": "registry.example/team/app:2@sha256:" + "0" * 64,
                "Env": [f"VARIABLE_NUMBER_{n}=the value of variable {n}" for n in range(15)],
                "Mounts": [
                    {"Type": "volume", "Source": f"data{n}", "Target": f"/data{n}"}
                    for n in range(4)
                ],
                "Healthcheck": {"Test": ["CMD", "/bin/check"], "Interval": 5_000_000_000},
                "Secrets": [{"SecretID": "s" * 25, "SecretName": "key", "File": {"Name": "key"}}],
                "Configs": [{"ConfigID": "c" * 25, "ConfigName": "app", "File": {"Name": "/app"}}],
            },
            "Resources": {"Limits": {"MemoryBytes": 268435456}, "Reservations": {}},
            "RestartPolicy": {"Condition": "any", "Delay": 5_000_000_000, "MaxAttempts": 0},
            "ForceUpdate": 0,
        },
        "ServiceID": "service" + "0" * 18,
        "Slot": number + 1,
        "NodeID": "node" + "0" * 21,
        "Status": {
            "Timestamp": "2026-01-02T03:04:06.023456789Z",
            "State": "running",
            "Message": "started",
            "ContainerStatus": {"ContainerID": f"{number:064x}", "PID": 4711, "ExitCode": 0},
            "PortStatus": {},
        },
        "DesiredState": "running",
        "NetworksAttachments": [
            {
                "Network": {
                    "ID": "network" + "0" * 18,
                    "Version": {"Index": 20},
                    "CreatedAt": "2026-01-02T03:00:00.123456789Z",
                    "Spec": {"Name": "back", "Labels": {"team": "web"}, "Scope": "swarm"},
                    "DriverState": {"Name": "overlay", "Options": {"vxlanid_list": "4097"}},
                    "IPAMOptions": {"Driver": {"Name": "default"}},
                },
                "Addresses": ["10.0.1.7/24"],
            }
        ],
    }


def serve(path: str, body: bytes) -> None:
    """Answer every request with the same tasks, as one chunk: so does the engine."""
    head = b"HTTP/1.1 200 OK\r\nApi-Version: 1.51\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer = head + b"%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=_answer, args=(connection, answer), daemon=True).start()


def _answer(connection: socket.socket, answer: bytes) -> None:
    with connection:
        while connection.recv(65536):
            connection.sendall(answer)


def asker(way: str, path: str) -> Callable[[], object]:
    """What a process measures; it imports nothing else."""
    if way == "docker-py":
        import docker  # noqa: PLC0415

        client = docker.APIClient(f"unix://{path}", version="1.51")
        return client.tasks
    from swarmroll.engine.connect import open_engine  # noqa: PLC0415

    engine = open_engine(f"unix://{path}")
    return partial(engine.tasks, "service")


def measure(ask: Callable[[], object], calls: int) -> dict[str, float]:
    """CPU seconds per call, and the peak of this process's memory in MiB."""
    spent = []
    for _ in range(calls):
        begun = time.process_time()
        found = ask()
        spent.append(time.process_time() - begun)
        del found
    return {"cpu": statistics.median(spent), "peak": peak()}


def peak() -> float:
    """Of this program, in MiB; ru_maxrss would count the process that started it too."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("no VmHWM in /proc/self/status: only Linux tells the peak of a program")


def looks(tasks: int, rounds: int, calls: int = 3) -> Iterator[dict[str, Any]]:
    """One process for each figure: the median of a few calls, and the peak of its memory."""
    body = json.dumps([task(n) for n in range(tasks)], separators=(",", ":")).encode()
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "engine.sock")
        threading.Thread(target=serve, args=(path, body), daemon=True).start()
        command = [sys.executable, "-m", "bench.decode", "--calls", str(calls)]
        for number in range(rounds):
            for way in random.sample(WAYS, len(WAYS)):
                load = os.getloadavg()[0]
                output = subprocess.check_output([*command, "--child", way, path])
                yield {
                    "kind": "look",
                    "cell": f"{tasks} tasks",
                    "peer": way,
                    "round": number,
                    "load": load,
                    **json.loads(output),
                }


def main() -> None:
    """Measure each way in turn, and print medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--calls", type=int, default=3, help="per process")
    parser.add_argument("--child", nargs=2, metavar=("WAY", "SOCKET"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        print(json.dumps(measure(asker(*args.child), args.calls)))
        return
    found = list(looks(args.tasks, args.rounds, args.calls))
    print(f"{args.tasks} tasks, medians of {args.rounds} rounds")
    medians = {
        way: {
            key: statistics.median(row[key] for row in found if row["peer"] == way)
            for key in ("cpu", "peak")
        }
        for way in WAYS
    }
    for way, figures in medians.items():
        print(
            f"{way:10} {figures['cpu'] * 1000:8.1f} ms CPU a call {figures['peak']:8.1f} MiB peak"
        )
    ours, theirs = medians["swarmroll"], medians["docker-py"]
    cpu, memory = (ours[key] / theirs[key] for key in ("cpu", "peak"))
    print(f"ratio      {cpu:8.3f} (goal 0.125)   {memory:8.3f} (goal 0.5)")


if __name__ == "__main__":
    main()
