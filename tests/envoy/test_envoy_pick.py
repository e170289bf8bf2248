"""Placing: the pick, its fallbacks, and what nobody but the picker may decide."""

import json

import pytest
from envoy_rig import CHAT_BODY, Received, fixed, pick
from yarl import URL

from pilotage_api.settings import DecisionHeaders, GatewaySettings


async def test_the_first_address_of_the_pick_answers(start_rig, start_server):
    first, second = await start_server(fixed(200, b'"first"')), await start_server(fixed(200, b'"second"'))
    addresses = [first.address, second.address]
    rig = await start_rig(lambda head, body: pick(second.address, first.address), addresses)
    status, headers, body = await rig.chat()
    assert (status, body) == (200, b'"second"')
    assert json.loads(second.received[0].body) == CHAT_BODY
    assert "x-pilotage-decision" not in headers
    [logged] = await rig.logged()
    assert (logged.owner, logged.outcome.decision_id) == ("p1", "p1-1")
    assert (logged.outcome.upstream_address, logged.outcome.attempts) == (second.address, 1)
    assert logged.outcome.http_status == 200
    assert logged.outcome.response_flags == ()


async def test_envoy_names_itself_to_the_picker_and_to_xds(start_rig, start_server):
    server = await start_server(fixed(200, b"{}"))
    rig = await start_rig(lambda head, body: pick(server.address), [server.address])
    await rig.chat()
    assert rig.picker_metadata[0]["x-pilotage-envoy"] == "envoy-1"
    assert rig.xds.connected == ["envoy-1"]


async def test_one_entry_is_logged_for_each_request(start_rig, start_server):
    server = await start_server(fixed(200, b"{}"))
    decisions = iter(f"p1-{number}" for number in range(20))
    rig = await start_rig(lambda head, body: pick(server.address, decision=next(decisions)), [server.address])
    for _ in range(20):
        await rig.chat()
    entries = await rig.logged(20)
    assert [entry.outcome.decision_id for entry in entries] == [f"p1-{number}" for number in range(20)]


@pytest.mark.parametrize("status", [500, 502, 503, 429])
async def test_a_server_that_fails_is_followed_by_the_next_of_the_list(start_rig, start_server, status):
    failing, working = await start_server(fixed(status, b"{}")), await start_server(fixed(200, b'"ok"'))
    addresses = [failing.address, working.address]
    rig = await start_rig(lambda head, body: pick(*addresses), addresses)
    assert (await rig.chat())[0] == 200
    [logged] = await rig.logged()
    assert (logged.outcome.upstream_address, logged.outcome.attempts) == (working.address, 2)


async def test_a_server_that_refuses_connections_is_followed_by_the_next(start_rig, start_server):
    gone, working = await start_server(fixed(200, b"{}")), await start_server(fixed(200, b'"ok"'))
    await gone.stop()
    addresses = [gone.address, working.address]
    rig = await start_rig(lambda head, body: pick(*addresses), addresses)
    assert (await rig.chat())[0] == 200


async def test_the_error_of_the_last_server_reaches_the_client(start_rig, start_server):
    servers = [
        await start_server(fixed(503, b'{"error":{"message":"server %d is full"}}' % number))
        for number in range(3)
    ]
    addresses = [server.address for server in servers]
    rig = await start_rig(lambda head, body: pick(*addresses), addresses)
    status, _, body = await rig.chat()
    assert (status, body) == (503, b'{"error":{"message":"server 2 is full"}}')
    assert [len(server.received) for server in servers] == [1, 1, 1]
    [logged] = await rig.logged()
    assert (logged.outcome.upstream_address, logged.outcome.attempts) == (addresses[2], 3)


async def test_an_error_of_the_client_is_not_retried(start_rig, start_server):
    first, second = await start_server(fixed(400, b'{"error":{}}')), await start_server(fixed(200, b"{}"))
    addresses = [first.address, second.address]
    rig = await start_rig(lambda head, body: pick(*addresses), addresses)
    status, _, body = await rig.chat()
    assert (status, body) == (400, b'{"error":{}}')
    assert second.received == []


async def test_a_pick_that_envoy_does_not_know_is_503_and_no_other_server(start_rig, start_server):
    server = await start_server(fixed(200, b"{}"))
    rig = await start_rig(lambda head, body: pick("127.0.0.1:9"), [server.address])
    status, headers, body = await rig.chat()
    assert status == 503
    assert json.loads(body)["error"]["code"] == "upstream_unavailable"
    assert headers["retry-after"] == "1"
    assert server.received == []
    [logged] = await rig.logged()
    assert logged.outcome.upstream_address is None
    assert "no_healthy_upstream" in logged.outcome.response_flags


