"""One decision over model, output budget and replica, by a rule's objective."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pilotage_extproc.domain.features import RequestFeatures
from pilotage_extproc.domain.head import CallKind
from pilotage_extproc.domain.reach import Reach
from pilotage_extproc.scheduling.candidate_view import CandidateView
from pilotage_extproc.scheduling.candidates import CandidateSet, Knowledge
from pilotage_extproc.scheduling.objective import RuleObjective
from pilotage_extproc.scheduling.objective_choice import (
    NONE_OF_THEIR_OWN,
    Asked,
    Choice,
    budgets_of,
    lengths_of,
    qualities,
    unable,
)
from pilotage_extproc.scheduling.profile import Profile
from pilotage_extproc.scheduling.scheduler import Ranking, filtered, scored
from pilotage_extproc.scheduling.shaping import PassedOver, Shape, compared, shaped, with_later
from pilotage_extproc.state.cache_writes import CacheWriteBook
from pilotage_extproc.state.endpoints import EndpointTable
from pilotage_extproc.state.latency import FEATURES, LatencyBook
from pilotage_extproc.state.lengths import LengthBook

NEAR: Final = 0.002
"""Candidates whose worth differs by less are told apart by the profile's score, and then by chance."""
EXPLORED_SHARE: Final = 0.02
"""Of requests: they go to the replica of which least is known, where it is hardly worse."""
HARDLY_WORSE: Final = 0.02
WORTH_A_HOP: Final = 0.01
"""A later attempt has a budget of its own where that is better by more: attempts that differ in it are made
ready one by one, at the price of one more exchange with the gateway."""
_THOUSAND: Final = 1000.0
HELD_BY_LOOP: Final = "a tool loop runs"
HELD_BY_GAIN: Final = "the gain is below minimumGain"
OUT_OF_BOUNDS: Final = "no candidate keeps floor and ceilings"


@dataclass(slots=True, frozen=True)
class Experience:
    """What was learned from answers."""

    lengths: LengthBook
    latency: LatencyBook
    writes: CacheWriteBook = field(default_factory=CacheWriteBook)


class _Picked(NamedTuple):
    """An order of candidates, and how it came about."""

    order: list[int]
    worth: NDArray[np.float64]
    """By budget and candidate; -inf where it was not to be taken."""
    level: int = 0
    held: str = ""
    within_bounds: bool = True


@dataclass(slots=True, frozen=True)
class Chosen:
    """A choice and the order that came of it; the order is empty where nothing can serve."""

    choice: Choice
    ranking: Ranking


def load_features(view: CandidateView) -> NDArray[np.float64]:
    """What times are predicted by, [FEATURES, candidates]: see `state.latency`."""
    found = np.empty((FEATURES, len(view)))
    found[0] = 1.0
    found[1] = view.waiting
    others = np.add(view.running, view.unseen, out=found[2])
    np.maximum(others, view.inflight - view.waiting, out=others)
    request = view.request
    if request.prompt is None:
        found[3] = 0.0
    else:
        uncached = np.subtract(request.prompt.prompt_bytes, view.cached_bytes, out=found[3])
        np.maximum(uncached, 0.0, out=uncached)
        uncached *= 1.0 / (request.bytes_per_token * _THOUSAND)
    np.multiply(view.tokens, 1.0 / _THOUSAND, out=found[4])
    return found


