"""What sticks to endpoints: loaded LoRA adapters, and clients' sessions."""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice


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

    def scraped(self, row: int, limit: int, running: Iterable[str], waiting: Iterable[str] = ()) -> None:
        """What the engine says: its slots, adapters in them, and adapters that wait for one."""
        slots = self._slots.setdefault(row, _Slots())
        slots.limit = min(max(1, limit), self._MOST_SLOTS)
        slots.running = frozenset(islice(running, slots.limit))
        for name in slots.running:
            slots.recent[name] = None
        for name in (*slots.running, *islice(waiting, self._MOST_SLOTS)):
            self._names[name] = None
        while len(self._names) > self._MAX_NAMES:
            self._names.popitem(last=False)
        self._shrink(slots)

    def is_adapter(self, name: str) -> bool:
        """Whether any engine has called a name an adapter."""
        return name in self._names

    def placed(self, row: int, adapter: str) -> None:
        """A request for the adapter goes there."""
        slots = self._slots.setdefault(row, _Slots())
        slots.recent[adapter] = None
        slots.recent.move_to_end(adapter)
        self._shrink(slots)

    def _shrink(self, slots: _Slots) -> None:
        """Forget idle adapters, least recently used first, and never one that runs."""
        excess = len(slots.recent) - (slots.limit or self._UNKNOWN_LIMIT)
        if excess <= 0:
            return
        idle = [name for name in slots.recent if name not in slots.running]
        for name in idle[:excess]:
            del slots.recent[name]

    def has(self, row: int, adapter: str) -> bool:
        """Whether the adapter probably is in a slot."""
        slots = self._slots.get(row)
        return slots is not None and adapter in slots.recent

    def has_room(self, row: int) -> bool:
        """Whether another adapter could be loaded without pushing one out."""
        slots = self._slots.get(row)
        return slots is None or len(slots.recent) < (slots.limit or self._UNKNOWN_LIMIT)

    def forget(self, row: int) -> None:
        """The endpoint is gone, or restarted."""
        self._slots.pop(row, None)


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
