"""Tools that policies let through: definitions are spliced out, and every other byte stays."""

import orjson
import pytest
from guarded_gateway import Gateway, gateway
from hypothesis import given
from hypothesis import strategies as st

from pilotage_extproc.dialects.json_spans import removals, spans_within
from pilotage_extproc.dialects.splice import edited
from pilotage_extproc.domain.head import RequestHead
from pilotage_extproc.domain.identity import Identity
from pilotage_extproc.domain.refusals import Refusal, RequestRefused
from pilotage_extproc.request.exchange import Exchange

CHAT = "/v1/chat/completions"
MESSAGES = "/v1/messages"
RESPONSES = "/v1/responses"
USER = [{"role": "user", "content": "hi"}]


def chat_tool(name: str, about: str = "") -> dict:
    return {
        "type": "function",
        "function": {"name": name, "description": about, "parameters": {"type": "object"}},
    }


def offer(path: str, *names: str, **more) -> dict:
    if path == CHAT:
        return {"model": "auto", "messages": USER, "tools": [chat_tool(name) for name in names], **more}
    if path == MESSAGES:
        tools = [{"name": name, "input_schema": {"type": "object"}} for name in names]
        return {"model": "auto", "max_tokens": 5, "messages": USER, "tools": tools, **more}
    tools = [{"type": "function", "name": name, "parameters": {}} for name in names]
    return {"model": "auto", "input": "hi", "tools": tools, **more}


def names_of(sent: dict) -> list[str]:
    return [
        one.get("name") or one.get("function", {}).get("name") or one["type"] for one in sent.get("tools", [])
    ]


@pytest.mark.parametrize("path", [CHAT, MESSAGES, RESPONSES])
async def test_tools_pass_by_their_names(path: str) -> None:
    gate = await gateway("{tools: [{allow: ['search_*', web], deny: [search_private]}]}")
    sent = await gate.sent(offer(path, "delete", "search_a", "search_private", "web", "x"), path)
    assert names_of(sent) == ["search_a", "web"]


@pytest.mark.parametrize("path", [CHAT, MESSAGES, RESPONSES])
async def test_all_other_bytes_stay(path: str) -> None:
    gate = await gateway("{tools: [{deny: [gone]}]}")
    written = orjson.dumps(offer(path, "a", "gone", "b"), option=orjson.OPT_INDENT_2)
    exchange = await gate.ask(written, path)
    plain = await gate.ask(written.replace(b'"gone"', b'"kept"'), path)
    sent, whole = exchange.new_body, plain.new_body
    assert sent is not None and whole is not None
    start = next(at for at, (one, other) in enumerate(zip(sent, whole, strict=False)) if one != other)
    assert whole.endswith(sent[start:])
    assert b'"kept"' in whole[start - 20 : start + len(whole) - len(sent) + 20]


@pytest.mark.parametrize("path", [CHAT, MESSAGES, RESPONSES])
async def test_without_any_tool_left_what_belongs_to_tools_goes_too(path: str) -> None:
    gate = await gateway("{tools: [{allow: [none]}]}")
    choice = {"type": "auto"} if path == MESSAGES else "auto"
    more = {} if path == MESSAGES else {"parallel_tool_calls": True}
    sent = await gate.sent(offer(path, "a", "b", tool_choice=choice, **more), path)
    assert not {"tools", "tool_choice", "parallel_tool_calls"} & sent.keys()
    assert sent.get("messages", sent.get("input")) in (USER, "hi")


