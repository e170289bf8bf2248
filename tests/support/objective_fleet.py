"""A weak and a strong model on some servers each, and choices among them by an objective."""

from dataclasses import replace
from decimal import Decimal

import numpy as np

from pilotage_api.facts_snapshot import (
    BudgetQualitySnapshot,
    ModelSnapshot,
    PricingSnapshot,
    QualityPointSnapshot,
    QualitySnapshot,
)
from pilotage_api.objective_snapshot import (
    BudgetSnapshot,
    CeilingsSnapshot,
    ObjectiveSnapshot,
    StrongGainSnapshot,
)
from pilotage_api.snapshot import (
    Engine,
    PoolSnapshot,
    ProfileSnapshot,
    StreamUsage,
)
from pilotage_extproc.domain.features import NO_FEATURES
from pilotage_extproc.scheduling.candidates import Knowledge, candidate_set, group_of
from pilotage_extproc.scheduling.chooser import Chooser, Experience
from pilotage_extproc.scheduling.objective import RuleObjective, rule_objective
from pilotage_extproc.scheduling.objective_choice import Asked
from pilotage_extproc.scheduling.profile import ProfileBook
from pilotage_extproc.state.affinity import AdapterSlots, Sessions
from pilotage_extproc.state.endpoints import EndpointFacts, EndpointTable
from pilotage_extproc.state.latency import LatencyBook
from pilotage_extproc.state.lengths import LengthBook
from pilotage_extproc.state.prefix_index import PrefixIndex

NOW = 1000.0
OBJECTIVE = ObjectiveSnapshot(
    quality_weight=100,
    cost_weight=30,
    latency_weight=20,
    reference_usd=Decimal("0.01"),
    reference_seconds=2.0,
)
PAIR = StrongGainSnapshot(weak="weak", strong="strong")


def curve(enforce, *points, domain=None):
    """A curve of quality by budget, of (tokens, quality)."""
    return BudgetQualitySnapshot(
        enforce=enforce,
        domain=domain,
        points=tuple(QualityPointSnapshot(tokens=tokens, quality=quality) for tokens, quality in points),
    )


def model(name, quality=None, usd=None, *curves, domains=None, **facts):
    """What is known of a model whose output costs `usd` a million tokens, its input a tenth of that."""
    price = None if usd is None else Decimal(str(usd))
    return ModelSnapshot(
        upstream_model=name,
        name=name,
        quality=None
        if quality is None
        else QualitySnapshot(default=quality, domains=domains or {}, by_budget=curves),
        pricing=None
        if price is None
        else PricingSnapshot(
            input_per_million=price / 10,
            cached_input_per_million=price / 100,
            cache_write_per_million=price / 10,
            output_per_million=price,
        ),
        **facts,
    )


WEAK = model("weak", 0.5, 0.2)
STRONG = model("strong", 0.8, 10)


class ObjectiveFleet:
    """Some servers of each model, freshly scraped as idle."""

    def __init__(self, models=(WEAK, STRONG), count=2, seed=1, chance=lambda: 1.0) -> None:
        self.models = models
        self.table = EndpointTable()
        self.names = [[f"10.{tier}.0.{at}:80" for at in range(count)] for tier in range(len(models))]
        flat = [name for tier in self.names for name in tier]
        self.table.sync({name: EndpointFacts(Engine.VLLM, ("default/a",)) for name in flat})
        self.table.admit(flat)
        self.table.scraped_at[:] = NOW
        self.table.unmeasured = 0
        self.experience = Experience(LengthBook(), LatencyBook())
        self.knowledge = Knowledge(PrefixIndex(max_bytes=1 << 24), AdapterSlots(), Sessions())
        self.profile = ProfileBook(plugins={}, seed=seed).profile(ProfileSnapshot())
        self.chooser = Chooser(
            self.table, self.knowledge, self.experience, np.random.default_rng(seed), chance
        )
        self.pools = {
            f"default/{one.name}": PoolSnapshot(
                key=f"default/{one.name}",
                engine=Engine.VLLM,
                endpoints=(),
                stream_usage=StreamUsage.LEAVE,
                models=(one.name,),
                model_facts=(one,),
            )
            for one in models
        }
        self.candidates = candidate_set(
            [
                group_of(
                    self.names[tier],
                    self.table,
                    tier=tier,
                    pool=f"default/{one.name}",
                    upstream_model=one.name,
                )
                for tier, one in enumerate(models)
            ],
            len(models),
        )

    def objective(self, stated=OBJECTIVE, budget=None, minimum_gain=None, **changes) -> RuleObjective:
        """A rule's objective over all candidates."""
        return rule_objective(
            stated.model_copy(update=changes),
            budget,
            minimum_gain,
            rule="default/p/r",
            models=tuple(one.name for one in self.models),
            candidates=self.candidates,
            pools=self.pools,
        )

    def choose(self, objective=None, asked=None, **options):
        """The choice for one request of 1,000 prompt tokens."""
        values = {"request": NO_FEATURES, "subset": None, "limit": 3, "now": NOW}
        return self.chooser.choose(
            self.candidates,
            self.profile,
            objective or self.objective(),
            asked or Asked(prompt_tokens=1000.0),
            **(values | options),
        )

    def model_of(self, chosen) -> str:
        """The model of the pick."""
        return self.candidates.targets[chosen.ranking.order[0]].upstream_model

    def set(self, figure: str, tier: int, value: float) -> None:
        """Set a column at all servers of a model."""
        rows = self.candidates.rows[self.candidates.tiers == tier]
        getattr(self.table, figure)[rows] = value

    def teach(self, tier: int, ttft: float, tpot: float = 0.01, *, load=(0.0,), times: int = 40) -> None:
        """Let answers of a model take so long for each waiting request, and one more."""
        name = self.models[tier].name
        for at in range(times):
            waiting = load[at % len(load)]
            self.experience.latency.observe(
                f"default/{name}",
                name,
                int(self.candidates.rows[self.candidates.tiers == tier][0]),
                0,
                [1.0, waiting, 0.0, 1.0, 0.0],
                ttft * (1 + waiting),
                tpot,
            )


def bounded(stated=OBJECTIVE, **ceilings) -> ObjectiveSnapshot:
    """An objective with ceilings."""
    return stated.model_copy(update={"ceilings": CeilingsSnapshot(**ceilings)})


def levels(*tokens, enforce="clamp", clamp_at=None) -> BudgetSnapshot:
    """Output budgets."""
    return BudgetSnapshot(levels=tokens, enforce=enforce, clamp_at=clamp_at)


def plain(**changes) -> Asked:
    """A request of 1,000 prompt tokens."""
    return replace(Asked(prompt_tokens=1000.0), **changes)
