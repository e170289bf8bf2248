"""Prompts that a server says are too long for it: another of the list may take them."""

import pytest
from limited_picks import GOOD, limited, status

SAID = {
    "openai": b'{"error":{"message":"This model\'s maximum context length is 16385 tokens. However, your '
    b'messages resulted in 20000 tokens.","type":"invalid_request_error","param":"messages",'
    b'"code":"context_length_exceeded"}}',
    "vllm": b'{"object":"error","message":"This model\'s maximum context length is 4096 tokens. However, you '
    b'requested 5000 tokens","type":"BadRequestError","param":null,"code":400}',
    "sglang": b'{"object":"error","message":"The input (9000 tokens) is longer than the model\'s context '
    b'length (8192 tokens).","type":"BadRequestError","code":400}',
    "anthropic": b'{"type":"error","error":{"type":"invalid_request_error",'
    b'"message":"prompt is too long: 210000 tokens > 200000 maximum"}}',
}
WRONG = b'{"error":{"message":"`temperature` must be a number","type":"invalid_request_error","code":null}}'


@pytest.fixture
async def two(start_rig, start_server):
    async def start(*reasons):
        failing, serving = await start_server(GOOD), await start_server(GOOD)
        addresses = [failing.address, serving.address]
        rig = await start_rig(lambda head, body: limited(*addresses, reasons=reasons), addresses)
        return rig, failing, serving

    return start


async def test_it_is_told_from_other_requests_that_are_wrong(two):
    rig, failing, serving = await two("contextOverflow")
    for engine, said in SAID.items():
        failing.answer = status(400, body=said)
        answered, headers, _ = await rig.chat()
        assert answered == 200, engine
        assert "x-pilotage-context-overflow" not in headers
    assert len(serving.received) == len(SAID)
    assert [one.overflow for one in await rig.attempts_failed(len(SAID))] == [True] * len(SAID)
    for code, said in ((400, WRONG), (400, b""), (422, SAID["vllm"])):
        failing.answer = status(code, body=said)
        answered, _, body = await rig.chat()
        assert (answered, body) == (code, said)
    assert len(serving.received) == len(SAID)
    # of a 200 that is an error object the status is what the error stands for
    failing.answer = status(200, body=SAID["vllm"])
    assert (await rig.chat())[0] == 200
    assert len(serving.received) == len(SAID) + 1


async def test_the_last_ones_words_reach_the_client_without_our_header(two):
    rig, failing, serving = await two("contextOverflow")
    failing.answer = serving.answer = status(400, body=SAID["openai"])
    answered, headers, body = await rig.chat()
    assert (answered, body) == (400, SAID["openai"])
    assert "x-pilotage-context-overflow" not in headers


async def test_where_it_is_not_listed_nothing_is_read(two):
    rig, failing, serving = await two("serverError")
    failing.answer = status(400, {"x-pilotage-context-overflow": "1"}, SAID["vllm"])
    assert (await rig.chat())[0] == 400
    assert serving.received == []
