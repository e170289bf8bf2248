"""An open-loop client: sends each request at its time and notes when its tokens come."""

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass

import aiohttp
import orjson

from bench.placement.constants import MODEL
from bench.placement.realtime.envoy import SERVED_BY
from bench.placement.requests import Request
from pilotage_sim.virtual import Served

_USAGE = b'"usage":{'


@dataclass(slots=True)
class Sent:
    """All that was sent: what became of it in simulated seconds, and how well the client kept time."""

    served: list[Served | None]
    """By request; None where it failed."""
    worst_lateness_seconds: float
    """Of sending, in real seconds."""


async def send_all(url: str, servers: Sequence[str], requests: Sequence[Request], time_scale: float) -> Sent:
    """Send each request at its time; a simulated second takes `time_scale` real ones."""
    loop = asyncio.get_running_loop()
    sent = Sent([None] * len(requests), 0.0)
    numbers = {address: number for number, address in enumerate(servers)}
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=60)
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        tasks = []
        began = loop.time() + 0.1
        for index, request in enumerate(requests):
            raw = orjson.dumps(request.body(MODEL))
            due = began + request.at_seconds * time_scale
            if (wait := due - loop.time()) > 0:
                await asyncio.sleep(wait)
            sent.worst_lateness_seconds = max(sent.worst_lateness_seconds, loop.time() - due)
            one = _send(session, url, raw, request, began, time_scale, numbers)
            tasks.append(loop.create_task(_kept(one, sent.served, index)))
        await asyncio.gather(*tasks)
    return sent


async def _kept(one: Awaitable[Served], into: list[Served | None], index: int) -> None:
    try:
        into[index] = await one
    except (aiohttp.ClientError, TimeoutError):
        into[index] = None


async def _send(
    session: aiohttp.ClientSession,
    url: str,
    raw: bytes,
    request: Request,
    began: float,
    time_scale: float,
    numbers: dict[str, int],
) -> Served:
    loop = asyncio.get_running_loop()
    first = 0.0
    tail = b""
    async with session.post(
        f"{url}/v1/chat/completions", data=raw, headers={"content-type": "application/json"}
    ) as answer:
        answer.raise_for_status()
        server = numbers[answer.headers[SERVED_BY]]
        async for chunk in answer.content.iter_any():
            if not first:
                first = loop.time()
            tail = (tail + chunk)[-2048:]
    ended = loop.time()
    at = tail.rfind(_USAGE)
    if at < 0:
        raise aiohttp.ClientPayloadError("the answer has no usage")
    usage = orjson.loads(tail[at + len(_USAGE) - 1 : tail.index(b"}}", at) + 2])
    return Served(
        at_seconds=request.at_seconds,
        server=server,
        prompt_tokens=usage["prompt_tokens"],
        cached_tokens=usage["prompt_tokens_details"]["cached_tokens"],
        first_token_at=(first - began) / time_scale,
        finished_at=(ended - began) / time_scale,
        tokens=usage["completion_tokens"],
    )
