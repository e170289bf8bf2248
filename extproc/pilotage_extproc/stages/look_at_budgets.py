"""Which models' budgets are spent, for rules whose fallback takes such requests elsewhere."""

from dataclasses import replace
from typing import Final

from pilotage_extproc.accounting.books import Books
from pilotage_extproc.accounting.prices import PriceBook
from pilotage_extproc.accounting.rules import Expected
from pilotage_extproc.accounting.tenant_rules import RulesOfCaller
from pilotage_extproc.domain.refusals import RequestRefused
from pilotage_extproc.request.exchange import Exchange
from pilotage_extproc.request.spent_models import SPENT_MODELS
from pilotage_extproc.request.stage import Step
from pilotage_extproc.request.token_bounds import Bounds
from pilotage_extproc.scheduling.targets import CandidateGroup, GroupTargets
from pilotage_extproc.stages.most_cost import most_cost

_NONE: Final[frozenset[str]] = frozenset()


class LookAtBudgets(Step):
    """Looks at the budgets of each model that the rule may ask; those of nobody else tell models apart."""

    name = "lookAtBudgets"

    def __init__(self, rules: RulesOfCaller, books: Books, prices: PriceBook, clamp_at: int | None) -> None:
        """`clamp_at` is the most output tokens that the rule lets an answer have; None has no such bound."""
        self._rules = rules
        self._books = books
        self._prices = prices
        self._clamp_at = clamp_at

    def apply(self, exchange: Exchange) -> None:
        """Look at the ledgers as they are known here: nothing is waited for."""
        rules, now = self._rules.of(exchange.identity), self._books.utc_now()
        if not rules.by_model:
            exchange.keep(SPENT_MODELS, _NONE)
            return
        groups = {group.upstream_model: group for group in exchange.route.candidates.targets.groups}
        spent = [
            model
            for model, group in groups.items()
            if rules.spent_by_model(
                exchange.identity,
                model,
                self._expected(exchange, group) if rules.hard else Expected(0, 0, 0),
                now,
                self._books.store.spent,
            )
        ]
        exchange.keep(SPENT_MODELS, frozenset(spent))

    def _expected(self, exchange: Exchange, group: CandidateGroup) -> Expected:
        """The most that it can cost there; nothing where that cannot be told: it is refused later."""
        one = replace(group, addresses=group.addresses[:1], rows=group.rows[:1])
        targets = GroupTargets([one])
        terms = self._prices.terms(exchange.snapshot_version, exchange.route.pools, targets)
        try:
            return Expected(0, 0, most_cost(Bounds(exchange), terms, self._clamp_at).nano)
        except RequestRefused:
            return Expected(0, 0, 0)
