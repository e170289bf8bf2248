"""Limits and budgets of a policy together with those of the tenant that asks: claimed at once."""

from collections.abc import Mapping

from pilotage_extproc.accounting.rules import SpendingRules
from pilotage_extproc.domain.identity import Identity


class RulesOfCaller:
    """What bounds a request of a policy, by who asks."""

    def __init__(self, own: SpendingRules, tenants: Mapping[str, SpendingRules]) -> None:
        """`tenants` are those of tenants that bound anything, by name."""
        self.own = own
        self._together = {
            name: SpendingRules(own.scope, (*own.limits, *theirs.limits), (*own.budgets, *theirs.budgets))
            for name, theirs in tenants.items()
        }

    @property
    def any_hard(self) -> bool:
        """Whether a budget of any caller is never to be overdrawn."""
        return self.own.hard or any(rules.hard for rules in self._together.values())

    @property
    def any_by_model(self) -> bool:
        """Whether a budget of any caller counts each model by itself."""
        return self.own.by_model or any(rules.by_model for rules in self._together.values())

    @property
    def any_reads_tokens(self) -> bool:
        """Whether it matters for any caller how many tokens a request may have."""
        return self.own.reads_tokens or any(rules.reads_tokens for rules in self._together.values())

    def of(self, identity: Identity) -> SpendingRules:
        """All that bounds a request of theirs."""
        return self._together.get(identity.tenant, self.own)
