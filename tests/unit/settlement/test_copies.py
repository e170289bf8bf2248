"""Second copies of access-log entries: taken only where the first was lost."""

from dataclasses import dataclass, replace
from itertools import pairwise

import pytest

from pilotage_extproc.accounting.store import StoreAway
from pilotage_extproc.domain.outcome import Outcome, TokenUsage
from pilotage_extproc.settlement.copies import LOOK_AFTER_SECONDS, Copies

KNOWN = TokenUsage(1, 1)


@dataclass
class Entry:
    outcome: Outcome


class Books:
    """What a store says of ids."""

    def __init__(self):
        self.states, self.away, self.asked = {}, False, 0

    async def unsettled_of(self, ids):
        self.asked += 1
        if self.away:
            raise StoreAway("gone")
        return {one: self.states[one] for one in ids if one in self.states}


class Receiver:
    def __init__(self):
        self.now, self.taken, self.books = 100.0, [], Books()
        self.counted = []
        self.copies = Copies(
            self.books,
            lambda entry: self.taken.append(entry.outcome.decision_id),
            self.clock,
            count=self.counted.append,
        )

    def clock(self):
        return self.now

    def second(self, identifier, usage=KNOWN):
        outcome = replace(Outcome.answered(200), decision_id=identifier, usage=usage)
        return self.copies.second(identifier, lambda: Entry(outcome))

    async def look(self):
        self.now += LOOK_AFTER_SECONDS
        await self.copies.look()


@pytest.fixture
def receiver():
    return Receiver()


async def test_only_a_request_that_still_holds_something_is_settled_by_the_copy(receiver):
    receiver.books.states = {"lost": False}
    assert receiver.second("settled")
    assert receiver.second("lost")
    await receiver.copies.look()
    assert receiver.books.asked == 0, "the first entry has its time"
    await receiver.look()
    assert receiver.taken == ["lost"]
    await receiver.look()
    assert receiver.taken == ["lost"]


async def test_a_copy_takes_the_place_of_an_estimate_only_where_it_knows_more(receiver):
    receiver.books.states = {"cut": True, "known": True}
    receiver.second("cut", TokenUsage())
    receiver.second("known")
    await receiver.look()
    assert receiver.taken == ["known"]


async def test_copies_wait_for_a_store_that_is_away(receiver):
    receiver.books.states, receiver.books.away = {"lost": False}, True
    receiver.second("lost")
    with pytest.raises(StoreAway):
        await receiver.look()
    receiver.books.away = False
    await receiver.look()
    assert receiver.taken == ["lost"]


async def test_a_stream_that_brings_what_this_process_has_seen_is_sent_elsewhere_soon_then_seldom(receiver):
    receiver.copies.first("a")
    moved_at = []
    for _ in range(2000):
        if not receiver.second("a"):
            moved_at.append(receiver.now - 100)
        receiver.now += 0.01
    waits = [after - before for before, after in pairwise(moved_at)]
    assert moved_at[0] == 0
    assert waits[:6] == pytest.approx([0.05, 0.1, 0.2, 0.4, 0.8, 1.6], abs=0.011), (
        "there may be no other process"
    )
    assert waits[-1] == pytest.approx(5, abs=0.011)
    assert receiver.second("b"), "the first entry of it went elsewhere"
    receiver.now += 5
    assert not receiver.second("a")
    receiver.now += 0.06
    assert not receiver.second("a"), "they have been apart meanwhile"


async def test_copies_are_counted_by_where_their_first_entry_went(receiver):
    receiver.books.states = {"lost": False}
    receiver.copies.first("a")
    for identifier in ("a", "b", "lost"):
        receiver.second(identifier)
    await receiver.look()
    assert receiver.counted == ["together", "apart", "apart", "taken"]
