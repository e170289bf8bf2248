"""Credentials told over mutually authenticated TLS, to an Envoy that proves who it is, and shown nowhere."""

import asyncio
import json
import tempfile
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import aiohttp
import pytest
from certificates import Authority
from envoy_rig import CHAT, CHAT_BODY, TRANSPORT, Rig, fixed, pick
from provider_rig import POOL, PROVIDER, external, provided, until

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


async def test_a_credential_told_over_mutual_tls_is_sent_rotated_and_shown_nowhere(
    start_provider_rig, stub, tmp_path
):
    made = external(stub, credential=BEARER)
    rig = await start_provider_rig(stub, made=made, secrets=told("sk-SECRET-1"), settings=mutual(tmp_path))
    assert (await rig.chat())[0] == 200
    assert stub.received[-1].headers["authorization"] == "Bearer sk-SECRET-1"
    rig.xds.publish([], (), [provided(rig, stub, made, secrets=told("sk-SECRET-2"))])
    async with asyncio.timeout(30):
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


def mounted(folder: Path, files: Mapping[str, str]) -> None:
    """A Secret's files as kubelet mounts and renews them: all at once, by one link."""
    folder.mkdir(exist_ok=True)
    version = Path(tempfile.mkdtemp(dir=folder, prefix="..version"))
    for name, content in files.items():
        (version / name).write_text(content)
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(Path("..data", name))
    (folder / "..data_tmp").symlink_to(version.name)
    (folder / "..data_tmp").replace(folder / "..data")


def issued(authority: Authority, name: str) -> dict[str, str]:
    certificate, key = authority.issue(name, "tests", timedelta(days=1), hosts=[name])
    return {"ca.crt": authority.certificate, "tls.crt": certificate, "tls.key": key}


async def test_certificates_renewed_by_another_authority_are_used_without_a_restart(
    start_rig, start_server, tmp_path
):
    def from_now_on(authority: Authority) -> None:
        for name in ("pilotage-envoy", "pilotage-extproc"):
            mounted(tmp_path / name, issued(authority, name))

    def pair(name: str) -> dict[str, str]:
        folder = tmp_path / name
        return {"certFile": str(folder / "tls.crt"), "keyFile": str(folder / "tls.key")}

    def choose(head, body):
        return pick(server.address)

    server = await start_server(fixed(200, b'"ok"'))
    from_now_on(Authority())
    envoy = {"caFile": str(tmp_path / "pilotage-envoy" / "ca.crt"), **pair("pilotage-envoy")}
    settings = GatewaySettings.model_validate({"tls": {"extproc": pair("pilotage-extproc"), "envoy": envoy}})
    rig = await start_rig(choose, [server.address], settings=settings)
    assert (await rig.chat())[0] == 200
    from_now_on(Authority())
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


async def test_however_a_client_spells_what_is_its_own_no_provider_gets_it(
    start_provider_rig, stub, tmp_path
):
    made = external(stub, credential=BEARER)
    rig = await start_provider_rig(stub, made=made, secrets=told("sk-1"), settings=mutual(tmp_path))
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
