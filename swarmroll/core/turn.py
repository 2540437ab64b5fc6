"""One decision in the making: the state so far, and what is asked of the shell."""

from __future__ import annotations

from typing import Any

import attrs

from swarmroll.core.commands import Check, Command, Decision, Look, SaveEvidence, Write
from swarmroll.core.failure import Failure
from swarmroll.core.gate import GateContext
from swarmroll.core.phases import Trigger
from swarmroll.core.snapshot import Depth, Service, Snapshot, Task
from swarmroll.core.spec import ROLLOUT_LABEL, ServiceSpec
from swarmroll.core.state import Intent, Purpose, Sent, State

AFTER_WRITE = 0.1
"""
Seconds after a write until it is read back, unless the engine's event comes first; twice as long
each time that it has to be sent again.
"""


class Turn:
    """
    A scratch pad that lives for one call of ``decide``; nothing outside ever sees it.

    Attributes:
        state: The state so far.
        snapshot: The look that is judged.
        service: The service in it.
    """

    def __init__(self, state: State, snapshot: Snapshot, service: Service) -> None:
        self.state = state
        self.snapshot = snapshot
        self.service = service
        self._commands: list[Command] = []

    @property
    def now(self) -> float:
        """The driver's monotonic clock, seconds."""
        return self.snapshot.taken_at

    def set(self, **changes: Any) -> None:
        """Replace fields of the state."""
        self.state = attrs.evolve(self.state, **changes)

    def note(self, sentence: str) -> None:
        """Something else to tell."""
        self.set(notes=(*self.state.notes, sentence))

    def save(self, task: Task, failure: Failure) -> None:
        """Ask for the evidence of a failed task."""
        self._commands.append(SaveEvidence(task=task, failure=failure))

    def check(self, gate: str, context: GateContext) -> None:
        """Ask a gate."""
        self._commands.append(Check(gate=gate, context=context))

    def move(self, trigger: Trigger, reason: str, **changes: Any) -> Decision:
        """Go to another phase, and decide again there by the same look."""
        self.set(**changes)
        self.state = self.state.move(trigger, reason, self.snapshot)
        return self.again()

    def again(self) -> Decision:
        """Decide again by the same look."""
        return Decision(state=self.state, commands=tuple(self._commands))

    def look(self, depth: Depth, within: float = 0.0) -> Decision:
        """Look again, at the latest after so many seconds."""
        return Decision(
            state=self.state,
            commands=tuple(self._commands),
            look=Look(depth=depth, within=max(0.0, within)),
        )

    def write(self, purpose: Purpose, spec: ServiceSpec, **changes: Any) -> Decision:
        """Decide a write against the version just read, and read it back soon after."""
        number = self.state.writes + 1
        labelled = spec.with_label(ROLLOUT_LABEL, f"{self.state.plan.id}.{number}")
        status = self.service.update_status
        intent = Intent(
            purpose=purpose,
            spec=labelled,
            version=self.service.version,
            started_before=status.started_at if status else None,
        )
        self.set(
            intent=intent,
            writes=number,
            written_at=self.now,
            engine_done=False,
            engine_failed_at=None,
            **changes,
        )
        return self.send(intent)

    def send(self, intent: Intent) -> Decision:
        """Send a write, for the first time or again with the version that it carries."""
        self.set(intent=attrs.evolve(intent, sent=Sent.NOT_YET, tries=intent.tries + 1))
        self._commands.append(
            Write(
                purpose=intent.purpose,
                service_id=self.service.id,
                spec=intent.spec,
                version=intent.version,
                auth_for=self._auth_for(intent.spec),
            )
        )
        return self.look(Depth.SERVICE, AFTER_WRITE * 2**intent.tries)

    def _auth_for(self, spec: ServiceSpec) -> str | None:
        """Credentials of the registry of the image that is written, when going back too."""
        same = self.state.expected is not None and self.state.expected.image == spec.image
        return None if same else spec.image