class Chooser:
    """Compares all candidates of rules that have an objective."""

    def __init__(
        self,
        table: EndpointTable,
        knowledge: Knowledge,
        experience: Experience,
        random: np.random.Generator,
        chance: Callable[[], float],
    ) -> None:
        self._table = table
        self._knowledge = knowledge
        self.experience = experience
        self._random = random
        self._chance = chance

    def choose(
        self,
        candidates: CandidateSet,
        profile: Profile,
        objective: RuleObjective,
        asked: Asked,
        *,
        request: RequestFeatures,
        subset: tuple[str, ...] | None,
        reach: Reach = Reach.SERVERS,
        call: CallKind = CallKind.OTHER,
        limit: int,
        now: float,
        shape: Shape | None = None,
        own_budgets: bool = True,
    ) -> Chosen:
        """Order the best `limit` candidates: the first is the pick.

        With `own_budgets` attempts at other models have the output budget that suits them, else the pick's.

        With `shape` the rule has a fallback. Its own models are compared; those of the fallback that stand in
        the list come after them, in order, one place each. Where none of its own serves, the first of the
        list takes their place.
        """
        allowed = None if subset is None else frozenset(subset)
        view = CandidateView(candidates, self._table, self._knowledge, request, allowed, now, reach, call)
        skipped = list(profile.missing)
        alive, dropped = filtered(view, profile, skipped)
        terms, total = scored(view, profile, skipped)
        alive = np.ones(len(candidates), np.bool_) if alive is None else alive.copy()
        passed_over: tuple[PassedOver, ...] = ()
        first: list[int] | None = None
        later: list[int] = []
        if shape is not None:
            tiers, found, passed_over = shaped(view, alive, shape, None)
            alive = alive if found is None else found
            first, later = compared(tiers, passed_over, shape.fallback.own_tiers)
            limit = max(limit - len(later), len(first))
        able = alive.copy()
        for way, members in zip(objective.ways, objective.members, strict=True):
            reason = unable(way, asked)
            if reason is not None:
                mask = dropped.setdefault(reason, np.zeros(len(candidates), np.bool_))
                mask[members] = True
                able[members] = False
        alive = able if first is None else able & _of_tiers(candidates, first)
        choice = self._choice(view, objective, asked)
        picked = self._order(choice, candidates, alive, total, dropped, limit, own_budgets)
        order = picked.order
        if order and later:
            order = with_later(order, later, candidates, able, total)
        own: Mapping[int, int] = NONE_OF_THEIR_OWN
        if own_budgets and len(choice.budgets) > 1:
            own = _own_levels(choice, order, picked)
        choice = replace(
            choice,
            level=picked.level,
            held=picked.held,
            within_bounds=picked.within_bounds,
            later_levels=own,
        )
        cached = 0.0
        if order and request.prompt is not None:
            cached = float(view.cached_bytes[order[0]]) / request.bytes_per_token
        ranking = Ranking(order, total, terms, dropped, view.scraped_at, tuple(skipped), cached, passed_over)
        return Chosen(choice, ranking)

    def _choice(self, view: CandidateView, objective: RuleObjective, asked: Asked) -> Choice:
        """Every term of every candidate."""
        budgets = budgets_of(objective, asked)
        tokens, long_tokens = lengths_of(objective, budgets, asked, self.experience.lengths)
        ways, count = objective.ways, len(view)
        output_usd, priced = np.zeros(len(ways)), np.zeros(len(ways), np.bool_)
        input_usd, ttft = np.full(count, objective.usd), np.full(count, objective.seconds)
        tpot, timed = np.zeros(count), np.zeros((2, len(ways)), np.bool_)
        factors, learned_from, by_queue = np.ones((2, len(ways))), [0] * len(ways), [False] * len(ways)
        features = load_features(view)
        prompt = asked.prompt_tokens
        held = np.minimum(view.cached_bytes / view.request.bytes_per_token, prompt)
        rows = view.candidates.rows
        generations = self._table.generation.take(rows)
        latency = self.experience.latency
        for index, way in enumerate(ways):
            members = objective.members[index]
            prices = way.prices_at(prompt)
            if prices is not None:
                output_usd[index], priced[index] = asked.answers * prices.output, True
                new = prices.new(self.experience.writes.share(objective.rule, way.upstream_model))
                of_way = np.multiply(held[members], prices.cached - new, out=input_usd[members])
                of_way += new * prompt
            latency.seen(way.pool, way.upstream_model, view.waiting[members], view.running[members])
            first, further = latency.predict(
                way.pool,
                way.upstream_model,
                rows[members],
                generations[members],
                features[:, members],
                objective.quantile,
            )
            timed[0, index], timed[1, index] = first is not None, further is not None
            if first is not None:
                ttft[members], factors[0, index] = first.seconds, first.factor
                learned_from[index], by_queue[index] = first.seen, first.only_queue
            if further is not None:
                tpot[members], factors[1, index] = further.seconds, further.factor
        return Choice(
            objective,
            asked,
            budgets,
            qualities(objective, budgets, asked),
            tokens,
            long_tokens,
            output_usd,
            input_usd,
            priced,
            ttft,
            tpot,
            timed,
            factors,
            features,
            tuple(learned_from),
            tuple(by_queue),
        )

    def _order(
        self,
        choice: Choice,
        candidates: CandidateSet,
        alive: NDArray[np.bool_],
        total: NDArray[np.float64],
        dropped: dict[str, NDArray[np.bool_]],
        limit: int,
        own_budgets: bool,
    ) -> _Picked:
        objective, worth = choice.objective, choice.worth()
        if not alive.all():
            worth[:, ~alive] = -np.inf
        allowed, within_bounds = worth, True
        if objective.bounded and not (keeps := choice.keeps_bounds()).all():
            within = np.where(keeps, worth, -np.inf)
            if within.max() > -np.inf:
                allowed = within
                broken = alive & (within.max(axis=0) == -np.inf)
                if broken.any():
                    dropped[OUT_OF_BOUNDS] = broken
            else:
                within_bounds = False
                if objective.refuses:
                    return _Picked([], worth, within_bounds=False)
        stayed, held = self._stayed(choice, candidates, worth, allowed)
        told_apart = self._random.random(len(total))
        told_apart *= NEAR / 4
        told_apart += NEAR * total
        keys = stayed + told_apart
        flat = int(keys.argmax())
        level, pick = divmod(flat, len(total))
        if not np.isfinite(keys[level, pick]):
            return _Picked([], allowed, within_bounds=within_bounds)
        pick = self._explored(choice, keys[level], pick)
        # a conversation that is only better off where it is may go on elsewhere when its model fails
        others = allowed + told_apart if held == HELD_BY_GAIN else keys
        if own_budgets and len(others) > 1:
            same = objective.way_of == objective.way_of[pick]
            of_each = np.where(same, others[level], others.max(axis=0))
        else:
            of_each = others[level]
        order = _distinct(candidates, of_each, pick, limit)
        return _Picked(order, allowed, level, held, within_bounds)

    def _stayed(
        self,
        choice: Choice,
        candidates: CandidateSet,
        worth: NDArray[np.float64],
        allowed: NDArray[np.float64],
    ) -> tuple[NDArray[np.float64], str]:
        """Leave the conversation where it is, where that is asked for."""
        tier, minimum = choice.asked.last_tier, choice.objective.minimum_gain
        if tier is None or minimum is None:
            return allowed, ""
        stay = candidates.tiers == tier
        if choice.asked.in_tool_loop and np.isfinite(worth[:, stay]).any():
            kept = allowed if np.isfinite(allowed[:, stay]).any() else worth
            return np.where(stay, kept, -np.inf), HELD_BY_LOOP
        of_stay = allowed[:, stay]
        if not np.isfinite(of_stay).any():
            return allowed, ""
        gain = float(allowed.max() - of_stay.max())
        if 0 < gain <= minimum:
            return np.where(stay, allowed, -np.inf), HELD_BY_GAIN
        return allowed, ""

    def _explored(self, choice: Choice, keys: NDArray[np.float64], pick: int) -> int:
        """Now and then the replica of which least is known, where it is hardly worse."""
        if not choice.objective.latency_weight or self._chance() >= EXPLORED_SHARE:
            return pick
        index = int(choice.objective.way_of[pick])
        way, members = choice.objective.ways[index], choice.objective.members[index]
        near = np.flatnonzero(keys[members] >= keys[pick] - HARDLY_WORSE) + members.start
        rows = choice.objective.rows[near]
        seen = self.experience.latency.known_of(
            way.pool, way.upstream_model, rows, self._table.generation[rows]
        )
        return int(near[seen.argmin()])


