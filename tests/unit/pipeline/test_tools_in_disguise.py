"""Tools that come by another way than a list of names, or under another name than the server reads."""

import time
from typing import Any

import pytest
from guarded_gateway import gateway
from test_tool_requests import CHAT, MESSAGES, RESPONSES, USER, chat_tool, names_of, offer

from pilotage_extproc.domain.refusals import Refusal, RequestRefused

DENIES = "{tools: [{deny: [delete_all]}]}"


@pytest.mark.parametrize(
    "path,tool",
    [
        (RESPONSES, {"type": "function", "name": "delete_all", "function": {"name": "search"}}),
        (CHAT, {"type": "function", "name": "search", "function": {"name": "delete_all"}}),
        (CHAT, {"name": "search", "function": {"name": "delete_all"}}),
        (MESSAGES, {"type": "custom", "name": "delete_all", "custom": {"name": "search"}}),
        (MESSAGES, {"name": "delete_all", "function": {"name": "search"}}),
        (CHAT, {"type": "function", "function": {"name": "delete\\u005fall"}}),
    ],
)
async def test_a_tool_that_has_two_names_must_be_allowed_by_both(path: str, tool: dict[str, Any]) -> None:
    given = offer(path, "a")
    given["tools"].append(tool)
    sent = await (await gateway(DENIES)).sent(given, path)
    assert len(sent["tools"]) == 1 + ("u005f" in str(tool))


@pytest.mark.parametrize(
    "tool", [{"google_search": {}}, {"code_execution": {}}, {"type": "function"}, "x", 7]
)
async def test_what_has_no_name_is_the_providers(tool: object) -> None:
    given = {**offer(CHAT, "a"), "tools": [chat_tool("a"), tool]}
    assert (await (await gateway(DENIES)).sent(given))["tools"] == [chat_tool("a")]
    by_type = "{tools: [{providerRun: [google_search]}]}"
    kept = (await (await gateway(by_type)).sent(given))["tools"]
    assert len(kept) == 1 + (tool == {"google_search": {}})


@pytest.mark.parametrize(
    "member,value",
    [
        ("web_search_options", {}),
        ("web_search_options", {"search_context_size": "low"}),
        ("search_parameters", {"mode": "on"}),
        ("enable_search", True),
        ("plugins", [{"id": "web"}]),
    ],
)
async def test_what_switches_a_search_on_goes_unless_its_type_is_allowed(member: str, value: object) -> None:
    given = {"model": "auto", "messages": USER, member: value}
    assert member not in await (await gateway(DENIES)).sent(given)
    allows = "{tools: [{providerRun: [web_search, plugins]}]}"
    assert (await (await gateway(allows)).sent(given))[member] == value


@pytest.mark.parametrize("tools", [{"0": chat_tool("delete_all")}, "delete_all", 1, {}, False])
async def test_a_list_of_tools_that_is_none_is_refused(tools: object) -> None:
    with pytest.raises(RequestRefused, match="no list of tools") as caught:
        await (await gateway(DENIES)).ask({"model": "auto", "messages": USER, "tools": tools})
    assert (caught.value.reason, caught.value.param) == (Refusal.INVALID_FIELD, "tools")
    assert (await gateway(DENIES)) is not None
    await (await gateway(DENIES)).ask({"model": "auto", "messages": USER, "tools": None})


async def test_a_template_of_the_provider_may_bring_tools_and_goes_by_its_id() -> None:
    given = {"model": "auto", "prompt": {"id": "pmpt_1", "version": "2"}, "input": "hi"}
    with pytest.raises(RequestRefused, match="prompt/pmpt_1") as caught:
        await (await gateway(DENIES)).ask(given, RESPONSES)
    assert (caught.value.reason, caught.value.param) == (Refusal.TOOL_NOT_ALLOWED, "prompt")
    allows = "{tools: [{providerRun: [prompt/pmpt_1]}]}"
    assert (await (await gateway(allows)).sent(given, RESPONSES))["prompt"] == given["prompt"]
    assert await (await gateway("{}")).ask(given, RESPONSES)


