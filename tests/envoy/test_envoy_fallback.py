"""Failed attempts on a real Envoy: which lead to the next of the list, and what the client sees."""

import asyncio
import json
import time

import aiohttp
import pytest
from envoy_rig import CHAT_BODY, fixed
from limited_picks import (
    ERROR_EVENT,
    EVENT,
    GOOD,
    ROLE,
    breaks_off_queued,
    limited,
    resets,
    silent,
    stalls,
    status,
)

from pilotage_api.settings import GatewaySettings, UpstreamSettings

STREAM = {**CHAT_BODY, "stream": True}
NOWHERE = "127.0.0.1:1"
FAILURES = {
    "serverError": [status(500), status(503), resets, breaks_off_queued],
    "rateLimited": [status(429)],
    "auth": [status(401), status(403)],
    "quota": [status(402)],
    "notFound": [status(404)],
}


class Failover:
    """One server that fails, one that serves, and a rule with these reasons."""

    def __init__(self, rig, failing, serving) -> None:
        self.rig, self.failing, self.serving = rig, failing, serving

    async def ask(self, body=CHAT_BODY) -> tuple[int, bool]:
        """The client's status, and whether the second server was asked."""
        before = len(self.serving.received)
        answered, _, _ = await self.rig.chat(body)
        return answered, len(self.serving.received) > before


@pytest.fixture
async def failover(start_rig, start_server):
    async def start(settings=None, **limits) -> Failover:
        failing, serving = await start_server(GOOD), await start_server(GOOD)
        addresses = [failing.address, serving.address]
        rig = await start_rig(lambda head, body: limited(*addresses, **limits), addresses, settings=settings)
        return Failover(rig, failing, serving)

    return start


@pytest.mark.parametrize("listed", sorted(FAILURES))
async def test_a_failure_leads_on_where_its_reason_is_listed_and_nowhere_else(failover, listed):
    two = await failover(reasons=[listed])
    for reason, answers in FAILURES.items():
        for answer in answers:
            two.failing.answer = answer
            if reason == listed:
                assert await two.ask() == (200, True)
            elif answer in (resets, breaks_off_queued):
                assert await two.ask() == (502 if answer is breaks_off_queued else 503, False)
            else:
                answered, went_on = await two.ask()
                assert not went_on, (reason, listed)
                assert answered >= 400


@pytest.mark.parametrize("reason", ["serverError", "rateLimited"])
async def test_529_is_a_server_error_as_well_as_a_rate_limit(failover, reason):
    two = await failover(reasons=[reason])
    two.failing.answer = status(529)
    assert await two.ask() == (200, True)


async def test_a_server_that_is_not_there_leads_on_whatever_is_listed(start_rig, start_server):
    serving = await start_server(GOOD)
    addresses = [NOWHERE, serving.address]
    rig = await start_rig(lambda head, body: limited(*addresses, reasons=["connect"]), addresses)
    assert (await rig.chat())[0] == 200
    [logged] = await rig.logged()
    assert (logged.outcome.upstream_address, logged.outcome.attempts) == (serving.address, 2)


async def test_a_call_with_side_effects_is_not_sent_again_once_a_server_may_have_it(failover):
    two = await failover(reasons=["connect"])
    for answer in (status(500), status(429), resets, breaks_off_queued):
        two.failing.answer = answer
        answered, went_on = await two.ask(STREAM)
        assert not went_on
        assert answered >= 400
    assert len(two.failing.received) == 4


async def test_a_request_of_the_clients_that_is_wrong_is_not_sent_to_others(failover):
    two = await failover(reasons=[*FAILURES, "connect", "firstToken"])
    for code in (400, 409, 413, 422):
        two.failing.answer = status(code)
        assert await two.ask() == (code, False)


async def test_the_last_servers_own_error_reaches_the_client_with_its_retry_after(failover):
    two = await failover(reasons=["rateLimited"])
    two.failing.answer = status(429, {"retry-after": "7"}, b"first")
    two.serving.answer = status(429, {"retry-after": "9"}, b"second")
    answered, headers, body = await two.rig.chat()
    assert (answered, headers["retry-after"], body) == (429, "9", b"second")
    two.serving.answer = GOOD
    answered, headers, _ = await two.rig.chat()
    assert answered == 200
    assert "retry-after" not in headers


