"""Prices of models as a snapshot states them, made ready once."""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Final

from pilotage_api.facts_snapshot import ModelSnapshot
from pilotage_api.snapshot import PoolSnapshot
from pilotage_extproc.accounting.price import Price

_MOST_KEPT: Final = 4096


class PriceBook:
    """Facts and prices by snapshot, pool and upstream model; those asked for last are kept."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, str, str], tuple[ModelSnapshot | None, Price | None]] = (
            OrderedDict()
        )

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
