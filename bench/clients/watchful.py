"""
swarmroll with an observer that prints what happens.

Two more arguments: seconds of bake time, and seconds after which the new tasks shall crash.

Each line is JSON; `clock` is when it was printed, in seconds since the epoch.
"""

import json
import sys
import time

import swarmroll
from swarmroll.core import events


def tell(event: swarmroll.Event) -> None:
    match event:
        case events.TaskFailed(failure=failure):
            words = {
                "slot": failure.slot,
                "node": failure.node,
                "error": failure.error,
                "exit_code": failure.exit_code,
            }
        case events.Moved(transition=move):
            words = {"phase": move.target, "trigger": move.trigger, "reason": move.reason}
        case _:
            return
    say(type(event).__name__, **words)


def say(name: str, **words: object) -> None:
    print(json.dumps({"clock": time.time(), "event": name, **words}), flush=True)


def change(spec: swarmroll.ServiceSpec) -> swarmroll.ServiceSpec:
    return spec.with_env(CRASH_AFTER=late[1]) if late else spec


url, service, image, *late = sys.argv[1:]
with swarmroll.connect(url, observers=[tell]) as swarm:
    strategy = swarmroll.Rolling(bake=float(late[0])) if late else None
    report = swarm.update(service, change, image=image, strategy=strategy, check=False)
say("Report", outcome=report.outcome, by=report.rolled_back_by, failures=len(report.failures))
sys.exit(report.outcome.exit_code)
