"""What a controller reports on a resource: conditions, as Kubernetes writes them."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

from pilotage_api.resource import unique_by

Reason = Annotated[
    str, StringConstraints(min_length=1, max_length=1024, pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$")
]


class _Reported(BaseModel):
    """Base of what controllers write: fields of later versions are let through."""

    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        alias_generator=to_camel,
        populate_by_name=True,
        use_attribute_docstrings=True,
    )


class Condition(_Reported):
    """One aspect of a resource's state."""

    type: str = Field(min_length=1, max_length=316)
    """`Accepted`, `ResolvedRefs` or `Programmed`."""
    status: Literal["True", "False", "Unknown"]
    """Whether it holds."""
    observed_generation: int = Field(default=0, ge=0)
    """The resource's generation this was found for."""
    last_transition_time: datetime
    """When `status` last changed."""
    reason: Reason
    """Why, in one word for machines."""
    message: str = Field(max_length=32768)
    """Why, for people."""


class ResourceStatus(_Reported):
    """What a controller found."""

    observed_generation: int = Field(default=0, ge=0)
    """The newest generation a controller has seen."""
    conditions: list[Condition] = Field(default=[], max_length=8, json_schema_extra=unique_by("type"))
    """Accepted, ResolvedRefs, Programmed."""
    reason: Reason | None = None
    """In one word what to look at first: of the first condition that does not hold, or of no servers."""
    message: str | None = Field(default=None, max_length=1200)
    """The same for people."""
    gateway: str | None = Field(default=None, max_length=128)
    """Whose word this is: `namespace/name` of the snapshot that the gateway publishes."""


class EndpointCounts(_Reported):
    """How many servers of a pool take requests."""

    ready: int = Field(default=0, ge=0)
    """Those that at least one picker may pick."""
    total: int = Field(default=0, ge=0)
    """All that are known."""


class ModelPoolStatus(ResourceStatus):
    """What a controller found of a pool."""

    endpoints: EndpointCounts | None = None
    """Its servers, as pickers see them; absent while no picker has said."""
    endpoints_ready: str | None = Field(default=None, max_length=32)
    """The same to be read: `2/3`."""
    models: str | None = Field(default=None, max_length=256)
    """What it serves, to be read: model names, cut short."""


class RoutePolicyStatus(ResourceStatus):
    """What a controller found of a policy."""

    candidates: str | None = Field(default=None, max_length=256)
    """Where its requests go, to be read: model names, cut short."""


class BudgetStatus(_Reported):
    """What a tenant, or a party of it, has of one budget."""

    per: str = Field(max_length=16)
    """What is counted by itself, as in the budget."""
    party: str | None = Field(default=None, max_length=512)
    """The team, key or model that is counted; absent where it is the tenant."""
    period: str = Field(max_length=16)
    """As in the budget."""
    time_zone: str = Field(max_length=64)
    """As in the budget."""
    mode: str = Field(max_length=16)
    """As in the budget."""
    usd: str = Field(max_length=32)
    """The budget, US dollars."""
    spent: str = Field(max_length=32)
    """US dollars that the ledger shows in this period: settled and estimated."""
    held: str = Field(max_length=32)
    """US dollars that requests under way may still cost; `0` of a soft budget."""
    remaining: str = Field(max_length=32)
    """What is neither spent nor held."""
    resets: str = Field(max_length=32)
    """When the period ends, UTC: `2026-12-01T00:00:00Z`."""


class TenantStatus(ResourceStatus):
    """What a controller found of a tenant."""

    models: str | None = Field(default=None, max_length=256)
    """What it may ask for, to be read: model names, cut short."""
    spent: str | None = Field(default=None, max_length=80)
    """To be read: US dollars spent of the budget that is nearest to its bound, `412.5/500`."""
    held: str | None = Field(default=None, max_length=32)
    """To be read: US dollars that requests under way hold of that budget."""
    resets: str | None = Field(default=None, max_length=32)
    """To be read: when that budget is full again, UTC."""
    budgets: list[BudgetStatus] = Field(default=[], max_length=32)
    """Its budgets as pickers report them, nearest to their bound first; those of users are not shown."""
    budgets_left_out: int | None = Field(default=None, ge=0)
    """How many more there are."""
