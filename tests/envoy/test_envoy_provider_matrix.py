"""Conversations of the clients' own SDKs that go to and fro between providers and own servers.

One whole gateway stands before an own server and four providers, which refuse what their own APIs would.
"""

import itertools
from collections.abc import Awaitable, Callable
from typing import Any

import anthropic
import openai
import pytest
from every_provider import DIALECTS, every_provider
from limited_picks import GOOD
from native_providers import OWN
from provider_answers import TEXT

MODELS = (OWN, *DIALECTS)
HI = [{"role": "user", "content": "hi"}]
SCHEMA: dict[str, Any] = {"type": "object", "properties": {}, "additionalProperties": False}
NAMES = ("look", "now")
# the SDK's streams of chats take strict functions only
CHAT_TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": SCHEMA, "strict": True}} for name in NAMES
]
MESSAGE_TOOLS = [{"name": name, "input_schema": SCHEMA} for name in NAMES]
RESPONSE_TOOLS = [{"type": "function", "name": name, "parameters": SCHEMA, "strict": False} for name in NAMES]


class Clients:
    """The gateway's clients. Each asks for one turn; its answer's text, and what it sends with the next."""

    def __init__(self, url: str) -> None:
        self.openai = openai.AsyncOpenAI(api_key="theirs", base_url=f"{url}/v1", max_retries=0)
        self.anthropic = anthropic.AsyncAnthropic(api_key="theirs", base_url=url, max_retries=0)

    async def chat(self, model: str, said: list[Any], *, stream: bool) -> tuple[str, list[Any]]:
        asked: dict[str, Any] = {"model": model, "messages": said, "tools": CHAT_TOOLS}
        if stream:
            async with self.openai.chat.completions.stream(**asked) as events:
                await events.until_done()
                completion = await events.get_final_completion()
        else:
            completion = await self.openai.chat.completions.create(**asked)
        message = completion.choices[0].message
        kept = message.model_dump(exclude_none=True, exclude={"parsed"})
        for call in kept["tool_calls"]:
            call["function"].pop("parsed_arguments", None)
            call.pop("index", None)
        results = [
            {"role": "tool", "tool_call_id": call["id"], "content": "ok"} for call in kept["tool_calls"]
        ]
        return message.content, [*said, kept, *results]

    async def messages(self, model: str, said: list[Any], *, stream: bool) -> tuple[str, list[Any]]:
        asked: dict[str, Any] = {
            "model": model,
            "messages": said,
            "tools": MESSAGE_TOOLS,
            "max_tokens": 2048,
            "thinking": {"type": "enabled", "budget_tokens": 1024},
        }
        if stream:
            async with self.anthropic.messages.stream(**asked) as events:
                message = await events.get_final_message()
        else:
            message = await self.anthropic.messages.create(**asked)
        kept = [block.model_dump(exclude_none=True, exclude={"parsed_output"}) for block in message.content]
        assert "thinking" in {block["type"] for block in kept}
        calls = [block["id"] for block in kept if block["type"] == "tool_use"]
        results = [{"type": "tool_result", "tool_use_id": call, "content": "ok"} for call in calls]
        text = "".join(block["text"] for block in kept if block["type"] == "text")
        return text, [*said, {"role": "assistant", "content": kept}, {"role": "user", "content": results}]

    async def responses(self, model: str, said: list[Any], *, stream: bool) -> tuple[str, list[Any]]:
        asked: dict[str, Any] = {"model": model, "input": said, "tools": RESPONSE_TOOLS, "store": False}
        if stream:
            async with self.openai.responses.stream(**asked) as events:
                response = await events.get_final_response()
        else:
            response = await self.openai.responses.create(**asked)
        drop = {"parsed_arguments": True, "content": {"__all__": {"parsed"}}}
        kept = [item.model_dump(exclude_none=True, exclude=drop) for item in response.output]
        calls = [item["call_id"] for item in kept if item["type"] == "function_call"]
        results = [{"type": "function_call_output", "call_id": call, "output": "ok"} for call in calls]
        return response.output_text, [*said, *kept, *results]

    def of(self, kind: str) -> Callable[..., Awaitable[tuple[str, list[Any]]]]:
        return {"chat": self.chat, "messages": self.messages, "responses": self.responses}[kind]

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


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("kind", ["chat", "messages", "responses"])
async def test_a_conversation_goes_to_and_fro_between_providers_and_own_servers(
    gateway, clients, kind, stream
):
    ask = clients.of(kind)
    gateway.answer(kind)
    begun = {}
    for dialect in MODELS:
        text, begun[dialect] = await ask(dialect, HI, stream=stream)
        assert text == TEXT, dialect
    for first, then in itertools.product(MODELS, MODELS):
        text, said = await ask(then, begun[first], stream=stream)
        assert text == TEXT, (first, then)
        text, _ = await ask(first, said, stream=stream)
        assert text == TEXT, (first, then, first)


async def test_the_explanation_tells_which_call_a_provider_got(gateway, clients):
    gateway.answer("chat")
    await clients.chat("anthropic", HI, stream=False)
    [attempt] = (await gateway.explained())["attempts"]
    assert (attempt["translatedTo"], attempt["result"]) == ("messages", "served")
