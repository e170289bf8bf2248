"""What a rule asks of the decision over models, output budgets and replicas."""

from collections.abc import Iterable
from decimal import Decimal
from itertools import pairwise
from typing import Annotated, Final, Literal

from pydantic import ConfigDict, Field, StringConstraints

from pilotage_api.decimal_texts import QUANTILE, SECONDS
from pilotage_api.facts_snapshot import Enforcement
from pilotage_api.model_facts import Money
from pilotage_api.objective_snapshot import (
    BudgetSnapshot,
    CeilingsSnapshot,
    ObjectiveSnapshot,
    StrongGainSnapshot,
    WhenNone,
)
from pilotage_api.resource import Block, ModelName, Problem, cel
from pilotage_api.scheduling import Duration, Share, seconds

Quantile = Annotated[str, StringConstraints(pattern=QUANTILE, max_length=8)]
"""Decimal text above "0.0" and below "1"."""
Seconds = Annotated[str, StringConstraints(pattern=SECONDS, max_length=13)]
"""Decimal text."""
Weight = Annotated[int, Field(ge=0, le=1_000_000, strict=True)]

NO_WEIGHT: Final = "at least one weight must be above 0"
ABOVE_ZERO: Final = "a reference must be above 0"
COST_REFERENCE: Final = "a cost weight needs references.usd: what costs are measured against"
LATENCY_REFERENCE: Final = "a latency weight needs references.seconds: what times are measured against"
PAIR_DIFFERS: Final = "weak and strong are two models"
LEVELS_RISE: Final = "levels rise: each is greater than the one before"
CLAMP_AT_COVERS: Final = "clampAt is at least the highest level"
HALF_OR_MORE: Final = "a quantile is 0.5 or more"


class Weights(Block):
    """What counts how much. Only their proportions matter."""

    model_config = ConfigDict(
        json_schema_extra=cel(("self.quality > 0 || self.cost > 0 || self.latency > 0", NO_WEIGHT))
    )

    quality: Weight = 0
    """Of expected quality, 0 to 1."""
    cost: Weight = 0
    """Of expected money, in units of `references.usd`."""
    latency: Weight = 0
    """Of the expected time to the end of the answer, in units of `references.seconds`."""

    def problems(self) -> Iterable[Problem]:
        """Nothing that counts."""
        if not (self.quality or self.cost or self.latency):
            yield Problem("invalid-weights", "", NO_WEIGHT, "give one of quality, cost, latency a weight")


class References(Block):
    """What money and time are measured against: stated here, never taken from the candidates."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            ("!has(self.usd) || double(self.usd) > 0.0", ABOVE_ZERO),
            ("!has(self.seconds) || double(self.seconds) > 0.0", ABOVE_ZERO),
        )
    )

    usd: Money | None = None
    """Dollars for one request that cost as much as the cost weight says, as decimal text: `"0.01"`."""
    seconds: Seconds | None = None
    """Seconds for one request that cost as much as the latency weight says, as decimal text: `"2"`."""

    def problems(self) -> Iterable[Problem]:
        """A reference of nothing."""
        for name, value in (("usd", self.usd), ("seconds", self.seconds)):
            if value is not None and float(value) <= 0:
                yield Problem("invalid-value", name, ABOVE_ZERO, 'write an amount such as "0.01"')


class Floor(Block):
    """What an answer must have at least."""

    quality: Share
    """Expected quality, 0 to 1."""


class Ceilings(Block):
    """What an answer may take at most, with the certainty that `quantile` states."""

    model_config = ConfigDict(
        json_schema_extra=cel(("!has(self.quantile) || double(self.quantile) >= 0.5", HALF_OR_MORE))
    )

    usd_per_request: Money | None = None
    """Dollars for one request, as decimal text."""
    ttft: Duration | None = None
    """Time to the first token, of one attempt."""
    tpot: Duration | None = None
    """Time for each further token."""
    quantile: Quantile = "0.9"
    """Share of requests that should keep the ceilings, as decimal text from `"0.5"`."""
    when_none: Literal["refuse", "best"] = "best"
    """When no candidate keeps floor and ceilings: `refuse` answers 503 `no_candidate_within_bounds`; `best`
    takes the best of those there are."""

    def problems(self) -> Iterable[Problem]:
        """A quantile below the middle."""
        if float(self.quantile) < 0.5:
            yield Problem("invalid-value", "quantile", HALF_OR_MORE, 'write a share such as "0.9"')


class StrongGain(Block):
    """The two models between which the prompt's expected gain (`prompt.strongGain`) is counted."""

    model_config = ConfigDict(json_schema_extra=cel(("self.weak != self.strong", PAIR_DIFFERS)))

    weak: ModelName
    """A candidate: the model that is good enough for most."""
    strong: ModelName
    """A candidate: the model that is better by the gain."""

    def problems(self) -> Iterable[Problem]:
        """One model as both."""
        if self.weak == self.strong:
            yield Problem("invalid-value", "strong", PAIR_DIFFERS, "name two candidates")


