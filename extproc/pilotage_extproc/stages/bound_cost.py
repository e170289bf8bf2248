"""Requests of a hard budget: their output is bounded in their body, and what they can cost is known."""

import orjson

from pilotage_extproc.accounting.prices import PriceBook, Terms
from pilotage_extproc.accounting.tenant_rules import RulesOfCaller
from pilotage_extproc.dialects.call import Members, is_one_answer
from pilotage_extproc.dialects.limits import OutputLimits
from pilotage_extproc.dialects.splice import edited
from pilotage_extproc.dialects.table import DIALECTS
from pilotage_extproc.domain.providers import is_provider
from pilotage_extproc.domain.refusals import Refusal, RequestRefused
from pilotage_extproc.request.exchange import Exchange
from pilotage_extproc.request.stage import Step
from pilotage_extproc.request.token_bounds import MOST_COST, Bounds, MostCost
from pilotage_extproc.stages.most_cost import most_cost


class BoundCost(Step):
    """Lowers the output's limit to what the budget holds, so that the engine itself ends a long answer."""

    name = "boundCost"

    def __init__(self, rules: RulesOfCaller, prices: PriceBook, clamp_at: int | None) -> None:
        """`clamp_at` is the most output tokens that the rule lets an answer have; None has no such bound."""
        self._rules = rules
        self._prices = prices
        self._clamp_at = clamp_at
        self._limits = {
            kind: OutputLimits(dialect) for kind, dialect in DIALECTS.items() if dialect.output_limits
        }

    def apply(self, exchange: Exchange) -> None:
        """Bound it. Raises RequestRefused (400) where nothing bounds what it can cost, or tells it."""
        if not self._rules.of(exchange.identity).hard or not DIALECTS[exchange.call.kind].is_billed:
            return
        _check_usage(exchange.document.members)
        terms = self._prices.terms(exchange.snapshot_version, exchange.route.pools, exchange.decision.targets)
        bounds = Bounds(exchange)
        most = most_cost(bounds, terms, self._clamp_at)
        if len(exchange.decision.targets) > 1:
            most = _with_all_attempts(exchange, terms, most)
        output = most.output_tokens
        exchange.keep(MOST_COST, most)
        limits = self._limits.get(exchange.call.kind)
        if limits is None:
            return
        body = exchange.body if exchange.new_body is None else exchange.new_body
        # what keeps an output budget, or the policy's transform, has changed these members already
        members = orjson.loads(body) if exchange.transformed_bytes else exchange.document.members
        edits = limits.lowered(body, members, output)
        if edits:
            exchange.clamped(edited(body, edits))


def _check_usage(members: Members) -> None:
    """Raises RequestRefused (400) where a stream that is cut would say what one of its answers has used."""
    options = members.get("stream_options")
    asked = options.get("continuous_usage_stats") if isinstance(options, dict) else None
    if asked not in (None, False) and not is_one_answer(members):
        message = (
            "With several choices or prompts `continuous_usage_stats` must be left out: a hard budget pays."
        )
        raise RequestRefused(Refusal.INVALID_FIELD, message, param="stream_options.continuous_usage_stats")


def _with_all_attempts(exchange: Exchange, terms: Terms, most: MostCost) -> MostCost:
    """The most of a list: each provider in it may bill its attempt before another one answers.

    Own servers are not charged for attempts in vain: of them the dearest counts.
    """
    own: dict[str, int] = {}
    billed: dict[str, int] = {}
    for one, price in zip(exchange.decision.targets, terms.prices, strict=True):
        model, nano = one.upstream_model, 0 if price is None else price.most(*most.tokens)
        if is_provider(one.address):
            billed[model] = billed.get(model, 0) + nano
        else:
            own[model] = max(own.get(model, 0), nano)
    models = {**own, **billed}
    by_model = tuple([(model, own.get(model, 0) + billed.get(model, 0)) for model in models])
    together = max(own.values(), default=0) + sum(billed.values()) if billed else 0
    return most._replace(nano=max(most.nano, together), by_model=by_model)
