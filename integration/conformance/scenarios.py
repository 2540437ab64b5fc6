"""The scenarios, as data. The order is that in which they are played and told."""

from __future__ import annotations

from integration.conformance.words import (
    SECOND,
    CutOff,
    CutPower,
    Kill,
    Node,
    NodeState,
    Passed,
    Repair,
    RollBack,
    Scenario,
    Settled,
    Status,
    Step,
    Tasks,
    Update,
    at_first,
    pace,
    restart,
    service,
    together,
)

_FORCE = {"TaskTemplate": {"ForceUpdate": 1}}
_LABEL = {"Labels": {"team": "web"}}
_NONE = restart("none")
_NOWHERE = {"TaskTemplate": {"Placement": {"Constraints": ["node.labels.rack == nowhere"]}}}
_HOST_PORT = {
    "Mode": "vip",
    "Ports": [
        {"Protocol": "tcp", "TargetPort": 8080, "PublishedPort": 8099, "PublishMode": "host"}
    ],
}

#: Slot 1 of the new release crashes at once; the others take their time to become healthy.
UNEVEN = {
    "Env": ["SLOT={{.Task.Slot}}"],
    "Command": [
        "sh",
        "-c",
        """
        [ "$VERSION$SLOT" = 21 ] && exit 3
        [ "$VERSION" = 2 ] && export START_DELAY=4
        exec serve
        """,
    ],
    "Healthcheck": {
        "Test": ["CMD", "healthy"],
        "Interval": SECOND // 2,
        "Retries": 2,
        "StartPeriod": 60 * SECOND,
    },
}

# Why facts may vary

_PLACES_VARY = {"per node": "the scheduler tosses between nodes that are equally good"}
#: swarmkit's updater listens to failures and to free workers at once, and takes either first; its
#: restart policy hears of the same failure, and may act before or after the updater.
_EITHER_FIRST = {
    **_PLACES_VARY,
    "slots": "a failure and a free worker come together: one slot more may be replaced; and a "
    "failed task may be restarted just before, or after, the updater acts on it",
    "serving": "for the same reason",
    "in flight": "for the same reason",
    "order": "for the same reason",
}

#: Engine 28 makes the first check of a container with a start period after 5 s (its default start
#: interval), and not after the interval.
_LATE_CHECKS = {"28": "its health checks begin after 5 s"}

_QUICK = {
    "in flight": "two tasks that start at once may be so quick that they are not seen together"
}

_GOOD = (
    Scenario(
        name="good-release",
        tells="a good release replaces one task after the other, each old one first",
        steps=(at_first(Update(image="web:2")),),
        ends=Status("completed"),
        fast=True,
    ),
    Scenario(
        name="start-first",
        tells="with start-first the new task runs before the old one stops",
        spec=service(update=pace(order="start-first")),
        steps=(at_first(Update(image="web:2")),),
        ends=Status("completed"),
        fast=True,
        varies=_PLACES_VARY,
    ),
    Scenario(
        name="two-at-a-time",
        tells="parallelism 2 replaces two of four at the same time",
        spec=service(replicas=4, update=pace(parallelism=2)),
        steps=(at_first(Update(image="web:2")),),
        ends=Status("completed"),
    ),
    Scenario(
        name="all-at-once",
        tells="parallelism 0 replaces all at the same time",
        spec=service(update=pace(parallelism=0)),
        steps=(at_first(Update(image="web:2")),),
        ends=Status("completed"),
        fast=True,
    ),
    Scenario(
        name="delay",
        tells="the delay lies between two tasks, and after the last one; then it is watched longer",
        spec=service(replicas=2, update=pace(delay=2, monitor=1)),
        steps=(at_first(Update(image="web:2")),),
        ends=Status("completed"),
    ),
    Scenario(
        name="long-monitor",
        tells="a good release is completed when the monitor of the last task is over",
        spec=service(replicas=2, update=pace(parallelism=2, monitor=4)),
        steps=(at_first(Update(image="web:2")),),
        ends=Status("completed"),
    ),
    Scenario(
        name="forced",
        tells="a forced update replaces everything by the same",
        spec=service(update=pace(parallelism=0)),
        steps=(at_first(Update(spec=_FORCE)),),
        ends=Status("completed"),
    ),
    Scenario(
        name="stubborn",
        tells="a container that ignores the signal is killed at the end of its grace",
        spec=service("web:stubborn", replicas=2),
        steps=(at_first(Update(image="web:2")),),
        ends=Status("completed"),
    ),
    Scenario(
        name="slow-to-leave",
        tells="with start-first the next slot does not wait for the old task to end",
        spec=service(
            "web:drain", update=pace(order="start-first"), container={"StopGracePeriod": 10**10}
        ),
        steps=(at_first(Update(image="web:2")),),
        ends=Status("completed"),
        varies=_PLACES_VARY,
    ),
    Scenario(
        name="on-a-network",
        tells="a task on a network takes two seconds more to stop",
        spec=service(replicas=2, networks=("conformance",)),
        networks=("conformance",),
        steps=(at_first(Update(image="web:2")),),
        ends=Status("completed"),
    ),
)

