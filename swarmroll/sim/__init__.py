"""
A simulated swarm: public, for swarmroll's own tests and for those of its users.

It follows the real engine's rules, oddities included, in virtual time: a rollout of ten minutes
takes milliseconds, and the same seed gives the same history.
"""

from swarmroll.sim.documents import service_document
from swarmroll.sim.engine import SimClock, SimEngine, SimWatch
from swarmroll.sim.images import Behaviour
from swarmroll.sim.store import Happening
from swarmroll.sim.swarm import NodeHandle, SimSwarm
from swarmroll.sim.timing import Timing

__all__ = [
    "Behaviour",
    "Happening",
    "NodeHandle",
    "SimClock",
    "SimEngine",
    "SimSwarm",
    "SimWatch",
    "Timing",
    "service_document",
]
