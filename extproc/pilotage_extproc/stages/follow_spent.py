"""Requests of a soft budget that is spent go to the candidates it names."""

from pilotage_extproc.accounting.books import Books
from pilotage_extproc.accounting.rules import SpendingRules
from pilotage_extproc.request.exchange import Exchange
from pilotage_extproc.request.plan import Plan
from pilotage_extproc.request.stage import Step
from pilotage_extproc.scheduling.route import Route


class FollowSpent(Step):
    """Changes the route where a budget of its policy is spent."""

    name = "whenSpent"

    def __init__(
        self,
        rules: SpendingRules,
        instead: tuple[Route, ...],
        plan: Plan,
        books: Books,
    ) -> None:
        self._rules = rules
        self._instead = instead
        self._plan = plan
        self._books = books

    def apply(self, exchange: Exchange) -> None:
        """Look at the ledger as it is known here: nothing is waited for."""
        spent = self._rules.spent(
            exchange.identity, exchange.document.model, self._books.utc_now(), self._books.store.spent
        )
        if spent is None:
            return
        route, only = self._instead[spent], exchange.fixed_address
        if only is None or route.candidates.targets.has_address(only):
            exchange.diverted(route, self._plan)
