"""Without a picker: closed by default, or one pool where the settings name it."""

import time

import pytest
from envoy_rig import fixed, pick

from pilotage_api.settings import GatewaySettings

OPEN = GatewaySettings(fail_open_pool="default/spare", message_timeout_seconds=0.2)


async def test_a_request_without_a_pick_goes_to_the_fail_open_pool(start_rig, start_server):
    picked, spare = await start_server(fixed(200, b'"picked"')), await start_server(fixed(200, b'"spare"'))
    rig = await start_rig(
        lambda head, body: pick(picked.address),
        [picked.address, spare.address],
        settings=OPEN,
        fail_open=(spare.address,),
    )
    assert (await rig.chat())[2] == b'"picked"'
    await rig.extproc.stop(None)
    status, _, body = await rig.chat(x_gateway_inference_objective="o", x_gateway_destination_endpoint="x:1")
    assert (status, body) == (200, b'"spare"')
    got = spare.received[0]
    assert got.model == "m"
    assert not [name for name in got.headers if name.startswith("x-gateway-")]


async def test_a_picker_that_is_not_there_holds_requests_for_a_moment_only(start_rig, start_server):
    picked, spare = await start_server(fixed(200, b'"picked"')), await start_server(fixed(200, b'"spare"'))
    settings = OPEN.model_copy(update={"message_timeout_seconds": 30})
    addresses = [picked.address, spare.address]
    rig = await start_rig(
        lambda head, body: pick(picked.address), addresses, settings=settings, fail_open=(spare.address,)
    )
    await rig.extproc.stop(None)
    began = time.monotonic()
    for _ in range(5):  # Envoy's own pauses between tries would make each of them 1.5 s on average
        assert (await rig.chat())[2] == b'"spare"'
    assert time.monotonic() - began < 2


async def test_a_picker_that_is_too_slow_counts_as_gone(start_rig, start_server):
    picked, spare = await start_server(fixed(200, b'"picked"')), await start_server(fixed(200, b'"spare"'))
    rig = await start_rig(
        lambda head, body: None,
        [picked.address, spare.address],
        settings=OPEN,
        fail_open=(spare.address,),
    )
    status, _, body = await rig.chat()
    assert (status, body) == (200, b'"spare"')
    [logged] = await rig.logged()
    assert (logged.outcome.decision_id, logged.outcome.upstream_address) == ("", spare.address)


async def test_a_picked_server_that_fails_does_not_open_the_other_pool(start_rig, start_server):
    picked, spare = await start_server(fixed(503, b'"full"')), await start_server(fixed(200, b'"spare"'))
    rig = await start_rig(
        lambda head, body: pick(picked.address), [picked.address], settings=OPEN, fail_open=(spare.address,)
    )
    assert (await rig.chat())[:3:2] == (503, b'"full"')
    assert spare.received == []


@pytest.mark.parametrize("settings", [GatewaySettings(), OPEN])
async def test_both_ways_start_with_no_endpoint_at_all(start_rig, settings):
    rig = await start_rig(lambda head, body: pick("127.0.0.1:9"), [], settings=settings)
    assert (await rig.chat())[0] == 503
