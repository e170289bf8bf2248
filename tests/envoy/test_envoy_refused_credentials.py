"""A provider that refuses the gateway's own credential: clients learn that, and nothing of what it says."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import anthropic
import openai
import pytest
from faulty_providers import FaultyProvider
from limited_picks import GOOD
from provider_stub import raw, refused
from scripted_server import fixed

KEY = "sk-gateway-1234567890"
QUOTED = "sk-gat*****7890"
SAID = {"type": "authentication_error", "message": f"Incorrect API key provided: {QUOTED}."}
TOLD = json.dumps({"type": "error", "error": SAID}).encode()
PAGE = f"<html>{QUOTED}</html>".encode()
HI = [{"role": "user", "content": "hi"}]
REFUSALS = {
    "401": refused(401, "invalid_api_key", QUOTED, www_authenticate=f'Bearer realm="{QUOTED}"'),
    "403": refused(403, "permission_error", QUOTED),
    "403, a page": raw(403, PAGE),
    "401, coded": raw(401, PAGE, "application/json", content_encoding="gzip"),
    "401, nothing": raw(401, b""),
    "200 with the error": raw(200, TOLD, "application/json"),
    "a stream of the error": raw(200, b"event: error\ndata: " + TOLD + b"\n\n", "text/event-stream"),
}


@pytest.fixture
async def spare(start_server):
    return await start_server(GOOD)


@pytest.fixture
async def start_gateway(tmp_path, stub, spare):
    gateways = []

    async def start(dialect: str) -> FaultyProvider:
        (tmp_path / "key").write_text(KEY)
        auth = {"file": str(tmp_path / "key")}
        gateway = FaultyProvider(tmp_path / "g", stub, spare, dialect, auth=auth)
        gateways.append(gateway)
        await gateway.start()
        await gateway.until_usable("hosted")
        return gateway

    yield start
    for gateway in gateways:
        await gateway.stop()


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("dialect", ["openai", "anthropic"])
async def test_each_client_gets_a_typed_error_of_the_gateway_and_no_word_of_the_provider(
    start_gateway, stub, dialect, stream
):
    gateway = await start_gateway(dialect)
    url = f"http://{gateway.gateway.address}"
    chats = openai.AsyncOpenAI(api_key="theirs", base_url=f"{url}/v1", max_retries=0)
    messages = anthropic.AsyncAnthropic(api_key="theirs", base_url=url, max_retries=0)
    asked: dict[str, Any] = {"model": "alone", "stream": stream}
    calls: list[tuple[type[Exception], Callable[[], Awaitable[Any]]]] = [
        (openai.APIStatusError, lambda: chats.chat.completions.create(messages=HI, **asked)),
        (openai.APIStatusError, lambda: chats.responses.create(input="hi", store=False, **asked)),
        (anthropic.APIStatusError, lambda: messages.messages.create(messages=HI, max_tokens=9, **asked)),
    ]
    for name, refusal in REFUSALS.items():
        for expected, call in calls:
            stub.script[:] = [refusal]
            with pytest.raises(expected) as told:
                await call()
            error: Any = told.value
            assert error.status_code == 502, (name, error)
            assert "provider_refused_credentials" in error.response.text
            assert QUOTED not in error.response.text + str(error.response.headers)
            if expected is openai.APIStatusError:
                assert (error.type, error.code) == ("server_error", "provider_refused_credentials")
            else:
                assert (error.body["type"], error.body["error"]["type"]) == ("error", "api_error")
            found = await gateway.explained()
            assert found["outcome"]["status"] == 502
            [failed] = found["failedAttempts"]
            assert failed["reason"] == "auth"
            gateway.forgive()
    await chats.close()
    await messages.close()


async def test_the_next_of_the_list_answers_where_the_rule_lists_auth(start_gateway, stub):
    gateway = await start_gateway("openai")
    stub.script[:] = [REFUSALS["401"]]
    assert (await gateway.chat())[::2] == (200, b'{"choices":[]}')
    [failed] = (await gateway.explained())["failedAttempts"]
    assert (failed["reason"], failed["status"]) == ("auth", 401)


async def test_what_an_own_server_says_stays_its_own(start_gateway, stub, spare):
    gateway = await start_gateway("openai")
    said = b'{"error": {"message": "own"}}'
    spare.answer = fixed(401, said)
    stub.script[:] = [refused(503)]
    assert (await gateway.chat())[::2] == (401, said)