_WHAT_RESTARTS = (
    Scenario(
        name="label",
        tells="a label restarts nothing, and leaves no update status",
        steps=(at_first(Update(spec=_LABEL)),),
        ends=Passed(2),
        fast=True,
    ),
    Scenario(
        name="update-config",
        tells="another update config restarts nothing, and leaves no update status",
        steps=(at_first(Update(spec={"UpdateConfig": pace(parallelism=2)})),),
        ends=Passed(2),
    ),
    Scenario(
        name="same-again",
        tells="the same spec again restarts nothing, but the previous spec is lost",
        spec=service(replicas=2, update=pace(parallelism=0)),
        steps=(
            at_first(Update(image="web:2")),
            Step(together(Status("completed"), Settled()), Update()),
        ),
        ends=Passed(2),
    ),
    Scenario(
        name="restart-policy",
        tells="another restart policy restarts everything",
        spec=service(update=pace(parallelism=0)),
        steps=(at_first(Update(spec={"TaskTemplate": {"RestartPolicy": restart(delay=61)}})),),
        ends=Status("completed"),
    ),
    Scenario(
        name="endpoint",
        tells="another endpoint mode restarts everything",
        spec=service(update=pace(parallelism=0), endpoint={"Mode": "vip"}),
        steps=(at_first(Update(spec={"EndpointSpec": {"Mode": "dnsrr"}})),),
        ends=Status("completed"),
    ),
    Scenario(
        name="constraint-met",
        tells="a constraint that every node meets restarts nothing",
        steps=(
            at_first(
                Update(spec={"TaskTemplate": {"Placement": {"Constraints": ["node.role != none"]}}})
            ),
        ),
        ends=Passed(2),
    ),
    Scenario(
        name="constraint-broken",
        tells="a constraint moves the tasks whose node does not meet it, and no others",
        steps=(
            at_first(
                Update(
                    spec={"TaskTemplate": {"Placement": {"Constraints": ["node.role == worker"]}}}
                )
            ),
        ),
        ends=Status("completed"),
    ),
    Scenario(
        name="placement-and-endpoint",
        tells="a met constraint and another endpoint mode together restart nothing",
        spec=service(endpoint={"Mode": "vip"}),
        steps=(
            at_first(
                Update(
                    spec={
                        "TaskTemplate": {"Placement": {"Constraints": ["node.role != none"]}},
                        "EndpointSpec": {"Mode": "dnsrr"},
                    }
                )
            ),
        ),
        ends=Passed(2),
    ),
)