async def test_all_entries_of_a_long_list_are_tried(start_rig, start_server):
    failing = [await start_server(status(503)) for _ in range(9)]
    serving = await start_server(GOOD)
    addresses = [server.address for server in (*failing, serving)]
    rig = await start_rig(lambda head, body: limited(*addresses, reasons=["serverError"]), addresses)
    assert (await rig.chat())[0] == 200
    assert [len(server.received) for server in failing] == [1] * 9


@pytest.mark.parametrize("late", [silent, stalls()], ids=["before the headers", "after the headers"])
async def test_a_first_token_that_is_late_leads_on_and_the_stream_after_it_runs_on(
    failover, start_server, late
):
    two = await failover(reasons=["firstToken"], attempt_ms=200)
    two.failing.answer = late
    two.serving.answer = stalls(EVENT, seconds=0.6)
    began = time.monotonic()
    async with two.rig.session.post(two.rig.url + "/v1/chat/completions", json=STREAM) as answer:
        assert answer.status == 200
        assert await answer.content.readuntil(b"\n\n") == EVENT
        assert 0.15 < time.monotonic() - began < 2
        await asyncio.sleep(0.3)
        assert not answer.content.at_eof(), "the bound is on the first token alone"


async def test_when_every_first_token_is_late_the_client_is_told_so(failover):
    two = await failover(reasons=["firstToken"], attempt_ms=150)
    two.failing.answer = two.serving.answer = silent
    answered, _, body = await two.rig.chat(STREAM)
    assert answered == 504
    assert json.loads(body)["error"]["code"] == "timeout"
    assert len(two.serving.received) == 1


@pytest.mark.parametrize(
    "pieces",
    [
        [EVENT[:20]],
        [ROLE],
        [b": waiting\n\n", ROLE],
        [b'event: response.created\ndata: {"type":"response.created"}\n\n'],
    ],
    ids=["half an event", "a role", "a comment and a role", "response.created"],
)
@pytest.mark.parametrize("ends", [0.05, 5.0], ids=["dies", "stalls"])
async def test_a_stream_without_content_is_tried_again_whatever_it_began_with(failover, pieces, ends):
    two = await failover(reasons=["serverError", "firstToken"], attempt_ms=300)
    two.failing.answer = stalls(*pieces, seconds=ends)
    answered, _, body = await two.rig.chat(STREAM)
    assert (answered, body) == (200, b'{"choices":[]}')


async def test_an_error_before_any_content_is_tried_again_and_is_the_status_where_nothing_remains(failover):
    two = await failover(reasons=["serverError"])
    for said in (ERROR_EVENT, ROLE + ERROR_EVENT):
        two.failing.answer = fixed(200, said, "text/event-stream")
        assert await two.ask(STREAM) == (200, True)
    two.failing.answer = fixed(200, b'{"error":{"message":"x"}}')
    assert await two.ask() == (200, True)
    two.failing.answer = two.serving.answer = fixed(200, ERROR_EVENT, "text/event-stream")
    answered, _, body = await two.rig.chat(STREAM)
    assert (answered, body) == (529, ERROR_EVENT)


@pytest.mark.parametrize("said", [b"", b": waiting\n\n", ROLE], ids=["nothing", "a comment", "a role"])
async def test_a_stream_that_ends_without_content_is_tried_again(failover, said):
    two = await failover(reasons=["serverError"])
    two.failing.answer = fixed(200, said, "text/event-stream")
    assert await two.ask(STREAM) == (200, True)
    two.serving.answer = two.failing.answer
    assert (await two.rig.chat(STREAM))[0] == 502


HALF = b'{"choices":[{"message":{"content":"hi'


def breaks_off_within(said: bytes):
    async def answer(_request, writer: asyncio.StreamWriter) -> None:
        head = b"HTTP/1.1 200 X\r\ncontent-type: application/json\r\ncontent-length: 99999\r\n\r\n"
        writer.write(head + said)
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.transport.abort()

    return answer


@pytest.mark.parametrize("half", [fixed(200, HALF), breaks_off_within(HALF)], ids=["ends", "breaks off"])
async def test_half_an_object_is_tried_again(failover, half):
    two = await failover(reasons=["serverError"])
    two.failing.answer = half
    assert await two.ask() == (200, True)
    two.serving.answer = half
    assert (await two.rig.chat())[0] == 502


async def test_half_of_a_long_object_reaches_the_client_and_counts_as_a_failed_request(failover):
    two = await failover(reasons=["serverError"])
    two.failing.answer = fixed(200, HALF + b"x" * 20_000)
    assert await two.ask() == (200, False)
    [logged] = await two.rig.logged()
    assert (logged.outcome.http_status, logged.outcome.stream_error) == (200, 502)
    assert logged.outcome.status == 502


