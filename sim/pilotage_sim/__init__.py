"""Model servers that behave like vLLM: over real HTTP, and the same engine in virtual time."""

from pilotage_sim.cluster import SimCluster
from pilotage_sim.config import SimConfig, SimSpec
from pilotage_sim.faults import Faults, MetricsFault
from pilotage_sim.http.provider import Provider, ProviderApi
from pilotage_sim.server import SimServer
from pilotage_sim.tls import server_tls

__all__ = [
    "Faults",
    "MetricsFault",
    "Provider",
    "ProviderApi",
    "SimCluster",
    "SimConfig",
    "SimServer",
    "SimSpec",
    "server_tls",
]
