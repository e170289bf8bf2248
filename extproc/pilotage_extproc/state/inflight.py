"""Requests this process has placed and not seen finished: counted at once, released once.

A count that is only ever decremented by a completion drifts upwards with each one that is lost. An engine
that has reported itself idle for some time cannot hold older requests, and one that reports some cannot
hold more: their counts are given up then. What becomes of the requests themselves is their ledger's
business.
"""

from dataclasses import dataclass
from itertools import islice

from pilotage_extproc.state.endpoints import EndpointTable
from pilotage_extproc.state.retirement import Retirement

IDLE_GRACE_SECONDS = 5.0
"""How long an engine must have been idle without a break: a page may lag, and requests be on their way."""


@dataclass(slots=True, eq=False)
class Hold:
    """One request that counts at one endpoint."""

    key: str
    """Decision id."""
    row: int
    generation: int
    began_at: float
    """Monotonic seconds."""
    tokens: float
    """Prompt tokens it was expected to compute."""
    counted: bool = True


class InflightCounts:
    """Owns the columns `inflight`, `unseen` and `tokens` of the endpoint table, and lowers `running`."""

    def __init__(self, table: EndpointTable) -> None:
        self._table = table
        self._by_row: dict[int, dict[Hold, None]] = {}
        """Oldest first."""
        self._idle_since: dict[int, tuple[int, float]] = {}
        """By row: its generation, and when its engine was first found idle without a break."""
        self._retirements: dict[int, tuple[int, Retirement]] = {}
        """By row with more own requests than its engine reports: its generation, and the watch on it."""
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def begin(self, key: str, row: int, now: float, tokens: float = 0.0) -> Hold:
        """Count a request at a row from now on."""
        table = self._table
        hold = Hold(key, row, int(table.generation[row]), now, tokens)
        of_row = self._by_row.get(row)
        if of_row is None:
            of_row = self._by_row[row] = {}
        of_row[hold] = None
        self._count += 1
        table.inflight[row] += 1
        table.unseen[row] += 1
        if tokens:
            table.tokens[row] += tokens
        table.touched(row)
        return hold

    def end(self, hold: Hold) -> bool:
        """Stop counting a request; False if it no longer counted."""
        if not hold.counted:
            return False
        hold.counted = False
        self._count -= 1
        row, table = hold.row, self._table
        of_row = self._by_row[row]
        del of_row[hold]
        if not of_row:
            del self._by_row[row]
        if table.generation[row] == hold.generation:
            left = table.inflight[row] - 1
            table.inflight[row] = left
            # a sum of estimates is not exact: none is left when no request is
            table.tokens[row] = max(0.0, table.tokens[row] - hold.tokens) if left else 0.0
            if hold.began_at > table.scraped_at[row]:
                table.unseen[row] -= 1
            elif table.running[row] > 0:
                # the engine may have counted it: its figure would hold until the next scrape what has ended
                table.running[row] -= 1
            table.touched(row)
        return True

    def scraped(self, row: int, began_at: float, *, idle: bool) -> list[str]:
        """A scrape that began then has been written to the row; `idle` if the engine held nothing.

        Returns the keys of requests that are no longer counted: the engine cannot hold them. Costs
        time in proportion to the requests that began lately, not to all that are open.
        """
        idle_for = self._idle_seconds(row, began_at, idle=idle)
        of_row = self._by_row.get(row)
        if of_row is None:
            self._table.unseen[row] = 0
            self._table.touched(row)
            return []
        gone: list[Hold] = []
        if idle_for >= IDLE_GRACE_SECONDS:
            for hold in of_row:
                if hold.began_at >= began_at - IDLE_GRACE_SECONDS:
                    break
                gone.append(hold)
        for hold in gone:
            self.end(hold)
        generation = int(self._table.generation[row])
        gone += self._retired(row, generation, began_at, idle=idle)
        unseen = 0
        for hold in reversed(of_row):
            if hold.began_at <= began_at:
                break
            unseen += hold.generation == generation
        self._table.unseen[row] = unseen
        self._table.touched(row)
        return [hold.key for hold in gone]

    def _retired(self, row: int, generation: int, scraped_at: float, *, idle: bool) -> list[Hold]:
        """Stop counting requests beyond what the engine reports."""
        table, of_row = self._table, self._by_row.get(row)
        running = float(table.running[row])
        reported = 0.0 if idle else max(1.0, float(table.waiting[row]) + running)
        # those of the row's former life come first; while there are any, its counts say nothing
        if of_row is None or len(of_row) <= reported or next(iter(of_row)).generation != generation:
            self._retirements.pop(row, None)
            return []
        known = self._retirements.get(row)
        if known is None or known[0] != generation:
            known = self._retirements[row] = (generation, Retirement())
        due = known[1].due(
            len(of_row), lambda: (hold.began_at for hold in reversed(of_row)), reported, scraped_at
        )
        ended = list(islice(of_row, due))
        for hold in ended:
            self.end(hold)
        table.running[row] = running  # what has ended was not in it
        return ended

    def _idle_seconds(self, row: int, now: float, *, idle: bool) -> float:
        if not idle:
            self._idle_since.pop(row, None)
            return 0.0
        generation = int(self._table.generation[row])
        known = self._idle_since.get(row)
        if known is None or known[0] != generation:
            known = self._idle_since[row] = (generation, now)
        return now - known[1]
