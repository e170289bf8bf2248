"""The stub that stands for hosted providers in tests over a real Envoy."""

import json
import ssl

import aiohttp
import pytest
from certificates import Authority
from provider_stub import HOST, TEXT, ProviderStub, refused


@pytest.fixture
async def stub(tmp_path):
    made = ProviderStub(Authority())
    await made.start(tmp_path)
    yield made
    await made.stop()


def _client(stub: ProviderStub) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=ssl.create_default_context(cadata=stub.authority.certificate))
    )


async def test_a_provider_answers_over_tls_and_keeps_what_it_got(stub):
    async with _client(stub) as client:
        url = f"https://{stub.address}/v1/chat/completions"
        async with client.post(url, json={"model": "m"}, server_hostname=HOST) as answer:
            assert (await answer.json())["choices"][0]["message"]["content"] == TEXT
    assert stub.received[0].model == "m"


async def test_a_stream_has_its_usage_only_where_it_is_asked_for(stub):
    async with _client(stub) as client:
        url = f"https://{stub.address}/v1/chat/completions"
        for options, expected in (({}, False), ({"include_usage": True}, True)):
            asked = {"model": "m", "stream": True, "stream_options": options}
            async with client.post(url, json=asked, server_hostname=HOST) as answer:
                lines = (await answer.text()).split("\n\n")
            assert lines[-2] == "data: [DONE]"
            assert any("usage" in json.loads(line[6:]) for line in lines[:-2]) is expected


async def test_a_scripted_answer_is_given_once(stub):
    stub.script.append(refused(429, "rate_limit_exceeded", retry_after="3"))
    async with _client(stub) as client:
        url = f"https://{stub.address}/v1/chat/completions"
        async with client.post(url, json={}, server_hostname=HOST) as answer:
            assert (answer.status, answer.headers["retry-after"]) == (429, "3")
        async with client.post(url, json={}, server_hostname=HOST) as answer:
            assert answer.status == 200
