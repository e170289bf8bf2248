"""A client that wants no usage in its stream sees none, and is counted all the same."""

import asyncio
import json

import pytest
from envoy_rig import CHAT, CHAT_BODY, chunk, fixed, stream_head
from whole_gateway import WholeGateway


async def engine(request, writer):
    """Streams two pieces, and a usage of five tokens where it is asked for."""
    writer.write(stream_head())
    for text in ("two ", "pieces"):
        said = {"choices": [{"index": 0, "delta": {"content": text}}]}
        writer.write(chunk(b"data: " + json.dumps(said).encode() + b"\n\n"))
    if json.loads(request.body)["stream_options"]["include_usage"] is True:
        used = {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 5}}
        writer.write(chunk(b"data: " + json.dumps(used).encode() + b"\n\n"))
    writer.write(chunk(b"data: [DONE]\n\n") + chunk(b""))


@pytest.mark.parametrize("said", [False, None])
async def test_a_wish_for_no_usage_is_kept_and_evades_no_budget(tmp_path, start_server, said):
    failing, spare = await start_server(fixed(503, b"{}")), await start_server(engine)
    rule = {"fallback": {"reasons": ["serverError"], "to": [{"model": "spare"}]}}
    price = {"inputPerMillion": "1000", "outputPerMillion": "1000"}
    budget = {"budgets": [{"per": "policy", "period": "day", "usd": "5", "mode": "soft"}]}
    gateway = WholeGateway(
        tmp_path / "gateway",
        {"first": [failing], "spare": [spare]},
        rule,
        spec={"governance": budget},
    )
    folder = tmp_path / "gateway" / "all.yaml"
    folder.write_text(
        folder.read_text().replace("- name: spare", f"- name: spare\n    pricing: {json.dumps(price)}")
    )
    await gateway.start()
    try:
        status, _, body = await gateway.chat(stream=True, stream_options={"include_usage": said})
        assert (status, b"usage" in body, body.count(b"data:")) == (200, False, 3)
        assert json.loads(spare.received[-1].body)["stream_options"]["include_usage"] is True
        outcome = (await gateway.explained())["outcome"]
        assert outcome["attempts"] == 2
        await gateway.until(lambda: gateway.runtime.state.accounting.memory.figures() != (0, 0, 0))
        assert gateway.runtime.state.accounting.memory.figures() == ((9 + 5) * 1_000_000, 0, 0)
    finally:
        await gateway.stop()


async def drafting(request, writer):
    """As vLLM with a draft model: four tokens in an event, and the usage so far where it is asked for."""
    writer.write(stream_head())
    every = json.loads(request.body)["stream_options"].get("continuous_usage_stats") is True
    for number in (1, 2):
        said = {"choices": [{"index": 0, "delta": {"content": "four tokens of text"}}]}
        if every:
            said["usage"] = {"prompt_tokens": 9, "completion_tokens": 4 * number}
        writer.write(chunk(b"data: " + json.dumps(said).encode() + b"\n\n"))
    await writer.drain()
    await asyncio.sleep(30)


@pytest.mark.parametrize("more", [{}, {"continuous_usage_stats": False}, {"continuous_usage_stats": None}])
async def test_a_client_that_asks_for_the_last_usage_and_leaves_before_it_is_counted_by_tokens(
    tmp_path, start_server, more
):
    server = await start_server(drafting)
    price = {"inputPerMillion": "1000", "outputPerMillion": "1000"}
    budget = {"budgets": [{"per": "policy", "period": "day", "usd": "5", "mode": "soft"}]}
    gateway = WholeGateway(
        tmp_path / "gateway",
        {"first": [server]},
        {},
        spec={"governance": budget},
        pool={"engine": "vllm", "models": [{"name": "first", "pricing": price}]},
    )
    await gateway.start()
    try:
        asks = {"stream": True, "stream_options": {"include_usage": True, **more}}
        said = json.dumps({**CHAT_BODY, "model": "auto", **asks})
        url, kind = f"http://{gateway.gateway.address}{CHAT}", {"content-type": "application/json"}
        async with gateway.session.post(url, data=said, headers=kind) as answer:
            for _ in range(2):
                assert b"usage" not in await answer.content.readuntil(b"\n\n")
        await gateway.until(lambda: gateway.runtime.state.accounting.memory.figures() != (0, 0, 0))
        assert gateway.runtime.state.accounting.memory.figures() == ((9 + 8) * 1_000_000, 0, 0)
    finally:
        await gateway.stop()