@pytest.mark.parametrize(
    ("path", "choice"),
    [
        (CHAT, {"type": "function", "function": {"name": "gone"}}),
        (
            CHAT,
            {
                "type": "allowed_tools",
                "allowed_tools": {
                    "mode": "auto",
                    "tools": [{"type": "function", "function": {"name": "gone"}}],
                },
            },
        ),
        (MESSAGES, {"type": "tool", "name": "gone"}),
        (RESPONSES, {"type": "function", "name": "gone"}),
        (
            RESPONSES,
            {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "gone"}]},
        ),
    ],
)
async def test_a_choice_that_insists_on_a_tool_that_goes_is_refused_by_its_name(
    path: str, choice: dict
) -> None:
    gate = await gateway("{tools: [{deny: [gone]}]}")
    with pytest.raises(RequestRefused, match="'gone'") as caught:
        await gate.ask(offer(path, "gone", "b", tool_choice=choice), path)
    assert (caught.value.reason, caught.value.param) == (Refusal.TOOL_NOT_ALLOWED, "tool_choice")


async def test_a_call_that_must_be_and_cannot_is_refused() -> None:
    gate = await gateway("{tools: [{deny: ['*']}]}")
    for path, choice in ((CHAT, "required"), (MESSAGES, {"type": "any"}), (RESPONSES, "required")):
        with pytest.raises(RequestRefused, match="'a'"):
            await gate.ask(offer(path, "a", tool_choice=choice), path)


@pytest.mark.parametrize(
    ("path", "tool"),
    [
        (RESPONSES, {"type": "web_search_preview"}),
        (RESPONSES, {"type": "code_interpreter", "container": {"type": "auto"}}),
        (RESPONSES, {"type": "mcp", "server_label": "git", "server_url": "https://git.example"}),
        (MESSAGES, {"type": "web_search_20250305", "name": "search_web"}),
        (MESSAGES, {"type": "code_execution_20250522", "name": "search_code"}),
    ],
)
async def test_what_the_provider_runs_goes_by_type_and_is_denied_unless_allowed(
    path: str, tool: dict
) -> None:
    given = offer(path, "search_a")
    given["tools"].append(tool)
    gate = await gateway("{tools: [{allow: ['search_*']}]}")
    assert names_of(await gate.sent(given, path)) == ["search_a"]
    gate = await gateway("{tools: [{providerRun: ['web_search*', 'code_*', 'mcp/git']}]}")
    assert len((await gate.sent(given, path))["tools"]) == 2


async def test_mcp_servers_of_messages_and_web_search_of_chat_are_the_providers() -> None:
    servers = [
        {"type": "url", "name": "git", "url": "https://a"},
        {"type": "url", "name": "crm", "url": "https://b"},
    ]
    gate = await gateway("{tools: [{providerRun: [mcp/git]}]}")
    sent = await gate.sent(offer(MESSAGES, "a", mcp_servers=servers), MESSAGES)
    assert [one["name"] for one in sent["mcp_servers"]] == ["git"]
    assert "web_search_options" not in await gate.sent(
        {"model": "auto", "messages": USER, "web_search_options": {"a": 1}}
    )


async def test_tools_that_the_client_runs_for_anthropic_go_by_name() -> None:
    gate = await gateway("{tools: [{allow: [bash]}]}")
    given = offer(MESSAGES, "a")
    given["tools"].append({"type": "bash_20250124", "name": "bash"})
    assert names_of(await gate.sent(given, MESSAGES)) == ["bash"]


async def test_the_most_relevant_tools_stay_and_relevance_never_grants_what_is_denied() -> None:
    tools = [
        chat_tool("get_weather", "forecast for a city"),
        chat_tool("convertCurrency", "exchange rates"),
        chat_tool("weather_admin", "changes the weather forecast"),
        chat_tool("send_mail", "sends mail"),
    ]
    gate = await gateway("{tools: [{maximum: 1, deny: [weather_admin]}]}")
    asked = [{"role": "user", "content": "What is the weather forecast today?"}]
    assert names_of(await gate.sent({"model": "auto", "messages": asked, "tools": tools})) == ["get_weather"]
    asked = [{"role": "user", "content": "convert this currency"}]
    assert names_of(await gate.sent({"model": "auto", "messages": asked, "tools": tools})) == [
        "convertCurrency"
    ]


