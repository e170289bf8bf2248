"""A stream that Envoy ended at a hard budget's allowance is told: in its decision, and as a metric."""

import json

import pytest
from envoy_rig import chunk, stream_head
from valkey_server import ValkeyServer
from whole_gateway import WholeGateway

SAID = 60


async def goes_on(request, writer):
    """A server that does not mind `max_tokens`."""
    writer.write(stream_head())
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    for number in range(SAID):
        delta = {"choices": [{"index": 0, "delta": {"content": f"w{number} "}}]}
        writer.write(chunk(b"data: " + json.dumps({**head, **delta}).encode() + b"\n\n"))
    usage = {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": SAID}}
    writer.write(chunk(b"data: " + json.dumps({**head, **usage}).encode() + b"\n\ndata: [DONE]\n\n"))
    writer.write(chunk(b""))


@pytest.fixture
async def gateway(tmp_path, start_server):
    valkey = ValkeyServer()
    valkey.start()
    pricing = {"inputPerMillion": "1", "outputPerMillion": "2"}
    model = {"name": "m", "contextWindow": 8192, "maxOutputTokens": 100, "pricing": pricing}
    budget = {"per": "policy", "period": "month", "usd": "100", "mode": "hard"}
    one = WholeGateway(
        tmp_path / "resources",
        {"m": [await start_server(goes_on)]},
        {},
        pool={"models": [model]},
        spec={"governance": {"budgets": [budget]}},
        governance={"store": {"valkey": {"address": f"127.0.0.1:{valkey.port}"}}},
    )
    await one.start()
    await one.until(lambda: not one.runtime.state.accounting.valkey.away, 20)
    yield one
    await one.stop()
    valkey.kill()


async def test_it_says_after_how_many_pieces_and_counts_it(gateway):
    status, _, body = await gateway.chat(stream=True, max_tokens=20)
    assert status == 200
    pieces = body.count(b'"w') or body.count(b'"content": "w')
    assert 20 < pieces < SAID
    assert b'"finish_reason":"length"' in body
    outcome = (await gateway.explained())["outcome"]
    assert outcome["endedAtAllowance"] == pieces
    assert outcome["usage"]["outputTokens"] == SAID  # what the server says it used is booked
    page = gateway.gateway.server.view.metrics
    await gateway.until(lambda: b"pilotage_budget_ended_streams_total 1.0" in page())
    # one that keeps to its limit is not
    await gateway.chat(stream=True, max_tokens=SAID)
    assert (await gateway.explained())["outcome"]["endedAtAllowance"] is None
    assert b"pilotage_budget_ended_streams_total 1.0" in page()
