"""The public names, gathered; ``swarmroll`` itself hands them out."""

from swarmroll.core.canary import Canary, Step
from swarmroll.core.events import Event
from swarmroll.core.findings import Finding, Severity
from swarmroll.core.gate import Answer, Budget, Gate, GateContext, Moment, NoData, Verdict
from swarmroll.core.image import ImageReference
from swarmroll.core.parts import (
    Config,
    Healthcheck,
    LogDriver,
    Mount,
    Network,
    Placement,
    Platform,
    Port,
    Resources,
    RestartPolicy,
    Secret,
    UpdateConfig,
)
from swarmroll.core.phases import Phase, Transition, Trigger
from swarmroll.core.plan import Plan
from swarmroll.core.report import Evidence, Outcome, Report
from swarmroll.core.snapshot import Node, Service, Task, TaskState
from swarmroll.core.spec import ServiceSpec
from swarmroll.core.strategy import PlanStep, Rolling, Strategy
from swarmroll.engine.connect import TLS
from swarmroll.errors import (
    Aborted,
    Conflict,
    Detached,
    EngineError,
    EngineUnavailable,
    JournalError,
    LeaseHeld,
    NoRollout,
    NotAManager,
    PlanError,
    PreflightError,
    RollbackFailed,
    RolledBack,
    RolloutFailed,
    RolloutPaused,
    ServiceGone,
    ServiceNotFound,
    SpecError,
    Superseded,
    SwarmrollError,
)
from swarmroll.gates.command import CommandGate
from swarmroll.gates.http import HttpGate
from swarmroll.gates.logs import LogGate
from swarmroll.gates.manual import ManualGate
from swarmroll.gates.prometheus import PrometheusGate
from swarmroll.gates.python import FunctionGate
from swarmroll.gates.tcp import TcpGate
from swarmroll.journal.file import FileJournal
from swarmroll.journal.memory import MemoryJournal
from swarmroll.journal.swarm import SwarmJournal
from swarmroll.observers.structlog import StructlogObserver
from swarmroll.rollout import Rollout
from swarmroll.swarm import Swarm, connect

__all__ = [
    "TLS",
    "Aborted",
    "Answer",
    "Budget",
    "Canary",
    "CommandGate",
    "Config",
    "Conflict",
    "Detached",
    "EngineError",
    "EngineUnavailable",
    "Event",
    "Evidence",
    "FileJournal",
    "Finding",
    "FunctionGate",
    "Gate",
    "GateContext",
    "Healthcheck",
    "HttpGate",
    "ImageReference",
    "JournalError",
    "LeaseHeld",
    "LogDriver",
    "LogGate",
    "ManualGate",
    "MemoryJournal",
    "Moment",
    "Mount",
    "Network",
    "NoData",
    "NoRollout",
    "Node",
    "NotAManager",
    "Outcome",
    "Phase",
    "Placement",
    "Plan",
    "PlanError",
    "PlanStep",
    "Platform",
    "Port",
    "PreflightError",
    "PrometheusGate",
    "Report",
    "Resources",
    "RestartPolicy",
    "RollbackFailed",
    "RolledBack",
    "Rolling",
    "Rollout",
    "RolloutFailed",
    "RolloutPaused",
    "Secret",
    "Service",
    "ServiceGone",
    "ServiceNotFound",
    "ServiceSpec",
    "Severity",
    "SpecError",
    "Step",
    "Strategy",
    "StructlogObserver",
    "Superseded",
    "Swarm",
    "SwarmJournal",
    "SwarmrollError",
    "Task",
    "TaskState",
    "TcpGate",
    "Transition",
    "Trigger",
    "UpdateConfig",
    "Verdict",
    "connect",
]
