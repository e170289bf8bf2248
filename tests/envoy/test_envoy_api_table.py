"""Each client's API at servers and providers of each API, as a table: what reaches whom, what comes back.

Clients are the SDKs that users have. A cell is tried streamed and not, with a plain answer, with calls of
tools, and with usage; what a provider's API has no words for is a typed error in the client's.
"""

import json
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import anthropic
import openai
import pytest
from every_provider import DIALECTS, every_provider
from limited_picks import GOOD
from native_providers import OWN
from provider_answers import ARGUMENTS, TEXT
from spoken_answers import PLAIN, TOOLS, Spoken

CHAT, MESSAGES, RESPONSES = "/v1/chat/completions", "/v1/messages", "/v1/responses"
AZURE_CHAT = "/openai/deployments/up-azure/chat/completions?api-version=2025-01-01"
AZURE_RESPONSES = "/openai/responses?api-version=2025-01-01"
COLUMNS = (OWN, "openai", "openai-chat", "azure", "anthropic")
# fmt: off
REACHED = {
    # client      own        openai     openai-chat azure           anthropic
    "chat":      (CHAT,      CHAT,      CHAT,      AZURE_CHAT,      MESSAGES),
    "messages":  (MESSAGES,  CHAT,      CHAT,      AZURE_CHAT,      MESSAGES),
    "responses": (RESPONSES, RESPONSES, CHAT,      AZURE_RESPONSES, MESSAGES),
}
"""The path that a request of each client's API gets to."""
ENDS = {
    # client     plain        calls of tools
    "chat":      ("stop",      "tool_calls"),
    "messages":  ("end_turn",  "tool_use"),
    "responses": ("completed", "completed"),
}
# fmt: on
ARGUMENTS_OF = {CHAT: json.loads(ARGUMENTS), MESSAGES: {"q": [1, {"a": "}"}]}, RESPONSES: {}}
"""Of the call of `look`, by the call that a provider answered."""
SCHEMA: dict[str, Any] = {"type": "object", "properties": {}, "additionalProperties": False}
HI = [{"role": "user", "content": "hi"}]


class Seen(NamedTuple):
    """What a client sees."""

    path: str
    """That the request got to."""
    text: str
    calls: list[tuple[str, Any]]
    """Names and arguments."""
    end: str | None
    tokens: tuple[int, int, int] | None
    """Of the prompt, of these cached, and of the answer."""


