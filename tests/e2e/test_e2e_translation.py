"""A whole gateway that falls back to a provider of another API: no client notices, the explanation tells."""

import asyncio
import json

import anthropic
import openai
import pytest
from certificates import Authority
from gateway_rig import policy
from provider_answers import CHAT, CHAT_STREAM, MESSAGE, MESSAGE_STREAM, TEXT
from provider_stub import ProviderStub
from scripted_server import Received, chunk, fixed, stream_head

LOOPBACK = {"providers": {"networks": ["127.0.0.0/8", "::1/128"]}}
WHOLE = {"openai": CHAT, "anthropic": MESSAGE}
STREAM = {"openai": CHAT_STREAM, "anthropic": MESSAGE_STREAM}
HI = [{"role": "user", "content": "hi"}]


def answering(dialect: str):
    async def answer(request: Received, writer: asyncio.StreamWriter) -> None:
        if not json.loads(request.body).get("stream"):
            await fixed(200, json.dumps(WHOLE[dialect]).encode())(request, writer)
            return
        writer.write(stream_head() + chunk(STREAM[dialect]) + chunk(b""))

    return answer


@pytest.fixture
async def stub(tmp_path):
    made = ProviderStub(Authority(), hosts=("localhost",))
    await made.start(tmp_path)
    yield made
    await made.stop()


async def with_provider(start_gateway, stub: ProviderStub, dialect: str, order: dict):
    """A gateway with a pool of its own, and a provider that speaks this."""
    rig = await start_gateway(settings=LOOPBACK, policies=[order])
    tls = {"caBundle": stub.authority.certificate}
    rig.write(
        "hosted.yaml",
        {
            "apiVersion": "pilotage.dev/v1alpha1",
            "kind": "ModelPool",
            "metadata": {"name": "hosted"},
            "spec": {
                "external": {"host": "localhost", "port": stub.port, "dialect": dialect, "tls": tls},
                "models": [{"name": "strong", "upstreamName": "strong-2026", "maxOutputTokens": 4096}],
            },
        },
    )
    async with asyncio.timeout(10):
        while (
            counts := rig.runtime.following.pool_counts().get("default/hosted")
        ) is None or not counts.ready:
            await asyncio.sleep(0.01)
    stub.script += [answering(dialect)] * 2
    return rig


async def with_dead_pool(start_gateway, stub: ProviderStub, dialect: str):
    """The same, and its own pool is dead."""
    order = policy("auto", {"models": ["auto"]}, [{"model": "small"}, {"model": "strong"}])
    rig = await with_provider(start_gateway, stub, dialect, order)
    for server in rig.servers:
        await server.kill()
    return rig


async def outcomes_of(rig, count: int) -> list[dict]:
    """Of the last decisions, oldest first, once each has its outcome."""
    async with asyncio.timeout(10):
        while True:
            outcomes = [decision["outcome"] for decision in rig.decisions(count)]
            if len(outcomes) == count and all(outcomes):
                return outcomes[::-1]
            await asyncio.sleep(0.01)


async def test_an_openai_client_falls_back_to_anthropic(start_gateway, stub):
    rig = await with_dead_pool(start_gateway, stub, "anthropic")
    client = openai.AsyncOpenAI(api_key="k", base_url=f"{rig.url}/v1", max_retries=0)
    completion = await client.chat.completions.create(model="auto", messages=HI, seed=7)
    assert completion.choices[0].message.content == TEXT
    stream = await client.chat.completions.create(model="auto", messages=HI, stream=True)
    said = [piece async for piece in stream]
    await client.close()
    assert "".join(piece.choices[0].delta.content or "" for piece in said) == TEXT
    # this client did not ask for usage, so it sees none; the gateway has it all the same
    assert all(piece.choices and piece.usage is None for piece in said)
    assert [json.loads(got.body)["model"] for got in stub.received] == ["strong-2026"] * 2
    outcomes = await outcomes_of(rig, 2)
    assert [outcome["translation"] for outcome in outcomes] == [["seed: dropped"], []]
    for outcome in outcomes:
        assert outcome["usage"]["inputTokens"] == 22
        assert outcome["usage"]["outputTokens"] == 42


