"""Large bodies are taken in turn, and none is kept parsed while it waits for news."""

import asyncio

import orjson
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
from pilotage_extproc.domain.decision import Placement
from pilotage_extproc.domain.head import RequestHead
from pilotage_extproc.domain.outcome import Outcome
from pilotage_extproc.domain.refusals import Refusal, RequestRefused
from pilotage_extproc.pipeline import decide
from pilotage_extproc.pipeline.decide import LARGE_BODY_BYTES, Pipeline
from pilotage_extproc.request.call import Call
from pilotage_extproc.server.offline import offline_pipeline

POOL = PoolSnapshot(
    key="default/a",
    engine=Engine.OPENAI,
    endpoints=tuple(EndpointSnapshot(address=f"10.0.0.{number}", port=80) for number in range(8)),
    stream_usage=StreamUsage.LEAVE,
    models=("m",),
)
NAMES = {"m": (Binding(pool=POOL.key, upstream_model="m", kind=NameKind.MODEL),)}
HEAD = RequestHead("POST", "/v1/responses", {"content-type": "application/json"})
FOLLOW_UP = {"model": "m", "input": "hi", "previous_response_id": "resp_1"}
LARGE = orjson.dumps(FOLLOW_UP) + b" " * LARGE_BODY_BYTES


@pytest.fixture
async def pipeline() -> Pipeline:
    return await offline_pipeline(RoutingSnapshot(pools=(POOL,), names=NAMES), GatewaySettings())


def call_on(pipeline: Pipeline) -> Call:
    call = pipeline.begin(HEAD)
    assert isinstance(call, Call)
    return call


@pytest.mark.parametrize(
    ("body", "parsings"), [(LARGE, 2), (orjson.dumps(FOLLOW_UP), 1)], ids=["large", "small"]
)
async def test_a_follow_up_waits_for_news_of_its_response(pipeline, monkeypatch, body, parsings):
    parsed = 0
    real = decide.read_body if body is LARGE else decide.parse_body

    def counted(*arguments, **more):
        nonlocal parsed
        parsed += 1
        return real(*arguments, **more)

    monkeypatch.setattr(decide, real.__name__, counted)
    placing = asyncio.create_task(pipeline.place_patiently(call_on(pipeline), body))
    await asyncio.sleep(0.05)
    assert not placing.done()
    pipeline.learn(Outcome("d", 200, "10.0.0.5:80", 1, 0.1, 0.05, response_id="resp_1"))
    placement = await placing
    assert isinstance(placement, Placement)
    assert [target.address for target in placement.decision.targets] == ["10.0.0.5:80"]
    assert parsed == parsings


async def test_a_small_call_passes_large_ones_that_wait_to_be_parsed(pipeline):
    pipeline.learn(Outcome("d", 200, "10.0.0.5:80", 1, 0.1, 0.05, response_id="resp_1"))
    order: list[str] = []

    async def place(name: str, body: bytes) -> None:
        await pipeline.place_patiently(call_on(pipeline), body)
        order.append(name)

    await asyncio.gather(
        place("large", LARGE), place("large", LARGE), place("small", orjson.dumps(FOLLOW_UP))
    )
    assert order[0] == "small"


async def test_a_body_that_is_refused_lets_the_next_be_parsed(pipeline):
    with pytest.raises(RequestRefused) as refused:
        await pipeline.place_patiently(call_on(pipeline), b"{" + b" " * LARGE_BODY_BYTES)
    assert refused.value.reason is Refusal.BAD_JSON
    pipeline.learn(Outcome("d", 200, "10.0.0.5:80", 1, 0.1, 0.05, response_id="resp_1"))
    assert isinstance(await pipeline.place_patiently(call_on(pipeline), LARGE), Placement)
