"""What tenants have of their budgets, as a running gateway says."""

from collections.abc import Mapping
from typing import Any, Final

NOW: Final = ("tenant", "per", "party", "period", "mode", "usd", "spent", "held", "remaining", "resets")
"""Columns."""


def budget_rows(page: Mapping[str, Any]) -> list[list[str]]:
    """A row for each budget of each tenant, of the admin address's page."""
    return [
        [tenant, *(str(one.get(column, "")) for column in NOW[1:])]
        for tenant, found in sorted(page["tenants"].items())
        for one in found["budgets"]
    ]
