"""What the Engine API answers about the objects of a simulated swarm, as documents."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import msgspec

from swarmroll.core.snapshot import NodeState, TaskState
from swarmroll.sim.images import Behaviour
from swarmroll.sim.nodes import SimNode
from swarmroll.sim.objects import network_ids
from swarmroll.sim.services import SimService
from swarmroll.sim.specs import StoredSpec, with_defaults
from swarmroll.sim.stamps import stamp
from swarmroll.sim.tasks import SimTask, container_labels, container_name
from swarmroll.sim.versions import OLDEST, Release

if TYPE_CHECKING:
    from swarmroll.sim.swarm import SimSwarm

_KERNEL = "6.1.0"
_CERTIFICATE = "-----BEGIN CERTIFICATE-----\nsimulated\n-----END CERTIFICATE-----\n"


def encoded(doc: object) -> bytes:
    """A document as JSON."""
    return msgspec.json.encode(doc)


def service_document(service: SimService, *, defaults: bool = False) -> dict[str, Any]:
    """A service; with defaults its spec is not what was stored."""
    doc = service.document()
    if defaults:
        doc = {**doc, "Spec": with_defaults(doc["Spec"])}
    return doc


def service_status(sim: SimSwarm, service: SimService) -> dict[str, int]:
    """
    What ``status=true`` adds (controlapi/service.go, ListServiceStatuses).

    Every running task counts, of the old spec and on its way out as well.
    """
    tasks = list(sim.store.tasks_of(service.id))
    spec = service.spec
    if spec.mode == "replicated":
        desired = spec.replicas
    elif spec.mode == "replicated-job":
        desired = spec.doc["Mode"]["ReplicatedJob"]["MaxConcurrent"]
    else:
        wanted = TaskState.COMPLETE if spec.job else TaskState.RUNNING
        desired = sum(1 for task in tasks if task.desired is wanted)
    complete = sum(1 for task in tasks if spec.job and task.state is TaskState.COMPLETE)
    return {
        "RunningTasks": sum(1 for task in tasks if task.state is TaskState.RUNNING),
        "DesiredTasks": desired,
        "CompletedTasks": complete,
    }


class Tasks:
    """
    Task documents as JSON, made anew only when the task has changed.

    A list of ten thousand is asked for again and again, and must not keep others from their turn.
    """

    def __init__(self, sim: SimSwarm) -> None:
        self._sim = sim
        self._made: dict[str, tuple[int, bytes]] = {}

    def one(self, task: SimTask) -> bytes:
        """A task as JSON; the caller has the swarm's lock."""
        known = self._made.get(task.id)
        if known is not None and known[0] == task.version:
            return known[1]
        made = msgspec.json.encode(task_document(self._sim, task))
        if len(self._made) > 2 * len(self._sim.store.tasks) + 1000:
            self._made.clear()
        self._made[task.id] = (task.version, made)
        return made

    def many(self, tasks: list[SimTask]) -> list[bytes]:
        """Each task as JSON; the caller has the swarm's lock."""
        return [self.one(task) for task in tasks]


def task_document(sim: SimSwarm, task: SimTask) -> dict[str, Any]:
    """A task, with its template as ready JSON."""
    spec = task.spec
    if spec.encoded is None:
        spec.encoded = msgspec.json.encode(spec.template)
    status: dict[str, Any] = {
        "Timestamp": stamp(task.state_at + task.skew),
        "State": task.state.name.lower(),
        "Message": task.message,
    }
    if task.error:
        status["Err"] = task.error
    if task.container_id:
        status["ContainerStatus"] = {
            "ContainerID": task.container_id,
            "PID": 0 if task.ended else process(task),
            "ExitCode": task.exit_code or 0,
        }
    status["PortStatus"] = {}
    doc: dict[str, Any] = {
        "ID": task.id,
        "Version": {"Index": task.version},
        "CreatedAt": stamp(task.created_at),
        "UpdatedAt": stamp(task.updated_at),
        "Labels": {},
        "Spec": msgspec.Raw(spec.encoded),
        "ServiceID": task.service_id,
    }
    if task.slot:
        doc["Slot"] = task.slot
    if task.node is not None:
        doc["NodeID"] = task.node.id
    doc["Status"] = status
    doc["DesiredState"] = task.desired.name.lower()
    if spec.networked:
        doc["NetworksAttachments"] = _attachments(sim, spec, task)
    if spec.job:
        doc["JobIteration"] = {"Index": task.iteration} if task.iteration else {}
    return doc


