"""What scraping costs while nothing else happens: python -m bench.scraping [--seconds S] [--out FILE].

CPU of the real picker with no requests, over endpoints that serve a real vLLM's 52 KB page, against the
same picker whose endpoints have no metrics at all.
"""

import argparse
import asyncio
import json
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.stack import PILOTAGE, Stack, cpu_seconds

COUNTS = (10, 100, 1000)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--out", type=Path, default=Path("bench/results/scraping.json"))
    options = parser.parse_args()
    table = Table(title="the picker while idle")
    for heading in ("endpoints", "interval in force", "scrapes/s", "cores", "of it scraping"):
        table.add_column(heading, justify="right")
    results = []
    for count in COUNTS:
        cores = {}
        interval = 0.0
        for engine in ("openai", "vllm"):
            async with Stack(PILOTAGE, count, real_page=True, engine=engine) as stack:
                await asyncio.sleep(2)
                before = cpu_seconds(stack.picker.pid)
                await asyncio.sleep(options.seconds)
                cores[engine] = (cpu_seconds(stack.picker.pid) - before) / options.seconds
                if engine == "vllm":
                    interval = await stack.scrape_interval("idle") or 0.0
        scraping = cores["vllm"] - cores["openai"]
        results.append(
            {
                "endpoints": count,
                "interval_seconds": interval,
                "cores": cores["vllm"],
                "scraping_cores": scraping,
            }
        )
        table.add_row(
            f"{count:,}",
            f"{interval * 1000:.0f} ms",
            f"{count / interval:.0f}",
            f"{cores['vllm']:.3f}",
            f"{scraping:.3f}",
        )
    Console().print(table)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    asyncio.run(main())
