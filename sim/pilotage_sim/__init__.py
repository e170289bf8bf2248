"""Model servers that behave like vLLM: over real HTTP, and the same engine in virtual time."""

from pilotage_sim.cluster import SimCluster
from pilotage_sim.config import SimConfig, SimSpec
from pilotage_sim.faults import Faults, MetricsFault
from pilotage_sim.server import SimServer

__all__ = ["Faults", "MetricsFault", "SimCluster", "SimConfig", "SimServer", "SimSpec"]