_BAD = (
    Scenario(
        name="crash-pauses",
        tells="a release that crashes at once pauses after its first task",
        steps=(at_first(Update(image="web:crash")),),
        ends=Status("paused"),
        fast=True,
        varies=_PLACES_VARY,
    ),
    Scenario(
        name="crash-rolls-back",
        tells="a release that crashes at once is rolled back",
        spec=service(update=pace(on_failure="rollback")),
        steps=(at_first(Update(image="web:crash")),),
        ends=Status("rollback_completed"),
        fast=True,
        varies=_EITHER_FIRST,
    ),
    Scenario(
        name="crash-goes-on",
        tells="with failure action continue a crashing release replaces everything, and completes",
        spec=service(update=pace(on_failure="continue")),
        steps=(at_first(Update(image="web:crash")),),
        ends=Status("completed"),
        varies=_PLACES_VARY,
    ),
    Scenario(
        name="crash-start-first",
        tells="with start-first one instant of running costs the old task its life",
        spec=service(update=pace(on_failure="rollback", order="start-first")),
        steps=(at_first(Update(image="web:crash")),),
        ends=Status("rollback_completed"),
        varies=_EITHER_FIRST,
    ),
    Scenario(
        name="late-crash",
        tells="a crash within the monitor rolls back what was replaced meanwhile",
        spec=service(update=pace(parallelism=2, monitor=6, on_failure="rollback")),
        steps=(at_first(Update(image="web:crash-late")),),
        ends=Status("rollback_completed"),
        varies=_EITHER_FIRST,
    ),
    Scenario(
        name="too-late-crash",
        tells="a crash after the monitor is nobody's business: the update is completed",
        spec=service(update=pace(parallelism=0, on_failure="rollback")),
        steps=(at_first(Update(image="web:crash-late")),),
        ends=Tasks("web:crash-late", "failed", 3),
        varies=_PLACES_VARY,
    ),
    Scenario(
        name="ratio-quarter",
        tells="of four tasks, a ratio of 0.25 lets one fail and pauses at the second",
        spec=service(replicas=4, update=pace(ratio=0.25, monitor=3, delay=1)),
        steps=(at_first(Update(image="web:crash")),),
        ends=Status("paused"),
        varies=_PLACES_VARY,
    ),
    Scenario(
        name="ratio-half",
        tells="of two tasks, a ratio of 0.5 lets one fail and rolls back at the second",
        spec=service(replicas=2, update=pace(ratio=0.5, delay=1, monitor=3, on_failure="rollback")),
        steps=(at_first(Update(image="web:crash")),),
        ends=Status("rollback_completed"),
        varies=_PLACES_VARY,
    ),
    Scenario(
        name="ratio-all",
        tells="with a ratio of 1 nothing is ever too much",
        spec=service(replicas=2, update=pace(ratio=1, on_failure="rollback")),
        steps=(at_first(Update(image="web:crash")),),
        ends=Status("completed"),
        varies=_PLACES_VARY,
    ),
    Scenario(
        name="missing-image",
        tells="an image that nobody has is rejected, and pauses the update",
        steps=(at_first(Update(image="missing:1")),),
        ends=Status("paused"),
        varies=_PLACES_VARY,
    ),
    Scenario(
        name="missing-image-start-first",
        tells="with start-first a missing image costs no task",
        spec=service(update=pace(order="start-first", on_failure="rollback")),
        steps=(at_first(Update(image="missing:1")),),
        ends=Status("rollback_completed"),
        fast=True,
        varies=_EITHER_FIRST,
    ),
    Scenario(
        name="missing-image-goes-on",
        tells="start-first and continue with a missing image completes, and takes every old task",
        spec=service(replicas=2, update=pace(order="start-first", on_failure="continue")),
        steps=(at_first(Update(image="missing:1")),),
        ends=together(Status("completed"), Passed(6)),
        varies=_PLACES_VARY,
    ),
    Scenario(
        name="nowhere-to-run",
        tells="a task that fits no node is no failure: the update goes on for ever",
        steps=(at_first(Update(spec=_NOWHERE)),),
        ends=together(Passed(6), Tasks("web:1", "pending")),
        unsettled=True,
        fast=True,
    ),
    Scenario(
        name="masked-failure",
        tells="a crash is overlooked while another task takes longer than the monitor to start",
        spec=service(
            replicas=2, container=UNEVEN, update=pace(parallelism=0, on_failure="rollback")
        ),
        steps=(at_first(Update(image="web:2")),),
        told=(
            ("web:1", (), {"healthcheck": True, "healthy_after": 0.6}),
            ("web:2", (), {"healthcheck": True, "healthy_after": 4.6}),
            ("web:2", (1,), {"crashes_after": 0.05, "exit_code": 3}),
        ),
        ends=Status("completed"),
    ),
    Scenario(
        name="no-restart",
        tells="with restart none a crash leaves its slot empty",
        spec=service(policy=_NONE),
        steps=(at_first(Update(image="web:crash")),),
        ends=Status("paused"),
        varies=_EITHER_FIRST,
    ),
    Scenario(
        name="attempts-used-up",
        tells="after its two attempts a crashing task is left alone",
        spec=service("web:crash", replicas=2, policy=restart(delay=1, attempts=2)),
        begins=Passed(0),
        ends=Passed(12),
    ),
    Scenario(
        name="crash-loop",
        tells="a crashing task is restarted after its delay, again and again",
        spec=service("web:crash", replicas=1, policy=restart(delay=3)),
        begins=Tasks("web:crash", "failed", 3),
        ends=Tasks("web:crash", "ready"),
        unsettled=True,
    ),
)

