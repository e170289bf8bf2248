"""What a choice by an objective was made of: every candidate's quality, money and time, in their units."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pilotage_extproc.scheduling.objective import Gain, RuleObjective, Way, on_curve
from pilotage_extproc.state.lengths import LengthBook

_NONE: Final[NDArray[np.float64]] = np.empty(0)
_MOST_KEPT: Final = 128
"""Tables of quality that one objective keeps: requests without a gain have few different ones."""
NONE_OF_THEIR_OWN: Final[Mapping[int, int]] = MappingProxyType({})
"""All attempts have the pick's output budget."""
_OWN_BYTES: Final = 2048
"""Of a choice that is kept, beside its columns."""


@dataclass(slots=True, frozen=True)
class Asked:
    """What an objective may know of a request."""

    prompt_tokens: float = 0.0
    """Of all its prompts together."""
    prompts: int = 1
    """Each has a context window of its own."""
    limit: int | None = None
    """The client's own limit of output tokens."""
    answers: int = 1
    """How many it asks for, all prompts together: each costs money, and all are written at once."""
    plain: bool = True
    """Whether it may have an output budget: one answer, no JSON schema, no tools, no reasoning."""
    needs: frozenset[str] = frozenset()
    """Capabilities that its model must have."""
    domain: str | None = None
    gain: Gain | None = None
    """None falls back to the models' priors."""
    last_tier: int | None = None
    """The model that its conversation had."""
    in_tool_loop: bool = False


Budgets = tuple[int | None, ...]
"""Output tokens, rising; None, the last, is no budget."""


def budgets_of(objective: RuleObjective, asked: Asked) -> Budgets:
    """The output budgets a request may have: its rule's levels below the client's own limit, and that."""
    stated = objective.budget
    if stated is None or not asked.plain:
        return (None,)
    levels = sorted({level if asked.limit is None else min(level, asked.limit) for level in stated.levels})
    if stated.enforce == "clamp" and any(way.reasons for way in objective.ways):
        return (*levels, None)
    return tuple(levels)


def qualities(objective: RuleObjective, budgets: Budgets, asked: Asked) -> NDArray[np.float64]:
    """Expected quality by budget and way, 0 to 1; NaN where a way is not offered with a budget.

    Between the weak and the strong model of the rule the gap of the priors is moved to the prompt's
    expected gain, as far as that is sure: half of it up, half of it down.
    """
    if asked.gain is None:
        known = objective.qualities.get((asked.domain, budgets))
        if known is not None:
            return known
    shifts = _shifts(objective, asked)
    found = np.full((len(budgets), len(objective.ways)), np.nan)
    stated = objective.budget
    levelled = budgets[:-1] if budgets[-1] is None else budgets
    for index, way in enumerate(objective.ways):
        prior, shift = way.prior(asked.domain), shifts.get(way.tier, 0.0)
        if stated is None or not levelled or (stated.enforce == "clamp" and way.reasons):
            found[-1, index] = prior + shift
            continue
        curve = way.curve(stated.enforce, asked.domain)
        if not curve:
            found[len(levelled) - 1, index] = prior + shift
            continue
        for level, tokens in enumerate(levelled):
            found[level, index] = on_curve(curve, float(tokens or 0)) + shift
    np.maximum(found, 0.0, out=found)
    np.minimum(found, 1.0, out=found)
    if asked.gain is None and len(objective.qualities) < _MOST_KEPT:
        objective.qualities[asked.domain, budgets] = found
    return found


def _shifts(objective: RuleObjective, asked: Asked) -> dict[int, float]:
    """What the prompt's expected gain adds to each tier's quality."""
    if objective.pair is None or asked.gain is None:
        return {}
    weak, strong = (_prior_of(objective, tier, asked.domain) for tier in objective.pair)
    moved = asked.gain.confidence * (asked.gain.value - (strong - weak)) / 2
    return {objective.pair[0]: -moved, objective.pair[1]: moved}


def _prior_of(objective: RuleObjective, tier: int, domain: str | None) -> float:
    return next((way.prior(domain) for way in objective.ways if way.tier == tier), 0.0)


