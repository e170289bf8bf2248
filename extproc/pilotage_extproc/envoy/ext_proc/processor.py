"""ext_proc streams: what all of a process share."""

import logging
import time
from collections.abc import Callable
from typing import Protocol

from pilotage_extproc.domain.decision import DirectAnswer
from pilotage_extproc.domain.outcome import Outcome
from pilotage_extproc.domain.refusals import Refusal, RequestRefused
from pilotage_extproc.envoy.ext_proc.body_budget import BodyBudget
from pilotage_extproc.envoy.ext_proc.picks import Picks
from pilotage_extproc.envoy.ext_proc.request_stream import Asker, RequestStream
from pilotage_extproc.request.exchange import Exchange
from pilotage_extproc.telemetry.metrics import Telemetry
from pilotage_extproc.transport.contract import Stream

log = logging.getLogger(__name__)


class Decider(Protocol):
    """The pipeline, as far as streams need it."""

    async def begin(self, exchange: Exchange) -> DirectAnswer | None:
        """Recognise a request by its head. Raises RequestRefused."""

    async def decide(self, exchange: Exchange) -> DirectAnswer | None:
        """Decide where it goes, with its body. Raises RequestRefused."""

    def abandon(self, exchange: Exchange, outcome: Outcome) -> None:
        """It ends without a pick that anyone follows."""

    def decision_headers(self, exchange: Exchange) -> dict[str, str]:
        """Response headers that show its decision."""


class Processor:
    """Serves ext_proc streams."""

    def __init__(
        self,
        decider: Decider,
        picks: Picks,
        *,
        bodies: BodyBudget,
        telemetry: Telemetry,
        settle: Callable[[Outcome], None],
        response_began: Callable[[str, str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.decider = decider
        self.picks = picks
        self.bodies = bodies
        self.telemetry = telemetry
        self.settle = settle
        self.response_began = response_began
        self.clock = clock
        self.open_streams = 0
        self._responses_seen = False

    async def process(self, stream: Stream, asker: Asker) -> None:
        """Serve one stream to its end. No error of one request leaves its stream."""
        self.open_streams += 1
        request = RequestStream(self, stream, asker)
        outcome = Outcome.abandoned()
        try:
            outcome = await request.run()
        except RequestRefused as refused:
            outcome = Outcome.answered(refused.reason.http_status)
            self.telemetry.requests.add("refused", refused.reason.code)
            await stream.write(request.refusal(refused))
        except Exception:
            log.exception("a request failed in the picker")
            failed = RequestRefused(Refusal.INTERNAL, "The gateway could not process this request.")
            outcome = Outcome.answered(failed.reason.http_status)
            self.telemetry.requests.add("refused", failed.reason.code)
            await stream.write(request.refusal(failed))
        finally:
            self.open_streams -= 1
            request.close(outcome)

    def response_ended(self, outcome: Outcome, *, seen: bool) -> None:
        """The stream of a request of another gateway has ended, after its response where it shows them.

        A gateway that never does ends its stream with the pick: that says nothing of the request.
        """
        self._responses_seen |= seen
        if self._responses_seen:
            self.settle(outcome)
