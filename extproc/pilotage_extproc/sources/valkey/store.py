"""Limits and budgets counted at one server for all pickers of a gateway.

The epoch says that the server's books are whole. Without it (a server that is new, or has lost its data)
nothing is admitted until every writer has contributed what it has booked, and holds again what is open.
"""

import asyncio
import contextlib
import logging
import secrets
import time
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from typing import Any, Final, NamedTuple

from pilotage_api.store_settings import ValkeySettings
from pilotage_extproc.accounting.claims import (
    Admission,
    BudgetClaim,
    Granted,
    Refused,
    Settlement,
    Verdict,
    bounds_fit,
)
from pilotage_extproc.accounting.store import Booked as Shown
from pilotage_extproc.accounting.store import StoreAway, untold
from pilotage_extproc.sources.valkey.link import Call, Link
from pilotage_extproc.sources.valkey.scripts import (
    ADMIT,
    CONTRIBUTE,
    ESTIMATE,
    FIGURES,
    OPEN,
    REHOLD,
    SETTLE,
    Booked,
    BudgetAccount,
    Keys,
    Script,
    admission_arguments,
    settlement_arguments,
)

log = logging.getLogger(__name__)

REBUILD_SECONDS: Final = 2.0
"""How long a server without an epoch waits for its writers."""
_RETRY_SECONDS: Final = 0.25
_LOOK_SECONDS: Final = 0.5
_MOST_UNSETTLED: Final = 100_000
_MOST_SHOWN: Final = 50_000
_MOST_OPEN_AGAIN: Final = 200
_MOST_READ: Final = 100
"""Budgets of one script: the server runs nothing else meanwhile."""


class _Unsettled(NamedTuple):
    settlement: Settlement
    told: Callable[[bool], None]
    sent: bool = False
    """Whether it may have been taken before: nobody has said."""