class Objective(Block):
    """Which of a rule's candidates is best for a request: quality less money less time."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            ("self.weights.cost == 0 || (has(self.references) && has(self.references.usd))", COST_REFERENCE),
            (
                "self.weights.latency == 0 || (has(self.references) && has(self.references.seconds))",
                LATENCY_REFERENCE,
            ),
        )
    )

    weights: Weights
    """Of quality, cost and latency."""
    references: References = References()
    """What cost and latency are measured against."""
    floor: Floor | None = None
    """Least expected quality."""
    ceilings: Ceilings | None = None
    """Most money and time."""
    strong_gain: StrongGain | None = None
    """Reads `prompt.strongGain`, where a predictor is on: the gap between two candidates for this prompt."""

    def problems(self) -> Iterable[Problem]:
        """A weight without what it is measured against."""
        if self.weights.cost and self.references.usd is None:
            yield Problem("missing-reference", "references.usd", COST_REFERENCE, 'add usd, such as "0.01"')
        if self.weights.latency and self.references.seconds is None:
            fix = 'add seconds, such as "2"'
            yield Problem("missing-reference", "references.seconds", LATENCY_REFERENCE, fix)

    def snapshot(self) -> ObjectiveSnapshot:
        """What extproc needs of it."""
        ceilings, pair = self.ceilings, self.strong_gain
        return ObjectiveSnapshot(
            quality_weight=self.weights.quality,
            cost_weight=self.weights.cost,
            latency_weight=self.weights.latency,
            reference_usd=None if self.references.usd is None else Decimal(self.references.usd),
            reference_seconds=None if self.references.seconds is None else float(self.references.seconds),
            least_quality=None if self.floor is None else float(self.floor.quality),
            ceilings=CeilingsSnapshot()
            if ceilings is None
            else CeilingsSnapshot(
                usd_per_request=None
                if ceilings.usd_per_request is None
                else Decimal(ceilings.usd_per_request),
                ttft_seconds=None if ceilings.ttft is None else seconds(ceilings.ttft),
                tpot_seconds=None if ceilings.tpot is None else seconds(ceilings.tpot),
                quantile=float(ceilings.quantile),
                when_none=WhenNone(ceilings.when_none),
            ),
            strong_gain=None if pair is None else StrongGainSnapshot(weak=pair.weak, strong=pair.strong),
        )


class OutputBudget(Block):
    """Levels of output tokens that the decision chooses among, and how they are kept."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            (
                "self.levels.all(a, self.levels.exists_one(b, a == b)) && "
                "(self.levels.size() < 2 || self.levels == self.levels.sort())",
                LEVELS_RISE,
            ),
            ("!has(self.clampAt) || self.levels.all(one, one <= self.clampAt)", CLAMP_AT_COVERS),
        )
    )

    levels: list[Annotated[int, Field(ge=1, le=1_000_000, strict=True)]] = Field(min_length=1, max_length=8)
    """Tokens, rising. The client's own limit is an upper bound of each."""
    enforce: Enforcement
    """`instruct` asks the model to be brief; `clamp` lowers the call's limit, which cuts longer answers."""
    clamp_at: int | None = Field(default=None, ge=1, le=1_000_000, strict=True)
    """With `instruct`: answers are cut there all the same."""

    def problems(self) -> Iterable[Problem]:
        """Levels out of order, and a clamp below them."""
        if any(after <= before for before, after in pairwise(self.levels)):
            yield Problem("levels-out-of-order", "levels", LEVELS_RISE, "sort them, and name each once")
        if self.clamp_at is not None and self.clamp_at < max(self.levels):
            yield Problem(
                "invalid-value", "clampAt", CLAMP_AT_COVERS, f"set it to {max(self.levels)} or more"
            )

    def snapshot(self) -> BudgetSnapshot:
        """What extproc needs of it."""
        return BudgetSnapshot(levels=tuple(self.levels), enforce=self.enforce, clamp_at=self.clamp_at)


class Stickiness(Block):
    """When later requests of a conversation stay with its model."""

    scope: Literal["conversation"] = "conversation"
    """What stays together: requests with the same head, of the same tenant and session."""
    minimum_gain: Share = "0.05"
    """Another model is chosen only where the objective is better by more than this, as a share of the sum
    of weights. What the model's cache saves is counted already."""
