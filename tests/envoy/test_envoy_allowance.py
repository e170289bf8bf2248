"""Streams that go on past what a hard budget holds are ended as their API ends what reached its limit."""

import asyncio
import json

import anthropic
import openai
import pytest
from envoy_rig import CHAT_BODY, Received, chunk, pick, stream_head

from pilotage_extproc.envoy.contract import ALLOWANCE, COUNT_OUTPUT, FLAG, STRIP_USAGE

TOKENS, ALLOWED = 60, 20


def sse(event: dict, *, named: bool = False) -> bytes:
    name = f"event: {event['type']}\n".encode() if named else b""
    return name + b"data: " + json.dumps(event).encode() + b"\n\n"


def chat() -> bytes:
    head = {"id": "chatcmpl-7", "object": "chat.completion.chunk", "created": 7, "model": "m"}
    said = [{"role": "assistant", "content": ""}, *[{"content": f"w{at} "} for at in range(TOKENS)]]
    events = [{**head, "choices": [{"index": 0, "delta": one}]} for one in said]
    events.append({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    events.append({**head, "choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": TOKENS}})
    return b"".join(map(sse, events)) + b"data: [DONE]\n\n"


def completions() -> bytes:
    head = {"id": "cmpl-7", "object": "text_completion", "created": 7, "model": "m"}
    events = [{**head, "choices": [{"index": 0, "text": f"w{at} "}]} for at in range(TOKENS)]
    return b"".join(map(sse, events)) + b"data: [DONE]\n\n"


def messages() -> bytes:
    usage = {"input_tokens": 9, "output_tokens": 1}
    message = {"id": "msg_7", "type": "message", "role": "assistant", "model": "m", "content": []}
    events = [
        {"type": "message_start", "message": {**message, "stop_reason": None, "usage": usage}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    ]
    for at in range(TOKENS):
        delta = {"type": "text_delta", "text": f"w{at} "}
        events.append({"type": "content_block_delta", "index": 0, "delta": delta})
    events.append({"type": "content_block_stop", "index": 0})
    end = {"stop_reason": "end_turn", "stop_sequence": None}
    events.append({"type": "message_delta", "delta": end, "usage": {"output_tokens": TOKENS}})
    events.append({"type": "message_stop"})
    return b"".join([sse(event, named=True) for event in events])


def responses() -> bytes:
    made = {"id": "resp_7", "object": "response", "created_at": 7, "model": "m", "output": []}
    events = [{"type": "response.created", "response": {**made, "status": "in_progress"}}]
    for at in range(TOKENS):
        place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
        events.append({"type": "response.output_text.delta", **place, "delta": f"w{at} "})
    events.append({"type": "response.completed", "response": {**made, "status": "completed"}})
    return b"".join(
        [sse({**event, "sequence_number": number}, named=True) for number, event in enumerate(events)]
    )


def goes_on(said: bytes, piece: int):
    async def answer(_request: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(stream_head())
        for start in range(0, len(said), piece):
            writer.write(chunk(said[start : start + piece]))
            await writer.drain()
        writer.write(chunk(b""))

    return answer


async def started(start_rig, start_server, said, kind, piece, *, allowed=ALLOWED, more=()):
    server = await start_server(goes_on(said, piece))
    metadata = {ALLOWANCE: f"{kind} 1 {allowed}", COUNT_OUTPUT: FLAG, **dict(more)}
    return await start_rig(lambda head, body: pick(server.address, more=metadata), [server.address])


pieces = pytest.mark.parametrize("piece", [11, 64, 1 << 20])
ASKED = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
WORDS = "".join(f"w{at} " for at in range(ALLOWED + 1))


@pieces
async def test_a_chat_ends_with_length_and_what_was_used_is_known(start_rig, start_server, piece):
    rig = await started(start_rig, start_server, chat(), "chat", piece)
    client = openai.AsyncOpenAI(api_key="k", base_url=f"{rig.url}/v1", max_retries=0)
    chunks = [one async for one in await client.chat.completions.create(**ASKED, stream=True)]
    assert "".join(one.choices[0].delta.content or "" for one in chunks) == WORDS
    assert (chunks[-1].id, chunks[-1].model, chunks[-1].created) == ("chatcmpl-7", "m", 7)
    assert chunks[-1].choices[0].finish_reason == "length"
    _, _, body = await rig.chat({**CHAT_BODY, "stream": True})
    assert body.endswith(b"data: [DONE]\n\n")
    assert body.count(b"[DONE]") == 1
    logged = (await rig.logged(2))[1]
    assert logged.outcome.usage.output_tokens == TOKENS
    assert logged.outcome.ended_at == ALLOWED + 1


async def test_usage_that_is_taken_out_is_read_all_the_same(start_rig, start_server):
    rig = await started(start_rig, start_server, chat(), "chat", 50, more={STRIP_USAGE: FLAG}.items())
    _, _, body = await rig.chat({**CHAT_BODY, "stream": True})
    assert b"usage" not in body
    assert body.count(b'"w') == ALLOWED + 1
    [logged] = await rig.logged()
    assert logged.outcome.usage.output_tokens == TOKENS


@pieces
async def test_a_completion_ends_with_length(start_rig, start_server, piece):
    rig = await started(start_rig, start_server, completions(), "completions", piece)
    client = openai.AsyncOpenAI(api_key="k", base_url=f"{rig.url}/v1", max_retries=0)
    chunks = [one async for one in await client.completions.create(model="m", prompt="a", stream=True)]
    assert "".join(one.choices[0].text for one in chunks) == WORDS
    assert chunks[-1].choices[0].finish_reason == "length"


@pieces
async def test_a_message_ends_with_max_tokens_and_its_block_is_closed(start_rig, start_server, piece):
    rig = await started(start_rig, start_server, messages(), "messages", piece)
    client = anthropic.AsyncAnthropic(api_key="k", base_url=rig.url, max_retries=0)
    async with client.messages.stream(**ASKED, max_tokens=100) as stream:
        kinds = [event.type async for event in stream]
        message = await stream.get_final_message()
    assert message.content[0].text == WORDS
    assert message.stop_reason == "max_tokens"
    assert kinds[-1] == "message_stop"
    assert kinds.count("content_block_stop") == 1


@pieces
async def test_a_response_is_incomplete(start_rig, start_server, piece):
    rig = await started(start_rig, start_server, responses(), "responses", piece)
    client = openai.AsyncOpenAI(api_key="k", base_url=f"{rig.url}/v1", max_retries=0)
    events = [one async for one in await client.responses.create(model="m", input="a", stream=True)]
    assert "".join(one.delta for one in events if one.type == "response.output_text.delta") == WORDS
    last = events[-1]
    assert (last.type, last.response.id, last.response.status) == (
        "response.incomplete", "resp_7", "incomplete",
    )  # fmt: skip
    assert last.response.incomplete_details.reason == "max_output_tokens"
    assert [one.sequence_number for one in events] == list(range(len(events)))


async def test_a_stream_that_keeps_to_it_passes_byte_for_byte(start_rig, start_server):
    for kind, said in (("chat", chat()), ("messages", messages()), ("responses", responses())):
        rig = await started(start_rig, start_server, said, kind, 37, allowed=TOKENS)
        _, _, body = await rig.chat({**CHAT_BODY, "stream": True})
        assert body == said
        assert (await rig.logged())[0].outcome.ended_at is None
