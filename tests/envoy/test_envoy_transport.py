"""Protocols of clients, TLS on both sides, bodies at their limit."""

import asyncio
import contextlib
import json
import socket
import ssl
from pathlib import Path

import aiohttp
import h2.config
import h2.connection
import h2.events
import pytest
from cryptography import x509
from envoy_rig import CHAT, CHAT_BODY, chunk, fixed, pick, stream_head

from pilotage_api.settings import BodyLimits, GatewaySettings, TlsFiles, TlsSettings
from pilotage_extproc.server.tls import self_signed


async def h2_post(port: int, path: str, body: bytes) -> tuple[str, bytes]:
    """A request over HTTP/2 without TLS, with prior knowledge."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    connection = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
    connection.initiate_connection()
    headers = {":method": "POST", ":path": path, ":scheme": "http", ":authority": "x"}
    connection.send_headers(1, list({**headers, "content-type": "application/json"}.items()))
    connection.send_data(1, body, end_stream=True)
    writer.write(connection.data_to_send())
    status, answer = "", b""
    async with asyncio.timeout(30):
        while True:
            for event in connection.receive_data(await reader.read(65536)):
                if isinstance(event, h2.events.ResponseReceived):
                    status = dict(event.headers)[":status"]
                elif isinstance(event, h2.events.DataReceived):
                    answer += event.data
                elif isinstance(event, h2.events.StreamEnded):
                    writer.close()
                    return status, answer
            writer.write(connection.data_to_send())


async def test_http_2_clients_without_tls_are_served(start_rig, start_server):
    server = await start_server(fixed(200, b'"ok"'))
    rig = await start_rig(lambda head, body: pick(server.address), [server.address])
    assert await h2_post(rig.port, CHAT, json.dumps(CHAT_BODY).encode()) == ("200", b'"ok"')


def has_ipv6() -> bool:
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6) as probe:
        probe.bind(("::1", 0))
        return True
    return False


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6 loopback")
async def test_ipv6_servers_are_picked_tried_again_and_rebound(start_rig, start_server):
    failing = await start_server(fixed(503, b"{}"), "::1")
    working = await start_server(fixed(200, b"{}"), "::1")
    addresses = [failing.address, working.address]
    rig = await start_rig(lambda head, body: pick(*addresses, rebind={working.address: "other"}), addresses)
    assert (await rig.chat())[0] == 200
    assert working.received[0].model == "other"
    [logged] = await rig.logged()
    assert logged.outcome.upstream_address == working.address


@pytest.mark.parametrize("size", [1 << 20, 30 << 20])
async def test_long_bodies_reach_the_picker_and_the_server_whole(start_rig, start_server, size):
    server = await start_server(fixed(200, b"{}"))
    seen: list[int] = []

    def choose(head, body):
        seen.append(len(body))
        return pick(server.address)

    rig = await start_rig(choose, [server.address])
    body = b'{"model":"m","prompt":"%s"}' % (b"x" * size)
    assert (await rig.chat(body))[0] == 200
    assert seen == [len(body)]
    assert server.received[0].body == body


async def test_a_body_grown_by_the_picker_goes_on_with_its_length(start_rig, start_server):
    server = await start_server(fixed(200, b"{}"))
    grown = b'{"model":"m","prompt":"%s"}' % (b"y" * 100_000)
    rig = await start_rig(lambda head, body: pick(server.address, body=grown), [server.address])
    assert (await rig.chat(b'{"model":"m"}'))[0] == 200
    assert server.received[0].body == grown
    assert server.received[0].headers["content-length"] == str(len(grown))


async def test_a_self_signed_picker_is_asked_over_tls(start_rig, start_server):
    server = await start_server(fixed(503, b"{}"))
    settings = GatewaySettings(tls=TlsSettings(extproc="self-signed"))
    other = await start_server(fixed(200, b'"ok"'))
    addresses = [server.address, other.address]
    rig = await start_rig(
        lambda head, body: pick(*addresses, rebind={other.address: "other"}), addresses, settings=settings
    )
    assert (await rig.chat())[:3:2] == (200, b'"ok"')
    assert other.received[0].model == "other"
    assert len(await rig.logged()) == 1


def write_pair(folder: Path, name: str) -> None:
    """As secrets are mounted: a new folder, then one symbolic link turned to it."""
    version = folder / name
    version.mkdir()
    key, certificate = self_signed(name)
    (version / "tls.key").write_bytes(key)
    (version / "tls.crt").write_bytes(certificate)
    turned = folder / "next"
    turned.symlink_to(version)
    turned.rename(folder / "current")


async def name_of(port: int) -> str:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    raw = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    subject = x509.load_der_x509_certificate(raw).subject
    return str(subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value)


async def test_the_listener_speaks_tls_and_follows_a_renewed_certificate(start_rig, start_server, tmp_path):
    write_pair(tmp_path, "first")
    for file in ("tls.crt", "tls.key"):
        (tmp_path / file).symlink_to(tmp_path / "current" / file)
    files = TlsFiles(cert_file=str(tmp_path / "tls.crt"), key_file=str(tmp_path / "tls.key"))
    server = await start_server(fixed(200, b'"ok"'))
    settings = GatewaySettings(tls=TlsSettings(gateway=files))
    rig = await start_rig(lambda head, body: pick(server.address), [server.address], settings=settings)
    async with aiohttp.ClientSession() as session:
        answer = await session.post(rig.url + CHAT, json=CHAT_BODY, ssl=False)
        assert (answer.status, await answer.read()) == (200, b'"ok"')
    assert await name_of(rig.port) == "first"
    write_pair(tmp_path, "second")
    async with asyncio.timeout(30):
        while await name_of(rig.port) != "second":
            await asyncio.sleep(0.05)


async def slow_stream(received, writer) -> None:
    writer.write(stream_head())
    for number in range(6):
        writer.write(chunk(b"data: %d\n\n" % number))
        await writer.drain()
        await asyncio.sleep(0.5)
    writer.write(chunk(b"data: [DONE]\n\n") + chunk(b""))


async def test_a_client_that_takes_too_long_to_send_gets_408_and_an_answer_may_take_its_time(
    start_rig, start_server
):
    server = await start_server(slow_stream)
    settings = GatewaySettings(body=BodyLimits(receive_timeout_seconds=1.0))
    rig = await start_rig(lambda head, body: pick(server.address), [server.address], settings=settings)
    reader, writer = await asyncio.open_connection("127.0.0.1", rig.port)
    head = (
        f"POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n"
    )
    writer.write(head.encode() + b'{"model":')
    async with asyncio.timeout(30):
        assert b" 408 " in await reader.readline()
    writer.close()
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"http://127.0.0.1:{rig.port}{CHAT}", json=CHAT_BODY) as answer,
    ):
        assert (await answer.read()).endswith(b"data: [DONE]\n\n"), "three seconds"
