"""Which rule a request follows: of its most specific policy whose rules hold, or of its model name."""

from collections.abc import Awaitable, Iterator
from typing import Final

from pilotage_api.governance_settings import GovernanceSettings
from pilotage_api.snapshot import Otherwise
from pilotage_extproc.domain.head import CallKind
from pilotage_extproc.domain.refusals import Refusal, RequestRefused
from pilotage_extproc.request.exchange import Exchange
from pilotage_extproc.request.run import run
from pilotage_extproc.request.stage import Step
from pilotage_extproc.request.trial import Trial
from pilotage_extproc.rules.readings import Readings, ReadingSources
from pilotage_extproc.rules.routing_index import CurrentIndex, RoutingIndex
from pilotage_extproc.rules.rule import Policy, Rule
from pilotage_extproc.scheduling.feedback import Learner

_MOST_RULES_TOLD: Final = 16


class ChooseRule(Step):
    """Routes a request by the index in force."""

    name = "route"

    def __init__(
        self, current: CurrentIndex, learner: Learner, sources: ReadingSources, governance: GovernanceSettings
    ) -> None:
        self._current = current
        self._learner = learner
        self._sources = sources
        self._floor = governance.floor
        self._refuses_unmatched = governance.refuses_unmatched

    def apply(self, exchange: Exchange) -> Awaitable[None] | None:
        """Find its rule; waits only for slow values that conditions read. Raises RequestRefused."""
        index, call = self._current.index, exchange.call
        if call.forward_pool is not None:
            _follow(exchange, index, _forwarded(index, call.forward_pool))
            return None
        if call.kind is CallKind.RESPONSE_OBJECT:
            address = exchange.fixed_address or ""
            pool = exchange.head.pool or index.by_address.get(address, "")
            _follow(exchange, index, _in_pool_by_load(index, pool))
            return None
        if exchange.head.pool is not None:
            rule = self._in_fixed_pool(index, exchange.head.pool, exchange.document.model)
            _follow(exchange, index, rule)
            return None
        policies = index.matching(exchange.document.model, call.path, exchange.head.headers)
        return self._by_policy(exchange, index, policies, ())

    def _by_policy(
        self,
        exchange: Exchange,
        index: RoutingIndex,
        policies: Iterator[Policy],
        trials: tuple[Trial, ...],
    ) -> Awaitable[None] | None:
        for policy in policies:
            if policy.features:
                return self._after_features(exchange, index, policy, policies, trials)
            rule, trials = self._of_policy(exchange, index, policy, trials)
            if rule is not None:
                self._take(exchange, index, policy, policies, rule, trials)
                return None
        if self._refuses_unmatched:
            raise _no_policy(exchange.document.model)
        _follow(exchange, index, _by_name(index, exchange.document.model), trials)
        return None

    def _take(
        self,
        exchange: Exchange,
        index: RoutingIndex,
        policy: Policy,
        further: Iterator[Policy],
        rule: Rule,
        trials: tuple[Trial, ...],
    ) -> None:
        """Raises RequestRefused (403) where a policy that comes later is stricter, and there is a floor."""
        if self._floor:
            for other in further:
                if index.outranks(policy, other):
                    message = f"The policy {policy.key} comes before {other.key}, and is less strict."
                    raise RequestRefused(Refusal.NOT_GOVERNED, message)
        _follow(exchange, index, rule, trials)

    async def _after_features(
        self,
        exchange: Exchange,
        index: RoutingIndex,
        policy: Policy,
        policies: Iterator[Policy],
        trials: tuple[Trial, ...],
    ) -> None:
        await run(policy.features, exchange)
        rule, trials = self._of_policy(exchange, index, policy, trials)
        if rule is not None:
            self._take(exchange, index, policy, policies, rule, trials)
            return
        further = self._by_policy(exchange, index, policies, trials)
        if further is not None:
            await further

    def _of_policy(
        self, exchange: Exchange, index: RoutingIndex, policy: Policy, trials: tuple[Trial, ...]
    ) -> tuple[Rule | None, tuple[Trial, ...]]:
        """The policy's rule for the request; None passes it on. Raises RequestRefused (404)."""
        if policy.override_header is not None:
            named = policy.overrides.get(exchange.head.headers.get(policy.override_header, ""))
            if named is not None:
                trial = Trial(policy.key, named.route.rule or "", holds=True, reason="chosen by header")
                return named, (*trials, trial)
        first = policy.rules[0]
        if first.condition is None:
            return first, trials
        values = Readings(exchange, index, self._sources)
        tried = list(trials)
        for rule in policy.rules:
            name = rule.route.rule or ""
            if rule.condition is None:
                tried.append(Trial(policy.key, name, holds=True))
                return rule, tuple(tried)
            verdict = rule.condition.holds(values)
            reason = "" if verdict.reason is None else _reason(verdict.reason.value, verdict.about)
            tried.append(Trial(policy.key, name, verdict.holds, reason))
            if verdict.holds:
                return rule, tuple(tried)
        if policy.otherwise is Otherwise.NEXT:
            return None, tuple(tried)
        raise RequestRefused(Refusal.NO_RULE_MATCHED, _none_holds(policy, tried[len(trials) :]))

    def _in_fixed_pool(self, index: RoutingIndex, pool: str, model: str) -> Rule:
        if self._refuses_unmatched:
            message = "The gateway has chosen the pool: no policy is asked, and none but those are served."
            raise RequestRefused(Refusal.NO_POLICY, message)
        rule = index.in_pool(pool, model, adapter=self._learner.is_adapter(model))
        if rule is None:
            raise RequestRefused(Refusal.NO_ENDPOINTS, f"{pool} is not served here now.")
        return rule


