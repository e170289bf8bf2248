"""Token usage as Envoy's own filters read it from answers of a real vLLM, and from hostile ones."""

import asyncio
import json
import random
from pathlib import Path

import pytest
from dearer_tokens import DEARER
from envoy_rig import Received, chunk, fixed, pick, stream_head

from pilotage_extproc.domain.outcome import TokenUsage

FIXTURES = Path(__file__).parent.parent / "fixtures" / "vllm-0.32"

STREAMS = {
    "chat.sse": (TokenUsage(339, 8, None), None),
    "completions_lora_continuous_usage.sse": (TokenUsage(2, 4, None), None),
    "messages.sse": (TokenUsage(11, 8, None), None),
    "responses.sse": (TokenUsage(11, 8, 0, 0, 0), "resp_8b3668a4059fa6de"),
}
WHOLE = {
    "completion.json": (TokenUsage(2, 2, None), None),
    "messages.json": (TokenUsage(11, 8, None), None),
    "responses.json": (TokenUsage(11, 8, 0, 0, 0), "resp_9815f523a0867d2e"),
    "error_400.json": (TokenUsage(), None),
}


@pytest.mark.parametrize("name", WHOLE)
async def test_usage_is_read_from_unstreamed_answers(start_rig, start_server, name):
    said = (FIXTURES / name).read_bytes()
    server = await start_server(fixed(200, said))
    rig = await start_rig(lambda head, body: pick(server.address), [server.address])
    assert (await rig.chat())[2] == said
    [logged] = await rig.logged()
    usage, response_id = WHOLE[name]
    if name == "completion.json":
        told = json.loads(said)["usage"]
        usage = TokenUsage(told["prompt_tokens"], told["completion_tokens"], None)
    assert (logged.outcome.usage, logged.outcome.response_id) == (usage, response_id)


