"""Rules on answers with the real Envoy: what clients get of each API, streamed and not."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from envoy_rig import CHAT, ModelServer, Received, chunk, fixed, stream_head
from whole_gateway import WholeGateway

pytestmark = pytest.mark.envoy

MESSAGES, RESPONSES = "/v1/messages", "/v1/responses"
SECRET = "AKIAIOSFODNN7EXAMPLE"
EMAIL = "alice@mail.example"


class Model:
    """A server that says the same to all, in pieces where a stream is asked for."""

    def __init__(self) -> None:
        self.says = "hello"
        self.left = asyncio.Event()
        self.endless = False
        self.server = ModelServer(self._answer)

    async def _answer(self, request: Received, writer: asyncio.StreamWriter) -> None:
        if request.method == "GET":
            await fixed(200, json.dumps(whole(RESPONSES, self.says)).encode())(request, writer)
            return
        body = json.loads(request.body)
        if "[EMAIL_" in request.body.decode():
            start = request.body.decode().index("[EMAIL_")
            self.says = self.says.replace("NAME", request.body.decode()[start : start + 18])
        if not body.get("stream"):
            await fixed(200, json.dumps(whole(request.path, self.says)).encode())(request, writer)
            return
        writer.write(stream_head())
        text = self.says
        pieces = [text[at : at + 3] for at in range(0, len(text), 3)]
        before, deltas, after = streamed(request.path, pieces)
        try:
            for one in (*before, *deltas):
                writer.write(chunk(one))
                await writer.drain()
            while self.endless:
                writer.write(chunk(deltas[0]))
                await writer.drain()
                await asyncio.sleep(0.01)
            for one in (*after, b""):
                writer.write(chunk(one))
        except ConnectionError:
            self.left.set()
            writer.close()


def whole(path: str, text: str) -> dict[str, Any]:
    if path == CHAT:
        message = {"role": "assistant", "content": text}
        return {
            "id": "c",
            "object": "chat.completion",
            "created": 1732845600,
            "model": "m",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 3, "completion_tokens": 7},
        }
    if path == MESSAGES:
        content = [{"type": "text", "text": text}]
        usage = {"input_tokens": 3, "output_tokens": 7}
        head: dict[str, Any] = {"id": "m", "type": "message", "role": "assistant", "model": "m"}
        return {**head, "content": content, "stop_reason": "end_turn", "usage": usage}
    part: dict[str, Any] = {"type": "output_text", "text": text, "annotations": []}
    output = [{"type": "message", "id": "o", "role": "assistant", "status": "completed", "content": [part]}]
    head = {"id": "resp_1", "object": "response", "created_at": 1, "model": "m", "status": "completed"}
    return {**head, "output": output, "usage": {"input_tokens": 3, "output_tokens": 7}}


def event(members: dict[str, Any], *, named: bool = True) -> bytes:
    name = f"event: {members['type']}\n" if named else ""
    return f"{name}data: {json.dumps(members)}\n\n".encode()


def streamed(path: str, pieces: Iterable[str]) -> tuple[list[bytes], list[bytes], list[bytes]]:
    pieces = list(pieces)
    if path == CHAT:
        head = {"id": "c", "object": "chat.completion.chunk", "created": 1732845600, "model": "m"}

        def one(delta: dict[str, Any], finish: str | None = None) -> bytes:
            choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
            return event({**head, "choices": [choice]}, named=False)

        end = [one({}, "stop"), b"data: [DONE]\n\n"]
        return [one({"role": "assistant", "content": ""})], [one({"content": text}) for text in pieces], end
    if path == MESSAGES:
        message = {**whole(MESSAGES, ""), "content": [], "stop_reason": None}
        before = [
            event({"type": "message_start", "message": message}),
            event({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        ]
        deltas = [
            event({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}})
            for text in pieces
        ]
        last = {"stop_reason": "end_turn", "stop_sequence": None}
        return (
            before,
            deltas,
            [
                event({"type": "content_block_stop", "index": 0}),
                event({"type": "message_delta", "delta": last, "usage": {"output_tokens": 7}}),
                event({"type": "message_stop"}),
            ],
        )
    done = whole(RESPONSES, "".join(pieces))
    place = {"item_id": "o", "output_index": 0, "content_index": 0}
    created = {**done, "output": [], "status": "in_progress"}
    before = [event({"type": "response.created", "sequence_number": 0, "response": created})]
    deltas = [
        event({"type": "response.output_text.delta", "sequence_number": number, **place, "delta": text})
        for number, text in enumerate(pieces, 1)
    ]
    ends = [
        {"type": "response.output_text.done", **place, "text": "".join(pieces)},
        {"type": "response.output_item.done", "output_index": 0, "item": done["output"][0]},
        {"type": "response.completed", "response": done},
    ]
    numbered = [{**one, "sequence_number": number} for number, one in enumerate(ends, len(pieces) + 1)]
    return before, deltas, [event(one) for one in numbered]


def said(path: str, answer: bytes, *, stream: bool) -> str:
    """What a client puts together as the text of an answer."""
    if not stream:
        members = json.loads(answer)
        if path == CHAT:
            return str(members["choices"][0]["message"]["content"])
        if path == MESSAGES:
            return "".join(one["text"] for one in members["content"])
        return "".join(part["text"] for one in members["output"] for part in one["content"])
    text = ""
    for line in answer.decode().splitlines():
        if line.startswith("data: {"):
            members = json.loads(line[6:])
            if path == CHAT:
                text += members["choices"][0]["delta"].get("content") or ""
            elif path == MESSAGES:
                text += members.get("delta", {}).get("text", "")
            elif members["type"] == "response.output_text.delta":
                text += members["delta"]
    return text


def asked(path: str, *, stream: bool, text: str = "hi") -> dict[str, Any]:
    if path == RESPONSES:
        return {"model": "auto", "input": text, "stream": stream}
    limit = {"max_tokens": 9} if path == MESSAGES else {}
    return {"model": "auto", "messages": [{"role": "user", "content": text}], "stream": stream, **limit}


class Guarded:
    """A gateway with rules on content before one model."""

    def __init__(self, folder: Path, content: dict[str, Any], **settings: Any) -> None:
        self.model = Model()
        self._folder = folder
        self._content = content
        self._settings = settings

    async def start(self) -> None:
        await self.model.server.start()
        spec = {"governance": {"content": self._content}}
        pools = {"m": [self.model.server]}
        self.gateway = WholeGateway(self._folder, pools, {}, spec=spec, **self._settings)
        await self.gateway.start()

    async def stop(self) -> None:
        await self.gateway.stop()
        await self.model.server.stop()

    async def ask(self, path: str, *, stream: bool, text: str = "hi") -> tuple[int, bytes]:
        url = f"http://{self.gateway.gateway.address}{path}"
        async with (
            asyncio.timeout(10),
            self.gateway.session.post(url, json=asked(path, stream=stream, text=text)) as answer,
        ):
            return answer.status, await answer.read()


RULES = {
    "request": [{"detectors": ["email"], "action": "redact", "restore": "text"}],
    "response": [
        {"detectors": ["secret"], "action": "block"},
        {"detectors": ["payment-card"], "action": "redact"},
        {"detectors": ["ip-address"], "action": "flag"},
    ],
}
EACH = [(path, stream) for path in (CHAT, MESSAGES, RESPONSES) for stream in (False, True)]
each = pytest.mark.parametrize(("path", "stream"), EACH)


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[Guarded]:
    made = Guarded(tmp_path / "policies", RULES)
    await made.start()
    yield made
    await made.stop()


@each
async def test_a_card_is_replaced_and_the_answer_is_otherwise_as_it_came(
    guarded: Guarded, path: str, stream: bool
) -> None:
    guarded.model.says = "It is 4111 1111 1111 1111 on 10.1.2.3, as I said."
    status, answer = await guarded.ask(path, stream=stream)
    assert status == 200
    text = said(path, answer, stream=stream)
    assert text.startswith("It is [PAYMENT-CARD_")
    assert text.endswith("] on 10.1.2.3, as I said.")
    assert b"1111 1111" not in answer
    found = (await guarded.gateway.explained())["outcome"]
    kinds = {(one["detector"], one["action"], one["count"]) for one in found["content"]}
    assert kinds == {("payment-card", "redact", 1), ("ip-address", "flag", 1)}
    assert found["usage"]["outputTokens"] == 7 or path == CHAT
    assert "4111" not in json.dumps(await guarded.gateway.explained())


@each
async def test_a_secret_ends_the_answer_as_each_api_says_that_it_is_filtered(
    guarded: Guarded, path: str, stream: bool
) -> None:
    guarded.model.says = f"The key is {SECRET}, keep it safe."
    status, answer = await guarded.ask(path, stream=stream)
    assert status == 200
    assert SECRET.encode() not in answer
    assert b"EXAMPLE" not in answer
    assert b"safe" not in answer
    reason = {CHAT: '"finish_reason":"content_filter"', MESSAGES: '"stop_reason":"refusal"'}
    assert reason.get(path, '"incomplete_details":{"reason":"content_filter"}').encode() in answer
    last = {CHAT: b"data: [DONE]\n\n", MESSAGES: b'data: {"type":"message_stop"}\n\n'}
    if stream:
        assert answer.endswith(last.get(path, b"}}\n\n"))
        assert path != RESPONSES or b"event: response.incomplete\n" in answer
    explained = await guarded.gateway.explained()
    [found] = explained["outcome"]["content"]
    assert found == {"detector": "secret", "action": "block", "count": 1}
    assert SECRET not in json.dumps(explained)


@each
async def test_rules_of_the_gateway_hold_for_names_without_a_policy(
    tmp_path: Path, path: str, stream: bool
) -> None:
    floor = {"content": {"response": [{"detectors": ["secret"], "action": "block"}]}}
    guarded = Guarded(tmp_path / "policies", {}, governance=floor)
    await guarded.start()
    try:
        guarded.model.says = f"The key is {SECRET}, keep it safe."
        url = f"http://{guarded.gateway.gateway.address}{path}"
        members = {**asked(path, stream=stream), "model": "m"}
        async with guarded.gateway.session.post(url, json=members) as got:
            answer = await got.read()
        assert got.status == 200
        assert SECRET.encode() not in answer
        assert (b"refusal" if path == MESSAGES else b"content_filter") in answer
    finally:
        await guarded.stop()


async def test_a_blocked_stream_is_not_made_to_its_end(guarded: Guarded) -> None:
    guarded.model.says = f"The key is {SECRET}, and so on."
    guarded.model.endless = True
    _, answer = await guarded.ask(CHAT, stream=True)
    assert answer.endswith(b"data: [DONE]\n\n")
    async with asyncio.timeout(30):
        await guarded.model.left.wait()


@each
async def test_what_was_replaced_in_the_request_comes_back_in_the_text_of_the_answer(
    guarded: Guarded, path: str, stream: bool
) -> None:
    guarded.model.says = "I wrote to NAME today. See https://evil.example/?to=NAME too."
    status, answer = await guarded.ask(path, stream=stream, text=f"write to {EMAIL}")
    assert status == 200
    assert EMAIL not in guarded.model.server.received[-1].body.decode()
    text = said(path, answer, stream=stream)
    assert text.startswith(f"I wrote to {EMAIL} today. See https://evil.example/?to=[EMAIL_")
    assert answer.count(EMAIL.encode()) == (4 if path == RESPONSES and stream else 1)


@pytest.mark.parametrize("path", [CHAT, RESPONSES])
async def test_a_long_answer_is_looked_at_to_its_end(guarded: Guarded, path: str) -> None:
    guarded.model.says = "so it goes on, and on. " * 20_000
    status, answer = await guarded.ask(path, stream=False)
    assert (status, said(path, answer, stream=False)) == (200, guarded.model.says)
    guarded.model.says += SECRET
    _, answer = await guarded.ask(path, stream=False)
    assert b"content_filter" in answer
    assert len(answer) < 1000


@pytest.mark.parametrize(("says", "status"), [("Nothing in it.", 200), ("It is 4111 1111 1111 1111.", 404)])
async def test_a_stored_response_of_which_the_client_got_less_cannot_be_fetched(
    guarded: Guarded, says: str, status: int
) -> None:
    guarded.model.says = says
    await guarded.ask(RESPONSES, stream=True)
    await guarded.gateway.explained()
    url = f"http://{guarded.gateway.gateway.address}{RESPONSES}/resp_1"
    async with guarded.gateway.session.get(url) as answer:
        assert answer.status == status
        assert b"4111" not in await answer.read()


async def test_requests_of_policies_that_ask_nothing_end_their_stream_with_the_pick(
    guarded: Guarded,
) -> None:
    guarded.model.says = f"The key is {SECRET}"
    url = f"http://{guarded.gateway.gateway.address}{CHAT}"
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": True}
    async with guarded.gateway.session.post(url, json=body) as answer:
        head = await answer.content.readany()
        assert guarded.gateway.runtime.processor.open_streams == 0
        assert SECRET in said(CHAT, head + await answer.read(), stream=True)


async def test_a_picker_that_goes_cuts_answers_that_it_looks_at(guarded: Guarded) -> None:
    guarded.model.says = "so it goes on "
    guarded.model.endless = True
    url = f"http://{guarded.gateway.gateway.address}{CHAT}"
    async with guarded.gateway.session.post(url, json=asked(CHAT, stream=True)) as answer:
        await answer.content.readany()
        await guarded.gateway.gateway.server.stop()
        async with asyncio.timeout(10):
            with pytest.raises(aiohttp.ClientPayloadError):
                await answer.read()
