"""Requests whose policy has rules on answers: what is done is decided with them, or they are refused."""

from dataclasses import replace

import orjson
import pytest
from guarded_gateway import gateway

from pilotage_extproc.domain.head import RequestHead
from pilotage_extproc.domain.outcome import Outcome
from pilotage_extproc.domain.refusals import Refusal, RequestRefused
from pilotage_extproc.request.exchange import Exchange
from pilotage_extproc.stages.guard_answer import GuardAnswer

ANSWERS = "{content: {response: [{detectors: [secret], action: block}]}}"
PASSING = "{content: {response: [{detectors: [secret], action: block, onError: pass}]}}"
RESTORE = "{content: {request: [{detectors: [email], action: redact, restore: text}]}}"
EMAIL = "alice@mail.example"
CHAT = {"model": "auto", "messages": [{"role": "user", "content": f"write to {EMAIL}"}]}


async def test_a_policy_that_asks_nothing_of_answers_has_no_stage_for_them() -> None:
    for governance in ("{}", "{content: {request: [{detectors: [email], action: redact}]}}"):
        gate = await gateway(governance)
        exchange = await gate.ask(CHAT)
        assert exchange.answer is None
        assert not any(isinstance(stage, GuardAnswer) for stage in exchange.plan.governance)
    assert (await (await gateway("{}")).ask(CHAT)).plan.governance == ()


async def test_what_is_replaced_and_restored_is_known_until_the_pick() -> None:
    exchange = await (await gateway(RESTORE)).ask(CHAT)
    assert exchange.answer is not None
    assert exchange.answer.rules is None
    sent = orjson.loads(exchange.new_body or b"")["messages"][0]["content"]
    assert exchange.answer.originals.get(sent[9:]) == EMAIL
    exchange.release()
    assert exchange.answer is None


async def test_a_request_without_values_gets_its_answer_as_it_comes() -> None:
    exchange = await (await gateway(RESTORE)).ask({**CHAT, "messages": [{"role": "user", "content": "hi"}]})
    assert exchange.answer is None


async def test_values_come_back_only_where_every_rule_that_replaces_them_says_so() -> None:
    both = (
        "{content: {request: [{detectors: [email], action: redact, restore: text},"
        " {detectors: [email, phone], action: redact}]}}"
    )
    assert (await (await gateway(both)).ask(CHAT)).answer is None


@pytest.mark.parametrize(
    "text", ["ａｌｉｃｅ@mail.example", "alice\u200b@mail.example", 'a "quoted" alice@mail.example']
)
async def test_a_value_comes_back_as_it_was_written(text: str) -> None:
    exchange = await (await gateway(RESTORE)).ask({**CHAT, "messages": [{"role": "user", "content": text}]})
    sent = orjson.loads(exchange.new_body or b"")["messages"][0]["content"]
    assert exchange.answer is not None
    name = sent[sent.index("[") :]
    assert sent[: sent.index("[")] + (exchange.answer.originals.get(name) or "") == text


@pytest.mark.parametrize("said", [True, 1, "true"])
async def test_answers_that_are_fetched_later_are_refused(said: object) -> None:
    background = {"model": "auto", "input": "hi", "background": said}
    with pytest.raises(RequestRefused) as refused:
        await (await gateway(ANSWERS)).ask(background, "/v1/responses")
    assert refused.value.reason is Refusal.CONTENT_NOT_CHECKED
    exchange = await (await gateway(PASSING)).ask(background, "/v1/responses")
    assert exchange.answer is None
    assert any(one.startswith("answer:") for one in exchange.skipped)


async def ask_through(governance: str, head: RequestHead) -> Exchange:
    gate = await gateway(governance)
    exchange = Exchange(head)
    await gate.pipeline.begin(exchange)
    exchange.received(orjson.dumps(CHAT))
    await gate.pipeline.decide(exchange)
    return exchange


async def test_a_gateway_that_does_not_show_answers_gets_no_pick() -> None:
    foreign = RequestHead("POST", "/v1/chat/completions", {}, answer_passes=False)
    with pytest.raises(RequestRefused, match="FULL_DUPLEX_STREAMED") as refused:
        await ask_through(ANSWERS, foreign)
    assert refused.value.reason is Refusal.CONTENT_NOT_CHECKED
    assert (await ask_through(PASSING, foreign)).answer is None
    assert (await ask_through(ANSWERS, replace(foreign, answer_passes=True))).answer is not None
    with pytest.raises(RequestRefused) as refused:
        await ask_through(ANSWERS, replace(foreign, envoy="e"))
    assert (refused.value.reason, refused.value.retry_after_seconds) == (Refusal.OVERLOADED, 1)


async def test_calls_whose_answers_are_no_text_are_left_alone() -> None:
    exchange = await (await gateway(ANSWERS)).ask({"model": "auto", "input": "hi"}, "/v1/embeddings")
    assert exchange.answer is None
    assert exchange.skipped == ()


async def test_limits_transforms_and_isolation_keep_the_rules_on_answers() -> None:
    more = ANSWERS[:-1] + ", limits: [{per: user, window: 1m, requests: 5}], kvIsolation: tenant}"
    rules = "[{candidates: [{model: small}], fallback: {reasons: [saturated], to: [{model: strong}]}}]"
    exchange = await (await gateway(more, rules)).ask(CHAT)
    assert exchange.answer is not None


def test_what_was_found_says_whether_the_client_got_less() -> None:
    outcome = Outcome.answered(200)
    assert not replace(outcome, answer_content=("email:flag:2", "unread:pass:1")).withheld
    assert replace(outcome, answer_content=("email:flag:2", "iban:redact:1")).withheld
    assert replace(outcome, answer_content=("secret:block:1",)).withheld
