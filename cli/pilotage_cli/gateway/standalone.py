"""A gateway on one machine: the picker in this process, Envoy beside it, simulated servers if asked for."""

import asyncio
import logging
import shutil
from collections.abc import Callable
from pathlib import Path

from pilotage_api.compile import Compiled
from pilotage_api.settings import GatewaySettings
from pilotage_api.snapshot import RoutingSnapshot
from pilotage_cli.event_loop import until
from pilotage_cli.folder import FolderSource
from pilotage_cli.folder_files import FolderError
from pilotage_cli.gateway.envoy import EnvoyProcess
from pilotage_cli.gateway.identity import written_identity
from pilotage_cli.gateway.ports import check_free
from pilotage_cli.gateway.simulated import SimulatedPools
from pilotage_extproc.envoy.xds.bootstrap import build_bootstrap
from pilotage_extproc.server.addresses import AddressError, join_address, split_address
from pilotage_extproc.server.extproc_server import ExtProcServer
from pilotage_extproc.server.garbage import tune_garbage_collection

log = logging.getLogger(__name__)

POLL_SECONDS = 0.5


class Picker:
    """extproc following a folder."""

    def __init__(
        self,
        folder: Path,
        settings: GatewaySettings,
        *,
        process_id: str | None = None,
        on_compiled: Callable[[Compiled], None],
        on_trouble: Callable[[str], None],
    ) -> None:
        self.settings = settings
        self.server = ExtProcServer(settings, process_id=process_id)
        self.compiled: Compiled | None = None
        self._source = FolderSource(folder, settings)
        self._on_compiled = on_compiled
        self._on_trouble = on_trouble
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Compile the folder, listen, and follow it. Raises FolderError, AddressError."""
        compiled = self._source.changed()
        assert compiled is not None
        await self.server.start()
        await self._apply(compiled)
        tune_garbage_collection()
        self._task = asyncio.create_task(self._follow(), name="follow folder")

    async def _apply(self, compiled: Compiled) -> None:
        self.compiled = compiled
        await self.before_apply(compiled.snapshot)
        await self.server.apply(compiled.snapshot)
        await self.after_apply(compiled.snapshot)
        self._on_compiled(compiled)

    async def before_apply(self, snapshot: RoutingSnapshot) -> None:
        """What must be there before a snapshot is followed; nothing here."""

    async def after_apply(self, snapshot: RoutingSnapshot) -> None:
        """What may go once a snapshot is followed; nothing here."""

    async def _follow(self) -> None:
        loop = asyncio.get_running_loop()
        trouble = ""
        failed: Compiled | None = None
        while True:
            await asyncio.sleep(POLL_SECONDS)
            try:
                # in a thread: thousands of policies take a moment, requests must not wait for it
                compiled = await loop.run_in_executor(None, self._source.changed) or failed
                failed = compiled
                if compiled is not None:
                    await self._apply(compiled)
                failed, told = None, ""
            except (FolderError, AddressError) as error:
                told = str(error)
            except BrokenPipeError:
                raise  # nobody reads what it says: the command ends
            except Exception as error:  # whatever it is, requests are served by what is in force
                told = f"the manifests are not in force: {type(error).__name__}: {error}"
                if told != trouble:
                    log.exception("manifests could not be brought into force")
            if told and told != trouble:
                self._on_trouble(told)
            trouble = told

    async def wait(self) -> str:
        """Until it cannot go on; says why."""
        assert self._task is not None
        await self._task
        return "the folder is not followed any more"

    async def stop(self, at_once: asyncio.Event | None = None) -> None:
        """Drain and stop; `at_once` ends the draining."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await until(at_once or asyncio.Event(), self.server.drain())
        await self.server.stop()


class Gateway(Picker):
    """Envoy, picker, and simulated servers if asked for."""

    def __init__(
        self,
        folder: Path,
        settings: GatewaySettings,
        *,
        simulate: bool,
        sim_time_scale: float = 1.0,
        on_compiled: Callable[[Compiled], None],
        on_trouble: Callable[[str], None],
    ) -> None:
        super().__init__(folder, settings, on_compiled=on_compiled, on_trouble=on_trouble)
        self.simulated = SimulatedPools(time_scale=sim_time_scale) if simulate else None
        self.envoy: EnvoyProcess | None = None
        self._identity: str | None = None
        self._stopped = False
        self.address = settings.listen.gateway
        """Where clients connect; with the real port once started."""

    async def start(self) -> None:
        """Start everything; returns when a request would be answered. Raises on what cannot start."""
        listen = self.settings.listen
        named = {"gateway": listen.gateway, "extproc": listen.extproc, "admin": listen.admin}
        for name, address in (named | {"envoyAdmin": listen.envoy_admin}).items():
            check_free(f"listen.{name}", address)
        try:
            await super().start()
            self._identity = written_identity(self.settings.tls)
            host, port = split_address(listen.gateway)
            bootstrap = build_bootstrap(
                self.settings,
                envoy_name="bundled",
                extproc=split_address(self.server.address),
                gateway=(host, port),
                admin=split_address(listen.envoy_admin),
                identity=self._identity,
            )
            self.envoy = EnvoyProcess(bootstrap)
            await self.envoy.start()
            await self.envoy.wait_ready()
            ports = await self.envoy.listener_ports()
            self.address = join_address(host, ports["gateway"])
            await self._endpoints_admitted()
        except BaseException:
            await self.stop()
            raise

    async def _endpoints_admitted(self) -> None:
        """Until Envoy has the endpoints, so that the first request does not meet a 503."""
        table = self.server.runtime.state.table
        for _ in range(200):
            if not table.pending:
                return
            await asyncio.sleep(0.02)

    async def before_apply(self, snapshot: RoutingSnapshot) -> None:
        """Simulated servers come before requests for them."""
        if self.simulated is not None:
            await self.simulated.follow(snapshot)

    async def after_apply(self, snapshot: RoutingSnapshot) -> None:
        """Simulated servers go after the last request for them."""
        if self.simulated is not None:
            self.simulated.retire_others(snapshot)

    async def wait(self) -> str:
        """Until a child dies; says which and how."""
        return await until(asyncio.Event(), self._envoy_ended(), super().wait()) or ""

    @property
    def url(self) -> str:
        """What clients connect to."""
        return f"{'http' if self.settings.tls.gateway is None else 'https'}://{self.address}"

    @property
    def requests_under_way(self) -> int:
        """Requests placed and not known to have ended."""
        return len(self.server.runtime.state.ledger)

    async def _envoy_ended(self) -> str:
        assert self.envoy is not None
        code = await self.envoy.wait()
        return f"Envoy ended with {code}: {self.envoy.complaint()}"

    async def stop(self, at_once: asyncio.Event | None = None) -> None:
        """Drain and stop everything, the picker after Envoy: requests under way still need it.

        At most `drainSeconds`; `at_once` ends the draining. A second call does nothing.
        """
        if self._stopped:
            return
        self._stopped = True
        if self.envoy is not None:
            await until(at_once or asyncio.Event(), self.envoy.drain(self.settings.drain_seconds))
            await self.envoy.stop()
        if self._identity is not None:
            shutil.rmtree(self._identity, ignore_errors=True)
        await super().stop(at_once)
        if self.simulated is not None:
            await self.simulated.stop()
