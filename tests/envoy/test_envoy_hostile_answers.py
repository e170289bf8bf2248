"""Headers of answers that would steer Envoy, the picker or the client: none of them has any effect."""

import pytest
from envoy_rig import fixed, pick
from provider_stub import answered, raw
from scripted_server import Answer

BODY = b'{"id": "1", "object": "chat.completion", "choices": []}'
JSON = "application/json"


@pytest.fixture
async def start_gateway(start_provider_rig, start_server, stub):
    """A rig whose list is the provider and then a server of its own."""

    async def start(*answers: Answer):
        server = await start_server(fixed(200, BODY))
        stub.script += answers
        return await start_provider_rig(stub, server.address), server

    return start


async def test_what_a_provider_says_for_its_own_site_does_not_reach_the_client(start_gateway):
    steering = {
        "set_cookie": "session=theirs",
        "alt_svc": 'h3="elsewhere.example:443"',
        "strict_transport_security": "max-age=31536000",
        "clear_site_data": '"*"',
        "access_control_allow_origin": "*",
        "www_authenticate": "Basic",
        "x_accel_redirect": "/internal",
        "location": "https://elsewhere.example/",
        "x_envoy_decorator_operation": "theirs",
        "x_pilotage_anything": "theirs",
        "x_anything": "echoed",
    }
    told = {
        "retry_after": "3",
        "retry_after_ms": "3000",
        "request_id": "req_1",
        "openai_processing_ms": "5",
        "anthropic_ratelimit_requests_limit": "7",
        "x_ratelimit_remaining_tokens": "9",
        "x_should_retry": "false",
    }
    rig, _ = await start_gateway(raw(200, BODY, JSON, **steering, **told))
    status, headers, body = await rig.chat()
    assert (status, body) == (200, BODY)
    assert [name for name in steering if name.replace("_", "-") in headers] == []
    assert {name: headers.get(name.replace("_", "-")) for name in told} == told


async def test_a_provider_that_limits_by_envoy_itself_still_leads_on(start_gateway):
    limited = raw(429, b"{}", JSON, x_envoy_ratelimited="true")
    rig, server = await start_gateway(limited)
    assert (await rig.chat())[0] == 200
    assert len(server.received) == 1


async def test_a_server_behind_an_envoy_that_limits_still_leads_on(start_rig, start_server):
    first = await start_server(raw(429, b"{}", JSON, x_envoy_ratelimited="true"))
    second = await start_server(fixed(200, BODY))
    addresses = [first.address, second.address]
    rig = await start_rig(lambda head, body: pick(*addresses), addresses)
    assert (await rig.chat())[0] == 200
    assert len(second.received) == 1


async def test_a_provider_cannot_have_an_answered_request_sent_on(start_gateway):
    rig, server = await start_gateway(raw(200, BODY, JSON, x_pilotage_try_next="1"))
    assert (await rig.chat())[0] == 200
    assert server.received == []


async def test_a_provider_writes_no_notes_into_explanations(start_gateway):
    rig, _ = await start_gateway(raw(200, BODY, JSON, x_pilotage_translation="text of a prompt"))
    _, headers, _ = await rig.chat()
    assert "x-pilotage-translation" not in headers
    assert (await rig.logged())[0].outcome.translation == ()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_a_failed_attempt(start_gateway, status):
    rig, server = await start_gateway(raw(status, b"", location="https://elsewhere.example/"))
    assert (await rig.chat())[0] == 200
    assert len(server.received) == 1


async def test_a_client_is_not_told_where_a_provider_would_send_it(start_provider_rig, stub):
    rig = await start_provider_rig(stub)
    stub.script.append(raw(307, b"<html>moved</html>", location="https://elsewhere.example/"))
    status, headers, body = await rig.chat()
    assert (status, headers.get("location"), headers["content-type"]) == (502, None, JSON)
    assert b"moved" not in body
    stub.script.append(answered())
    assert (await rig.chat())[0] == 200
