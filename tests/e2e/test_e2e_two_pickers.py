"""Two picker processes behind one Envoy: every request is settled once, wherever its entry arrives.

Once with plaintext ports, once with the one certificate that both read from files.
"""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import yaml
from free_ports import free_ports
from gateway_rig import SMALL, pool

from pilotage_api.settings import GatewaySettings, TlsFiles, TlsSettings
from pilotage_cli.gateway.envoy import EnvoyProcess
from pilotage_extproc.envoy.xds.bootstrap import build_bootstrap
from pilotage_extproc.server.tls import self_signed
from pilotage_sim import SimCluster, SimConfig, SimSpec

PROMPT = [{"role": "user", "content": "hello"}]
REQUESTS = 60


class TwoPickers:
    """Envoy, two `pilotage extproc` processes, two simulated servers."""

    def __init__(self, folder: Path, settings: GatewaySettings) -> None:
        self.folder = folder
        self.settings = settings
        self.processes: list[asyncio.subprocess.Process] = []

    async def start(self) -> None:
        ports = free_ports(6)
        self.cluster = await SimCluster.start(
            SimSpec("127.0.0.1", port, SimConfig(("llama-8b",), ("sql-lora",), time_scale=0.1))
            for port in ports[:2]
        )
        (self.folder / "pool.yaml").write_text(yaml.safe_dump(pool("small", ports[:2], SMALL)))
        tls = self.settings.tls.model_dump(mode="json", by_alias=True, exclude_none=True)
        written = {"apiVersion": "pilotage.dev/v1alpha1", "kind": "GatewaySettings", "spec": {"tls": tls}}
        (self.folder / "pilotage.yaml").write_text(yaml.safe_dump(written))
        self.grpc, self.admin = ports[2:4], ports[4:6]
        for index in range(2):
            await self._start_picker(index)
        bootstrap = build_bootstrap(
            self.settings,
            envoy_name="e2e",
            extproc=("127.0.0.1", self.grpc[0]),
            peers=[("127.0.0.1", self.grpc[1])],
            gateway=("127.0.0.1", 0),
            admin=("127.0.0.1", 0),
        )
        self.envoy = EnvoyProcess(bootstrap)
        await self.envoy.start()
        await self.envoy.wait_ready()
        self.url = f"http://127.0.0.1:{(await self.envoy.listener_ports())['gateway']}"

    async def _start_picker(self, index: int) -> None:
        command = [sys.executable, "-c", "from pilotage_cli.main import run; run()", "extproc"]
        command += ["-f", str(self.folder), "--process-id", f"picker{index}"]
        command += [
            "--extproc-listen",
            f"127.0.0.1:{self.grpc[index]}",
            "--admin",
            f"127.0.0.1:{self.admin[index]}",
        ]
        command += ["--peer", f"127.0.0.1:{self.grpc[1 - index]}", "--log-level", "warning"]
        self.processes.append(await asyncio.create_subprocess_exec(*command, env=dict(os.environ)))

    async def metrics(self, session: aiohttp.ClientSession) -> list[dict[str, float]]:
        pages = []
        for port in self.admin:
            async with session.get(f"http://127.0.0.1:{port}/metrics") as answer:
                text = await answer.text()
            pages.append(
                {
                    name: float(value)
                    for name, value in re.findall(r"^(pilotage\S+) (\S+)$", text, re.MULTILINE)
                }
            )
        return pages

    async def stop(self) -> None:
        if hasattr(self, "envoy"):
            await self.envoy.stop()
        for process in self.processes:
            process.terminate()
            await process.wait()
        await self.cluster.stop()


def shared_certificate(folder: Path) -> TlsFiles:
    key, certificate = self_signed("pickers.test")
    (folder / "tls.key").write_bytes(key)
    (folder / "tls.crt").write_bytes(certificate)
    return TlsFiles(cert_file=str(folder / "tls.crt"), key_file=str(folder / "tls.key"))


@pytest.fixture(params=["plaintext", "TLS"])
async def pickers(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[TwoPickers]:
    tls = shared_certificate(tmp_path) if request.param == "TLS" else None
    (tmp_path / "manifests").mkdir()
    both = TwoPickers(tmp_path / "manifests", GatewaySettings(tls=TlsSettings(extproc=tls)))
    try:
        await both.start()
        yield both
    finally:
        await both.stop()


PLACED = 'pilotage_requests_total{outcome="placed",reason=""}'


async def ready(pickers: TwoPickers, session: aiohttp.ClientSession) -> None:
    """Both pickers take part and know each other, and their endpoints may be picked."""
    for _ in range(200):
        try:
            ended = 0
            for _ in range(4):
                body = {"model": "small", "messages": PROMPT, "max_tokens": 1}
                async with session.post(f"{pickers.url}/v1/chat/completions", json=body) as answer:
                    ended += answer.status == 200
            pages = await pickers.metrics(session)
            if ended == 4 and all(page.get(PLACED) for page in pages):
                await asyncio.sleep(1.2)  # one greeting between the peers
                return
        except aiohttp.ClientError:
            pass
        await asyncio.sleep(0.1)
    raise AssertionError("the gateway did not become ready")


def total(pages: list[dict[str, float]], name: str) -> int:
    return int(sum(page.get(name, 0) for page in pages))


async def test_every_request_is_settled_once_and_any_process_can_explain_it(pickers, session):
    await ready(pickers, session)
    before = await pickers.metrics(session)
    body = {"model": "small", "messages": PROMPT, "max_tokens": 3}

    async def ask(number: int) -> None:
        wanted = body | {"stream": number % 2 == 0}
        async with session.post(f"{pickers.url}/v1/chat/completions", json=wanted) as answer:
            assert answer.status == 200
            await answer.read()

    await asyncio.gather(*(ask(number) for number in range(REQUESTS)))
    settled = 'pilotage_settlements_total{result="settled"}'
    for _ in range(100):
        after = await pickers.metrics(session)
        if total(after, settled) - total(before, settled) >= REQUESTS and not total(
            after, "pilotage_inflight_requests"
        ):
            break
        await asyncio.sleep(0.05)
    assert total(after, PLACED) - total(before, PLACED) == REQUESTS
    assert total(after, settled) - total(before, settled) == REQUESTS
    assert total(after, 'pilotage_settlements_total{result="duplicate"}') == 0
    assert total(after, 'pilotage_settlements_total{result="delivered"}') > 0
    assert all(page[PLACED] > 5 for page in after), "both pickers take part"
    await explained_by_either(pickers, session)


async def explained_by_either(pickers: TwoPickers, session: aiohttp.ClientSession) -> None:
    for holder in range(2):
        async with session.get(f"http://127.0.0.1:{pickers.admin[holder]}/decisions?limit=1") as answer:
            decision = (await answer.json())["decisions"][0]["decision"]
        for asked in range(2):
            url = f"http://127.0.0.1:{pickers.admin[asked]}/decisions/{decision}"
            async with session.get(url) as answer:
                told = await answer.json()
            assert "error" not in told, told
            assert (told["decision"], told["process"]) == (decision, f"picker{holder}")


async def test_a_stored_response_is_found_by_either_process(pickers, session):
    await ready(pickers, session)
    for _ in range(8):
        body = {"model": "small", "input": "hello", "max_output_tokens": 2}
        async with session.post(f"{pickers.url}/v1/responses", json=body) as answer:
            stored = (await answer.json())["id"]
        for _ in range(2):
            async with session.get(f"{pickers.url}/v1/responses/{stored}") as answer:
                assert answer.status == 200, await answer.text()
                assert (await answer.json())["id"] == stored