_HEALTH = (
    Scenario(
        name="healthy",
        tells="a task with a health check runs when it is healthy",
        spec=service("checked:1", update=pace(order="start-first")),
        steps=(at_first(Update(image="checked:2")),),
        ends=Status("completed"),
        fast=True,
        varies=_PLACES_VARY,
        differs=_LATE_CHECKS,
    ),
    Scenario(
        name="slow-to-be-healthy",
        tells="the next slot waits until the task before is healthy",
        spec=service("checked:1", replicas=2),
        steps=(at_first(Update(image="checked:slow")),),
        ends=Status("completed"),
    ),
    Scenario(
        name="never-healthy",
        tells="a release that never gets healthy is stopped, ends with exit code 0, and is undone",
        spec=service("checked:1", replicas=2, update=pace(on_failure="rollback")),
        steps=(at_first(Update(image="checked:sick")),),
        ends=Status("rollback_completed"),
        varies=_EITHER_FIRST,
    ),
    Scenario(
        name="never-healthy-dies",
        tells="the same with a process that dies of the signal is a failed task",
        spec=service("checked:1", replicas=2),
        steps=(at_first(Update(image="checked:sick-dies")),),
        ends=Status("paused"),
        varies=_EITHER_FIRST,
    ),
    Scenario(
        name="never-healthy-on-failure",
        tells="a sick task that exits with 0 is not restarted by on-failure",
        spec=service("checked:1", replicas=2, policy=restart("on-failure", delay=1)),
        steps=(at_first(Update(image="checked:sick")),),
        ends=together(Status("paused"), Passed(12)),
        varies=_EITHER_FIRST,
    ),
    Scenario(
        name="sick-later",
        tells="a task that gets sick within the monitor rolls the release back",
        spec=service("checked:1", replicas=2, update=pace(monitor=8, on_failure="rollback")),
        steps=(at_first(Update(image="checked:sick-late")),),
        ends=Status("rollback_completed"),
        varies=_EITHER_FIRST,
        differs=_LATE_CHECKS,
    ),
)

