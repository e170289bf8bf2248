"""A hosted provider over TLS: OpenAI's answers from a script, and every request it got.

`script` is consumed one answer a request; when it is empty the provider answers `otherwise`: 200 with `TEXT`.
Each answer is a `scripted_server.Answer`, so a test may also write its own bytes, stall, or reset.
"""

import asyncio
import json
import ssl
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from certificates import Authority
from scripted_server import Answer, ModelServer, Received, chunk, fixed, stream_head

HOST = "provider.example"
"""The name that certificates of stubs are for, unless a test says otherwise."""
TEXT = "the provider's answer"
USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}


class ProviderStub:
    """One provider; `start` it, then `address` is `127.0.0.1:PORT` and `port` the port."""

    def __init__(
        self, authority: Authority, *, hosts: Sequence[str] = (HOST,), expired: bool = False
    ) -> None:
        """Its certificate is for `hosts`, issued by `authority`."""
        self.script: list[Answer] = []
        self.otherwise: Answer = answered()
        """What it answers when the script is empty."""
        self.authority = authority
        self._hosts = hosts
        self._expired = expired
        self._server = ModelServer(self._answer)

    @property
    def received(self) -> list[Received]:
        """Its requests so far, in order."""
        return self._server.received

    @property
    def address(self) -> str:
        """Where it listens."""
        return self._server.address

    @property
    def port(self) -> int:
        """Where it listens, on 127.0.0.1."""
        return int(self.address.rpartition(":")[2])

    async def start(self, folder: Path, *, client_authority: Authority | None = None) -> None:
        """Listen; `folder` takes its key for a moment. With `client_authority` clients need a certificate."""
        since = timedelta(days=-2) if self._expired else None
        lifetime = timedelta(days=1)
        issued = self.authority.issue("provider", "stubs", lifetime, hosts=self._hosts, valid_from=since)
        await self._server.start(tls=server_context(folder, issued, client_authority))

    async def stop(self) -> None:
        """Stop listening."""
        await self._server.stop()

    async def _answer(self, request: Received, writer: asyncio.StreamWriter) -> None:
        answer = self.script.pop(0) if self.script else self.otherwise
        await answer(request, writer)


def server_context(
    folder: Path, issued: tuple[str, str], client_authority: Authority | None = None
) -> ssl.SSLContext:
    """TLS of a server with this certificate and key, PEM."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate, key = folder / "stub-certificate.pem", folder / "stub-key.pem"
    certificate.write_text(issued[0])
    key.write_text(issued[1])
    context.load_cert_chain(certificate, key)
    key.unlink()
    if client_authority is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=client_authority.certificate)
    return context


def answered(text: str = TEXT, usage: dict[str, Any] | None = None) -> Answer:
    """A chat answer, as a stream of one chunk a word where the request asks for one."""

    async def answer(request: Received, writer: asyncio.StreamWriter) -> None:
        asked = json.loads(request.body) if request.body else {}
        counted = USAGE if usage is None else usage
        if not asked.get("stream"):
            await fixed(200, json.dumps(completion(asked.get("model", ""), text, counted)).encode())(
                request, writer
            )
            return
        writer.write(stream_head())
        for event in stream_events(asked.get("model", ""), text):
            writer.write(chunk(sse(event)))
        if asked.get("stream_options", {}).get("include_usage"):
            writer.write(chunk(sse({**_chunk(asked.get("model", "")), "choices": [], "usage": counted})))
        writer.write(chunk(b"data: [DONE]\n\n") + chunk(b""))

    return answer


def refused(status: int, code: str = "error", message: str = "refused", **headers: str) -> Answer:
    """An error object as OpenAI has it; keywords are further headers, `_` for `-`."""
    body = json.dumps({"error": {"message": message, "type": code, "param": None, "code": code}}).encode()
    return raw(status, body, "application/json", **headers)


def raw(status: int, body: bytes, content_type: str = "text/html", **headers: str) -> Answer:
    """Any answer; keywords are further headers, `_` for `-`."""

    async def answer(_request: Received, writer: asyncio.StreamWriter) -> None:
        lines = [f"HTTP/1.1 {status} X", f"content-type: {content_type}", f"content-length: {len(body)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    return answer


def reset(after: bytes = b"") -> Answer:
    """Bytes, and then the connection is reset."""

    async def answer(_request: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(after)
        await writer.drain()
        writer.transport.abort()

    return answer


def stalled(after: bytes = b"") -> Answer:
    """Bytes, and then nothing until the other side leaves."""

    async def answer(_request: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(after)
        await writer.drain()
        while not writer.transport.is_closing():
            await asyncio.sleep(0.02)

    return answer


def sse(event: object) -> bytes:
    """One event of a stream."""
    return b"data: " + json.dumps(event).encode() + b"\n\n"


def completion(model: str, text: str, usage: dict[str, Any]) -> dict[str, Any]:
    """An unstreamed chat answer."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": model,
        "choices": [choice],
        "usage": usage,
    }


def stream_events(model: str, text: str) -> list[dict[str, Any]]:
    """The events of a streamed chat answer, without usage and end."""
    words = [word if at == 0 else f" {word}" for at, word in enumerate(text.split(" "))]
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": word} for word in words]
    events = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
    events.append({"index": 0, "delta": {}, "finish_reason": "stop"})
    return [{**_chunk(model), "choices": [event]} for event in events]


def _chunk(model: str) -> dict[str, Any]:
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": model}
