"""A request decided: from its body to where it goes, with nothing counted or kept."""

from collections.abc import Iterable

from pilotage_extproc.domain.decision import DirectAnswer
from pilotage_extproc.request.exchange import Exchange
from pilotage_extproc.request.run import run
from pilotage_extproc.request.stage import Stage


async def consider(on_body: Iterable[Stage], exchange: Exchange) -> DirectAnswer | None:
    """Find its rule and apply what that asks for, up to the decision. Raises RequestRefused."""
    answer = await run(on_body, exchange)
    plan = exchange.plan
    if answer is None and plan.governance:
        answer = await run(plan.governance, exchange)
        plan = exchange.plan
    if answer is None:
        answer = await run(plan.deciding, exchange)
    return answer