class Clients:
    """The SDKs; each method asks once and tells what it saw."""

    def __init__(self, url: str) -> None:
        self.openai = openai.AsyncOpenAI(api_key="theirs", base_url=f"{url}/v1", max_retries=0)
        self.anthropic = anthropic.AsyncAnthropic(api_key="theirs", base_url=url, max_retries=0)

    async def chat(self, model: str, *, stream: bool, tools: bool, usage: bool) -> Seen:
        asked: dict[str, Any] = {"model": model, "messages": HI}
        if tools:
            functions = [{"name": name, "parameters": SCHEMA, "strict": True} for name in ("look", "now")]
            asked["tools"] = [{"type": "function", "function": one} for one in functions]
        if not stream:
            completion: Any = await self.openai.chat.completions.create(**asked)
        else:
            asked |= {"stream_options": {"include_usage": True}} if usage else {}
            async with self.openai.chat.completions.stream(**asked) as events:
                kinds = [event async for event in events]
                completion = await events.get_final_completion()
            chunks = [event.chunk for event in kinds if event.type == "chunk"]
            assert all(one.choices for one in chunks) or usage, "usage that nobody asked for"
        [choice] = completion.choices
        calls = [one.function for one in choice.message.tool_calls or ()]
        told = completion.usage
        return Seen(
            "",
            choice.message.content,
            [(one.name, json.loads(one.arguments)) for one in calls],
            choice.finish_reason,
            told and (told.prompt_tokens, told.prompt_tokens_details.cached_tokens, told.completion_tokens),
        )

    async def messages(self, model: str, *, stream: bool, tools: bool, usage: bool) -> Seen:
        asked: dict[str, Any] = {"model": model, "messages": HI, "max_tokens": 99}
        if tools:
            asked["tools"] = [{"name": name, "input_schema": SCHEMA} for name in ("look", "now")]
        if stream:
            async with self.anthropic.messages.stream(**asked) as events:
                message = await events.get_final_message()
        else:
            message = await self.anthropic.messages.create(**asked)
        told = message.usage
        written = told.cache_creation_input_tokens or 0
        cached = told.cache_read_input_tokens or 0
        return Seen(
            "",
            "".join(block.text for block in message.content if block.type == "text"),
            [(block.name, block.input) for block in message.content if block.type == "tool_use"],
            message.stop_reason,
            (told.input_tokens + cached + written, cached, told.output_tokens),
        )

    async def responses(self, model: str, *, stream: bool, tools: bool, usage: bool) -> Seen:
        asked: dict[str, Any] = {"model": model, "input": "hi", "store": False}
        if tools:
            of = {"type": "function", "parameters": SCHEMA, "strict": False}
            asked["tools"] = [{"name": name, **of} for name in ("look", "now")]
        if stream:
            async with self.openai.responses.stream(**asked) as events:
                response: Any = await events.get_final_response()
        else:
            response = await self.openai.responses.create(**asked)
        calls = [one for one in response.output if one.type == "function_call"]
        told = response.usage
        return Seen(
            "",
            response.output_text,
            [(one.name, json.loads(one.arguments)) for one in calls],
            response.status,
            (told.input_tokens, told.input_tokens_details.cached_tokens, told.output_tokens),
        )

    async def close(self) -> None:
        await self.openai.close()
        await self.anthropic.close()


@pytest.fixture
async def gateway(tmp_path, start_server):
    async with every_provider(tmp_path, await start_server(GOOD)) as made:
        yield made


@pytest.fixture
async def clients(gateway):
    made = Clients(f"http://{gateway.gateway.address}")
    yield made
    await made.close()


def expected(kind: str, path: str, said: Spoken, *, shown: bool) -> Seen:
    """Of a cell; `shown` is whether the client's API tells usage."""
    spoken_by = RESPONSES if path == AZURE_RESPONSES else CHAT if path == AZURE_CHAT else path
    calls = [("look", ARGUMENTS_OF[spoken_by]), ("now", {})] if said is TOOLS else []
    return Seen(path, TEXT, calls, ENDS[kind][said is TOOLS], (22, 7, 42) if shown else None)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("kind", REACHED)
async def test_every_api_is_served_at_every_provider(gateway, clients, kind, stream):
    asks: dict[str, Callable[..., Awaitable[Seen]]] = {
        "chat": clients.chat,
        "messages": clients.messages,
        "responses": clients.responses,
    }
    wanted, found, counted = {}, {}, {}
    for dialect, path in zip(COLUMNS, REACHED[kind], strict=True):
        for name, said, usage in (("plain", PLAIN, False), ("tools", TOOLS, False), ("usage", PLAIN, True)):
            gateway.answer(kind, said)
            shown = usage or not stream or kind != "chat"
            wanted[dialect, name] = expected(kind, path, said, shown=shown)
            seen = await asks[kind](dialect, stream=stream, tools=said is TOOLS, usage=usage)
            found[dialect, name] = seen._replace(path=gateway.received(dialect)[-1].path)
            outcome = (await gateway.explained())["outcome"]
            counted[dialect, name] = (outcome["status"], *map(outcome["usage"].get, COUNTED))
    assert {cell: seen for cell, seen in found.items() if seen != wanted[cell]} == {}
    assert set(counted.values()) == {(200, 22, 7, 42)}, counted


COUNTED = ("inputTokens", "cachedInputTokens", "outputTokens")


