"""The picker's queue against none at 1.5 times capacity, over HTTP: simulated servers behind a real Envoy.

`python -m bench.queue_gateway` is `bench.queueing` in real time, stretched so that a machine with two cores
keeps up: a simulated second takes `--time-scale` real ones. It writes bench/results/queue-gateway.json, with
times in simulated seconds. The simulated servers run in a process of their own; picker and clients share one.
"""

import argparse
import asyncio
import json
import random
import string
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
import uvloop
import yaml

from bench.placement.realtime.cpu import MOST_BUSY, MachineCpu
from bench.queueing import BOUNDS, PROMPT_BYTES, SERVERS, TARGET_SECONDS, arrivals, capacity, p90
from pilotage_api.settings import GatewaySettings, ListenSettings
from pilotage_cli.gateway.standalone import Gateway
from pilotage_sim import SimCluster, SimConfig, SimSpec

RESULTS: Final = Path(__file__).parent / "results" / "queue-gateway.json"
MAX_RUNNING: Final = 16
SCRAPE_SECONDS: Final = 0.1
"""Simulated, as the times in `bench.queueing`."""
_FREE: Final = ListenSettings(gateway="127.0.0.1:0", extproc="127.0.0.1:0", admin="127.0.0.1:0")
_HEADERS: Final = {"content-type": "application/json"}
_CONTENT: Final = b'"content":"'


@dataclass(slots=True)
class Answer:
    """What became of a request; times in simulated seconds from when it was due."""

    status: int = 0
    first_token: float | None = None


async def serve(time_scale: float) -> None:
    """Simulated servers; prints their addresses as JSON and serves until the input ends."""
    config = SimConfig(("m",), max_running=MAX_RUNNING, prefix_caching=False, time_scale=time_scale)
    cluster = await SimCluster.start([SimSpec("127.0.0.1", 0, config)] * SERVERS)
    print(json.dumps([server.address for server in cluster.servers]), flush=True)
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin, ended.set)
    await ended.wait()
    await cluster.stop()


