"""Cost of a translated stream against an untranslated one: python -m bench.translation [--out FILE].

Two hosted providers, stubs over TLS in this process: one speaks OpenAI's API, one Anthropic's. A picker and
an Envoy with one worker, each a process of its own, serve streams of 200 chunks of text, a chunk a write.
Four ways in turn, round by round, so that a machine that changes its speed changes all alike; CPU of picker
and Envoy by the kernel's scheduler, a request. Without --out the committed result,
bench/results/translation.json, is written anew.
"""

import argparse
import asyncio
import json
import os
import ssl
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from aiohttp import web
from rich.console import Console
from rich.table import Table

from bench.stack import free_port
from pilotage_api.settings import GatewaySettings
from pilotage_cli.gateway.envoy import EnvoyProcess
from pilotage_extproc.envoy.xds.bootstrap import build_bootstrap
from pilotage_extproc.server.tls import self_signed

CHUNKS = 200
ROUNDS = 12
STREAMS = 20
"""In a round, one after the other."""
_TEXT = " some text"


def _event(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


def _chunk(choices: list[dict[str, Any]], **more: Any) -> bytes:
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return f"data: {json.dumps({**head, 'choices': choices, **more})}\n\n".encode()


def openai_stream(chunks: int) -> list[bytes]:
    """A chat completion, a word an event."""
    said = _chunk([{"index": 0, "delta": {"content": _TEXT}, "finish_reason": None}])
    usage = {"prompt_tokens": 500, "completion_tokens": chunks, "total_tokens": 500 + chunks}
    ended = _chunk([{"index": 0, "delta": {}, "finish_reason": "stop"}])
    return [*[said] * chunks, ended, _chunk([], usage=usage), b"data: [DONE]\n\n"]


def anthropic_stream(chunks: int) -> list[bytes]:
    """A message, a word an event."""
    usage = {"input_tokens": 500, "output_tokens": 1}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": []}
    said = _event("content_block_delta", index=0, delta={"type": "text_delta", "text": _TEXT})
    delta = {"stop_reason": "end_turn", "stop_sequence": None}
    return [
        _event(
            "message_start", message={**message, "stop_reason": None, "stop_sequence": None, "usage": usage}
        ),
        _event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
        *[said] * chunks,
        _event("content_block_stop", index=0),
        _event("message_delta", delta=delta, usage={"output_tokens": chunks}),
        _event("message_stop"),
    ]


@dataclass
class Way:
    """A call of a client to a provider."""

    name: str
    path: str
    model: str
    end: bytes
    """What its stream must end with."""

    def body(self) -> dict[str, Any]:
        messages = [{"role": "user", "content": "word " * 400}]
        body = {"model": self.model, "max_tokens": 1000, "messages": messages, "stream": True}
        return body | (
            {"stream_options": {"include_usage": True}} if self.path.startswith("/v1/chat") else {}
        )


CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
WAYS = [
    Way("chat, untranslated", CHAT, "of-openai", b"data: [DONE]\n\n"),
    Way("chat to Anthropic", CHAT, "of-anthropic", b"data: [DONE]\n\n"),
    Way("messages, untranslated", MESSAGES, "of-anthropic", b'data: {"type": "message_stop"}\n\n'),
    Way("messages to OpenAI", MESSAGES, "of-openai", b'data: {"type":"message_stop"}\n\n'),
]


def _answering(events: list[bytes]) -> web.Application:
    async def answer(request: web.Request) -> web.StreamResponse:
        await request.read()
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for event in events:
            await response.write(event)
            await asyncio.sleep(0)
        await response.write_eof()
        return response

    application = web.Application()
    application.router.add_post("/{path:.*}", answer)
    return application


def _pool(name: str, dialect: str, port: int, certificate: str) -> dict[str, Any]:
    tls = {"caBundle": certificate}
    return {
        "apiVersion": "pilotage.dev/v1alpha1",
        "kind": "ModelPool",
        "metadata": {"name": name},
        "spec": {
            "external": {"host": "localhost", "port": port, "dialect": dialect, "tls": tls},
            "models": [{"name": name}],
        },
    }


def cpu_seconds(pid: int) -> float:
    """CPU of all threads of a process, to the nanosecond."""
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(one.read_text().split()[0]) for one in tasks) / 1e9


@dataclass
class Gateway:
    """Picker and Envoy."""

    url: str
    picker: int
    envoy: int


