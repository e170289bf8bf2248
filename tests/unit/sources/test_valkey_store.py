"""Limits and budgets at a real Valkey: exact with several pickers, and after all that can go wrong."""

import asyncio
import random
import time

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Connection
from valkey_rig import Picker, money, today, until
from valkey_server import ValkeyServer

from pilotage_api.periods import Period
from pilotage_extproc.accounting.claims import (
    UNBOUNDED,
    Admission,
    Amount,
    ConcurrentClaim,
    Granted,
    Hold,
    Refused,
    WindowClaim,
)
from pilotage_extproc.accounting.store import StoreAway
from pilotage_extproc.sources.valkey import store as store_module
from pilotage_extproc.sources.valkey.scripts import ADMIT, Booked, command, packed


@pytest.fixture
def server():
    server = ValkeyServer()
    server.start()
    yield server
    server.kill()


@pytest.fixture
async def pickers(server):
    made = []

    async def make(writer: str, **more) -> Picker:
        picker = Picker(server, writer, **more)
        made.append(picker)
        return await picker.ready()

    yield make
    for picker in made:
        await picker.die()


def figures(server, claim) -> tuple[int, int, int]:
    """Settled, estimated and held as the server has them."""
    client = redis.Redis(port=server.port)
    key = f"pilotage:{{acme}}:b:{claim.account}:{claim.period.start}"
    found = tuple(int(one or 0) for one in client.hmget(key, "s", "e", "h"))
    client.close()
    return found


async def test_a_request_is_held_then_settled_once(server, pickers):
    one = await pickers("a")
    hold = await one.held("a-1", money(600), ConcurrentClaim("limit|p=acme/x", 1))
    assert figures(server, money(0)) == (0, 0, 600)
    refused = await one.admit("a-2", money(300), ConcurrentClaim("limit|p=acme/x", 1))
    assert isinstance(refused.claim, ConcurrentClaim)
    assert await one.settle(hold, 450, 1)
    assert not await one.settle(hold, 450, 1)
    assert figures(server, money(0)) == (450, 0, 0)
    assert [shown.booked for shown in one.booked] == [450]
    assert one.store.spent(money(0)) == 450
    await one.held("a-2", money(300), ConcurrentClaim("limit|p=acme/x", 1))


async def test_what_does_not_fit_says_whether_waiting_helps(pickers):
    one = await pickers("a")
    hold = await one.held("a-1", money(600))
    assert await one.admit("a-2", money(600)) == Refused(money(600), 600, 1.0)
    await one.settle(hold, 600)
    assert await one.admit("a-3", money(600)) == Refused(money(600), 600, None)
    assert (await one.admit("a-4", money(2000))).retry_after_seconds is None


async def test_an_estimate_is_corrected_once_by_whoever_comes_late(server, pickers):
    one, two = await pickers("a"), await pickers("b")
    hold = await one.held("a-1", money(600))
    assert await one.settle(hold, 100, exact=False)
    assert figures(server, money(0)) == (0, 100, 0)
    assert not await two.settle(hold, 90, exact=False)
    assert await two.settle(hold, 130)
    assert not await one.settle(hold, 140)
    assert figures(server, money(0)) == (130, 0, 0)


async def test_four_pickers_and_64_clients_never_overdraw_a_hard_budget(server, pickers):
    made = [await pickers(f"p{number}") for number in range(4)]
    seeded, spent, most = random.Random(7), 0, 0

    async def client(number: int) -> None:
        nonlocal spent, most
        for turn in range(12):
            picker, held = seeded.choice(made), seeded.randrange(1, 3000)
            claim = money(held, 100_000)
            verdict = await picker.admit(f"c-{number}-{turn}", claim)
            if isinstance(verdict, Granted):
                await asyncio.sleep(seeded.random() * 0.01)
                used = seeded.randrange(held + 1)
                spent += used
                await picker.settle(Hold(f"c-{number}-{turn}", (claim,), verdict.slots), used)
            most = max(most, sum(figures(server, claim)) if turn % 4 == 0 else 0)

    await asyncio.gather(*(client(number) for number in range(64)))
    assert figures(server, money(0)) == (spent, 0, 0)
    assert most <= 100_000
    assert spent <= 100_000


async def test_windows_slide_and_are_corrected_in_their_slot(pickers):
    one = await pickers("a")
    claim = WindowClaim("limit|p=acme/x", Amount.TOTAL_TOKENS, 100, 100, 1000)
    granted = await one.admit("a-1", claim, money(1))
    assert granted.used == (100, 0)
    hold = Hold("a-1", (claim,), granted.slots[:1])
    refused = await one.admit("a-2", claim)
    assert 0.5 < refused.retry_after_seconds <= 1.02
    await one.settle(hold, 40)
    assert isinstance(await one.admit("a-3", claim._replace(held=60)), Granted)
    refused = await one.admit("a-4", claim._replace(held=1))
    assert refused.used == 100
    await asyncio.sleep(refused.retry_after_seconds + 0.02)
    assert isinstance(await one.admit("a-5", claim._replace(held=1)), Granted)


