"""Chats of both SDKs, streamed and not: who answered, and what clients saw of failures.

Requires the packages `openai` and `anthropic`. Exits with 1 if a client saw an error before an answer had
begun.
"""

import argparse
import asyncio
import json
import signal
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import anthropic
import openai

MESSAGES = [{"role": "user", "content": "Why is the sky blue?"}]
MODEL, LONGEST = "auto", 24


@dataclass
class Seen:
    """What clients saw."""

    answers: Counter[str] = field(default_factory=Counter)
    """By the model that answered."""
    cut: int = 0
    """Streams that ended early, after their first content: nothing can be tried again then."""
    failed: list[str] = field(default_factory=list)

    @property
    def total(self) -> int:
        """All chats that have ended."""
        return self.answers.total() + self.cut + len(self.failed)


class Began(Exception):
    """An answer had begun when this happened."""


class Clients:
    """One client of each SDK. They do not retry: that is the gateway's part here."""

    def __init__(self, url: str) -> None:
        self.openai = openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
        self.anthropic = anthropic.AsyncAnthropic(base_url=url, api_key="none", max_retries=0)

    async def chat(self) -> str:
        """The model that answered."""
        answer = await self.openai.chat.completions.create(model=MODEL, messages=MESSAGES, max_tokens=LONGEST)
        if not answer.choices[0].message.content:
            raise ValueError("an answer without content")
        return answer.model

    async def chat_stream(self) -> str:
        """The same, streamed."""
        said, model, ended = "", "", False
        try:
            stream = await self.openai.chat.completions.create(
                model=MODEL, messages=MESSAGES, max_tokens=LONGEST, stream=True
            )
            async for chunk in stream:
                model = chunk.model
                for choice in chunk.choices:
                    said += choice.delta.content or ""
                    ended = ended or choice.finish_reason is not None
            return whole(model, said, ended)
        except Exception as error:
            raise (Began(str(error)) if said else error) from error

    async def message(self) -> str:
        """The model that answered."""
        answer = await self.anthropic.messages.create(model=MODEL, messages=MESSAGES, max_tokens=LONGEST)
        if not answer.content:
            raise ValueError("an answer without content")
        return answer.model

    async def message_stream(self) -> str:
        """The same, streamed."""
        said, model, ended = "", "", False
        try:
            async with self.anthropic.messages.stream(
                model=MODEL, messages=MESSAGES, max_tokens=LONGEST
            ) as stream:
                async for event in stream:
                    if event.type == "message_start":
                        model = event.message.model
                    elif event.type == "text":
                        said += event.text
                    elif event.type == "message_stop":
                        ended = True
            return whole(model, said, ended)
        except Exception as error:
            raise (Began(str(error)) if said else error) from error

    async def close(self) -> None:
        """Close both."""
        await self.openai.close()
        await self.anthropic.close()


def whole(model: str, said: str, ended: bool) -> str:
    """The model, if its stream has an end and says something."""
    if not (said and ended):
        raise ValueError("a stream that ended early")
    return model


async def keep_asking(ask: Callable[[], Awaitable[str]], over: asyncio.Event, seen: Seen) -> None:
    """One chat after the other."""
    while not over.is_set():
        try:
            seen.answers[await ask()] += 1
        except Began:
            seen.cut += 1
        except Exception as error:  # noqa: BLE001 - whatever a client may see is counted
            seen.failed.append(f"{ask.__name__}: {type(error).__name__}: {error}")
        await asyncio.sleep(0.01)


async def load(url: str, clients: int, seconds: float) -> Seen:
    """So many clients of each kind, for so many seconds or until SIGTERM; prints what they see."""
    seen, asked, over = Seen(), Clients(url), asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, over.set)
    loop.call_later(seconds, over.set)
    kinds = (asked.chat, asked.chat_stream, asked.message, asked.message_stream)
    asking = [asyncio.create_task(keep_asking(kind, over, seen)) for kind in kinds for _ in range(clients)]
    while not all(task.done() for task in asking):
        before = seen.answers.copy()
        await asyncio.wait(asking, timeout=1)
        last = {model: count - before[model] for model, count in seen.answers.items()}
        print(json.dumps({"answers": last, "cut": seen.cut, "failed": len(seen.failed)}), flush=True)
    await asked.close()
    return seen


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default="http://127.0.0.1:8080")
    parser.add_argument("--clients", type=int, default=2, help="of each of the four kinds")
    parser.add_argument("--seconds", type=float, default=60)
    options = parser.parse_args()
    seen = asyncio.run(load(options.url, options.clients, options.seconds))
    print(f"{seen.total} chats; by model {dict(seen.answers)}; {seen.cut} cut after they had begun")
    for error in seen.failed[:10]:
        print(f"failed: {error}")
    raise SystemExit(1 if seen.failed else 0)


if __name__ == "__main__":
    main()