STEERING = {
    "x-gateway-destination-endpoint": "127.0.0.1:1",
    "x-gateway-destination-endpoint-subset": "127.0.0.1:1",
    "x-gateway-destination-endpoint-served": "127.0.0.1:1",
    "X-Gateway-Model-Name-Rewrite": "other",
    "x-llm-d-model-name-rewrite": "other",
    "x-prefiller-host-port": "127.0.0.1:1",
    "x-encoder-hosts-ports": "127.0.0.1:1",
    "x-data-parallel-host-port": "127.0.0.1:1",
    "x-kv-cache-source-host-port": "127.0.0.1:1",
    "X-Data-Parallel-Rank": "1",
    "x-smg-routing-key": "other",
    "x-pilotage-role": "rebind",
    "x-pilotage-anything": "1",
    "x-envoy-max-retries": "9",
    "x-envoy-retry-on": "5xx",
    "x-envoy-upstream-rq-timeout-ms": "1",
    "x-envoy-attempt-count": "7",
}


async def test_headers_that_would_steer_are_dropped_before_the_picker(start_rig, start_server):
    meant, other = await start_server(fixed(200, b'"meant"')), await start_server(fixed(200, b'"other"'))
    heads: list[dict[str, str]] = []

    def choose(head, body):
        heads.append(dict(head))
        return pick(meant.address)

    rig = await start_rig(choose, [meant.address, other.address])
    sent = {
        key: other.address if value.endswith(":1") and "127" in value else value
        for key, value in STEERING.items()
    }
    _, _, body = await rig.chat(**sent)
    assert body == b'"meant"'
    assert not {key.lower() for key in STEERING} & heads[0].keys()
    got = meant.received[0].headers
    assert got["x-envoy-attempt-count"] == "1"
    assert not ({key.lower() for key in STEERING} - {"x-envoy-attempt-count"}) & got.keys()
    assert "accept-encoding" not in got  # usage cannot be read out of a compressed answer


async def test_a_model_name_with_an_escaped_slash_stays_in_the_path(start_rig, start_server):
    server = await start_server(fixed(200, b"{}"))
    rig = await start_rig(lambda head, body: pick(server.address), [server.address])
    url = URL(f"{rig.url}/v1/models/org%2Fname", encoded=True)
    async with rig.session.get(url) as answer:
        assert answer.status == 200
    assert server.received[0].path == "/v1/models/org%2Fname"


async def test_a_request_id_is_kept_or_made(start_rig, start_server):
    server = await start_server(fixed(200, b"{}"))
    rig = await start_rig(lambda head, body: pick(server.address), [server.address])
    await rig.chat()
    _, headers, _ = await rig.chat(x_request_id="12345678-1234-1234-1234-123456789abc")
    made, kept = (received.headers["x-request-id"] for received in server.received)
    assert len(made) == 36
    assert kept == headers["x-request-id"] == "12345678-1234-1234-1234-123456789abc"


@pytest.mark.parametrize(("level", "shown"), [("off", None), ("full", "p1-1; model=m")])
async def test_the_decision_is_told_by_envoy_where_the_settings_say_so(start_rig, start_server, level, shown):
    async def answer(request: Received, writer) -> None:
        await fixed(200, b"{}")(request, writer)

    server = await start_server(answer)
    settings = GatewaySettings(decision_headers=DecisionHeaders(level))
    rig = await start_rig(
        lambda head, body: pick(
            server.address, more={"x-pilotage-decision": "p1-1; model=m"} if shown else {}
        ),
        [server.address],
        settings=settings,
    )
    _, headers, _ = await rig.chat()
    assert headers.get("x-pilotage-decision") == shown


async def test_no_decision_header_is_made_up_without_a_decision(start_rig, start_server):
    server = await start_server(fixed(200, b"{}"))
    settings = GatewaySettings(decision_headers=DecisionHeaders.SUMMARY)
    rig = await start_rig(lambda head, body: pick("127.0.0.1:9"), [server.address], settings=settings)
    _, headers, _ = await rig.chat()
    assert "x-pilotage-decision" not in headers


async def test_what_limits_leave_is_said_and_a_servers_own_words_stay_where_there_are_none(
    start_rig, start_server
):
    async def answer(request, writer):
        writer.write(
            b"HTTP/1.1 200 OK\r\nx-ratelimit-limit-requests: 7\r\nx-ratelimit-limit-tokens: 8\r\n"
            b"content-length: 2\r\n\r\n{}"
        )

    server = await start_server(answer)
    left = {"x-ratelimit-limit-requests": "60", "x-ratelimit-remaining-requests": "59"}
    rig = await start_rig(lambda head, body: pick(server.address, more=left), [server.address])
    _, headers, _ = await rig.chat()
    assert headers["x-ratelimit-limit-requests"] == "60"
    assert headers["x-ratelimit-remaining-requests"] == "59"
    assert headers["x-ratelimit-limit-tokens"] == "8"
    assert "x-ratelimit-remaining-tokens" not in headers
