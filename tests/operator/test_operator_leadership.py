"""Of several operators one acts; another follows it, however it ends."""

import asyncio
import contextlib
import json
import signal
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml
from operator_run import idle, policy, pool
from tcp_proxy import TcpProxy
from waiting import until

from pilotage_kube.resource import LEASES

SMALL = pool("small", "llama-8b", aliases=("small",))
AUTO = policy("auto", "auto", "small")


async def test_of_two_started_at_once_one_acts_and_the_other_follows_it_at_once(operators):
    await operators.apply(SMALL, AUTO)
    picker = operators.pick()
    both = [operators.start(), operators.start()]
    await operators.says(AUTO, "True True True")
    leader = next(one for one in both if one.election.leading)
    standby = next(one for one in both if one is not leader)
    await idle(leader)
    assert standby.active is None
    assert standby._ready() == (True, f"standing by; {leader.identity} leads")
    await operators.end(leader)
    await until(lambda: standby.active, 2)
    changed = policy("auto", "auto-2", "small")
    await operators.apply(changed)
    await operators.says(changed, "True True True")
    assert picker.snapshot.routes[0].model == "auto-2"


async def test_a_leader_that_is_cut_off_writes_nothing_any_more(operators, proxy: TcpProxy):
    await operators.apply(SMALL, AUTO)
    operators.pick()
    first = operators.start(server=proxy.server)
    await operators.says(AUTO, "True True True")
    second = operators.start()
    await until(lambda: second.election.leader == first.identity)
    proxy.freeze()
    while not second.election.leading:
        assert not (first.election.leading and second.election.leading)
        await asyncio.sleep(0.02)
    assert not first.election.leading
    changed = policy("auto", "auto-2", "small")
    await operators.apply(changed)
    found = await operators.says(changed, "True True True")
    await idle(second)
    proxy.mend()
    await until(lambda: first.active is None)
    await asyncio.sleep(1)
    again = await operators.get(changed)
    assert again["metadata"]["resourceVersion"] == found["metadata"]["resourceVersion"]


class Program:
    """`pilotage operator` as a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self.process = process
        self._log = log

    def entries(self) -> list[dict[str, object]]:
        """Its log: every line is a JSON object."""
        return [json.loads(line) for line in self._log.read_text().splitlines()]

    def get(self, path: str) -> tuple[int, str]:
        url = next(str(one["url"]) for one in self.entries() if "url" in one)
        try:
            with urllib.request.urlopen(url + path, timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    async def listens(self) -> None:
        await until(lambda: any("url" in one for one in self.entries()), 30)


@contextlib.asynccontextmanager
async def programs(operators, tmp_path: Path, count: int) -> AsyncIterator[list[Program]]:
    settings = tmp_path / "pilotage.yaml"
    document = {
        "apiVersion": "pilotage.dev/v1alpha1",
        "kind": "GatewaySettings",
        "spec": {
            "namespaces": [operators.namespace],
            "listen": {"operator": "127.0.0.1:0"},
            "kubernetes": {"namespace": operators.namespace},
        },
    }
    settings.write_text(yaml.safe_dump(document))
    found = []
    try:
        for number in range(count):
            log = tmp_path / f"operator-{number}.log"
            with log.open("wb") as out:
                process = await asyncio.create_subprocess_exec(
                    str(Path(sys.executable).parent / "pilotage"),
                    "operator",
                    "--settings",
                    str(settings),
                    "--kubeconfig",
                    str(operators.plane.kubeconfig),
                    stderr=out,
                    stdout=asyncio.subprocess.DEVNULL,
                )
            found.append(Program(process, log))
        for one in found:
            await one.listens()
        yield found
    finally:
        for one in found:
            if one.process.returncode is None:
                one.process.kill()
            await one.process.wait()


async def test_the_command_serves_and_ends_when_told_to(operators, tmp_path):
    await operators.apply(SMALL, AUTO)
    operators.pick()
    async with programs(operators, tmp_path, 1) as [program]:
        await operators.says(AUTO, "True True True", seconds=30)
        assert program.get("/healthz") == (200, "ok")
        status, told = program.get("/readyz")
        assert status == 200
        assert told == f"leading; snapshot {(await operators.head()).current.version} is published"
        _, metrics = program.get("/metrics")
        assert "pilotage_operator_leading 1.0" in metrics
        assert 'pilotage_operator_resources{accepted="True",kind="RoutePolicy"} 1.0' in metrics
        program.process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(program.process.wait(), 10) == 0
        lease = await operators.client.get(LEASES, "pilotage-snapshot-operator", operators.namespace)
        assert not lease["spec"].get("holderIdentity")
        told = program.entries()
        assert any(str(line["message"]).startswith("published snapshot") for line in told)
        remarks = [line for line in told if line["level"] == "info"]
        assert not [line for line in remarks if str(line["logger"]).startswith("kopf")]


@pytest.mark.slow
async def test_the_second_process_follows_a_first_that_is_killed(operators, tmp_path):
    await operators.apply(SMALL, AUTO)
    picker = operators.pick()
    async with programs(operators, tmp_path, 2) as both:
        await operators.says(AUTO, "True True True", seconds=30)
        leader = next(one for one in both if "leading;" in one.get("/readyz")[1])
        standby = next(one for one in both if one is not leader)
        await until(lambda: standby.get("/readyz")[0] == 200, 10)
        assert "standing by" in standby.get("/readyz")[1]
        began = time.monotonic()
        leader.process.kill()
        changed = policy("auto", "auto-2", "small")
        await operators.apply(changed)
        await operators.says(changed, "True True True", seconds=30)
        # the Lease lasts 15 s, another looks every 2 s, and then there is work to do
        assert 10 < time.monotonic() - began < 25
        assert picker.snapshot.routes[0].model == "auto-2"


async def test_a_settings_file_that_is_wrong_is_named(operators, tmp_path):
    settings = tmp_path / "pilotage.yaml"
    settings.write_text(
        "apiVersion: pilotage.dev/v1alpha1\nkind: GatewaySettings\nspec: {kubernetes: {snapshot: x}}\n"
    )
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).parent / "pilotage"),
        "operator",
        "--settings",
        str(settings),
        "--kubeconfig",
        str(operators.plane.kubeconfig),
        stderr=asyncio.subprocess.PIPE,
    )
    _, complaint = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 2
    assert "spec.kubernetes.snapshot: unknown field" in complaint.decode()
