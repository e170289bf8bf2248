"""Picks whose failed attempts lead on for listed reasons, and servers that fail in every way there is."""

import asyncio
from collections.abc import Iterable, Mapping

from envoy.service.ext_proc.v3 import external_processor_pb2 as ext_proc_pb2
from envoy_rig import Answer, Received, ScriptedPick, chunk, fixed, pick, stream_head

from pilotage_api.fallback import FallbackReason
from pilotage_extproc.envoy.contract import FLAG, OWN_ROUTE, READ_OVERFLOW
from pilotage_extproc.envoy.ext_proc.retry_headers import RetryHeaders, RouterLimits

EVENT = b'data: {"choices":[{"delta":{"content":"hi"}}]}\n\n'
ROLE = b'data: {"choices":[{"delta":{"role":"assistant","content":""}}]}\n\n'
ERROR_EVENT = b'data: {"error":{"message":"overloaded","type":"overloaded_error","code":529}}\n\n'
GOOD = fixed(200, b'{"choices":[]}')


def limited(
    *addresses: str,
    reasons: Iterable[str] | None = (),
    attempt_ms: int | None = None,
    total_ms: int | None = None,
    idle_seconds: float | None = None,
    **options: object,
) -> ScriptedPick:
    """A pick as the picker makes it for a rule with these reasons and times; None is no own reasons."""
    listed = None if reasons is None else frozenset(map(FallbackReason, reasons))
    limits = RouterLimits(listed, attempt_ms, total_ms, idle_seconds)
    written = RetryHeaders().written(limits)
    mutation = ext_proc_pb2.HeaderMutation.FromString(written)
    headers = {one.header.key: one.header.raw_value.decode() for one in mutation.set_headers}
    more = {} if limits.route is None else {OWN_ROUTE: limits.route}
    more |= {READ_OVERFLOW: FLAG} if limits.reads_overflow else {}
    return pick(*addresses, headers=headers, more=more, **options)


def status(code: int, headers: Mapping[str, str] | None = None, body: bytes = b'{"error":{}}') -> Answer:
    """An error as servers answer it."""

    async def answer(_request: Received, writer: asyncio.StreamWriter) -> None:
        lines = {"content-type": "application/json", "content-length": str(len(body)), **(headers or {})}
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        writer.write(f"HTTP/1.1 {code} X\r\n{head}\r\n".encode() + body)

    return answer


async def resets(_request: Received, writer: asyncio.StreamWriter) -> None:
    """Breaks off before any answer."""
    writer.transport.abort()


async def breaks_off_queued(_request: Received, writer: asyncio.StreamWriter) -> None:
    """Sends the headers of a stream, then breaks off."""
    writer.write(stream_head())
    await writer.drain()
    await asyncio.sleep(0.02)
    writer.transport.abort()


def stalls(*said: bytes, seconds: float = 30.0) -> Answer:
    """Sends the headers of a stream and these pieces of it, then nothing for a while, and breaks off."""

    async def answer(_request: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(stream_head() + b"".join(map(chunk, said)))
        await writer.drain()
        await asyncio.sleep(seconds)
        writer.transport.abort()

    return answer


async def silent(_request: Received, _writer: asyncio.StreamWriter) -> None:
    """Says nothing at all."""
    await asyncio.sleep(30)
