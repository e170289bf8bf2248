"""The gateway in front of two real vLLM servers."""

import asyncio
import json
from typing import Any

import aiohttp
import httpx
import openai
import pytest
import pytest_asyncio
from gateway_records import failures, settled

pytestmark = pytest.mark.asyncio(loop_scope="session")

PROMPT = [{"role": "user", "content": "Why is the sky blue?"}]
CHAT: dict[str, Any] = {"model": "small", "messages": PROMPT, "max_tokens": 8}


@pytest_asyncio.fixture(loop_scope="session")
async def client(gateway):
    async with openai.AsyncOpenAI(
        base_url=f"http://{gateway.address}/v1", api_key="none", max_retries=0
    ) as one:
        yield one


@pytest_asyncio.fixture(loop_scope="session")
async def session():
    async with aiohttp.ClientSession() as one:
        yield one


async def test_a_chat_and_its_usage(gateway, client):
    answer = await client.chat.completions.create(**CHAT)
    usage = (await settled(gateway))["outcome"]["usage"]
    assert answer.model == "tiny"
    assert usage["inputTokens"] == answer.usage.prompt_tokens
    assert usage["outputTokens"] == answer.usage.completion_tokens


async def test_a_streamed_chat_and_its_usage(gateway, client):
    stream = await client.chat.completions.create(**CHAT, stream=True, stream_options={"include_usage": True})
    [usage] = [chunk.usage async for chunk in stream if chunk.usage]
    outcome = (await settled(gateway))["outcome"]
    assert outcome["usage"]["outputTokens"] == usage.completion_tokens
    assert outcome["usage"]["inputTokens"] == usage.prompt_tokens
    assert 0 < outcome["ttftSeconds"] <= outcome["durationSeconds"]


async def test_a_client_that_asks_for_usage_and_leaves_before_it_is_counted(gateway, client):
    asks = {"stream": True, "stream_options": {"include_usage": True}}
    stream = await client.chat.completions.create(**{**CHAT, "max_tokens": 500}, **asks)
    seen = []
    async for chunk in stream:
        seen.append(chunk)
        if len(seen) == 3:
            break
    await stream.close()
    assert all(chunk.usage is None for chunk in seen)
    outcome = (await settled(gateway))["outcome"]
    assert 1 <= outcome["usage"]["outputTokens"] < 500
    assert outcome["usage"]["inputTokens"] > 0


async def test_a_client_that_does_not_ask_for_usage_sees_none_and_it_is_known_all_the_same(gateway, client):
    stream = await client.chat.completions.create(**CHAT, stream=True)
    chunks = [chunk async for chunk in stream]
    assert not any(chunk.usage for chunk in chunks)
    assert all(chunk.choices for chunk in chunks)
    usage = (await settled(gateway))["outcome"]["usage"]
    assert usage["inputTokens"] > 0
    assert usage["outputTokens"] > 0


async def test_completions_streamed_and_not(gateway, client):
    answer = await client.completions.create(model="small", prompt="2+2=", max_tokens=4)
    assert (await settled(gateway))["outcome"]["usage"]["outputTokens"] == answer.usage.completion_tokens
    stream = await client.completions.create(model="small", prompt="2+2=", max_tokens=4, stream=True)
    assert [chunk async for chunk in stream]
    assert (await settled(gateway))["outcome"]["usage"]["outputTokens"] == 4


async def test_responses_streamed_and_not(gateway, client):
    answer = await client.responses.create(model="small", input="hello", max_output_tokens=8)
    usage = (await settled(gateway))["outcome"]["usage"]
    assert (usage["inputTokens"], usage["outputTokens"]) == (
        answer.usage.input_tokens,
        answer.usage.output_tokens,
    )
    stream = await client.responses.create(model="small", input="hello", max_output_tokens=8, stream=True)
    events = [event async for event in stream]
    assert events[-1].type in ("response.completed", "response.incomplete")
    assert (await settled(gateway))["outcome"]["usage"]["outputTokens"] == 8


