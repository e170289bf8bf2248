"""Memory of an open exchange: what a request holds from its pick to its end, without the decision log.

`python -m bench.open_exchanges` writes bench/results/open-exchanges.json.
"""

import argparse
import asyncio
import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import orjson

from pilotage_api.settings import GatewaySettings
from pilotage_api.snapshot import (
    Binding,
    EndpointSnapshot,
    Engine,
    NameKind,
    PoolSnapshot,
    RoutingSnapshot,
    StreamUsage,
)
from pilotage_extproc.domain.head import RequestHead
from pilotage_extproc.domain.outcome import Outcome
from pilotage_extproc.request.exchange import Exchange
from pilotage_extproc.server.offline import offline_pipeline

OPEN: Final = 10_000
PROMPT_BYTES: Final = (2_000, 220_000)
ENDPOINTS: Final = 10
RESULTS: Final = Path(__file__).parent / "results" / "open-exchanges.json"
_PROMPTS: Final = 10
"""Different ones, so that what the prefix index learns of them stays small beside the exchanges."""
_LOG_BYTES: Final = 1 << 16
"""The smallest decision log: full long before the first figure is taken."""
_WARM: Final = 200
MOST_BYTES: Final = 4096
"""What an open exchange may hold."""


async def bytes_of_an_open_exchange(prompt_bytes: int, count: int = OPEN) -> float:
    """Python's memory for each of so many exchanges that have been placed and wait for their outcome."""
    settings = GatewaySettings(decision_history_bytes=_LOG_BYTES)
    pipeline, state = await offline_pipeline(_snapshot(), settings)
    bodies = _bodies(prompt_bytes)

    async def open_one() -> str:
        headers = {"content-type": "application/json", "x-request-id": "bench"}
        exchange = Exchange(RequestHead("POST", "/v1/chat/completions", headers, envoy="bench"))
        if await pipeline.begin(exchange) is not None:
            raise RuntimeError("the bench's request was answered")
        exchange.received(next(bodies))
        if await pipeline.decide(exchange) is not None:
            raise RuntimeError("the bench's request was answered")
        exchange.release()
        return exchange.decision.id

    tracemalloc.start()  # before the warm-up: what shared state replaces later was counted then
    for _ in range(_WARM):
        pipeline.settle(Outcome(await open_one(), 200, "10.0.0.1:8000", 1, 1.0, 0.1))
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(count):
        await open_one()
    held = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    if len(state.ledger) != count:
        raise RuntimeError(f"{len(state.ledger)} exchanges are open, not {count}")
    return held / count


def _bodies(prompt_bytes: int) -> Iterator[bytes]:
    """Chats of that size, each in memory of its own."""
    number = 0
    while True:
        text = f"{number % _PROMPTS} " + "All happy families are alike. " * (prompt_bytes // 30)
        messages = [{"role": "user", "content": text[:prompt_bytes]}]
        yield orjson.dumps({"model": "alias", "messages": messages, "stream": True})
        number += 1


def _snapshot() -> RoutingSnapshot:
    pool = PoolSnapshot(
        key="bench/pool",
        engine=Engine.VLLM,
        endpoints=tuple(EndpointSnapshot(address=f"10.0.0.{one + 1}", port=8000) for one in range(ENDPOINTS)),
        stream_usage=StreamUsage.INJECT,
        models=("model",),
    )
    names: dict[str, tuple[Binding, ...]] = {
        "alias": (Binding(pool=pool.key, upstream_model="model", kind=NameKind.MODEL),)
    }
    return RoutingSnapshot(pools=(pool,), names=names).sealed()


def main() -> None:
    """Measure, show and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    figures = {size: asyncio.run(bytes_of_an_open_exchange(size)) for size in PROMPT_BYTES}
    for size, held in figures.items():
        print(f"{size:>8} bytes of prompt: {held:,.0f} bytes an open exchange, {OPEN:,} open")
    report = {
        "open": OPEN,
        "endpoints": ENDPOINTS,
        "bytes_by_prompt_bytes": {str(size): round(held) for size, held in figures.items()},
    }
    options.out.write_text(json.dumps(report, indent=1) + "\n")
    if max(figures.values()) > MOST_BYTES:
        raise SystemExit(f"an open exchange may hold {MOST_BYTES:,} bytes")


if __name__ == "__main__":
    main()
