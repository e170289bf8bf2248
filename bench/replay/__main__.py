"""CPU of the picker a request, in process: python -m bench.replay [--only NAME] [--rounds N] [--profile].

Microseconds of one thread, the least of the rounds for each request; sockets and system calls are not in
them.
"""

import argparse
import asyncio
import cProfile
import pstats

from bench.replay.sequence import CASES, Case, Replay, least_mean


async def measure(case: Case, rounds: int) -> float:
    """Least microseconds a request."""
    replay = await Replay.of(case)
    await replay.run()
    return 1e6 * least_mean([await replay.run() for _ in range(rounds)])


async def profile(case: Case) -> None:
    """Where the time goes, by function."""
    replay = await Replay.of(case)
    for _ in range(5):
        await replay.run()
    profiler = cProfile.Profile()
    profiler.enable()
    for _ in range(20):
        await replay.run()
    profiler.disable()
    pstats.Stats(profiler).sort_stats("tottime").print_stats(60)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="cases whose name has this")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    for case in CASES:
        if options.only not in case.name:
            continue
        if options.profile:
            await profile(case)
        else:
            print(f"{case.name:32} {await measure(case, options.rounds):8.1f} µs")


if __name__ == "__main__":
    asyncio.run(main())
