"""Credentials told over mutually authenticated TLS, to an Envoy that proves who it is, and shown nowhere."""

import asyncio
import json
from datetime import timedelta
from pathlib import Path

import aiohttp
import pytest
from certificates import Authority
from envoy_rig import CHAT, CHAT_BODY, TRANSPORT, Rig, fixed, pick
from provider_stub import ProviderStub
from test_envoy_providers import POOL, PROVIDER, external, provided, until

from pilotage_api.external_snapshot import CredentialSnapshot
from pilotage_api.settings import GatewaySettings, Transport
from pilotage_extproc.domain.providers import provider_listener
from pilotage_extproc.domain.reach import Reach
from pilotage_extproc.envoy.xds.provider_secrets import ProviderSecrets, credential_name, credential_value

BEARER = CredentialSnapshot(header="authorization", prefix="Bearer ")

pytestmark = pytest.mark.skipif(
    TRANSPORT is not Transport.BUILTIN, reason="callers are verified by the built-in transport only"
)


def files(folder, authority: Authority, name: str) -> dict[str, str]:
    certificate, key = authority.issue(name, "tests", timedelta(days=1), hosts=[name])
    (folder / f"{name}.pem").write_text(certificate)
    (folder / f"{name}.key").write_text(key)
    return {"certFile": str(folder / f"{name}.pem"), "keyFile": str(folder / f"{name}.key")}


def mutual(folder, *, envoy="pilotage-envoy", authority=None) -> GatewaySettings:
    """Settings in which Envoy and picker verify each other; Envoy's certificate has this name."""
    own = Authority()
    ca = folder / "ca.pem"
    ca.write_text(own.certificate)
    tls = {
        "extproc": files(folder, own, "pilotage-extproc"),
        "envoy": {"caFile": str(ca), **files(folder, own, envoy)},
    }
    return GatewaySettings.model_validate({"tls": tls})


def told(value: str) -> ProviderSecrets:
    name = credential_name(provider_listener(POOL))
    return ProviderSecrets(Reach.SECRETS, credential=name, by_name={name: credential_value(name, value)})


@pytest.fixture
async def stub(tmp_path):
    made = ProviderStub(Authority())
    await made.start(tmp_path)
    yield made
    await made.stop()


async def test_a_credential_told_over_mutual_tls_is_sent_rotated_and_shown_nowhere(start_rig, stub, tmp_path):
    rig = await start_rig(lambda head, body: pick(PROVIDER), [], settings=mutual(tmp_path))
    made = external(stub, credential=BEARER)
    rig.xds.publish([], (), [provided(rig, stub, made, secrets=told("sk-SECRET-1"))])
    await until(lambda: PROVIDER in rig.acknowledged)
    assert (await rig.chat())[0] == 200
    assert stub.received[-1].headers["authorization"] == "Bearer sk-SECRET-1"
    rig.xds.publish([], (), [provided(rig, stub, made, secrets=told("sk-SECRET-2"))])
    async with asyncio.timeout(5):
        while stub.received[-1].headers["authorization"] != "Bearer sk-SECRET-2":
            assert (await rig.chat())[0] == 200
    admin = f"http://{rig.envoy.admin_address}"
    async with aiohttp.ClientSession() as session:
        for page in ("/config_dump?include_eds", "/clusters", "/stats"):
            async with session.get(admin + page) as answer:
                assert "SECRET" not in await answer.text()
    assert not any("SECRET" in line for line in rig.envoy.last_lines)


async def test_an_envoy_that_proves_to_be_somebody_else_is_told_nothing(start_rig, stub, tmp_path):
    settings = mutual(tmp_path, envoy="somebody-else")
    rig = await start_rig(lambda head, body: pick(PROVIDER), [], settings=settings)
    made = external(stub, credential=BEARER)
    rig.xds.publish([], (), [provided(rig, stub, made, secrets=told("sk-SECRET-1"))])
    await until(lambda: len(rig.replies) >= 3)
    assert PROVIDER not in rig.acknowledged
    assert (await rig.chat())[0] == 503
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://{rig.envoy.admin_address}/config_dump?include_eds") as answer,
    ):
        assert provider_listener(POOL) not in await answer.text()
    assert stub.received == []


