"""Decision records: what they cost to keep is what is counted."""

import tracemalloc

import pytest

from pilotage_api.settings import GatewaySettings
from pilotage_api.snapshot import (
    Binding,
    EndpointSnapshot,
    Engine,
    NameKind,
    PoolSnapshot,
    RoutingSnapshot,
    StreamUsage,
)
from pilotage_extproc.domain.head import RequestHead
from pilotage_extproc.server.offline import offline_pipeline

HEAD = RequestHead("POST", "/v1/chat/completions", {"content-type": "application/json"})
BODY = b'{"model":"m","messages":[{"role":"user","content":"hi"}]}'


@pytest.mark.parametrize("endpoints", [1, 100, 1000])
async def test_a_record_costs_what_is_counted(endpoints):
    addresses = (f"10.0.{number // 250}.{number % 250}" for number in range(endpoints))
    pool = PoolSnapshot(
        key="default/a",
        engine=Engine.VLLM,
        endpoints=tuple(EndpointSnapshot(address=address, port=80) for address in addresses),
        stream_usage=StreamUsage.LEAVE,
        models=("m",),
    )
    names = {"m": (Binding(pool=pool.key, upstream_model="m", kind=NameKind.MODEL),)}
    pipeline, _ = await offline_pipeline(RoutingSnapshot(pools=(pool,), names=names), GatewaySettings())
    await pipeline.consider(HEAD, BODY)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    records = [await pipeline.consider(HEAD, BODY) for _ in range(50)]
    held = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert 0.6 < held / sum(record.nbytes for record in records) < 1.1
