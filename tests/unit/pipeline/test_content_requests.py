"""Requests whose policy has rules on content: all of their text, in all APIs, and nothing of it leaks."""

import logging

import orjson
import pytest
from guarded_gateway import compiled, gateway

from pilotage_api.settings import GatewaySettings
from pilotage_extproc.domain.refusals import ErrorShape, Refusal, RequestRefused
from pilotage_extproc.recording.explanation import explain
from pilotage_extproc.recording.record import DecisionRecord

EMAIL = "alice@mail.example"
KEY = "AKIAIOSFODNN7EXAMPLE"
BLOCK = "{content: {request: [{detectors: [secret], action: block}]}}"
REDACT = "{content: {request: [{detectors: [email, payment-card], action: redact}]}}"

TOOL = {"type": "function", "function": {"name": "f", "description": "asks %s", "parameters": {}}}
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"to":"%s"}'}}
CHAT = "/v1/chat/completions"
MESSAGES = "/v1/messages"
RESPONSES = "/v1/responses"
COMPLETIONS = "/v1/completions"
USER = {"role": "user", "content": "hi"}
PLACES = [
    (CHAT, {"messages": [{"role": "system", "content": "%s"}, USER]}),
    (CHAT, {"messages": [{"role": "user", "content": [{"type": "text", "text": "see %s"}]}]}),
    (CHAT, {"messages": [USER], "tools": [TOOL]}),
    (CHAT, {"messages": [USER, {"role": "assistant", "content": None, "tool_calls": [CALL]}]}),
    (CHAT, {"messages": [USER, {"role": "tool", "tool_call_id": "c", "content": "%s"}]}),
    (CHAT, {"messages": [USER], "stream": True, "user": "%s"}),
    (MESSAGES, {"max_tokens": 5, "system": [{"type": "text", "text": "%s"}], "messages": [USER]}),
    (MESSAGES, {"max_tokens": 5, "messages": [{"role": "assistant", "content": [
        {"type": "tool_use", "id": "t", "name": "f", "input": {"deep": [{"to": "%s"}]}}]}, USER]}),
    (MESSAGES, {"max_tokens": 5, "stream": True, "messages": [{"role": "user", "content": [
        {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "%s"}]}]}]}),
    (MESSAGES, {"max_tokens": 5, "messages": [USER], "tools": [
        {"name": "f", "input_schema": {"description": "%s"}}]}),
    (RESPONSES, {"input": "%s"}),
    (RESPONSES, {"instructions": "%s", "input": "hi", "stream": True}),
    (RESPONSES, {"input": [
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": '{"a":"%s"}'}]}),
    (RESPONSES, {"input": [{"type": "function_call_output", "call_id": "c", "output": "%s"}]}),
    (COMPLETIONS, {"prompt": "%s"}),
    (COMPLETIONS, {"prompt": ["a", "%s"]}),
    ("/v1/embeddings", {"input": ["%s"]}),
]  # fmt: skip


def body(members: dict, value: str) -> bytes:
    return orjson.dumps({"model": "auto", **members}).replace(b"%s", value.encode())


@pytest.mark.parametrize(("path", "members"), PLACES)
async def test_a_secret_is_blocked_wherever_it_stands(path: str, members: dict, caplog) -> None:
    gate = await gateway(BLOCK)
    await gate.ask(body(members, "nothing"), path)
    caplog.set_level(logging.DEBUG)
    with pytest.raises(RequestRefused) as caught:
        await gate.ask(body(members, KEY), path)
    assert caught.value.reason is Refusal.CONTENT_BLOCKED
    for shape in ErrorShape:
        told = caught.value.body(shape)
        assert b"secret" in told
        assert KEY.encode() not in told
    assert KEY not in caplog.text


@pytest.mark.parametrize(("path", "members"), PLACES)
async def test_an_address_is_replaced_wherever_it_stands_and_nothing_else_changes(
    path: str, members: dict
) -> None:
    gate = await gateway(REDACT)
    exchange = await gate.ask(body(members, EMAIL), path)
    sent = exchange.new_body
    assert sent is not None
    assert EMAIL.encode() not in sent
    before, _, rest = sent.partition(b"[EMAIL_")
    _, _, after = rest.partition(b"]")
    plain = await gate.ask(body(members, "nobody"), path)
    assert before + b"nobody" + after == (plain.new_body or plain.body)


async def test_a_conversation_has_one_name_for_a_value_in_all_its_turns() -> None:
    gate = await gateway(REDACT)
    first = [{"role": "user", "content": f"write to {EMAIL}"}]
    sent = await gate.sent({"model": "auto", "messages": first})
    told = sent["messages"][0]["content"].removeprefix("write to ")
    second = [
        *first,
        {"role": "assistant", "content": f"done: {told}"},
        {"role": "user", "content": f"and {EMAIL}?"},
    ]
    later = await gate.sent({"model": "auto", "messages": second})
    assert [one["content"] for one in later["messages"]] == [
        f"write to {told}",
        f"done: {told}",
        f"and {told}?",
    ]
    other = await gate.sent({"model": "auto", "messages": first, "prompt_cache_key": "another"})
    assert other["messages"][0]["content"] != f"write to {told}"


async def test_records_and_explanations_show_kinds_counts_and_places_and_no_value() -> None:
    gate = await gateway(REDACT)
    given = orjson.dumps({"model": "auto", "messages": [{"role": "user", "content": f"{EMAIL} {EMAIL}"}]})
    exchange = await gate.ask(given)
    shown = explain(DecisionRecord.of(exchange, 0.0), "p") if exchange.document.members else None
    record = gate.pipeline._ledger.find(exchange.decision.id)
    assert record is not None
    at = given.index(EMAIL.encode())
    assert [tuple(one) for one in exchange.handled] == [("email", "redact", 2, (at, at + len(EMAIL) + 1))]
    if shown is not None:
        assert shown["content"] == [
            {"detector": "email", "action": "redact", "count": 2, "at": [at, at + len(EMAIL) + 1]}
        ]
        assert EMAIL not in orjson.dumps(shown).decode()


async def test_flag_sends_the_request_as_it_is() -> None:
    gate = await gateway("{content: {request: [{detectors: [email], action: flag}]}}")
    exchange = await gate.ask(body(PLACES[0][1], EMAIL))
    assert [one.action for one in exchange.handled] == ["flag"]
    assert EMAIL.encode() in (exchange.new_body or exchange.body)


async def test_the_strictest_rule_counts_and_the_gateways_are_never_weakened() -> None:
    floor = GatewaySettings(
        governance={"content": {"request": [{"detectors": ["email"], "action": "block"}]}}
    )
    gate = await gateway("{content: {request: [{detectors: [email, iban], action: flag}]}}", settings=floor)
    for model in ("auto", "small"):  # with a policy, and without
        with pytest.raises(RequestRefused) as caught:
            await gate.ask({"model": model, "messages": [{"role": "user", "content": EMAIL}]})
        assert caught.value.reason is Refusal.CONTENT_BLOCKED


async def test_a_form_is_refused_where_its_content_cannot_be_checked() -> None:
    form = (
        b'--b\r\ncontent-disposition: form-data; name="model"\r\n\r\nauto\r\n--b\r\n'
        b'content-disposition: form-data; name="file"; filename="a"\r\n\r\nx\r\n--b--\r\n'
    )
    gate = await gateway(BLOCK)
    with pytest.raises(RequestRefused) as caught:
        await gate.ask(
            form, "/v1/audio/transcriptions", **{"content-type": "multipart/form-data; boundary=b"}
        )
    assert caught.value.reason is Refusal.CONTENT_NOT_CHECKED
    gate = await gateway("{content: {request: [{detectors: [secret], action: block, onError: pass}]}}")
    exchange = await gate.ask(
        form, "/v1/audio/transcriptions", **{"content-type": "multipart/form-data; boundary=b"}
    )
    assert any(one.startswith("content: ") for one in exchange.skipped)


async def test_rules_choose_by_the_kinds_that_stand_in_a_request() -> None:
    rules = (
        "[{when: '\"iban\" in safety.kinds', candidates: [{model: small}]}, {candidates: [{model: strong}]}]"
    )
    gate = await gateway(rules=rules)
    iban = await gate.ask(
        {"model": "auto", "messages": [{"role": "user", "content": "DE89370400440532013000"}]}
    )
    other = await gate.ask({"model": "auto", "messages": [USER]})
    assert [one.decision.targets[0].pool for one in (iban, other)] == ["default/own", "default/far"]


async def test_rules_for_providers_hold_where_a_request_may_go_to_one() -> None:
    governance = "{content: {request: [{detectors: [email], action: redact, whenTrust: [provider]}]}}"
    asked = {"model": "auto", "messages": [{"role": "user", "content": EMAIL}]}
    own = await gateway(governance)
    assert (await own.sent(asked))["messages"] == asked["messages"]
    both = await gateway(governance, "[{candidates: [{model: small}, {model: strong}]}]")
    assert (await both.sent(asked))["messages"] != asked["messages"]


async def test_a_policys_own_detectors_find_patterns_and_words() -> None:
    own = "[{name: ticket, pattern: 'TCK-[0-9]{4}'}, {name: projects, words: [blue heron]}]"
    gate = await gateway(
        f"{{content: {{own: {own}, request: [{{detectors: [ticket, projects], action: redact}}]}}}}"
    )
    sent = await gate.sent(
        {"model": "auto", "messages": [{"role": "user", "content": "TCK-1234 of Blue  Heron!"}]}
    )
    content = sent["messages"][0]["content"]
    assert content.startswith("[TICKET_")
    assert "[PROJECTS_" in content
    assert content.endswith("!")


async def test_a_policy_without_rules_has_no_stage_for_them() -> None:
    gate = await gateway("{}")
    exchange = await gate.ask({"model": "auto", "messages": [USER]})
    assert exchange.new_body is not None  # the model's name
    [route] = gate.found.snapshot.routes
    assert route.guards is None


@pytest.mark.parametrize(
    ("governance", "code"),
    [
        ("{content: {request: [{detectors: [emial], action: block}]}}", "no-such-detector"),
        (
            "{content: {own: [{name: a, pattern: '(?=x)'}], request: [{detectors: [a], action: block}]}}",
            "invalid-pattern",
        ),
        (
            "{content: {own: [{name: a, pattern: 'x*'}], request: [{detectors: [a], action: block}]}}",
            "invalid-pattern",
        ),
        (
            "{content: {own: [{name: email, words: [a]}], request: [{detectors: [email], action: block}]}}",
            "invalid-value",
        ),
        ("{tools: [{when: 'poolReady(\"own\")', deny: [a]}]}", "not-supported"),
    ],
)
def test_a_rule_that_cannot_be_kept_is_refused_when_it_is_compiled(governance: str, code: str) -> None:
    found = compiled(f"{{rules: [{{candidates: [{{model: small}}]}}], governance: {governance}}}")
    assert code in [one.code for one in found.findings if one.severity == "error"]


@pytest.mark.parametrize(
    ("path", "members"),
    [
        (COMPLETIONS, {"prompt": [15339, 1917]}),
        (COMPLETIONS, {"prompt": [[15339], [1917]]}),
        (COMPLETIONS, {"prompt": ["hi", [15339]]}),
        (COMPLETIONS, {"prompt": "", "prompt_embeds": "AAAA"}),
        ("/v1/embeddings", {"input": [15339, 1917]}),
        (CHAT, {"messages": [USER], "input_ids": [15339]}),
    ],
)
async def test_a_prompt_of_tokens_cannot_be_looked_at(path: str, members: dict) -> None:
    with pytest.raises(RequestRefused, match="tokens or embeddings") as caught:
        await (await gateway(BLOCK)).ask(body(members, ""), path)
    assert caught.value.reason is Refusal.CONTENT_NOT_CHECKED
    passing = BLOCK.replace("action: block", "action: block, onError: pass")
    exchange = await (await gateway(passing)).ask(body(members, ""), path)
    assert any("tokens" in one for one in exchange.skipped)
    with pytest.raises(RequestRefused) as caught:
        await (await gateway(passing)).ask(body({**members, "user": KEY}, ""), path)
    assert caught.value.reason is Refusal.CONTENT_BLOCKED


async def test_headers_and_the_query_of_the_url_are_not_looked_at() -> None:
    gate = await gateway(BLOCK)
    assert await gate.ask(body({"messages": [USER]}, ""), f"{CHAT}?key={KEY}", **{"x-note": KEY})