def _no_policy(model: str) -> RequestRefused:
    asked = f"the model `{model[:256]}`" if model else "calls that name no model"
    return RequestRefused(Refusal.NO_POLICY, f"No policy takes {asked} here.", param="model")


def _none_holds(policy: Policy, trials: list[Trial]) -> str:
    """What a client is told; it names rules and what they read, and nothing of the request."""
    shown = [f"{trial.rule}: {trial.reason or 'no'}" for trial in trials[:_MOST_RULES_TOLD]]
    more = len(trials) - len(shown)
    if more:
        shown.append(f"and {more} more")
    return f"No rule of the policy {policy.key} holds for this request. Rules tried: {'; '.join(shown)}."


def _reason(code: str, about: tuple[str, ...]) -> str:
    return f"{code}: {', '.join(about)}" if about else code


def _follow(exchange: Exchange, index: RoutingIndex, rule: Rule, trials: tuple[Trial, ...] = ()) -> None:
    """The rule has won. Raises RequestRefused where it cannot have the server the request is bound to."""
    only = exchange.fixed_address
    if only is not None and not rule.route.candidates.targets.has_address(only):
        message = f"The server that made the previous response does not serve `{exchange.document.model}`."
        raise RequestRefused(Refusal.RESPONSE_NOT_FOUND, message, param="previous_response_id")
    exchange.routed(rule.route, rule.plan, index.snapshot.version, trials)


def _forwarded(index: RoutingIndex, pool: str) -> Rule:
    """Where what is not understood goes: never to a hosted provider."""
    known = index.pools.get(pool)
    if known is not None and known.external is not None:
        raise RequestRefused(Refusal.NO_ENDPOINTS, "No model server takes this call now.")
    return _in_pool_by_load(index, pool)


def _in_pool_by_load(index: RoutingIndex, pool: str) -> Rule:
    rule = index.pool_rules.get(pool)
    if rule is None:
        raise RequestRefused(Refusal.NO_ENDPOINTS, "No model server takes this call now.")
    return rule


def _by_name(index: RoutingIndex, model: str) -> Rule:
    rule = index.names.get(model) if model else _only_pool(index)
    if rule is None:
        message = f"The model `{model}` does not exist."
        raise RequestRefused(Refusal.MODEL_NOT_FOUND, message, param="model")
    return rule


def _only_pool(index: RoutingIndex) -> Rule:
    """Where a call goes that names no model: engines take it for the one they serve."""
    if index.unnamed is None:
        message = "`model` must be a non-empty string: more than one pool, or none, is served here."
        raise RequestRefused(Refusal.MISSING_MODEL, message, param="model")
    return index.unnamed
