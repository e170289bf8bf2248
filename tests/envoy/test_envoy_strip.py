"""Usage that the picker asked for and the client did not: read by Envoy, and never seen by the client."""

import asyncio
import json
import random
from pathlib import Path

import pytest
from envoy_rig import Received, chunk, fixed, pick, stream_head
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pilotage_extproc.domain.outcome import TokenUsage
from pilotage_extproc.envoy.contract import FLAG, KEEP_LAST_USAGE, STRIP_USAGE

FIXTURES = Path(__file__).parent.parent / "fixtures" / "vllm-0.32"
STREAM = (FIXTURES / "completions_lora_continuous_usage.sse").read_bytes()
ROLE = b'data: {"choices":[{"delta":{"role":"assistant","content":""}}]}\n\n'
CONTENT = b'data: {"choices":[{"delta":{"content":"hi"}}]}\n\n'
FLAGGED = {STRIP_USAGE: FLAG}


def as_without_usage(said: bytes) -> bytes:
    """What the same server would have sent had nobody asked for usage."""
    events = []
    for event in said.split(b"\n\n")[:-1]:
        if event.startswith(b"data: {"):
            text = event.removeprefix(b"data: ")
            parsed = json.loads(text)
            if parsed["choices"] == []:
                continue
            usage = json.dumps(parsed["usage"], separators=(",", ":")).encode()
            events.append(event.replace(b',"usage":' + usage, b"") + b"\n\n")
        else:
            events.append(event + b"\n\n")
    return b"".join(events)