def lengths_of(
    objective: RuleObjective, budgets: Budgets, asked: Asked, book: LengthBook
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Tokens of output by budget and way: E[min(length, budget)], and at the objective's quantile."""
    limit = _bound(asked.limit)
    bounds = tuple([min(_bound(budget), limit) for budget in budgets])
    found = np.array(
        [
            book.of(objective.rule, way.upstream_model).bounded(way.max_output, bounds, objective.quantile)
            for way in objective.ways
        ]
    )
    return found[:, 0].T, found[:, 1].T


def _bound(tokens: int | None) -> float:
    return np.inf if tokens is None else float(tokens)


def unable(way: Way, asked: Asked) -> str | None:
    """Why a way cannot serve a request, or None."""
    if asked.prompt_tokens / asked.prompts > way.context_window:  # the longest has as many at least
        return "prompt longer than the model's context window"
    lacking = frozenset() if way.capabilities is None else asked.needs - way.capabilities
    return f"the model cannot do: {', '.join(sorted(lacking))}" if lacking else None


@dataclass(slots=True, frozen=True)
class Choice:
    """One choice: columns by candidate, tables by budget and way. Shared with its record."""

    objective: RuleObjective
    asked: Asked
    budgets: Budgets
    quality: NDArray[np.float64]
    """By budget and way; NaN where not offered."""
    tokens: NDArray[np.float64]
    """Expected output of one answer, by budget and way."""
    long_tokens: NDArray[np.float64]
    """Output of one answer at the objective's quantile, by budget and way."""
    output_usd: NDArray[np.float64]
    """Dollars for one output token of each answer, by way; 0 where prices are not known."""
    input_usd: NDArray[np.float64]
    """Dollars for the prompt at each candidate; the stated reference where prices are not known."""
    priced: NDArray[np.bool_]
    """By way: whether its prices are known."""
    ttft: NDArray[np.float64]
    """Seconds to the first token at each candidate; the stated reference where too little is known."""
    tpot: NDArray[np.float64]
    """Seconds for each further token; 0 where too little is known."""
    timed: NDArray[np.bool_]
    """Whether times are known: [to the first token, further; way]."""
    factors: NDArray[np.float64]
    """What times are at the objective's quantile, by what is expected: [to the first token, further; way]."""
    features: NDArray[np.float64]
    """What times were predicted by, [features, candidates]: see `state.latency`."""
    learned_from: tuple[int, ...]
    """By way: answers that its times were learned from."""
    by_queue: tuple[bool, ...]
    """By way: whether its times are told by the queue alone."""
    level: int = 0
    """Index of the budget that was chosen."""
    held: str = ""
    """Why the conversation stays with its model; empty where nothing held it."""
    within_bounds: bool = True
    """Whether any candidate keeps floor and ceilings."""
    later_levels: Mapping[int, int] = field(default_factory=lambda: NONE_OF_THEIR_OWN)
    """By candidate of the list: the index of its budget, where that is not the pick's."""

    def packed(self) -> "Choice":
        """The same for keeping: in single precision, without what times were predicted by."""
        return replace(
            self,
            input_usd=self.input_usd.astype(np.float32),
            ttft=self.ttft.astype(np.float32),
            tpot=self.tpot.astype(np.float32),
            features=_NONE,
        )

    @property
    def nbytes(self) -> int:
        """What it costs to keep; the objective is shared."""
        columns = (self.input_usd, self.ttft, self.tpot)
        tables = (self.quality, self.tokens, self.long_tokens, self.factors)
        return _OWN_BYTES + sum(one.nbytes for one in (*columns, *tables))

    @property
    def budget(self) -> int | None:
        """The output budget that was chosen, in tokens."""
        return self.budgets[self.level]

    def budget_at(self, candidate: int) -> int | None:
        """The output budget of a candidate of the list."""
        return self.budgets[self.later_levels.get(candidate, self.level)]

    def usd(self, level: int) -> NDArray[np.float64]:
        """Expected dollars by candidate."""
        usd: NDArray[np.float64] = self.output_usd * self.tokens[level]
        return self.input_usd + usd.take(self.objective.way_of)

    def seconds(self, level: int) -> NDArray[np.float64]:
        """Expected seconds to the end of the answer, by candidate."""
        tokens: NDArray[np.float64] = self.tokens[level]
        return self.ttft + self.tpot * tokens.take(self.objective.way_of)

    def worth(self) -> NDArray[np.float64]:
        """What each candidate is worth, [budget, candidate]; -inf where it is not offered with a budget.

        Depends on no other candidate.
        """
        return self._worth(self.objective.way_of, self.input_usd, self.ttft, self.tpot)

    def worth_of(self, candidates: list[int]) -> NDArray[np.float64]:
        """The same of some candidates, in their order."""
        way_of, at = self.objective.way_of, candidates
        return self._worth(way_of[at], self.input_usd[at], self.ttft[at], self.tpot[at])

    def _worth(
        self,
        way_of: NDArray[np.intp],
        input_usd: NDArray[np.float64],
        ttft: NDArray[np.float64],
        tpot: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        own = self.objective
        by_way = np.where(np.isnan(self.quality), -np.inf, own.quality_weight * self.quality)
        flat: NDArray[np.float64] | None = None
        if own.cost_weight:
            scale = own.cost_weight / own.usd
            by_way -= scale * self.output_usd * self.tokens
            flat = -scale * input_usd
        if not own.latency_weight:
            worth: NDArray[np.float64] = by_way.take(way_of, axis=1)
        else:
            scale = own.latency_weight / own.seconds
            late = scale * ttft
            flat = -late if flat is None else flat - late
            worth = (-scale * self.tokens).take(way_of, axis=1)
            worth *= tpot
            worth += by_way.take(way_of, axis=1)
        if flat is not None:
            worth += flat
        return worth

    def keeps_bounds(self) -> NDArray[np.bool_]:
        """Which candidates keep floor and ceilings, [budget, candidate]; unknown breaks no ceiling.

        One row stands for all budgets where no bound depends on them. What is not offered keeps them.
        """
        return self._keeps_bounds(self.objective.way_of, self.input_usd, self.ttft, self.tpot)

    def keeps_bounds_of(self, candidates: list[int]) -> NDArray[np.bool_]:
        """The same of some candidates, in their order."""
        way_of, at = self.objective.way_of, candidates
        return self._keeps_bounds(way_of[at], self.input_usd[at], self.ttft[at], self.tpot[at])

    def _keeps_bounds(
        self,
        way_of: NDArray[np.intp],
        input_usd: NDArray[np.float64],
        ttft: NDArray[np.float64],
        tpot: NDArray[np.float64],
    ) -> NDArray[np.bool_]:
        own = self.objective
        keeps: NDArray[np.bool_] = np.ones((1, len(way_of)), np.bool_)
        if own.least_quality > 0:
            keeps = ~(self.quality < own.least_quality).take(way_of, axis=1)
        if own.most_usd < np.inf:
            output = np.where(self.priced, self.output_usd * self.long_tokens, -np.inf)
            keeps = keeps & (input_usd + output.take(way_of, axis=1) <= own.most_usd)
        for times, most, of in ((ttft, own.most_ttft, 0), (tpot, own.most_tpot, 1)):
            if most < np.inf:
                factors = np.where(self.timed[of], self.factors[of], 0.0)
                keeps &= times * factors.take(way_of) <= most
        return keeps
