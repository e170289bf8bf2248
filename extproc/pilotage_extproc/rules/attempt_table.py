"""How each upstream model of each pool is spoken to, by a number that any process can look up.

The pick of a request names its attempts by these numbers and the version of the snapshot they belong to:
whoever rewrites a later attempt finds here what it needs, and no text travels with the pick.
"""

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

from pilotage_api.snapshot import Binding, RoutingSnapshot
from pilotage_extproc.dialects.output_budget import OutputBudget
from pilotage_extproc.dialects.transform.transform import Transform
from pilotage_extproc.request.attempt import Attempt
from pilotage_extproc.rules.output_budgets import levels_of

_MOST_VERSIONS: Final = 16
"""Versions kept: requests that were decided under an older one cannot be rewritten any more."""


class AttemptTable:
    """The attempts of one snapshot, numbered in an order that depends on its content alone."""

    def __init__(self, snapshot: RoutingSnapshot) -> None:
        pools = {pool.key: pool for pool in snapshot.pools}
        ways = sorted({way for way in _ways(snapshot) if way[0] in pools}, key=_in_order)
        self.version = snapshot.version
        self.transforms = {one.name: Transform(one) for one in snapshot.transforms}
        """By name, ready to be applied."""
        self.attempts = tuple(
            [
                Attempt.at(pools[pool], model, self.transforms.get(name), budget)
                for pool, model, name, budget in ways
            ]
        )
        self._numbers = {_way_of(one): at for at, one in enumerate(self.attempts)}

    def number(self, attempt: Attempt) -> int:
        """Its number. Raises KeyError for what is not in the snapshot."""
        return self._numbers[_way_of(attempt)]


class AttemptTables:
    """The tables of the last versions."""

    def __init__(self) -> None:
        self._tables: OrderedDict[str, AttemptTable] = OrderedDict()

    def of(self, snapshot: RoutingSnapshot) -> AttemptTable:
        """The table of a snapshot, kept from now on."""
        table = self._tables.get(snapshot.version)
        if table is None:
            table = self._tables[snapshot.version] = AttemptTable(snapshot)
        self._tables.move_to_end(snapshot.version)
        if len(self._tables) > _MOST_VERSIONS:
            self._tables.popitem(last=False)
        return table

    def number(self, version: str, attempt: Attempt) -> int:
        """Its number in that version, which is one of the last. Raises KeyError."""
        return self._tables[version].number(attempt)

    def find(self, version: str, number: int) -> Attempt | None:
        """The attempt behind a pick's number; None where the version is not known here, or has no such."""
        table = self._tables.get(version)
        if table is None or not 0 <= number < len(table.attempts):
            return None
        return table.attempts[number]


_Way = tuple[str, str, str, OutputBudget | None]
"""Pool, upstream model, the name of a transform or nothing, an output budget or none."""


def _way_of(attempt: Attempt) -> _Way:
    transform = attempt.transform
    return attempt.pool, attempt.upstream_model, "" if transform is None else transform.name, attempt.budget


def _in_order(way: _Way) -> tuple[str, str, str, tuple[int, bool, int]]:
    pool, model, transform, budget = way
    level = (0, False, 0) if budget is None else (budget.tokens, budget.instructs, budget.clamp_at or 0)
    return pool, model, transform, level


def _ways(snapshot: RoutingSnapshot) -> Iterable[_Way]:
    """Each way unchanged, as calls go that no policy changes, and as its rules change it."""
    for bindings in snapshot.names.values():
        yield from _unchanged(bindings)
    for route in snapshot.routes:
        for rule in (*route.rules, *route.instead):
            for candidate in (*rule.candidates, *(() if rule.fallback is None else rule.fallback.to)):
                names = {"", rule.transforms.get(candidate.model, "")}
                for name in names:
                    for budget in (None, *levels_of(rule.output_budget)):
                        yield from (
                            (one.pool, one.upstream_model, name, budget) for one in candidate.bindings
                        )


def _unchanged(bindings: Iterable[Binding]) -> Iterable[_Way]:
    return ((one.pool, one.upstream_model, "", None) for one in bindings)
