"""What a process forgets when it follows another snapshot."""

from pilotage_api.settings import GatewaySettings
from pilotage_api.snapshot import (
    EndpointSnapshot,
    Engine,
    PoolSnapshot,
    RoutingSnapshot,
    StreamUsage,
)
from pilotage_extproc.server.runtime import Runtime


def pool(key: str) -> PoolSnapshot:
    endpoint = EndpointSnapshot(address="127.0.0.1", port=18_999)
    return PoolSnapshot(
        key=key,
        engine=Engine.OPENAI,
        endpoints=(endpoint,),
        stream_usage=StreamUsage.LEAVE,
        models=("m",),
    )


async def test_figures_of_a_pool_are_forgotten_with_the_pool():
    runtime = Runtime(GatewaySettings())
    deciding, following = runtime.deciding, runtime.following
    await following.apply(RoutingSnapshot(pools=(pool("ns/a"), pool("ns/b"))).sealed())
    for key in ("ns/a", "ns/b"):
        assert deciding.sources.pool(deciding.current.index, key) is not None
    await following.apply(RoutingSnapshot(pools=(pool("ns/b"),)).sealed())
    assert deciding.sources.pool(deciding.current.index, "ns/a") is None
    assert deciding.sources._pools._held.keys() == {"ns/b"}