@asynccontextmanager
async def gateway(folder: Path) -> AsyncIterator[Gateway]:
    """Both providers, the picker and an Envoy, until the end."""
    key, certificate = self_signed("localhost")
    (folder / "certificate.pem").write_bytes(certificate)
    (folder / "key.pem").write_bytes(key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    manifests = folder / "manifests"
    manifests.mkdir()
    runners = []
    for name, dialect, events in (
        ("of-openai", "openai", openai_stream(CHUNKS)),
        ("of-anthropic", "anthropic", anthropic_stream(CHUNKS)),
    ):
        runner = web.AppRunner(_answering(events))
        await runner.setup()
        port = free_port()
        await web.TCPSite(runner, "127.0.0.1", port, ssl_context=context).start()
        runners.append(runner)
        pool = _pool(name, dialect, port, certificate.decode())
        (manifests / f"{name}.yaml").write_text(yaml.safe_dump(pool))
    settings = {"providers": {"networks": ["127.0.0.0/8", "::1/128"]}}
    kind = {"apiVersion": "pilotage.dev/v1alpha1", "kind": "GatewaySettings", "spec": settings}
    (manifests / "pilotage.yaml").write_text(yaml.safe_dump({**kind, "metadata": {"name": "gateway"}}))
    port = free_port()
    picker = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "from pilotage_cli.main import run; run()"),
        *("extproc", "-f", str(manifests), "--log-level", "error"),
        *("--extproc-listen", f"127.0.0.1:{port}", "--admin", f"127.0.0.1:{free_port()}"),
    )
    bootstrap = build_bootstrap(
        GatewaySettings.model_validate(settings),
        envoy_name="bench",
        extproc=("127.0.0.1", port),
        gateway=("127.0.0.1", 0),
        admin=("127.0.0.1", 0),
    )
    envoy = EnvoyProcess(bootstrap, concurrency=1)
    try:
        await envoy.start()
        await envoy.wait_ready()
        url = f"http://127.0.0.1:{(await envoy.listener_ports())['gateway']}"
        yield Gateway(url, picker.pid, envoy.pid)
    finally:
        await envoy.stop()
        picker.terminate()
        await picker.wait()
        for runner in runners:
            await runner.cleanup()


async def ask(session: aiohttp.ClientSession, url: str, way: Way) -> bool:
    """Whether a whole stream came."""
    async with session.post(url + way.path, json=way.body()) as answer:
        body = await answer.read()
        return answer.status == 200 and body.endswith(way.end) and body.count(_TEXT.encode()) == CHUNKS


async def measure(rounds: int) -> dict[str, dict[str, float]]:
    """CPU milliseconds a request by way: medians of the rounds."""
    found: dict[str, dict[str, list[float]]] = {way.name: {"picker_ms": [], "envoy_ms": []} for way in WAYS}
    with tempfile.TemporaryDirectory(prefix="pilotage-bench-") as folder:
        async with gateway(Path(folder)) as served, aiohttp.ClientSession() as session:
            for way in WAYS:
                async with asyncio.timeout(30):
                    while not await ask(session, served.url, way):
                        await asyncio.sleep(0.1)
            for _ in range(rounds):
                for way in WAYS:
                    before = cpu_seconds(served.picker), cpu_seconds(served.envoy)
                    for _ in range(STREAMS):
                        if not await ask(session, served.url, way):
                            raise RuntimeError(f"{way.name}: a stream was not whole")
                    after = cpu_seconds(served.picker), cpu_seconds(served.envoy)
                    found[way.name]["picker_ms"].append(1000 * (after[0] - before[0]) / STREAMS)
                    found[way.name]["envoy_ms"].append(1000 * (after[1] - before[1]) / STREAMS)
    return {
        name: {part: round(statistics.median(values), 3) for part, values in parts.items()}
        for name, parts in found.items()
    }


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "translation.json")
    arguments.add_argument("--rounds", type=int, default=ROUNDS)
    given = arguments.parse_args()
    figures = asyncio.run(measure(given.rounds))
    result = {
        "chunks": CHUNKS,
        "rounds": given.rounds,
        "streams": STREAMS,
        "cores": os.cpu_count(),
        "cpu": figures,
    }
    given.out.write_text(json.dumps(result, indent=2) + "\n")
    table = Table("stream of 200 chunks", "picker, CPU ms", "Envoy, CPU ms")
    for name, parts in figures.items():
        table.add_row(name, f"{parts['picker_ms']:.2f}", f"{parts['envoy_ms']:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