async def test_an_envoy_over_plaintext_is_told_nothing(start_rig, stub):
    rig = await start_rig(lambda head, body: pick(PROVIDER), [])
    made = external(stub, credential=BEARER)
    rig.xds.publish([], (), [provided(rig, stub, made, secrets=told("sk-SECRET-1"))])
    await until(lambda: len(rig.replies) >= 3)
    assert PROVIDER not in rig.acknowledged
    assert (await rig.chat())[0] == 503


def replaced(settings: GatewaySettings, folder) -> None:
    """Certificates and authority of both sides are others from now on, put there as `mv` does."""
    issuer = Authority()
    tls = settings.tls
    for name, own in (("pilotage-envoy", tls.envoy), ("pilotage-extproc", tls.extproc)):
        beside = folder / f"renewed-{name}"
        beside.mkdir()
        renewed = files(beside, issuer, name)
        Path(renewed["keyFile"]).replace(own.key_file)
        Path(renewed["certFile"]).replace(own.cert_file)
    (folder / "renewed.pem").write_text(issuer.certificate)
    (folder / "renewed.pem").replace(tls.envoy.ca_file)


async def test_certificates_renewed_by_another_authority_are_used_without_a_restart(
    start_rig, start_server, tmp_path
):
    server = await start_server(fixed(200, b'"ok"'))

    def choose(head, body):
        return pick(server.address)

    settings = mutual(tmp_path)
    rig = await start_rig(choose, [server.address], settings=settings)
    assert (await rig.chat())[0] == 200
    replaced(settings, tmp_path)
    await rig.extproc.stop(None)
    later = Rig(settings, choose)
    await later.serve([server.address], port=rig.extproc_port)
    try:
        await until(lambda: later.xds.connected == ["envoy-1"] and server.address in later.acknowledged)
        async with asyncio.timeout(10):
            while (await rig.chat())[0] != 200:
                await asyncio.sleep(0.05)
        assert later.picker_metadata
    finally:
        await later.stop()


CLIENTS_OWN = (
    ("Authorization", "Bearer theirs-1"),
    ("AUTHORIZATION", "Bearer theirs-2"),
    ("Proxy-Authorization", "Basic theirs"),
    ("Cookie", "session=theirs"),
    *((name, "theirs") for name in ("X-Api-Key", "api-key", "x_api_key", "x!key", "~key")),
    *(
        (name, "theirs")
        for name in ("x-forwarded-client-cert", "forwarded", "via", "referer", "origin", "x-hop")
    ),
    ("Connection", "x-hop, authorization"),
    ("baggage", "user=theirs"),
    ("x-bytes", "\xe9theirs"),
)


async def test_however_a_client_spells_what_is_its_own_no_provider_gets_it(start_rig, stub, tmp_path):
    rig = await start_rig(lambda head, body: pick(PROVIDER), [], settings=mutual(tmp_path))
    rig.xds.publish([], (), [provided(rig, stub, external(stub, credential=BEARER), secrets=told("sk-1"))])
    await until(lambda: PROVIDER in rig.acknowledged)
    body = json.dumps(CHAT_BODY).encode()
    fixed_part = (("host", "gateway.example"), ("content-type", "application/json"))
    head = "".join(f"{name}: {value}\r\n" for name, value in (*fixed_part, *CLIENTS_OWN))
    trailers = b"authorization: theirs\r\nx-api-key: theirs\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", rig.port)
    writer.write(
        f"POST {CHAT}?key=theirs HTTP/1.1\r\ntransfer-encoding: chunked\r\n{head}\r\n".encode("latin-1")
        + b"%x\r\n%b\r\n0\r\n%b\r\n" % (len(body), body, trailers)
    )
    async with asyncio.timeout(10):
        assert b"200" in await reader.readline()
    writer.close()
    [got] = stub.received
    assert (got.path, got.body) == (CHAT, body)
    assert sorted(got.headers) == ["authorization", "content-type", "host", "transfer-encoding"]
    assert got.headers["authorization"] == "Bearer sk-1"