def in_pieces(said: bytes, cuts: list[int], pause: float = 0.001):
    async def answer(_request: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(stream_head())
        for start, end in zip([0, *cuts], [*cuts, len(said)], strict=True):
            writer.write(chunk(said[start:end]))
            if pause:
                await writer.drain()
                await asyncio.sleep(pause)
        writer.write(chunk(b""))

    return answer


async def start(start_rig, start_server, said=b""):
    server = await start_server(fixed(200, said, "text/event-stream"))
    return server, await start_rig(lambda head, body: pick(server.address, more=FLAGGED), [server.address])


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
async def test_a_stream_has_no_usage_for_its_client_wherever_it_is_cut(start_rig, start_server, line_end):
    said, expected = (text.replace(b"\n", line_end) for text in (STREAM, as_without_usage(STREAM)))
    assert b"usage" not in expected
    server, rig = await start(start_rig, start_server)
    seeded = random.Random(7)
    every_byte = list(range(1, len(said)))
    single = [[at] for at in range(1, len(said), 7)]
    ways = [[], every_byte, *single, *(sorted(seeded.sample(every_byte, 9)) for _ in range(20))]
    for number, cuts in enumerate(ways, 1):
        server.answer = in_pieces(said, cuts, 0.0005 if len(cuts) > 20 else 0.002)
        assert (await rig.chat())[2] == expected, cuts
        logged = (await rig.logged(number))[-1]
        assert logged.outcome.usage == TokenUsage(2, 4, None), cuts


async def test_a_client_that_asked_for_the_last_chunk_gets_that_and_no_other(start_rig, start_server):
    last = next(event for event in STREAM.split(b"\n\n") if b'"choices":[]' in event) + b"\n\n"
    done = b"data: [DONE]\n\n"
    expected = as_without_usage(STREAM).replace(done, last + done)
    server = await start_server(fixed(200, STREAM, "text/event-stream"))
    more = {**FLAGGED, KEEP_LAST_USAGE: FLAG}
    rig = await start_rig(lambda head, body: pick(server.address, more=more), [server.address])
    for number, cuts in enumerate([[], list(range(1, len(STREAM))), [len(STREAM) - 40]], 1):
        server.answer = in_pieces(STREAM, cuts, 0.0005)
        assert (await rig.chat())[2] == expected
        assert (await rig.logged(number))[-1].outcome.usage == TokenUsage(2, 4, None)


async def test_a_last_chunk_that_was_asked_for_stays_as_servers_write_it(start_rig, start_server):
    """Of those that say nothing before it, a null stands in each chunk."""
    nulls = b'data: {"choices":[{"delta":{"content":"hi"}}],"usage":null}\n\n'
    last = b'data: {"choices": [ ], "usage": {"prompt_tokens": 2, "completion_tokens": 1}}\n\n'
    server = await start_server(fixed(200, nulls + last, "text/event-stream"))
    more = {**FLAGGED, KEEP_LAST_USAGE: FLAG}
    rig = await start_rig(lambda head, body: pick(server.address, more=more), [server.address])
    assert (await rig.chat())[2] == nulls + last
    assert (await rig.logged())[-1].outcome.usage == TokenUsage(2, 1, None)


async def test_a_stream_is_left_alone_where_the_pick_does_not_say_so(start_rig, start_server):
    server = await start_server(fixed(200, STREAM, "text/event-stream"))
    rig = await start_rig(lambda head, body: pick(server.address), [server.address])
    assert (await rig.chat())[2] == STREAM


async def test_a_length_that_no_longer_holds_is_not_sent(start_rig, start_server):
    _, rig = await start(start_rig, start_server, STREAM)
    _, headers, body = await rig.chat()
    assert body == as_without_usage(STREAM)
    assert "content-length" not in headers


async def test_events_are_passed_on_as_they_come(start_rig, start_server):
    first, *rest = [event + b"\n\n" for event in STREAM.split(b"\n\n")[:-1]]
    go_on = asyncio.Event()

    async def waits(_request: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(stream_head() + chunk(first))
        await writer.drain()
        await go_on.wait()
        writer.write(b"".join(chunk(event) for event in rest) + chunk(b""))

    server, rig = await start(start_rig, start_server)
    server.answer = waits
    async with rig.session.post(rig.url + "/v1/completions", json={}) as answer:
        async with asyncio.timeout(30):
            assert await answer.content.readuntil(b"\n\n") == as_without_usage(first)
        go_on.set()
        assert await answer.read() == as_without_usage(b"".join(rest))


async def test_a_stream_that_is_cut_keeps_what_it_had_used(start_rig, start_server):
    events = [event + b"\n\n" for event in STREAM.split(b"\n\n")]

    async def dies(_request: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(stream_head())
        for event in events[:3]:
            writer.write(chunk(event))
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.transport.abort()

    server, rig = await start(start_rig, start_server)
    server.answer = dies
    async with rig.session.post(rig.url + "/v1/completions", json={}) as answer:
        with pytest.raises(Exception):  # noqa: B017 - whatever the client calls a cut stream
            await answer.read()
    [logged] = await rig.logged()
    assert logged.outcome.usage == TokenUsage(2, 3, None)


async def test_a_client_that_leaves_before_the_end_has_used_what_it_got(start_rig, start_server):
    first = STREAM.split(b"\n\n")[0] + b"\n\n"

    async def stays_open(_request: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(stream_head() + chunk(first))
        await writer.drain()
        await asyncio.sleep(30)

    server, rig = await start(start_rig, start_server)
    server.answer = stays_open
    async with rig.session.post(rig.url + "/v1/completions", json={}) as answer:
        await answer.content.readuntil(b"\n\n")
    [logged] = await rig.logged()
    assert (logged.outcome.usage, logged.outcome.result) == (TokenUsage(2, 1, None), "client_gone")


UNFINISHED = [b"data: no end of line", b'data: {"choices":[],"usage":{}}', b"\n", b"\r\n\r"]
"""The end of a stream within an event."""
SAME = [
    b'data: {"choices":[{"delta":{"content":",\\"usage\\":{\\"prompt_tokens\\":1}}"}}]}\n\n',
    b'data: {"choices":[{"usage":{"a":1},"usage":{"a":1}}]}\n\n',
    b'data: {"choices":[{"x":1,"usage":{"a":1}}]}\n\n',
    b'data: {"choices":[],"prompt_filter_results":[]}\n\n',
    b'data: "usage"\n\n',
    b"data: null\n\n",
    b'data: {"usage"\n\n',
    b'data: {"usage":\n\n',
    b'data: {"usage":{\n\n',
    b'data: {"x":"\n\n',
    b'data: ["usage",{"usage":{}}]\n\n',
    b': ,"usage":{}}\n\n',
    b'data: {"a":1,\ndata: "usage":{"prompt_tokens":1}}\n\n',
    b"\n\n\n\n",
    b"data: \xff\xfe\n\n",
    b"data: " + b'{"usage":' * 20_000 + b"\n\n",
    b"data: " + b',"usage":{' * 20_000 + b"\n\n",
    b"data: " + b"[" * 50_000 + b"\n\n",
    # behind content: before any, the hold makes one piece of it and the end (decision 0143)
    *(b'data: {"choices":[1]}\n\n' + rest for rest in UNFINISHED),
]
CHANGED = {
    b'data: {"usage":{"a":{"x":null},"usage":{"{":"["}}}\n\n': b"data: {}\n\n",
    b'data: {"usage":"us\\n\\":","choices":[1]}\n\n': b'data: {"choices":[1]}\n\n',
    b'data: {"usage":null,"choices":[1]}\n\n': b'data: {"choices":[1]}\n\n',
    b'data: {"choices":[1] , "usage" : null }\n\n': b'data: {"choices":[1]  }\n\n',
    b'data:{"usage":{"a":"}\\"{"},"choices":[1]}\n\n': b'data:{"choices":[1]}\n\n',
    b'data: {"usage":{"a":[{}]}}\n\n': b"data: {}\n\n",
    b'data: {"choices":[1],"usage":{"x":"}}"}}\n\n': b'data: {"choices":[1]}\n\n',
    b'data: {"choices":[1],"usage":{"x":"{"}}\n\n': b'data: {"choices":[1]}\n\n',
    b'event: m\nid: 7\ndata: {"choices":[1],"usage":{}}\nretry: 1\n\n': (
        b'event: m\nid: 7\ndata: {"choices":[1]}\nretry: 1\n\n'
    ),
    b'data: {"choices":[{"choices":[]}],"usage":{}}\n\n': b'data: {"choices":[{"choices":[]}]}\n\n',
    b'data: {"choices": [ ],"usage":{}}\r\n\r\n': b"",
}


async def test_only_usage_of_the_outermost_object_goes(start_rig, start_server):
    server, rig = await start(start_rig, start_server)
    for said, expected in [*((event, event) for event in SAME), *CHANGED.items()]:
        for cuts in ([], [len(said) // 2], [max(1, len(said) - 2)]):
            server.answer = in_pieces(said, cuts if len(said) > 2 else [])
            assert (await rig.chat())[2] == expected, (said[:80], cuts)


@pytest.mark.parametrize("before", [b"", ROLE, CONTENT], ids=["nothing", "a role", "content"])
@pytest.mark.parametrize(
    "rest", [b'data: {"choices":[', b"data: {}", b"data: [DONE]", b": half", b'data: {"usage":{}}\n']
)
async def test_an_unfinished_event_at_the_end_is_passed_on(start_rig, start_server, before, rest):
    """Also where everything comes at once, as from what is held until the first content, or with a length."""
    server, rig = await start(start_rig, start_server)
    has_content = before == CONTENT or rest.endswith(b"\n")
    for answer in (fixed(200, before + rest, "text/event-stream"), in_pieces(before + rest, [])):
        server.answer = answer
        status, _, body = await rig.chat()
        assert (status, body) == (200 if has_content else 502, before + rest)


async def test_events_that_are_too_long_to_hold_pass_as_they_are(start_rig, start_server):
    long_event = b'data: {"choices":[1],"x":"' + b"y" * 300_000 + b'","usage":{"prompt_tokens":3}}\n\n'
    server, rig = await start(start_rig, start_server)
    server.answer = in_pieces(long_event + STREAM, list(range(16_000, 300_000, 16_000)))
    assert (await rig.chat())[2] == long_event + as_without_usage(STREAM)
    [logged] = await rig.logged()
    assert logged.outcome.usage == TokenUsage(2, 4, None)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(0, 99) | st.text('"\\{}[],:us\n', max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["usage", "choices", "a", '"usage":{']), inner, max_size=3)
    ),
    max_leaves=8,
)


async def test_any_json_is_what_it_was_but_for_its_usage(start_rig, start_server):
    server, rig = await start(start_rig, start_server)
    asked: list[tuple[bytes, bytes, list[int]]] = []

    @settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(st.dictionaries(st.sampled_from(["usage", "choices", "b"]), JSON), max_size=4), st.data())
    def made(events, data):
        compact = data.draw(st.sampled_from([(",", ":"), (", ", ": ")]))
        said = b"".join(b"data: %b\n\n" % json.dumps(one, separators=compact).encode() for one in events)
        kept = [
            {key: value for key, value in one.items() if key != "usage"}
            for one in events
            if not (isinstance(one.get("usage"), dict) and one.get("choices") == [])
        ]
        cuts = data.draw(st.lists(st.integers(1, max(1, len(said) - 1)), unique=True, max_size=3))
        expected = b"".join(b"data: %b\n\n" % json.dumps(one, separators=compact).encode() for one in kept)
        asked.append((said, expected, sorted(cuts) if len(said) > 1 else []))

    await asyncio.to_thread(made)
    for said, expected, cuts in asked:
        server.answer = in_pieces(said, cuts, 0)
        assert (await rig.chat())[2] == expected, (said, cuts)
