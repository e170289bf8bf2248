"""Requests of a queue whose limits a store counts: while it is asked no more go than there is room."""

import asyncio

import pytest
from test_queued_requests import SMALL, Gateway
from valkey_server import ValkeyServer

from pilotage_extproc.domain.clock import monotonic
from pilotage_extproc.domain.refusals import RequestRefused
from pilotage_extproc.scheduling.profile import ProfileBook
from pilotage_extproc.server.accounting import shared_accounting
from pilotage_extproc.server.deciding import new_deciding
from pilotage_extproc.server.state import new_state
from pilotage_extproc.sources.valkey.store import ValkeyStore
from pilotage_extproc.state.breakers import Breakers
from pilotage_extproc.state.endpoints import EndpointTable
from pilotage_extproc.state.health import HealthLedger

LIMIT = "governance: {limits: [{per: policy, window: 1m, requests: %d}]}"
ROOM = 9
"""Of a server of which nothing is known but that it runs nothing, and `queueDepth`."""


@pytest.fixture
def server():
    server = ValkeyServer()
    server.start()
    yield server
    server.kill()


@pytest.fixture
async def store(server):
    store = ValkeyStore(server.settings(), "x", rebuild_seconds=0.05)
    task = asyncio.create_task(store.run())
    async with asyncio.timeout(20):
        while store.away:
            await asyncio.sleep(0.01)
    yield store
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await store.close()


class AtStore(Gateway):
    """The same, with one store."""

    async def begin(self, store: ValkeyStore, requests: int) -> "AtStore":
        await self.start(policy="queue: {maxWait: 30s}")
        self.table = EndpointTable()
        accounting = shared_accounting(self.settings, monotonic, store)
        self.state = new_state(
            self.settings, self.table, HealthLedger(self.table), Breakers(), monotonic, accounting
        )
        self.deciding = new_deciding(
            self.settings, self.state, ProfileBook(), process_id="x", clock=monotonic
        )
        self.line = self.deciding.line
        await self.follow(f"queue: {{maxWait: 30s}}\n  {LIMIT % requests}", rule=SMALL)
        self.report(0)
        return self


async def settled(tasks, wanted: int) -> None:
    async with asyncio.timeout(10):
        while sum(task.done() for task in tasks) < wanted:
            await asyncio.sleep(0.01)


async def test_a_burst_takes_the_room_there_is_and_the_rest_waits(store):
    gate = await AtStore().begin(store, 1000)
    tasks = [asyncio.create_task(gate.ask()) for _ in range(40)]
    await settled(tasks, ROOM)
    await asyncio.sleep(0.2)
    assert sum(task.done() for task in tasks) == ROOM == gate.inflight()
    assert len(gate.line) == 40 - ROOM
    # all the others go as those before them end
    done = set()
    async with asyncio.timeout(20):
        while len(done) < len(tasks):
            for task in tasks:
                if task.done() and task not in done:
                    done.add(task)
                    gate.end(task.result())
            assert gate.inflight() <= ROOM
            await asyncio.sleep(0.01)
    assert (gate.inflight(), len(gate.line)) == (0, 0)


async def test_what_a_limit_refuses_gives_its_room_back(store):
    gate = await AtStore().begin(store, 3)
    tasks = [asyncio.create_task(gate.ask()) for _ in range(40)]
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert sum(isinstance(one, RequestRefused) for one in found) == 37
    assert {one.reason.http_status for one in found if isinstance(one, RequestRefused)} == {429}
    assert (gate.inflight(), len(gate.line)) == (3, 0)
    for one in found:
        if not isinstance(one, BaseException):
            gate.end(one)
    assert gate.inflight() == 0


async def test_clients_that_leave_while_the_store_is_asked_take_nothing(store, server):
    gate = await AtStore().begin(store, 1000)
    server.freeze()
    tasks = [asyncio.create_task(gate.ask()) for _ in range(5)]
    async with asyncio.timeout(30):
        while gate.inflight() < 5:
            await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    server.thaw()
    assert (gate.inflight(), len(gate.line)) == (0, 0)
