"""How many tokens a request will have at each model once its policy has changed it."""

from collections.abc import Mapping

import orjson

from pilotage_api.fallback import FallbackReason
from pilotage_extproc.dialects.call import max_tokens
from pilotage_extproc.dialects.context_tokens import context_tokens
from pilotage_extproc.dialects.looking import UnknownFactError
from pilotage_extproc.dialects.table import DIALECTS
from pilotage_extproc.dialects.transform.transform import Transform, transforms
from pilotage_extproc.domain.refusals import RequestRefused
from pilotage_extproc.request.choices import prompts_of
from pilotage_extproc.request.context_needs import CONTEXT_NEEDS
from pilotage_extproc.request.exchange import Exchange
from pilotage_extproc.request.stage import Step


class Foresee(Step):
    """Estimates it, where the rule's fallback passes over models that it does not fit."""

    name = "foresee"

    def __init__(self, by_model: Mapping[str, Transform]) -> None:
        """`by_model` is what models get, as the policy names them."""
        self._by_model = by_model

    def apply(self, exchange: Exchange) -> None:
        """Estimate, and change nothing."""
        route, kind = exchange.route, exchange.call.kind
        fallback = route.fallback
        if fallback is None or FallbackReason.CONTEXT_OVERFLOW not in fallback.at_decision:
            return
        windows = fallback.abilities.windows
        if windows is None or not transforms(kind) or not DIALECTS[kind].output_limits:
            return
        exchange.keep(CONTEXT_NEEDS, self._needs(exchange, float(windows.min())))

    def _needs(self, exchange: Exchange, least_window: float) -> tuple[float, ...] | None:
        kind, members, body = exchange.call.kind, exchange.document.members, exchange.body
        try:
            prompts = prompts_of(DIALECTS[kind], members)[0]
            prompt = context_tokens(kind, members, body) / prompts
            own = max_tokens(DIALECTS[kind], members)
        except (UnknownFactError, TypeError):
            return None
        known: dict[Transform | None, float] = {None: prompt + (own or 0)}
        for transform in map(self._by_model.get, exchange.route.models):
            if transform is not None and transform not in known:
                answer = transform.output_limit(own) or 0
                most = prompt + transform.prompt_bytes + answer
                # only where it may matter is the prompt made and counted: most fit everywhere in any case
                known[transform] = (
                    most if most <= least_window else _counted(transform, exchange, prompt, prompts) + answer
                )
        return tuple([known[self._by_model.get(model)] for model in exchange.route.models])


def _counted(transform: Transform, exchange: Exchange, otherwise: float, prompts: int) -> float:
    """Tokens of one prompt as the model gets it; a request that cannot be changed is refused later."""
    kind = exchange.call.kind
    try:
        made = transform.applied(kind, exchange.body)
        return context_tokens(kind, orjson.loads(made), made) / prompts
    except (RequestRefused, UnknownFactError, TypeError):
        return otherwise
