"""Policies and rules, ready to be matched."""

from dataclasses import dataclass

from pilotage_extproc.request.plan import Plan
from pilotage_extproc.scheduling.route import Route


@dataclass(slots=True, frozen=True, eq=False)
class Rule:
    """Where requests go for which it holds, and what is done for them."""

    route: Route
    plan: Plan


@dataclass(slots=True, frozen=True, eq=False)
class Policy:
    """The rules of one policy, in order; the first that holds wins."""

    key: str
    """`namespace/name`."""
    rules: tuple[Rule, ...]
