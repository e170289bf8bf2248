"""Policies and rules, ready to be matched."""

from dataclasses import dataclass, field

from pilotage_api.governance_snapshot import GovernanceSnapshot
from pilotage_api.snapshot import Otherwise
from pilotage_extproc.request.plan import Plan
from pilotage_extproc.request.stage import Stage
from pilotage_extproc.rules.condition import Condition
from pilotage_extproc.scheduling.route import Route


@dataclass(slots=True, frozen=True, eq=False)
class Rule:
    """Where requests go for which it holds, and what is done for them."""

    route: Route
    plan: Plan
    condition: Condition | None = None
    """None always holds."""


@dataclass(slots=True, frozen=True, eq=False)
class Policy:
    """The rules of one policy, in order; the first that holds wins."""

    key: str
    """`namespace/name`."""
    rules: tuple[Rule, ...]
    otherwise: Otherwise = Otherwise.REFUSE
    """What becomes of a request for which none holds."""
    override_header: str | None = None
    """Header by which clients choose a rule, in lower case."""
    overrides: dict[str, Rule] = field(default_factory=dict)
    """Rules that it may choose, by name."""
    features: tuple[Stage, ...] = ()
    """What has to be awaited before its conditions are evaluated; empty where they read nothing slow."""
    governance: GovernanceSnapshot | None = None
    """What it bounds; no policy that comes before it may bound less, where the gateway has a floor."""
