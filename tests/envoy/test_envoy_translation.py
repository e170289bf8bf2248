"""Providers of another API than the client's, behind a real Envoy: the SDKs of both drive each direction."""

import asyncio
import json

import anthropic
import openai
import pytest
from envoy_rig import fixed
from provider_answers import (
    ARGUMENTS,
    CHAT,
    CHAT_STREAM,
    MESSAGE,
    MESSAGE_STREAM,
    TEXT,
    chat_chunk,
    message_event,
    message_start,
)
from provider_rig import external
from provider_stub import ProviderStub, raw, refused
from scripted_server import Received, chunk, stream_head
from sdk_types import check_request
from translated_requests import CHAT as CHAT_REQUEST
from translated_requests import MESSAGES as MESSAGES_REQUEST
from translated_requests import RESPONSES as RESPONSES_REQUEST

from pilotage_api.external_snapshot import ProviderDialect
from pilotage_api.facts_snapshot import ModelSnapshot
from pilotage_extproc.domain.head import CallKind

OPENAI, ANTHROPIC = ProviderDialect.OPENAI, ProviderDialect.ANTHROPIC
OPENAI_CHAT = ProviderDialect.OPENAI_CHAT
SPEAKS = {OPENAI: CallKind.CHAT, OPENAI_CHAT: CallKind.CHAT, ANTHROPIC: CallKind.MESSAGES}
WHOLE = {OPENAI: CHAT, OPENAI_CHAT: CHAT, ANTHROPIC: MESSAGE}
STREAM = {OPENAI: CHAT_STREAM, OPENAI_CHAT: CHAT_STREAM, ANTHROPIC: MESSAGE_STREAM}
HI = [{"role": "user", "content": "hi"}]


def answering(dialect: ProviderDialect):
    """A provider that checks each request by its SDK's types, and answers all that its API can say."""

    async def answer(request: Received, writer: asyncio.StreamWriter) -> None:
        asked = json.loads(request.body)
        check_request(SPEAKS[dialect], asked)
        if not asked.get("stream"):
            await fixed(200, json.dumps(WHOLE[dialect]).encode())(request, writer)
            return
        await streamed(STREAM[dialect])(request, writer)

    return answer


