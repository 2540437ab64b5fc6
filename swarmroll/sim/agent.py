"""
The agents: what happens to a task on its node.

After swarmkit agent/exec/controller.go (Do), agent/task.go and moby
daemon/cluster/executor/container/controller.go.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from swarmroll.core.snapshot import TaskState
from swarmroll.sim.clock import Scope
from swarmroll.sim.events import Event
from swarmroll.sim.images import Behaviour, Images
from swarmroll.sim.nodes import SimNode
from swarmroll.sim.store import Store
from swarmroll.sim.tasks import SimTask, container_labels, container_name
from swarmroll.sim.timing import Timing

KILLED = 137
"""Exit code of a process that was killed."""


class Report(NamedTuple):
    """What an agent tells its manager of a task."""

    task: SimTask
    state: TaskState
    message: str
    error: str
    exit_code: int | None
    at: float


class Agents:
    """The agents of all nodes."""

    def __init__(self, store: Store, images: Images, timing: Timing) -> None:
        self._store = store
        self._images = images
        self._timing = timing
        self._later = store.clock.later
        store.desired_changed = self.dispatch

    def dispatch(self, task: SimTask) -> None:
        """The managers want something else of a task; its agent hears it in a moment."""
        if task.node is not None and task.node.reachable:
            self._later(self._timing.dispatch, self._heard, task)

    # The node

    def lose_power(self, node: SimNode) -> None:
        """Everything on the node ends; nobody reports it."""
        node.powered = False
        node.session = False
        for task in node.tasks.values():
            if task.container is not None:
                task.container.end()
        node.unsent.clear()

    def regain_power(self, node: SimNode) -> None:
        """The engine is back; the containers that it had are found dead."""
        node.powered = True
        for task in tuple(node.tasks.values()):
            if not TaskState.ACCEPTED <= task.local <= TaskState.RUNNING:
                continue
            if task.desired > TaskState.RUNNING or task.stopping:
                self._end(task, TaskState.SHUTDOWN, "shutdown", code=KILLED)
            else:
                code = KILLED
                self._end(
                    task, TaskState.FAILED, "started", f"task: non-zero exit ({code})", code=code
                )

    def speak(self, node: SimNode) -> None:
        """The node is registered again: it says what it has to say, and hears what is wanted."""
        unsent, node.unsent = node.unsent, []
        for report in unsent:
            self._deliver(report)
        for task in tuple(node.tasks.values()):
            if task.local <= TaskState.RUNNING:
                self.dispatch(task)

    # The task

    def _heard(self, task: SimTask) -> None:
        node = task.node
        if node is None or not node.reachable:
            return
        if not task.in_store and task.told <= TaskState.RUNNING:
            task.told = TaskState.REMOVE
        elif task.in_store:
            if task.desired is not task.told:
                task.told = task.desired
                self._say_again(task)
        elif task.local > TaskState.RUNNING and task.container_id:
            # Its container was kept as long as the swarm remembered the task.
            self._tell(task, "destroy")
        if task.ended and task.local <= TaskState.RUNNING:
            # The managers have given it up; the container goes as well.
            task.told = max(task.told, TaskState.SHUTDOWN)
        if task.told >= TaskState.SHUTDOWN:
            self._stop(task)
        elif task.local < TaskState.ACCEPTED and task.state is TaskState.ASSIGNED:
            self._accept(task)
        elif task.local is TaskState.READY and task.told >= TaskState.RUNNING:
            self._start(task)

    def _say_again(self, task: SimTask) -> None:
        """
        An agent that hears something new of a task says once more how it is.

        Seen on real engines: the time of a RUNNING becomes that at which the task was told to stop;
        that of a state in which it has ended stays, but counts as heard just now.
        """
        task.applied_at = self._store.clock.wall
        if task.state is TaskState.RUNNING is task.local:
            task.state_at = task.applied_at
            self._store.task_written(task, "RUNNING still")

    def _accept(self, task: SimTask) -> None:
        task.container = Scope(self._store.clock)
        self._report(task, TaskState.ACCEPTED, "accepted")
        task.container.later(self._timing.accept, self._prepare, task)

    def _prepare(self, task: SimTask) -> None:
        behaviour = self._behaviour(task)
        assert task.container is not None
        self._report(task, TaskState.PREPARING, "preparing")
        task.container.later(
            self._timing.prepare + behaviour.pulls_in, self._prepared, task, behaviour
        )

    def _prepared(self, task: SimTask, behaviour: Behaviour) -> None:
        if behaviour.missing:
            self._end(task, TaskState.REJECTED, "preparing", f"No such image: {task.spec.image}")
            return
        self._tell(task, "create")
        self._report(task, TaskState.READY, "prepared")
        if task.told >= TaskState.RUNNING:
            self._start(task)

    def _missing_reference(self, task: SimTask) -> str | None:
        container = task.spec.template.get("ContainerSpec") or {}
        for kind, held in (("Secret", self._store.secrets), ("Config", self._store.configs)):
            for reference in container.get(f"{kind}s") or ():
                if reference.get(f"{kind}ID") not in held:
                    word = kind.lower()
                    return (
                        f"starting container failed: unable to get {word} from {word} store: "
                        f"{word} {reference.get(f'{kind}ID')} not found"
                    )
        return None

    def _start(self, task: SimTask) -> None:
        behaviour = self._behaviour(task)
        assert task.container is not None
        task.container_id = _container_id(task)
        # Left to chance once; still drawn, so that each seed keeps the history that it had.
        self._store.rng.getrandbits(256)
        self._report(task, TaskState.STARTING, "starting")
        task.container.later(behaviour.starts_in, self._up, task, behaviour)

    def _up(self, task: SimTask, behaviour: Behaviour) -> None:
        """The process is up; with a health check the task stays in STARTING until healthy."""
        container = task.container
        assert container is not None
        error = behaviour.start_error or self._missing_reference(task)
        if error is not None:
            self._end(task, TaskState.FAILED, "starting", error, code=127)
            return
        self._tell(task, "start")
        checked = task.spec.healthcheck
        if checked is None:
            checked = behaviour.healthcheck
        if not checked:
            self._report(task, TaskState.RUNNING, "started")
        else:
            good, bad = behaviour.healthy_after, behaviour.unhealthy_after
            if good is not None and (bad is None or good <= bad):
                container.later(good, self._healthy, task)
            if bad is not None:
                container.later(bad, self.unhealthy, task, behaviour)
        if behaviour.crashes_after is not None:
            wait = behaviour.crashes_after + self._timing.notice
            task.exits_at = self._store.clock.now + behaviour.crashes_after
            container.later(wait, self.exited, task, behaviour.exit_code)

    def _healthy(self, task: SimTask) -> None:
        self._tell(task, "health_status: healthy")
        self._report(task, TaskState.RUNNING, "started")

    def report_running(self, task: SimTask) -> None:
        """Say RUNNING of a container that runs, healthy or not."""
        self._report(task, TaskState.RUNNING, "started")

    def unhealthy(self, task: SimTask, behaviour: Behaviour | None = None) -> None:
        """
        The engine found the container unhealthy: its agent stops it.

        A process that then exits with 0 makes the task COMPLETE, not FAILED, by way of a
        momentary RUNNING if it was never healthy (controller.go, Start and Wait).
        """
        if task.stopping or task.local > TaskState.RUNNING or task.container is None:
            return
        if behaviour is None:
            behaviour = self._behaviour(task)
        task.container.end()
        task.container = Scope(self._store.clock)
        self._tell(task, "health_status: unhealthy")
        self._tell(task, "kill", signal="15")
        wait = min(behaviour.stops_in, task.spec.grace)
        code = behaviour.stop_exit_code if behaviour.stops_in <= task.spec.grace else KILLED
        task.container.later(wait, self.exited, task, code, ": dockerexec: unhealthy container")

    def exited(self, task: SimTask, code: int, why: str = "") -> None:
        """The process of a task ended by itself."""
        if task.local > TaskState.RUNNING or task.container is None:
            return
        if code == 0:
            if task.local is TaskState.STARTING:
                self._report(task, TaskState.RUNNING, "started")
            self._end(task, TaskState.COMPLETE, "finished", code=0)
            return
        message = "starting" if task.local is TaskState.STARTING else "started"
        self._end(task, TaskState.FAILED, message, f"task: non-zero exit ({code}){why}", code=code)

    def _stop(self, task: SimTask) -> None:
        """
        Stop a task because the managers want it gone.

        A running container gets its signal only after the agent's back-off, and, on a network,
        after 2 s more in which its address leaves the load balancer.
        """
        if task.stopping or task.local > TaskState.RUNNING:
            return
        if task.exits_at is not None and task.exits_at <= self._store.clock.now:
            # It has ended by itself, which its agent is about to notice.
            return
        task.stopping = True
        if task.container is not None:
            task.container.end()
        task.container = Scope(self._store.clock)
        if task.local < TaskState.STARTING:
            task.container.later(self._timing.stop_prepared, self._stopped, task, None)
            return
        behaviour = self._behaviour(task)
        wait = self._timing.stop_dispatch
        if task.spec.networked:
            wait += self._timing.gossip
        if task.exits_at is not None and task.exits_at <= self._store.clock.now + wait:
            # It ends by itself while its agent has not come to stop it: the code is its own.
            task.container.later(wait, self._stopped, task, behaviour.exit_code)
            return
        if self._told(task):
            task.container.later(wait, self._signalled, task)
        within = behaviour.stops_in <= task.spec.grace
        wait += min(behaviour.stops_in, task.spec.grace)
        code = behaviour.stop_exit_code if within else KILLED
        task.container.later(wait, self._stopped, task, code)

    def _signalled(self, task: SimTask) -> None:
        self._tell(task, "kill", signal="15")

    def _stopped(self, task: SimTask, code: int | None) -> None:
        self._end(task, TaskState.SHUTDOWN, "shutdown", code=code)

    def _end(
        self,
        task: SimTask,
        state: TaskState,
        message: str,
        error: str = "",
        *,
        code: int | None = None,
    ) -> None:
        if task.container is not None:
            task.container.end()
        if code is not None and task.container_id:
            self._tell(task, "die", exitCode=str(code))
            if task.stopping:
                self._tell(task, "stop")
        self._report(task, state, message, error, code)
        if not task.in_store:
            self._tell(task, "destroy")

    # Telling

    def _told(self, task: SimTask) -> bool:
        here = self._store.events.here
        return here is not None and task.node is here and here.powered

    def _tell(self, task: SimTask, action: str, **attributes: str) -> None:
        """An event of the task's container, where its node is the one that is listened to."""
        if not self._told(task):
            return
        assert task.node is not None
        about = {
            **container_labels(task),
            "image": task.spec.image,
            "name": container_name(task),
            **attributes,
        }
        at = self._store.clock.wall + task.node.skew
        self._store.events.publish(Event(at, "container", action, _container_id(task), about))

    def _report(
        self,
        task: SimTask,
        state: TaskState,
        message: str,
        error: str = "",
        code: int | None = None,
    ) -> None:
        task.local = state
        report = Report(task, state, message, error, code, self._store.clock.wall)
        assert task.node is not None
        if task.node.reachable:
            self._deliver(report)
        else:
            task.node.unsent.append(report)

    def _deliver(self, report: Report) -> None:
        task = report.task
        if report.state <= task.state or not task.in_store:
            return
        task.state = report.state
        task.message = report.message
        task.error = report.error
        task.exit_code = report.exit_code
        task.state_at = report.at
        task.applied_at = self._store.clock.wall
        task.skew = 0.0 if task.node is None else task.node.skew
        what = f"{report.state.name} {report.error}" if report.error else report.state.name
        self._store.task_written(task, what)

    def _behaviour(self, task: SimTask) -> Behaviour:
        assert task.node is not None
        return self._images.behaviour(task.spec.image, task.node.hostname, task.slot)


def _container_id(task: SimTask) -> str:
    return hashlib.sha256(task.id.encode()).hexdigest()
