"""Applying stages to one request: one path, which suspends only where a stage has to wait."""

import logging
from collections.abc import Iterable

from pilotage_extproc.domain.decision import DirectAnswer
from pilotage_extproc.domain.refusals import RequestRefused
from pilotage_extproc.request.exchange import Exchange
from pilotage_extproc.request.stage import OnError, Stage

log = logging.getLogger(__name__)


async def run(stages: Iterable[Stage], exchange: Exchange) -> DirectAnswer | None:
    """Apply stages in order, up to one that answers the request itself.

    An optional stage that fails is recorded and skipped. Raises RequestRefused, and whatever a required
    stage raises.
    """
    for stage in stages:
        if stage.settles:
            exchange.begin(stage)
        try:
            applied = stage.apply(exchange)
            if applied is None:
                continue
            answer = applied if isinstance(applied, DirectAnswer) else await applied
        except RequestRefused:
            raise
        except Exception as error:
            if stage.on_error is OnError.REFUSE:
                raise
            log.exception("a stage failed and was skipped", extra={"stage": stage.name})
            exchange.skip(stage.name, f"raised {type(error).__name__}")
            continue
        if answer is not None:
            return answer
    return None