@asynccontextmanager
async def servers(time_scale: float) -> AsyncIterator[list[str]]:
    """Addresses of such servers in a process of their own."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.queue_gateway", "--serve", "--time-scale", str(time_scale)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert child.stdout is not None
    assert child.stdin is not None
    try:
        async with asyncio.timeout(60):
            addresses = json.loads(await child.stdout.readline())
        yield addresses
    finally:
        child.stdin.close()
        await child.wait()


def manifests(addresses: list[str], time_scale: float, *, queue: bool) -> str:
    """One pool and one policy, with a queue or without."""
    endpoints = [
        {"address": host, "port": int(port)} for host, _, port in (at.rpartition(":") for at in addresses)
    ]
    pool: dict[str, Any] = {"endpoints": endpoints, "models": [{"name": "m"}]}
    policy: dict[str, Any] = {"match": {"models": ["auto"]}, "rules": [{"candidates": [{"model": "m"}]}]}
    if queue:
        pool["admission"] = {"queueDepth": 1}
        wait_ms = round(BOUNDS.max_wait_seconds * time_scale * 1000)
        policy["queue"] = {"maxWait": f"{wait_ms}ms", "maxRequests": BOUNDS.max_requests}
    kinds = (("ModelPool", "bench", pool), ("RoutePolicy", "auto", policy))
    return yaml.safe_dump_all(
        {"apiVersion": "pilotage.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}
        for kind, name, spec in kinds
    )


async def run(rate: float, seconds: float, time_scale: float, seed: int, *, queue: bool) -> dict[str, Any]:
    """One run: goodput and times to the first token."""
    async with servers(time_scale) as addresses, _gateway(addresses, time_scale, queue=queue) as gateway:
        waiting = gateway.server.runtime.state.table
        longest, watching = [0.0], True

        async def watch() -> None:
            while watching:
                longest[0] = max(longest[0], float(waiting.waiting.max()))
                await asyncio.sleep(SCRAPE_SECONDS * time_scale)

        watcher, cpu = asyncio.create_task(watch()), MachineCpu()
        url = f"http://{gateway.address}/v1/chat/completions"
        answers, lateness = await _ask_all(url, rate, seconds, time_scale, seed)
        share, watching = cpu.share(), False
        await watcher
    first = [one.first_token for one in answers if one.first_token is not None]
    good = sum(one <= TARGET_SECONDS for one in first)
    return {
        "asked_per_second": round(len(answers) / seconds, 2),
        "good_per_second": round(good / seconds, 2),
        "good_share": round(good / len(answers), 3),
        "refused": sum(one.status in (429, 503) for one in answers),
        "failed": sum(one.status not in (200, 429, 503) for one in answers),
        "ttft_p90_seconds": p90(first),
        "longest_engine_queue": int(longest[0]),
        "worst_lateness_seconds": round(lateness, 3),
        "cpu_share": share,
        "too_busy": share is None or share > MOST_BUSY,
    }


@asynccontextmanager
async def _gateway(addresses: list[str], time_scale: float, *, queue: bool) -> AsyncIterator[Gateway]:
    with tempfile.TemporaryDirectory(prefix="pilotage-queue-") as folder:
        Path(folder, "all.yaml").write_text(manifests(addresses, time_scale, queue=queue))
        scrape = {"intervalSeconds": SCRAPE_SECONDS * time_scale}
        gateway = Gateway(
            Path(folder),
            GatewaySettings.model_validate({"listen": _FREE, "scrape": scrape, "drainSeconds": 1}),
            simulate=False,
            on_compiled=lambda _compiled: None,
            on_trouble=print,
        )
        await gateway.start()
        try:
            await asyncio.sleep(3 * SCRAPE_SECONDS * time_scale)
            yield gateway
        finally:
            await gateway.stop()


async def _ask_all(
    url: str, rate: float, seconds: float, time_scale: float, seed: int
) -> tuple[list[Answer], float]:
    """Each request at its time; also how late the client was at worst, in real seconds."""
    loop, draw = asyncio.get_running_loop(), random.Random(seed)
    text = "".join(draw.choices(string.ascii_letters, k=4 * PROMPT_BYTES))
    answers: list[Answer] = []
    tasks, worst, began = [], 0.0, loop.time() + 0.2
    timeout = aiohttp.ClientTimeout(total=None)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout, headers=_HEADERS) as session:
        for asked in arrivals(rate, seconds, seed):
            at = draw.randrange(2 * PROMPT_BYTES)
            body = {
                "model": "auto",
                "messages": [{"role": "user", "content": text[at : at + len(asked.prompt)]}],
                "max_tokens": asked.max_tokens,
                "stream": True,
            }
            due = began + asked.at_seconds * time_scale
            await asyncio.sleep(max(0.0, due - loop.time()))
            worst = max(worst, loop.time() - due)
            answers.append(Answer())
            one = _ask(session, url, json.dumps(body).encode(), answers[-1], due, time_scale)
            tasks.append(asyncio.create_task(one))
        await asyncio.gather(*tasks)
    return answers, worst


async def _ask(
    session: aiohttp.ClientSession, url: str, body: bytes, answer: Answer, due: float, time_scale: float
) -> None:
    loop = asyncio.get_running_loop()
    try:
        async with session.post(url, data=body) as response:
            answer.status = response.status
            async for chunk in response.content.iter_any():
                if answer.first_token is None and response.status == 200 and _CONTENT in chunk:
                    answer.first_token = (loop.time() - due) / time_scale
    except aiohttp.ClientError:
        answer.status = 0


async def measure(seconds: float, time_scale: float, seed: int) -> dict[str, Any]:
    """Both runs."""
    most = capacity(seed, MAX_RUNNING)
    runs = {
        name: await run(1.5 * most, seconds, time_scale, seed, queue=queue)
        for name, queue in (("queue", True), ("no_queue", False))
    }
    return {
        "servers": SERVERS,
        "max_running": MAX_RUNNING,
        "time_scale": time_scale,
        "seconds": seconds,
        "capacity_per_second": round(most, 2),
        "target_ttft_seconds": TARGET_SECONDS,
        "max_wait_seconds": BOUNDS.max_wait_seconds,
        "at_1.5_times_capacity": runs,
    }


def main() -> None:
    """Run both and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=40.0, help="simulated")
    parser.add_argument("--time-scale", type=float, default=2.5)
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        asyncio.run(serve(given.time_scale))
        return
    found = asyncio.run(measure(given.seconds, given.time_scale, given.seed))
    text = json.dumps(found, indent=2) + "\n"
    given.out.write_text(text)
    print(text, end="")


if __name__ == "__main__":
    uvloop.install()
    main()
