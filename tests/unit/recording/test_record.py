"""Decision records: what they cost to keep is what is counted."""

import sys
import tracemalloc

import numpy as np
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
from pilotage_extproc.domain.head import CallKind, RequestHead
from pilotage_extproc.recording.record import DecisionRecord
from pilotage_extproc.request.exchange import Exchange
from pilotage_extproc.request.trial import Trial
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


async def test_what_a_client_writes_into_a_path_is_neither_kept_nor_uncounted():
    pool = PoolSnapshot(
        key="default/a",
        engine=Engine.OPENAI,
        endpoints=(EndpointSnapshot(address="10.0.0.1", port=80),),
        stream_usage=StreamUsage.LEAVE,
        models=("m",),
    )
    settings = GatewaySettings.model_validate({"otherPaths": {"action": "forward", "pool": "default/a"}})
    pipeline, state = await offline_pipeline(RoutingSnapshot(pools=(pool,)), settings)
    head = RequestHead("GET", "/" + "x" * 50_000 + "?q=" + "y" * 50_000, {})
    tracemalloc.start()
    exchange = Exchange(head)
    await pipeline.begin(exchange)
    await pipeline.decide(exchange)
    record = DecisionRecord.of(exchange, 0.0)
    exchange.release()
    del head
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert held < 30_000
    assert len(record.path) <= 256
    assert len(state.ledger) == 1


def test_the_rules_that_were_tried_are_counted():
    none = np.zeros(0)
    plain = ("id", "m", CallKind.CHAT, "/", False, 0, None, None, "v", 0.0, 0.0, (0,))
    arrays = (none, none, none, (), (), (), 0.0, 0.0)
    trials = tuple(Trial("default/p", f"rule-{at}", False, f"missing_header: x-{at}") for at in range(200))
    size = sum(sys.getsizeof(one) + sys.getsizeof(one.rule) + sys.getsizeof(one.reason) for one in trials)
    without, record = DecisionRecord(*plain, *arrays), DecisionRecord(*plain, *arrays, trials)
    assert 0.6 < (record.nbytes - without.nbytes) / size < 1.6