def in_pieces(said: bytes, cuts: list[int], content_type: str, pause: float = 0.001):
    """Answers cut at these places; each piece leaves by itself."""

    async def answer(_request: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(stream_head(content_type))
        for start, end in zip([0, *cuts], [*cuts, len(said)], strict=True):
            writer.write(chunk(said[start:end]))
            await writer.drain()
            await asyncio.sleep(pause)
        writer.write(chunk(b""))

    return answer


@pytest.mark.parametrize("name", [*STREAMS, "responses.json"])
async def test_usage_is_read_from_answers_cut_anywhere(start_rig, start_server, name):
    said = (FIXTURES / name).read_bytes()
    content_type = "text/event-stream" if name.endswith("sse") else "application/json"
    expected = {**STREAMS, **WHOLE}[name]
    seeded = random.Random(name)
    every_byte = list(range(1, len(said)))
    ways = [[], every_byte, *(sorted(seeded.sample(every_byte, 12)) for _ in range(40))]
    server = await start_server(fixed(200, b""))
    rig = await start_rig(lambda head, body: pick(server.address), [server.address])
    for number, cuts in enumerate(ways, 1):
        server.answer = in_pieces(said, cuts, content_type)
        _, _, body = await rig.chat()
        assert body == said
        logged = (await rig.logged(number))[-1]
        assert (logged.outcome.usage, logged.outcome.response_id) == expected, cuts


CACHED = {
    "chat": (
        '{"usage":{"prompt_tokens":9,"completion_tokens":4,"prompt_tokens_details":{"cached_tokens":6,'
        '"cache_write_tokens":2}}}',
        6,
        2,
    ),
    "responses": (
        '{"response":{"usage":{"input_tokens":9,"output_tokens":4,"input_tokens_details":{"cached_tokens":5}}}}',
        5,
        None,
    ),
    "anthropic": (
        '{"usage":{"input_tokens":1,"output_tokens":4,"cache_read_input_tokens":7,'
        '"cache_creation_input_tokens":1}}',
        7,
        1,
    ),
}


@pytest.mark.parametrize("name", CACHED)
async def test_cached_tokens_are_read_from_streams(start_rig, start_server, name):
    said, cached, written = CACHED[name]
    server = await start_server(fixed(200, f"data: {said}\n\n".encode(), "text/event-stream"))
    rig = await start_rig(lambda head, body: pick(server.address), [server.address])
    await rig.chat()
    [logged] = await rig.logged()
    assert logged.outcome.usage == TokenUsage(9, 4, cached, written)


@pytest.mark.parametrize("name", ["chat", "anthropic"])
async def test_cached_tokens_are_read_from_unstreamed_answers(start_rig, start_server, name):
    said, cached, written = CACHED[name]
    server = await start_server(fixed(200, said.encode()))
    rig = await start_rig(lambda head, body: pick(server.address), [server.address])
    await rig.chat()
    [logged] = await rig.logged()
    assert logged.outcome.usage == TokenUsage(9, 4, cached, written)


async def test_cache_writes_and_reasoning_are_read_where_they_are_told(start_rig, start_server):
    anthropic = b'{"usage":{"input_tokens":9,"output_tokens":4,"cache_creation_input_tokens":5}}'
    details = b'"completion_tokens_details":{"reasoning_tokens":3}'
    chat = b'{"usage":{"prompt_tokens":9,"completion_tokens":4,%b}}' % details
    responses = b'{"response":{"usage":{"output_tokens":4,"output_tokens_details":{"reasoning_tokens":2}}}}'
    server = await start_server(fixed(200, b""))
    rig = await start_rig(lambda head, body: pick(server.address), [server.address])
    for said in (anthropic, chat, responses):
        server.answer = fixed(200, b"data: %b\n\n" % said, "text/event-stream")
        await rig.chat()
    usages = [logged.outcome.usage for logged in await rig.logged(3)]
    assert usages == [
        TokenUsage(14, 4, None, 5, None),
        TokenUsage(9, 4, None, None, 3),
        TokenUsage(None, 4, None, None, 2),
    ]


async def test_tokens_with_prices_of_their_own_are_told_apart(start_rig, start_server):
    server = await start_server(fixed(200, b""))
    rig = await start_rig(lambda head, body: pick(server.address), [server.address])
    for said, _ in DEARER:
        for answer in (fixed(200, said), fixed(200, b"data: %b\n\n" % said, "text/event-stream")):
            server.answer = answer
            await rig.chat()
    usages = [logged.outcome.usage for logged in await rig.logged(2 * len(DEARER))]
    assert usages == [expected for _, expected in DEARER for _ in range(2)]


async def test_the_first_event_of_messages_does_not_say_how_long_the_answer_is(start_rig, start_server):
    said = b'data: {"type":"message_start","message":{"usage":{"input_tokens":11,"output_tokens":0}}}\n\n'
    server = await start_server(fixed(200, said, "text/event-stream"))
    rig = await start_rig(lambda head, body: pick(server.address), [server.address])
    await rig.chat()
    [logged] = await rig.logged()
    assert logged.outcome.usage == TokenUsage(11, None, None)


async def test_tokens_that_anthropic_counts_apart_belong_to_the_input_whatever_later_events_say(
    start_rig, start_server
):
    started = b'{"type":"message_start","message":{"usage":{"input_tokens":3100,"output_tokens":1,%b}}}'
    cached = b'"cache_read_input_tokens":9050,"cache_creation_input_tokens":20'
    ended = b'{"type":"message_delta","usage":{"input_tokens":3101,"output_tokens":7}}'
    said = b"".join(b"data: %b\n\n" % event for event in (started % cached, ended))
    server = await start_server(fixed(200, said, "text/event-stream"))
    rig = await start_rig(lambda head, body: pick(server.address), [server.address])
    await rig.chat()
    [logged] = await rig.logged()
    assert logged.outcome.usage == TokenUsage(3101 + 9050 + 20, 7, 9050, 20)


async def test_a_stream_that_is_cut_keeps_the_usage_it_had_told(start_rig, start_server):
    said = (FIXTURES / "completions_lora_continuous_usage.sse").read_bytes().split(b"\n\n")

    async def dies(_request: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(stream_head())
        for event in said[:2]:
            writer.write(chunk(event + b"\n\n"))
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.transport.abort()

    server = await start_server(dies)
    rig = await start_rig(lambda head, body: pick(server.address), [server.address])
    async with rig.session.post(rig.url + "/v1/completions", json={}) as answer:
        with pytest.raises(Exception):  # noqa: B017 - whatever the client calls a cut stream
            await answer.read()
    [logged] = await rig.logged()
    assert logged.outcome.usage == TokenUsage(2, 2, None)
    assert logged.outcome.response_flags


HOSTILE = [
    b"data: null",  # ends Envoy 1.40 where sse_to_metadata reads it
    b"data: 0",
    b"data: true",
    b'data: "text"',
    b"data: []",
    b"data: {",
    b"data: \xff\xfe",
    b"data: " + b"[" * 50_000,
    b"data: " + b'{"usage":' * 20_000,
    b'data: {"usage":null}',
    b'data: {"usage":7}',
    b'data: {"usage":{"prompt_tokens":null,"completion_tokens":"8"}}',
    b'data: {"usage":{"prompt_tokens":1e400,"completion_tokens":99999999999999999999}}',
    b'data: {"usage":{"prompt_tokens":1.5,"completion_tokens":-3}}',
    b'data: {"choices":[{"delta":{"content":"\\"usage\\":{\\"prompt_tokens\\":1}"}}]}',
    b'data: {"response":{"tools":[{"usage":{"input_tokens":1,"output_tokens":1}}]}}',
    b'data: {"choices":[{"usage":{"prompt_tokens":1}}]}',
    b'data: {"a":"\\\\","b":"usage","c":{"usage":{"prompt_tokens":1}}}',
    b'usage: {"usage":{"prompt_tokens":1}}',
    b': {"usage":{"prompt_tokens":1}}',
    b"\n\n\n",
]


async def test_no_answer_of_a_server_ends_envoy_or_passes_for_usage(start_rig, start_server):
    server = await start_server(fixed(200, b""))
    rig = await start_rig(lambda head, body: pick(server.address), [server.address])
    events = [(event + b"\n\n", "text/event-stream") for event in HOSTILE]
    whole = [(event.removeprefix(b"data: "), "application/json") for event in HOSTILE if event[:1] == b"d"]
    for number, (said, content_type) in enumerate(events + whole, 1):
        server.answer = fixed(200, said, content_type)
        status, _, body = await rig.chat()
        # a stream without content, and half an object, are failed attempts
        assert (status, body) == (502 if said[:1] in (b":", b"\n") or said == b"{" else 200, said)
        logged = (await rig.logged(number))[-1]
        assert logged.outcome.usage == TokenUsage(), said[:80]


async def test_long_events_and_answers_are_read_without_holding_them_back(start_rig, start_server):
    usage = b'"usage":{"input_tokens":3,"output_tokens":4}'
    long_event = b'data: {"response":{"text":"' + b"x" * (5 << 20) + b'",' + usage + b"}}\n\n"
    embeddings = b'{"data":[' + b"-0.0123456789," * (3 << 20) + b"0]," + usage + b"}"
    server = await start_server(fixed(200, long_event, "text/event-stream"))
    rig = await start_rig(lambda head, body: pick(server.address), [server.address])
    assert (await rig.chat())[2] == long_event
    server.answer = fixed(200, embeddings)  # longer than any body limit here
    assert (await rig.chat())[2] == embeddings
    assert [logged.outcome.usage for logged in await rig.logged(2)] == [TokenUsage(3, 4, None)] * 2


async def test_absurdly_long_usage_is_unknown(start_rig, start_server):
    server = await start_server(fixed(200, b'{"usage":{"x":"%s","prompt_tokens":5}}' % (b"y" * 100_000)))
    rig = await start_rig(lambda head, body: pick(server.address), [server.address])
    assert (await rig.chat())[0] == 200
    [logged] = await rig.logged()
    assert logged.outcome.usage == TokenUsage()
