"""Prices of models as a snapshot states them, made ready once."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from pilotage_api.facts_snapshot import ModelSnapshot
from pilotage_api.snapshot import PoolSnapshot
from pilotage_extproc.accounting.price import Price
from pilotage_extproc.domain.decision import Target

_MOST_KEPT: Final = 4096


class Terms(NamedTuple):
    """What the attempts of a request may cost, by the models they are made at."""

    prices: tuple[Price | None, ...]
    """For each attempt; None is not known."""
    priced: tuple[tuple[int | None, Price], ...] | None
    """Each model's context window and price, once; None where one of them has no price."""
    most_output: int | None
    """Tokens that the least of these models lets an answer have; None where none of them says."""

    def output_bound(self, clamp_at: int | None) -> int | None:
        """The same, where the rule lets an answer have no more than `clamp_at`."""
        if clamp_at is None or self.most_output is None:
            return self.most_output if clamp_at is None else clamp_at
        return min(clamp_at, self.most_output)


class PriceBook:
    """Facts and prices by snapshot, pool and upstream model; those asked for last are kept."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, str, str], tuple[ModelSnapshot | None, Price | None]] = (
            OrderedDict()
        )
        self._terms: OrderedDict[tuple[str, tuple[tuple[str, str], ...]], Terms] = OrderedDict()

    def terms(self, version: str, pools: Mapping[str, PoolSnapshot], targets: Sequence[Target]) -> Terms:
        """What these attempts may cost, in that version of the snapshot."""
        places = tuple([(one.pool, one.upstream_model) for one in targets])
        key = (version, places)
        known = self._terms.get(key)
        if known is None:
            known = self._terms[key] = self._found(version, pools, places)
            if len(self._terms) > _MOST_KEPT:
                self._terms.popitem(last=False)
        return known

    def _found(
        self, version: str, pools: Mapping[str, PoolSnapshot], places: tuple[tuple[str, str], ...]
    ) -> Terms:
        priced: list[tuple[int | None, Price]] = []
        bounds: list[int] = []
        for pool, model in dict.fromkeys(places):
            facts, price = self.of(version, pools, pool, model)
            if facts is not None and price is not None:
                priced.append((facts.context_window, price))
            if facts is not None and facts.max_output_tokens is not None:
                bounds.append(facts.max_output_tokens)
        prices = tuple([self.of(version, pools, pool, model)[1] for pool, model in places])
        return Terms(prices, None if None in prices else tuple(priced), min(bounds, default=None))

    def of(
        self, version: str, pools: Mapping[str, PoolSnapshot], pool: str, upstream_model: str
    ) -> tuple[ModelSnapshot | None, Price | None]:
        """What is known of a model, and its price in that version of the snapshot; None is unknown."""
        key = (version, pool, upstream_model)
        known = self._known.get(key)
        if known is None:
            found = pools.get(pool)
            facts = None if found is None else found.facts_of(upstream_model)
            pricing = None if facts is None else facts.pricing
            known = self._known[key] = (facts, None if pricing is None else Price.of(pricing))
            if len(self._known) > _MOST_KEPT:
                self._known.popitem(last=False)
        return known
