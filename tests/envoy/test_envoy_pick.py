"""Placing: the pick, its fallbacks, and what nobody but the picker may decide."""

import json

from envoy_rig import CHAT_BODY, fixed, pick


async def test_the_first_address_of_the_pick_answers(start_rig, start_server):
    first, second = await start_server(fixed(200, b'"first"')), await start_server(fixed(200, b'"second"'))
    rig = await start_rig(
        lambda head, body: pick(second.address, first.address), [first.address, second.address]
    )
    status, _, body = await rig.chat()
    assert (status, body) == (200, b'"second"')
    assert json.loads(second.received[0].body) == CHAT_BODY
    [logged] = await rig.logged()
    print(logged)
    assert logged.owner == "p1"
    assert logged.outcome.upstream_address == second.address
