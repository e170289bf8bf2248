"""A server of HTTP/1.1 that answers each request as told, byte for byte, and keeps what it got."""

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass


@dataclass
class Received:
    """A request as a model server got it."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def model(self) -> str:
        return str(json.loads(self.body)["model"])


Answer = Callable[[Received, asyncio.StreamWriter], Awaitable[None]]


def fixed(status: int, body: bytes, content_type: str = "application/json") -> Answer:
    """An unstreamed answer."""

    async def answer(_request: Received, writer: asyncio.StreamWriter) -> None:
        head = f"HTTP/1.1 {status} X\r\ncontent-type: {content_type}\r\ncontent-length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)

    return answer


def stream_head(content_type: str = "text/event-stream; charset=utf-8") -> bytes:
    """Headers of a chunked answer, as model servers send them before the first token."""
    return f"HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ntransfer-encoding: chunked\r\n\r\n".encode()


def chunk(data: bytes) -> bytes:
    """One HTTP/1.1 chunk; of no data it is the last."""
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


class ModelServer:
    """Answers each request as told, byte for byte, and keeps what it got."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.received: list[Received] = []
        self.address = ""
        self._server: asyncio.Server | None = None

    async def start(self, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> None:
        """With `tls` it speaks HTTP/1.1 over TLS."""
        self._server = await asyncio.start_server(self._serve, host, 0, limit=64 << 20, ssl=tls)
        port = self._server.sockets[0].getsockname()[1]
        self.address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                request = await _read_request(reader)
                self.received.append(request)
                await self.answer(request, writer)
                await writer.drain()
                if writer.transport.is_closing():
                    break
        writer.close()

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()


async def _read_request(reader: asyncio.StreamReader) -> Received:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    first, *lines = head.rstrip("\r\n").split("\r\n")
    method, path, _ = first.split(" ")
    headers = {}
    for line in lines:
        key, _, value = line.partition(":")
        headers[key.lower()] = value.strip(" \t")
    body = b""
    if "chunked" in headers.get("transfer-encoding", ""):
        while size := int((await reader.readline()).strip(), 16):
            body += await reader.readexactly(size)
            await reader.readline()
        await reader.readline()
    else:
        body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Received(method, path, headers, body)