def _attachments(sim: SimSwarm, spec: StoredSpec, task: SimTask) -> list[dict[str, Any]]:
    found = []
    for key in sorted(network_ids(spec)):
        network = sim.store.networks.get(key)
        name = "" if network is None else network.name
        found.append(
            {
                "Network": {"ID": key, "Spec": {"Name": name, "Labels": {}, "Scope": "swarm"}},
                "Addresses": [f"10.{10 + int(task.id[-2:], 16) % 100}.0.{task.slot or 1}/24"],
            }
        )
    return found


def process(task: SimTask) -> int:
    """A process id that the container might have."""
    return 1000 + int(task.container_id[:4], 16)


def node_document(node: SimNode) -> dict[str, Any]:
    """A node."""
    status: dict[str, Any] = {"State": node.state.value}
    if node.message and node.state is not NodeState.READY:
        status["Message"] = node.message
    status["Addr"] = node.addr
    doc: dict[str, Any] = {
        "ID": node.id,
        "Version": {"Index": node.version},
        "CreatedAt": stamp(node.created_at),
        "UpdatedAt": stamp(node.updated_at),
        "Spec": {
            "Labels": dict(node.labels),
            "Role": node.role,
            "Availability": node.availability.value,
        },
        "Description": {
            "Hostname": node.hostname,
            "Platform": {"Architecture": node.arch, "OS": node.os},
            "Resources": {"NanoCPUs": node.cpus, "MemoryBytes": node.memory},
            "Engine": {
                "EngineVersion": node.engine_version,
                **({"Labels": dict(node.engine_labels)} if node.engine_labels else {}),
                "Plugins": [
                    {"Type": "Log", "Name": "json-file"},
                    {"Type": "Network", "Name": "bridge"},
                    {"Type": "Network", "Name": "overlay"},
                    {"Type": "Volume", "Name": "local"},
                ],
            },
            "TLSInfo": {
                "TrustRoot": _CERTIFICATE,
                "CertIssuerSubject": "c2ltdWxhdGVk",
                "CertIssuerPublicKey": "c2ltdWxhdGVk",
            },
        },
        "Status": status,
    }
    if node.role == "manager":
        manager: dict[str, Any] = {"Reachability": node.reachability, "Addr": f"{node.addr}:2377"}
        doc["ManagerStatus"] = {"Leader": True, **manager} if node.leader else manager
    return doc


# The engine and its swarm


def cluster_document(sim: SimSwarm) -> dict[str, Any]:
    """The swarm itself, as ``GET /info`` has it."""
    made = stamp(sim.clock.epoch)
    return {
        "ID": _named("swarm", 25),
        "Version": {"Index": 10},
        "CreatedAt": made,
        "UpdatedAt": made,
        "Spec": {
            "Name": "default",
            "Labels": {},
            "Orchestration": {"TaskHistoryRetentionLimit": sim.history},
            "Raft": {
                "SnapshotInterval": 10000,
                "KeepOldSnapshots": 0,
                "LogEntriesForSlowFollowers": 500,
                "ElectionTick": 10,
                "HeartbeatTick": 1,
            },
            "Dispatcher": {"HeartbeatPeriod": round(sim.timing.heartbeat * 1_000_000_000)},
            "CAConfig": {"NodeCertExpiry": 7776000000000000},
            "TaskDefaults": {},
            "EncryptionConfig": {"AutoLockManagers": False},
        },
        "TLSInfo": {
            "TrustRoot": _CERTIFICATE,
            "CertIssuerSubject": "c2ltdWxhdGVk",
            "CertIssuerPublicKey": "c2ltdWxhdGVk",
        },
        "RootRotationInProgress": False,
        "DefaultAddrPool": ["10.0.0.0/8"],
        "SubnetSize": 24,
        "DataPathPort": 4789,
    }


