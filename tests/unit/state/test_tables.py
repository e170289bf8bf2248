"""Endpoint rows, owners of stored responses, and the decision log."""

import asyncio
from dataclasses import dataclass

from pilotage_api.snapshot import Engine
from pilotage_extproc.recording.decision_log import DecisionLog
from pilotage_extproc.state.endpoints import EndpointFacts, EndpointTable
from pilotage_extproc.state.responses import ResponseOwners

FACTS = EndpointFacts(Engine.VLLM, ("default/a",))


def test_an_endpoint_that_stays_keeps_its_row_and_figures():
    table = EndpointTable()
    table.sync({"a:1": FACTS, "b:1": FACTS})
    row = table.row_of("b:1")
    table.waiting[row] = 7
    table.admit(["b:1"])
    change = table.sync({"b:1": FACTS, "c:1": FACTS})
    assert (change.added, change.removed) == ({"c:1"}, {"a:1"})
    assert table.row_of("b:1") == row
    assert (table.waiting[row], bool(table.admitted[row])) == (7, True)
    assert not table.admitted[table.row_of("c:1")]


def test_the_table_grows_past_its_first_capacity():
    table = EndpointTable()
    addresses = [f"h{index}:1" for index in range(1000)]
    table.sync(dict.fromkeys(addresses, FACTS))
    assert len({table.row_of(address) for address in addresses}) == 1000
    assert all(table.address_of(table.row_of(address)) == address for address in addresses)


def test_endpoints_are_counted_by_state():
    table = EndpointTable()
    openai = EndpointFacts(Engine.OPENAI, ("default/b",))
    table.sync({"a:1": FACTS, "b:1": FACTS, "c:1": FACTS, "d:1": openai})
    table.admit(["a:1", "b:1", "d:1"])
    table.scraped_at[table.row_of("a:1")] = 100
    assert table.counts(100) == {"ready": 2, "pending": 1, "draining": 0, "ejected": 0, "unmeasured": 1}
    table.eject(table.row_of("a:1"), 105)
    assert table.counts(100)["ejected"] == 1
    assert table.counts(105)["ready"] == 2


async def test_a_lookup_waits_for_news_of_a_response():
    owners = ResponseOwners()
    waiting = asyncio.create_task(owners.wait_for("resp_1", 5))
    await asyncio.sleep(0)
    owners.learn("resp_1", "a:1")
    found = await waiting
    assert found is not None
    assert found.address == "a:1"


async def test_a_lookup_does_not_wait_for_ever_and_leaves_nothing_behind():
    owners = ResponseOwners()
    assert await owners.wait_for("resp_1", 0.001) is None
    assert owners._waiters == {}


async def test_only_so_many_lookups_wait():
    owners = ResponseOwners(max_waiters=1)
    first = asyncio.create_task(owners.wait_for("resp_1", 5))
    await asyncio.sleep(0)
    assert await owners.wait_for("resp_2", 5) is None
    owners.learn("resp_1", "a:1")
    assert await first is not None


async def test_one_tenant_does_not_wait_in_the_way_of_another():
    owners = ResponseOwners(max_waiters_of_one=2)
    loud = [asyncio.create_task(owners.wait_for(f"resp_{number}", 5, "loud")) for number in range(2)]
    await asyncio.sleep(0)
    assert await owners.wait_for("resp_9", 5, "loud") is None
    quiet = asyncio.create_task(owners.wait_for("resp_0", 5, "quiet"))
    await asyncio.sleep(0)
    owners.learn("resp_0", "10.0.0.1:80")
    assert (await quiet).address == "10.0.0.1:80"
    owners.learn("resp_1", "10.0.0.1:80")
    await asyncio.gather(*loud)
    again = asyncio.create_task(owners.wait_for("resp_2", 5, "loud"))
    await asyncio.sleep(0)
    owners.learn("resp_2", "10.0.0.1:80")
    assert (await again).address == "10.0.0.1:80"


def test_the_least_recently_used_response_is_forgotten_first():
    owners = ResponseOwners(capacity=2)
    owners.learn("one", "a:1")
    owners.learn("two", "a:1")
    owners.find("one")
    owners.learn("three", "a:1")
    assert [owners.find(id_) is not None for id_ in ("one", "two", "three")] == [True, False, True]


@dataclass
class Record:
    nbytes: int


def test_the_decision_log_is_bounded_by_bytes_and_drops_the_oldest():
    log = DecisionLog[Record](max_bytes=100)
    for number in range(10):
        log.add(f"d-{number}", Record(30))
    assert len(log) == 3
    assert log.held_bytes == 90
    assert log.find("d-6") is None
    assert log.find("d-9") is not None


def test_addresses_on_their_way_out_rest_and_keep_their_row_until_they_are_released():
    table = EndpointTable()
    table.sync({"a:1": FACTS, "b:1": FACTS})
    table.admit(["a:1", "b:1"])
    row = table.row_of("a:1")
    change = table.prepare({"b:1": FACTS, "c:1": FACTS})
    assert (change.added, change.removed) == ({"c:1"}, {"a:1"})
    assert table.row_of("a:1") == row
    assert table.draining[row]
    assert table.row_of("c:1") != row
    assert table.release(change.removed) == (row,)
    assert table.row_of("a:1") is None
    assert (table.draining_rows, len(table)) == (0, 2)


def test_who_drains_is_set_one_by_one_or_all_at_once():
    table = EndpointTable()
    table.sync({"a:1": FACTS, "b:1": FACTS, "c:1": FACTS})
    table.admit(["a:1", "b:1", "c:1"])
    table.drain(["a:1", "unknown:1", "a:1"])
    assert table.draining_rows == 1
    assert table.counts(0)["draining"] == 1
    table.restore(["a:1", "b:1"])
    assert table.draining_rows == 0
    table.drain_only(["b:1", "c:1"])
    table.drain_only(["c:1"])
    assert [bool(table.draining[table.row_of(one)]) for one in ("a:1", "b:1", "c:1")] == [False, False, True]
    assert table.draining_rows == 1


def test_a_response_stays_whose_it_was_first_known_to_be():
    owners = ResponseOwners()
    owners.learn("one", "a:1")
    owners.learn("one", "a:1", "acme")
    owners.learn("one", "a:1", "globex")
    found = owners.find("one")
    assert found is not None
    assert found.holder == "acme"
