"""A swarm that people and fate do anything to, in any order; and what holds after each of it."""

from __future__ import annotations

from random import Random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from swarmroll import Canary, Outcome, Report, Rolling, Step, Strategy
from swarmroll.sim import SimSwarm
from tests.faults.misfortunes import FATES, at_request
from tests.faults.oracle import NAME, Case
from tests.faults.scenes import asked, passing
from tests.faults.worlds import ASKS, finished

IMAGES = ("app:1", "app:2", "app:3", "crash:1", "late:1", "missing:1")
STRATEGIES: tuple[Strategy, ...] = (
    Rolling(),
    Rolling(order="start-first", parallelism=2),
    Rolling(bake=4, monitor=2),
    Canary(steps=[Step(tasks=1, hold=3)], monitor=2),
    Canary.ramp(hold=0, monitor=1),
)

# Who removes the service ends the game.
FATEFUL = sorted(FATES.keys() - {"somebody removes it"})
NUMBERS = st.integers(0, 60)
SEEDS = st.integers(0, 2**32)


class Life(RuleBasedStateMachine):
    """One service, rolled again and again."""

    @initialize(
        seed=st.integers(0, 999),
        start_first=st.booleans(),
        unsafe=st.booleans(),
        everywhere=st.booleans(),
    )
    def begin(self, seed: int, *, start_first: bool, unsafe: bool, everywhere: bool) -> None:
        sim = SimSwarm(nodes=5, managers=3, seed=seed)
        for image in ("app:1", "app:2", "app:3"):
            sim.image(image)
        sim.image("crash:1", crashes_after=1.0)
        sim.image("late:1", crashes_after=9.0)
        order = "start-first" if start_first else "stop-first"
        sim.create_service(
            NAME,
            image="app:1",
            update={"parallelism": 1, "monitor": 2.0, "order": order},
            rollback={"parallelism": 0 if unsafe else 1, "monitor": 2.0},
            **({"mode": "global"} if everywhere else {"replicas": 3}),
        )
        self.case = Case(sim)
        self.last: Report | None = None

    def roll(
        self, image: str, strategy: Strategy, ask: str, dies_at: int | None, *, pauses: bool
    ) -> None:
        case = self.case
        options = {
            "image": image,
            "strategy": strategy,
            "allow": "*",
            "deadline": 60,
            "on_failure": "pause" if pauses else "rollback",
        }
        if ask:
            report = case.act(lambda swarm: asked(1, *ASKS[ask], **options)(case.sim, swarm))
        else:
            report = case.act(
                lambda swarm: swarm.update(NAME, check=False, **options),  # type: ignore[arg-type]
                dies_at=dies_at,
            )
        self.end(report)

    def end(self, report: Report | None) -> None:
        """Whatever a driver has left is taken up, and judged."""
        self.last = finished(self.case, report)
        self.case.check_end(self.last)

    @rule(
        image=st.sampled_from(IMAGES),
        strategy=st.sampled_from(STRATEGIES),
        pauses=st.booleans(),
    )
    def update(self, image: str, strategy: Strategy, *, pauses: bool) -> None:
        self.roll(image, strategy, "", None, pauses=pauses)

    @rule(
        image=st.sampled_from(IMAGES),
        strategy=st.sampled_from(STRATEGIES),
        dies_at=st.integers(0, 150),
    )
    def update_and_die(self, image: str, strategy: Strategy, dies_at: int) -> None:
        self.roll(image, strategy, "", dies_at, pauses=False)

    @rule(strategy=st.sampled_from(STRATEGIES), ask=st.sampled_from(sorted(ASKS)))
    def update_and_ask(self, strategy: Strategy, ask: str) -> None:
        self.roll("app:2", strategy, ask, None, pauses=False)

    @rule()
    def update_with_a_gate(self) -> None:
        self.case.gates = (passing(passes=2, interval=2.0),)
        self.end(
            self.case.act(
                lambda swarm: swarm.update(
                    NAME, image="app:3", gates=self.case.gates, check=False, allow="*"
                )
            )
        )

    @rule()
    def roll_back(self) -> None:
        self.end(self.case.act(lambda swarm: swarm.rollback(NAME, check=False)))

    @rule()
    def resume(self) -> None:
        if self.last is None or self.last.outcome is not Outcome.PAUSED:
            return

        def go_on(swarm: object) -> Report:
            rollout = swarm.attach(NAME, wait_for_lease="10m").resume()  # type: ignore[attr-defined]
            list(rollout.events())
            return rollout.wait(0, check=False)  # type: ignore[no-any-return]

        self.end(self.case.act(go_on))

    @rule(fate=st.sampled_from(FATEFUL), seed=SEEDS)
    def happen(self, fate: str, seed: int) -> None:
        FATES[fate](self.case, Random(seed))

    @rule(fate=st.sampled_from(FATEFUL), seed=SEEDS, number=NUMBERS)
    def happen_later(self, fate: str, seed: int, number: int) -> None:
        case, chance = self.case, Random(seed)
        at_request(case, number, lambda: FATES[fate](case, chance))

    @rule()
    def everything_is_repaired(self) -> None:
        sim = self.case.sim
        self.case.heal()
        for node in tuple(sim.store.nodes.values()):
            handle = sim.node(node.hostname)
            handle.up()
            handle.activate()

    @rule(seconds=st.sampled_from((0.1, 3.0, 60.0)))
    def time_passes(self, seconds: float) -> None:
        self.case.sim.run(seconds)

    @invariant()
    def nothing_is_wrong(self) -> None:
        if hasattr(self, "case"):
            assert [] == self.case.wrong

    def teardown(self) -> None:
        if hasattr(self, "case"):
            self.case.sim.close()


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=60, stateful_step_count=14, deadline=None)
