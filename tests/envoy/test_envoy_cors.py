"""CORS: preflight requests are answered by Envoy, and only where the settings allow an origin."""

import json

from envoy_rig import fixed, pick

from pilotage_api.settings import CorsSettings, GatewaySettings

PAGE = "https://chat.example.com"
CORS = CorsSettings(allow_origins=(PAGE,), expose_headers=("x-request-id",), max_age_seconds=60)
PREFLIGHT = {
    "origin": PAGE,
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization",
}


async def started(start_rig, start_server, cors: CorsSettings):
    server = await start_server(fixed(200, b"{}"))
    settings = GatewaySettings(cors=cors)
    return await start_rig(lambda head, body: pick(server.address), [server.address], settings=settings)


async def preflight(rig, **headers: str):
    sent = PREFLIGHT | headers
    async with rig.session.options(f"{rig.url}/v1/chat/completions", headers=sent) as answer:
        return answer


async def test_a_preflight_request_is_answered_without_the_picker(start_rig, start_server):
    rig = await started(start_rig, start_server, CORS)
    answer = await preflight(rig)
    assert answer.status == 200
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert "POST" in answer.headers["access-control-allow-methods"]
    assert answer.headers["access-control-allow-headers"] == "authorization, content-type"
    assert answer.headers["access-control-max-age"] == "60"
    assert "access-control-allow-credentials" not in answer.headers
    assert rig.picker_metadata == []


async def test_answers_and_errors_can_be_read_by_the_page(start_rig, start_server):
    rig = await started(start_rig, start_server, CORS)
    _, headers, _ = await rig.chat(origin=PAGE)
    assert headers["access-control-allow-origin"] == PAGE
    assert headers["access-control-expose-headers"] == "x-request-id"
    await rig.extproc.stop(None)
    status, headers, body = await rig.chat(origin=PAGE)
    assert (status, headers["access-control-allow-origin"]) == (500, PAGE)
    assert json.loads(body)["error"]["code"] == "picker_unavailable"


async def test_another_origin_is_allowed_nothing(start_rig, start_server):
    rig = await started(start_rig, start_server, CORS)
    _, headers, _ = await rig.chat(origin="https://evil.example.com")
    assert "access-control-allow-origin" not in headers


async def test_any_origin_may_be_allowed(start_rig, start_server):
    rig = await started(start_rig, start_server, CorsSettings(allow_origins=("*",)))
    assert (await preflight(rig, origin="https://any.example.com")).status == 200


async def test_without_the_setting_the_picker_answers_and_allows_nothing(start_rig, start_server):
    rig = await started(start_rig, start_server, CorsSettings())
    answer = await preflight(rig)
    assert not [name for name in answer.headers if name.lower().startswith("access-control")]
    assert len(rig.picker_metadata) == 1