LIBRARY = "https://mcp.library.example/sse"


@pytest.mark.parametrize(
    "url,stays",
    [
        (LIBRARY, True),
        ("https://MCP.library.example:443", True),
        ("https://evil.example/mcp.library.example", False),
        ("https://mcp.library.example@evil.example/", False),
        ("https://evil.example\\@mcp.library.example/", False),
        ("https://mcp.library.example\\.evil.example/", False),
        ("https://mcp.library.example.evil.example/", False),
        (None, False),
    ],
)
async def test_a_server_may_be_bound_to_its_host(url: str | None, stays: bool) -> None:
    bound = "{tools: [{providerRun: ['mcp/library@mcp.library.example']}]}"
    gate = await gateway(bound)
    of_responses = {"type": "mcp", "server_label": "library", "server_url": url}
    sent = await gate.sent({**offer(RESPONSES, "a"), "tools": [of_responses]}, RESPONSES)
    assert ("tools" in sent) is stays
    server = {"type": "url", "name": "library", "url": url}
    toolset = {"type": "mcp_toolset", "mcp_server_name": "library"}
    given = {**offer(MESSAGES, "a"), "mcp_servers": [server]}
    given["tools"].append(toolset)
    sent = await gate.sent(given, MESSAGES)
    assert ("mcp_servers" in sent, toolset in sent["tools"]) == (stays, stays)


async def test_a_connector_is_a_place_too() -> None:
    gate = await gateway("{tools: [{providerRun: ['mcp/*@connector_dropbox']}]}")
    for connector, stays in (("connector_dropbox", True), ("connector_gmail", False)):
        tool = {"type": "mcp", "server_label": "files", "connector_id": connector}
        sent = await gate.sent({**offer(RESPONSES), "tools": [tool]}, RESPONSES)
        assert ("tools" in sent) is stays


async def test_a_member_whose_name_is_written_with_escapes_is_read_as_it_is() -> None:
    body = (
        b'{"model":"auto","messages":[{"role":"user","content":"hi"}],'
        b'"t\\u006fols":[{"type":"function","function":{"name":"a"}},'
        b'{"type":"function","function":{"n\\u0061me":"delete\\u005fall"}}]}'
    )
    assert names_of(await (await gateway(DENIES)).sent(body)) == ["a"]


@pytest.mark.parametrize(
    "choice",
    [
        {
            "type": "allowed_tools",
            "allowed_tools": {
                "mode": "auto",
                "tools": [{"type": "function", "function": {"name": "delete_all"}}],
            },
        },
        {"type": "function", "function": {"name": "delete_all"}},
    ],
)
async def test_a_choice_of_what_goes_is_refused_in_every_form(choice: dict[str, Any]) -> None:
    with pytest.raises(RequestRefused, match="delete_all"):
        await (await gateway(DENIES)).ask(offer(CHAT, "a", "delete_all", tool_choice=choice))


@pytest.mark.parametrize("rule", ["deny: [delete_all]", "maximum: 8"])
async def test_as_many_tools_as_are_looked_at_hold_nobody_up(rule: str) -> None:
    about = " ".join(f"word{number}" for number in range(100))
    tools = [chat_tool(f"tool_{number}", about) for number in range(1024)]
    choice = {
        "type": "allowed_tools",
        "tools": [{"type": "function", "name": f"n{n}"} for n in range(20_000)],
    }
    gate = await gateway(f"{{tools: [{{{rule}}}]}}")
    began = time.thread_time()
    await gate.ask({"model": "auto", "messages": USER, "tools": tools, "tool_choice": choice})
    assert time.thread_time() - began < 2
    with pytest.raises(RequestRefused, match="more than 1024 tools") as caught:
        await gate.ask({"model": "auto", "messages": USER, "tools": [*tools, chat_tool("one_more")]})
    assert caught.value.param == "tools"
