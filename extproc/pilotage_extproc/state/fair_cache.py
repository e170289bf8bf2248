"""Values that several parties share a bounded room for: who has most of it gives up a value first."""

from collections import OrderedDict
from typing import Generic, TypeVar

Value = TypeVar("Value")


class FairCache(Generic[Value]):
    """Values by key, each of a party. All operations take the same time however much is kept.

    Where it is full, the party with most values loses the one that it has used least recently: no party can
    push out what another has that has less.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._party_of: dict[str, str] = {}
        self._of: dict[str, OrderedDict[str, Value]] = {}
        """By party. None is empty."""
        self._with: dict[int, dict[str, None]] = {}
        """Parties by how many values they have."""
        self._most = 0

    def __len__(self) -> int:
        return len(self._party_of)

    def __contains__(self, key: str) -> bool:
        return key in self._party_of

    def get(self, key: str) -> Value | None:
        """The value, which counts as used; None where there is none."""
        party = self._party_of.get(key)
        if party is None:
            return None
        values = self._of[party]
        values.move_to_end(key)
        return values[key]

    def put(self, key: str, value: Value, party: str) -> None:
        """Keep it as this party's, in the place of one that had the key."""
        before = self._party_of.get(key)
        if before == party:
            values = self._of[party]
            values[key] = value
            values.move_to_end(key)
            return
        if before is not None:
            del self._of[before][key]
            self._resized(before, len(self._of[before]) + 1)
        values = self._of.setdefault(party, OrderedDict())
        values[key] = value
        self._party_of[key] = party
        self._resized(party, len(values) - 1)
        if len(self._party_of) > self._capacity:
            self._give_up_one()

    def _give_up_one(self) -> None:
        party = next(iter(self._with[self._most]))
        values = self._of[party]
        key, _ = values.popitem(last=False)
        del self._party_of[key]
        self._resized(party, len(values) + 1)

    def _resized(self, party: str, before: int) -> None:
        """A party has one value more, or less, than before."""
        if before:
            same = self._with[before]
            del same[party]
            if not same:
                del self._with[before]
        now = len(self._of[party])
        if now:
            self._with.setdefault(now, {})[party] = None
        else:
            del self._of[party]
        if now > self._most or self._most not in self._with:
            self._most = now
