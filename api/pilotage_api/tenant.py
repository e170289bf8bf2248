"""`Tenant`: who uses the gateway, and what they may use."""

from collections.abc import Iterable
from functools import cached_property
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from pilotage_api.findings import ResourceKey
from pilotage_api.governance import BudgetLimit, RateLimit
from pilotage_api.resource import (
    API_VERSION,
    UNIQUE,
    VALIDATIONS,
    Block,
    ModelName,
    ObjectMeta,
    Problem,
)
from pilotage_api.status import TenantStatus

Team = Annotated[
    str, StringConstraints(min_length=1, max_length=128, pattern=r"^\S([^\x00-\x1f\x7f-\x9f]*\S)?$")
]
"""As keys and tokens name it."""
NO_POLICY_HERE: Final = "a tenant is no policy: limits and budgets are per tenant, team, key, user or model"
NOTHING_INSTEAD: Final = "whenSpent is for policies: a tenant has no candidates"


class TenantSpec(Block):
    """What a tenant may use."""

    model_config = ConfigDict(
        json_schema_extra={
            VALIDATIONS: [
                {
                    "rule": "!has(self.limits) || self.limits.all(one, one.per != 'policy')",
                    "message": NO_POLICY_HERE,
                },
                {
                    "rule": "!has(self.budgets) || self.budgets.all(one, one.per != 'policy')",
                    "message": NO_POLICY_HERE,
                },
                {
                    "rule": "!has(self.budgets) || self.budgets.all(one, !has(one.whenSpent))",
                    "message": NOTHING_INSTEAD,
                },
            ]
        }
    )

    teams: list[Team] = Field(default=[], max_length=256, json_schema_extra=UNIQUE)
    """Its teams. A key or token that names another is refused; empty takes any."""
    models: list[ModelName] = Field(default=[], max_length=256, json_schema_extra=UNIQUE)
    """Model names it may ask for, exact or with `*` and `?`; empty is any. Others do not exist for it."""
    weight: int = Field(default=1, ge=1, le=1000, strict=True)
    """Its share where requests wait, relative to other tenants (docs/queues.md)."""
    priority: int = Field(default=0, ge=-1000, le=1000, strict=True)
    """Who goes first where requests wait, added to `queue.priority`; together below 0 is sheddable."""
    limits: list[RateLimit] = Field(default=[], max_length=16)
    """Requests, tokens and concurrency, beside those of policies; all hold."""
    budgets: list[BudgetLimit] = Field(default=[], max_length=8)
    """Money, beside the budgets of policies; all hold."""

    def problems(self) -> Iterable[Problem]:
        """Limits and budgets that are a policy's only."""
        parties = {
            "limits": [limit.per for limit in self.limits],
            "budgets": [budget.per for budget in self.budgets],
        }
        for name, found in parties.items():
            for index, per in enumerate(found):
                if per == "policy":
                    yield Problem("invalid-value", f"{name}[{index}].per", NO_POLICY_HERE, "set per: tenant")
        for index, budget in enumerate(self.budgets):
            if budget.when_spent is not None:
                path = f"budgets[{index}].whenSpent"
                yield Problem("invalid-value", path, NOTHING_INSTEAD, "remove it")


class Tenant(BaseModel):
    """Who uses the gateway, and what they may use."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    api_version: Literal["pilotage.dev/v1alpha1"] = Field(default=API_VERSION, alias="apiVersion")
    kind: Literal["Tenant"] = "Tenant"
    metadata: ObjectMeta
    spec: TenantSpec
    status: TenantStatus | None = None

    @cached_property
    def resource_key(self) -> ResourceKey:
        """Its identity."""
        return ResourceKey("Tenant", self.metadata.namespace, self.metadata.name)
