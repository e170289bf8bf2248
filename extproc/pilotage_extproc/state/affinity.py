"""What sticks to endpoints: loaded LoRA adapters, and clients' sessions."""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

import numpy as np
from numpy.typing import NDArray

IN_A_SLOT: Final = 0.0
FREE_SLOT: Final = 0.5
PUSHES_ONE_OUT: Final = 1.0


@dataclass(slots=True)
class _Slots:
    """Adapters of one endpoint."""

    limit: int | None = None
    """How many fit, as the engine says."""
    running: frozenset[str] = frozenset()
    """In a slot for certain, as last scraped."""
    recent: "OrderedDict[str, None]" = field(default_factory=OrderedDict)
    """Placed here, least recently first: an engine keeps an adapter until another needs its slot."""


class AdapterSlots:
    """Which adapters each endpoint probably has in its slots, by row."""

    _UNKNOWN_LIMIT = 4
    """Adapters remembered of an engine that does not say how many fit."""
    _MAX_NAMES = 4096
    _MOST_SLOTS = 256

    def __init__(self) -> None:
        self._slots: dict[int, _Slots] = {}
        self._names: OrderedDict[str, None] = OrderedDict()
        self._holders: dict[str, set[int]] = {}
        """Rows by adapter: the same as `recent` of all slots, for a decision to read at once."""
        self._full: NDArray[np.bool_] = np.zeros(64, np.bool_)
        """By row, whether another adapter would push one out."""

    def scraped(self, row: int, limit: int, running: Iterable[str], waiting: Iterable[str] = ()) -> None:
        """What the engine says: its slots, adapters in them, and adapters that wait for one."""
        slots = self._slots.setdefault(row, _Slots())
        slots.limit = min(max(1, limit), self._MOST_SLOTS)
        slots.running = frozenset(islice(running, slots.limit))
        for name in slots.running:
            slots.recent[name] = None
            self._holders.setdefault(name, set()).add(row)
        for name in (*slots.running, *islice(waiting, self._MOST_SLOTS)):
            self._names[name] = None
        while len(self._names) > self._MAX_NAMES:
            self._names.popitem(last=False)
        self._shrink(row, slots)

    def is_adapter(self, name: str) -> bool:
        """Whether any engine has called a name an adapter."""
        return name in self._names

    def placed(self, row: int, adapter: str) -> None:
        """A request for the adapter goes there."""
        slots = self._slots.setdefault(row, _Slots())
        slots.recent[adapter] = None
        slots.recent.move_to_end(adapter)
        self._holders.setdefault(adapter, set()).add(row)
        self._shrink(row, slots)

    def _shrink(self, row: int, slots: _Slots) -> None:
        """Forget idle adapters, least recently used first, and never one that runs."""
        limit = slots.limit or self._UNKNOWN_LIMIT
        excess = len(slots.recent) - limit
        if excess > 0:
            idle = [name for name in slots.recent if name not in slots.running]
            for name in idle[:excess]:
                del slots.recent[name]
                self._drop(name, row)
        self._set_full(row, len(slots.recent) >= limit)

    def _drop(self, name: str, row: int) -> None:
        holders = self._holders[name]
        holders.discard(row)
        if not holders:
            del self._holders[name]

    def _set_full(self, row: int, full: bool) -> None:
        if row >= len(self._full):
            if not full:
                return
            self._full = np.concatenate([self._full, np.zeros(row + 1, np.bool_)])
        self._full[row] = full

    def has(self, row: int, adapter: str) -> bool:
        """Whether the adapter probably is in a slot."""
        return row in self._holders.get(adapter, ())

    def costs(self, adapter: str, rows: NDArray[np.intp]) -> NDArray[np.float64]:
        """By row: 0 where the adapter probably is in a slot, 0.5 where one is free, else 1."""
        full = self._full
        column = np.where(full.take(rows, mode="clip") & (rows < len(full)), PUSHES_ONE_OUT, FREE_SLOT)
        holders = self._holders.get(adapter)
        if holders:
            held = np.zeros(max(int(rows.max(initial=0)), *holders) + 1, np.bool_)
            held[list(holders)] = True
            column[held[rows]] = IN_A_SLOT
        return column

    def forget(self, row: int) -> None:
        """The endpoint is gone, or restarted."""
        slots = self._slots.pop(row, None)
        if slots is not None:
            for name in slots.recent:
                self._drop(name, row)
            self._set_full(row, False)


class Sessions:
    """Where each session's last request went, by its hash; the least recently used are dropped."""

    def __init__(self, max_sessions: int = 100_000) -> None:
        self._max_sessions = max_sessions
        self._rows: OrderedDict[int, tuple[int, int]] = OrderedDict()

    def placed(self, session: int, row: int, generation: int) -> None:
        """A request of the session went there."""
        self._rows[session] = (row, generation)
        self._rows.move_to_end(session)
        if len(self._rows) > self._max_sessions:
            self._rows.popitem(last=False)

    def row_of(self, session: int) -> tuple[int, int] | None:
        """The row of the session's last request, and that row's generation then."""
        return self._rows.get(session)
