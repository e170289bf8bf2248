"""The routing snapshot: what `compile()` makes of resources, and all that extproc follows.

Files and custom resources compile to this one type. It is immutable, has no secrets, is
serialisable as JSON, and its `version` is a digest of its content: equal content has an equal
version on every replica.
"""

import hashlib
from enum import StrEnum
from typing import Self

from pydantic import Field

from pilotage_api.external_snapshot import ExternalSnapshot
from pilotage_api.facts_snapshot import ModelSnapshot
from pilotage_api.governance_snapshot import GovernanceSnapshot
from pilotage_api.guards_snapshot import GuardsSnapshot
from pilotage_api.objective_snapshot import BudgetSnapshot, ObjectiveSnapshot
from pilotage_api.part import Part
from pilotage_api.queue_snapshot import QueueSnapshot
from pilotage_api.tenant_snapshot import TenantSnapshot
from pilotage_api.transform_snapshot import TransformSnapshot


class Engine(StrEnum):
    """What kind of model server a pool runs; decides which metrics and parameters it has."""

    VLLM = "vllm"
    SGLANG = "sglang"
    TRTLLM = "trtllm"
    TRITON = "triton"
    OPENAI = "openai"
    """Speaks the OpenAI API and exposes no load metrics."""


class StreamUsage(StrEnum):
    """What a pool does with streams whose client did not ask for token usage."""

    INJECT = "inject"
    """Ask the engine for usage by splicing `stream_options.include_usage` into the request."""
    LEAVE = "leave"


class NameKind(StrEnum):
    """By which kind of name a binding is reached."""

    MODEL = "model"
    ALIAS = "alias"
    ADAPTER = "adapter"


class EndpointSnapshot(Part):
    """One address of a pool, as written: an IP address or a DNS name that extproc resolves."""

    address: str
    port: int


class StepSnapshot(Part):
    """A filter or picker of a profile."""

    type: str
    parameters: dict[str, str] = Field(default={})


class WeightedSnapshot(StepSnapshot):
    """A scorer of a profile."""

    weight: float


class ProfileSnapshot(Part):
    """How endpoints are chosen among; without scorers it has those of the default profile."""

    scorers: tuple[WeightedSnapshot, ...] = ()
    filters: tuple[StepSnapshot, ...] = ()
    picker: StepSnapshot = StepSnapshot(type="max-score")


class SaturationSnapshot(Part):
    """When an endpoint is full; None is no bound."""

    queue_depth: int | None = None
    kv_cache_utilization: float | None = None


class HealthSnapshot(Part):
    """When an endpoint that fails is ejected."""

    consecutive_failures: int = 5
    ejection_seconds: float = 10.0


class PoolSnapshot(Part):
    """One pool: where its model servers are and how they are spoken to."""

    key: str
    """`namespace/name`."""
    engine: Engine
    endpoints: tuple[EndpointSnapshot, ...]
    selector: dict[str, str] = Field(default={})
    """Labels of the pods that are its servers, in the pool's namespace; empty where it names endpoints."""
    target_ports: tuple[int, ...] = ()
    """Ports of those pods."""
    stream_usage: StreamUsage
    models: tuple[str, ...]
    """Upstream names the pool serves, adapters included, in the order written."""
    adapters: tuple[str, ...] = ()
    """Those of `models` that are LoRA adapters."""
    scheduling: ProfileSnapshot = ProfileSnapshot()
    saturation: SaturationSnapshot = SaturationSnapshot()
    health: HealthSnapshot = HealthSnapshot()
    model_facts: tuple[ModelSnapshot, ...] = ()
    """Of its models of which anything is known."""
    labels: dict[str, str] = Field(default={})
    external: ExternalSnapshot | None = None
    """The provider that stands for its servers; then it has no endpoints and no selector."""
    admission_queue_depth: int | None = None
    """Requests that may wait in an engine before it has no room; None always has, as far as this goes."""

    def facts_of(self, upstream_model: str) -> ModelSnapshot | None:
        """What is known of a model or an adapter of the pool, by its upstream name."""
        return next(
            (
                one
                for one in self.model_facts
                if one.upstream_model == upstream_model or upstream_model in one.adapters
            ),
            None,
        )


class Binding(Part):
    """One way to serve a name: this pool, under this upstream model name."""

    pool: str
    upstream_model: str
    kind: NameKind


class CandidateModel(Part):
    """A model a rule may choose, with the pools that serve it for that policy's namespace."""

    model: str
    weight: int | None
    """Chance of being tried first, relative to the other candidates; None when the rule is ordered."""
    bindings: tuple[Binding, ...]


class FallbackSnapshot(Part):
    """Models beside a rule's candidates, and when requests go there."""

    reasons: tuple[str, ...]
    """Values of `fallback.FallbackReason`, sorted."""
    to: tuple[CandidateModel, ...]
    """In order; without weights."""


class TimeoutsSnapshot(Part):
    """Bounds on the time of a rule's requests; None is no bound of the rule's own."""

    first_token_seconds: float | None = None
    """Of one attempt at a stream, to the first byte of its answer."""
    idle_seconds: float | None = None
    total_seconds: float | None = None
    """The whole request, all attempts together."""
    client_may_shorten: bool = False