async def test_a_conversation_keeps_its_tools_and_gets_no_fewer() -> None:
    names = ["weather", "mail", "calendar"]
    gate = await gateway("{tools: [{maximum: 2}]}")

    async def asked(*texts: str, tools: list[str]) -> list[str]:
        messages = [{"role": "user", "content": text} for text in texts]
        given = {"model": "auto", "messages": messages, "tools": [chat_tool(name) for name in tools]}
        return names_of(await gate.sent(given))

    first = await asked("the weather, by mail", tools=names)
    assert first == ["weather", "mail"]
    assert await asked("the weather, by mail", "now my calendar calendar", tools=names) == first
    assert await asked("now my calendar", tools=names) == ["weather", "calendar"]


async def test_a_conversation_that_had_few_tools_gets_more_up_to_the_maximum() -> None:
    gate = await gateway("{tools: [{maximum: 2}]}")
    first = {"model": "auto", "messages": USER, "tools": [chat_tool("b")]}
    assert names_of(await gate.sent(first)) == ["b"]
    more = {**first, "tools": [chat_tool("a"), chat_tool("b"), chat_tool("c")]}
    assert names_of(await gate.sent(more)) == ["a", "b"]


async def test_tools_that_the_history_calls_stay_first() -> None:
    call = {"id": "1", "type": "function", "function": {"name": "late", "arguments": "{}"}}
    history = [
        *USER,
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "1", "content": "x"},
    ]
    gate = await gateway("{tools: [{maximum: 1}]}")
    tools = [chat_tool("early"), chat_tool("late")]
    sent = await gate.sent({"model": "auto", "messages": history, "tools": tools})
    assert names_of(sent) == ["late"]
    assert sent["messages"] == history


async def test_a_history_of_messages_that_would_be_left_without_tools_is_refused() -> None:
    use = {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "gone", "input": {}}]}
    result = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "x"}]}
    gate = await gateway("{tools: [{deny: [gone]}]}")
    with pytest.raises(RequestRefused, match="'gone'"):
        await gate.ask({**offer(MESSAGES, "gone"), "messages": [*USER, use, result]}, MESSAGES)
    sent = await gate.sent({**offer(MESSAGES, "gone", "b"), "messages": [*USER, use, result]}, MESSAGES)
    assert sent["messages"] == [*USER, use, result]


@pytest.mark.parametrize("path", [CHAT, MESSAGES, RESPONSES])
async def test_one_call_at_a_time(path: str) -> None:
    gate = await gateway("{tools: [{parallelCalls: false}]}")
    sent = await gate.sent(offer(path, "a"), path)
    if path == MESSAGES:
        assert sent["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}
        sent = await gate.sent(offer(path, "a", tool_choice={"type": "any"}), path)
        assert sent["tool_choice"] == {"type": "any", "disable_parallel_tool_use": True}
    else:
        assert sent["parallel_tool_calls"] is False
        sent = await gate.sent(offer(path, "a", parallel_tool_calls=True), path)
        assert sent["parallel_tool_calls"] is False
    assert "parallel_tool_calls" not in await gate.sent({"model": "auto", "messages": USER})


async def test_a_rule_counts_where_its_condition_holds_or_has_no_result() -> None:
    gate = await gateway(
        "{tools: [{when: 'request.turns > 1', deny: [a]}, {when: 'headers[\"x-a\"] == \"1\"', deny: [b]}]}"
    )
    assert names_of(await gate.sent(offer(CHAT, "a", "b", "c"))) == ["a", "c"]
    assert names_of(await gate.sent(offer(CHAT, "a", "b", "c"), **{"x-a": "2"})) == ["a", "b", "c"]
    assert names_of(await gate.sent({**offer(CHAT, "a", "b"), "messages": USER * 2}, **{"x-a": "2"})) == ["b"]


async def test_content_is_checked_before_tools_so_that_both_hold() -> None:
    gate = await gateway(
        "{content: {request: [{detectors: [email], action: redact}]}, tools: [{deny: [gone]}]}"
    )
    given = {
        "model": "auto",
        "messages": USER,
        "tools": [chat_tool("gone"), chat_tool("a", "of a@b.example")],
    }
    exchange = await gate.ask(given)
    assert b"a@b.example" not in (exchange.new_body or b"")
    assert [(one.detector, one.action) for one in exchange.handled] == [
        ("email", "redact"),
        ("tools", "remove"),
    ]


values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(values, min_size=1, max_size=6), st.data(), st.booleans())
def test_items_of_any_list_are_taken_out(items: list, data: st.DataObject, spaced: bool) -> None:
    text = orjson.dumps(items, option=orjson.OPT_INDENT_2 if spaced else None)
    gone = data.draw(st.sets(st.integers(0, len(items) - 1), max_size=len(items) - 1))
    spans: list[tuple[int, int]] = []
    for _ in spans_within(text, 0, spans):
        pass
    assert spans[-1] == (0, len(text))
    left = edited(text, removals(spans[:-1], gone))
    assert orjson.loads(left) == [one for index, one in enumerate(items) if index not in gone]


