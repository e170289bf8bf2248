"""`pilotage envoy` and `pilotage envoy-drain`: the bundled Envoy beside pickers that are elsewhere."""

import asyncio
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
import yaml
from envoy_rig import CHAT, CHAT_BODY, Rig, chunk, fixed, pick, stream_head
from free_ports import free_ports

from pilotage_api.settings import GatewaySettings

PILOTAGE = Path(sys.executable).with_name("pilotage")


@dataclass
class Alone:
    """An Envoy that `pilotage envoy` has become, and who asks it."""

    settings: Path
    gateway: str
    probes: str
    session: aiohttp.ClientSession

    async def status(self, path: str) -> int:
        """What the probes' address answers; 0 where nothing listens."""
        try:
            async with self.session.get(f"{self.probes}{path}") as answer:
                await answer.read()
                return answer.status
        except aiohttp.ClientConnectionError:
            return 0

    async def ready(self, wanted: int = 200) -> None:
        async with asyncio.timeout(60):
            while await self.status("/ready") != wanted:
                await asyncio.sleep(0.05)

    async def drain(self, *options: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *(PILOTAGE, "envoy-drain", "--settings", self.settings, *options),
            stderr=asyncio.subprocess.PIPE,
        )


@pytest.fixture
async def alone(request, start_server, tmp_path) -> AsyncIterator[Alone]:
    """Its one server answers as the test's parameter says, and its picker is known by a name."""
    server = await start_server(request.param)
    rig = Rig(GatewaySettings(), lambda head, body: pick(server.address))
    await rig.serve([server.address])
    gateway, probes, admin = free_ports(3)
    listen = {
        "gateway": f"127.0.0.1:{gateway}",
        "envoyProbes": f"127.0.0.1:{probes}",
        "envoyAdmin": f"127.0.0.1:{admin}",
    }
    settings = tmp_path / "pilotage.yaml"
    kind = {"apiVersion": "pilotage.dev/v1alpha1", "kind": "GatewaySettings"}
    settings.write_text(yaml.safe_dump({**kind, "spec": {"listen": listen}}))
    envoy = await asyncio.create_subprocess_exec(
        *(PILOTAGE, "envoy", "--settings", settings, "--extproc", f"localhost:{rig.extproc_port}"),
        *("--concurrency", "1"),
    )
    try:
        async with aiohttp.ClientSession() as session:
            found = Alone(settings, f"http://127.0.0.1:{gateway}", f"http://127.0.0.1:{probes}", session)
            await found.ready()
            yield found
    finally:
        envoy.terminate()
        await envoy.wait()
        await rig.stop()


@pytest.mark.parametrize("alone", [fixed(200, b"{}")], indirect=True)
async def test_it_asks_a_picker_that_a_name_leads_to(alone):
    async with alone.session.post(alone.gateway + CHAT, json=CHAT_BODY) as answer:
        assert answer.status == 200


@pytest.mark.parametrize("alone", [fixed(200, b"{}")], indirect=True)
async def test_readiness_and_metrics_are_seen_from_outside_and_nothing_else(alone):
    async with alone.session.get(f"{alone.probes}/stats/prometheus") as answer:
        assert "envoy_cluster_upstream_rq_active" in await answer.text()
    for path in (
        "/",
        "/config_dump",
        "/quitquitquit",
        "/healthcheck/fail",
        "/ready/../config_dump",
        "/stats",
    ):
        assert await alone.status(path) == 404
    async with alone.session.post(f"{alone.probes}/healthcheck/fail") as answer:
        assert answer.status == 404
    assert await alone.status("/ready") == 200


async def slow_stream(received, writer) -> None:
    writer.write(stream_head())
    for number in range(12):
        writer.write(chunk(b"data: %d\n\n" % number))
        await writer.drain()
        await asyncio.sleep(0.25)
    writer.write(chunk(b"data: [DONE]\n\n") + chunk(b""))


@pytest.mark.parametrize("alone", [slow_stream], indirect=True)
async def test_draining_waits_for_the_stream_under_way_and_serves_what_still_comes(alone):
    async with alone.session.post(alone.gateway + CHAT, json=CHAT_BODY) as first:
        await first.content.readany()
        drained = await alone.drain("--notice", "0.5", "--longest", "20")
        await alone.ready(503)
        async with alone.session.post(alone.gateway + CHAT, json=CHAT_BODY) as late:
            assert late.status == 200
            assert late.headers["connection"] == "close"
            assert drained.returncode is None
            assert (await late.read()).endswith(b"data: [DONE]\n\n")
        assert (await first.read()).endswith(b"data: [DONE]\n\n")
    async with asyncio.timeout(10):
        assert await drained.wait() == 0


async def endless_stream(received, writer) -> None:
    writer.write(stream_head() + chunk(b"data: 1\n\n"))
    await asyncio.Event().wait()


@pytest.mark.parametrize("alone", [endless_stream], indirect=True)
async def test_draining_has_a_bound_and_says_what_it_leaves(alone):
    async with alone.session.post(alone.gateway + CHAT, json=CHAT_BODY) as answer:
        await answer.content.readany()
        drained = await alone.drain("--notice", "0", "--longest", "0.5")
        _, told = await drained.communicate()
        assert drained.returncode == 1
        assert b"1 requests are still under way" in told


async def test_draining_waits_for_an_envoy_that_has_only_just_begun_to_start(tmp_path):
    """As a container's first process it would not hear a SIGTERM that came earlier."""
    gateway, admin = free_ports(2)
    listen = {"gateway": f"127.0.0.1:{gateway}", "envoyAdmin": f"127.0.0.1:{admin}"}
    settings = tmp_path / "pilotage.yaml"
    kind = {"apiVersion": "pilotage.dev/v1alpha1", "kind": "GatewaySettings"}
    settings.write_text(yaml.safe_dump({**kind, "spec": {"listen": listen}}))
    drained = await asyncio.create_subprocess_exec(
        *(PILOTAGE, "envoy-drain", "--settings", settings, "--notice", "0")
    )
    await asyncio.sleep(1.0)
    assert drained.returncode is None
    envoy = await asyncio.create_subprocess_exec(
        *(PILOTAGE, "envoy", "--settings", settings, "--extproc", "nowhere.invalid:9002")
    )
    try:
        async with asyncio.timeout(60):
            assert await drained.wait() == 0
        envoy.terminate()
        async with asyncio.timeout(30):
            await envoy.wait()
    finally:
        if envoy.returncode is None:
            envoy.kill()
            await envoy.wait()


async def test_probes_need_an_admin_port_that_is_known(tmp_path):
    settings = tmp_path / "pilotage.yaml"
    settings.write_text(
        "apiVersion: pilotage.dev/v1alpha1\nkind: GatewaySettings\n"
        "spec: {listen: {envoyProbes: '127.0.0.1:9902'}}\n"
    )
    process = await asyncio.create_subprocess_exec(
        *(PILOTAGE, "envoy", "--settings", settings, "--extproc", "127.0.0.1:9002"),
        stderr=asyncio.subprocess.PIPE,
    )
    _, told = await process.communicate()
    assert process.returncode == 2
    assert b"listen.envoyAdmin needs a port of its own" in told