def _of_tiers(candidates: CandidateSet, tiers: list[int]) -> NDArray[np.bool_]:
    """True where a candidate's model is one of these; a seventh of what isin() takes."""
    wanted = np.zeros(candidates.tier_count, np.bool_)
    wanted[tiers] = True
    return wanted.take(candidates.tiers)


def _own_levels(choice: Choice, order: list[int], picked: _Picked) -> Mapping[int, int]:
    """By candidate at another model: the budget it is worth most with, within the rule's bounds."""
    way_of = choice.objective.way_of
    others = [candidate for candidate in order if way_of[candidate] != way_of[order[0]]]
    if not others:
        return NONE_OF_THEIR_OWN
    found: dict[int, int] = {}
    for candidate in others:
        of_level = picked.worth[:, candidate].tolist()
        most = max(of_level)
        if most == -np.inf:  # of a fallback, which was not compared
            of_level = _bounded_worth(choice, candidate, within=picked.within_bounds)
            most = max(of_level)
        if most > of_level[picked.level] + WORTH_A_HOP:
            found[candidate] = of_level.index(most)
    return found or NONE_OF_THEIR_OWN


def _bounded_worth(choice: Choice, candidate: int, *, within: bool) -> list[float]:
    """What a candidate is worth by budget; with `within` only those that keep the bounds, where any does."""
    worth = choice.worth_of([candidate])[:, 0]
    if choice.objective.bounded and within:
        kept = np.where(choice.keeps_bounds_of([candidate])[:, 0], worth, -np.inf)
        worth = kept if np.isfinite(kept).any() else worth
    found: list[float] = worth.tolist()
    return found


def _distinct(candidates: CandidateSet, keys: NDArray[np.float64], pick: int, limit: int) -> list[int]:
    """The pick, then the best others, each endpoint once; the last is another model's where there is one."""
    left, tiers, rows = keys.copy(), candidates.tiers, candidates.rows
    order, tier = [pick], tiers[pick]
    left[rows == rows[pick]] = -np.inf  # an endpoint may serve several models
    while len(order) < limit:
        best = int(left.argmax())
        if not left[best] > -np.inf:
            break
        if len(order) == limit - 1 and all(tiers[index] == tier for index in (*order, best)):
            other = int(np.where(tiers != tier, left, -np.inf).argmax())
            if left[other] > -np.inf and tiers[other] != tier:
                best = other
        order.append(best)
        if len(order) < limit:
            left[rows == rows[best]] = -np.inf
    return order
