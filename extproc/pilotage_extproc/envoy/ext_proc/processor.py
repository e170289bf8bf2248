"""ext_proc streams: what all of a process share."""

import logging
import time
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from pilotage_api.identity_settings import IdentitySettings
from pilotage_extproc.domain.decision import DirectAnswer
from pilotage_extproc.domain.outcome import Outcome
from pilotage_extproc.domain.refusals import Refusal, RequestRefused
from pilotage_extproc.envoy.ext_proc import messages
from pilotage_extproc.envoy.ext_proc.body_budget import BodyBudget
from pilotage_extproc.envoy.ext_proc.picks import Picks
from pilotage_extproc.envoy.ext_proc.request_stream import Asker, RequestStream
from pilotage_extproc.envoy.ext_proc.vouching import stripped, vouching
from pilotage_extproc.request.exchange import Exchange
from pilotage_extproc.telemetry.metrics import Telemetry
from pilotage_extproc.transport.contract import CallRefused, Stream

log = logging.getLogger(__name__)

_WARNED_EVERY_SECONDS: Final = 60.0


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
        response_began: Callable[[str, str, str], None],
        clock: Callable[[], float] = time.monotonic,
        may_read_answer: Callable[[Mapping[str, str]], bool] = lambda _headers: False,
        identity: IdentitySettings | None = None,
        message_timeout_seconds: float = 5.0,
    ) -> None:
        self.decider = decider
        self.picks = picks
        self.bodies = bodies
        self.telemetry = telemetry
        self.head_seconds = telemetry.decision_seconds.series("headers")
        self.place_seconds = telemetry.decision_seconds.series("place")
        self.settle = settle
        self.response_began = response_began
        self.clock = clock
        self.may_read_answer = may_read_answer
        """Whether a policy that looks at answers may match a request of these headers."""
        self.vouching = vouching(identity)
        self.stripped = stripped(identity)
        """Request headers that no server sees, beside those that none ever does."""
        self.continues = (
            messages.request_headers_continue(self.stripped)
            if self.stripped
            else messages.CONTINUE_REQUEST_HEADERS
        )
        """Answer to request headers whose body is still to come."""
        self.message_timeout_seconds = message_timeout_seconds
        self.open_streams = 0
        self._responses_seen = False
        self._warned_at: float | None = None

    async def process(self, stream: Stream, asker: Asker) -> None:
        """Serve one stream to its end. Raises only CallRefused: its messages cannot be read."""
        self.open_streams += 1
        request = RequestStream(self, stream, asker)
        outcome: Outcome | None = None
        try:
            outcome = await request.run()
        except RequestRefused as refused:
            outcome = Outcome.answered(refused.reason.http_status)
            self.telemetry.requests.add("refused", refused.reason.code)
            await stream.write(request.refusal(refused))
        except CallRefused as refused:
            self._warn(refused)
            raise
        except Exception:
            log.exception("a request failed in the picker")
            failed = RequestRefused(Refusal.INTERNAL, "The gateway could not process this request.")
            outcome = Outcome.answered(failed.reason.http_status)
            self.telemetry.requests.add("refused", failed.reason.code)
            await stream.write(request.refusal(failed))
        finally:
            self.open_streams -= 1
            request.close(outcome)

    def _warn(self, refused: CallRefused) -> None:
        """Once in a while: whoever sends what cannot be read may do so with each request."""
        now = self.clock()
        if self._warned_at is None or now - self._warned_at >= _WARNED_EVERY_SECONDS:
            self._warned_at = now
            log.warning("ended an ext_proc call: %s", refused, extra={"status": refused.status.name})

    def response_ended(self, outcome: Outcome, *, seen: bool) -> None:
        """The stream of a request of another gateway has ended, after its response where it shows them.

        A gateway that never does ends its stream with the pick: that says nothing of the request.
        """
        self._responses_seen |= seen
        if self._responses_seen:
            self.settle(outcome)
