"""The admin address: what it shows does not hold requests up."""

import asyncio
import math

import aiohttp
import orjson

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
from pilotage_extproc.server.admin import AdminServer
from pilotage_extproc.server.admin_view import RuntimeView
from pilotage_extproc.server.runtime import Runtime

HEAD = RequestHead("POST", "/v1/chat/completions", {"content-type": "application/json"})
BODY = b'{"model":"m","messages":[{"role":"user","content":"hi"}]}'
POOL = PoolSnapshot(
    key="default/a",
    engine=Engine.OPENAI,
    endpoints=tuple(EndpointSnapshot(address=f"10.0.0.{number}", port=80) for number in range(200)),
    stream_usage=StreamUsage.LEAVE,
    models=("m",),
)
NAMES = {"m": (Binding(pool=POOL.key, upstream_model="m", kind=NameKind.MODEL),)}


async def test_decisions_are_listed_up_to_a_hundred_and_others_get_their_turn_meanwhile():
    runtime = Runtime(GatewaySettings())
    await runtime.following.apply(RoutingSnapshot(pools=(POOL,), names=NAMES))
    runtime.state.table.admit(runtime.state.table.rows())
    for number in range(150):
        record = await runtime.deciding.pipeline.consider(HEAD, BODY)
        runtime.state.decisions.add(f"d-{number}", record)
    view = RuntimeView(runtime)
    admin = AdminServer(view, "127.0.0.1:0", None)
    await admin.start()
    try:
        url = f"http://127.0.0.1:{admin.port}/decisions?limit=1000"
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            listed = (await answer.json())["decisions"]
        assert len(listed) == 100

        turns = 0

        async def others() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        other = asyncio.create_task(others())
        at_once = view.recent_decisions(100)
        assert turns == 0
        assert await view.list_decisions(100) == at_once
        assert turns > 2
        other.cancel()
    finally:
        await admin.stop()
        await runtime.stop()


async def test_a_figure_that_is_not_known_is_null_and_never_0():
    runtime = Runtime(GatewaySettings())
    await runtime.following.apply(RoutingSnapshot(pools=(POOL,), names=NAMES))
    row = runtime.state.table.row_of("10.0.0.0:80")
    assert row is not None
    runtime.state.table.measured(row, runtime.clock(), 2, 1, math.nan)
    shown = {one["address"]: one for one in orjson.loads(RuntimeView(runtime).endpoints())["endpoints"]}
    assert [shown["10.0.0.0:80"][name] for name in ("waiting", "running", "kvUsage")] == [2, 1, None]
    never = shown["10.0.0.1:80"]
    assert [never[name] for name in ("waiting", "running", "kvUsage", "metricsAgeSeconds")] == [None] * 4


async def test_an_explanation_tells_that_a_request_was_given_up():
    runtime = Runtime(GatewaySettings())
    await runtime.following.apply(RoutingSnapshot(pools=(POOL,), names=NAMES))
    runtime.state.table.admit(runtime.state.table.rows())
    view = RuntimeView(runtime)
    record = await runtime.deciding.pipeline.consider(HEAD, BODY)
    runtime.state.decisions.add("d-1", record)
    assert orjson.loads(view.explain_here("d-1") or b"")["givenUp"] is False
    record.complete(Outcome.unknown("d-1"))
    told = orjson.loads(view.explain_here("d-1") or b"")
    assert (told["givenUp"], told["outcome"]) == (True, None)
    record.complete(Outcome("d-1", 200, "10.0.0.0:80", 1, 1.0, 0.1))
    told = orjson.loads(view.explain_here("d-1") or b"")
    assert (told["givenUp"], told["outcome"]["status"]) == (False, 200)
