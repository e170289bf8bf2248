"""A sliding window in a hundred slots, whose parts can be corrected after they were counted."""

from typing import Final

from pilotage_extproc.accounting.claims import SLOTS

_COUNTED: Final = SLOTS + 1


class Window:
    """What was used in each of the last slots. All methods take the number of the current slot."""

    __slots__ = ("_slots", "head", "total")

    def __init__(self) -> None:
        self._slots = [0] * _COUNTED
        self.head = 0
        """The current slot, as far as it was advanced."""
        self.total = 0
        """Of the slot at the head and the hundred before it."""

    def advance(self, slot: int) -> None:
        """Let go of what has left the window. Amortised O(1); a slot that has been is no step back."""
        steps = slot - self.head
        if steps <= 0:
            return
        if steps >= _COUNTED:
            if self.total:
                self._slots = [0] * _COUNTED
                self.total = 0
        else:
            slots = self._slots
            for number in range(self.head + 1, slot + 1):
                place = number % _COUNTED
                self.total -= slots[place]
                slots[place] = 0
        self.head = slot

    def add(self, slot: int, amount: int) -> None:
        """Count in a slot, or correct it; nothing where it has left the window."""
        if self.head - SLOTS <= slot <= self.head:
            self._slots[slot % _COUNTED] += amount
            self.total += amount

    def fits_from(self, needed: int, bound: int) -> int | None:
        """The slot in which so much fits, if nothing else comes; None where it never does."""
        if needed > bound:
            return None
        left = self.total
        for number in range(self.head - SLOTS, self.head + 1):
            if left + needed <= bound:
                return number + SLOTS
            left -= self._slots[number % _COUNTED]
        return self.head + _COUNTED
