"""Later attempts at models whose own hard budget is spent are left out of the list."""

from pilotage_extproc.accounting.books import Books
from pilotage_extproc.accounting.rules import Expected
from pilotage_extproc.accounting.tenant_rules import RulesOfCaller
from pilotage_extproc.request.exchange import Exchange
from pilotage_extproc.request.stage import Step


class KeepAffordable(Step):
    """Each model of the list has to have room in its budget: one without would refuse the whole request."""

    name = "keepAffordable"

    def __init__(self, rules: RulesOfCaller, books: Books) -> None:
        self._rules = rules
        self._books = books

    def apply(self, exchange: Exchange) -> None:
        """Look at the ledgers as they are known here; the first attempt stays, whatever they say."""
        rules, targets = self._rules.of(exchange.identity), exchange.decision.targets
        if not (rules.hard and rules.by_model) or len(targets) == 1:
            return
        now, spent = self._books.utc_now(), self._books.store.spent
        first, *others = dict.fromkeys([one.upstream_model for one in targets])
        nothing, who = Expected(0, 0, 0), exchange.identity
        kept = {first, *(one for one in others if not rules.spent_by_model(who, one, nothing, now, spent))}
        if len(kept) <= len(others):
            exchange.narrowed([place for place, one in enumerate(targets) if one.upstream_model in kept])
