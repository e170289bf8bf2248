"""Stores at a real Valkey, as several processes have them."""

import asyncio
import time

from valkey_server import ValkeyServer

from pilotage_api.periods import Period
from pilotage_extproc.accounting.claims import Admission, BudgetClaim, Granted, Hold, Settlement
from pilotage_extproc.sources.valkey.store import ValkeyStore


class Picker:
    """A store as one process has it."""

    def __init__(
        self, server: ValkeyServer, writer: str, *, rebuild_seconds: float = 0.05, **settings
    ) -> None:
        self.booked = []
        self.store = ValkeyStore(
            server.settings(**settings), writer, self.booked.append, rebuild_seconds=rebuild_seconds
        )
        self._task = asyncio.create_task(self.store.run())

    async def ready(self) -> "Picker":
        await until(lambda: not self.store.away)
        return self

    async def admit(self, identifier: str, *claims, lease: float = 900.0):
        verdict = self.store.admit(Admission(identifier, claims, lease, b"note of " + identifier.encode()))
        return verdict if not asyncio.iscoroutine(verdict) else await verdict

    async def held(self, identifier: str, *claims, lease: float = 900.0) -> Hold:
        verdict = await self.admit(identifier, *claims, lease=lease)
        assert isinstance(verdict, Granted), verdict
        return Hold(identifier, claims, verdict.slots)

    async def settle(self, hold: Hold, *amounts: int, exact: bool = True) -> bool:
        told = asyncio.get_running_loop().create_future()
        self.store.settle(Settlement(hold, amounts, exact), told.set_result)
        return await told

    async def die(self) -> None:
        """As a process does that is killed: nothing is sent any more."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self.store._link.close()


def today() -> Period:
    start = int(time.time()) // 86_400 * 86_400
    return Period(start, start + 86_400)


def money(
    held: int, bound: int = 1000, *, hard: bool = True, account: str = "budget|p=acme/x"
) -> BudgetClaim:
    return BudgetClaim(account, bound, held, today(), hard)


async def until(holds, seconds: float = 20.0) -> None:
    async with asyncio.timeout(seconds):
        while not holds():
            await asyncio.sleep(0.01)
