"""The queries of docs/queues.md and its manifests for autoscalers, asked of a real Prometheus."""

import asyncio
import os
import shutil
from pathlib import Path

import aiohttp
import pytest
import yaml
from envoy_rig import fixed
from free_ports import free_ports
from queue_queries import AUTOSCALING, queries
from whole_gateway import WholeGateway

PROMETHEUS = os.environ.get("PILOTAGE_TEST_PROMETHEUS") or shutil.which("prometheus")
"""The program; Debian's package has it."""


def test_the_autoscaler_asks_for_what_the_adapter_serves():
    served = yaml.safe_load((AUTOSCALING / "prometheus-adapter.yaml").read_text())["rules"]["external"]
    asked = yaml.safe_load((AUTOSCALING / "hpa.yaml").read_text())["spec"]["metrics"]
    names = {rule["name"]["as"] for rule in served}
    assert {one["external"]["metric"]["name"] for one in asked} == names


@pytest.mark.skipif(
    PROMETHEUS is None, reason="no Prometheus: export PILOTAGE_TEST_PROMETHEUS=$(hack/prometheus)"
)
async def test_every_query_has_the_figures_of_a_gateway_whose_requests_wait(tmp_path, start_server):
    page = b"vllm:num_requests_running 0\nvllm:num_requests_waiting 0\nvllm:kv_cache_usage_perc 0.1\n"
    server = await start_server(fixed(200, page, "text/plain"))
    gateway = WholeGateway(
        tmp_path / "resources",
        {"small": [server], "later": []},
        {"candidates": [{"model": "later"}]},
        pool={"engine": "vllm", "admission": {"queueDepth": 1}},
        spec={"queue": {"maxWait": "30s"}},
    )
    await gateway.start()
    [port] = free_ports(1)
    target = {"targets": [gateway.gateway.server.admin_address]}
    scrapes = [{"job_name": "pilotage", "static_configs": [target]}]
    settings = {"global": {"scrape_interval": "1s"}, "scrape_configs": scrapes}
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(settings))
    assert PROMETHEUS is not None
    process = await asyncio.create_subprocess_exec(
        PROMETHEUS,
        f"--config.file={tmp_path / 'prometheus.yml'}",
        f"--storage.tsdb.path={tmp_path / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=error",
    )
    try:
        await wait_for_a_server(gateway, tmp_path / "resources" / "all.yaml", server.address)
        missing = queries()
        async with asyncio.timeout(60), aiohttp.ClientSession() as session:
            while missing:
                for where, query in list(missing.items()):
                    if await has_figures(session, port, query):
                        del missing[where]
                await asyncio.sleep(0.5)
    finally:
        process.terminate()
        await process.wait()
        await gateway.stop()


async def wait_for_a_server(gateway: WholeGateway, file: Path, address: str) -> None:
    """A request waits until its model has a server, and is answered."""
    asking = asyncio.create_task(gateway.chat())
    await gateway.until(lambda: len(gateway.runtime.deciding.line) == 1)
    host, _, port = address.rpartition(":")
    found = f"endpoints: [{{address: {host}, port: {port}}}]"
    file.write_text(file.read_text().replace("endpoints: []", found))
    assert (await asking)[0] == 200


async def has_figures(session: aiohttp.ClientSession, port: int, query: str) -> bool:
    try:
        url = f"http://127.0.0.1:{port}/api/v1/query"
        async with session.get(url, params={"query": query}) as answer:
            if answer.status == 503:  # it still reads its journal
                return False
            said = await answer.json()
    except aiohttp.ClientConnectionError:
        return False
    assert said["status"] == "success", said
    return bool(said["data"]["result"])
