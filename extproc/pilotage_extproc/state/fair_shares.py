"""Fairness between tenants that wait: a virtual token counter for each.

Source: Sheng et al., "Fairness in Serving Large Language Models" (VTC), arXiv 2401.00588. The tenant that
has been given the least service, over its weight, is next. One that comes back after a pause is lifted to
the least of those that wait, so that nobody saves up service while it asks for nothing. The paper counts
output as it is made; here an expected output is charged when a request is let through and corrected when
it has ended (the paper's variant with length prediction).
"""

from collections.abc import Collection
from typing import Final

INPUT_COST: Final = 1.0
OUTPUT_COST: Final = 2.0
"""Of a token: the paper's weights for prompt and output."""
_MOST_TENANTS: Final = 4096


def service(input_tokens: float, output_tokens: float) -> float:
    """What a request of so many tokens costs its tenant, before its weight."""
    return INPUT_COST * input_tokens + OUTPUT_COST * output_tokens


class FairShares:
    """Counters of one priority's tenants at some servers."""

    def __init__(self) -> None:
        self._given: dict[str, float] = {}
        self._last = 0.0
        """Counter of who was let through last."""
        self._untold: dict[str, float] = {}
        """Service given here of which the other pickers have not been told."""

    def given(self, tenant: str) -> float:
        """Service that a tenant was given, over its weight."""
        return self._given.get(tenant, 0.0)

    def joins(self, tenant: str, waiting: Collection[str]) -> None:
        """A tenant of which nothing waits begins to wait, beside these others."""
        floor = min((self.given(one) for one in waiting), default=self._last)
        self._given[tenant] = max(self.given(tenant), floor)
        if len(self._given) > _MOST_TENANTS:
            self._forget(tenant, waiting, floor)

    def charge(self, tenant: str, cost: float, weight: float) -> None:
        """It is given service; less than none corrects what was charged before."""
        self._given[tenant] = given = max(0.0, self.given(tenant) + cost / weight)
        if cost > 0:
            self._last = given
        if len(self._untold) < _MOST_TENANTS:
            self._untold[tenant] = self._untold.get(tenant, 0.0) + cost / weight

    def given_elsewhere(self, tenant: str, amount: float) -> None:
        """Another picker has given it service, over its weight: it counts as if given here."""
        self._given[tenant] = max(0.0, self.given(tenant) + amount)

    def take_untold(self) -> dict[str, float]:
        """What the other pickers have to be told, once."""
        untold, self._untold = self._untold, {}
        return {tenant: amount for tenant, amount in untold.items() if amount}

    def _forget(self, tenant: str, waiting: Collection[str], floor: float) -> None:
        """Those below the floor would be lifted to it when they come: nothing is lost. Else the lowest."""
        kept = {tenant, *waiting}
        idle = sorted((given, one) for one, given in self._given.items() if one not in kept)
        beyond = len(self._given) - _MOST_TENANTS // 2
        for position, (given, one) in enumerate(idle):
            if given > floor and position >= beyond:
                break
            del self._given[one]
