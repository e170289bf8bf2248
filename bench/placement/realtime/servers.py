"""Simulated servers of one run, in a process of their own.

    python -m bench.placement.realtime.servers WORKLOAD COUNT TIME_SCALE

Prints one line of JSON, the addresses, and serves until its input ends.
"""

import asyncio
import json
import sys

import uvloop

from bench.placement.constants import MODEL, PRESET
from bench.placement.shapes import adapter_names
from bench.placement.workloads import WORKLOADS
from pilotage_sim import SimCluster, SimConfig, SimSpec


async def main(name: str, count: int, time_scale: float) -> None:
    workload = WORKLOADS[name]
    config = SimConfig((MODEL,), adapter_names(workload.shape, count), preset=PRESET, time_scale=time_scale)
    cluster = await SimCluster.start([SimSpec("127.0.0.1", 0, config)] * count)
    for server, factor in workload.slow(count).items():
        cluster.servers[server].faults.slow = factor
    print(json.dumps([server.address for server in cluster.servers]), flush=True)
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin, ended.set)
    await ended.wait()
    await cluster.stop()


if __name__ == "__main__":
    uvloop.install()
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
