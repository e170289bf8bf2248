"""How long a body holds up other requests, by size: python -m bench.delays [--out FILE].

The longest time the event loop was away while one body was placed; worst of several, in one process
without Envoy. Bodies above LARGE_BODY_BYTES are placed in steps. Without --out the committed result,
bench/results/delays.json, is written anew.
"""

import argparse
import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from pilotage_api.compile import compile_resources
from pilotage_api.load import load_texts
from pilotage_api.settings import GatewaySettings
from pilotage_extproc.domain.head import RequestHead
from pilotage_extproc.domain.outcome import Outcome
from pilotage_extproc.domain.refusals import RequestRefused
from pilotage_extproc.pipeline.pipeline import Pipeline
from pilotage_extproc.request.exchange import Exchange
from pilotage_extproc.server.garbage import tune_garbage_collection
from pilotage_extproc.server.offline import offline_pipeline

SIZES = (10_000, 100_000, 1 << 20, 8 << 20, 16 << 20, 31 << 20)
REPEATS = 5
_HEAD = b'{"model":"small","messages":[{"role":"user","content":"'


def chat(size: int) -> bytes:
    """One long message."""
    return _HEAD + (b"lorem ipsum dolor, " * (size // 19 + 1))[: size - len(_HEAD) - 4] + b'"}]}'


def structure(size: int) -> bytes:
    """Nothing but brackets and commas: what is refused unparsed."""
    return b'{"model":"small","messages":[' + b"[]," * ((size - 40) // 3) + b"[]]}"


def just_let_through(size: int) -> bytes:
    """As many brackets as pass the bound, and a long string."""
    count = min((size - 100) // 3, 66_000)
    return b'{"model":"small","messages":[%b"%b"]}' % (b"[]," * count, b"x" * (size - 3 * count - 40))


def distinct_keys(size: int) -> bytes:
    """As many different members as pass the bound, their names as long as the body allows."""
    count = min(size // 30, 66_000)
    name = b"k" * (size // count - 12)
    return b'{%b,"model":"small","messages":[{"role":"user","content":"x"}]}' % b",".join(
        b'"%b%d":0' % (name, number) for number in range(count)
    )


def truncated(size: int) -> bytes:
    """A chat that stops before its end."""
    return chat(size)[:-3]


_MANIFEST = """\
apiVersion: pilotage.dev/v1alpha1
kind: ModelPool
metadata: {name: small}
spec: {endpoints: [{address: 10.0.0.1, port: 8000}], models: [{name: llama-8b, aliases: [small]}]}
"""
KINDS: dict[str, Callable[[int], bytes]] = {
    "one long message": chat,
    "brackets, too many": structure,
    "brackets, just let through": just_let_through,
    "distinct keys, just let through": distinct_keys,
    "cut off": truncated,
}


async def longest_delay_seconds(pipeline: Pipeline, body: bytes) -> float:
    """Of other work, while the body is placed."""
    worst, done = 0.0, False

    async def watch() -> None:
        nonlocal worst
        while not done:
            began = time.perf_counter()
            await asyncio.sleep(0)
            worst = max(worst, time.perf_counter() - began)

    watching = asyncio.create_task(watch())
    await asyncio.sleep(0)
    head = RequestHead("POST", "/v1/chat/completions", {"content-type": "application/json"})
    exchange = Exchange(head)
    try:
        assert await pipeline.begin(exchange) is None
        exchange.received(body)
        assert await pipeline.decide(exchange) is None
    except RequestRefused:
        pass
    pipeline.abandon(exchange, Outcome.abandoned())
    await asyncio.sleep(0)
    done = True
    await watching
    return worst


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("bench/results/delays.json"))
    options = parser.parse_args()
    settings = GatewaySettings()
    compiled = compile_resources(load_texts([("pool.yaml", _MANIFEST)]), settings)
    pipeline, _ = await offline_pipeline(compiled.snapshot, settings)
    tune_garbage_collection()
    table = Table(title="longest delay of others in ms")
    results: list[dict[str, object]] = []
    for heading in ("body bytes", *KINDS):
        table.add_column(heading, justify="right")
    for size in SIZES:
        cells = []
        for kind, make in KINDS.items():
            body = make(size)
            delays = [await longest_delay_seconds(pipeline, body) for _ in range(REPEATS)]
            results.append({"kind": kind, "body_bytes": size, "delay_seconds": delays})
            cells.append(f"{max(delays) * 1000:.1f}")
        table.add_row(f"{size:,}", *cells)
    Console().print(table)
    options.out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    asyncio.run(main())
