"""Hosted providers behind listeners inside Envoy, served over ADS: one list with own servers."""

import asyncio
import json

import pytest
from certificates import Authority
from envoy_rig import CHAT_BODY, fixed, pick
from provider_stub import HOST, TEXT, ProviderStub, refused

from pilotage_api.external_snapshot import (
    CredentialSnapshot,
    ExternalSnapshot,
    HeaderSnapshot,
    ProviderDialect,
)
from pilotage_api.settings import GatewaySettings
from pilotage_api.snapshot import Engine, PoolSnapshot, StreamUsage
from pilotage_extproc.domain.providers import provider_address, provider_listener
from pilotage_extproc.envoy.xds.provider_secrets import ProviderSecrets, credential_file, credential_name
from pilotage_extproc.envoy.xds.providers import provider_resources

POOL = "default/hosted"
PROVIDER = provider_address(POOL)


async def until(condition) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


@pytest.fixture
async def start_stub(tmp_path):
    stubs = []
    authority = Authority()

    async def start(**more) -> ProviderStub:
        stub = ProviderStub(authority, **more)
        await stub.start(tmp_path)
        stubs.append(stub)
        return stub

    yield start
    for stub in stubs:
        await stub.stop()


def external(stub: ProviderStub, **more) -> ExternalSnapshot:
    fields = {"dialect": ProviderDialect.OPENAI, "ca_bundle": stub.authority.certificate, **more}
    return ExternalSnapshot(host=HOST, port=stub.port, **fields)


def secrets_in(pool: str, file) -> ProviderSecrets:
    name = credential_name(provider_listener(pool))
    return ProviderSecrets(credential=name, by_name={name: credential_file(name, str(file))})


def provided(rig, stub, made: ExternalSnapshot, *, pool=POOL, secrets=None):
    """The provider's resources; the rig's hop knows its pool."""
    rig.pools[pool] = PoolSnapshot(
        key=pool,
        engine=Engine.OPENAI,
        endpoints=(),
        stream_usage=StreamUsage.LEAVE,
        models=("gpt-x",),
        external=made,
    )
    return provider_resources(pool, made, (stub.address,), secrets or ProviderSecrets(), GatewaySettings())


async def test_a_provider_answers_over_tls_with_its_own_credential_and_few_headers(
    start_rig, start_stub, tmp_path
):
    stub = await start_stub()
    key = tmp_path / "key"
    key.write_text("sk-1")
    rig = await start_rig(lambda head, body: pick(PROVIDER), [])
    bearer = CredentialSnapshot(header="authorization", prefix="Bearer ", file=str(key))
    made = external(stub, credential=bearer, headers=(HeaderSnapshot(name="x-own", value="50% off"),))
    rig.xds.publish([], (), [provided(rig, stub, made, secrets=secrets_in(POOL, key))])
    await until(lambda: PROVIDER in rig.acknowledged)
    status, _, body = await rig.chat(
        authorization="Bearer the client's", x_api_key="also the client's", cookie="c=1", x_more="1"
    )
    assert (status, json.loads(body)["choices"][0]["message"]["content"]) == (200, TEXT)
    [got] = stub.received
    assert got.path == "/v1/chat/completions"
    assert got.headers["host"] == f"{HOST}:{stub.port}"
    assert got.headers["authorization"] == "Bearer sk-1"
    assert got.headers["x-own"] == "50% off"
    assert sorted(got.headers) == [
        "accept",
        "authorization",
        "content-length",
        "content-type",
        "host",
        "user-agent",
        "x-own",
    ]
    assert json.loads(got.body) == CHAT_BODY
    assert set(rig.replies) == {"acked"}


async def test_a_list_goes_from_a_server_to_a_provider_and_to_the_next(start_rig, start_server, start_stub):
    server = await start_server(fixed(503, b"{}"))
    first, second = await start_stub(), await start_stub()
    first.script.append(refused(429))
    other = provider_address("default/other")
    rig = await start_rig(lambda head, body: pick(server.address, PROVIDER, other), [server.address])
    providers = [
        provided(rig, first, external(first)),
        provided(rig, second, external(second), pool="default/other"),
    ]
    rig.xds.publish([server.address], (), providers)
    await until(lambda: {PROVIDER, other} <= rig.acknowledged)
    assert (await rig.chat())[0] == 200
    assert [len(one.received) for one in (server, first, second)] == [1, 1, 1]
    assert rig.hop_streams == 2
