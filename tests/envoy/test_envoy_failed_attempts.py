"""Whole gateways whose first server fails: what the client sees, what the record says, who is left alone."""

import asyncio

import pytest
from envoy_rig import fixed
from limited_picks import EVENT, GOOD, breaks_off_queued, resets, silent, stalls, status
from whole_gateway import WholeGateway

REASONS = ["unhealthy", "connect", "serverError", "rateLimited", "auth", "quota", "notFound", "firstToken"]
RULE = {
    "timeouts": {"firstToken": "1500ms", "total": "20s"},
    "fallback": {"reasons": REASONS, "to": [{"model": "spare"}]},
}
PAGE = fixed(502, b"<html>Bad Gateway</html>", "text/html")


@pytest.fixture
async def start_gateway(start_server, tmp_path):
    gateways = []

    async def start(rule=RULE, first=1, **settings):
        failing = [await start_server(GOOD) for _ in range(first)]
        spare = await start_server(GOOD)
        gateway = WholeGateway(tmp_path / "g", {"first": failing, "spare": [spare]}, rule, **settings)
        gateways.append(gateway)
        await gateway.start()
        return gateway, failing, spare

    yield start
    for gateway in gateways:
        await gateway.stop()


CASES = {
    "401": (status(401), "auth", 401),
    "402": (status(402), "quota", 402),
    "403": (status(403), "auth", 403),
    "404": (status(404), "notFound", 404),
    "429": (status(429), "rateLimited", 429),
    "429 with Retry-After": (status(429, {"retry-after": "30"}), "rateLimited", 429),
    "500": (status(500), "serverError", 500),
    "503": (status(503), "serverError", 503),
    "529": (status(529), "rateLimited", 529),
    "a page of HTML": (PAGE, "serverError", 502),
    "reset": (resets, "serverError", None),
    "reset after headers": (breaks_off_queued, "serverError", None),
    "silent": (silent, "firstToken", None),
    "silent after headers": (stalls(), "firstToken", None),
}
LEFT_ALONE = {
    "429 with Retry-After": 1,
    "503": 2,
    "a page of HTML": 2,
    "reset": 2,
    "reset after headers": 2,
    "silent": 2,
    "silent after headers": 2,
}
"""After how many such failures the server is left alone; the others say nothing of the server."""


async def test_each_failure_is_followed_by_the_next_recorded_and_counted(start_gateway):
    gateway, [failing], spare = await start_gateway()
    for case, (answer, reason, code) in CASES.items():
        failing.answer = answer
        for times in (1, 2):
            asked = len(failing.received)
            answered, headers, _ = await gateway.chat(stream=True)
            assert (answered, headers.get("retry-after")) == (200, None), case
            found = await gateway.explained()
            assert len(failing.received) == asked + 1, case
            [failed] = found["failedAttempts"]
            assert (failed["attempt"], failed["reason"]) == (1, reason), case
            assert failed["address"] == failing.address
            assert failed["status"] == code, case
            assert found["outcome"]["servedBy"] == spare.address
            assert [failing.address] == gateway.ejected() or times < LEFT_ALONE.get(case, 99), case
            if LEFT_ALONE.get(case) == times:
                break
        if case in LEFT_ALONE:
            answered, _, _ = await gateway.chat()
            found = await gateway.explained()
            assert found["passedOver"] == [{"model": "first", "reason": "unhealthy", "leftOut": False}]
            assert found["failedAttempts"] == []
        forgive(gateway, failing)
    counted = gateway.runtime.telemetry.exposition().decode()
    assert 'pilotage_failed_attempts_total{pool="default/first",reason="quota"} 2.0' in counted


def forgive(gateway, server):
    """The server counts as good as new."""
    state = gateway.runtime.state
    row = state.table.row_of(server.address)
    state.table.eject(row, 0)
    state.health._troubles.clear()


async def test_a_dead_server_is_left_alone_while_the_requests_it_failed_still_stream(
    start_gateway, start_server
):
    gateway, [failing], spare = await start_gateway()
    failing.answer = resets
    spare.answer = stalls(EVENT, seconds=1.5)
    asking = [asyncio.create_task(gateway.chat(stream=True)) for _ in range(3)]
    await gateway.until(lambda: gateway.ejected() == [failing.address])
    assert not any(one.done() for one in asking)
    assert [(answered, body.endswith(b"<cut>")) for answered, _, body in await asyncio.gather(*asking)] == [
        (200, True)
    ] * 3


async def test_when_every_server_fails_the_last_ones_answer_reaches_the_client_and_all_are_recorded(
    start_gateway,
):
    gateway, [failing], spare = await start_gateway()
    failing.answer = status(429, {"retry-after": "7"})
    spare.answer = status(529, {"retry-after": "9"}, b"too much")
    answered, headers, body = await gateway.chat()
    assert (answered, headers["retry-after"], body) == (529, "9", b"too much")
    found = await gateway.explained()
    assert [(one["attempt"], one["status"]) for one in found["failedAttempts"]] == [(1, 429), (2, 529)]
    assert [one["stayAwaySeconds"] for one in found["failedAttempts"]] == [7, 9]


async def test_a_stream_that_is_cut_is_recorded_as_such_and_not_tried_again(start_gateway):
    gateway, [failing], spare = await start_gateway()
    failing.answer = stalls(EVENT, seconds=0.1)
    answered, _, body = await gateway.chat(stream=True)
    assert (answered, body) == (200, EVENT + b"<cut>")
    await gateway.until(lambda: gateway.runtime.telemetry.exposition().decode().count('reason="other"') == 1)
    found = await gateway.explained()
    assert [one["reason"] for one in found["failedAttempts"]] == [None]
    assert found["outcome"]["attempts"] == 1
    assert spare.received == []


async def test_a_client_that_leaves_is_no_failure_of_its_server(start_gateway):
    gateway, [failing], _ = await start_gateway()
    failing.answer = stalls(EVENT, seconds=5)
    for _ in range(3):
        asking = asyncio.create_task(gateway.chat(stream=True))
        await asyncio.sleep(0.15)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
    failing.answer = GOOD
    assert (await gateway.chat())[0] == 200
    assert gateway.ejected() == []
