"""Attempts after the first: the model name rewritten for the endpoint that Envoy chose."""

import json
from pathlib import Path

import pytest
from envoy_rig import CHAT_BODY, fixed, pick

FORMER = Path(__file__).parents[1] / "fixtures" / "version-before" / "models-cluster.json"


async def test_each_attempt_gets_the_model_name_of_its_endpoint(start_rig, start_server):
    servers = [await start_server(fixed(503, b"{}")) for _ in range(3)]
    servers.append(await start_server(fixed(200, b"{}")))
    addresses = [server.address for server in servers]
    rebind = dict(zip(addresses, ["small", "strong", "small", "hosted-gpt-with-a-long-name"], strict=True))
    first = json.dumps({**CHAT_BODY, "model": "small"}, separators=(",", ": ")).encode()
    rig = await start_rig(lambda head, body: pick(*addresses, rebind=rebind, body=first), addresses)
    status, _, _ = await rig.chat({**CHAT_BODY, "model": "auto"})
    assert status == 200
    received = [server.received[0] for server in servers]
    assert [request.model for request in received] == list(rebind.values())
    for request in received:
        assert int(request.headers["content-length"]) == len(request.body)
        assert json.loads(request.body)["messages"] == CHAT_BODY["messages"]
    assert received[2].body == first
    assert received[3].body == first.replace(b'"small"', b'"hosted-gpt-with-a-long-name"')
    assert (rig.rewrite_streams, rig.rewritten) == (3, 2), "the third has the first one's name"


async def test_the_first_attempt_does_not_ask_the_rebinder(start_rig, start_server):
    server = await start_server(fixed(200, b"{}"))
    rig = await start_rig(
        lambda head, body: pick(server.address, rebind={server.address: "other"}), [server.address]
    )
    await rig.chat()
    assert server.received[0].model == "m"
    assert rig.rewritten == 0


async def test_attempts_of_one_model_send_the_body_as_it_is(start_rig, start_server):
    failing, working = await start_server(fixed(503, b"{}")), await start_server(fixed(200, b"{}"))
    addresses = [failing.address, working.address]
    rig = await start_rig(lambda head, body: pick(*addresses), addresses)
    await rig.chat()
    assert working.received[0].body == failing.received[0].body
    assert rig.rewritten == 0
    assert rig.rewrite_streams == 0


async def test_a_request_without_a_body_can_be_tried_again(start_rig, start_server):
    failing, working = await start_server(fixed(503, b"{}")), await start_server(fixed(200, b'"ok"'))
    addresses = [failing.address, working.address]
    rig = await start_rig(lambda head, body: pick(*addresses, rebind={working.address: "x"}), addresses)
    async with rig.session.get(rig.url + "/v1/responses/resp_1") as answer:
        assert (answer.status, await answer.read()) == (200, b'"ok"')
    assert working.received[0].body == b""


@pytest.mark.parametrize("clusters", ["of the version before", "of this version"])
@pytest.mark.parametrize("picked_by", ["the version before", "this version"])
async def test_two_versions_share_a_gateway_while_one_replaces_the_other(
    start_rig, start_server, clusters, picked_by
):
    """A later attempt gets its model whichever version's picker and clusters an Envoy has."""
    failing, working = await start_server(fixed(503, b"{}")), await start_server(fixed(200, b"{}"))
    addresses = [failing.address, working.address]
    models = dict(zip(addresses, ["small", "strong"], strict=True))
    first = json.dumps({**CHAT_BODY, "model": "small"}).encode()
    numbers = models if picked_by == "this version" else None
    rig = await start_rig(
        lambda head, body: pick(*addresses, rebind=numbers, body=first, more={"rebind": models}),
        addresses,
        models_cluster=json.loads(FORMER.read_text()) if clusters == "of the version before" else None,
    )
    status, _, _ = await rig.chat({**CHAT_BODY, "model": "auto"})
    assert status == 200
    assert [server.received[0].model for server in (failing, working)] == ["small", "strong"]
    assert (rig.rewrite_streams, rig.rewritten) == (1, 1)
