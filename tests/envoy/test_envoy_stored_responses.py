"""A stored response is its tenant's: no other reads, continues, cancels or deletes it."""

import asyncio
import hashlib
import json
from collections import Counter
from pathlib import Path

import pytest
from envoy_rig import Received, chunk, fixed, stream_head
from whole_gateway import WholeGateway

from pilotage_extproc.sources.api_key_records import KeyFile, KeyRecord, key_file_text

STREAM = (Path(__file__).parent.parent / "fixtures" / "vllm-0.32" / "responses.sse").read_bytes()
FIRST = STREAM[: STREAM.index(b"\n\n") + 2]
STREAMED = "resp_8b3668a4059fa6de"
KEYS = {"one": "acme", "two": "acme", "other": "globex"}


class Store:
    """A server that stores responses and gives them to whoever asks."""

    def __init__(self):
        self.asked: Counter[str] = Counter()
        self.go_on = asyncio.Event()

    async def answer(self, request: Received, writer: asyncio.StreamWriter) -> None:
        self.asked[f"{request.method} {request.path}"] += 1
        if request.method == "POST" and json.loads(request.body or b"{}").get("background"):
            writer.write(stream_head() + chunk(FIRST))
            await writer.drain()
            await self.go_on.wait()
            writer.write(chunk(STREAM[len(FIRST) :]) + chunk(b""))
            return
        number = self.asked["POST /v1/responses"]
        one = {"id": f"resp_{number}", "object": "response", "output": [], "usage": {"input_tokens": 3}}
        await fixed(200, json.dumps(one).encode())(request, writer)


@pytest.fixture
async def gateway(start_server, tmp_path):
    records = [
        KeyRecord(f"id-{key}", hashlib.sha256(key.encode()).hexdigest(), tenant)
        for key, tenant in KEYS.items()
    ]
    (tmp_path / "keys.json").write_text(key_file_text(KeyFile(tuple(records))))
    store = Store()
    server = await start_server(store.answer)
    identity = {"apiKeys": {"file": str(tmp_path / "keys.json")}}
    whole = WholeGateway(tmp_path / "folder", {"small": [server]}, {}, governance={"identity": identity})
    await whole.start()
    yield whole, store
    store.go_on.set()
    await whole.stop()


async def ask(whole, method, path, key, body=None):
    url, headers = f"http://{whole.gateway.address}{path}", {"authorization": f"Bearer {key}"}
    async with whole.session.request(method, url, json=body, headers=headers) as answer:
        return answer.status, json.loads(await answer.read() or b"null")


async def created(whole, key):
    status, body = await ask(whole, "POST", "/v1/responses", key, {"model": "auto", "input": "hi"})
    assert status == 200
    return body["id"]


async def test_a_tenant_s_keys_read_its_responses_and_no_other_tenant_s_does(gateway):
    whole, store = gateway
    response = await created(whole, "one")
    for key in ("one", "two"):
        assert (await ask(whole, "GET", f"/v1/responses/{response}", key))[0] == 200
    asked = store.asked.total()
    for method, path in (
        ("GET", ""),
        ("GET", "/input_items"),
        ("POST", "/cancel"),
        ("DELETE", ""),
    ):
        status, body = await ask(whole, method, f"/v1/responses/{response}{path}", "other")
        assert (status, body["error"]["code"]) == (404, "response_not_found")
    assert store.asked.total() == asked


async def test_no_other_tenant_goes_on_from_a_response(gateway):
    whole, store = gateway
    response = await created(whole, "one")
    further = {"model": "auto", "input": "more", "previous_response_id": response}
    assert (await ask(whole, "POST", "/v1/responses", "two", further))[0] == 200
    asked = store.asked.total()
    status, body = await ask(whole, "POST", "/v1/responses", "other", further)
    assert (status, body["error"]["code"]) == (404, "response_not_found")
    assert store.asked.total() == asked


@pytest.mark.parametrize("field", ["conversation", "request_id"])
async def test_what_would_name_another_tenant_s_store_is_refused(gateway, field):
    whole, store = gateway
    body = {"model": "auto", "input": "hi", field: "resp_1"}
    status, answer = await ask(whole, "POST", "/v1/responses", "one", body)
    assert (status, answer["error"]["param"]) == (400, field)
    assert store.asked.total() == 0


async def test_a_background_response_is_its_tenant_s_from_its_first_event_on(gateway):
    whole, _ = gateway
    body = {"model": "auto", "input": "hi", "stream": True, "background": True}
    url, headers = f"http://{whole.gateway.address}/v1/responses", {"authorization": "Bearer one"}
    async with whole.session.post(url, json=body, headers=headers) as running:
        await running.content.readany()
        assert (await ask(whole, "GET", f"/v1/responses/{STREAMED}", "one"))[0] == 200
        assert (await ask(whole, "GET", f"/v1/responses/{STREAMED}", "other"))[0] == 404


async def test_a_tenant_s_own_reading_does_not_make_it_another_s(gateway):
    whole, _ = gateway
    response = await created(whole, "one")
    await ask(whole, "GET", f"/v1/responses/{response}", "other")
    assert (await ask(whole, "GET", f"/v1/responses/{response}", "one"))[0] == 200
    assert (await ask(whole, "GET", f"/v1/responses/{response}", "other"))[0] == 404
