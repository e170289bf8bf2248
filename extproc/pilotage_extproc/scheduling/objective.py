"""What a rule wants, in plain numbers: the ways to serve it, and what each is worth by quality and money.

A way is one pool's servers under one upstream model. A candidate is an endpoint of a way with one of the
output budgets that the request may have.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pilotage_api.facts_snapshot import (
    Enforcement,
    ModelSnapshot,
    PricingSnapshot,
    QualitySnapshot,
)
from pilotage_api.objective_snapshot import BudgetSnapshot, ObjectiveSnapshot, WhenNone
from pilotage_api.snapshot import PoolSnapshot
from pilotage_extproc.scheduling.candidates import CandidateSet

UNKNOWN_QUALITY: Final = 0.5
"""Of a model whose pool does not say; `pilotage check` tells."""
_MILLION: Final = 1e6


@dataclass(slots=True, frozen=True)
class Prices:
    """Dollars a token, by length of the prompt."""

    above: float
    """They hold for prompts of more tokens."""
    uncached: float
    cached: float
    written: float
    """Input that is written to a cache."""
    output: float

    def new(self, written_share: float) -> float:
        """A token that is not cached, of which this share is written to a cache."""
        return self.uncached + written_share * (self.written - self.uncached)


@dataclass(slots=True, frozen=True)
class Gain:
    """How much better the strong model is expected to be for this prompt, and how sure that is."""

    value: float
    """-1 to 1."""
    confidence: float
    """0 to 1."""


@dataclass(slots=True, frozen=True)
class Way:
    """One pool's servers under one upstream model, and what is known of that model."""

    tier: int
    pool: str
    upstream_model: str
    prices: tuple[Prices, ...]
    """From short prompts to long; empty where they are not known."""
    quality: QualitySnapshot | None
    context_window: float
    """Tokens; infinite where it is not known."""
    max_output: float
    capabilities: frozenset[str] | None
    """None where they are not known."""

    @classmethod
    def of(cls, tier: int, pool: PoolSnapshot, upstream_model: str) -> "Way":
        """As the pool says."""
        known = pool.facts_of(upstream_model) or ModelSnapshot(upstream_model=upstream_model, name="")
        return cls(
            tier,
            pool.key,
            upstream_model,
            _prices(known.pricing),
            known.quality,
            float(known.context_window or np.inf),
            float(known.max_output_tokens or np.inf),
            None if known.capabilities is None else frozenset(known.capabilities),
        )

    @property
    def reasons(self) -> bool:
        """Whether its answers are known to begin with thinking, which no clamp may cut."""
        return self.capabilities is not None and "reasoning" in self.capabilities

    def prior(self, domain: str | None) -> float:
        """Expected quality without a budget."""
        if self.quality is None:
            return UNKNOWN_QUALITY
        return self.quality.domains.get(domain or "", self.quality.default)

    def curve(self, enforce: Enforcement, domain: str | None) -> tuple[tuple[float, float], ...]:
        """Tokens and quality, rising in tokens: of the domain, else of all; empty where there is none."""
        found: tuple[tuple[float, float], ...] = ()
        for curve in () if self.quality is None else self.quality.by_budget:
            if curve.enforce == enforce and curve.domain in (None, domain):
                points = tuple((float(point.tokens), point.quality) for point in curve.points)
                if curve.domain is not None:
                    return points
                found = points
        return found

    def prices_at(self, prompt_tokens: float) -> Prices | None:
        """Of a prompt of this length; None where they are not known."""
        found = None
        for prices in self.prices:
            if prompt_tokens > prices.above:
                found = prices
        return found


def _prices(pricing: PricingSnapshot | None) -> tuple[Prices, ...]:
    if pricing is None:
        return ()
    tiers = [(-1, pricing), *((tier.above_input_tokens, tier.prices) for tier in pricing.tiers)]
    return tuple(
        Prices(
            float(above),
            float(one.input_per_million) / _MILLION,
            float(one.cached_input_per_million) / _MILLION,
            float(one.cache_write_per_million) / _MILLION,
            float(one.output_per_million) / _MILLION,
        )
        for above, one in tiers
    )


def on_curve(points: Sequence[tuple[float, float]], tokens: float) -> float:
    """Quality with a budget: between two points by the logarithm of tokens, below the first in proportion."""
    first, last = points[0], points[-1]
    if tokens <= first[0]:
        return first[1] * tokens / first[0]
    if tokens >= last[0]:
        return last[1]
    for before, after in pairwise(points):
        if tokens <= after[0]:
            share = np.log(tokens / before[0]) / np.log(after[0] / before[0])
            return float(before[1] + share * (after[1] - before[1]))
    return last[1]


