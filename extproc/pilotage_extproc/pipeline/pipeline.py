"""A request's way through the gateway's plan and its rule's, and its settlement."""

from pilotage_api.settings import GatewaySettings
from pilotage_extproc.accounting.answers import rate_limits
from pilotage_extproc.dialects.table import INFERENCE_KINDS
from pilotage_extproc.domain.decision import DirectAnswer
from pilotage_extproc.domain.head import RequestHead
from pilotage_extproc.domain.outcome import Outcome, Settled
from pilotage_extproc.domain.refusals import Refusal, RequestRefused
from pilotage_extproc.pipeline.consider import consider
from pilotage_extproc.pipeline.plans import PlanBook
from pilotage_extproc.recording.decision_headers import decision_headers
from pilotage_extproc.recording.record import DecisionRecord
from pilotage_extproc.request.exchange import Exchange
from pilotage_extproc.request.ledger import Ledger
from pilotage_extproc.request.run import run
from pilotage_extproc.stages.admit import COUNTED


class Pipeline:
    """Decides requests and settles them."""

    def __init__(self, plans: PlanBook, ledger: Ledger, settings: GatewaySettings) -> None:
        self._plans = plans
        self._ledger = ledger
        self._settings = settings

    async def begin(self, exchange: Exchange) -> DirectAnswer | None:
        """Recognise a request by its head; an answer where it needs no model server.

        Raises RequestRefused.
        """
        return await run(self._plans.on_head, exchange)

    async def decide(self, exchange: Exchange) -> DirectAnswer | None:
        """Decide where a request goes whose body is there, if it has one. Raises RequestRefused.

        From then on it is in the ledger, until its outcome comes or it is given up.
        """
        try:
            answer = await consider(self._plans.on_body, exchange)
        except RequestRefused as refused:
            if refused.reason is not Refusal.NO_ENDPOINTS or not exchange.plan.waiting:
                raise
            answer = None  # it may wait for a server to come
        if answer is None and exchange.plan.waiting:
            answer = await run(exchange.plan.waiting, exchange)
        if answer is None:
            answer = await run(exchange.plan.committing, exchange)
        if answer is None:
            self._ledger.open(exchange)
        return answer

    async def consider(self, head: RequestHead, body: bytes) -> DecisionRecord:
        """Decide without placing: nothing is counted or kept. Raises RequestRefused."""
        exchange = Exchange(head)
        on_head, on_body = self._plans.considering
        answer = await run(on_head, exchange)
        if answer is not None or exchange.call.kind not in INFERENCE_KINDS:
            raise RequestRefused(Refusal.UNKNOWN_PATH, "Only inference calls are decided on.")
        exchange.received(body)
        try:
            await consider(on_body, exchange)
            return DecisionRecord.of(exchange, self._plans.utc_now())
        finally:
            exchange.finish(Outcome.abandoned())

    def abandon(self, exchange: Exchange, outcome: Outcome) -> None:
        """It ends without a pick that anyone follows: a refusal, an answer, a client that left."""
        self._ledger.drop(exchange)
        exchange.finish(outcome)

    def settle(self, outcome: Outcome) -> Settled:
        """A request of this process has ended: its stages finish, once."""
        found = self._ledger.settle(outcome)
        if found is None:
            return Settled(known=False)
        exchange, late = found
        return Settled(True, late, _against(exchange, outcome.upstream_address))

    def decision_headers(self, exchange: Exchange) -> dict[str, str]:
        """Response headers: the decision, as the settings allow, and what limits leave; until the pick."""
        shown = decision_headers(exchange, self._settings.decision_headers)
        counted = exchange.kept(COUNTED)
        return shown if counted is None else {**shown, **rate_limits(*counted)}


def _against(exchange: Exchange, served: str | None) -> str:
    """Which of a pick's addresses served: `first`, `fallback`, `other` than all of them, or `none`."""
    if served is None:
        return "none"
    targets = exchange.decision.targets
    if served == targets[0].address:
        return "first"
    return "fallback" if any(served == target.address for target in targets) else "other"
