"""Rules on content and stored responses: what has no body is reached, and what is read is looked at."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from envoy_rig import ModelServer, Received, chunk, fixed, stream_head
from whole_gateway import WholeGateway

pytestmark = pytest.mark.envoy

RESPONSES = "/v1/responses"
SECRET = "AKIAIOSFODNN7EXAMPLE"
BLOCKS = [{"detectors": ["secret"], "action": "block"}]
CALLS = [("GET", ""), ("GET", "/input_items"), ("POST", "/cancel"), ("DELETE", "")]
HEAD = {"id": "resp_1", "object": "response", "created_at": 1, "model": "m", "status": "completed"}


def answer(text: str) -> dict[str, Any]:
    part = {"type": "output_text", "text": text, "annotations": []}
    output = [{"type": "message", "id": "o", "role": "assistant", "status": "completed", "content": [part]}]
    return {**HEAD, "output": output, "usage": {"input_tokens": 3, "output_tokens": 1}}


def event(type_: str, **members: Any) -> bytes:
    return f"event: {type_}\ndata: {json.dumps({'type': type_, **members})}\n\n".encode()


def deltas(stream: bytes) -> str:
    events = [json.loads(line[6:]) for line in stream.decode().splitlines() if line.startswith("data: ")]
    return "".join(one.get("delta", "") for one in events)


class Store:
    """A server whose stored response says more than it said at first; a stream of it does not end."""

    def __init__(self) -> None:
        self.stored = "hello"
        self.left = asyncio.Event()
        self.server = ModelServer(self._answer)

    async def _answer(self, request: Received, writer: asyncio.StreamWriter) -> None:
        if "stream=true" in request.path:
            place = {"item_id": "o", "output_index": 0, "content_index": 0}
            delta = event("response.output_text.delta", **place, delta=self.stored)
            writer.write(stream_head() + chunk(delta) + chunk(b""))
        elif request.method == "POST" and json.loads(request.body or b"{}").get("stream"):
            writer.write(stream_head() + chunk(event("response.created", response={**HEAD, "output": []})))
            try:
                while True:
                    writer.write(chunk(event("response.in_progress", response={**HEAD, "output": []})))
                    await writer.drain()
                    await asyncio.sleep(0.01)
            except ConnectionError:
                self.left.set()
                writer.close()
        else:
            made = request.method == "POST" and request.path == RESPONSES
            await fixed(200, json.dumps(answer("hello" if made else self.stored)).encode())(request, writer)


class Rig:
    """That server behind a gateway."""

    def __init__(self, store: Store, gateway: WholeGateway) -> None:
        self.store = store
        self.gateway = gateway
        self.url = f"http://{gateway.gateway.address}{RESPONSES}"

    async def make(self) -> None:
        body = {"model": "auto", "input": "hi"}
        async with self.gateway.session.post(self.url, json=body) as made:
            assert made.status == 200
            await made.read()

    async def call(self, method: str, rest: str, **more: Any) -> tuple[int, bytes]:
        url = f"{self.url}/resp_1{rest}"
        async with (
            asyncio.timeout(10),
            self.gateway.session.request(method, url, **more) as found,
        ):
            return found.status, await found.read()


Started = Callable[..., Coroutine[Any, Any, Rig]]


@pytest.fixture
async def started(tmp_path: Path) -> AsyncIterator[Started]:
    rigs: list[Rig] = []

    async def start(floor: dict[str, Any], policy: dict[str, Any] | None = None) -> Rig:
        store = Store()
        await store.server.start()
        spec = {"governance": {"content": policy}} if policy else {}
        pools = {"m": [store.server]}
        gateway = WholeGateway(tmp_path / "f", pools, {}, spec=spec, governance={"content": floor})
        await gateway.start()
        rigs.append(Rig(store, gateway))
        return rigs[-1]

    yield start
    for rig in rigs:
        await rig.gateway.stop()
        await rig.store.server.stop()


async def test_with_a_rule_on_requests_all_calls_on_a_stored_response_are_served(started: Started) -> None:
    rig = await started({"request": BLOCKS})
    await rig.make()
    for method, rest in CALLS:
        assert await rig.call(method, rest) == (200, json.dumps(answer("hello")).encode())


async def test_a_body_where_none_belongs_is_not_let_past_the_rule(started: Started) -> None:
    rig = await started({"request": BLOCKS})
    await rig.make()
    status, said = await rig.call("POST", "/cancel", data=SECRET.encode())
    assert (status, json.loads(said)["error"]["code"]) == (400, "content_not_checked")
    assert all(SECRET.encode() not in one.body for one in rig.store.server.received)


@pytest.mark.parametrize("rest", ["", "?stream=true", "/input_items"])
async def test_what_is_read_of_a_stored_response_is_an_answer_to_the_gateway_s_rules(
    started: Started, rest: str
) -> None:
    rig = await started({"response": BLOCKS})
    await rig.make()
    rig.store.stored = "a word"
    status, said = await rig.call("GET", rest)
    assert status == 200
    assert "a word" in (deltas(said) if "stream" in rest else said.decode())
    rig.store.stored = f"the key is {SECRET}"
    status, said = await rig.call("GET", rest)
    assert (status, b"content_filter" in said) == (200, True)
    assert SECRET.encode() not in said


async def test_a_response_whose_client_left_before_a_policy_s_rules_saw_its_end_cannot_be_fetched(
    started: Started,
) -> None:
    rig = await started({}, {"response": BLOCKS})
    body = {"model": "auto", "input": "hi", "stream": True}
    async with rig.gateway.session.post(rig.url, json=body) as running:
        await running.content.readany()
    async with asyncio.timeout(30):
        await rig.store.left.wait()
    rig.store.stored = f"the key is {SECRET}"
    for method, rest in CALLS[:3]:
        assert (await rig.call(method, rest))[0] == 404
    assert (await rig.call("DELETE", ""))[0] == 200
