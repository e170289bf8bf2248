"""Output of streams that are cut before they say their usage: counted by Envoy, where it is asked to."""

import asyncio
import json
from pathlib import Path

import pytest
from envoy_rig import Received, chunk, pick, stream_head

from pilotage_extproc.envoy.contract import COUNT_OUTPUT, FLAG

FIXTURES = Path(__file__).parent.parent / "fixtures" / "vllm-0.32"
FLAGGED = {COUNT_OUTPUT: FLAG}


def chat_stream(tokens: int) -> bytes:
    events = [{"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]}]
    said = ["a", "\n", '"content":"x', "\\", "ü", " {"]
    events += [
        {"choices": [{"index": 0, "delta": {"content": said[number % len(said)]}}]}
        for number in range(tokens)
    ]
    return b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)


def cut_off(said: bytes, piece: int):
    """Sends it in pieces and then drops the connection."""

    async def answer(_request: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(stream_head())
        for start in range(0, len(said), piece):
            writer.write(chunk(said[start : start + piece]))
            await writer.drain()
            await asyncio.sleep(0.001)
        writer.transport.abort()

    return answer


@pytest.mark.parametrize("piece", [7, 50, 100_000])
async def test_the_output_of_a_stream_that_is_cut_is_counted(start_rig, start_server, piece):
    server = await start_server(cut_off(chat_stream(40), piece))
    rig = await start_rig(lambda head, body: pick(server.address, more=FLAGGED), [server.address])
    with pytest.raises(Exception):  # noqa: B017 - however the client sees it
        await rig.chat()
    [logged] = await rig.logged()
    assert logged.outcome.usage.output_tokens is None
    assert logged.outcome.counted_output == 40


@pytest.mark.parametrize(("name", "tokens"), [("chat.sse", 8), ("completions_lora_continuous_usage.sse", 4)])
async def test_what_engines_say_is_counted_as_they_count_it(start_rig, start_server, name, tokens):
    said = (FIXTURES / name).read_bytes()
    server = await start_server(cut_off(said, 10_000))
    rig = await start_rig(lambda head, body: pick(server.address, more=FLAGGED), [server.address])
    with pytest.raises(Exception):  # noqa: B017
        await rig.chat()
    [logged] = await rig.logged()
    assert logged.outcome.usage.output_tokens == tokens
    assert abs(logged.outcome.counted_output - tokens) <= 1


async def test_nothing_is_counted_where_nobody_asks(start_rig, start_server):
    server = await start_server(cut_off(chat_stream(5), 50))
    rig = await start_rig(lambda head, body: pick(server.address), [server.address])
    with pytest.raises(Exception):  # noqa: B017
        await rig.chat()
    [logged] = await rig.logged()
    assert logged.outcome.counted_output is None