async def test_whole_objects_of_any_length_pass(failover):
    two = await failover(reasons=["serverError"])
    strings = [b'{"a":"%b"}' % (b"x" * length) for length in (10, 16_376, 200_000)]
    for said in (*strings, b"[1,2]", b"{}\n"):
        two.failing.answer = fixed(200, said)
        status, _, body = await two.rig.chat()
        assert (status, body) == (200, said)
    assert [logged.outcome.stream_error for logged in await two.rig.logged(5)] == [None] * 5


async def test_what_has_begun_is_never_tried_again(failover):
    two = await failover(reasons=["serverError", "firstToken"], attempt_ms=150)
    two.failing.answer = stalls(EVENT, EVENT[:20], seconds=0.4)
    async with two.rig.session.post(two.rig.url + "/v1/chat/completions", json=STREAM) as answer:
        assert answer.status == 200
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.content.read()
    assert two.serving.received == []


async def test_the_whole_time_bounds_all_attempts_together(failover):
    two = await failover(reasons=["serverError", "firstToken"], attempt_ms=200, total_ms=300)
    two.failing.answer = two.serving.answer = silent
    began = time.monotonic()
    answered, _, body = await two.rig.chat(STREAM)
    assert (answered, json.loads(body)["error"]["code"]) == (504, "timeout")
    assert 0.25 < time.monotonic() - began < 2
    assert len(two.serving.received) == 1, "what was left was for the second attempt"


async def test_the_whole_time_ends_a_stream_that_has_begun(failover):
    two = await failover(reasons=None, total_ms=300)
    two.failing.answer = stalls(EVENT)
    async with two.rig.session.post(two.rig.url + "/v1/chat/completions", json=STREAM) as answer:
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.content.read()


async def test_a_bound_on_silence_is_the_rules_own(failover):
    settings = GatewaySettings(upstream=UpstreamSettings(stream_idle_timeout_seconds=20))
    two = await failover(settings, reasons=None, idle_seconds=0.7)
    two.failing.answer = stalls(EVENT)
    began = time.monotonic()
    async with two.rig.session.post(two.rig.url + "/v1/chat/completions", json=STREAM) as answer:
        assert await answer.content.readuntil(b"\n\n") == EVENT
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.content.read()
    assert 0.9 < time.monotonic() - began < 5, "rounded up to a second"


async def test_with_a_bound_on_silence_alone_the_usual_failures_lead_on(failover):
    two = await failover(reasons=None, idle_seconds=10)
    for answer, went_on in ((status(429), True), (status(500), True), (resets, True), (status(404), False)):
        two.failing.answer = answer
        assert (await two.ask())[1] is went_on


async def test_a_page_of_html_is_passed_on_as_it_is_where_nothing_remains(failover):
    two = await failover(reasons=["serverError"])
    page = b"<html>502 Bad Gateway</html>"
    two.failing.answer = two.serving.answer = fixed(502, page, "text/html")
    answered, headers, body = await two.rig.chat()
    assert (answered, headers["content-type"], body) == (502, "text/html", page)


async def test_clients_cannot_say_what_leads_on_or_how_long(failover):
    two = await failover(reasons=["connect"])
    two.failing.answer = status(404)
    forged = {
        "x_envoy_retry_on": "retriable-status-codes",
        "x_envoy_retriable_status_codes": "404",
        "x_envoy_max_retries": "3",
        "x_envoy_upstream_rq_timeout_ms": "1",
    }
    answered, _, _ = await two.rig.chat(CHAT_BODY, **forged)
    assert answered == 404
    assert two.serving.received == []


async def test_a_clients_own_deadline_reaches_the_picker_under_another_name(start_rig, start_server):
    server = await start_server(GOOD)
    heads = []

    def choose(head, body):
        heads.append(dict(head))
        return limited(server.address, reasons=None)

    rig = await start_rig(choose, [server.address])
    await rig.chat(CHAT_BODY, x_pilotage_timeout_ms="1500", x_pilotage_other="1")
    await rig.chat(CHAT_BODY)
    asked = [head.get("pilotage-timeout-ms") for head in heads if head]
    assert asked[0] == "1500"
    assert asked[-1] is None
    assert not any("x-pilotage-timeout-ms" in head or "x-pilotage-other" in head for head in heads)
