"""The books: what is held and settled, where it is counted, and who is told."""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, Protocol

from pilotage_extproc.accounting.claims import Admission, Verdict
from pilotage_extproc.accounting.note import SettlingNote
from pilotage_extproc.accounting.store import Store, StoreAway
from pilotage_extproc.accounting.used import Used, nothing, of_failed_attempt, settlement, used
from pilotage_extproc.domain.failed_attempt import FailedAttempt
from pilotage_extproc.domain.outcome import Outcome
from pilotage_extproc.domain.providers import is_provider

log = logging.getLogger(__name__)

_UNSENT: Final = "unsent"
_MOST_AT_PROVIDERS: Final = 8192
_ASK_AGAIN_SECONDS: Final = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0)
_MOST_ASKING: Final = 20_000
LEASE_MARGIN_SECONDS: Final = 60.0
"""A hold outlives its request's own time to live: it expires only where its process is gone."""


class Journal(Protocol):
    """Where settlements are written down; nothing of it waits."""

    def held(self, note: SettlingNote) -> None:
        """A request has been admitted."""

    def unsent(self, note: SettlingNote) -> None:
        """A request was never sent: it has used nothing."""

    def settled(self, note: SettlingNote, found: Used) -> None:
        """What a request used was booked, or takes the place of its estimate."""


class NoJournal:
    """Writes nothing down."""

    def held(self, note: SettlingNote) -> None:
        """Nothing."""

    def unsent(self, note: SettlingNote) -> None:
        """Nothing."""

    def settled(self, note: SettlingNote, found: Used) -> None:
        """Nothing."""


class Books:
    """Admits requests and settles them."""

    def __init__(
        self,
        store: Store,
        *,
        lease_seconds: float,
        serves_without: bool = False,
        journal: Journal | None = None,
        keeps_notes: bool = False,
        count: Callable[[str], None] = lambda _: None,
        count_ended: Callable[[], None] = lambda: None,
        wall_clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`serves_without` lets requests without a hard budget pass while the store is away.

        `keeps_notes` lets other processes settle what this one has admitted. `count` takes what a settlement
        was: `exact`, `estimated`, `bounded`, `unsent`, `adopted`, `failed_attempt`, `duplicate`.
        `count_ended` is called for a stream that Envoy ended.
        """
        self.store = store
        self.serves_without = serves_without
        self.keeps_notes = keeps_notes
        self._lease_seconds = lease_seconds
        self._journal: Journal = journal or NoJournal()
        self._count = count
        self._count_ended = count_ended
        self._at_providers: OrderedDict[str, SettlingNote] = OrderedDict()
        """Of the last requests: entries of their failed attempts may come after they have been settled."""
        self._wall_clock = wall_clock
        self._sleep = sleep
        self._asking = 0

    def utc_now(self) -> float:
        """Seconds since the epoch, as the store has them."""
        return self._wall_clock() + self.store.clock_offset_seconds

    def admit(self, note: SettlingNote) -> Verdict | Awaitable[Verdict]:
        """Hold what a request claims. Raises StoreAway."""
        hold = note.hold
        written = note.encoded() if self.keeps_notes else b""
        return self.store.admit(Admission(hold.id, hold.claims, self._lease_seconds, written))

    def admitted(self, note: SettlingNote) -> None:
        """All that it claims is held."""
        self._journal.held(note)
        for address, _, _ in note.prices:
            if is_provider(address):
                self._at_providers[note.hold.id] = note
                if len(self._at_providers) > _MOST_AT_PROVIDERS:
                    self._at_providers.popitem(last=False)
                break

    def attempt_failed(self, attempt: FailedAttempt) -> None:
        """An attempt of a request has failed. Providers may charge for one that they took and did not answer.

        Of one that answered with an error, or got nothing, nothing is booked.
        """
        address = attempt.address
        note = self._at_providers.get(attempt.decision_id)
        if note is None or address is None or not is_provider(address) or not attempt.unanswered:
            return
        own, found = of_failed_attempt(note, attempt.number, address)
        self._settle(own, found, "failed_attempt", unheld=True)

    def settle(self, note: SettlingNote, outcome: Outcome) -> None:
        """A request that was sent has ended."""
        found = used(note, outcome)
        kind = "exact" if found.exact else "estimated"
        if found.bounded:
            kind = "bounded"
            log.warning(
                "a server said more tokens than a request can have used: the most is booked",
                extra={"decision": outcome.decision_id, "model": found.upstream_model},
            )
        self._settle(note, found, kind, ended=outcome.ended_at is not None)

    def cancel(self, note: SettlingNote) -> None:
        """A request was never sent: what it holds is given back."""
        self._settle(note, nothing(note), _UNSENT)

    def adopt(self, outcome: Outcome) -> Coroutine[Any, Any, None] | None:
        """Settle a request whose own process is gone, if its hold is known; what is left to wait for."""
        found = self.store.find(outcome.decision_id)
        if found is None or isinstance(found, bytes):
            self._adopted(found, outcome)
            return None
        return self._find(found, outcome)

    async def _find(self, found: Awaitable[bytes | None], outcome: Outcome) -> None:
        """While the store is away it is asked again now and then: nobody else may have the entry."""
        waits = iter(_ASK_AGAIN_SECONDS)
        while True:
            try:
                self._adopted(await found, outcome)
                return
            except StoreAway as away:
                seconds = next(waits, None)
                if seconds is None or self._asking >= _MOST_ASKING:
                    log.warning("a request of a process that is gone stays unsettled: %s", away)
                    return
            self._asking += 1
            try:
                await self._sleep(seconds)
            finally:
                self._asking -= 1
            again = self.store.find(outcome.decision_id)
            if again is None or isinstance(again, bytes):
                self._adopted(again, outcome)
                return
            found = again

    def _adopted(self, data: bytes | None, outcome: Outcome) -> None:
        if data:
            note = SettlingNote.decoded(data)
            self._settle(note, used(note, outcome), "adopted", ended=outcome.ended_at is not None)

    def _settle(
        self, note: SettlingNote, found: Used, kind: str, *, unheld: bool = False, ended: bool = False
    ) -> None:
        def told(changed: bool) -> None:
            if changed:
                if ended:
                    self._count_ended()
                if kind == _UNSENT:
                    self._journal.unsent(note)
                else:
                    self._journal.settled(note, found)
                self._count(kind)
            else:
                self._count("duplicate")

        self.store.settle(settlement(note, found)._replace(unheld=unheld), told)