def swarm_document(sim: SimSwarm) -> dict[str, Any]:
    """The swarm, as ``GET /swarm`` gives it."""
    return {
        **cluster_document(sim),
        "JoinTokens": {"Worker": "SWMTKN-1-simulated-worker", "Manager": "SWMTKN-1-simulated"},
    }


def version_document(release: Release) -> dict[str, Any]:
    """The engine's version."""
    details = {
        "ApiVersion": release.api,
        "Arch": "amd64",
        "BuildTime": "2026-01-01T00:00:00.000000000+00:00",
        "Experimental": "false",
        "GitCommit": "simulated",
        "GoVersion": "go1.24",
        "KernelVersion": _KERNEL,
        "MinAPIVersion": OLDEST,
        "Os": "linux",
    }
    return {
        "Platform": {"Name": "swarmroll, simulated"},
        "Components": [{"Name": "Engine", "Version": release.engine, "Details": details}],
        "Version": release.engine,
        "ApiVersion": release.api,
        "MinAPIVersion": OLDEST,
        "GitCommit": "simulated",
        "GoVersion": "go1.24",
        "Os": "linux",
        "Arch": "amd64",
        "KernelVersion": _KERNEL,
        "BuildTime": "2026-01-01T00:00:00.000000000+00:00",
    }


def info_document(sim: SimSwarm, here: SimNode) -> dict[str, Any]:
    """What ``docker info`` shows."""
    nodes = list(sim.store.nodes.values())
    managers = [node for node in nodes if node.role == "manager"]
    mine = [task for task in sim.store.tasks.values() if task.node is here and task.container_id]
    running = sum(1 for task in mine if not task.ended)
    return {
        "ID": _named("engine", 36),
        "Containers": len(mine),
        "ContainersRunning": running,
        "ContainersPaused": 0,
        "ContainersStopped": len(mine) - running,
        "Images": 0,
        "Driver": "overlay2",
        "DriverStatus": [],
        "Plugins": {
            "Volume": ["local"],
            "Network": ["bridge", "host", "null", "overlay"],
            "Authorization": None,
            "Log": ["json-file"],
        },
        "MemoryLimit": True,
        "SwapLimit": True,
        "CpuCfsPeriod": True,
        "CpuCfsQuota": True,
        "CPUShares": True,
        "CPUSet": True,
        "PidsLimit": True,
        "IPv4Forwarding": True,
        "Debug": False,
        "NFd": 1,
        "OomKillDisable": False,
        "NGoroutines": 1,
        "SystemTime": stamp(sim.clock.wall),
        "LoggingDriver": "json-file",
        "CgroupDriver": "systemd",
        "CgroupVersion": "2",
        "NEventsListener": len(sim.store.events.listeners),
        "KernelVersion": _KERNEL,
        "OperatingSystem": "swarmroll, simulated",
        "OSVersion": "",
        "OSType": here.os,
        "Architecture": here.arch,
        "IndexServerAddress": "",
        "RegistryConfig": None,
        "NCPU": here.cpus // 1_000_000_000,
        "MemTotal": here.memory,
        "GenericResources": None,
        "DockerRootDir": "/var/lib/docker",
        "HttpProxy": "",
        "HttpsProxy": "",
        "NoProxy": "",
        "Name": here.hostname,
        "Labels": [],
        "ExperimentalBuild": False,
        "ServerVersion": sim.release.engine,
        "Runtimes": {"runc": {"path": "runc"}},
        "DefaultRuntime": "runc",
        "Swarm": {
            "NodeID": here.id,
            "NodeAddr": here.addr,
            "LocalNodeState": "active",
            "ControlAvailable": here.role == "manager",
            "Error": "",
            "RemoteManagers": [
                {"NodeID": node.id, "Addr": f"{node.addr}:2377"} for node in managers
            ],
            "Nodes": len(nodes),
            "Managers": len(managers),
            "Cluster": cluster_document(sim),
        },
        "LiveRestoreEnabled": False,
        "Isolation": "",
        "InitBinary": "docker-init",
        "SecurityOptions": [],
        "Warnings": None,
    }


