"""One simulated model server at one address."""

import asyncio

from aiohttp import web

from pilotage_sim.config import SimSpec
from pilotage_sim.driver import EngineDriver
from pilotage_sim.engine.core import Engine
from pilotage_sim.faults import Faults
from pilotage_sim.http.app import SimApi

_QUIET_SECONDS = 0.5
"""Requests that a gateway has placed but not sent yet arrive within it."""
_LONGEST_FINISH_SECONDS = 600.0


class SimServer:
    """Listens, answers, can be killed and restarted like a process."""

    def __init__(self, spec: SimSpec, *, seed: int = 0) -> None:
        self.spec = spec
        self._seed = seed
        self.faults = Faults()
        self.port = spec.port
        self.api: SimApi
        self.engine: Engine
        self._driver: EngineDriver | None = None
        self._runner: web.AppRunner | None = None

    @property
    def address(self) -> str:
        """`host:port`."""
        return f"{self.spec.host}:{self.port}"

    @property
    def models(self) -> tuple[str, ...]:
        """What it serves."""
        return self.spec.config.models

    @property
    def alive(self) -> bool:
        """Whether it listens."""
        return self._runner is not None

    async def start(self) -> None:
        """Start with an empty cache. Raises OSError where the address is taken."""
        self.engine = Engine(self.spec.config.engine_config())
        self._driver = EngineDriver(self.engine, self.faults, self.spec.config.time_scale)
        self.api = SimApi(self.spec.config, self._driver, self.faults, self._seed)
        runner = web.AppRunner(
            self.api.application(), access_log=None, handler_cancellation=True, shutdown_timeout=0.1
        )
        await runner.setup()
        site = web.TCPSite(runner, self.spec.host, self.port, reuse_address=True, ssl_context=self.spec.tls)
        try:
            await site.start()
        except OSError:
            await runner.cleanup()
            raise
        self._runner = runner
        self.port = runner.addresses[0][1]

    async def finish(self) -> None:
        """Until every request is answered and no new one comes for half a second; at most ten minutes."""
        loop = asyncio.get_running_loop()
        longest = loop.time() + _LONGEST_FINISH_SECONDS
        quiet_since = loop.time()
        while loop.time() < longest and loop.time() - quiet_since < _QUIET_SECONDS:
            await asyncio.sleep(0.05)
            if self.api.requests_open:
                quiet_since = loop.time()

    async def kill(self) -> None:
        """Die at once, like a killed process: open connections are reset, nothing is answered."""
        runner, self._runner = self._runner, None
        if runner is None:
            return
        for site in list(runner.sites):
            await site.stop()
        if runner.server is not None:
            for connection in list(runner.server.connections):
                if connection.transport is not None:
                    connection.transport.abort()
        if self._driver is not None:
            await self._driver.stop()
        async with asyncio.timeout(5):
            await runner.cleanup()

    async def restart(self) -> None:
        """Die and come back at the same address with nothing cached."""
        await self.kill()
        await self.start()