@pytest.mark.parametrize("path", [CHAT, MESSAGES, RESPONSES])
@pytest.mark.parametrize("name", ['"tools"', '"t\\u006fols"'])
async def test_tools_that_stand_twice_are_refused_since_a_server_may_read_either(
    path: str, name: str
) -> None:
    gate = await gateway("{tools: [{deny: [gone]}]}")
    hidden = orjson.dumps(offer(path, "gone")["tools"])
    written = orjson.dumps(offer(path))
    twice = b"{%b:%b,%b" % (name.encode(), hidden, written[1:])
    with pytest.raises(RequestRefused) as caught:
        await gate.ask(twice, path)
    assert caught.value.reason is Refusal.INVALID_FIELD


async def offered_to(gate: Gateway, who: Identity, **members: object) -> list[str]:
    """Tools that go on, of a request of somebody."""
    exchange = Exchange(RequestHead("POST", CHAT, {}, envoy="e"))
    exchange.identified(who)
    await gate.pipeline.begin(exchange)
    exchange.received(orjson.dumps({**offer(CHAT, "search", "pay", "delete"), **members}))
    await gate.pipeline.decide(exchange)
    return names_of(orjson.loads(exchange.new_body or exchange.body))


async def test_tools_go_by_tenant_and_team() -> None:
    gate = await gateway(
        "{tools: [{deny: [delete]}, {when: 'identity.tenant != \"acme\"', deny: [pay]},"
        " {when: 'identity.team == \"support\"', allow: [search]}]}"
    )
    assert await offered_to(gate, Identity("acme")) == ["search", "pay"]
    assert await offered_to(gate, Identity("other")) == ["search"]
    assert await offered_to(gate, Identity("acme", team="support")) == ["search"]


async def test_tools_go_by_turn_and_domain() -> None:
    gate = await gateway(
        "{tools: [{when: 'request.turns < 2', deny: [pay]},"
        " {when: 'prompt.domain == \"law\"', deny: [delete]}]}"
    )
    law = "Is a landlord liable in tort for negligence where a tenant breaches the covenant of a lease?"
    first = [{"role": "user", "content": "hi"}]
    later = [*first, {"role": "assistant", "content": "yes?"}, {"role": "user", "content": "pay it"}]
    assert await offered_to(gate, Identity("acme"), messages=first) == ["search", "delete"]
    assert await offered_to(gate, Identity("acme"), messages=later) == ["search", "pay", "delete"]
    lawyer = [*later[:2], {"role": "user", "content": law}]
    assert await offered_to(gate, Identity("acme"), messages=lawyer) == ["search", "pay"]
