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
from pilotage_extproc.domain.head import RequestHead
from pilotage_extproc.domain.outcome import Outcome
from pilotage_extproc.domain.refusals import Refusal, RequestRefused
from pilotage_extproc.pipeline.pipeline import Pipeline
from pilotage_extproc.request.exchange import Exchange
from pilotage_extproc.server.offline import offline_pipeline
from pilotage_extproc.server.state import ProcessState
from pilotage_extproc.stages import read_body
from pilotage_extproc.stages.read_body import LARGE_BODY_BYTES

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


class Deciding:
    """A pipeline that knows who made a response as soon as it is told."""

    def __init__(self, pipeline: Pipeline, state: ProcessState) -> None:
        self._pipeline = pipeline
        self._state = state

    def made(self) -> None:
        outcome = Outcome("d", 200, "10.0.0.5:80", 1, 0.1, 0.05, response_id="resp_1")
        self._state.owners.learn_from(outcome)

    async def decide(self, body: bytes) -> list[str]:
        exchange = Exchange(HEAD)
        assert await self._pipeline.begin(exchange) is None
        exchange.received(body)
        assert await self._pipeline.decide(exchange) is None
        return [target.address for target in exchange.decision.targets]


@pytest.fixture
async def deciding() -> Deciding:
    return Deciding(*await offline_pipeline(RoutingSnapshot(pools=(POOL,), names=NAMES), GatewaySettings()))


@pytest.mark.parametrize(
    ("body", "parsings"), [(LARGE, 2), (orjson.dumps(FOLLOW_UP), 1)], ids=["large", "small"]
)
async def test_a_follow_up_waits_until_the_server_of_its_response_is_known(
    deciding, monkeypatch, body, parsings
):
    parsed = 0
    real = read_body.read_body if body is LARGE else read_body.parse_body

    def counted(*arguments, **more):
        nonlocal parsed
        parsed += 1
        return real(*arguments, **more)

    monkeypatch.setattr(read_body, real.__name__, counted)
    placing = asyncio.create_task(deciding.decide(body))
    await asyncio.sleep(0.05)
    assert not placing.done()
    deciding.made()
    assert await placing == ["10.0.0.5:80"]
    assert parsed == parsings


async def test_a_small_call_passes_large_ones_that_wait_to_be_parsed(deciding):
    deciding.made()
    order: list[str] = []

    async def place(name: str, body: bytes) -> None:
        await deciding.decide(body)
        order.append(name)

    await asyncio.gather(
        place("large", LARGE), place("large", LARGE), place("small", orjson.dumps(FOLLOW_UP))
    )
    assert order[0] == "small"


async def test_a_body_that_is_refused_lets_the_next_be_parsed(deciding):
    with pytest.raises(RequestRefused) as refused:
        await deciding.decide(b"{" + b" " * LARGE_BODY_BYTES)
    assert refused.value.reason is Refusal.BAD_JSON
    deciding.made()
    assert await deciding.decide(LARGE) == ["10.0.0.5:80"]
