"""All endpoints of all pools as columns: one row per Envoy address.

An address is an opaque string (`ip:port` for pods). The same address in two pools is one model
server and one Envoy host, hence one row. Rows are reused; a row's generation tells its lives apart.
"""

import math
from collections import deque
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pilotage_api.snapshot import Engine, HealthSnapshot
from pilotage_extproc.domain.reach import Reach
from pilotage_extproc.domain.subset import host_of

_FIRST_CAPACITY = 64
_CHANGES_KEPT = 64


DEFAULT_HEALTH: Final = HealthSnapshot()


@dataclass(slots=True, frozen=True)
class EndpointFacts:
    """What is known of an address without asking it."""

    engine: Engine
    pools: tuple[str, ...]
    """`namespace/name` of the pools that have it."""
    health: HealthSnapshot = DEFAULT_HEALTH
    """When it is ejected."""
    needs: Reach = Reach.SERVERS
    """What a gateway needs to send requests there: more than `SERVERS` for a hosted provider."""
    adapters: bool = False
    """Whether any of its pools has LoRA adapters, so that it is worth asking which are loaded."""


@dataclass(slots=True, frozen=True)
class Change:
    """What a `sync` did."""

    added: frozenset[str]
    removed: frozenset[str]
    removed_rows: tuple[int, ...] = ()
    """Rows the removed addresses had, where they were released; new ones may get them from now on."""


WAITING, RUNNING, KV_USAGE, INFLIGHT, UNSEEN, TOKENS, SCRAPED_AT, EJECTED_UNTIL = range(8)
"""Rows of `EndpointTable.figures`."""
_FIGURES = 8