_ROLLBACK = (
    Scenario(
        name="rolled-back-by-hand",
        tells="rollback=previous puts the previous spec back, and swaps the two",
        spec=service(replicas=2, update=pace(parallelism=0)),
        steps=(at_first(Update(image="web:2")), Step(Status("completed"), RollBack())),
        ends=Status("rollback_completed"),
        fast=True,
    ),
    Scenario(
        name="rolled-back-twice",
        tells="a second rollback by hand goes forward again",
        spec=service(replicas=2, update=pace(parallelism=0), rollback=pace(parallelism=0)),
        steps=(
            at_first(Update(image="web:2")),
            Step(Status("completed"), RollBack()),
            Step(Status("rollback_completed"), RollBack()),
        ),
        ends=together(Status("rollback_completed"), Passed(2), Tasks("web:2", count=2)),
    ),
    Scenario(
        name="rolled-back-in-the-middle",
        tells="a rollback in the middle of an update replaces only what was replaced",
        spec=service(replicas=4, update=pace(delay=2)),
        steps=(at_first(Update(image="web:2")), Step(Tasks("web:2", count=2), RollBack())),
        ends=Status("rollback_completed"),
    ),
    Scenario(
        name="nothing-to-go-back-to",
        tells="after a rollback of its own the engine has no previous spec, and refuses",
        spec=service(replicas=2, update=pace(on_failure="rollback")),
        steps=(
            at_first(Update(image="missing:1")),
            Step(together(Status("rollback_completed"), Settled()), RollBack()),
        ),
        ends=Passed(1),
        varies=_EITHER_FIRST,
    ),
    Scenario(
        name="rollback-start-first",
        tells="the way back has an order of its own",
        spec=service(
            replicas=2,
            update=pace(parallelism=0),
            rollback=pace(order="start-first"),
        ),
        steps=(at_first(Update(image="web:2")), Step(Status("completed"), RollBack())),
        ends=Status("rollback_completed"),
        varies=_PLACES_VARY,
    ),
    Scenario(
        name="rollback-fails",
        tells="a rollback to a bad release is paused",
        spec=service("missing:1", replicas=2, policy=_NONE),
        begins=Tasks("missing:1", "rejected", 2),
        steps=(
            at_first(Update(image="web:2", spec={"UpdateConfig": pace(parallelism=0)})),
            Step(together(Status("completed"), Settled()), RollBack()),
        ),
        ends=Status("rollback_paused"),
        varies=_QUICK,
    ),
    Scenario(
        name="rollback-fails-in-its-rollback",
        tells="where the way back is to be rolled back, it says completed in the end",
        spec=service("missing:1", replicas=2, policy=_NONE, rollback=pace(on_failure="rollback")),
        begins=Tasks("missing:1", "rejected", 2),
        steps=(
            at_first(
                Update(
                    image="web:2",
                    spec={"UpdateConfig": pace(parallelism=0), "RollbackConfig": pace()},
                )
            ),
            Step(together(Status("completed"), Settled()), RollBack()),
        ),
        ends=Passed(9),
        unsettled=True,
        varies=_QUICK,
        differs={"28": "it stayed at completed; whether another pass follows is a race"},
    ),
    Scenario(
        name="rollback-goes-on",
        tells="where the way back goes on whatever happens, it is completed",
        spec=service("missing:1", replicas=2, policy=_NONE, rollback=pace(on_failure="continue")),
        begins=Tasks("missing:1", "rejected", 2),
        steps=(
            at_first(Update(image="web:2", spec={"UpdateConfig": pace(parallelism=0)})),
            Step(together(Status("completed"), Settled()), RollBack()),
        ),
        ends=Passed(9),
        unsettled=True,
        varies=_QUICK,
    ),
    Scenario(
        name="rollback-stalls",
        tells="under stop-first a rollback waits a minute for a task that fits no node",
        spec=service(replicas=2),
        steps=(
            at_first(Update(spec=_NOWHERE)),
            Step(together(Passed(4), Tasks("web:1", "pending")), RollBack()),
        ),
        ends=Status("rollback_completed"),
        unsettled=True,
    ),
    Scenario(
        name="rollback-does-not-stall",
        tells="under start-first nobody waits for a task that fits no node",
        spec=service(
            replicas=2, update=pace(order="start-first"), rollback=pace(order="start-first")
        ),
        steps=(
            at_first(Update(spec=_NOWHERE)),
            Step(together(Passed(2), Tasks("web:1", "pending")), RollBack()),
        ),
        ends=Status("rollback_completed"),
        unsettled=True,
    ),
    Scenario(
        name="rollback-abandoned",
        tells="a label in the middle of a rollback makes a plain update of it",
        spec=service(replicas=3, update=pace(parallelism=0), rollback=pace(delay=2)),
        steps=(
            at_first(Update(image="web:2")),
            Step(Status("completed"), RollBack()),
            Step(Tasks("web:1", count=1), Update(spec=_LABEL)),
        ),
        ends=together(Status("completed"), Passed(1)),
    ),
)

