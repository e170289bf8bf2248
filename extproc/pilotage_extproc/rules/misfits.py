"""Which candidates of a rule with a fallback cannot serve a request, by what is known of their models."""

import numpy as np
from numpy.typing import NDArray

from pilotage_api.fallback import FallbackReason
from pilotage_extproc.dialects.call import max_tokens
from pilotage_extproc.dialects.looking import UnknownFactError
from pilotage_extproc.dialects.shape import capabilities_needed
from pilotage_extproc.dialects.table import DIALECTS
from pilotage_extproc.request.choices import prompts_of
from pilotage_extproc.request.context_needs import CONTEXT_NEEDS
from pilotage_extproc.request.exchange import Exchange
from pilotage_extproc.request.prompt_tokens import prompt_tokens
from pilotage_extproc.request.spent_models import SPENT_MODELS
from pilotage_extproc.scheduling.shaping import Fallback

Misfits = dict[FallbackReason, NDArray[np.bool_]]
"""By reason: True where a candidate cannot serve the request."""


def misfits_of(exchange: Exchange, fallback: Fallback) -> Misfits:
    """By each listed reason that any candidate cannot serve it for; what cannot be told counts as fitting."""
    asked = fallback.of_request
    found: Misfits = {}
    if not asked:
        return found
    if FallbackReason.BUDGET in asked:
        spent = exchange.kept(SPENT_MODELS)
        if spent:
            found[FallbackReason.BUDGET] = exchange.route.candidates.targets.named(spent)
    if exchange.call.kind not in DIALECTS:
        return found
    abilities = fallback.abilities
    if FallbackReason.CONTEXT_OVERFLOW in asked and abilities.windows is not None:
        needs = exchange.kept(CONTEXT_NEEDS)
        tokens = _tokens(exchange) if needs is None else np.array(needs)[exchange.route.candidates.tiers]
        over = None if tokens is None else abilities.too_long(tokens)
        if over is not None:
            found[FallbackReason.CONTEXT_OVERFLOW] = over
    if FallbackReason.CAPABILITY in asked and abilities.lacks:
        lacking = abilities.lacking(
            capabilities_needed(DIALECTS[exchange.call.kind], exchange.document.members)
        )
        if lacking is not None:
            found[FallbackReason.CAPABILITY] = lacking
    return found


def _tokens(exchange: Exchange) -> float | None:
    """Estimated tokens of the prompt and of the answer that the client asks room for.

    Of several prompts, each with a window of its own, those of one as they are on average: the longest has
    as many at least.
    """
    dialect, members = DIALECTS[exchange.call.kind], exchange.document.members
    prompts = prompts_of(dialect, members)[0]
    try:
        return prompt_tokens(exchange) / prompts + (max_tokens(dialect, members) or 0)
    except (UnknownFactError, TypeError):
        return None
