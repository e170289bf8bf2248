"""What was not taken, and why: each of these shows the defect that decided against it (docs/decisions)."""

import aiohttp
import pytest
from envoy_data_plane.envoy.extensions.content_parsers.json.v3 import JsonContentParser
from envoy_data_plane.envoy.extensions.filters.http.json_to_metadata.v3 import JsonToMetadata
from envoy_data_plane.envoy.extensions.filters.http.lua.v3 import Lua
from envoy_data_plane.envoy.extensions.filters.http.sse_to_metadata.v3 import SseToMetadata
from envoy_rig import CHAT, CHAT_BODY, fixed, pick
from test_envoy_early_headers import STREAM, dies_while_queued

from pilotage_api.settings import GatewaySettings, UpstreamSettings
from pilotage_extproc.envoy.xds import clusters, listener
from pilotage_extproc.envoy.xds.typed import any_of, extension

RULE = {
    "selectors": [{"key": "usage"}, {"key": "prompt_tokens"}],
    "onPresent": {"metadataNamespace": "pilotage.usage", "key": "input", "type": "NUMBER"},
}


async def test_sse_to_metadata_ends_envoy_on_an_event_that_is_null(start_rig, start_server, monkeypatch):
    parser = any_of(JsonContentParser, {"rules": [{"rule": RULE}]})
    rules = {"contentParser": {"name": "envoy.content_parsers.json", "typedConfig": parser}}
    reader = extension("envoy.filters.http.sse_to_metadata", SseToMetadata, {"responseRules": rules})
    monkeypatch.setattr(listener, "usage_filter", lambda: reader)
    server = await start_server(fixed(200, b'data: {"usage":{"prompt_tokens":3}}\n\n', "text/event-stream"))
    rig = await start_rig(lambda head, body: pick(server.address), [server.address])
    await rig.chat()
    assert (await rig.logged())[0].outcome.usage.input_tokens == 3
    server.answer = fixed(200, b"data: null\n\n", "text/event-stream")
    with pytest.raises(aiohttp.ClientError):
        await rig.chat()
    assert await rig.envoy.wait() != 0


async def test_json_to_metadata_refuses_answers_past_the_buffer_limit(start_rig, start_server, monkeypatch):
    reader = extension(
        "envoy.filters.http.json_to_metadata", JsonToMetadata, {"responseRules": {"rules": [RULE]}}
    )
    monkeypatch.setattr(listener, "usage_filter", lambda: reader)
    server = await start_server(fixed(200, b'{"data":"' + b"x" * (33 << 20) + b'"}'))
    rig = await start_rig(lambda head, body: pick(server.address), [server.address])
    assert (await rig.chat())[0] == 500


async def test_without_holding_headers_a_server_that_dies_leaves_a_cut_200(start_rig, start_server):
    dying, next_one = await start_server(dies_while_queued), await start_server(fixed(200, b"data: 1\n\n"))
    addresses = [dying.address, next_one.address]
    settings = GatewaySettings(upstream=UpstreamSettings(hold_headers=False))
    rig = await start_rig(lambda head, body: pick(*addresses), addresses, settings=settings)
    async with rig.session.post(rig.url + CHAT, json=STREAM) as answer:
        assert answer.status == 200
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.read()
    assert next_one.received == []


async def test_a_lua_filter_that_waits_for_the_body_does_not_hold_the_headers(
    start_rig, start_server, monkeypatch
):
    script = "function envoy_on_response(handle) for chunk in handle:bodyChunks() do end end"
    waiting = extension("envoy.filters.http.lua", Lua, {"defaultSourceCode": {"inlineString": script}})
    monkeypatch.setattr(clusters, "header_hold_filter", lambda: waiting)
    dying, next_one = await start_server(dies_while_queued), await start_server(fixed(200, b"data: 1\n\n"))
    addresses = [dying.address, next_one.address]
    rig = await start_rig(lambda head, body: pick(*addresses), addresses)
    async with rig.session.post(rig.url + CHAT, json=CHAT_BODY) as answer:
        assert answer.status == 200
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.read()
