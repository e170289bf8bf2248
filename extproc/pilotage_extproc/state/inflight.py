"""Requests this process has placed and not seen finished: counted at once, settled once, healed.

A count that is only ever decremented by a completion drifts upwards with each one that is lost. Two
things heal it: an engine that has reported itself idle for some time cannot hold older requests, and no
request lives past the time to live. A request that was given up and ends all the same is no longer
counted, but what it was is remembered, so that its outcome still teaches.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Generic, TypeVar

from pilotage_extproc.state.endpoints import EndpointTable

IDLE_GRACE_SECONDS = 5.0
"""How long an engine must have been idle without a break: a page may lag, and requests be on their way."""
_MOST_REMEMBERED = 10_000
"""Requests given up whose outcome may still come."""


Note = TypeVar("Note")


@dataclass(slots=True)
class InFlight(Generic[Note]):
    """One request at one endpoint."""

    row: int
    generation: int
    began_at: float
    """Monotonic seconds."""
    tokens: float
    """Prompt tokens it was expected to compute."""
    note: Note | None
    """What its settling needs to know; goes with the request, however that ends."""


class InflightLedger(Generic[Note]):
    """Owns the columns `inflight`, `unseen` and `tokens` of the endpoint table, and lowers `running`."""

    def __init__(self, table: EndpointTable, *, ttl_seconds: float) -> None:
        self._table = table
        self._ttl_seconds = ttl_seconds
        self._open: dict[str, InFlight[Note]] = {}
        self._by_row: dict[int, dict[str, float]] = {}
        self._idle_since: dict[int, tuple[int, float]] = {}
        """By row: its generation, and when its engine was first found idle without a break."""
        self._given_up: OrderedDict[str, InFlight[Note]] = OrderedDict()
        self.healed = 0
        """Requests that were given up because their completion was never seen."""

    def __len__(self) -> int:
        return len(self._open)

    def begin(
        self, decision_id: str, row: int, now: float, tokens: float = 0.0, note: Note | None = None
    ) -> None:
        """Count a request at a row from now on. A decision id is used once."""
        table = self._table
        self._open[decision_id] = InFlight(row, int(table.generation[row]), now, tokens, note)
        of_row = self._by_row.get(row)
        if of_row is None:
            of_row = self._by_row[row] = {}
        of_row[decision_id] = now
        table.inflight[row] += 1
        table.unseen[row] += 1
        if tokens:
            table.tokens[row] += tokens

    def settle(self, decision_id: str) -> InFlight[Note] | None:
        """Stop counting a request; None if it was settled before, never begun, or given up long ago."""
        entry = self._open.pop(decision_id, None)
        if entry is None:
            return self._given_up.pop(decision_id, None)
        row, table = entry.row, self._table
        of_row = self._by_row.get(row)
        if of_row is not None and of_row.pop(decision_id, None) is not None and not of_row:
            del self._by_row[row]
        if table.generation[row] == entry.generation:
            left = table.inflight[row] - 1
            table.inflight[row] = left
            # a sum of estimates is not exact: none is left when no request is
            table.tokens[row] = max(0.0, table.tokens[row] - entry.tokens) if left else 0.0
            if entry.began_at > table.scraped_at[row]:
                table.unseen[row] -= 1
            elif table.running[row] > 0:
                # the engine may have counted it: its figure would hold until the next scrape what has ended
                table.running[row] -= 1
        return entry

    def scraped(self, row: int, began_at: float, *, idle: bool) -> None:
        """A scrape that began then has been written to the row; `idle` if the engine held nothing."""
        idle_for = self._idle_seconds(row, began_at, idle=idle)
        of_row = self._by_row.get(row)
        if of_row is None:
            self._table.unseen[row] = 0
            return
        if idle_for >= IDLE_GRACE_SECONDS:
            gone = [key for key, began in of_row.items() if began < began_at - IDLE_GRACE_SECONDS]
            for decision_id in gone:
                self._heal(decision_id)
        generation = self._table.generation[row]
        self._table.unseen[row] = sum(
            1
            for key, began in of_row.items()
            if began > began_at and self._open[key].generation == generation
        )

    def _idle_seconds(self, row: int, now: float, *, idle: bool) -> float:
        if not idle:
            self._idle_since.pop(row, None)
            return 0.0
        generation = int(self._table.generation[row])
        known = self._idle_since.get(row)
        if known is None or known[0] != generation:
            known = self._idle_since[row] = (generation, now)
        return now - known[1]

    def expire(self, now: float) -> None:
        """Give up requests older than the time to live. Amortised O(1) a request: oldest come first."""
        while self._open:
            decision_id, entry = next(iter(self._open.items()))
            if entry.began_at > now - self._ttl_seconds:
                return
            self._heal(decision_id)

    def _heal(self, decision_id: str) -> None:
        entry = self.settle(decision_id)
        if entry is None:
            return
        self.healed += 1
        self._given_up[decision_id] = entry
        if len(self._given_up) > _MOST_REMEMBERED:
            self._given_up.popitem(last=False)