def streamed(said: bytes):
    async def answer(_request: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(stream_head())
        for event in said.split(b"\n\n")[:-1]:
            writer.write(chunk(event + b"\n\n"))
            await writer.drain()
        writer.write(chunk(b""))

    return answer


class Gateway:
    """A rig with one provider."""

    def __init__(self, rig, stub: ProviderStub, dialect: ProviderDialect) -> None:
        self.rig = rig
        self.stub = stub
        self.dialect = dialect
        self.openai = openai.AsyncOpenAI(api_key="theirs", base_url=f"{rig.url}/v1", max_retries=0)
        self.anthropic = anthropic.AsyncAnthropic(api_key="theirs", base_url=rig.url, max_retries=0)

    def says(self, *answers) -> None:
        self.stub.script += answers

    def answers(self, times: int = 1) -> None:
        self.stub.script += [answering(self.dialect)] * times


@pytest.fixture
async def start_gateway(start_provider_rig, start_stub):
    gateways = []
    facts = ModelSnapshot(
        upstream_model="strong", name="strong", max_output_tokens=4096, capabilities=("reasoning",)
    )

    async def start(dialect: ProviderDialect, *then: str) -> Gateway:
        stub = await start_stub()
        made = external(stub, dialect=dialect)
        rig = await start_provider_rig(stub, *then, made=made, models=("strong",), model_facts=(facts,))
        gateways.append(Gateway(rig, stub, dialect))
        return gateways[-1]

    yield start
    for gateway in gateways:
        await gateway.openai.close()
        await gateway.anthropic.close()


def without(request: dict, *names: str) -> dict:
    return {name: value for name, value in request.items() if name not in names}


async def test_an_openai_client_talks_to_anthropic(start_gateway):
    gateway = await start_gateway(ANTHROPIC)
    gateway.answers(2)
    client = gateway.openai
    asked = without(CHAT_REQUEST, "top_k", "stream", "stream_options")
    completion = await client.chat.completions.create(**asked)
    message = completion.choices[0].message
    assert (message.content, message.reasoning_content) == (TEXT, "Two tools.")
    assert [call.function.name for call in message.tool_calls] == ["look", "now"]
    assert completion.usage.total_tokens == 64
    async with client.chat.completions.stream(
        model="strong", messages=HI, stream_options={"include_usage": True}
    ) as stream:
        await stream.until_done()
        streamed_completion = await stream.get_final_completion()
    assert streamed_completion.choices[0].message.content == TEXT
    assert streamed_completion.usage.prompt_tokens == 22
    first, second = gateway.stub.received
    assert first.path == second.path == "/v1/messages"
    assert first.headers["anthropic-version"]
    assert json.loads(second.body)["max_tokens"] == 4096
    outcomes = [logged.outcome for logged in await gateway.rig.logged(2)]
    assert "seed: dropped" in outcomes[0].translation
    assert outcomes[1].translation == ()
    for outcome in outcomes:
        usage = outcome.usage
        assert (usage.input_tokens, usage.output_tokens, usage.cached_input_tokens) == (22, 42, 7)
        assert usage.reasoning_tokens == 12


async def test_an_anthropic_client_talks_to_openai(start_gateway):
    gateway = await start_gateway(OPENAI)
    gateway.answers(2)
    client = gateway.anthropic
    asked = without(MESSAGES_REQUEST, "top_k", "top_p", "temperature", "stream")
    message = await client.messages.create(**asked)
    thinking, text, look, now = message.content
    assert (thinking.thinking, text.text) == ("Two tools.", TEXT)
    assert (look.input, now.input) == (json.loads(ARGUMENTS), {})
    assert message.stop_reason == "tool_use"
    async with client.messages.stream(model="strong", max_tokens=9, messages=HI) as stream:
        final = await stream.get_final_message()
    text, look, now = final.content
    assert (text.text, look.input, now.input) == (TEXT, json.loads(ARGUMENTS), {})
    assert (final.usage.input_tokens, final.usage.output_tokens) == (10, 42)
    assert [got.path for got in gateway.stub.received] == ["/v1/chat/completions"] * 2
    for logged in await gateway.rig.logged(2):
        usage = logged.outcome.usage
        assert (usage.input_tokens, usage.output_tokens, usage.cached_input_tokens) == (22, 42, 7)


@pytest.mark.parametrize("dialect", [ANTHROPIC, OPENAI_CHAT])
async def test_a_responses_client_talks_to_a_provider_without_responses(start_gateway, dialect):
    gateway = await start_gateway(dialect)
    gateway.answers(2)
    client = gateway.openai
    response = await client.responses.create(**without(RESPONSES_REQUEST, "stream"))
    assert response.output_text == TEXT
    async with client.responses.stream(model="strong", input="hi") as stream:
        final = await stream.get_final_response()
    assert final.output_text == TEXT
    assert final.usage.total_tokens == 64
    assert (await gateway.rig.logged(2))[1].outcome.response_id is None


async def test_what_both_speak_passes_untouched(start_gateway):
    gateway = await start_gateway(ANTHROPIC)
    gateway.answers(1)
    asked = {"model": "strong", "max_tokens": 5, "messages": HI, "stream": True}
    async with gateway.rig.session.post(gateway.rig.url + "/v1/messages", json=asked) as answer:
        assert await answer.read() == MESSAGE_STREAM
    assert json.loads(gateway.stub.received[0].body) == asked


async def test_notes_reach_the_log_and_no_client(start_gateway):
    gateway = await start_gateway(ANTHROPIC)
    gateway.answers(1)
    _, headers, _ = await gateway.rig.chat(
        {"model": "strong", "messages": HI, "seed": 7, "logit_bias": {"1": 2}}
    )
    assert not [name for name in headers if "translation" in name.lower()]
    [logged] = await gateway.rig.logged()
    assert logged.outcome.translation == ("seed: dropped", "logit_bias: dropped")


@pytest.mark.parametrize("dialect", [OPENAI, ANTHROPIC])
async def test_a_field_that_cannot_be_said_is_refused_in_the_callers_shape(start_gateway, dialect):
    gateway = await start_gateway(dialect)
    if dialect is ANTHROPIC:
        with pytest.raises(openai.BadRequestError) as refusal:
            await gateway.openai.chat.completions.create(model="strong", messages=HI, n=2)
        assert (refusal.value.param, refusal.value.code) == ("n", "not_translatable")
        assert "x-pilotage-try-next" not in refusal.value.response.headers
    else:
        with pytest.raises(anthropic.BadRequestError, match="container"):
            await gateway.anthropic.messages.create(
                model="strong", max_tokens=5, messages=HI, extra_body={"container": "c"}
            )
    assert gateway.stub.received == []


async def test_a_provider_that_cannot_be_asked_leaves_it_to_the_next_of_the_list(start_gateway, start_server):
    server = await start_server(fixed(200, b'{"served": "by the next"}'))
    gateway = await start_gateway(ANTHROPIC, server.address)
    asked = {"model": "strong", "messages": HI, "n": 2}
    status, headers, body = await gateway.rig.chat(asked)
    assert (status, json.loads(body)) == (200, {"served": "by the next"})
    assert (json.loads(server.received[0].body), gateway.stub.received) == (asked, [])
    server.answer = fixed(503, b"{}")
    status, headers, _ = await gateway.rig.chat(asked)
    assert status == 503
    assert "x-pilotage-try-next" not in headers


FAILURES = [
    (refused(401), 502),
    (refused(402), 402),
    (refused(404), 404),
    (refused(429, retry_after="7"), 429),
    (refused(529), 529),
    (raw(503, b"<html>RUBBISH</html>"), 503),
    (raw(200, b"<html>RUBBISH</html>"), 502),
    (raw(200, b'{"choices": [{"RUBBISH', "application/json"), 502),
    (raw(200, b'{"error": {"message": "no", "code": 429}}', "application/json"), 429),
    (raw(302, b"", location="https://elsewhere.example/"), 502),
]


@pytest.mark.parametrize("dialect", [OPENAI, ANTHROPIC])
async def test_failures_of_a_provider_are_the_callers_typed_errors(start_gateway, dialect):
    gateway = await start_gateway(dialect)
    for answer, status in FAILURES:
        for stream in (False, True):
            gateway.says(answer)
            with pytest.raises((openai.APIStatusError, anthropic.APIStatusError)) as error:
                if dialect is ANTHROPIC:
                    await gateway.openai.chat.completions.create(model="strong", messages=HI, stream=stream)
                else:
                    await gateway.anthropic.messages.create(
                        model="strong", max_tokens=5, messages=HI, stream=stream
                    )
            assert error.value.status_code == status
            assert "RUBBISH" not in str(error.value)
            assert isinstance(error.value.body, dict)


BEGUN = {
    ANTHROPIC: message_start()
    + message_event("content_block_start", index=0, content_block={"type": "text", "text": ""})
    + message_event("content_block_delta", index=0, delta={"type": "text_delta", "text": "hello"}),
    OPENAI: chat_chunk({"role": "assistant", "content": "hello"}),
}


@pytest.mark.parametrize("dialect", [OPENAI, ANTHROPIC])
@pytest.mark.parametrize(
    "rest", [b"", b"data: {RUBBISH\n\n", b'data: {"type":"error","error":{"message":"no"}}\n\n']
)
@pytest.mark.parametrize("length", [True, False])
async def test_a_stream_that_goes_wrong_ends_with_an_error_event(start_gateway, dialect, rest, length):
    """Also where the last bytes come together with the end, as with a content length."""
    gateway = await start_gateway(dialect)
    said = BEGUN[dialect] + rest
    gateway.says(raw(200, said, "text/event-stream") if length else streamed(said))
    with pytest.raises((openai.APIError, anthropic.APIError)) as error:
        if dialect is ANTHROPIC:
            chunks = await gateway.openai.chat.completions.create(model="strong", messages=HI, stream=True)
            async for _ in chunks:
                pass
        else:
            async with gateway.anthropic.messages.stream(model="strong", max_tokens=5, messages=HI) as stream:
                await stream.get_final_message()
    assert "RUBBISH" not in str(error.value)
    [logged] = await gateway.rig.logged()
    assert logged.outcome.stream_error is not None