_SECOND = (
    Scenario(
        name="second-release",
        tells="another release in the middle replaces everything once more",
        spec=service(update=pace(delay=2)),
        steps=(
            at_first(Update(image="web:2")),
            Step(Tasks("web:2", count=1), Update(image="web:3", spec={"UpdateConfig": pace()})),
        ),
        ends=Status("completed"),
        fast=True,
    ),
    Scenario(
        name="second-release-start-first",
        tells="the same with start-first",
        spec=service(update=pace(delay=2, order="start-first")),
        steps=(
            at_first(Update(image="web:2")),
            Step(
                Tasks("web:2", count=1),
                Update(image="web:3", spec={"UpdateConfig": pace(order="start-first")}),
            ),
        ),
        ends=Status("completed"),
        varies=_PLACES_VARY,
    ),
    Scenario(
        name="second-release-unhealthy-yet",
        tells="another release takes the old task away from a start-first slot that is not ready",
        spec=service("checked:1", replicas=2, update=pace(order="start-first")),
        steps=(
            at_first(Update(image="checked:slow")),
            Step(
                Tasks("checked:slow", "starting"),
                Update(spec={"UpdateConfig": pace(order="start-first", monitor=2)}),
            ),
        ),
        ends=Status("completed"),
        varies={
            **_PLACES_VARY,
            "order": "if the other slot comes first, this one is healthy before it is its turn",
            "serving": "for the same reason",
            "in flight": "for the same reason",
        },
    ),
    Scenario(
        name="promoted",
        tells="a shorter delay in the middle goes on with what is left, and the original is lost",
        spec=service(update=pace(delay=60)),
        steps=(
            at_first(Update(image="web:2")),
            Step(
                together(Tasks("web:2"), Settled(), Passed(3)),
                Update(spec={"UpdateConfig": pace()}),
            ),
        ),
        ends=Status("completed"),
        fast=True,
    ),
    Scenario(
        name="same-in-the-middle",
        tells="the same spec again in the middle: the update goes on, and nobody says completed",
        spec=service(update=pace(delay=1)),
        steps=(at_first(Update(image="web:2")), Step(Tasks("web:2", count=1), Update())),
        ends=together(Tasks("web:2", count=3), Passed(8)),
    ),
    Scenario(
        name="original-in-the-middle",
        tells="the original put back in the middle is an update forward of what had changed",
        spec=service(update=pace(delay=2)),
        steps=(
            at_first(Update(image="web:2")),
            Step(Tasks("web:2", count=1), Update(image="web:1", spec={"UpdateConfig": pace()})),
        ),
        ends=Status("completed"),
    ),
    Scenario(
        name="canary-leaks",
        tells="whatever dies while a canary is out comes back as the new release",
        spec=service(update=pace(delay=60), policy=restart(delay=1)),
        steps=(
            at_first(Update(image="web:2")),
            Step(together(Tasks("web:2"), Settled(), Passed(2)), Kill("web:1")),
        ),
        ends=together(Passed(4), Tasks("web:2", count=2)),
    ),
    Scenario(
        name="resumed",
        tells="a label resumes a paused update",
        steps=(
            at_first(Update(image="missing:1")),
            Step(together(Status("paused"), Settled()), Update(spec=_LABEL)),
        ),
        ends=together(Status("paused"), Passed(3)),
        varies=_EITHER_FIRST,
    ),
    Scenario(
        name="mended",
        tells="a good release after a paused one replaces everything",
        spec=service(replicas=3),
        steps=(
            at_first(Update(image="missing:1")),
            Step(together(Status("paused"), Settled()), Update(image="web:2")),
        ),
        ends=Status("completed"),
        varies={**_PLACES_VARY, "serving": "the slot that is down may be the first to be mended"},
    ),
    Scenario(
        name="paused-stays-mixed",
        tells="a paused update leaves both releases running",
        spec=service(replicas=3, update=pace(parallelism=2, monitor=6)),
        steps=(at_first(Update(image="web:crash-late")),),
        ends=Status("paused"),
        varies=_EITHER_FIRST,
    ),
)

