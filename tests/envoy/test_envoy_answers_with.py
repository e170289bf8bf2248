"""Rules on answers beside what else happens to a request: translation, fallback, usage, limits, a queue."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from envoy_rig import ModelServer, Received, chunk, fixed, stream_head
from faulty_providers import TIMES, hosted
from hosted_pools import LOOPBACK
from provider_answers import chat_chunk, message_event, message_start
from provider_stub import ProviderStub, refused
from whole_gateway import WholeGateway

pytestmark = pytest.mark.envoy

SECRET = "AKIAIOSFODNN7EXAMPLE"
EMAIL = "alice@mail.example"
CONTENT = {
    "request": [{"detectors": ["email"], "action": "redact", "restore": "text"}],
    "response": [{"detectors": ["secret"], "action": "block"}],
}


def name_in(request: Received) -> str:
    """The placeholder that a server got."""
    body = request.body.decode()
    start = body.index("[EMAIL_")
    return body[start : start + 18]


def streaming(*events: bytes) -> Any:
    async def answer(_request: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(stream_head())
        for one in events:
            writer.write(chunk(one))
            await writer.drain()
        writer.write(chunk(b""))

    return answer


def claude(text: str) -> list[bytes]:
    """A stream of messages."""
    pieces = [text[at : at + 4] for at in range(0, len(text), 4)]
    block = {"type": "text", "text": ""}
    deltas = [{"type": "text_delta", "text": piece} for piece in pieces]
    return [
        message_start(input_tokens=5),
        message_event("content_block_start", index=0, content_block=block),
        *(message_event("content_block_delta", index=0, delta=delta) for delta in deltas),
        message_event("content_block_stop", index=0),
        message_event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 9}),
        message_event("message_stop"),
    ]


def text_of(stream: bytes) -> str:
    events = [json.loads(line[6:]) for line in stream.splitlines() if line.startswith(b"data: {")]
    choices = [choice for event in events for choice in event["choices"]]
    return "".join(choice["delta"].get("content") or "" for choice in choices)


class Hosted(WholeGateway):
    """A provider that speaks messages, a server behind it, and rules on answers."""

    def __init__(self, folder: Path, stub: ProviderStub, spare: ModelServer) -> None:
        rule = {
            "candidates": [{"model": "hosted"}],
            "timeouts": TIMES,
            "fallback": {"reasons": ["serverError", "unavailable", "connect"], "to": [{"model": "spare"}]},
        }
        spec = {"governance": {"content": CONTENT}}
        documents = [hosted(stub, "anthropic")]
        super().__init__(folder, {"spare": [spare]}, rule, documents=documents, spec=spec, **LOOPBACK)


@pytest.fixture
async def spare() -> AsyncIterator[ModelServer]:
    server = ModelServer(fixed(200, b'{"choices":[{"message":{"content":"of the spare"}}]}'))
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def gateway(tmp_path: Path, stub: ProviderStub, spare: ModelServer) -> AsyncIterator[Hosted]:
    made = Hosted(tmp_path / "policies", stub, spare)
    await made.start()
    await made.until_usable("hosted")
    yield made
    await made.stop()


async def test_what_a_provider_says_is_looked_at_as_the_client_gets_it(
    gateway: Hosted, stub: ProviderStub
) -> None:
    stub.script.append(streaming(*claude(f"the key is {SECRET} so")))
    status, _, body = await gateway.chat(stream=True)
    assert status == 200
    assert SECRET[:5].encode() not in body
    assert b'"finish_reason":"content_filter"' in body
    assert body.endswith(b"data: [DONE]\n\n")


async def test_a_value_comes_back_in_a_translated_answer(gateway: Hosted, stub: ProviderStub) -> None:
    async def echo(request: Received, writer: asyncio.StreamWriter) -> None:
        await streaming(*claude(f"I wrote to {name_in(request)}."))(request, writer)

    stub.script.append(echo)
    messages = [{"role": "user", "content": f"write to {EMAIL}"}]
    _, _, body = await gateway.chat(stream=True, messages=messages)
    assert EMAIL not in stub.received[-1].body.decode()
    assert text_of(body) == f"I wrote to {EMAIL}."
    assert (await gateway.explained())["outcome"]["usage"]["outputTokens"] == 9


async def test_only_the_answer_of_the_last_attempt_is_looked_at(
    gateway: Hosted, stub: ProviderStub, spare: ModelServer
) -> None:
    stub.script.append(refused(500, f"the key {SECRET}"))
    status, _, body = await gateway.chat()
    assert (status, spare.received != []) == (200, True)
    assert b"of the spare" in body
    decision = await gateway.explained()
    assert decision["outcome"]["content"] == []
    assert SECRET not in json.dumps(decision)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_value_comes_back_in_the_answer_of_the_attempt_that_worked(
    gateway: Hosted, stub: ProviderStub, spare: ModelServer, stream: bool
) -> None:
    async def echo(request: Received, writer: asyncio.StreamWriter) -> None:
        said = f"I wrote to {name_in(request)}."
        if stream:
            pieces = [said[at : at + 4] for at in range(0, len(said), 4)]
            await streaming(*(chat_chunk({"content": one}) for one in pieces), b"data: [DONE]\n\n")(
                request, writer
            )
        else:
            await fixed(200, json.dumps({"choices": [{"message": {"content": said}}]}).encode())(
                request, writer
            )

    stub.script.append(refused(500, "the first has had enough"))
    spare.answer = echo
    messages = [{"role": "user", "content": f"write to {EMAIL}"}]
    status, _, body = await gateway.chat(stream=stream, messages=messages)
    assert status == 200
    names = {name_in(stub.received[-1]), name_in(spare.received[-1])}
    assert len(names) == 1
    said = text_of(body) if stream else json.loads(body)["choices"][0]["message"]["content"]
    assert said == f"I wrote to {EMAIL}."
    assert EMAIL not in spare.received[-1].body.decode()


class Counting:
    """A server of a stream that says its usage where it is asked for."""

    def __init__(self, text: str) -> None:
        self.text = text

    async def __call__(self, request: Received, writer: asyncio.StreamWriter) -> None:
        pieces = [self.text[at : at + 4] for at in range(0, len(self.text), 4)]
        events = [chat_chunk({"content": piece}) for piece in pieces]
        if json.loads(request.body).get("stream_options", {}).get("include_usage"):
            events.append(b'data: {"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":9}}\n\n')
        await streaming(*events, b"data: [DONE]\n\n")(request, writer)


async def test_usage_limits_and_a_queue_work_beside_rules_on_answers(tmp_path: Path) -> None:
    counting = Counting(f"mail {EMAIL} please")
    server = ModelServer(counting)
    await server.start()
    limits = [{"per": "policy", "window": "1m", "outputTokens": 5000}]
    content = {"response": [*CONTENT["response"], {"detectors": ["email"], "action": "redact"}]}
    gateway = WholeGateway(
        tmp_path / "policies",
        {"m": [server]},
        {},
        spec={"governance": {"content": content, "limits": limits}, "queue": {"maxWait": "5s"}},
        pool={"streamUsage": "inject"},
    )
    await gateway.start()
    try:
        status, headers, body = await gateway.chat(stream=True)
        assert status == 200
        assert text_of(body).startswith("mail [EMAIL_")
        assert b'"usage"' not in body
        assert "x-ratelimit-limit-tokens" in headers
        assert (await gateway.explained())["outcome"]["usage"]["outputTokens"] == 9
        counting.text = f"the key is {SECRET} " + "and so on " * 50
        _, _, body = await gateway.chat(stream=True)
        assert SECRET[:5].encode() not in body
        outcome = (await gateway.explained())["outcome"]
        assert outcome["content"] == [{"detector": "secret", "action": "block", "count": 1}]
        assert outcome["status"] == 200
    finally:
        await gateway.stop()
        await server.stop()
