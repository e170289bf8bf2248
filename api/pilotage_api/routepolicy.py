"""`RoutePolicy`: which requests go to which models."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from pilotage_api.resource import API_VERSION, Block, ModelName, ObjectMeta, Reserved

HeaderName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$", max_length=256)]
Path = Annotated[str, StringConstraints(pattern=r"^/[^?#]*$", max_length=1024)]


class HeaderRule(Block):
    """A request header that must be there."""

    name: HeaderName
    """Case does not matter."""
    value: str | None = Field(default=None, max_length=4096)
    """The exact value; any value when left out."""


class PathRule(Block):
    """A request path."""

    value: Path
    """Without the query."""
    type: Literal["Exact", "Prefix"] = "Prefix"
    """`Prefix` matches whole segments: `/v1` matches `/v1/chat` and not `/v10`."""


class Match(Block):
    """Which requests a policy is for: those that fit every list that is not empty."""

    models: list[ModelName] = Field(default=[], max_length=64)
    """Model names clients ask for, exact or with `*` and `?`; one must fit. Empty is any."""
    headers: list[HeaderRule] = Field(default=[], max_length=16)
    """All must fit."""
    paths: list[PathRule] = Field(default=[], max_length=16)
    """One must fit. Empty is any."""


class Candidate(Block):
    """A model a request may go to."""

    model: ModelName
    """A model, alias or adapter of a pool this policy may use."""
    weight: int | None = Field(default=None, ge=0, le=1_000_000)
    """Chance to be tried first, relative to the others; on all candidates of a rule or on none."""


class Rule(Block):
    """Candidates for a request."""

    name: str | None = Field(default=None, min_length=1, max_length=63)
    """Shown in explanations; `rules[i]` when left out."""
    candidates: list[Candidate] = Field(min_length=1, max_length=16)
    """In order of preference, or with weights; the rest are fallbacks."""
    when: Reserved
    """Reserved."""
    objective: Reserved
    """Reserved."""
    output_budget: Reserved
    """Reserved."""


class RoutePolicySpec(Block):
    """Which requests go to which models."""

    match: Match = Match()
    """Which requests; all when left out."""
    rules: list[Rule] = Field(min_length=1, max_length=32)
    """The first rule takes effect."""
    fallback: Reserved
    """Reserved."""
    governance: Reserved
    """Reserved."""
    transform: Reserved
    """Reserved."""
    rollout: Reserved
    """Reserved."""


class RoutePolicy(BaseModel):
    """Which requests go to which models."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    api_version: Literal["pilotage.dev/v1alpha1"] = Field(default=API_VERSION, alias="apiVersion")
    kind: Literal["RoutePolicy"] = "RoutePolicy"
    metadata: ObjectMeta
    spec: RoutePolicySpec