class EndpointTable:
    """Columns by row; a row is valid while an address holds it.

    Figures of an engine that are unknown, or too old to be used, are 0 and `scraped_at` is -inf. Where only
    its KV-cache use is unknown, that is NaN.
    """

    def __init__(self) -> None:
        self.figures: NDArray[np.float64] = np.zeros((_FIGURES, 0))
        """All numeric columns in one array, so that a decision gathers its candidates' in one step."""
        self.waiting: NDArray[np.float64]
        """Requests queued in the engine, as last scraped."""
        self.running: NDArray[np.float64]
        """Requests being answered by the engine, as last scraped, less own ones that have ended since."""
        self.kv_usage: NDArray[np.float64]
        """Share of the KV cache in use, 0 to 1; NaN where a page that was read does not say."""
        self.inflight: NDArray[np.float64]
        """This process's own requests at the endpoint."""
        self.unseen: NDArray[np.float64]
        """Those of `inflight` that began after the last scrape: its figures cannot include them."""
        self.tokens: NDArray[np.float64]
        """Prompt tokens of own requests in flight that were not expected in the endpoint's cache."""
        self.scraped_at: NDArray[np.float64]
        """When the last good scrape began, monotonic seconds; -inf is never, or too long ago."""
        self.ejected_until: NDArray[np.float64]
        """Ejected until then, monotonic seconds; 0 is not."""
        self.failures: NDArray[np.int32]
        """Scrapes failed in a row."""
        self.admitted: NDArray[np.bool_]
        """Whether the gateway knows the address, so that it may be picked."""
        self.draining: NDArray[np.bool_]
        """Terminating or not ready: no new requests, whatever candidate sets still say."""
        self.generation: NDArray[np.int64]
        self.needs: NDArray[np.int8]
        """`Reach` that a gateway needs to send requests there; 0 is an own server."""
        self.hosted_rows = 0
        """Rows of hosted providers."""
        self.unreachable: NDArray[np.bool_]
        """Whether nobody listens there: these are ejected too."""
        self.unmeasured = 0
        """Addresses without figures of their engine that may be used."""
        self.kv_unknown = 0
        """Addresses whose KV-cache use alone is unknown."""
        self.pending = 0
        """Addresses not admitted yet."""
        self.ejections = 0
        """Rows whose `ejected_until` is set."""
        self.draining_rows = 0
        """How many rows drain."""
        self.changes = 0
        """How often figures of a row have changed: who keeps something made of them asks `changed_since`."""
        self._changed: deque[int] = deque(maxlen=_CHANGES_KEPT)
        self._addresses: list[str | None] = []
        self._facts: dict[str, EndpointFacts] = {}
        self._rows: dict[str, int] = {}
        self._at_host: dict[str, set[int]] = {}
        self._free: list[int] = []
        self._allocate(_FIRST_CAPACITY)

    def _allocate(self, capacity: int) -> None:
        old = len(self._addresses)
        figures = np.zeros((_FIGURES, capacity))
        figures[SCRAPED_AT] = -np.inf
        figures[:, :old] = self.figures
        self.figures = figures
        (
            self.waiting,
            self.running,
            self.kv_usage,
            self.inflight,
            self.unseen,
            self.tokens,
            self.scraped_at,
            self.ejected_until,
        ) = figures
        for name, dtype in (
            ("failures", np.int32),
            ("admitted", np.bool_),
            ("unreachable", np.bool_),
            ("draining", np.bool_),
            ("generation", np.int64),
            ("needs", np.int8),
        ):
            column = np.zeros(capacity, dtype)
            if old:
                column[:old] = getattr(self, name)
            setattr(self, name, column)
        self._addresses.extend([None] * (capacity - old))
        self._free.extend(range(capacity - 1, old - 1, -1))

    @property
    def capacity(self) -> int:
        """Rows there are, held or free."""
        return len(self._addresses)

    def __len__(self) -> int:
        return len(self._rows)

    def touched(self, row: int) -> None:
        """Figures of a row have changed. Who writes to the columns says so, each time."""
        self.changes += 1
        self._changed.append(row)

    def changed_since(self, changes: int) -> set[int] | None:
        """Rows whose figures have changed since there were so many `changes`; None if too long ago."""
        missed = self.changes - changes
        if missed > len(self._changed):
            return None
        return set(islice(reversed(self._changed), missed))

    def row_of(self, address: str) -> int | None:
        """The row an address holds now."""
        return self._rows.get(address)

    def rows_at(self, host: str) -> Collection[int]:
        """The rows of all ports of a host, an IP address without brackets."""
        return self._at_host.get(host, ())

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
        rows = self.release(removed)
        return replace(self.prepare(wanted), removed=removed, removed_rows=rows)

    def prepare(self, wanted: Mapping[str, EndpointFacts]) -> Change:
        """As `sync`, but the others keep their rows and drain, until `release` is called for them.

        Meanwhile candidate sets that still have them can be replaced.
        """
        removed = frozenset(self._rows.keys() - wanted.keys())
        added = frozenset(wanted.keys() - self._rows.keys())
        for address, facts in wanted.items():
            if address in added:
                self._take(address)
            if facts.needs or self.hosted_rows:
                self._need(self._rows[address], facts.needs)
        self.drain(removed)
        self._facts = {**{address: self._facts[address] for address in removed}, **wanted}
        return Change(added, removed)

    def release(self, addresses: Iterable[str]) -> tuple[int, ...]:
        """Forget addresses; the rows they had, which new ones may get from now on."""
        freed = []
        for address in addresses:
            freed.append(self._rows[address])
            self._release(address)
            del self._facts[address]
        return tuple(freed)

    def drain(self, addresses: Iterable[str]) -> None:
        """Give these no new requests, from this moment on; unknown ones are passed over."""
        for address in addresses:
            row = self._rows.get(address)
            if row is not None and not self.draining[row]:
                self.draining[row] = True
                self.draining_rows += 1

    def restore(self, addresses: Iterable[str]) -> None:
        """They may get requests again."""
        for address in addresses:
            row = self._rows.get(address)
            if row is not None and self.draining[row]:
                self.draining[row] = False
                self.draining_rows -= 1

    def drain_only(self, addresses: Iterable[str]) -> None:
        """Exactly these drain."""
        if self.draining_rows:
            self.draining[:] = False
            self.draining_rows = 0
        self.drain(addresses)

    def _take(self, address: str) -> None:
        if not self._free:
            self._allocate(2 * len(self._addresses))
        row = self._free.pop()
        self._rows[address] = row
        self._addresses[row] = address
        self._at_host.setdefault(host_of(address), set()).add(row)
        self.pending += 1
        self.unmeasured += 1

    def _release(self, address: str) -> None:
        row = self._rows.pop(address)
        self._addresses[row] = None
        host = host_of(address)
        self._at_host[host].discard(row)
        if not self._at_host[host]:
            del self._at_host[host]
        self.generation[row] += 1
        self.expire(row)
        self.failures[row] = 0
        self.inflight[row] = self.unseen[row] = self.tokens[row] = 0
        self.touched(row)
        self.eject(row, 0)
        self.unreachable[row] = False
        self.unmeasured -= 1
        self.pending -= not self.admitted[row]
        self.admitted[row] = False
        self.draining_rows -= bool(self.draining[row])
        self.draining[row] = False
        self._need(row, Reach.SERVERS)
        self._free.append(row)

    def _need(self, row: int, reach: Reach) -> None:
        self.hosted_rows += (reach > 0) - int(self.needs[row] > 0)
        self.needs[row] = reach

    def measured(self, row: int, scraped_at: float, waiting: float, running: float, kv_usage: float) -> None:
        """What the engine says of itself; a KV-cache use of NaN is unknown."""
        self.unmeasured -= math.isinf(self.scraped_at[row])
        self.waiting[row] = waiting
        self.running[row] = running
        self.kv_unknown += math.isnan(kv_usage) - math.isnan(self.kv_usage[row])
        self.kv_usage[row] = kv_usage
        self.scraped_at[row] = scraped_at
        self.failures[row] = 0
        self.touched(row)

    def expire(self, row: int) -> None:
        """The engine's figures are too old to be used; own requests are all that is known."""
        self.unmeasured += not math.isinf(self.scraped_at[row])
        self.kv_unknown -= math.isnan(self.kv_usage[row])
        self.waiting[row] = self.running[row] = self.kv_usage[row] = 0
        self.unseen[row] = self.inflight[row]
        self.scraped_at[row] = -np.inf
        self.touched(row)

    def expire_older_than(self, before: float) -> None:
        """Expire all figures scraped before then."""
        old = (self.scraped_at < before) & (self.scraped_at > -np.inf)
        for row in np.flatnonzero(old).tolist():
            self.expire(row)

    def eject(self, row: int, until: float) -> None:
        """Leave an endpoint out until then; 0 takes it back."""
        self.ejections += bool(until) - bool(self.ejected_until[row])
        self.ejected_until[row] = until

    def admit(self, addresses: Iterable[str]) -> None:
        """The gateway knows these addresses: they may be picked."""
        if not self.pending:
            return
        for address in addresses:
            row = self._rows.get(address)
            if row is not None and not self.admitted[row]:
                self.admitted[row] = True
                self.pending -= 1

    def counts(self, now: float) -> dict[str, int]:
        """Endpoints by state, for telemetry.

        `ready`; `pending`: Envoy does not know it yet; `draining`: terminating, or not ready; `ejected`:
        outlier detection; `unmeasured`: its engine's figures are missing or too old.
        """
        counts = {"ready": 0, "pending": 0, "draining": 0, "ejected": 0, "unmeasured": 0}
        for address, row in self._rows.items():
            if not self.admitted[row]:
                counts["pending"] += 1
            elif self.draining[row]:
                counts["draining"] += 1
            elif self.ejected_until[row] > now:
                counts["ejected"] += 1
            elif self._facts[address].engine is not Engine.OPENAI and np.isinf(self.scraped_at[row]):
                counts["unmeasured"] += 1
            else:
                counts["ready"] += 1
        return counts