_SCALE = (
    Scenario(
        name="scaled-up",
        tells="scaling up starts tasks, and is no update",
        spec=service(replicas=2),
        steps=(at_first(Update(replicas=4)),),
        ends=together(Tasks("web:1", count=4), Passed(1)),
        varies=_QUICK,
    ),
    Scenario(
        name="scaled-down",
        tells="scaling down removes tasks, and is no update",
        spec=service(replicas=3),
        steps=(at_first(Update(replicas=1)),),
        ends=Passed(4),
    ),
    Scenario(
        name="scaled-up-with-a-release",
        tells="slots that are new with a release start at once, beside the rolling ones",
        spec=service(replicas=2),
        steps=(at_first(Update(image="web:2", replicas=4)),),
        ends=Status("completed"),
        fast=True,
        varies={**_QUICK, "serving": "new slots may run before the first old task is told to stop"},
    ),
    Scenario(
        name="scaled-down-with-a-release",
        tells="of a scale-down with a release only what stays is rolled",
        spec=service(replicas=3),
        steps=(at_first(Update(image="web:2", replicas=2)),),
        ends=Status("completed"),
    ),
    Scenario(
        name="scaled-to-nothing",
        tells="a release with no replicas leaves no update status",
        spec=service(replicas=2),
        steps=(at_first(Update(image="web:2", replicas=0)),),
        ends=Passed(3),
        unsettled=True,
    ),
    Scenario(
        name="scaled-in-the-middle",
        tells="scaling up in the middle of an update starts the new slots as the new release",
        spec=service(replicas=2, update=pace(delay=3)),
        steps=(
            at_first(Update(image="web:2")),
            Step(together(Tasks("web:2", count=1), Settled(), Passed(2)), Update(replicas=3)),
        ),
        ends=Status("completed"),
        varies=_QUICK,
    ),
    Scenario(
        name="scaled-up-with-a-bad-release",
        tells="new slots that crash are no failure of the update; the rolled one is",
        spec=service(replicas=1, update=pace(on_failure="rollback")),
        steps=(at_first(Update(image="missing:1", replicas=2)),),
        ends=Status("rollback_completed"),
        varies=_EITHER_FIRST,
    ),
)

_PLACES = (
    Scenario(
        name="host-port-start-first",
        tells="start-first with a host-mode port on every node gets nowhere",
        spec=service(update=pace(order="start-first"), endpoint=_HOST_PORT),
        steps=(at_first(Update(image="web:2")),),
        ends=together(Passed(5), Tasks("web:2", "pending")),
        unsettled=True,
    ),
    Scenario(
        name="one-per-node-start-first",
        tells="start-first with one replica per node on every node gets nowhere",
        spec=service(update=pace(order="start-first"), placement={"MaxReplicas": 1}),
        steps=(at_first(Update(image="web:2")),),
        ends=together(Passed(5), Tasks("web:2", "pending")),
        unsettled=True,
    ),
    Scenario(
        name="one-per-node-stop-first",
        tells="stop-first with one replica per node on every node works",
        spec=service(placement={"MaxReplicas": 1}),
        steps=(at_first(Update(image="web:2")),),
        ends=Status("completed"),
    ),
    Scenario(
        name="global",
        tells="a global service is rolled node by node",
        spec=service(replicas=None),
        steps=(at_first(Update(image="web:2")),),
        ends=Status("completed"),
        fast=True,
    ),
    Scenario(
        name="global-crash",
        tells="a bad release of a global service is rolled back",
        spec=service(replicas=None, update=pace(on_failure="rollback")),
        steps=(at_first(Update(image="web:crash")),),
        ends=Status("rollback_completed"),
        varies=_EITHER_FIRST,
    ),
    Scenario(
        name="global-start-first",
        tells="a global service rolls with start-first, two nodes at a time",
        spec=service(replicas=None, update=pace(order="start-first", parallelism=2)),
        steps=(at_first(Update(image="web:2")),),
        ends=Status("completed"),
        varies=_PLACES_VARY,
    ),
    Scenario(
        name="global-constraint",
        tells="a constraint takes a global service off the nodes that do not meet it, at once",
        spec=service(replicas=None),
        steps=(
            at_first(
                Update(
                    spec={"TaskTemplate": {"Placement": {"Constraints": ["node.role == worker"]}}}
                )
            ),
        ),
        ends=Passed(5),
    ),
)

