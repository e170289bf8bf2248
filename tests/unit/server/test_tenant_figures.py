"""What a process says of tenants' budgets: its own books, or those of the store that it shares."""

import asyncio
import time

import aiohttp
import pytest
from valkey_server import ValkeyServer

from pilotage_api.governance_snapshot import BudgetLimitSnapshot, GovernanceSnapshot, Per
from pilotage_api.settings import GatewaySettings
from pilotage_api.snapshot import RoutingSnapshot
from pilotage_api.tenant_snapshot import TenantSnapshot
from pilotage_extproc.accounting.claims import Admission, Granted, Hold, Settlement
from pilotage_extproc.accounting.rules import Expected, SpendingRules
from pilotage_extproc.accounting.store import StoreAway, untold
from pilotage_extproc.domain.clock import ManualClock
from pilotage_extproc.domain.identity import Identity
from pilotage_extproc.server.accounting import new_accounting, shared_accounting
from pilotage_extproc.server.admin import AdminServer
from pilotage_extproc.server.admin_view import RuntimeView
from pilotage_extproc.server.runtime import Runtime
from pilotage_extproc.server.tenant_figures import FiguresReader
from pilotage_extproc.sources.valkey.store import ValkeyStore

MOST = 10**9
TENANTS = tuple(
    TenantSnapshot(
        name=name,
        key=f"default/{name}",
        teams=("search",),
        governance=GovernanceSnapshot(
            budgets=tuple(
                BudgetLimitSnapshot(per=per, period="month", time_zone="UTC", usd="10", hard=True)
                for per in (Per.TENANT, Per.TEAM)
            )
        ),
    )
    for name in ("acme", "trial")
)


class Spends:
    """Requests at a store, as a process admits and settles them."""

    def __init__(self, store) -> None:
        self._store = store

    async def hold(self, identifier: str, lease: float = 900.0, tenant: int = 0) -> Hold:
        of = TENANTS[tenant]
        rules = SpendingRules.of(f"tenant {of.name}", of.governance)
        claims = tuple(rules.claims(Identity(of.name, "search"), ["m"], Expected(0, 0, MOST), time.time()))
        verdict = self._store.admit(Admission(identifier, claims, lease))
        if asyncio.iscoroutine(verdict):
            verdict = await verdict
        assert isinstance(verdict, Granted), verdict
        return Hold(identifier, claims, verdict.slots)

    async def settle(self, hold: Hold, nano: int) -> None:
        self._store.settle(Settlement(hold, (nano,) * len(hold.claims), True), untold)


def spent(figures) -> dict[tuple[str, str], tuple[int, int]]:
    return {(name, one.per): (one.spent, one.held) for name, one in figures.budgets}


async def test_books_of_one_process_are_its_own():
    clock = ManualClock()
    accounting = new_accounting(GatewaySettings(), clock)
    requests = Spends(accounting.memory)
    await requests.settle(await requests.hold("a"), 25)
    await requests.hold("b", lease=10.0)
    reader = FiguresReader(accounting, lambda: TENANTS)
    found = await reader.read()
    assert not found.shared
    assert spent(found) == {("acme", "tenant"): (25, MOST), ("acme", "team"): (25, MOST)}
    clock.advance(11)  # the lease has ended
    assert spent(await reader.read()) == {("acme", "tenant"): (25, 0), ("acme", "team"): (25, 0)}


async def test_without_a_budget_of_a_tenant_nothing_is_read():
    accounting = new_accounting(GatewaySettings(), ManualClock())
    bare = TenantSnapshot(name="acme", key="default/acme")
    assert await FiguresReader(accounting, lambda: (bare,)).read() is None


@pytest.fixture
def server():
    server = ValkeyServer()
    server.start()
    yield server
    server.kill()


class Process:
    """One of several processes at a store."""

    def __init__(self, server: ValkeyServer, name: str) -> None:
        self.store = ValkeyStore(server.settings(), name, rebuild_seconds=0.05)
        accounting = shared_accounting(GatewaySettings(), ManualClock(), self.store)
        self.requests = Spends(self.store)
        self.reader = FiguresReader(accounting, lambda: TENANTS)
        self._task = asyncio.create_task(self.store.run())

    async def ready(self) -> "Process":
        async with asyncio.timeout(20):
            while self.store.away:
                await asyncio.sleep(0.01)
        return self

    async def end(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self.store.close()

    async def settled(self) -> None:
        async with asyncio.timeout(20):
            while self.store.unsettled:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)


async def test_every_process_says_what_their_store_has_also_of_what_others_spent(server):
    one, two = await Process(server, "one").ready(), await Process(server, "two").ready()
    try:
        hold = await one.requests.hold("a")
        await two.requests.settle(await two.requests.hold("b"), 25)
        await two.settled()
        wanted = {("acme", "tenant"): (25, MOST), ("acme", "team"): (25, MOST)}
        for process in (one, two):
            found = await process.reader.read()
            assert found.shared
            assert spent(found) == wanted
        await one.requests.settle(hold, 10)
        await one.settled()
        assert spent(await two.reader.read()) == {("acme", "tenant"): (35, 0), ("acme", "team"): (35, 0)}
        # one that has just started knows as much
        new = await Process(server, "new").ready()
        assert spent(await new.reader.read()) == {("acme", "tenant"): (35, 0), ("acme", "team"): (35, 0)}
        await new.end()
    finally:
        await one.end()
        await two.end()


async def test_a_hold_of_a_process_that_is_gone_ends_with_its_lease(server):
    gone, left = await Process(server, "gone").ready(), await Process(server, "left").ready()
    try:
        await gone.requests.hold("a", lease=0.3)
        assert spent(await left.reader.read())["acme", "tenant"] == (0, MOST)
        await gone.end()
        async with asyncio.timeout(10):
            while spent(await left.reader.read()):
                await asyncio.sleep(0.05)
    finally:
        await left.end()


async def test_while_the_store_is_away_nothing_is_said(server):
    process = await Process(server, "one").ready()
    try:
        server.kill()
        async with asyncio.timeout(20):
            while True:
                try:
                    await process.reader.read()
                except StoreAway:
                    break
                await asyncio.sleep(0.05)
    finally:
        await process.end()


async def test_the_admin_address_shows_them():
    runtime = Runtime(GatewaySettings())
    await runtime.following.apply(RoutingSnapshot(tenants=TENANTS))
    requests = Spends(runtime.state.accounting.memory)
    await requests.settle(await requests.hold("a"), 1_500_000_000)
    admin = AdminServer(RuntimeView(runtime), "127.0.0.1:0", None)
    await admin.start()
    try:
        url = f"http://127.0.0.1:{admin.port}/budgets"
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            shown = await answer.json()
    finally:
        await admin.stop()
        await runtime.stop()
    assert shown["shared"] is False
    first = shown["tenants"]["acme"]["budgets"][0]
    assert (first["spent"], first["held"], first["remaining"]) == ("1.5", "0", "8.5")
    assert [one["spent"] for one in shown["tenants"]["trial"]["budgets"]] == ["0"]
