"""A tenant as extproc follows it."""

from pilotage_api.governance_snapshot import GovernanceSnapshot
from pilotage_api.part import Part


class TenantSnapshot(Part):
    """What a tenant may use."""

    name: str
    """As keys, tokens and trusted headers name it."""
    key: str
    """`namespace/name` of the resource."""
    teams: tuple[str, ...] = ()
    """Empty is any."""
    models: tuple[str, ...] = ()
    """Names it may ask for, exact or globs; empty is any."""
    weight: int = 1
    """Of its share of service where requests wait."""
    priority: int = 0
    """Of its requests where they wait, added to that of the policy."""
    governance: GovernanceSnapshot | None = None
    """Limits and budgets; None has neither."""
    unenforceable: str | None = None
    """Why all its requests are refused: what it may use is not known."""
