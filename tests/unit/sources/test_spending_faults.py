"""Pickers killed with requests open: the books agree with those of the engines, and no hold is left."""

import asyncio
import random

import pytest
import redis
from plain_rates import plain_rates
from valkey_rig import Picker, today
from valkey_server import ValkeyServer

from pilotage_extproc.accounting.books import Books
from pilotage_extproc.accounting.claims import BudgetClaim, ConcurrentClaim, Granted, Hold
from pilotage_extproc.accounting.note import SettlingNote, Spender
from pilotage_extproc.accounting.price import Price
from pilotage_extproc.domain.outcome import Outcome, TokenUsage

PRICE = Price(plain_rates(10**9, 10**8, 10**9, 3 * 10**9))
LEASE = 1.5
KEY = "pilotage:{acme}:b:budget|p=acme/x"


class Engine:
    """A stub of a model server that keeps books of its own."""

    def __init__(self) -> None:
        self.exact = self.cut = 0
        self._random = random.Random(11)

    def answer(self, identifier: str) -> Outcome:
        """Answers a request; one in eight is cut before its usage, when Envoy has counted its output."""
        tokens, cached, output = (self._random.randrange(1, 400) for _ in range(3))
        usage = TokenUsage(tokens, output, min(cached, tokens))
        outcome = Outcome(identifier, 200, "10.0.0.1:80", 1, 1.0, 0.1)
        if self._random.random() < 1 / 8:
            self.cut += PRICE.cost(TokenUsage(100, output))
            outcome.counted_output = output
        else:
            self.exact += PRICE.cost(usage)
            outcome.usage = usage
        return outcome


class Process:
    """A picker's books."""

    def __init__(self, server: ValkeyServer, name: str) -> None:
        self.name, self.open = name, {}
        self.picker = Picker(server, name)
        self.books = Books(self.picker.store, lease_seconds=LEASE, keeps_notes=True)

    async def admit(self, number: int) -> bool:
        claims = (
            BudgetClaim("budget|p=acme/x", 10**9, 2_000_000, today(), hard=True),
            ConcurrentClaim("limit|p=acme/x", 1000),
        )
        hold = Hold(f"{self.name}-{number}", claims, (0, 0))
        note = SettlingNote(hold, Spender("acme"), (("10.0.0.1:80", "m", PRICE),), 100)
        granted = isinstance(await self.books.admit(note), Granted)
        if granted:
            self.open[hold.id] = note
        return granted


@pytest.mark.parametrize("pickers", [2, 4])
async def test_after_a_picker_is_killed_the_books_agree_with_the_engines_and_no_hold_is_left(pickers):
    server, engine = ValkeyServer(), Engine()
    server.start()
    processes = [Process(server, f"p{number}") for number in range(pickers)]
    try:
        for process in processes:
            await process.picker.ready()
        for number in range(160):
            assert await processes[number % pickers].admit(number)
        dead, *left = processes
        await dead.picker.die()
        # a tenth of the dead one's requests had not been sent; all entries go to two of those that are left
        sent = [*dead.open][: len(dead.open) * 9 // 10]
        for identifier in sent:
            outcome = engine.answer(identifier)
            for _ in range(2):
                adopting = random.choice(left).books.adopt(outcome)
                assert adopting is not None
                await adopting
        for process in left:
            for identifier, note in process.open.items():
                outcome = engine.answer(identifier)
                process.books.settle(note, outcome)
                process.books.settle(note, outcome)
        async with asyncio.timeout(30):
            while any(process.picker.store.unsettled for process in left):
                await asyncio.sleep(0.01)
        await asyncio.sleep(LEASE)
        assert await left[0].admit(1000)  # holds that have expired are given back at the next look
        await asyncio.sleep(0.1)
        client = redis.Redis(port=server.port)
        settled, estimated, held = (
            int(one or 0) for one in client.hmget(f"{KEY}:{today().start}", "s", "e", "h")
        )
        open_places = client.zcard("pilotage:{acme}:c:limit|p=acme/x")
        client.close()
        assert settled == engine.exact
        assert abs(estimated - engine.cut) <= 0.05 * engine.cut
        assert (held, open_places) == (2_000_000, 1)
    finally:
        for process in processes:
            await process.picker.die()
        server.kill()