class Refused(NamedTuple):
    """What is asked, and where it is refused; elsewhere it is not tried here."""

    call: str
    asked: dict[str, Any]
    at: tuple[str, ...]
    status: int
    told: str
    """OpenAI's `code`, Anthropic's `type`."""
    param: str | None = None


def untranslatable(call: str, at: tuple[str, ...], param: str, **asked: Any) -> Refused:
    told = "invalid_request_error" if call == "messages" else "not_translatable"
    return Refused(call, asked, at, 400, told, param)


ANTHROPIC, CHAT_ALONE = ("anthropic",), ("openai-chat", "anthropic")
OPENAIS = ("openai", "openai-chat", "azure")
HOSTED_TOOL = {"type": "web_search_20250305", "name": "web_search"}
JSON_OBJECT = {"type": "json_object"}
ITEM = {"type": "item_reference", "id": "msg_1"}
REFUSED = [
    Refused("embeddings", {"input": "x"}, ANTHROPIC, 503, "no_endpoints"),
    Refused("completions", {"prompt": "x"}, ANTHROPIC, 503, "no_endpoints"),
    Refused("count_tokens", {"messages": HI}, OPENAIS, 503, "overloaded_error"),
    untranslatable("chat", ANTHROPIC, "n", messages=HI, n=2),
    untranslatable("chat", ANTHROPIC, "logprobs", messages=HI, logprobs=True),
    untranslatable("chat", ANTHROPIC, "modalities", messages=HI, modalities=["text", "audio"]),
    untranslatable("chat", ANTHROPIC, "response_format", messages=HI, response_format=JSON_OBJECT),
    untranslatable("chat", ANTHROPIC, "web_search_options", messages=HI, web_search_options={}),
    untranslatable("responses", CHAT_ALONE, "store", input="x", store=True),
    untranslatable("responses", CHAT_ALONE, "background", input="x", background=True),
    untranslatable("responses", CHAT_ALONE, "tools", input="x", tools=[{"type": "web_search"}]),
    untranslatable("responses", CHAT_ALONE, "input", input=[ITEM]),
    untranslatable("messages", OPENAIS, "container", messages=HI, extra_body={"container": "c"}),
    untranslatable("messages", OPENAIS, "tools", messages=HI, tools=[HOSTED_TOOL]),
]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_what_a_providers_api_has_no_words_for_is_a_typed_error(gateway, clients, stream):
    streamed: dict[str, Any] = {"stream": True} if stream else {}
    calls: dict[str, Callable[..., Awaitable[Any]]] = {
        "embeddings": clients.openai.embeddings.create,
        "completions": lambda **asked: clients.openai.completions.create(**asked, **streamed),
        "chat": lambda **asked: clients.openai.chat.completions.create(**asked, **streamed),
        "responses": lambda **asked: clients.openai.responses.create(**asked, **streamed),
        "messages": lambda **asked: clients.anthropic.messages.create(max_tokens=9, **asked, **streamed),
        "count_tokens": clients.anthropic.messages.count_tokens,
    }
    found, wanted = {}, {}
    for one in REFUSED:
        for dialect in one.at:
            cell = (one.call, one.param, dialect)
            wanted[cell] = (one.status, one.told, one.param)
            with pytest.raises((openai.APIStatusError, anthropic.APIStatusError)) as refused:
                await calls[one.call](model=dialect, **one.asked)
            found[cell] = told_by(refused.value, one.param)
    assert {cell: told for cell, told in found.items() if told != wanted[cell]} == {}
    assert all(gateway.received(dialect) == [] for dialect in (OWN, *DIALECTS))


def told_by(error: Any, param: str | None) -> tuple[int, str, str | None]:
    """Status, code or type, and the field that the error names."""
    if isinstance(error, openai.APIStatusError):
        named = None if error.param is None else error.param.partition("[")[0].partition(".")[0]
        return error.status_code, str(error.code), named
    inner = error.body["error"]
    return error.status_code, inner["type"], param if param and param in inner["message"] else None
