"""Budgets whose ledger has passed one of their shares: counted, and logged once a period."""

import logging
from collections import OrderedDict
from collections.abc import Callable
from fractions import Fraction
from typing import Final

from pilotage_api.money import dollars_text
from pilotage_extproc.accounting.store import Booked

log = logging.getLogger(__name__)

_MOST_REMEMBERED: Final = 50_000


class Alerts:
    """Watches budgets; the shares of one are known by the beginning of its account (`budget_of`)."""

    def __init__(self, on_alert: Callable[[str, str], None] = lambda _budget, _share: None) -> None:
        """`on_alert` takes a budget and the share that it has passed, as its resource writes it."""
        self._on_alert = on_alert
        self._shares: dict[str, tuple[tuple[Fraction, str], ...]] = {}
        self._passed: OrderedDict[tuple[str, int], int] = OrderedDict()
        """By account and begin of its period: how many of its shares."""

    def watch(self, budget: str, shares: tuple[str, ...]) -> None:
        """Alert when a budget's accounts pass these shares of what they may spend."""
        if shares:
            self._shares[budget] = tuple(sorted((Fraction(share), share) for share in shares))
        else:
            self._shares.pop(budget, None)

    def see(self, booked: Booked) -> None:
        """A budget's ledger has changed."""
        if not self._shares:
            return
        claim = booked.claim
        budget, _, party = claim.account.partition("=")
        shares = self._shares.get(budget)
        if not shares:
            return
        key = (claim.account, claim.period.start)
        before = self._passed.get(key, 0)
        passed = before
        while passed < len(shares) and booked.booked >= claim.bound * shares[passed][0]:
            passed += 1
        if passed == before:
            return
        self._passed[key] = passed
        if len(self._passed) > _MOST_REMEMBERED:
            self._passed.popitem(last=False)
        for _, share in shares[before:passed]:
            self._on_alert(budget, share)
            log.warning(
                "a budget has passed a share of what it may spend",
                extra={
                    "budget": budget,
                    "party": party,
                    "share": share,
                    "spent_usd": dollars_text(booked.booked),
                    "budget_usd": dollars_text(claim.bound),
                },
            )
