"""Which headers of a client reach the picker: what findings say of them holds with the real Envoy."""

import asyncio
import json
from collections.abc import Mapping

import pytest
from envoy_rig import CHAT, CHAT_BODY, fixed, pick

from pilotage_api.arriving_headers import HOP_BY_HOP, obstacle

BODY = json.dumps(CHAT_BODY).encode()
NEVER = [
    *(
        (name, value)
        for name in HOP_BY_HOP
        for value in ("chunked" if "transfer" in name else "close",)
        if name != "upgrade"
    ),
    ("upgrade", "h2c"),
    ("te", "gzip"),
    ("expect", "100-continue"),
    ("x-forwarded-proto", "https"),
    ("x-forwarded-client-cert", "Hash=1"),
    ("accept-encoding", "gzip"),
    ("x-envoy-retry-on", "5xx"),
]
ALWAYS = [
    ("te", "trailers"),
    ("expect", "x-quick"),
    ("x-forwarded-host", "models.example"),
    ("x-tier", "gold"),
    ("authorization", "Bearer x"),
    ("user-agent", "test"),
    ("via", "1.1 proxy"),
    ("trailer", "x-sum"),
]


async def seen_by_the_picker(start_rig, start_server, name: str, value: str) -> Mapping[str, str]:
    """The headers the picker got of a request that has this one."""
    server = await start_server(fixed(200, b"{}"))
    seen: list[Mapping[str, str]] = []
    rig = await start_rig(lambda head, body: (seen.append(head), pick(server.address))[1], [server.address])
    length = {"content-length": str(len(BODY))}
    body = BODY
    if name == "transfer-encoding":
        length, body = {}, b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
    headers = {"host": "gateway.example", "content-type": "application/json", **length, name: value}
    head = "".join(f"{key}: {text}\r\n" for key, text in headers.items())
    reader, writer = await asyncio.open_connection("127.0.0.1", rig.port)
    writer.write(f"POST {CHAT} HTTP/1.1\r\n{head}\r\n".encode() + body)
    async with asyncio.timeout(10):
        while (line := await reader.readline()).startswith(b"HTTP/1.1 100") or not line.strip():
            pass
    writer.close()
    assert line.startswith(b"HTTP/1.1 200"), line
    return seen[0]


@pytest.mark.parametrize(("name", "value"), NEVER)
async def test_a_header_that_findings_call_lost_does_not_reach_the_picker(
    start_rig, start_server, name, value
):
    assert obstacle(name, value) is not None
    head = await seen_by_the_picker(start_rig, start_server, name, value)
    assert head.get(name) != value


@pytest.mark.parametrize(("name", "value"), ALWAYS)
async def test_a_header_that_findings_do_not_name_reaches_it(start_rig, start_server, name, value):
    assert obstacle(name, value) is None
    assert (await seen_by_the_picker(start_rig, start_server, name, value)).get(name) == value


async def test_the_host_reaches_it_as_the_authority(start_rig, start_server):
    head = await seen_by_the_picker(start_rig, start_server, "host", "Models.Example:8080")
    assert head.get("host") is None
    assert head[":authority"].lower() == "models.example:8080"