async def test_an_anthropic_client_falls_back_to_openai(start_gateway, stub):
    rig = await with_dead_pool(start_gateway, stub, "openai")
    client = anthropic.AsyncAnthropic(api_key="k", base_url=rig.url, max_retries=0)
    message = await client.messages.create(model="auto", max_tokens=9, messages=HI)
    async with client.messages.stream(model="auto", max_tokens=9, messages=HI) as stream:
        final = await stream.get_final_message()
    await client.close()
    assert [block.type for block in message.content] == ["text", "tool_use", "tool_use"]
    assert final.content[0].text == TEXT
    assert [outcome["usage"]["outputTokens"] for outcome in await outcomes_of(rig, 2)] == [42, 42]


@pytest.mark.parametrize("reasons", [None, ["connect"]])
async def test_what_a_provider_cannot_be_asked_goes_to_the_next_whatever_leads_on(
    start_gateway, stub, reasons
):
    order = policy("auto", {"models": ["auto"]}, [{"model": "strong"}, {"model": "small"}])
    if reasons:
        order = policy("auto", {"models": ["auto"]}, [{"model": "strong"}])
        order["spec"]["fallback"] = {"reasons": reasons, "to": [{"model": "small"}]}
    rig = await with_provider(start_gateway, stub, "anthropic", order)
    client = openai.AsyncOpenAI(api_key="k", base_url=f"{rig.url}/v1", max_retries=0)
    completion = await client.chat.completions.create(model="auto", messages=HI, logprobs=True, max_tokens=1)
    await client.close()
    assert completion.model == "llama-8b"
    assert stub.received == []
    async with asyncio.timeout(30):
        while not (failed := rig.decisions(1)[0]["failedAttempts"]):
            await asyncio.sleep(0.01)
    assert [(one["attempt"], one["reason"], one["status"]) for one in failed] == [(1, "capability", 400)]


async def test_where_the_own_pool_is_dead_and_the_provider_cannot_be_asked_clients_are_told_to_try_again(
    start_gateway, stub
):
    rig = await with_dead_pool(start_gateway, stub, "anthropic")
    async with openai.AsyncOpenAI(api_key="k", base_url=f"{rig.url}/v1", max_retries=0) as client:
        for stream in (False, True):
            with pytest.raises(openai.InternalServerError) as told:
                await client.chat.completions.create(model="auto", messages=HI, n=2, stream=stream)
            assert (told.value.status_code, told.value.code) == (503, "no_endpoints")
            assert told.value.response.headers["retry-after"] == "1"
            assert not [name for name in told.value.response.headers if "not-asked" in name]
        with pytest.raises(openai.BadRequestError) as refused:
            await client.chat.completions.create(model="strong", messages=HI, n=2)
        assert refused.value.param == "n"
        assert not [name for name in refused.value.response.headers if "not-asked" in name]
    assert stub.received == []


async def test_a_call_that_a_provider_does_not_have_is_decided_without_it(start_gateway, stub):
    order = policy("auto", {"models": ["auto"]}, [{"model": "strong"}, {"model": "small"}])
    rig = await with_provider(start_gateway, stub, "anthropic", order)
    async with openai.AsyncOpenAI(api_key="k", base_url=f"{rig.url}/v1", max_retries=0) as client:
        found = await client.embeddings.create(model="auto", input="hi", encoding_format="float")
        assert found.data[0].embedding
        assert {one["model"] for one in rig.decisions(1)[0]["attempts"]} == {"llama-8b"}
        with pytest.raises(openai.InternalServerError, match="no call like embeddings"):
            await client.embeddings.create(model="strong", input="hi")
    assert stub.received == []
