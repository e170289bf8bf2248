"""Limits and budgets as extproc follows them."""

from enum import StrEnum

from pilotage_api.part import Part


class Per(StrEnum):
    """What each of is counted by itself."""

    POLICY = "policy"
    TENANT = "tenant"
    TEAM = "team"
    KEY = "key"
    USER = "user"
    MODEL = "model"


class RateLimitSnapshot(Part):
    """Bounds of what a party may use in a window, and at one time; None is no bound."""

    per: Per
    window_seconds: float | None = None
    requests: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    total_tokens: int | None = None
    concurrent: int | None = None


class BudgetLimitSnapshot(Part):
    """Money that a party may spend in a period."""

    per: Per
    period: str
    """`hour`, `day`, `week` or `month`."""
    time_zone: str
    usd: str
    """Decimal text."""
    hard: bool
    alert_at: tuple[str, ...] = ()
    """Shares of it, decimal text."""
    instead: int | None = None
    """Number of the rule in `PolicyRoute.instead` that requests follow when it is spent."""


class GovernanceSnapshot(Part):
    """What a policy bounds."""

    limits: tuple[RateLimitSnapshot, ...] = ()
    budgets: tuple[BudgetLimitSnapshot, ...] = ()
    unenforceable: str | None = None
    """Why it cannot be kept: requests are refused instead of served without it."""
    kv_isolation: bool = False
    """Whether tenants have prefix caches of their own."""
