"""Pickers know what the others have in flight, who waits at them, and what service they have given."""

import asyncio

import pytest

from pilotage_api.compile import compile_resources
from pilotage_api.load import load_texts
from pilotage_api.queue_snapshot import QueueSnapshot
from pilotage_api.settings import GatewaySettings
from pilotage_extproc.scheduling.profile import ProfileBook
from pilotage_extproc.server.deciding import new_deciding
from pilotage_extproc.server.load_sharing import FULL_SECONDS, INTERVAL_SECONDS, LoadSharing
from pilotage_extproc.server.state import new_state
from pilotage_extproc.settlement.news import LoadNews, decode_news, encode_news
from pilotage_extproc.sources.discovery import Discovery
from pilotage_extproc.state.endpoints import EndpointTable
from pilotage_extproc.state.health import HealthLedger
from pilotage_extproc.state.waiter import Waiter

AT = "10.0.0.1:80"
POOLS = frozenset({"default/a"})
POOL = """
apiVersion: pilotage.dev/v1alpha1
kind: ModelPool
metadata: {name: a}
spec:
  engine: vllm
  endpoints: [{address: 10.0.0.1, port: 80}]
  models: [{name: m}]
  admission: {queueDepth: 1}
"""
BOUNDS = QueueSnapshot(max_wait_seconds=30, max_requests=500, max_bytes=1 << 20, minimum_share=0.0)


class Process:
    """One picker; what it tells is kept."""

    def __init__(self, name):
        self.name, self.now, self.told, self.held = name, 100.0, [], []
        self.table = EndpointTable()
        settings = GatewaySettings()
        clock = lambda: self.now  # noqa: E731
        self.state = new_state(settings, self.table, HealthLedger(self.table), clock=clock)
        self.deciding = new_deciding(settings, self.state, ProfileBook(), process_id=name, clock=clock)
        self.line, self.room = self.deciding.line, self.deciding.room
        self.state.peer_load.meet(lambda: 2)
        self.sharing = LoadSharing(name, self.table, self.state.peer_load, self.line, self.room, self)

    def tell(self, news):
        self.told.append(news)

    async def start(self, pool=POOL):
        snapshot = compile_resources(load_texts([("a.yaml", pool)]), GatewaySettings()).snapshot
        discovery = Discovery(lambda: None)
        await discovery.follow(snapshot)
        self.table.sync(discovery.wanted())
        self.table.admit(self.table.rows())
        self.deciding.current.install(await self.deciding.builder.build(snapshot, discovery.membership()))
        await discovery.stop()
        return self

    def place(self, count=1):
        row = self.table.row_of(AT)
        for number in range(count):
            self.held.append(self.state.learner.inflight.begin(f"{number}", row, self.now))

    def end(self, count):
        inflight = self.state.learner.inflight
        for hold in self.held[:count]:
            inflight.end(hold)

    def wait(self, tenant, tell=None):
        turns = []
        waiter = Waiter(
            policy="default/p",
            bounds=BOUNDS,
            pools=POOLS,
            tenant=tenant,
            weight=1.0,
            priority=0,
            body_bytes=10,
            cost=1.0,
            since=self.now,
            deadline=None,
            tell=tell or turns.append,
        )
        self.line.join(waiter)
        return turns

    def tell_all(self, *others):
        """One interval, and its news arrive."""
        self.sharing.tell()
        for news in decode_news(encode_news(self.told)):
            for other in others:
                other.sharing.heard(news)
        self.told.clear()


async def two():
    one, other = await Process("a").start(), await Process("b").start()
    one.tell_all(other)
    other.tell_all(one)
    return one, other


async def test_requests_at_one_picker_take_room_at_the_other():
    one, other = await two()
    before = other.room.free(POOLS)
    one.place(3)
    one.tell_all(other)
    assert other.room.free(POOLS) == before - 3


async def test_nothing_is_told_again_until_all_is():
    one, other = await two()
    one.place()
    one.tell_all(other)
    for _ in range(round(FULL_SECONDS / INTERVAL_SECONDS)):
        one.sharing.tell()
    [news] = one.told
    assert news == LoadNews("a", True, {AT: 1}, {}, [])


async def test_room_that_comes_free_at_one_picker_is_offered_to_who_waits_at_the_other():
    one, other = await two()
    one.place(20)
    one.tell_all(other)
    turns = other.wait("t")
    assert turns == []
    one.end(15)
    one.tell_all(other)
    assert turns == [None]


async def test_a_picker_that_has_all_of_the_room_leaves_what_ends_to_who_waits_elsewhere():
    one, other = await two()
    one.place(9)
    other.wait("quiet")
    one.tell_all(other)
    other.tell_all(one)
    assert one.room.share(POOLS) < 1
    assert other.room.share(POOLS) >= 1


async def test_service_given_at_one_picker_counts_at_the_other():
    one, other = await two()
    other.place(20)
    other.tell_all(one)
    order: list[str] = []
    other.wait("loud", lambda _: order.append("loud"))
    other.wait("quiet", lambda _: order.append("quiet"))
    one.line.pass_by(POOLS, 0, "loud", 1.0, 500.0)
    one.tell_all(other)
    assert order == []
    other.end(19)
    other.line.room_changed()
    assert order == ["quiet", "loud"]


async def test_where_no_pool_bounds_admission_nothing_is_told():
    one = await Process("a").start(POOL.replace("admission: {queueDepth: 1}", ""))
    one.place()
    running = asyncio.create_task(one.sharing.run())
    await asyncio.sleep(0.05)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert one.told == []


@pytest.mark.parametrize(("pickers", "interval"), [(2, 0.02), (4, 0.06), (64, 0.2)])
async def test_a_picker_tells_no_more_where_there_are_more_of_them(pickers, interval):
    one = await Process("a").start()
    one.state.peer_load.meet(lambda: pickers)
    assert one.sharing.interval_seconds == pytest.approx(interval)


async def test_when_all_others_have_gone_nothing_of_them_is_kept():
    one, other = await two()
    one.place(3)
    one.tell_all(other)
    other.state.peer_load.meet(lambda: 1)
    other.now += 2
    running = asyncio.create_task(other.sharing.run())
    await asyncio.sleep(0.02)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert other.room.free(POOLS) == 9
