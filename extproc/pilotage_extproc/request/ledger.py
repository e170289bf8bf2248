"""All requests of this process that have been decided and not seen finished."""

from collections import OrderedDict
from itertools import islice
from typing import Final

from pilotage_extproc.domain.outcome import Outcome
from pilotage_extproc.request.exchange import Exchange

MOST_OPEN: Final = 200_000
"""Requests that are open at one time; past it some of the oldest are given up. Each takes some 1.5 KiB."""
_MOST_PASSES: Final = 4_096
"""In how many portions all open requests would be given up."""
_MOST_REMEMBERED: Final = 10_000
"""Requests given up whose outcome may still come."""


class Ledger:
    """Exchanges by decision id, from their pick to their outcome; each is finished once.

    A request whose end is not seen is given up, by age, by number, or because the engine holds it no
    longer: it is finished with an unknown outcome. One that comes later amends it.
    """

    def __init__(self, *, ttl_seconds: float, most_open: int = MOST_OPEN) -> None:
        self._ttl_seconds = ttl_seconds
        self._most_open = most_open
        self._open: dict[str, Exchange] = {}
        """Oldest first."""
        self._given_up: OrderedDict[str, Exchange] = OrderedDict()
        self.expired = 0
        """Requests that were given up because their end was not seen."""

    def __len__(self) -> int:
        return len(self._open)

    def open(self, exchange: Exchange) -> None:
        """Keep an exchange from its pick on."""
        self._open[exchange.decision.id] = exchange
        if len(self._open) > self._most_open:
            # several at once: a dict finds its first entry by passing over all that were deleted before it
            for decision_id in list(islice(self._open, 1 + self._most_open // _MOST_PASSES)):
                self.give_up(decision_id)

    def drop(self, exchange: Exchange) -> None:
        """Forget an exchange that nobody will settle."""
        self._open.pop(exchange.decision.id, None)

    def find(self, decision_id: str) -> Exchange | None:
        """An open request."""
        return self._open.get(decision_id)

    def settle(self, outcome: Outcome) -> tuple[Exchange, bool] | None:
        """Finish the request of an outcome; None if it is not known, or was settled before.

        The flag says that it had been given up, and was amended.
        """
        exchange = self._open.pop(outcome.decision_id, None)
        if exchange is not None:
            exchange.finish(outcome)
            return exchange, False
        exchange = self._given_up.pop(outcome.decision_id, None)
        if exchange is not None:
            exchange.amend(outcome)
            return exchange, True
        return None

    def give_up(self, decision_id: str) -> None:
        """Nobody will say how this one ended, or only much later."""
        exchange = self._open.pop(decision_id, None)
        if exchange is None:
            return
        self.expired += 1
        exchange.finish(Outcome.unknown(decision_id))
        self._given_up[decision_id] = exchange
        if len(self._given_up) > _MOST_REMEMBERED:
            self._given_up.popitem(last=False)

    def expire(self, now: float) -> None:
        """Give up requests older than the time to live. Amortised O(1) a request: oldest come first."""
        due = []
        for decision_id, exchange in self._open.items():
            if exchange.decision.decided_at > now - self._ttl_seconds:
                break
            due.append(decision_id)
        for decision_id in due:
            self.give_up(decision_id)
