"""The routers that are compared: where each sends a question. All know the same priors and the same load."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from bench.choice.answers import Priors, Question
from pilotage_api.facts_snapshot import ModelSnapshot, PricingSnapshot, QualitySnapshot
from pilotage_api.objective_snapshot import ObjectiveSnapshot
from pilotage_api.snapshot import Engine, PoolSnapshot, StreamUsage
from pilotage_extproc.domain.features import RequestFeatures
from pilotage_extproc.scheduling.candidates import CandidateSet
from pilotage_extproc.scheduling.chooser import Chooser
from pilotage_extproc.scheduling.objective import RuleObjective, rule_objective
from pilotage_extproc.scheduling.objective_choice import Asked
from pilotage_extproc.scheduling.profile import Profile
from pilotage_extproc.scheduling.scheduler import Scheduler

MODELS = ("weak", "strong")
USD_PER_MILLION = ((0.6, 0.6), (10.0, 30.0))
"""Input and output, of the weak and the strong model: list prices of the recorded pair."""
REFERENCE_USD, REFERENCE_SECONDS = "0.01", 5.0


@dataclass(frozen=True, slots=True)
class Sight:
    """What a router may look at for one question: never whether an answer is right, nor how long it is."""

    question: Question
    features: RequestFeatures
    now: float

    @property
    def group(self) -> str:
        """The subject, as a domain."""
        return self.question.group


@dataclass(frozen=True, slots=True)
class Fleet:
    """What routers place on."""

    candidates: CandidateSet
    """Both models' servers."""
    by_model: tuple[CandidateSet, CandidateSet]
    profile: Profile
    scheduler: Scheduler
    chooser: Chooser
    saturation: Callable[[int], float]
    """Share of a model's places that are taken, at its least loaded server."""
    priors: Priors


@dataclass(frozen=True, slots=True)
class Placing:
    """Where a question goes."""

    model: int
    row: int
    cached_tokens: float
    features: tuple[float, ...]
    """What its times would be predicted by; empty where its router predicts none."""


Router = Callable[[Sight], Placing]


def replica_of(fleet: Fleet, model: int, sight: Sight) -> Placing:
    """The best server of a model by the default profile."""
    candidates = fleet.by_model[model]
    ranking = fleet.scheduler.rank(
        candidates,
        fleet.profile,
        request=sight.features,
        subset=None,
        limit=1,
        tier_order=None,
        now=sight.now,
    )
    first = ranking.order[0]
    return Placing(model, int(candidates.rows[first]), ranking.cached_tokens, ())


def always(model: int) -> Callable[[Fleet], Router]:
    """One model, whatever comes."""
    return lambda fleet: lambda sight: replica_of(fleet, model, sight)


def model_first(least_gain: float) -> Callable[[Fleet], Router]:
    """The strong model where the expected gain is this much, then a server: blind to load."""

    def router(fleet: Fleet) -> Router:
        def place(sight: Sight) -> Placing:
            weak, strong = fleet.priors.groups.get(sight.group, fleet.priors.default)
            return replica_of(fleet, int(strong - weak >= least_gain), sight)

        return place

    return router


def saturation_rule(bound: float) -> Callable[[Fleet], Router]:
    """`poolSaturation('strong') > bound` goes to the weak model, as a user would write it."""

    def router(fleet: Fleet) -> Router:
        return lambda sight: replica_of(fleet, int(fleet.saturation(1) <= bound), sight)

    return router


def by_objective(quality: int, cost: int, latency: int) -> Callable[[Fleet], Router]:
    """Pilotage: a rule with this objective."""

    def router(fleet: Fleet) -> Router:
        objective = _objective(fleet, quality, cost, latency)

        def place(sight: Sight) -> Placing:
            asked = Asked(prompt_tokens=sight.features.prompt_tokens, domain=sight.group)
            chosen = fleet.chooser.choose(
                fleet.candidates,
                fleet.profile,
                objective,
                asked,
                request=sight.features,
                subset=None,
                limit=1,
                now=sight.now,
            )
            first = chosen.ranking.order[0]
            features = tuple(chosen.choice.features[:, first].tolist())
            way = objective.ways[int(objective.way_of[first])]
            return Placing(
                way.tier, int(fleet.candidates.rows[first]), chosen.ranking.cached_tokens, features
            )

        return place

    return router


def _objective(fleet: Fleet, quality: int, cost: int, latency: int) -> RuleObjective:
    stated = ObjectiveSnapshot(
        quality_weight=quality,
        cost_weight=cost,
        latency_weight=latency,
        reference_usd=Decimal(REFERENCE_USD),
        reference_seconds=REFERENCE_SECONDS,
    )
    return rule_objective(
        stated,
        None,
        None,
        rule="bench",
        models=MODELS,
        candidates=fleet.candidates,
        pools={pool_key(model): pool_of(model, fleet.priors) for model in (0, 1)},
    )


def pool_key(model: int) -> str:
    """`namespace/name` of a model's pool."""
    return f"default/{MODELS[model]}"


def pool_of(model: int, priors: Priors) -> PoolSnapshot:
    """A model's pool, with its prices and priors."""
    paid_in, paid_out = (Decimal(str(usd)) for usd in USD_PER_MILLION[model])
    known = ModelSnapshot(
        upstream_model=MODELS[model],
        name=MODELS[model],
        quality=QualitySnapshot(
            default=priors.default[model],
            domains={group: values[model] for group, values in priors.groups.items()},
        ),
        pricing=PricingSnapshot(
            input_per_million=paid_in,
            cached_input_per_million=paid_in,
            cache_write_per_million=paid_in,
            output_per_million=paid_out,
        ),
    )
    return PoolSnapshot(
        key=pool_key(model),
        engine=Engine.VLLM,
        endpoints=(),
        stream_usage=StreamUsage.LEAVE,
        models=(MODELS[model],),
        model_facts=(known,),
    )


def usd_of(model: int, prompt_tokens: int, tokens: int) -> float:
    """What one answer costs."""
    paid_in, paid_out = USD_PER_MILLION[model]
    return float(np.dot((prompt_tokens, tokens), (paid_in, paid_out))) / 1e6
