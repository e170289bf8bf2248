"""Tools that stand in the conversation itself, in groups of others, or among a template's variables."""

import time
from typing import Any

import pytest
from guarded_gateway import Gateway, gateway
from test_tool_requests import CHAT, MESSAGES, RESPONSES, USER, chat_tool, names_of, offer

from pilotage_extproc.domain.refusals import Refusal, RequestRefused

DENIES = "{tools: [{deny: [delete_all], providerRun: [namespace, image_generation]}]}"
DELETE = {"type": "function", "name": "delete_all", "parameters": {}}
READ = {"type": "function", "name": "read", "parameters": {}}
GROUP = {"type": "namespace", "name": "crm", "description": "d"}
DENIED: list[dict[str, Any]] = [
    DELETE,
    {"type": "web_search"},
    {"type": "code_interpreter", "container": {"type": "auto"}},
    {"type": "mcp", "server_label": "x", "server_url": "https://evil.example/mcp"},
    {**GROUP, "tools": [READ, DELETE]},
    {**GROUP, "tools": [{**GROUP, "tools": [{**GROUP, "tools": [READ]}]}]},
    {**GROUP, "tools": "delete_all"},
    {"google_search": {}},
]
ITEMS: list[dict[str, Any]] = [
    {"type": "additional_tools", "role": "developer"},
    {"type": "tool_search_output", "call_id": "c", "execution": "client", "status": "completed"},
    {"type": "what_comes_next_year"},
    {"role": "developer", "content": "hi"},
]


async def refusal_of(gate: Gateway, given: dict[str, Any], path: str) -> tuple[Refusal, str | None]:
    with pytest.raises(RequestRefused) as caught:
        await gate.ask(given, path)
    return caught.value.reason, caught.value.param


async def passes(gate: Gateway, given: dict[str, Any], path: str) -> bool:
    """Whether all of it goes on but the name of the model."""
    return {**(await gate.sent(given, path)), "model": "auto"} == given


def with_item(item: dict[str, Any], *tools: Any) -> dict[str, Any]:
    return {"model": "auto", "input": [{**item, "tools": list(tools)}, *USER]}


@pytest.mark.parametrize("item", ITEMS, ids=str)
async def test_a_tool_in_an_item_is_refused_where_its_policy_does_not_allow_it(item):
    gate = await gateway(DENIES)
    for tool in DENIED:
        found = await refusal_of(gate, with_item(item, READ, tool), RESPONSES)
        assert found == (Refusal.TOOL_NOT_ALLOWED, "input"), tool
    for tools in ("delete_all", {"0": DELETE}):
        given = {"model": "auto", "input": [{**item, "tools": tools}]}
        assert await refusal_of(gate, given, RESPONSES) == (Refusal.TOOL_NOT_ALLOWED, "input")


@pytest.mark.parametrize("item", ITEMS, ids=str)
async def test_items_with_tools_that_are_allowed_pass_as_they_are(item):
    given = with_item(item, READ, {"type": "image_generation"}, {**GROUP, "tools": [READ]})
    assert await passes(await gateway(DENIES), given, RESPONSES)
    denied = with_item(item, DELETE)
    assert await passes(await gateway("{}"), denied, RESPONSES)


@pytest.mark.parametrize(
    "tool",
    [
        {"type": "tool_definition", "definition": {"name": "delete_all", "input_schema": {}}},
        {"type": "tool_definition", "definition": {"type": "web_search_20250305", "name": "web_search"}},
        {"type": "tool_definition", "definition": {"type": "mcp_toolset", "mcp_server_name": "x"}},
        {"name": "delete_all", "input_schema": {}},
        {"type": "tool_definition"},
    ],
)
async def test_a_tool_that_messages_add_later_is_refused_alike(tool):
    gate = await gateway(DENIES)
    part = {"type": "tool_addition", "tool": tool}
    given = offer(MESSAGES, "a")
    given["messages"] = [*USER, {"role": "system", "content": [part]}]
    assert await refusal_of(gate, given, MESSAGES) == (Refusal.TOOL_NOT_ALLOWED, "messages")
    part["tool"] = {"type": "tool_reference", "name": "a"}
    assert await passes(gate, given, MESSAGES)
    part["tool"] = {"type": "tool_definition", "definition": {"name": "read", "input_schema": {}}}
    assert await passes(gate, given, MESSAGES)


