"""Streams that fail after their headers: the access log says so, whatever their status was."""

import json
from pathlib import Path

import pytest
from envoy_rig import fixed, pick
from provider_answers import CHAT_STREAM, MESSAGE_STREAM

from pilotage_extproc.envoy.contract import FLAG, STRIP_USAGE

STREAM_ERRORS = json.loads((Path(__file__).parent.parent / "fixtures" / "stream-errors.json").read_text())


@pytest.mark.parametrize("flags", [{}, {STRIP_USAGE: FLAG}], ids=["", "stripped"])
async def test_an_error_event_in_a_stream_tells_its_status(start_rig, start_server, flags):
    server = await start_server(fixed(200, b""))
    rig = await start_rig(lambda head, body: pick(server.address, more=flags), [server.address])
    for number, error in enumerate(STREAM_ERRORS.values(), 1):
        said, status = error["stream"].encode(), error["status"]
        server.answer = fixed(200, said, "text/event-stream")
        assert (await rig.chat())[2] == said
        outcome = (await rig.logged(number))[-1].outcome
        assert outcome.status == (status or 200), said
        # what comes before any content is the status itself
        assert outcome.http_status in (200, status), said
        expected = "ok" if status is None else "server_error" if status >= 500 else "client_error"
        assert outcome.result == expected


@pytest.mark.parametrize("flags", [{}, {STRIP_USAGE: FLAG}], ids=["", "stripped"])
@pytest.mark.parametrize("stream", [CHAT_STREAM, MESSAGE_STREAM], ids=["chat", "messages"])
async def test_a_stream_that_ends_within_an_event_is_a_failed_request(start_rig, start_server, stream, flags):
    server = await start_server(fixed(200, b""))
    rig = await start_rig(lambda head, body: pick(server.address, more=flags), [server.address])
    last = stream.rindex(b"{")
    cuts = {last + 9: 502, stream.rindex(b"\n\n", 0, last) + 2: None, len(stream): None}
    for number, (end, status) in enumerate(cuts.items(), 1):
        server.answer = fixed(200, stream[:end], "text/event-stream")
        answered = await rig.chat()
        assert answered[0] == 200
        assert flags or answered[2] == stream[:end]
        outcome = (await rig.logged(number))[-1].outcome
        assert (outcome.http_status, outcome.stream_error) == (200, status)
        assert outcome.result == ("ok" if status is None else "server_error")


async def test_an_unstreamed_answer_has_a_status_of_its_own(start_rig, start_server):
    server = await start_server(fixed(200, b'{"error":{"code":500}}'))
    rig = await start_rig(lambda head, body: pick(server.address), [server.address])
    await rig.chat()
    [logged] = await rig.logged()
    assert logged.outcome.stream_error is None
