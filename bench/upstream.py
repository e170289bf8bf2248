"""A model server that answers at once, so that it is never what is measured.

    python -m bench.upstream PORT COUNT [--chunks N] [--page FILE]

Listens on 127.0.0.1 and up, COUNT addresses, one port. With chunks a stream of so many events; with a
page that one as its metrics, else a short one.
"""

import argparse
import asyncio
import ipaddress
from pathlib import Path

import orjson
import uvloop

_USAGE = b'"usage":{"prompt_tokens":500,"total_tokens":516,"completion_tokens":16}'
_HEAD = b'{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,'
_ANSWER = _HEAD + b'"message":{"role":"assistant","content":"ok"},"finish_reason":"stop"}],' + _USAGE + b"}"
_METRICS = (
    b"".join(
        b'# TYPE vllm:%b gauge\nvllm:%b{engine="0",model_name="m"} %b\n' % (name, name, value)
        for name, value in ((b"num_requests_running", b"1.0"), (b"num_requests_waiting", b"0.0"))
    )
    + b'vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.1\n'
)


def addresses(count: int) -> list[str]:
    """So many loopback addresses."""
    first = int(ipaddress.ip_address("127.0.0.1"))
    return [str(ipaddress.ip_address(first + index)) for index in range(count)]


def http(body: bytes, content_type: bytes) -> bytes:
    """A whole answer."""
    head = b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\ncontent-length: %d\r\n\r\n" % (content_type, len(body))
    return head + body


def stream(chunks: int) -> list[bytes]:
    """A stream's head and chunks, usage last."""
    delta = b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m","choices":['
    delta += b'{"index":0,'
    token = delta + b'"delta":{"content":" ok"},"finish_reason":null}]}\n\n'
    last = b'data: {"id":"chatcmpl-1","choices":[],' + _USAGE + b"}\n\ndata: [DONE]\n\n"
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    return [head, *(b"%x\r\n%b\r\n" % (len(one), one) for one in [*[token] * chunks, last]), b"0\r\n\r\n"]


class Connection(asyncio.Protocol):
    """Reads a request's length, answers when all of it is there."""

    def __init__(self, parts: list[bytes], page: bytes) -> None:
        self._parts = parts
        self._page = page
        self._left = 0
        self._metrics = False
        self._head = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        if self._left == 0:
            data = self._head + data
            end = data.find(b"\r\n\r\n")
            if end < 0:
                self._head = data
                return
            self._head = b""
            head = data[:end].lower()
            at = head.find(b"content-length:")
            length = int(head[at + 15 :].partition(b"\r\n")[0]) if at >= 0 else 0
            self._metrics = head.startswith(b"get /metrics")
            self._left = length - (len(data) - end - 4)
        else:
            self._left -= len(data)
        if self._left <= 0:
            self._left = 0
            self._answer()

    def _answer(self) -> None:
        if self._metrics:
            self._transport.write(self._page)
        elif len(self._parts) == 1:
            self._transport.write(self._parts[0])
        else:
            # one write a chunk, as an engine's steps give them
            for part in self._parts:
                self._transport.write(part)


async def main(options: argparse.Namespace) -> None:
    parts = stream(options.chunks) if options.chunks else [http(_ANSWER, b"application/json")]
    assert orjson.loads(_ANSWER)
    page = http(options.page.read_bytes() if options.page else _METRICS, b"text/plain")
    loop = asyncio.get_running_loop()
    await loop.create_server(
        lambda: Connection(parts, page), addresses(options.count), options.port, backlog=1024
    )
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.install()
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("count", type=int)
    parser.add_argument("--chunks", type=int, default=0)
    parser.add_argument("--page", type=Path)
    asyncio.run(main(parser.parse_args()))
