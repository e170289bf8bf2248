"""Simulated providers: TLS, a key, their API's own paths and demands, and errors on command."""

import ssl
import stat
from contextlib import asynccontextmanager

import aiohttp
import anthropic
import openai
import pytest

from pilotage_sim import Provider, ProviderApi, SimCluster, SimConfig, SimSpec, server_tls

HI = [{"role": "user", "content": "hi"}]


@asynccontextmanager
async def provider(api: str, **more):
    """A provider that demands the key `k`."""
    config = SimConfig(("x",), time_scale=0.01, provider=Provider(ProviderApi(api), "k"))
    cluster = await SimCluster.start([SimSpec("127.0.0.1", 0, config, **more)])
    yield cluster.servers[0]
    await cluster.stop()


async def test_the_sdk_of_an_api_is_answered_and_a_wrong_key_is_its_error():
    async with provider("openai") as server:
        url = f"http://{server.address}/v1"
        async with openai.AsyncOpenAI(base_url=url, api_key="k", max_retries=0) as client:
            chat = await client.chat.completions.create(model="x", messages=HI, max_tokens=2)
            assert chat.usage.completion_tokens == 2
        async with openai.AsyncOpenAI(base_url=url, api_key="other", max_retries=0) as client:
            with pytest.raises(openai.AuthenticationError):
                await client.chat.completions.create(model="x", messages=HI)
    async with provider("anthropic") as server:
        url = f"http://{server.address}"
        async with anthropic.AsyncAnthropic(base_url=url, api_key="k", max_retries=0) as client:
            message = await client.messages.create(model="x", messages=HI, max_tokens=2)
            assert message.usage.output_tokens == 2
        async with anthropic.AsyncAnthropic(base_url=url, api_key="other", max_retries=0) as client:
            with pytest.raises(anthropic.AuthenticationError) as error:
                await client.messages.create(model="x", messages=HI, max_tokens=2)
        assert error.value.body["error"]["type"] == "authentication_error"


@pytest.mark.parametrize(
    ("headers", "body", "field"),
    [
        ({}, {"max_tokens": 1}, "anthropic-version"),
        ({"anthropic-version": "2023-06-01"}, {}, "max_tokens"),
    ],
)
async def test_what_anthropic_demands_is_demanded(headers, body, field):
    async with provider("anthropic") as server, aiohttp.ClientSession(f"http://{server.address}") as session:
        asked = {"model": "x", "messages": HI, **body}
        async with session.post("/v1/messages", json=asked, headers={"x-api-key": "k", **headers}) as answer:
            assert answer.status == 400
            assert field in (await answer.json())["error"]["message"]


@pytest.mark.parametrize(
    ("api", "path"),
    [("openai", "/v1/messages"), ("openai", "/metrics"), ("anthropic", "/v1/chat/completions")],
)
async def test_a_provider_has_the_paths_of_its_own_api_alone(api, path):
    async with (
        provider(api) as server,
        aiohttp.ClientSession(f"http://{server.address}") as session,
        session.post(path, json={}) as answer,
    ):
        assert answer.status == 404


async def test_an_error_on_command_says_how_long_to_stay_away():
    async with provider("openai") as server, aiohttp.ClientSession(f"http://{server.address}") as session:
        async with session.post("/sim/faults", json={"status": 429, "retry_after_seconds": 7}) as answer:
            assert answer.status == 200
        chat, key = {"model": "x", "messages": HI}, {"authorization": "Bearer k"}
        async with session.post("/v1/chat/completions", json=chat, headers=key) as answer:
            assert (answer.status, answer.headers["retry-after"]) == (429, "7")
        server.faults.update({"status": None})
        async with session.post("/v1/chat/completions", json=chat, headers=key) as answer:
            assert answer.status == 200


async def test_a_certificate_is_made_once_for_localhost_and_its_key_is_private(tmp_path):
    folder = tmp_path / "tls"
    context = server_tls(folder)
    made = (folder / "certificate.pem").read_bytes()
    assert stat.S_IMODE((folder / "key.pem").stat().st_mode) == 0o600
    async with provider("openai", tls=context) as server, aiohttp.ClientSession() as session:
        trusting = ssl.create_default_context(cadata=made.decode())
        url = f"https://localhost:{server.port}/v1/models"
        async with session.get(url, ssl=trusting, headers={"authorization": "Bearer k"}) as answer:
            assert answer.status == 200
    server_tls(folder)
    assert (folder / "certificate.pem").read_bytes() == made