@dataclass(slots=True, frozen=True, eq=False)
class RuleObjective:
    """A rule's objective over its candidates, prepared when the snapshot or the endpoints change."""

    rule: str
    """What lengths are learned under: `namespace/policy/rule`."""
    quality_weight: float
    cost_weight: float
    latency_weight: float
    """Shares: they add up to 1."""
    usd: float
    """What costs are measured against."""
    seconds: float
    """What times are measured against."""
    least_quality: float
    most_usd: float
    most_ttft: float
    most_tpot: float
    """Infinite where there is no ceiling, as the two before."""
    quantile: float
    refuses: bool
    """Whether a request that no candidate fits is refused."""
    budget: BudgetSnapshot | None
    minimum_gain: float | None
    """None lets conversations change their model freely."""
    pair: tuple[int, int] | None
    """Tiers of the weak and the strong model."""
    ways: tuple[Way, ...]
    models: tuple[str, ...]
    """As the rule names them, by tier."""
    way_of: NDArray[np.intp]
    """By candidate."""
    members: tuple[slice, ...]
    """By way, its candidates: they stand next to each other."""
    rows: NDArray[np.intp]
    """By candidate, in the endpoint table."""
    qualities: dict[tuple[str | None, tuple[int | None, ...]], NDArray[np.float64]] = field(
        default_factory=dict
    )
    """Tables that were made, by domain and budgets."""
    bounded: bool = field(init=False)
    """Whether it has a floor or a ceiling."""

    def __post_init__(self) -> None:
        bounds = (self.most_usd, self.most_ttft, self.most_tpot)
        object.__setattr__(self, "bounded", self.least_quality > 0 or bounds != (np.inf, np.inf, np.inf))

    @property
    def reads(self) -> frozenset[str]:
        """Features of the prompt that it needs."""
        wanted = {PROMPT_GAIN, GAIN_CONFIDENCE} if self.pair is not None else set()
        if any(
            way.quality is not None
            and (way.quality.domains or any(curve.domain for curve in way.quality.by_budget))
            for way in self.ways
        ):
            wanted.add(PROMPT_DOMAIN)
        return frozenset(wanted)


PROMPT_DOMAIN: Final = "prompt.domain"
PROMPT_GAIN: Final = "prompt.strongGain"
GAIN_CONFIDENCE: Final = "prompt.strongGainConfidence"


def rule_objective(
    stated: ObjectiveSnapshot,
    budget: BudgetSnapshot | None,
    minimum_gain: float | None,
    *,
    rule: str,
    models: tuple[str, ...],
    candidates: CandidateSet,
    pools: Mapping[str, PoolSnapshot],
) -> RuleObjective:
    """The objective of a rule with these candidates."""
    groups = candidates.targets.groups
    sizes = [len(group.addresses) for group in groups]
    way_of = np.repeat(np.arange(len(groups)), sizes)
    together = float(stated.quality_weight + stated.cost_weight + stated.latency_weight)
    ceilings, pair = stated.ceilings, stated.strong_gain
    return RuleObjective(
        rule=rule,
        quality_weight=stated.quality_weight / together,
        cost_weight=stated.cost_weight / together,
        latency_weight=stated.latency_weight / together,
        usd=1.0 if stated.reference_usd is None else float(stated.reference_usd),
        seconds=1.0 if stated.reference_seconds is None else stated.reference_seconds,
        least_quality=stated.least_quality or 0.0,
        most_usd=np.inf if ceilings.usd_per_request is None else float(ceilings.usd_per_request),
        most_ttft=np.inf if ceilings.ttft_seconds is None else ceilings.ttft_seconds,
        most_tpot=np.inf if ceilings.tpot_seconds is None else ceilings.tpot_seconds,
        quantile=ceilings.quantile,
        refuses=ceilings.when_none is WhenNone.REFUSE,
        budget=budget,
        minimum_gain=minimum_gain,
        pair=None if pair is None else (models.index(pair.weak), models.index(pair.strong)),
        ways=tuple(Way.of(group.tier, pools[group.pool], group.upstream_model) for group in groups),
        models=models,
        way_of=way_of,
        members=tuple(slice(begin, end) for begin, end in pairwise(np.cumsum([0, *sizes]).tolist())),
        rows=candidates.rows,
    )
