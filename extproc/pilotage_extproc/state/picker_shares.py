"""How much of some servers each picker may fill while requests wait at several of them.

A picker learns first of its own requests that end, and would take their place again and again: one at which
requests wait that has little in flight would never get any. So each has a share: the weights of tenants that
wait there, those of a tenant that waits at several split between them. Shares of few places are rounded by
systematic sampling with an offset that all take from the time of day, so that they add up to what there is
and each is rounded up as often as is due to it.
"""

from collections import Counter
from collections.abc import Mapping
from math import floor
from typing import Final

from pilotage_extproc.state.peer_load import Demand

WINDOW_SECONDS: Final = 0.25
"""For so long shares are rounded the same way."""
_GOLDEN: Final = 0.6180339887498949
"""Steps of this part of one are spread evenly, however many."""


def places(demands: Mapping[str, Demand], own: str, total: float, utc_seconds: float) -> float:
    """Of `total` places those of the process `own`, one of those at which requests wait."""
    weights = _weights(demands)
    whole = sum(weights.values())
    if whole <= 0:
        return total
    offset = (floor(utc_seconds / WINDOW_SECONDS) * _GOLDEN) % 1.0
    before = 0.0
    for process in sorted(weights):
        after = before + weights[process]
        if process == own:
            return float(floor(total * after / whole + offset) - floor(total * before / whole + offset))
        before = after
    return total


def _weights(demands: Mapping[str, Demand]) -> dict[str, float]:
    top = max(demand.priority for demand in demands.values())
    at = Counter(tenant for demand in demands.values() for tenant in demand.weights)
    found = {}
    for process, demand in demands.items():
        weight = sum(weight / at[tenant] for tenant, weight in demand.weights.items())
        found[process] = weight if demand.priority == top else weight * demand.minimum_share
    return found
