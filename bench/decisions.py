"""The time of a decision alone, by number of endpoints: python -m bench.decisions [--out FILE].

Identify, parse, match, hash the prompt, filter, score, order, record and settle, with the default
profile, in one process without gRPC and without scraping. Medians of single requests; bodies are half a
shared prefix, half their own.
"""

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.bodies import write_bodies
from bench.stack import manifest
from pilotage_api.compile import compile_resources
from pilotage_api.load import load_texts
from pilotage_api.settings import GatewaySettings
from pilotage_extproc.domain.head import RequestHead
from pilotage_extproc.domain.outcome import Outcome
from pilotage_extproc.pipeline.pipeline import Pipeline
from pilotage_extproc.request.exchange import Exchange
from pilotage_extproc.server.garbage import tune_garbage_collection
from pilotage_extproc.server.offline import offline_pipeline

COUNTS = (10, 100, 1000, 10_000)
SIZES = (2_000, 10_000, 220_000, 1_000_000)
OPEN = 16
"""Requests in flight at a time."""
MEASURED = 1000


async def pipeline_of(count: int) -> Pipeline:
    """A pipeline over so many endpoints, in pools of at most 4,000, as a pool takes no more."""
    settings = GatewaySettings()
    compiled = compile_resources(load_texts([("pool.yaml", manifest(count, 8000))]), settings)
    assert not compiled.has_errors, compiled.findings
    pipeline, _ = await offline_pipeline(compiled.snapshot, settings)
    return pipeline


async def measure(pipeline: Pipeline, bodies: list[bytes]) -> float:
    """Median microseconds of placing and settling one request."""
    head = RequestHead("POST", "/v1/chat/completions", {"content-type": "application/json"})
    waiting: list[Exchange] = []
    taken = []
    for number in range(MEASURED + 200):
        began = time.perf_counter()
        exchange = Exchange(head)
        assert await pipeline.begin(exchange) is None
        exchange.received(bodies[number % len(bodies)])
        assert await pipeline.decide(exchange) is None
        exchange.release()
        if len(waiting) == OPEN:
            ended = waiting.pop(0).decision
            pipeline.settle(Outcome(ended.id, 200, ended.targets[0].address, 1, 0.1, 0.05))
        taken.append(time.perf_counter() - began)
        waiting.append(exchange)
    return statistics.median(taken[200:]) * 1e6


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("bench/results/decisions.json"))
    options = parser.parse_args()
    table = Table(title="µs a decision, placed and settled")
    table.add_column("endpoints", justify="right")
    for size in SIZES:
        table.add_column(f"{size // 1000} KB", justify="right")
    results = []
    for count in COUNTS:
        cells = []
        for size in SIZES:
            pipeline = await pipeline_of(count)
            tune_garbage_collection()
            with tempfile.TemporaryDirectory(prefix="pilotage-bodies-") as folder:
                write_bodies(Path(folder), size, 100)
                bodies = [Path(folder, f"{index}.json").read_bytes() for index in range(100)]
            microseconds = await measure(pipeline, bodies)
            results.append({"endpoints": count, "body_bytes": size, "microseconds": microseconds})
            cells.append(f"{microseconds:.0f}")
        table.add_row(f"{count:,}", *cells)
    Console().print(table)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    asyncio.run(main())
