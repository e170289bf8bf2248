"""Where candidates lead: endpoints under a model's name, group by group."""

from bisect import bisect_right
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, repeat
from typing import Final, overload

import numpy as np
from numpy.typing import NDArray

from pilotage_api.snapshot import SaturationSnapshot
from pilotage_extproc.domain.decision import Target
from pilotage_extproc.state.breakers import Circuit

UNBOUNDED: Final = SaturationSnapshot()
_MOST_MADE: Final = 256
"""Targets that are kept of one candidate set."""


@dataclass(slots=True, frozen=True)
class CandidateGroup:
    """One pool's endpoints under one upstream model, before they stand in columns."""

    tier: int
    pool: str
    upstream_model: str
    addresses: tuple[str, ...]
    rows: NDArray[np.intp]
    """Of the addresses, in the endpoint table."""
    is_adapter: bool = False
    saturation: SaturationSnapshot = UNBOUNDED
    admission: int | None = None
    """Requests that may wait in its engines before they have no room; None is no bound."""


class GroupTargets(Sequence[Target]):
    """The targets of some groups; made as they are asked for: a pool may have hundreds of names."""

    __slots__ = ("_begins", "_length", "_made", "groups")

    def __init__(self, groups: Sequence[CandidateGroup]) -> None:
        self._made: dict[int, Target] = {}
        """Those that were asked for first: most requests go to them again."""
        self.groups = [group for group in groups if group.addresses]
        self._begins = list(accumulate((len(group.addresses) for group in self.groups), initial=0))
        self._length = self._begins.pop()

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> Target: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Target]: ...
    def __getitem__(self, index: int | slice) -> Target | Sequence[Target]:
        if isinstance(index, slice):
            return tuple(self)[index]
        made = self._made.get(index)
        if made is None:
            made = self._make(index)
            if len(self._made) < _MOST_MADE:
                self._made[index] = made
        return made

    def at(self, indices: Sequence[int]) -> tuple[Target, ...]:
        """Several of them."""
        made = self._made
        return tuple([made.get(index) or self[index] for index in indices])

    def _make(self, index: int) -> Target:
        position = index + self._length if index < 0 else index
        if not 0 <= position < self._length:
            raise IndexError(index)
        found = bisect_right(self._begins, position) - 1
        group = self.groups[found]
        within = position - self._begins[found]
        return Target(
            int(group.rows[within]),
            group.addresses[within],
            group.pool,
            group.upstream_model,
            group.is_adapter,
        )

    def __iter__(self) -> Iterator[Target]:
        for group in self.groups:
            yield from map(
                Target,
                group.rows.tolist(),
                group.addresses,
                repeat(group.pool),
                repeat(group.upstream_model),
                repeat(group.is_adapter),
            )

    def has_address(self, address: str) -> bool:
        """Whether any of them is there."""
        return any(address in group.addresses for group in self.groups)

    def among(self, circuits: Collection[Circuit]) -> NDArray[np.bool_]:
        """True where one of these pools, or models of a pool, is."""
        found = np.zeros(self._length, np.bool_)
        for begin, group in zip(self._begins, self.groups, strict=True):
            if Circuit(group.pool) in circuits or Circuit(group.pool, group.upstream_model) in circuits:
                found[begin : begin + len(group.addresses)] = True
        return found

    def named(self, models: Collection[str]) -> NDArray[np.bool_]:
        """True where the upstream model is one of these."""
        found = np.zeros(self._length, np.bool_)
        for begin, group in zip(self._begins, self.groups, strict=True):
            if group.upstream_model in models:
                found[begin : begin + len(group.addresses)] = True
        return found

    def renamed(self, model: str, *, adapter: bool) -> "GroupTargets":
        """The same, all asked for this model."""
        return GroupTargets(
            [replace(group, upstream_model=model, is_adapter=adapter) for group in self.groups]
        )