_NODES = (
    Scenario(
        name="drained",
        tells="the tasks of a drained node move at once, whatever the restart delay",
        steps=(at_first(Node(name="node2", availability="drain")),),
        ends=Passed(3),
        exclusive=True,
    ),
    Scenario(
        name="drained-in-the-monitor",
        tells="a drain that hits a new task within its monitor pauses the update",
        spec=service(update=pace(parallelism=0, monitor=10)),
        steps=(
            at_first(Update(image="web:2")),
            Step(Tasks("web:2", count=3), Node(name="node2", availability="drain")),
        ),
        ends=Status("paused"),
        exclusive=True,
    ),
    Scenario(
        name="drained-without-restart",
        tells="with restart none a drain costs a task for good",
        spec=service(policy=_NONE),
        steps=(at_first(Node(name="node2", availability="drain")),),
        ends=Passed(4),
        exclusive=True,
    ),
    Scenario(
        name="node-paused",
        tells="a paused node keeps its tasks, and gets no new ones",
        steps=(
            at_first(Node(name="node2", availability="pause")),
            Step(Passed(1), Update(image="web:2")),
        ),
        ends=Status("completed"),
        exclusive=True,
    ),
    Scenario(
        name="global-node-paused",
        tells="a release of a global service passes a paused node by, and is completed",
        spec=service(replicas=None),
        steps=(
            at_first(Node(name="node2", availability="pause")),
            Step(Passed(1), Update(image="web:2")),
        ),
        ends=Status("completed"),
        exclusive=True,
    ),
    Scenario(
        name="global-node-back",
        tells="a node that is active again gets the current release of a global service",
        spec=service(replicas=None),
        steps=(
            at_first(Node(name="node2", availability="drain")),
            Step(together(Passed(1), Settled()), Update(image="web:2")),
            Step(together(Status("completed"), Settled()), Node(name="node2")),
        ),
        ends=Passed(3),
        exclusive=True,
    ),
    Scenario(
        name="label-taken-away",
        tells="a node label that is taken away moves the tasks that need it",
        spec=service(
            replicas=4,
            placement={"Constraints": ["node.labels.rack == a"]},
            policy=restart(delay=1),
        ),
        node_labels={"node2": {"rack": "a"}, "node3": {"rack": "a"}},
        steps=(at_first(Node(name="node2")),),
        ends=Passed(5),
        exclusive=True,
    ),
    Scenario(
        name="node-lost",
        tells="the tasks of a lost node are replaced when it is found to be down",
        spec=service(policy=restart(delay=1)),
        steps=(at_first(CutPower("node2")),),
        ends=together(NodeState("node2", "down"), Passed(3), Tasks("web:1", "running", 4)),
        exclusive=True,
    ),
    Scenario(
        name="node-back",
        tells="a lost node that is back ends what was replaced meanwhile; nothing moves back",
        spec=service(policy=restart(delay=1)),
        steps=(
            at_first(CutOff("node2")),
            Step(
                together(NodeState("node2", "down"), Tasks("web:1", "running", 4)), Repair("node2")
            ),
        ),
        ends=together(NodeState("node2", "ready"), Passed(4)),
        exclusive=True,
    ),
    Scenario(
        name="node-lost-without-restart",
        tells="with restart none a lost node costs a task for good",
        spec=service(policy=_NONE),
        steps=(at_first(CutPower("node2")),),
        ends=together(NodeState("node2", "down"), Passed(3)),
        exclusive=True,
    ),
    Scenario(
        name="node-lost-in-an-update",
        tells="a new task given to a node just lost is replaced, but the update waits for ever",
        spec=service(update=pace(parallelism=0), policy=restart(delay=1)),
        steps=(
            at_first(CutOff("node2")),
            Step(Passed(0.3), Update(image="web:2")),
        ),
        ends=together(Status("updating"), Passed(25)),
        exclusive=True,
        unsettled=True,
        varies={
            "slots": "the task of any slot may be the one that the lost node is given",
            "order": "for the same reason",
        },
    ),
)

SCENARIOS: tuple[Scenario, ...] = (
    *_GOOD,
    *_WHAT_RESTARTS,
    *_BAD,
    *_HEALTH,
    *_ROLLBACK,
    *_SECOND,
    *_SCALE,
    *_PLACES,
    *_NODES,
)