@pytest.mark.parametrize("pickers_left", [1, 3])
async def test_holds_of_a_killed_picker_end_with_their_lease_and_late_entries_count(
    server, pickers, pickers_left
):
    dead = await pickers("dead")
    left = [await pickers(f"p{number}") for number in range(pickers_left)]
    holds = [await dead.held(f"d-{number}", money(300), lease=0.6) for number in range(3)]
    await dead.die()
    assert isinstance(await left[0].admit("p-1", money(300)), Refused)
    # the entry of one of its requests reaches another picker, which finds what it takes to settle it
    assert await left[-1].store.find("d-0") == b"note of d-0"
    assert await left[-1].settle(holds[0], 200)
    await asyncio.sleep(0.7)
    await left[0].held("p-2", money(700))
    assert figures(server, money(0)) == (200, 0, 700)
    assert await left[0].settle(holds[1], 50)
    assert not await left[-1].settle(holds[1], 50)
    assert figures(server, money(0)) == (250, 0, 700)


async def test_a_server_that_restarts_empty_is_rebuilt_from_what_was_booked_and_is_open(server, pickers):
    one, two = await pickers("a", rebuild_seconds=2), await pickers("b", rebuild_seconds=2)
    await one.settle(await one.held("a-1", money(100)), 60)
    estimated = await one.held("a-2", money(100))
    await one.settle(estimated, 25, exact=False)
    await two.settle(await two.held("b-1", money(100)), 30)
    open_hold = await two.held("b-2", money(200), ConcurrentClaim("limit|p=acme/x", 1))
    before = figures(server, money(0))
    assert before == (90, 25, 200)
    server.kill()
    with pytest.raises(StoreAway):
        await one.admit("a-3", money(1))
    server.start()
    with pytest.raises(StoreAway):  # nothing passes before its books are whole
        while True:
            assert not isinstance(await one.admit("a-4", money(950)), Granted)
    await one.ready()
    await two.ready()
    await until(lambda: figures(server, money(0)) == before)
    assert isinstance(await one.admit("a-5", ConcurrentClaim("limit|p=acme/x", 1)), Refused)
    assert await two.settle(open_hold, 150, 1)
    assert figures(server, money(0)) == (240, 25, 0)
    assert await one.settle(estimated, 20)
    assert not await one.settle(estimated, 20)
    assert figures(server, money(0)) == (260, 0, 0)


async def test_a_settlement_waits_for_a_server_that_is_away_and_counts_once(server, pickers):
    one = await pickers("a")
    hold = await one.held("a-1", money(100))
    server.kill()
    settled = asyncio.ensure_future(one.settle(hold, 70))
    await asyncio.sleep(0.3)
    assert not settled.done()
    server.start()
    assert await settled
    await until(lambda: figures(server, money(0)) == (70, 0, 0))


async def test_a_request_that_claims_nothing_is_granted_and_settled(pickers):
    picker = await pickers("a")
    assert await picker.admit("a-1") == Granted((), ())
    assert await picker.settle(Hold("a-1", (), ()))


async def test_a_slow_server_is_away_and_its_late_answers_leave_no_hold(server, pickers):
    one = await pickers("a", timeout_seconds=1.0)
    server.freeze()
    waiting = asyncio.ensure_future(one.admit("a-1", money(400)))
    await asyncio.sleep(0.01)
    with pytest.raises(StoreAway):
        await waiting
    claims = (money(400),)
    settled = asyncio.ensure_future(one.settle(Hold("a-1", claims, ()), 0))  # as its stage does
    began = time.monotonic()
    with pytest.raises(StoreAway):
        await one.admit("a-2", money(400))
    assert time.monotonic() - began < 0.7  # known to be away: nobody waits
    server.thaw()
    await settled
    await one.ready()
    assert figures(server, money(0)) == (0, 0, 0)
    await one.held("a-3", money(1000))


async def test_two_hundred_holds_looked_up_at_once_do_not_make_the_server_look_away(pickers):
    picker = await pickers("a")
    await picker.held("r1", money(100))
    found = await asyncio.gather(*(picker.store.find("r1") for _ in range(200)))
    assert found == [b"note of r1"] * 200
    assert picker.store.away == ""


async def test_after_a_look_that_failed_requests_are_admitted_again_with_nothing_to_settle(server, pickers):
    picker = await pickers("a", timeout_seconds=0.2)
    server.freeze()
    with pytest.raises(StoreAway):
        await picker.store.find("r1")
    assert picker.store.away
    server.thaw()
    await picker.ready()
    assert isinstance(await picker.admit("r2", money(100)), Granted)


async def test_a_look_that_fails_takes_no_request_along_that_is_asked_for_beside_it(server, pickers):
    picker = await pickers("a", timeout_seconds=0.2)
    link = picker.store._link
    await asyncio.gather(*(link._exchange(command(b"PING"), 1) for _ in range(4)))  # all are connected
    server.freeze()
    async with asyncio.timeout(10):
        beside = asyncio.ensure_future(link._exchange(command(b"PING"), 1))
        await asyncio.sleep(0.01)
        with pytest.raises(StoreAway):
            await picker.store.find("r1")
        assert not beside.done()
        server.thaw()
        assert await beside == [b"PONG"]


