"""What tenants may use, ready to be asked for each request."""

import re
from dataclasses import dataclass
from typing import Final

from pilotage_api.precedence import is_glob
from pilotage_api.tenant_snapshot import TenantSnapshot
from pilotage_extproc.rules.globs import glob_pattern
from pilotage_extproc.state.waiter import ORDINARY, Standing

_ANY: Final = frozenset[str]()


@dataclass(slots=True, frozen=True, eq=False)
class TenantRules:
    """Of one tenant."""

    name: str
    teams: frozenset[str] = _ANY
    """Empty is any, or none."""
    models: frozenset[str] = _ANY
    patterns: tuple["re.Pattern[str]", ...] = ()
    """With `models` what it may ask for; both empty is anything."""
    unenforceable: str | None = None
    """Why its requests are refused: what it may do is not known."""

    standing: Standing = ORDINARY
    """Where requests wait."""

    @classmethod
    def of(cls, tenant: TenantSnapshot) -> "TenantRules":
        """Of a tenant of the snapshot."""
        patterns = tuple([glob_pattern(model) for model in tenant.models if is_glob(model)])
        models = frozenset(model for model in tenant.models if not is_glob(model))
        standing = Standing(tenant.priority, float(tenant.weight))
        return cls(tenant.name, frozenset(tenant.teams), models, patterns, tenant.unenforceable, standing)

    def allows_team(self, team: str) -> bool:
        """Whether it has the team, or a request of none."""
        return not self.teams or not team or team in self.teams

    def allows_model(self, model: str) -> bool:
        """Whether it may ask for a name; the empty one is that of a call that names none."""
        if not self.models and not self.patterns:
            return True
        return model in self.models or any(pattern.match(model) for pattern in self.patterns)
