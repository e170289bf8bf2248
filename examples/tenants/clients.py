"""What tenants' clients see, with both SDKs: clients.py who | limits | soft | hard | priorities.

Requires the packages `openai` and `anthropic`, and keys in the environment: SUPPORT_KEY, SEARCH_KEY,
TRIAL_KEY, LAB_KEY, BATCH_KEY.
"""

import argparse
import asyncio
import os
import time
from collections.abc import Iterable

import anthropic
import openai

MESSAGES = [{"role": "user", "content": "Why is the sky blue?"}]
LONG = [{"role": "user", "content": "word " * 1000}]


class Clients:
    """Clients of one gateway, each with the key of somebody."""

    def __init__(self, url: str) -> None:
        self._url = url

    def openai(self, key: str, retries: int = 0) -> openai.AsyncOpenAI:
        """OpenAI's; `key` names a variable of the environment, or is the key."""
        own = os.environ.get(key, key)
        return openai.AsyncOpenAI(base_url=f"{self._url}/v1", api_key=own, max_retries=retries)

    def anthropic(self, key: str, retries: int = 0) -> anthropic.AsyncAnthropic:
        """Anthropic's."""
        own = os.environ.get(key, key)
        return anthropic.AsyncAnthropic(base_url=self._url, api_key=own, max_retries=retries)


async def who(clients: Clients) -> None:
    """A team gets its model, a tenant sees what it may use, and strangers are typed errors."""
    async with clients.openai("SUPPORT_KEY") as support:
        print("acme may ask for:", ", ".join([model.id async for model in support.models.list()]))
        answer = await support.chat.completions.create(model="auto", messages=MESSAGES, max_tokens=8)
        print("support is answered by", answer.model)
        try:
            await support.chat.completions.create(model="small", messages=MESSAGES, max_tokens=8)
        except openai.NotFoundError as error:
            print("acme asks for small:", type(error).__name__, error.code)
    async with clients.openai("plt-made-up") as stranger:
        try:
            await stranger.models.list()
        except openai.AuthenticationError as error:
            print("a stranger, openai:", type(error).__name__, error.code)
    async with clients.anthropic("plt-made-up") as other:
        try:
            await other.messages.create(model="auto", messages=MESSAGES, max_tokens=8)
        except anthropic.AuthenticationError as error:
            print("a stranger, anthropic:", type(error).__name__, error.status_code)


async def limits(clients: Clients) -> None:
    """Three requests in ten seconds: the next is told when to come again, and its SDK does."""
    async with clients.openai("TRIAL_KEY") as trial:
        while True:
            try:
                raw = await trial.chat.completions.with_raw_response.create(
                    model="auto", messages=MESSAGES, max_tokens=8
                )
            except openai.RateLimitError as error:
                told = error.response.headers
                print("refused:", type(error).__name__, error.code, "retry-after", told["retry-after"])
                break
            print("served,", raw.headers["x-ratelimit-remaining-requests"], "left")
    began = time.monotonic()
    async with clients.openai("TRIAL_KEY", retries=2) as patient:
        await patient.chat.completions.create(model="auto", messages=MESSAGES, max_tokens=8)
    print(f"served after {time.monotonic() - began:.0f} s, by the SDK's own retry")


async def soft(clients: Clients) -> None:
    """A soft budget refuses nobody: when it is spent another model answers."""
    async with clients.openai("SUPPORT_KEY") as support:
        for number in range(1, 21):
            answer = await support.chat.completions.create(model="auto", messages=LONG, max_tokens=8)
            print("request", number, "is answered by", answer.model)
            if "8B" in answer.model:
                break
            await asyncio.sleep(0.5)  # what was used is booked when Envoy has logged it


async def hard(clients: Clients) -> None:
    """A hard budget is never overdrawn: what might not fit is refused before it is sent."""
    async with clients.anthropic("LAB_KEY") as lab:
        try:
            for number in range(1, 21):
                answer = await lab.messages.create(model="strong", messages=LONG, max_tokens=8)
                print("request", number, "used", answer.usage.input_tokens, "input tokens")
                await asyncio.sleep(0.5)
        except anthropic.RateLimitError as error:
            told = error.response.headers["x-should-retry"]
            print("refused:", type(error).__name__, "x-should-retry", told)
    async with clients.openai("LAB_KEY", retries=2) as other:
        try:
            await other.chat.completions.create(model="strong", messages=LONG, max_tokens=8)
        except openai.RateLimitError as error:
            retries = error.response.request.headers["x-stainless-retry-count"]
            print("refused:", error.code, "after", retries, "retries of the SDK")


async def priorities(clients: Clients) -> None:
    """Where servers are full people are served before batch work that came first."""
    async with clients.openai("BATCH_KEY") as batch, clients.openai("SEARCH_KEY") as search:

        async def first_token(client: openai.AsyncOpenAI) -> float:
            began = time.monotonic()
            stream = await client.chat.completions.create(
                model="auto", messages=MESSAGES, max_tokens=100, stream=True
            )
            async for _ in stream:
                break
            seconds = time.monotonic() - began
            async for _ in stream:
                pass
            return seconds

        waiting = [asyncio.create_task(first_token(batch)) for _ in range(40)]
        await asyncio.sleep(0.2)
        served = await asyncio.gather(*(first_token(search) for _ in range(4)))
        print("search's slowest first token", _milliseconds(served))
        print("batch's slowest first token", _milliseconds(await asyncio.gather(*waiting)))


def _milliseconds(seconds: Iterable[float]) -> str:
    return f"{max(seconds) * 1000:.0f} ms"


SHOWN = {one.__name__: one for one in (who, limits, soft, hard, priorities)}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=SHOWN)
    parser.add_argument("--url", default="http://127.0.0.1:8080")
    given = parser.parse_args()
    asyncio.run(SHOWN[given.what](Clients(given.url)))
