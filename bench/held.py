"""Memory of what stays open: python -m bench.held [--streams N] [--requests N]

Streams that wait for their responses, as third-party gateways that send these keep them; and requests whose
end nobody reports, as of gateways whose streams end with the pick. Both go through the transport and the
whole request path in this process. Writes bench/results/held.json.
"""

import argparse
import asyncio
import gc
import json
import os
import time
import tracemalloc
from pathlib import Path
from typing import Any, Final

from bench.replay.sequence import Case, Replay
from bench.stack import rss_bytes

RESULTS: Final = Path(__file__).parent / "results" / "held.json"
_CASE: Final = Case("2 KB, full-duplex", 2_000, bundled=False)
_STEPS: Final = 6


async def bytes_of_an_open_stream(count: int) -> float:
    """Python's memory for each of so many streams that wait for a response."""
    replay = await Replay.of(_CASE)
    await replay.run()
    gc.collect()
    tracemalloc.start()
    await replay.open(100)
    gc.collect()
    before = tracemalloc.get_traced_memory()[0]
    await replay.open(count)
    gc.collect()
    held = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    return held / count


async def unreported(count: int) -> list[dict[str, Any]]:
    """Resident memory while so many requests come whose end is never seen, and what one takes at the end."""
    replay = await Replay.of(_CASE)
    first = await replay.run()
    samples = [_sample(0, first)]
    done = 0
    for step in range(1, _STEPS + 1):
        taken = first
        while done < count * step // _STEPS:
            taken = await replay.run()
            done += len(taken)
        samples.append(_sample(done, taken))
        print(samples[-1], flush=True)
    return samples


def _sample(done: int, taken: list[float]) -> dict[str, Any]:
    taken = sorted(taken)
    return {
        "requests": done,
        "rss_mib": round(rss_bytes(os.getpid()) / 2**20, 1),
        "median_microseconds": round(1e6 * taken[len(taken) // 2], 1),
    }


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--streams", type=int, default=10_000)
    parser.add_argument("--requests", type=int, default=300_000)
    options = parser.parse_args()
    began = time.monotonic()
    each = await bytes_of_an_open_stream(options.streams)
    print(f"{each:.0f} bytes an open stream, of {options.streams}", flush=True)
    samples = await unreported(options.requests)
    made = {"streams": options.streams, "bytes_a_stream": round(each), "unreported": samples}
    RESULTS.write_text(json.dumps(made, indent=1) + "\n")
    print(f"{time.monotonic() - began:.0f} s, written to {RESULTS}")


if __name__ == "__main__":
    asyncio.run(main())