class RuleSnapshot(Part):
    """One rule of a policy; candidates are ordered unless weights are given."""

    name: str
    """The rule's own name, or `rules[i]`."""
    candidates: tuple[CandidateModel, ...]
    when: str | None = None
    """CEL text in which pools stand as `namespace/name`; None always holds."""
    reads: tuple[str, ...] = ()
    """What `when` reads, sorted: `request.model`, `headers["x-user"]`, `poolReady("default/small")`."""
    sticky_by: str | None = None
    """Header, in lower case, whose equal values draw the same order of weighted candidates."""
    scheduling: ProfileSnapshot | None = None
    """The policy's own profile; None is that of the first candidate's pool."""
    objective: ObjectiveSnapshot | None = None
    """None tries candidates in order, or as their weights draw them."""
    output_budget: BudgetSnapshot | None = None
    stickiness: float | None = None
    """Least gain, a share of the sum of weights, for which a conversation changes its model; None is any."""
    fallback: FallbackSnapshot | None = None
    """The rule's own, else the policy's."""
    timeouts: TimeoutsSnapshot | None = None
    transforms: dict[str, str] = Field(default={})
    """By model, as candidates and fallback name it: the transform (`RoutingSnapshot.transforms`) it gets."""
    require: dict[str, str] = Field(default={})
    """Labels of all pools that its requests may go to; its candidates have no others."""


class Otherwise(StrEnum):
    """What becomes of a request for which no rule of its policy holds."""

    REFUSE = "refuse"
    NEXT = "next"
    """The next policy that matches it."""


class OverridesSnapshot(Part):
    """A header by which clients choose a rule."""

    header: str
    """In lower case."""
    rules: tuple[str, ...]
    """Names of rules that may be chosen; each is one of the policy's."""


class HeaderMatch(Part):
    """A request header that must be there; `value` None means any value. Name is lower case."""

    name: str
    value: str | None


class PathMatch(Part):
    """A request path, without the query."""

    value: str
    prefix: bool


class PolicyRoute(Part):
    """One way into a policy: one of its model patterns and one of its path patterns.

    `RoutingSnapshot.routes` holds them in order of precedence, so the first that matches wins.
    """

    policy: str
    """`namespace/name`."""
    model: str | None
    """Exact model name, a glob (`*` and `?`), or None for any."""
    glob: bool
    path: PathMatch | None
    headers: tuple[HeaderMatch, ...]
    rules: tuple[RuleSnapshot, ...]
    """At least one; the first whose `when` holds wins."""
    otherwise: Otherwise = Otherwise.REFUSE
    overrides: OverridesSnapshot | None = None
    governance: GovernanceSnapshot | None = None
    """Limits and budgets of the policy; None has neither."""
    instead: tuple[RuleSnapshot, ...] = ()
    """Rules that take over when a budget is spent; the budget says which."""
    queue: QueueSnapshot | None = None
    """How its requests wait for room; None never do."""
    guards: GuardsSnapshot | None = None
    """Rules on content and tools; None has neither."""

    @property
    def pools(self) -> frozenset[str]:
        """Keys of all pools that its requests may be sent to, fallbacks included."""
        return frozenset(
            binding.pool
            for rule in (*self.rules, *self.instead)
            for one in (*rule.candidates, *(() if rule.fallback is None else rule.fallback.to))
            for binding in one.bindings
        )

    @property
    def always_answers(self) -> bool:
        """Whether no request that matches is passed on to another policy."""
        return self.otherwise is Otherwise.REFUSE or any(rule.when is None for rule in self.rules)


class KeywordsSnapshot(Part):
    """A named set of words and phrases that conditions look for in prompts."""

    name: str
    """`namespace/policy/set`."""
    words: tuple[str, ...]


class RoutingSnapshot(Part):
    """Everything the request path needs to know of the resources."""

    version: str = ""
    pools: tuple[PoolSnapshot, ...] = ()
    names: dict[str, tuple[Binding, ...]] = Field(default={})
    """What serves a name that no policy matches: model names, aliases, adapters."""
    routes: tuple[PolicyRoute, ...] = ()
    keywords: tuple[KeywordsSnapshot, ...] = ()
    """Sets that a condition names, sorted."""
    transforms: tuple[TransformSnapshot, ...] = ()
    """Those that a rule names, by name."""
    tenants: tuple[TenantSnapshot, ...] = ()
    """Sorted by name; where there are none, any tenant that a key names is served."""

    def content(self) -> bytes:
        """What is published, and what `version` is the digest of.

        What stands at its default is left out: a policy says little of all that it could say.
        """
        return self.model_copy(update={"version": ""}).model_dump_json(exclude_defaults=True).encode()

    def sealed(self) -> Self:
        """The same snapshot with `version` set to the first 16 hex digits of its content's SHA-256."""
        return self.model_copy(update={"version": hashlib.sha256(self.content()).hexdigest()[:16]})
