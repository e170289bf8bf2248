"""Which server made a stored response: later calls on it must go there."""

import asyncio
from collections import Counter
from dataclasses import dataclass

from pilotage_extproc.domain.outcome import Outcome
from pilotage_extproc.state.fair_cache import FairCache


@dataclass(slots=True, frozen=True)
class ResponseOwner:
    """Where a response object lives."""

    address: str
    holder: str = ""
    """Whose it is: `Identity.holder`."""
    withheld: bool = False
    """Whether its client got less of it than the server has: it may be followed, and not be fetched."""


class ResponseOwners:
    """Response id to server; where there are too many, the tenant with most forgets its least recently used.

    The access-log entry that teaches an id may arrive a moment after the client has the answer, so
    a lookup can wait for it, bounded in time and in number: of each tenant, so that none waits in the way of
    the others.
    """

    def __init__(
        self, *, capacity: int = 100_000, max_waiters: int = 1000, max_waiters_of_one: int = 100
    ) -> None:
        self._owners = FairCache[ResponseOwner](capacity)
        self._waiters: dict[str, list[asyncio.Future[ResponseOwner | None]]] = {}
        self._waiting = 0
        self._max_waiters = max_waiters
        self._waiting_of: Counter[str] = Counter()
        self._max_waiters_of_one = max_waiters_of_one

    def __len__(self) -> int:
        return len(self._owners)

    def learn(self, response_id: str, address: str, holder: str = "", *, withheld: bool = False) -> None:
        """This server made that response. It stays its first holder's, and withheld once it was."""
        known = self._owners.get(response_id)
        if known is not None:
            holder, withheld = known.holder or holder, known.withheld or withheld
        owner = ResponseOwner(address, holder, withheld)
        self._owners.put(response_id, owner, holder)
        for future in self._waiters.pop(response_id, ()):
            if not future.done():
                future.set_result(owner)

    def learn_from(self, outcome: Outcome) -> None:
        """A stored response lives where it was made."""
        if outcome.response_id is not None and outcome.upstream_address is not None:
            # a client that left has not got what rules have not seen; who left a later reading has it
            cut = outcome.answer_cut and outcome.response_id not in self._owners
            holder, withheld = outcome.holder or "", outcome.withheld or cut
            self.learn(outcome.response_id, outcome.upstream_address, holder, withheld=withheld)

    def find(self, response_id: str) -> ResponseOwner | None:
        """The server of a response, if known now."""
        return self._owners.get(response_id)

    async def wait_for(
        self, response_id: str, timeout_seconds: float, tenant: str = ""
    ) -> ResponseOwner | None:
        """The server of a response, waiting a little for news of it. Those without a tenant have no bound."""
        owner = self.find(response_id)
        if owner is not None or self._waiting >= self._max_waiters:
            return owner
        if tenant and self._waiting_of[tenant] >= self._max_waiters_of_one:
            return None
        future: asyncio.Future[ResponseOwner | None] = asyncio.get_running_loop().create_future()
        waiters = self._waiters.setdefault(response_id, [])
        waiters.append(future)
        self._waiting += 1
        self._waiting_of[tenant] += 1
        timer = asyncio.get_running_loop().call_later(timeout_seconds, _give_up, future)
        try:
            return await future
        finally:
            timer.cancel()
            self._waiting -= 1
            self._waiting_of[tenant] -= 1
            if not self._waiting_of[tenant]:
                del self._waiting_of[tenant]
            if future in waiters:
                waiters.remove(future)
            if not waiters and self._waiters.get(response_id) is waiters:
                del self._waiters[response_id]


def _give_up(waiting: "asyncio.Future[ResponseOwner | None]") -> None:
    if not waiting.done():
        waiting.set_result(None)
