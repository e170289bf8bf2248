"""Every kind of call of the table, through the demo gateway, by the clients people use."""

import importlib
import os
from types import ModuleType

import aiohttp
import anthropic
import openai
import pytest
from gateway_rig import GatewayRig

from pilotage_extproc.dialects.table import CALLS

USER = {"role": "user", "content": "Why is the sky blue?"}
SOUND = ("a.wav", b"RIFF" + bytes(64_000), "audio/wav")
PROXY = {"model": "openai/small", "api_key": "none", "max_retries": 0}


@pytest.fixture
async def client(gateway: GatewayRig):
    async with openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="none", max_retries=0) as one:
        yield one


@pytest.fixture
async def claude(gateway: GatewayRig):
    async with anthropic.AsyncAnthropic(base_url=gateway.url, api_key="none", max_retries=0) as one:
        yield one


@pytest.fixture
def litellm(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Imported where it is used: that takes seconds, and would ask the network for prices."""
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    return importlib.import_module("litellm")


async def decided(rig: GatewayRig, kind: str) -> dict:
    """The decision on the one call, which reached its model's server."""
    decision = await rig.settled_decision()
    assert decision["request"]["kind"] == kind
    assert decision["outcome"]["status"] == 200
    return decision


async def test_openai_transcribes_under_an_alias(gateway, client):
    answer = await client.audio.transcriptions.create(model="small", file=SOUND)
    assert answer.text
    assert answer.usage.seconds == 3
    decision = await decided(gateway, "transcriptions")
    assert decision["request"]["model"] == "small"
    assert decision["attempts"][0]["model"] == "llama-8b"


async def test_openai_streams_a_transcription(gateway, client):
    stream = await client.audio.transcriptions.create(model="small", file=SOUND, stream=True)
    assert [event async for event in stream]
    assert (await decided(gateway, "transcriptions"))["request"]["stream"] is True


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the client marks this call so
async def test_openai_translates(gateway, client):
    assert (await client.audio.translations.create(model="small", file=SOUND)).text
    await decided(gateway, "translations")


async def test_openai_asks_for_one_model(client):
    assert (await client.models.retrieve("small")).root == "llama-8b"
    with pytest.raises(openai.NotFoundError) as refused:
        await client.models.retrieve("org/none")
    assert refused.value.code == "model_not_found"


async def test_openai_sends_a_stateless_conversation_of_responses(gateway, client):
    first = await client.responses.create(model="small", input="Hello", store=False, max_output_tokens=4)
    turn = [USER, *(item.model_dump(exclude_none=True) for item in first.output), USER]
    again = await client.responses.create(model="small", input=turn, store=False, max_output_tokens=4)
    assert again.output_text


async def test_openai_knows_the_error_of_a_form(client):
    with pytest.raises(openai.NotFoundError) as refused:
        await client.audio.transcriptions.create(model="none", file=SOUND)
    assert refused.value.code == "model_not_found"


async def test_anthropic_sends_counts_and_streams_messages(gateway, claude):
    answer = await claude.messages.create(model="small", max_tokens=4, messages=[USER])
    assert answer.usage.output_tokens == 4
    counted = await claude.messages.count_tokens(model="small", messages=[USER])
    assert counted.input_tokens > 0
    async with claude.messages.stream(model="small", max_tokens=4, messages=[USER]) as stream:
        assert (await stream.get_final_message()).usage.output_tokens == 4


async def test_anthropic_counts_by_the_server_of_the_model(gateway, claude):
    await claude.messages.count_tokens(model="small", messages=[USER])
    assert (await decided(gateway, "count_tokens"))["attempts"][0]["model"] == "llama-8b"


async def test_anthropic_lists_models_and_asks_for_one(claude):
    page = await claude.models.list()
    assert [model.id for model in page.data] == ["llama-8b", "small", "sql-lora"]
    assert (await claude.models.retrieve("small")).type == "model"
    with pytest.raises(anthropic.NotFoundError) as refused:
        await claude.models.retrieve("none")
    assert refused.value.body["error"]["type"] == "not_found_error"


async def test_anthropic_raises_its_typed_exceptions(claude):
    with pytest.raises(anthropic.NotFoundError) as refused:
        await claude.messages.create(model="none", max_tokens=4, messages=[USER])
    assert refused.value.body["type"] == "error"
    assert refused.value.body["request_id"] == refused.value.response.headers["x-request-id"]
    with pytest.raises(anthropic.BadRequestError):
        await claude.messages.create(model="small", max_tokens=4, messages=[])


@pytest.mark.filterwarnings("ignore::UserWarning")  # pydantic's, of its own types
async def test_litellm_calls_every_kind_it_knows(gateway, litellm):
    to = {**PROXY, "api_base": f"{gateway.url}/v1"}
    chat = await litellm.acompletion(**to, messages=[USER], max_tokens=4)
    assert chat.usage.completion_tokens == 4
    stream = await litellm.acompletion(**to, messages=[USER], max_tokens=4, stream=True)
    assert [chunk async for chunk in stream]
    text = await litellm.atext_completion(
        **{**to, "model": "text-completion-openai/small"}, prompt="2+2=", max_tokens=3
    )
    assert text.usage.completion_tokens == 3
    assert len((await litellm.aembedding(**to, input=["a", "b"])).data) == 2
    assert (await litellm.aresponses(**to, input="Hello", max_output_tokens=4)).output
    assert (await litellm.atranscription(**to, file=SOUND)).text
    reranked = await litellm.arerank(
        model="hosted_vllm/small", query="sky", documents=["a", "b"], api_base=gateway.url, api_key="none"
    )
    assert len(reranked.results) == 2
    message = await litellm.anthropic.messages.acreate(
        model="anthropic/small", messages=[USER], max_tokens=4, api_base=gateway.url, api_key="none"
    )
    assert message["usage"]["output_tokens"] == 4
    with pytest.raises(litellm.NotFoundError):
        await litellm.acompletion(**{**to, "model": "openai/none"}, messages=[USER])


BODIES = {
    "chat": {"messages": [USER], "max_tokens": 2},
    "completions": {"prompt": "a", "max_tokens": 2},
    "responses": {"input": "a", "max_output_tokens": 2},
    "messages": {"messages": [USER], "max_tokens": 2},
    "count_tokens": {"messages": [USER]},
    "embeddings": {"input": "a"},
    "rerank": {"query": "sky", "documents": ["a", "b"]},
    "score": {"text_1": "sky", "text_2": ["a", "b"]},
    "classify": {"input": ["a"]},
    "pooling": {"input": "a"},
    "tokenize": {"prompt": "hello you"},
    "detokenize": {"tokens": [1819043176, 1864396399]},
}


def sent(kind: str, model: str | None) -> dict:
    """Arguments of a plain HTTP call of a kind."""
    if kind in BODIES:
        return {"json": BODIES[kind] if model is None else {"model": model, **BODIES[kind]}}
    form = aiohttp.FormData()
    form.add_field("file", SOUND[1], filename="a.wav", content_type="audio/wav")
    if model is not None:
        form.add_field("model", model)
    return {"data": form}


async def test_every_path_of_the_table_is_decided_on_and_served(gateway, session):
    for call, path in [(one, path) for one in CALLS for path in one.paths]:
        async with session.post(gateway.url + path, **sent(call.kind.value, "small")) as answer:
            assert answer.status == 200, (path, await answer.text())
            body = await answer.json()
        decision = await decided(gateway, call.kind.value)
        assert (decision["request"]["path"], decision["attempts"][0]["model"]) == (path, "llama-8b")
        assert body.get("model", "llama-8b") == "llama-8b"
        told = body.get("usage", {}).get("prompt_tokens")
        if call.usage and told is not None:
            assert decision["outcome"]["usage"]["inputTokens"] == told


OPTIONAL = [call for call in CALLS if not call.model_required]


async def test_a_call_without_a_model_goes_to_the_only_pool(gateway, session):
    for call in OPTIONAL:
        async with session.post(gateway.url + call.path, **sent(call.kind.value, None)) as answer:
            assert answer.status == 200, await answer.text()
    for call in set(CALLS) - set(OPTIONAL):
        async with session.post(gateway.url + call.path, **sent(call.kind.value, None)) as answer:
            assert answer.status == 400


async def test_without_a_model_and_with_two_pools_nothing_is_guessed(start_gateway, session):
    rig = await start_gateway(small=1, strong=1)
    for call in OPTIONAL:
        async with session.post(rig.url + call.path, **sent(call.kind.value, None)) as answer:
            assert (answer.status, (await answer.json())["error"]["code"]) == (400, "missing_model")


async def test_methods_are_answered_as_http_says(gateway, session):
    async with session.head(f"{gateway.url}/v1/models") as answer:
        assert (answer.status, await answer.read()) == (200, b"")
        assert int(answer.headers["content-length"]) > 0
    async with session.options(f"{gateway.url}/v1/chat/completions") as answer:
        assert (answer.status, answer.headers["allow"], await answer.read()) == (204, "POST, OPTIONS", b"")
    async with session.get(f"{gateway.url}/v1/messages") as answer:
        assert (answer.status, answer.headers["allow"]) == (405, "POST, OPTIONS")
        assert (await answer.json())["error"]["type"] == "invalid_request_error"
    async with session.post(f"{gateway.url}/v1/responses/compact", json={"model": "small"}) as answer:
        assert (await answer.json())["error"]["code"] == "unknown_path"


async def test_an_audio_call_that_is_no_form_is_415(gateway, session):
    async with session.post(f"{gateway.url}/v1/audio/transcriptions", json={"model": "small"}) as answer:
        assert answer.status == 415
        error = (await answer.json())["error"]
    assert (error["code"], "multipart/form-data" in error["message"]) == ("unsupported_media_type", True)


async def test_a_form_of_30_mb_arrives_whole(gateway, session):
    sound = os.urandom(30_000_000)
    form = aiohttp.FormData()
    form.add_field("model", "small")
    form.add_field("file", sound, filename="a.wav")
    async with session.post(f"{gateway.url}/v1/audio/transcriptions", data=form) as answer:
        assert (await answer.json())["usage"]["seconds"] == 938
