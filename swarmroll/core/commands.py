"""What the core asks of the shell, and the decision that carries it."""

from __future__ import annotations

import attrs

from swarmroll.core.failure import Failure
from swarmroll.core.gate import GateContext
from swarmroll.core.snapshot import Depth, Task
from swarmroll.core.spec import ServiceSpec
from swarmroll.core.state import Purpose, State


@attrs.frozen(kw_only=True)
class Write:
    """Store this spec, with this version index and no other, once; then tell the state."""

    purpose: Purpose
    service_id: str
    spec: ServiceSpec
    version: int
    auth_for: str | None


@attrs.frozen(kw_only=True)
class SaveEvidence:
    """Save what can still be had of a failed task: its last log lines, its health output."""

    task: Task
    failure: Failure


@attrs.frozen(kw_only=True)
class Check:
    """Ask a gate, beside the watch; tell the state what it says."""

    gate: str
    context: GateContext


Command = Write | SaveEvidence | Check


@attrs.frozen(kw_only=True)
class Look:
    """
    Look again.

    Attributes:
        depth: How much to take in.
        within: Seconds from the last look; sooner when something may have changed. 0 means now:
            what was seen a moment ago need not be asked for again.
    """

    depth: Depth
    within: float


@attrs.frozen(kw_only=True)
class Decision:
    """
    What follows from a look.

    Attributes:
        state: The rollout from now on; to be recorded before any command is obeyed.
        commands: In order.
        look: None: decide again at once, by the same look. In a terminal phase, and in
            ``paused``, there is nothing more to do.
    """

    state: State
    commands: tuple[Command, ...] = ()
    look: Look | None = None
