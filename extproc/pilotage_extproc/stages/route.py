"""Which rule a request follows: of its most specific policy, or of its model name."""

from pilotage_extproc.domain.head import CallKind
from pilotage_extproc.domain.refusals import Refusal, RequestRefused
from pilotage_extproc.request.exchange import Exchange
from pilotage_extproc.request.stage import Step
from pilotage_extproc.rules.routing_index import CurrentIndex, RoutingIndex
from pilotage_extproc.rules.rule import Rule
from pilotage_extproc.scheduling.feedback import Learner


class ChooseRule(Step):
    """Routes a request by the index in force."""

    name = "route"

    def __init__(self, current: CurrentIndex, learner: Learner) -> None:
        self._current = current
        self._learner = learner

    def apply(self, exchange: Exchange) -> None:
        """Find its rule. Raises RequestRefused."""
        index, call = self._current.index, exchange.call
        if call.forward_pool is not None:
            rule = _in_pool_by_load(index, call.forward_pool)
        elif call.kind is CallKind.RESPONSE_OBJECT:
            address = exchange.fixed_address or ""
            rule = _in_pool_by_load(index, exchange.head.pool or index.by_address.get(address, ""))
        elif exchange.head.pool is not None:
            rule = self._in_fixed_pool(index, exchange.head.pool, exchange.document.model)
        else:
            rule = _by_policy(index, exchange)
        only = exchange.fixed_address
        if only is not None and not rule.route.candidates.targets.has_address(only):
            message = (
                f"The server that made the previous response does not serve `{exchange.document.model}`."
            )
            raise RequestRefused(Refusal.RESPONSE_NOT_FOUND, message, param="previous_response_id")
        exchange.routed(rule.route, rule.plan, index.snapshot.version)

    def _in_fixed_pool(self, index: RoutingIndex, pool: str, model: str) -> Rule:
        rule = index.in_pool(pool, model, adapter=self._learner.is_adapter(model))
        if rule is None:
            raise RequestRefused(Refusal.NO_ENDPOINTS, f"{pool} is not served here now.")
        return rule


def _in_pool_by_load(index: RoutingIndex, pool: str) -> Rule:
    rule = index.pool_rules.get(pool)
    if rule is None:
        raise RequestRefused(Refusal.NO_ENDPOINTS, "No model server takes this call now.")
    return rule


def _by_policy(index: RoutingIndex, exchange: Exchange) -> Rule:
    model = exchange.document.model
    for policy in index.matching(model, exchange.call.path, exchange.head.headers):
        return policy.rules[0]
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
