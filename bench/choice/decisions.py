"""How long one choice takes, in CPU time, beside an ordered decision over the same candidates in one run."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from random import Random
from statistics import median
from typing import Any

import numpy as np

from bench.choice.answers import Priors
from bench.choice.routers import pool_of
from pilotage_api.facts_snapshot import BudgetQualitySnapshot, QualityPointSnapshot, QualitySnapshot
from pilotage_api.objective_snapshot import BudgetSnapshot, CeilingsSnapshot, ObjectiveSnapshot
from pilotage_api.snapshot import Engine, PoolSnapshot, ProfileSnapshot
from pilotage_extproc.domain.features import RequestFeatures
from pilotage_extproc.domain.prompt_blocks import prompt_blocks
from pilotage_extproc.scheduling.candidates import Knowledge, candidate_set, group_of
from pilotage_extproc.scheduling.chooser import Chooser, Experience
from pilotage_extproc.scheduling.objective import rule_objective
from pilotage_extproc.scheduling.objective_choice import Asked
from pilotage_extproc.scheduling.profile import ProfileBook
from pilotage_extproc.scheduling.scheduler import Scheduler
from pilotage_extproc.state.affinity import AdapterSlots, Sessions
from pilotage_extproc.state.endpoints import EndpointFacts, EndpointTable
from pilotage_extproc.state.latency import LatencyBook
from pilotage_extproc.state.lengths import LengthBook
from pilotage_extproc.state.prefix_index import PrefixIndex

_ROUNDS = 25
_BATCH = 25
_ANSWERS = 64


@dataclass(frozen=True, slots=True)
class Timed:
    """Of one size of fleet; `endpoints` serve the models in equal parts."""

    models: int
    budgets: int
    endpoints: int
    choice_seconds: float
    """Median of a choice by an objective with ceilings and latency learned."""
    ordered_seconds: float
    """Median of an ordered decision."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {name: getattr(self, name) for name in self.__slots__}


def time_choices(models: int, budgets: int, endpoints: int) -> Timed:
    """Both kinds of decisions by turns."""
    random = Random(1)
    names = [f"m{at}" for at in range(models)]
    table = EndpointTable()
    addresses = [
        [f"10.{at}.{one >> 8}.{one & 255}:80" for one in range(endpoints // models)] for at in range(models)
    ]
    facts = EndpointFacts(Engine.VLLM, ("default/a",))
    table.sync(dict.fromkeys((one for of_model in addresses for one in of_model), facts))
    table.admit(table.rows())
    for row in table.rows().values():
        table.measured(row, 1000.0, random.randrange(4), random.randrange(16), random.random())
    groups = [
        group_of(addresses[at], table, tier=at, pool=f"default/{name}", upstream_model=name)
        for at, name in enumerate(names)
    ]
    candidates = candidate_set(groups, models)
    knowledge = Knowledge(PrefixIndex(max_bytes=1 << 24), AdapterSlots(), Sessions())
    experience = Experience(LengthBook(), LatencyBook())
    for at, name in enumerate(names):
        for _ in range(_ANSWERS):
            row = int(groups[at].rows[random.randrange(len(groups[at].rows))])
            features = [1.0, float(random.randrange(4)), 8.0, 0.5, 4.0]
            experience.latency.observe(f"default/{name}", name, row, 0, features, 0.2, 0.01)
            experience.lengths.observe("bench", name, random.randrange(1, 2000), None)
    objective = rule_objective(
        ObjectiveSnapshot(
            quality_weight=100,
            cost_weight=30,
            latency_weight=20,
            reference_usd=Decimal("0.01"),
            reference_seconds=2.0,
            ceilings=CeilingsSnapshot(ttft_seconds=2.0),
        ),
        BudgetSnapshot(levels=tuple(64 << at for at in range(budgets)), enforce="clamp"),
        None,
        rule="bench",
        models=tuple(names),
        candidates=candidates,
        pools={f"default/{name}": _pool(name, at) for at, name in enumerate(names)},
    )
    profile = ProfileBook(plugins={}, seed=1).profile(ProfileSnapshot())
    scheduler = Scheduler(table, knowledge)
    chooser = Chooser(table, knowledge, experience, np.random.default_rng(1), random.random)
    request = RequestFeatures(prompt=prompt_blocks(random.randbytes(1000).hex().encode()))
    asked = Asked(prompt_tokens=request.prompt_tokens)
    chosen: list[float] = []
    ordered: list[float] = []
    for _ in range(_ROUNDS):
        chosen.append(
            _cpu(
                lambda: chooser.choose(
                    candidates, profile, objective, asked, request=request, subset=None, limit=3, now=1000.0
                )
            )
        )
        ordered.append(
            _cpu(
                lambda: scheduler.rank(
                    candidates, profile, request=request, subset=None, limit=3, tier_order=None, now=1000.0
                )
            )
        )
    return Timed(models, budgets, endpoints, median(chosen), median(ordered))


def _cpu(work: Callable[[], object]) -> float:
    """Of one of a batch: asking for the time may cost as much as the work."""
    began = time.thread_time()
    for _ in range(_BATCH):
        work()
    return (time.thread_time() - began) / _BATCH


def _pool(name: str, at: int) -> PoolSnapshot:
    priced = pool_of(min(at, 1), Priors((0.6, 0.8), {}))
    curve = tuple(QualityPointSnapshot(tokens=64 << one, quality=0.4 + 0.08 * one) for one in range(6))
    quality = QualitySnapshot(
        default=0.6, by_budget=(BudgetQualitySnapshot(enforce="clamp", domain=None, points=curve),)
    )
    [facts] = priced.model_facts
    facts = facts.model_copy(update={"upstream_model": name, "name": name, "quality": quality})
    return priced.model_copy(update={"key": f"default/{name}", "models": (name,), "model_facts": (facts,)})