# Containers


def container_document(sim: SimSwarm, task: SimTask) -> dict[str, Any]:
    """The container of a task, with as much as evidence needs."""
    node = task.node
    assert node is not None
    spec = task.spec.template.get("ContainerSpec") or {}
    behaviour = sim.images.behaviour(task.spec.image, node.hostname, task.slot)
    up = not task.ended
    state: dict[str, Any] = {
        "Status": "running" if up else "exited",
        "Running": up,
        "Paused": False,
        "Restarting": False,
        "OOMKilled": False,
        "Dead": False,
        "Pid": process(task) if up else 0,
        "ExitCode": task.exit_code or 0,
        "Error": "",
        "StartedAt": stamp(task.state_at),
        "FinishedAt": "0001-01-01T00:00:00Z" if up else stamp(task.state_at),
    }
    checked = task.spec.healthcheck
    if behaviour.healthcheck if checked is None else checked:
        state["Health"] = _health(task, behaviour)
    return {
        "Id": task.container_id,
        "Created": stamp(task.created_at),
        "Path": "",
        "Args": spec.get("Args") or [],
        "State": state,
        "Image": "sha256:" + hashlib.sha256(task.spec.image.encode()).hexdigest(),
        "Name": f"/{container_name(task)}",
        "RestartCount": 0,
        "Platform": "linux",
        "HostConfig": {"NetworkMode": "default"},
        "Config": {
            "Hostname": task.container_id[:12],
            "Env": spec.get("Env") or [],
            "Image": task.spec.image,
            "Labels": container_labels(task),
            "Tty": bool(spec.get("TTY")),
        },
        "NetworkSettings": {"Networks": {}},
        "Mounts": [],
    }


def container_summary(task: SimTask) -> dict[str, Any]:
    """A container as ``docker ps`` lists it."""
    code = task.exit_code or 0
    return {
        "Id": task.container_id,
        "Names": [f"/{container_name(task)}"],
        "Image": task.spec.image,
        "ImageID": "sha256:" + hashlib.sha256(task.spec.image.encode()).hexdigest(),
        "Command": "",
        "Created": int(task.created_at),
        "Ports": [],
        "Labels": container_labels(task),
        "State": "exited" if task.ended else "running",
        "Status": f"Exited ({code})" if task.ended else "Up",
        "HostConfig": {"NetworkMode": "default"},
        "NetworkSettings": {"Networks": {}},
        "Mounts": [],
    }


def _health(task: SimTask, behaviour: Behaviour) -> dict[str, Any]:
    if "unhealthy" in task.error or (task.stopping and behaviour.unhealthy_after is not None):
        status = "unhealthy"
    elif task.state is TaskState.RUNNING:
        status = "healthy"
    else:
        status = "unhealthy" if task.ended else "starting"
    good = status == "healthy"
    if status == "starting" and behaviour.unhealthy_after is None:
        return {"Status": status, "FailingStreak": 0, "Log": []}
    entry = {
        "Start": stamp(task.state_at),
        "End": stamp(task.state_at),
        "ExitCode": 0 if good else 1,
        "Output": "healthy" if good else "unhealthy",
    }
    return {"Status": status, "FailingStreak": 0 if good else 3, "Log": [entry]}


def _named(name: str, length: int) -> str:
    """An id that is always the same."""
    return hashlib.sha256(name.encode()).hexdigest()[:length]