@pytest.mark.parametrize("stream", [False, True])
async def test_anthropic_messages(gateway, session, stream):
    url = f"http://{gateway.address}/v1/messages"
    async with session.post(url, json={**CHAT, "stream": stream}) as answer:
        assert answer.status == 200, await answer.text()
        await answer.read()
    decision = await settled(gateway)
    assert decision["request"]["kind"] == "messages"
    assert decision["outcome"]["usage"]["outputTokens"] == 8


async def test_an_embeddings_call_gets_the_engines_own_refusal(gateway, session):
    # the tiny model generates: vLLM has no embeddings for it, and says so through the gateway
    url = f"http://{gateway.address}/v1/embeddings"
    async with session.post(url, json={"model": "small", "input": "x"}) as answer:
        assert answer.status in (400, 404, 405)
    assert (await settled(gateway))["request"]["kind"] == "embeddings"


async def test_an_adapter_is_asked_for_by_its_own_name(gateway, client):
    for name in ("sql-lora", "chat-lora"):
        answer = await client.chat.completions.create(**{**CHAT, "model": name})
        assert answer.model == name
        assert (await settled(gateway))["attempts"][0]["model"] == name


async def test_an_engine_error_is_the_engines_own(gateway, client):
    with pytest.raises(openai.BadRequestError) as raised:
        await client.chat.completions.create(**{**CHAT, "max_tokens": 100_000})
    assert raised.value.body["type"] == "BadRequestError"
    assert (await settled(gateway))["outcome"]["status"] == 400


async def test_bad_requests_do_not_reach_an_engine(client):
    with pytest.raises(openai.NotFoundError) as missing:
        await client.chat.completions.create(**{**CHAT, "model": "nope"})
    assert missing.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as empty:
        await client.chat.completions.create(**{**CHAT, "messages": []})
    assert empty.value.code == "missing_prompt"


async def test_the_model_list(client):
    assert {model.id async for model in client.models.list()} == {"tiny", "small", "sql-lora", "chat-lora"}


async def test_the_engines_metrics_are_read(gateway):
    endpoints = json.loads(gateway.server.view.endpoints())["endpoints"]
    assert len(endpoints) == 2
    for endpoint in endpoints:
        assert endpoint["waiting"] is not None
        assert endpoint["kvUsage"] is not None
        assert endpoint["metricsAgeSeconds"] < 5


async def test_both_servers_take_part(gateway, client):
    await asyncio.gather(*(client.chat.completions.create(**CHAT) for _ in range(12)))
    decisions = json.loads(gateway.server.view.recent_decisions(12))["decisions"]
    assert len({decision["attempts"][0]["address"] for decision in decisions}) == 2


async def test_a_killed_server_costs_no_request_without_a_first_byte(gateway, client, servers):
    async def streamed() -> str:
        seen = False
        try:
            stream = await client.chat.completions.create(**{**CHAT, "max_tokens": 200}, stream=True)
            async for chunk in stream:
                seen = seen or bool(chunk.choices)
        except (openai.APIError, httpx.HTTPError) as error:
            return "cut after its first chunk" if seen else f"lost: {error!r}"
        return "answered"

    async def unstreamed() -> str:
        try:
            await client.chat.completions.create(**{**CHAT, "max_tokens": 100})
        except (openai.APIError, httpx.HTTPError) as error:
            return f"lost: {error!r}"
        return "answered"

    calls = [asyncio.create_task(one()) for one in (streamed, unstreamed) * 8]
    await asyncio.sleep(0.3)
    servers[0].kill()
    results = await asyncio.gather(*calls)
    lost = [result for result in results if result.startswith("lost")]
    told = (
        [await failures(gateway, 16), [one.said() for one in servers if one.ended_by_itself]] if lost else []
    )
    assert not lost, f"{lost} of {results}; {servers[0].address} was killed; {told}"
    assert results[1::2] == ["answered"] * 8
    answer = await client.chat.completions.create(**CHAT)
    assert answer.usage.completion_tokens
