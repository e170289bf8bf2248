"""A Tenant says what was spent of its budgets: by real pickers that share a Valkey, or count alone."""

import asyncio
import time
from datetime import UTC, datetime, timedelta

import pytest
from extproc_rig import picker_in
from operator_run import idle, policy, pool
from valkey_server import ValkeyServer
from waiting import until

from pilotage_api.settings import GatewaySettings
from pilotage_api.tenant_spending import PartyFigures
from pilotage_extproc.accounting.claims import Admission, Granted, Hold, Settlement
from pilotage_extproc.accounting.rules import Expected, SpendingRules
from pilotage_extproc.accounting.store import untold
from pilotage_extproc.domain.identity import Identity
from pilotage_kube.figures_report import FiguresReport, TenantFigures
from pilotage_kube.figures_reporter import FiguresReporter
from pilotage_kube.resource import TENANTS

SMALL = pool("small", "llama-8b", aliases=("small",))
AUTO = policy("auto", "auto", "small")
BUDGET = {"per": "tenant", "period": "day", "usd": "10"}


def tenant(mode: str = "soft", name: str = "acme"):
    return TENANTS.object(name, spec={"budgets": [{**BUDGET, "mode": mode}]})


@pytest.fixture
def server():
    server = ValkeyServer()
    server.start()
    yield server
    server.kill()


async def spends(cluster, identifier: str, most: int) -> Hold:
    """A request of a picker, admitted."""
    [of] = cluster.runtime.following.snapshot.tenants
    rules = SpendingRules.of(f"tenant {of.name}", of.governance)
    claims = tuple(rules.claims(Identity("acme"), ["m"], Expected(0, 0, most), time.time()))
    verdict = cluster.runtime.state.accounting.books.store.admit(Admission(identifier, claims, 900.0))
    if asyncio.iscoroutine(verdict):
        verdict = await verdict
    assert isinstance(verdict, Granted), verdict
    return Hold(identifier, claims, verdict.slots)


def settle(cluster, hold: Hold, nano: int) -> None:
    store = cluster.runtime.state.accounting.books.store
    store.settle(Settlement(hold, (nano,) * len(hold.claims), True), untold)


async def spent(operators, body, wanted: str, seconds: float = 60.0):
    """The status, once it says so."""

    async def says() -> bool:
        return (await operators.get(body)).get("status", {}).get("spent") == wanted

    await operators.eventually(says, seconds)
    return (await operators.get(body))["status"]


async def test_two_pickers_at_one_store_are_not_added_up(operators, server):
    acme = tenant("hard")
    await operators.apply(SMALL, AUTO, acme)
    governance = {"store": {"valkey": {"address": f"127.0.0.1:{server.port}"}}}
    governed = GatewaySettings.model_validate({"governance": governance}).governance
    operators.start(settings=operators.settings().model_copy(update={"governance": governed}))
    connection, where = operators.plane.connection(), (operators.client, operators.namespace)
    async with (
        picker_in(connection, *where, "pod-a", governance=governance) as one,
        picker_in(connection, *where, "pod-b", governance=governance) as two,
    ):
        for cluster in (one, two):
            await until(lambda found=cluster: found.runtime.following.snapshot.tenants)
            await until(lambda found=cluster: not found.runtime.state.accounting.valkey.away)
        open_one = await spends(one, "a", 2_500_000_000)
        settle(two, await spends(two, "b", 2_000_000_000), 1_250_000_000)
        status = await spent(operators, acme, "1.25/10")
        assert status["held"] == "2.5"
        [budget] = status["budgets"]
        assert (budget["remaining"], budget["mode"]) == ("6.25", "hard")
        tomorrow = (datetime.now(UTC) + timedelta(days=1)).strftime("%Y-%m-%dT00:00:00Z")
        assert budget["resets"] == status["resets"] == tomorrow
        told = operators.plane.kubectl("get", "tenants", "-n", operators.namespace).splitlines()[1].split()
        assert told[:5] == ["acme", "*", "1.25/10", "2.5", tomorrow]
        settle(one, open_one, 250_000_000)
        assert (await spent(operators, acme, "1.5/10"))["held"] == "0"


async def test_pickers_that_count_by_themselves_are_added_up(operators):
    acme = tenant()
    await operators.apply(SMALL, AUTO, acme)
    operators.start()
    connection, where = operators.plane.connection(), (operators.client, operators.namespace)
    async with (
        picker_in(connection, *where, "pod-a") as one,
        picker_in(connection, *where, "pod-b") as two,
    ):
        for number, cluster in enumerate((one, two), 1):
            await until(lambda found=cluster: found.runtime.following.snapshot.tenants)
            settle(cluster, await spends(cluster, f"r{number}", 0), number * 1_000_000_000)
        await spent(operators, acme, "3/10")


async def test_statuses_are_not_written_again_where_nothing_was_spent(operators):
    tenants = [tenant(name=f"t{number:02d}") for number in range(40)]
    await operators.apply(SMALL, AUTO, *tenants)
    picker = operators.pick("pod-a")
    said = {"nano": 1_000_000_000}

    async def read() -> FiguresReport:
        start = int(time.time()) // 86_400 * 86_400
        one = PartyFigures("tenant", "day", "UTC", "", start, said["nano"], 0)
        budgets = tuple(TenantFigures(body["metadata"]["name"], one) for body in tenants)
        return FiguresReport("pod-a", False, budgets, at=time.time())

    reporter = FiguresReporter(
        operators.client, read, namespace=operators.namespace, replica="pod-a", soonest_seconds=0.1
    )
    task = asyncio.create_task(reporter.run())
    try:
        process = operators.start()
        await operators.says(tenants[-1], "True True True")
        for body in tenants:
            await spent(operators, body, "1/10")
        await idle(process)
        writes = process.active.writer.writes
        # a figure of every tenant is read again and again: nothing is written
        await asyncio.sleep(1.0)
        assert process.active.writer.writes == writes
        # and where figures change all the time each status is written once in a while
        async with asyncio.timeout(40):
            while process.active.writer.writes == writes:
                said["nano"] += 1
                await asyncio.sleep(0.05)
        await asyncio.sleep(3.0)
        assert process.active.writer.writes <= writes + len(tenants)
        assert picker.snapshot is not None
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
