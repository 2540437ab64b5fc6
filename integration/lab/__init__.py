"""
A lab: real swarms of several nodes, each node an engine in a container.

`hosts` finds or makes an engine for the containers, `cluster` starts swarms on it, `node` loses and
repairs their nodes, `images` makes what runs on them. `run` runs the tests, `up` starts a swarm to
play with, `single` is for scripts.
"""

from integration.lab.cluster import Cluster
from integration.lab.errors import LabError, LabUnavailable
from integration.lab.node import Node
from integration.lab.service import Service, ServiceFactory
from integration.lab.single import single_swarm
from integration.lab.waiting import eventually

__all__ = [
    "Cluster",
    "LabError",
    "LabUnavailable",
    "Node",
    "Service",
    "ServiceFactory",
    "eventually",
    "single_swarm",
]
