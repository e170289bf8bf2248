"""All endpoints of all pools as columns: one row per Envoy address.

An address is an opaque string (`ip:port` for pods). The same address in two pools is one model
server and one Envoy host, hence one row. Rows are reused; a row's generation tells its lives apart.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pilotage_api.snapshot import Engine

_FIRST_CAPACITY = 64


@dataclass(slots=True, frozen=True)
class EndpointFacts:
    """What is known of an address without asking it."""

    engine: Engine
    pools: tuple[str, ...]
    """`namespace/name` of the pools that have it."""


@dataclass(slots=True, frozen=True)
class Change:
    """What a `sync` did."""

    added: frozenset[str]
    removed: frozenset[str]


class EndpointTable:
    """Columns by row; a row is valid while an address holds it. Unknown figures are NaN."""

    def __init__(self) -> None:
        self.waiting: NDArray[np.float64]
        """Requests queued in the engine, as last scraped."""
        self.running: NDArray[np.float64]
        """Requests being answered by the engine, as last scraped."""
        self.kv_usage: NDArray[np.float64]
        """Share of the KV cache in use, 0 to 1."""
        self.scraped_at: NDArray[np.float64]
        """When the last good scrape began, monotonic seconds; -inf is never."""
        self.inflight: NDArray[np.int32]
        """This process's own requests at the endpoint."""
        self.unseen: NDArray[np.int32]
        """Those of `inflight` that began after the last scrape: its figures cannot include them."""
        self.failures: NDArray[np.int32]
        """Scrapes failed in a row."""
        self.admitted: NDArray[np.bool_]
        """Whether the gateway knows the address, so that it may be picked."""
        self.generation: NDArray[np.int64]
        self._addresses: list[str | None] = []
        self._facts: dict[str, EndpointFacts] = {}
        self._rows: dict[str, int] = {}
        self._free: list[int] = []
        self._allocate(_FIRST_CAPACITY)

    def _allocate(self, capacity: int) -> None:
        old = len(self._addresses)
        for name, fill, dtype in (
            ("waiting", np.nan, np.float64),
            ("running", np.nan, np.float64),
            ("kv_usage", np.nan, np.float64),
            ("scraped_at", -np.inf, np.float64),
            ("inflight", 0, np.int32),
            ("unseen", 0, np.int32),
            ("failures", 0, np.int32),
            ("admitted", False, np.bool_),
            ("generation", 0, np.int64),
        ):
            column = np.full(capacity, fill, dtype)
            if old:
                column[:old] = getattr(self, name)
            setattr(self, name, column)
        self._addresses.extend([None] * (capacity - old))
        self._free.extend(range(capacity - 1, old - 1, -1))

    def __len__(self) -> int:
        return len(self._rows)

    def row_of(self, address: str) -> int | None:
        """The row an address holds now."""
        return self._rows.get(address)

    def address_of(self, row: int) -> str | None:
        """The address that holds a row now."""
        return self._addresses[row]

    def facts_of(self, address: str) -> EndpointFacts | None:
        """What is known of an address."""
        return self._facts.get(address)

    def rows(self) -> Mapping[str, int]:
        """Row by address."""
        return self._rows

    def sync(self, wanted: Mapping[str, EndpointFacts]) -> Change:
        """Hold exactly these addresses. Those that stay keep their row and figures."""
        removed = frozenset(self._rows.keys() - wanted.keys())
        added = frozenset(wanted.keys() - self._rows.keys())
        for address in removed:
            self._release(address)
        for address in wanted:
            if address in added:
                self._take(address)
        self._facts = dict(wanted)
        return Change(added, removed)

    def _take(self, address: str) -> None:
        if not self._free:
            self._allocate(2 * len(self._addresses))
        row = self._free.pop()
        self._rows[address] = row
        self._addresses[row] = address

    def _release(self, address: str) -> None:
        row = self._rows.pop(address)
        self._addresses[row] = None
        self.generation[row] += 1
        self.forget(row)
        self.inflight[row] = self.unseen[row] = 0
        self.admitted[row] = False
        self._free.append(row)

    def forget(self, row: int) -> None:
        """Drop what the engine said of itself."""
        self.waiting[row] = self.running[row] = self.kv_usage[row] = np.nan
        self.scraped_at[row] = -np.inf
        self.failures[row] = 0

    def admit(self, addresses: Iterable[str]) -> None:
        """The gateway knows these addresses: they may be picked."""
        for address in addresses:
            row = self._rows.get(address)
            if row is not None:
                self.admitted[row] = True

    def counts(self, *, stale_before: float) -> dict[str, int]:
        """Endpoints by state, for telemetry: `ready`, `pending` (not admitted), `unmeasured` (stale)."""
        counts = {"ready": 0, "pending": 0, "unmeasured": 0}
        for address, row in self._rows.items():
            if not self.admitted[row]:
                counts["pending"] += 1
            elif self._facts[address].engine is not Engine.OPENAI and self.scraped_at[row] < stale_before:
                counts["unmeasured"] += 1
            else:
                counts["ready"] += 1
        return counts
