"""Which account a claim counts against: named by what the limit or budget is, and the party it counts for.

The bound is no part of the name: an edited limit goes on from what has been used.
"""

import hashlib
from typing import Final

from pilotage_api.governance_snapshot import BudgetLimitSnapshot, Per, RateLimitSnapshot
from pilotage_extproc.domain.identity import Identity

_LONGEST_PARTY: Final = 128


def limit_name(scope: str, limit: RateLimitSnapshot) -> str:
    """Of a limit, without its party; `scope` is the resource that states it."""
    window = "" if limit.window_seconds is None else f"{limit.window_seconds:g}s"
    return f"limit|{scope}|{limit.per}|{window}"


def tenant_scope(tenant: str) -> str:
    """The resource that states a tenant's limits and budgets."""
    return f"tenant {tenant}"


def budget_name(scope: str, budget: BudgetLimitSnapshot) -> str:
    """Of a budget, without its party."""
    return f"budget|{scope}|{budget.per}|{budget.period}|{budget.time_zone}"


def party(per: Per, identity: Identity, model: str) -> str:
    """Who or what is counted: those of whom nothing is known count together.

    Tenants come first in it: a key's name says nothing outside of its tenant.
    """
    if per is Per.POLICY:
        return "all"
    if per is Per.MODEL:
        return model
    if per is Per.TENANT:
        return identity.tenant
    own = {Per.TEAM: identity.team, Per.KEY: identity.key, Per.USER: identity.user}[per]
    return f"{identity.tenant.replace('%', '%25').replace('/', '%2F')}/{own}"


def account(name: str, whose: str) -> str:
    """The account of a limit or budget and a party; of a long one its digest stands there."""
    if len(whose) > _LONGEST_PARTY:
        whose = hashlib.sha256(whose.encode()).hexdigest()
    return f"{name}={whose}"
