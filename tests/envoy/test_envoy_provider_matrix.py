"""Each client's API at a provider of each API, streamed and not, by the clients' own SDKs, turn after turn.

One whole gateway stands before four providers, which refuse what their own APIs would refuse.
"""

import itertools
from collections.abc import Awaitable, Callable
from typing import Any

import anthropic
import openai
import pytest
from certificates import Authority
from faulty_providers import LOOPBACK
from limited_picks import GOOD
from native_providers import CALLS, native
from provider_answers import TEXT
from provider_stub import ProviderStub
from whole_gateway import WholeGateway

DIALECTS = sorted(CALLS)
HI = [{"role": "user", "content": "hi"}]
SCHEMA: dict[str, Any] = {"type": "object", "properties": {}, "additionalProperties": False}
NAMES = ("look", "now")
# the SDK's streams of chats take strict functions only
CHAT_TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": SCHEMA, "strict": True}} for name in NAMES
]
MESSAGE_TOOLS = [{"name": name, "input_schema": SCHEMA} for name in NAMES]
RESPONSE_TOOLS = [{"type": "function", "name": name, "parameters": SCHEMA, "strict": False} for name in NAMES]


def pool(dialect: str, stub: ProviderStub) -> dict[str, Any]:
    external = {
        "host": "localhost",
        "port": stub.port,
        "dialect": dialect,
        "tls": {"caBundle": stub.authority.certificate},
        **({"apiVersion": "2025-01-01"} if dialect == "azure" else {}),
    }
    model = {"name": dialect, "upstreamName": f"up-{dialect}", "maxOutputTokens": 4096}
    return {
        "apiVersion": "pilotage.dev/v1alpha1",
        "kind": "ModelPool",
        "metadata": {"name": dialect},
        "spec": {"external": external, "models": [{**model, "capabilities": ["tools", "reasoning"]}]},
    }


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


def translated_paths(kind: str, dialect: str) -> list[str]:
    """The path that the provider gets a translation under; none where the API is the client's own."""
    own = {"chat": "completions", "messages": "messages", "responses": "responses"}[kind]
    calls = CALLS[dialect]
    return [] if any(call.endswith(own) for call in calls) else [calls[0]]


@pytest.fixture
async def stubs(tmp_path):
    made = {dialect: ProviderStub(Authority(), hosts=("localhost",)) for dialect in DIALECTS}
    for dialect, stub in made.items():
        (tmp_path / dialect).mkdir()
        await stub.start(tmp_path / dialect)
    yield made
    for stub in made.values():
        await stub.stop()


@pytest.fixture
async def gateway(tmp_path, start_server, stubs):
    server = await start_server(GOOD)
    documents = [pool(dialect, stub) for dialect, stub in stubs.items()]
    made = WholeGateway(tmp_path / "g", {"spare": [server]}, {}, documents=documents, **LOOPBACK)
    await made.start()

    def usable() -> bool:
        counts = made.runtime.following.pool_counts()
        return all(f"default/{one}" in counts and counts[f"default/{one}"].ready == 1 for one in DIALECTS)

    await made.until(usable, 20)
    yield made
    await made.stop()


@pytest.fixture
async def clients(gateway):
    made = Clients(f"http://{gateway.gateway.address}")
    yield made
    await made.close()


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("kind", ["chat", "messages", "responses"])
async def test_a_conversation_goes_to_and_fro_between_providers_of_every_api(clients, stubs, kind, stream):
    ask = clients.of(kind)
    for dialect, stub in stubs.items():
        stub.otherwise = native(dialect, translated_paths(kind, dialect))
    begun = {}
    for dialect in DIALECTS:
        text, begun[dialect] = await ask(dialect, HI, stream=stream)
        assert text == TEXT, dialect
    for first, then in itertools.product(DIALECTS, DIALECTS):
        text, said = await ask(then, begun[first], stream=stream)
        assert text == TEXT, (first, then)
        text, _ = await ask(first, said, stream=stream)
        assert text == TEXT, (first, then, first)


async def test_a_call_that_a_providers_api_does_not_have_is_a_typed_error_in_the_callers_api(clients, stubs):
    calls: list[tuple[str, Callable[[str], Awaitable[Any]]]] = [
        ("anthropic", lambda model: clients.openai.embeddings.create(model=model, input="x")),
        ("anthropic", lambda model: clients.openai.completions.create(model=model, prompt="x")),
    ]
    for dialect, call in calls:
        with pytest.raises(openai.APIStatusError) as refused:
            await call(dialect)
        assert (refused.value.status_code, refused.value.code) == (503, "no_endpoints")
    for dialect in ("openai", "openai-chat", "azure"):
        with pytest.raises(anthropic.APIStatusError) as told:
            await clients.anthropic.messages.count_tokens(model=dialect, messages=HI)
        assert told.value.status_code == 503
        assert told.value.body["type"] == "error"
    assert all(stub.received == [] for stub in stubs.values())


async def test_what_cannot_be_said_in_a_providers_api_is_a_typed_error_that_names_the_field(clients, stubs):
    for dialect in ("anthropic", "openai-chat"):
        with pytest.raises(openai.BadRequestError) as refused:
            await clients.openai.responses.create(model=dialect, input="x", store=True)
        assert (refused.value.param, refused.value.code) == ("store", "not_translatable")
    with pytest.raises(openai.BadRequestError) as refused:
        await clients.openai.chat.completions.create(model="anthropic", messages=HI, n=2)
    assert (refused.value.param, refused.value.code) == ("n", "not_translatable")
    for dialect in ("openai", "openai-chat", "azure"):
        with pytest.raises(anthropic.BadRequestError, match="container"):
            await clients.anthropic.messages.create(
                model=dialect, max_tokens=5, messages=HI, extra_body={"container": "c"}
            )
    assert all(stub.received == [] for stub in stubs.values())


async def test_the_explanation_tells_which_call_a_provider_got(gateway, clients, stubs):
    stubs["anthropic"].otherwise = native("anthropic", ["/v1/messages"])
    await clients.chat("anthropic", HI, stream=False)
    [attempt] = (await gateway.explained())["attempts"]
    assert (attempt["translatedTo"], attempt["result"]) == ("messages", "served")