class ValkeyStore:
    """One process's way to the server; `run` it as a task."""

    def __init__(
        self,
        settings: ValkeySettings,
        writer: str,
        on_booked: Callable[[Shown], None] = lambda _: None,
        rebuild_seconds: float = REBUILD_SECONDS,
    ) -> None:
        """`writer` names this process. Raises StoreAway where the client library is not installed."""
        self._link = Link(settings)
        self._longest_wait_seconds = 2 * settings.timeout_seconds
        """In the queue and on the wire."""
        self._keys = Keys(settings.prefix)
        self._writer = writer
        self._written_by = writer.encode()
        self._on_booked = on_booked
        self._rebuild_ms = round(rebuild_seconds * 1000)
        self._epoch = b""
        self._open: dict[str, tuple[Admission, tuple[int, ...]]] = {}
        self._unsettled: deque[_Unsettled] = deque()
        self._shown: OrderedDict[tuple[str, int], int] = OrderedDict()
        self._own: dict[BudgetAccount, Booked] = {}
        self._others: dict[str, dict[BudgetAccount, Booked]] = {}
        self._estimates: OrderedDict[str, Settlement] = OrderedDict()
        self.clock_offset_seconds = 0.0
        """What the server's clock has more than this one, where that has mattered."""
        self.dropped = 0
        """Settlements that were given up while the server was away for too long."""

    # the store's contract

    def admit(self, admission: Admission) -> Verdict | Awaitable[Verdict]:
        """Hold what a request claims. Raises StoreAway."""
        refused = bounds_fit(admission.claims)
        if refused is not None:
            return refused
        return self._admitted(admission)

    def settle(self, settlement: Settlement, told: Callable[[bool], None] = untold) -> None:
        """Replace what a request holds by what it used, with one of the next round trips."""
        self._open.pop(settlement.hold.id, None)
        self._unsettled.append(_Unsettled(settlement, told))
        if len(self._unsettled) > _MOST_UNSETTLED:
            self._unsettled.popleft()
            self.dropped += 1
        self._link.wake()

    def spent(self, claim: BudgetClaim) -> int:
        """Nano-dollars that a budget's ledger showed when it was last asked here."""
        return self._shown.get((claim.account, claim.period.start), 0)

    async def find(self, hold_id: str) -> bytes | None:
        """The note of a hold that can still be settled. Raises StoreAway."""
        value = await self._link.get(self._keys.id(hold_id))
        if value is None or value[:1] not in (b"h", b"e"):
            return None
        return value.split(b"\n", 3)[3]

    async def unsettled_of(self, ids: Collection[str]) -> dict[str, bool]:
        """Those that hold something still (False), or were estimated (True). Raises StoreAway."""
        states = await self._link.get_many([self._keys.id(one) for one in ids])
        told = zip(ids, states, strict=True)
        return {one: state[:1] == b"e" for one, state in told if state[:1] in (b"h", b"e")}

    @property
    def seen(self) -> list[tuple[str, int]]:
        """Budgets that requests of this process have counted in: account, and begin of its period."""
        return list(self._shown)

    async def figures(self, budgets: Sequence[tuple[str, int]]) -> list[tuple[int, int]]:
        """Nano-dollars booked and held of each budget of `seen`, or any other. Raises StoreAway."""
        if self.away:
            raise StoreAway(self.away)
        found: list[tuple[int, int]] = []
        for at in range(0, len(budgets), _MOST_READ):
            keys = [self._keys.budget(*one) for one in budgets[at : at + _MOST_READ]]
            replies: list[Any] = []
            await self._link.round_trip(Call(FIGURES, [self._keys.epoch, *keys], [], replies.append))
            [reply] = replies
            if not isinstance(reply, list) or reply[0] != b"F":
                raise StoreAway("its books are being rebuilt" if isinstance(reply, list) else str(reply))
            amounts = [int(one) for one in reply[1:]]
            found += [(s + e, h) for s, e, h in zip(*[iter(amounts)] * 3, strict=True)]
        return found

    # what runs by itself

    def begins_with(self, writer: str, booked: dict[BudgetAccount, Booked]) -> None:
        """What another writer's journal says: contributed where the server does not have it."""
        self._others[writer] = booked

    @property
    def away(self) -> str:
        """Why nothing can be admitted now; empty where it can."""
        return self._link.why_away or ("" if self._epoch else "its books are being rebuilt")

    @property
    def unsettled(self) -> int:
        """Settlements that are still to be taken."""
        return len(self._unsettled)

    async def run(self) -> None:
        """Until cancelled: batches, settlements, and rebuilding where the server has lost its books."""
        served = True
        while True:
            try:
                if not self._epoch:
                    await self._rebuild()
                while self._epoch:
                    if self._link.why_away:  # a look at a hold failed: nobody is admitted until it answers
                        self._saw_epoch(await self._link.get(self._keys.epoch))
                    await self._send()
                    served = True
                    if not self._unsettled and not self._link.waiting:
                        await self._rest()
            except StoreAway:
                self._epoch = b""
                self._link.fail_waiting()
                # mostly one answer was late on a busy machine: nobody is admitted until it answers again
                await asyncio.sleep(0 if served else _RETRY_SECONDS)
                served = False

    async def close(self, within_seconds: float = 1.0) -> None:
        """Settle what is left, if that can be done in time, and close."""
        with contextlib.suppress(StoreAway, TimeoutError):
            async with asyncio.timeout(within_seconds):
                while self._unsettled and self._epoch:
                    await self._send()
        await self._link.close()

    async def _rest(self) -> None:
        """Until something is to be sent; a process without requests still sees that the books are lost."""
        try:
            async with asyncio.timeout(_LOOK_SECONDS):
                await self._link.wait()
        except TimeoutError:
            self._saw_epoch(await self._link.get(self._keys.epoch))

    async def _send(self) -> None:
        batch = [self._unsettled.popleft() for _ in range(min(len(self._unsettled), 256))]
        calls = [self._settling(one) for one in batch]
        for call in calls:
            self._link.must_call(call)
        await self._link.run_waiting()

    async def _rebuild(self) -> None:
        """Contribute, hold again what is open, and wait until the server's books are whole."""
        keys = self._keys
        await self._contribute(self._writer, self._own)
        again = [
            _call(
                REHOLD,
                [keys.id(admission.id), *map(keys.claim, admission.claims)],
                [*admission_arguments(admission), _joined(slots)],
            )
            for admission, slots in self._open.values()
        ]
        again += [
            _call(ESTIMATE, [keys.id(one.hold.id)], [_joined(one.hold.slots), _joined(one.amounts)])
            for one in self._estimates.values()
        ]
        for at in range(0, len(again), _MOST_OPEN_AGAIN):
            await self._link.round_trip(*again[at : at + _MOST_OPEN_AGAIN])
        epoch = b""
        while not epoch:
            found: list[Any] = []
            name = f"{time.time_ns()}-{secrets.token_hex(4)}"
            arguments = [b"%d" % self._rebuild_ms, name.encode()]
            call = Call(OPEN, [keys.epoch, keys.rebuild], arguments, found.append)
            await self._link.round_trip(call)
            [reply] = found
            if reply is None or isinstance(reply, Exception) or reply[0] == b"C":
                return  # it has lost everything once more
            if reply[0] == b"O":
                epoch = reply[1]
            else:
                await asyncio.sleep(int(reply[1]) / 1000 + 0.01)
            # those that live have spoken for themselves by now
            for writer, booked in self._others.items():
                await self._contribute(writer, booked)
        self._epoch = epoch
        log.info("limits and budgets are counted", extra={"epoch": epoch.decode()})

    async def _contribute(self, writer: str, booked: dict[BudgetAccount, Booked]) -> None:
        await self._link.round_trip(_call(CONTRIBUTE, *self._contribution(writer, booked)))

    def _contribution(
        self, writer: str, booked: dict[BudgetAccount, Booked]
    ) -> tuple[list[bytes], list[bytes]]:
        keys = [self._keys.epoch, self._keys.writers, self._keys.rebuild]
        arguments = [writer.encode()]
        for (account, start, end), one in booked.items():
            keys.append(self._keys.budget(account, start))
            arguments += (b"%d" % one.settled, b"%d" % one.estimated, b"%d" % end)
        return keys, arguments

    # admissions

    async def _admitted(self, admission: Admission) -> Verdict:
        if self.away:
            raise StoreAway(self.away)
        reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        def done(value: Any) -> None:
            if not reply.done():
                reply.set_result(value)

        keys = [self._keys.epoch, self._keys.id(admission.id), *map(self._keys.claim, admission.claims)]
        self._link.call(Call(ADMIT, keys, admission_arguments(admission), done))
        # no `asyncio.timeout`: requests are stepped outside of tasks
        timer = reply.get_loop().call_later(self._longest_wait_seconds, done, None)
        try:
            return self._verdict(admission, await reply)
        finally:
            timer.cancel()

    def _verdict(self, admission: Admission, reply: Any) -> Verdict:
        if reply is None or isinstance(reply, Exception):
            raise StoreAway(self._link.why_away or "it did not answer")
        kind = reply[0]
        if kind == b"E":
            self._lost_books()
            raise StoreAway("its books are being rebuilt")
        if kind == b"P":
            self.clock_offset_seconds = int(reply[1]) / 1000 - time.time()
            log.warning("clocks differ: periods go by the store's", extra={"by": self.clock_offset_seconds})
            raise StoreAway("its clock and this one are in different periods")
        if kind == b"D":
            raise StoreAway("the request has been given up already")
        if kind == b"R":
            wait = int(reply[3])
            claim = admission.claims[int(reply[1])]
            return Refused(claim, int(reply[2]), None if wait < 0 else wait / 1000)
        slots, used = _numbers(reply[2]), _numbers(reply[3])
        self._saw_epoch(reply[1])
        self._open[admission.id] = (admission, slots)
        self._show(admission.claims, reply[4:])
        return Granted(slots, used)

    # settlements

    def _settling(self, one: _Unsettled) -> Call:
        settlement = one.settlement
        hold = settlement.hold
        keys = [self._keys.epoch, self._keys.id(hold.id), *map(self._keys.claim, hold.claims)]

        def done(reply: Any) -> None:
            if isinstance(reply, Exception):
                self.dropped += 1
                return
            if reply is None or reply[0] == b"E":
                if reply is not None:
                    self._lost_books()
                self._unsettled.append(one._replace(sent=one.sent or reply is None))
                return
            changed = reply[0] == b"S" or (reply[0] == b"O" and one.sent)
            if changed:
                self._book(settlement)
            if reply[0] == b"S":
                self._saw_epoch(reply[1])
                for shown in self._show(hold.claims, reply[2:]):
                    self._on_booked(shown)
            one.told(changed)

        return Call(SETTLE, keys, settlement_arguments(settlement, self._written_by), done)

    def _book(self, settlement: Settlement) -> None:
        """Keep what this process has booked: it is what it contributes where the server loses its books."""
        hold = settlement.hold
        before = self._estimates.pop(hold.id, None)
        for index, (claim, amount) in enumerate(zip(hold.claims, settlement.amounts, strict=True)):
            if not isinstance(claim, BudgetClaim):
                continue
            account = (claim.account, claim.period.start, claim.period.end)
            one = self._own.get(account, Booked(0, 0))
            estimated = one.estimated - (0 if before is None else before.amounts[index])
            if settlement.exact:
                self._own[account] = Booked(one.settled + amount, estimated)
            else:
                self._own[account] = Booked(one.settled, estimated + amount)
        if len(self._own) > _MOST_SHOWN:
            now = time.time()
            self._own = {key: one for key, one in self._own.items() if key[2] + 2 * 86_400 > now}
        if not settlement.exact:
            self._estimates[hold.id] = settlement
            if len(self._estimates) > _MOST_SHOWN:
                self._estimates.popitem(last=False)

    def _show(self, claims: Iterable[object], amounts: list[bytes]) -> list[Shown]:
        budgets = [claim for claim in claims if isinstance(claim, BudgetClaim)]
        found = [Shown(claim, int(amount)) for claim, amount in zip(budgets, amounts, strict=True)]
        for one in found:
            key = (one.claim.account, one.claim.period.start)
            self._shown[key] = one.booked
            self._shown.move_to_end(key)
        while len(self._shown) > _MOST_SHOWN:
            self._shown.popitem(last=False)
        return found

    def _saw_epoch(self, epoch: bytes | None) -> None:
        """The server's books are others than those this process has contributed to: it does so now."""
        if epoch != self._epoch:
            self._epoch = b""

    def _lost_books(self) -> None:
        if self._epoch:
            log.warning("the store of limits and budgets has lost its books: they are rebuilt")
        self._epoch = b""


def _joined(numbers: tuple[int, ...]) -> bytes:
    return ",".join(map(str, numbers)).encode()


def _numbers(joined: bytes) -> tuple[int, ...]:
    return tuple(map(int, joined.split(b","))) if joined else ()


def _call(script: Script, keys: list[bytes], arguments: list[bytes]) -> Call:
    return Call(script, keys, arguments, lambda _: None)