async def test_tools_of_a_chat_message_are_tools():
    gate = await gateway(DENIES)
    for member in ("tools", "functions"):
        message = {"role": "developer", "content": "hi", member: [chat_tool("delete_all")]}
        given = {"model": "auto", "messages": [message, *USER]}
        assert await refusal_of(gate, given, CHAT) == (Refusal.TOOL_NOT_ALLOWED, "messages")


async def test_what_an_mcp_server_has_listed_before_is_as_allowed_as_it_is():
    server = {"type": "mcp", "server_label": "library", "server_url": "https://mcp.example.com/sse"}
    listing = {
        "type": "mcp_list_tools",
        "id": "i",
        "server_label": "library",
        "tools": [{"name": "delete_all"}],
    }
    given = {"model": "auto", "input": [listing, *USER], "tools": [server]}
    gate = await gateway("{tools: [{deny: [delete_all], providerRun: ['mcp/library@mcp.example.com']}]}")
    assert await passes(gate, given, RESPONSES)
    assert (await refusal_of(gate, {**given, "tools": []}, RESPONSES))[0] is Refusal.TOOL_NOT_ALLOWED
    assert (await refusal_of(await gateway(DENIES), given, RESPONSES))[0] is Refusal.TOOL_NOT_ALLOWED


async def test_a_group_goes_where_one_of_its_tools_is_not_allowed():
    given = {**offer(RESPONSES, "a"), "tools": [{**GROUP, "tools": [READ, DELETE]}, READ]}
    assert (await (await gateway(DENIES)).sent(given, RESPONSES))["tools"] == [READ]


async def test_tools_of_the_conversation_count_for_the_maximum():
    gate = await gateway("{tools: [{maximum: 2}]}")
    tools = [{**READ, "name": name} for name in ("a", "b", "c")]
    given = {**with_item(ITEMS[0], READ), "tools": tools}
    sent = await gate.sent(given, RESPONSES)
    assert len(names_of(sent)) == 1
    assert sent["input"] == given["input"]


async def test_a_choice_may_stay_where_the_conversation_has_its_tool():
    given = {**with_item(ITEMS[0], READ), "tools": [DELETE], "tool_choice": "required"}
    sent = await (await gateway(DENIES)).sent(given, RESPONSES)
    assert "tools" not in sent
    assert sent["tool_choice"] == "required"


@pytest.mark.parametrize("member", ["chat_template_kwargs", "chat_template_args"])
@pytest.mark.parametrize(
    "variables",
    [{"tools": [chat_tool("delete_all")]}, {"custom_tools": "[]"}, {"x": {"y": 1}}, [["tools", []]], "tools"],
)
async def test_variables_of_a_template_that_may_be_tools_are_refused(member, variables):
    given = {"model": "auto", "messages": USER, member: variables}
    assert await refusal_of(await gateway(DENIES), given, CHAT) == (Refusal.TOOL_NOT_ALLOWED, member)
    assert await passes(await gateway("{}"), given, CHAT)


async def test_other_variables_of_a_template_pass():
    usual = {"enable_thinking": False, "reasoning_effort": "low", "documents": [{"text": "t"}], "tools": None}
    given = {"model": "auto", "messages": USER, "chat_template_kwargs": usual}
    assert await passes(await gateway(DENIES), given, CHAT)


async def test_many_items_with_tools_hold_nobody_up():
    gate = await gateway(DENIES)
    listing = {"type": "mcp_list_tools", "server_label": "x", "tools": [{"name": "a"}]}
    for given in (
        with_item(ITEMS[0], *([READ] * 1025)),
        with_item(ITEMS[0], *([{**GROUP, "tools": [READ] * 600}] * 2)),
        {"model": "auto", "input": [{**ITEMS[0], "tools": [READ]}] * 1025},
        {"model": "auto", "input": [listing] * 5_000, "tools": [READ] * 5_000},
    ):
        began = time.thread_time()
        assert await refusal_of(gate, given, RESPONSES) == (Refusal.INVALID_FIELD, "tools")
        assert time.thread_time() - began < 2
