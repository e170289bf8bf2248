"""`examples/content` end to end: the SDKs people use, a real Envoy, and the example's own model."""

import asyncio
import importlib.util
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import anthropic
import openai
import pytest
from aiohttp import web
from examples_rig import EXAMPLES, ExamplesRig

EMAIL = "alice@mail.example"
SECRET = "AKIAIOSFODNN7EXAMPLE"
IBAN = "DE89 3704 0044 0532 0130 00"
LINK = "https://x.example/?to:"


def backwards(text: str) -> str:
    return f"backwards {text[::-1]}"


def example_model() -> ModuleType:
    found = importlib.util.spec_from_file_location("echo_model", EXAMPLES / "content" / "echo.py")
    assert found is not None
    assert found.loader is not None
    made = importlib.util.module_from_spec(found)
    found.loader.exec_module(made)
    return made


@dataclass
class ContentRig(ExamplesRig):
    """The example with its own model in the place of simulated servers."""

    name: str = "content"
    simulate: bool = False


@dataclass
class Said:
    """What a client has put together."""

    text: str
    reason: str | None


class Clients:
    """Each API by its SDK."""

    def __init__(self, url: str) -> None:
        self._openai = openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
        self._anthropic = anthropic.AsyncAnthropic(base_url=url, api_key="none", max_retries=0)

    async def close(self) -> None:
        await self._openai.close()
        await self._anthropic.close()

    async def chat(self, text: str, *, stream: bool) -> Said:
        messages: list[Any] = [{"role": "user", "content": text}]
        if not stream:
            answer = await self._openai.chat.completions.create(model="auto", messages=messages)
            return Said(answer.choices[0].message.content or "", answer.choices[0].finish_reason)
        said, reason = "", None
        chunks = await self._openai.chat.completions.create(model="auto", messages=messages, stream=True)
        async for chunk in chunks:
            said += chunk.choices[0].delta.content or ""
            reason = chunk.choices[0].finish_reason or reason
        return Said(said, reason)

    async def messages(self, text: str, *, stream: bool) -> Said:
        asked: dict[str, Any] = {
            "model": "auto",
            "max_tokens": 99,
            "messages": [{"role": "user", "content": text}],
        }
        if stream:
            async with self._anthropic.messages.stream(**asked) as events:
                answer = await events.get_final_message()
        else:
            answer = await self._anthropic.messages.create(**asked)
        return Said("".join(part.text for part in answer.content if part.type == "text"), answer.stop_reason)

    async def responses(self, text: str, *, stream: bool) -> Said:
        if not stream:
            answer = await self._openai.responses.create(model="auto", input=text)
            details = answer.incomplete_details
            return Said(answer.output_text, None if details is None else details.reason)
        said, reason = "", None
        async for event in await self._openai.responses.create(model="auto", input=text, stream=True):
            if event.type == "response.output_text.delta":
                said += event.delta
            elif event.type == "response.incomplete":
                details = event.response.incomplete_details
                reason = None if details is None else details.reason
        return Said(said, reason)


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[ContentRig]:
    one = ContentRig(tmp_path / "content")
    await one.start()
    assert not one.compiled[-1].has_errors
    model, runner = example_model(), None
    app = web.Application()
    for path in model.APIS:
        app.router.add_post(path, model.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    for pool in one.compiled[-1].snapshot.pools:
        await web.TCPSite(runner, "127.0.0.1", pool.endpoints[0].port).start()
    yield one
    await one.stop()
    await runner.cleanup()


@pytest.fixture
async def clients(rig: ContentRig) -> AsyncIterator[Clients]:
    made = Clients(rig.url)
    yield made
    await made.close()


FILTERED = {"chat": "content_filter", "messages": "refusal", "responses": "content_filter"}
each = pytest.mark.parametrize(
    ("api", "stream"), [(api, stream) for api in FILTERED for stream in (False, True)]
)


async def last(rig: ContentRig) -> dict[str, Any]:
    return await rig.settled_decision()


@each
async def test_an_address_is_back_in_text_and_not_in_a_url(
    rig: ContentRig, clients: Clients, api: str, stream: bool
) -> None:
    said: Said = await getattr(clients, api)(f"Write to {EMAIL}, see {LINK}{EMAIL} too", stream=stream)
    assert said.text.startswith(f"Write to {EMAIL}, see {LINK}[EMAIL_")
    assert said.text.endswith("] too")
    decision = await last(rig)
    assert decision["content"][0]["detector"] == "email"
    assert EMAIL not in json.dumps(decision)


@each
async def test_a_model_that_gives_a_key_away_is_cut_off(
    rig: ContentRig, clients: Clients, api: str, stream: bool
) -> None:
    said: Said = await getattr(clients, api)(backwards(f"The key is {SECRET}. Keep it."), stream=stream)
    assert said.reason == FILTERED[api]
    assert SECRET[:6] not in said.text
    assert "Keep" not in said.text
    [found] = (await last(rig))["outcome"]["content"]
    assert found == {"detector": "secret", "action": "block", "count": 1}


@each
async def test_an_account_number_does_not_get_out(
    rig: ContentRig, clients: Clients, api: str, stream: bool
) -> None:
    said: Said = await getattr(clients, api)(backwards(f"Pay {IBAN} on 10.1.2.3 please"), stream=stream)
    assert said.text.startswith("Pay [IBAN_")
    assert said.text.endswith("] on 10.1.2.3 please")
    found = {(one["detector"], one["action"]) for one in (await last(rig))["outcome"]["content"]}
    assert found == {("iban", "redact"), ("ip-address", "flag")}


async def test_many_streams_at_once_keep_their_values_apart(clients: Clients) -> None:
    async def one(number: int) -> None:
        said = await clients.chat(f"I am user{number}@mail.example, who else?", stream=True)
        assert said.text == f"I am user{number}@mail.example, who else?"

    await asyncio.gather(*(one(number) for number in range(30)))
