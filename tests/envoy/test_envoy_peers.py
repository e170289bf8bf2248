"""Two pickers behind one Envoy: one of them may go at any time."""

import asyncio
import json

import pytest
from envoy_rig import CHAT, CHAT_BODY, Rig, fixed, pick

from pilotage_api.settings import GatewaySettings, TlsSettings

CLIENTS = 4


@pytest.mark.parametrize("tls", [None, "self-signed"])
async def test_a_picker_that_dies_costs_at_most_the_requests_it_held(start_rig, start_server, tls):
    settings = GatewaySettings(tls=TlsSettings(extproc=tls))
    server = await start_server(fixed(200, b'"ok"'))

    def choose(head, body):
        return pick(server.address)

    peer = Rig(settings, choose)
    await peer.serve([server.address])
    peers = [("127.0.0.1", peer.extproc_port)]
    rig = await start_rig(choose, [server.address], settings=settings, peers=peers)
    statuses: list[int] = []

    async def client() -> None:
        for _ in range(60):
            async with rig.session.post(rig.url + CHAT, data=json.dumps(CHAT_BODY)) as answer:
                await answer.read()
                statuses.append(answer.status)
            await asyncio.sleep(0.005)

    clients = [asyncio.create_task(client()) for _ in range(CLIENTS)]
    while len(statuses) < 60:
        await asyncio.sleep(0.005)
    assert peer.picker_metadata
    assert rig.picker_metadata
    await peer.stop()
    await asyncio.gather(*clients)
    assert len(statuses) == 60 * CLIENTS
    assert statuses.count(200) >= len(statuses) - CLIENTS
    assert statuses[-60:] == [200] * 60