async def test_after_one_late_answer_the_server_is_asked_again_at_once(server, pickers, monkeypatch):
    monkeypatch.setattr(store_module, "_RETRY_SECONDS", 3600.0)
    picker = await pickers("a", timeout_seconds=0.5)
    for number in range(2):
        server.freeze()
        with pytest.raises(StoreAway):
            await picker.admit(f"r{number}", money(1))
        server.thaw()
        await picker.ready()
        await picker.held(f"s{number}", money(1))


async def test_a_picker_that_is_cut_off_refuses_while_others_go_on(server, pickers):
    one = await pickers("a")
    cut = Picker(ValkeyServer(), "b")  # nobody listens there
    with pytest.raises(StoreAway):
        await cut.admit("b-1", money(1))
    await one.held("a-1", money(1))
    await cut.die()


async def test_a_journal_of_a_process_that_is_gone_is_contributed_once(server, pickers):
    key = ("budget|p=acme/x", today().start, today().end)
    for writer in ("a", "b"):
        picker = Picker(server, writer, rebuild_seconds=0.3)
        picker.store.begins_with("gone", {key: Booked(500, 20)})
        await picker.ready()
        await picker.die()
    assert figures(server, money(0)) == (500, 20, 0)


async def test_a_clock_that_is_days_off_is_set_right_by_the_servers(pickers):
    one = await pickers("a")
    wrong = money(1)._replace(period=Period(today().start + 10 * 86_400, today().end + 10 * 86_400))
    with pytest.raises(StoreAway, match="different periods"):
        await one.admit("a-1", wrong)
    assert abs(one.store.clock_offset_seconds) < 5  # the picker's own was right here


async def test_an_admission_that_comes_after_its_request_was_given_up_holds_nothing(server, pickers):
    one = await pickers("a")
    await one.settle(Hold("a-1", (money(400),), ()), 0)
    with pytest.raises(StoreAway, match="given up"):
        await one.admit("a-1", money(400))
    assert figures(server, money(0)) == (0, 0, 0)


async def test_an_admission_is_waited_for_outside_of_a_task_and_not_for_ever(server, pickers):
    one = await pickers("a", timeout_seconds=0.2)

    def step(waiting):
        """As the picker's transport steps a request's handler."""
        try:
            return waiting.send(None)
        except StopIteration as ended:
            return ended.value

    waiting = one.store.admit(Admission("a-1", (money(1),), 900.0))
    loop, steps = asyncio.get_running_loop(), []
    loop.call_soon(lambda: steps.append(step(waiting)))
    await until(lambda: steps)
    await until(steps[0].done)
    loop.call_soon(lambda: steps.append(step(waiting)))
    await until(lambda: len(steps) == 2)
    assert isinstance(steps[1], Granted)
    one._task.cancel()  # nobody answers any more
    with pytest.raises(StoreAway):
        await one.admit("a-2", money(1))


async def test_ten_thousand_requests_at_once_are_answered_and_exact(server, pickers):
    one = await pickers("a", timeout_seconds=10)
    claim = money(7, 7 * 1000)
    verdicts = await asyncio.gather(*(one.admit(f"a-{number}", claim) for number in range(10_000)))
    granted = [number for number, one in enumerate(verdicts) if isinstance(one, Granted)]
    assert len(granted) == 1000
    told = [one.settle(Hold(f"a-{number}", (claim,), (0,)), 3) for number in granted]
    assert all(await asyncio.gather(*told))
    assert figures(server, claim) == (3000, 0, 0)


@given(
    st.lists(st.binary()),
    st.lists(st.binary()),
)
def test_a_command_is_written_as_the_client_library_writes_it(keys, arguments):
    packer = Connection()
    known = packer.pack_command("EVALSHA", ADMIT.digest, len(keys), *keys, *arguments)
    assert packed(ADMIT, keys, arguments) == b"".join(known)


async def test_tokens_of_a_fallback_count_where_nothing_was_held_and_leave_nothing_behind(server, pickers):
    one = await pickers("a")
    first = WindowClaim("limit|p=acme/x", Amount.TOTAL_TOKENS, 100, 60, 60_000, "x")
    later = WindowClaim("limit|p=acme/y", Amount.TOTAL_TOKENS, UNBOUNDED, 0, 60_000, "y")
    hold = await one.held("a-1", first, later)
    await one.settle(hold, 0, 150)
    assert (await one.admit("a-2", later._replace(bound=100, held=1))).used == 150
    assert (await one.admit("a-3", first._replace(held=100), later)).used == (100, 150)
    client = redis.Redis(port=server.port)
    windows = list(client.scan_iter("pilotage:*:w*"))
    assert len(windows) == 2
    assert all(0 < client.pttl(key) <= 61_200 for key in windows)
    client.close()
