"""What a fallback costs while it is not used, and how fast it takes over when the servers of a pool die.

`python -m bench.fallback` starts one gateway with simulated servers and writes bench/results/fallback.json.
The cost is a ratio of throughput in one run, in turns of a few seconds. The clients run in the same process,
so a ratio near 1 is also their doing: `decision_ratio` compares the decision alone.
"""

import argparse
import asyncio
import json
import socket
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final

import aiohttp
import yaml

from pilotage_api.settings import GatewaySettings, ListenSettings
from pilotage_cli.gateway.standalone import Gateway
from pilotage_extproc.domain.head import RequestHead

RESULTS: Final = Path(__file__).parent / "results" / "fallback.json"
AIM_RATIO: Final = 0.97
AIM_SECONDS: Final = 1.0
REASONS: Final = (
    *("unavailable", "unhealthy", "saturated"),
    *("connect", "serverError", "rateLimited", "firstToken"),
)
CLIENTS: Final = 16
STREAMS: Final = 24
CONTENT: Final = b'"content":"'
_HEADERS: Final = {"content-type": "application/json"}
_FREE: Final = ListenSettings(gateway="127.0.0.1:0", extproc="127.0.0.1:0", admin="127.0.0.1:0")


def free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(one.getsockname()[1]) for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _manifests(ports: list[int]) -> str:
    def pool(name: str, places: list[int]) -> dict[str, Any]:
        endpoints = [{"address": "127.0.0.1", "port": port} for port in places]
        spec = {"endpoints": endpoints, "models": [{"name": name}]}
        return {
            "apiVersion": "pilotage.dev/v1alpha1",
            "kind": "ModelPool",
            "metadata": {"name": name},
            "spec": spec,
        }

    def policy(name: str, rule: dict[str, Any]) -> dict[str, Any]:
        return {
            "apiVersion": "pilotage.dev/v1alpha1",
            "kind": "RoutePolicy",
            "metadata": {"name": name},
            "spec": {"match": {"models": [name]}, "rules": [{"candidates": [{"model": "first"}], **rule}]},
        }

    fallback = {"reasons": list(REASONS), "to": [{"model": "spare"}]}
    guarded = {"fallback": fallback, "timeouts": {"firstToken": "10s"}}
    parts = [
        pool("first", ports[:3]),
        pool("spare", ports[3:]),
        policy("plain", {}),
        policy("guarded", guarded),
    ]
    return yaml.safe_dump_all(parts)


def _body(model: str, *, stream: bool = False) -> bytes:
    said = {"model": model, "messages": [{"role": "user", "content": "hello " * 50}], "max_tokens": 8}
    return json.dumps({**said, "stream": stream}).encode()


async def throughput(url: str, seconds: float, rounds: int) -> dict[str, list[float]]:
    """Requests a second by policy, one figure a round; the policies take turns."""
    found: dict[str, list[float]] = {"plain": [], "guarded": []}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), headers=_HEADERS) as session:
        for number in range(2 * rounds + 2):
            model = ("plain", "guarded")[(number + number // 2) % 2]  # a, b, b, a: drift favours neither
            until, count = time.monotonic() + seconds, [0]

            async def client(model: str = model, until: float = until, count: list[int] = count) -> None:
                while time.monotonic() < until:
                    async with session.post(url, data=_body(model)) as answer:
                        await answer.read()
                        answer.raise_for_status()
                        count[0] += 1

            await asyncio.gather(*(client() for _ in range(CLIENTS)))
            if number >= 2:  # the first two warm up
                found[model].append(count[0] / seconds)
    return found


async def decision_ratio(gateway: Gateway, rounds: int = 40, each: int = 50) -> float:
    """Time of a decision without a fallback, over time with one that is not used; median of rounds."""
    pipeline, headers = gateway.server.runtime.deciding.pipeline, {"content-type": "application/json"}
    ratios = []
    for _ in range(rounds):
        taken = {}
        for model in ("plain", "guarded"):
            body, began = _body(model), time.perf_counter()
            for _ in range(each):
                await pipeline.consider(RequestHead("POST", "/v1/chat/completions", headers, envoy="b"), body)
            taken[model] = time.perf_counter() - began
        ratios.append(taken["plain"] / taken["guarded"])
    return median(ratios)


@dataclass
class Switching:
    """Streams around the death of a pool."""

    began: float = field(default_factory=time.monotonic)
    waiting: dict[int, float] = field(default_factory=dict)
    """When each stream that has no content yet was asked for."""
    seconds: list[float] = field(default_factory=list)
    """From the death, or from the request where that came later, to the first content."""
    failed_without_content: int = 0
    cut: int = 0
    died_at: float | None = None


async def switching(gateway: Gateway, url: str) -> Switching:
    """Kill all servers of the first pool under streams, and watch those without a content byte."""
    seen, simulated = Switching(), gateway.simulated
    if simulated is None:
        raise RuntimeError("the servers are simulated")
    victims = [server for server in simulated.cluster.servers if "first" in server.models]
    done = asyncio.Event()

    async def client(session: aiohttp.ClientSession, number: int) -> None:
        while not done.is_set():
            asked, content = time.monotonic(), False
            try:
                async with session.post(url, data=_body("guarded", stream=True)) as answer:
                    async for data in answer.content.iter_any():
                        if not content and answer.status == 200 and CONTENT in data:
                            content = True
                            if seen.died_at is not None:
                                seen.seconds.append(time.monotonic() - max(asked, seen.died_at))
            except aiohttp.ClientError:
                seen.cut += content
            if not content:
                seen.failed_without_content += 1
            await asyncio.sleep(0.005 * (number % 5))

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), headers=_HEADERS) as session:
        clients = [asyncio.create_task(client(session, number)) for number in range(STREAMS)]
        await asyncio.sleep(3)
        seen.died_at = time.monotonic()
        await asyncio.gather(*(server.kill() for server in victims))
        await asyncio.sleep(4)
        done.set()
        await asyncio.gather(*clients)
    return seen


async def measure(seconds: float, rounds: int) -> dict[str, Any]:
    """All figures."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "all.yaml").write_text(_manifests(free_ports(5)))
        settings = GatewaySettings(listen=_FREE)
        gateway = Gateway(
            Path(folder),
            settings,
            simulate=True,
            sim_time_scale=0.05,
            on_compiled=lambda _compiled: None,
            on_trouble=print,
        )
        await gateway.start()
        try:
            url = f"http://{gateway.address}/v1/chat/completions"
            rates = await throughput(url, seconds, rounds)
            ratio = await decision_ratio(gateway)
            seen = await switching(gateway, url)
        finally:
            await gateway.stop()
    times = sorted(seen.seconds)
    return {
        "requests_per_second": {name: round(median(found), 1) for name, found in rates.items()},
        "throughput_ratio": round(median(rates["guarded"]) / median(rates["plain"]), 3),
        "decision_ratio": round(ratio, 3),
        "switching": {
            "streams": len(times),
            "p50_seconds": round(times[len(times) // 2], 3),
            "p99_seconds": round(times[min(len(times) - 1, int(len(times) * 0.99))], 3),
            "failed_without_content": seen.failed_without_content,
            "cut_after_content": seen.cut,
        },
        "aims": {"throughput_ratio": AIM_RATIO, "p99_seconds": AIM_SECONDS, "failed_without_content": 0},
    }


def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each turn")
    parser.add_argument("--rounds", type=int, default=6, help="turns of each policy")
    given = parser.parse_args()
    found = asyncio.run(measure(given.seconds, given.rounds))
    print(json.dumps(found, indent=2))
    RESULTS.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
