"""A gateway, or a picker alone, that runs until it is asked to stop."""

import asyncio
from pathlib import Path

from pilotage_api.compile import Compiled
from pilotage_api.findings import Severity
from pilotage_api.settings import GatewaySettings
from pilotage_cli.event_loop import StopSignals, until
from pilotage_cli.failure import CommandError
from pilotage_cli.findings import print_findings, summary
from pilotage_cli.folder_files import FolderError
from pilotage_cli.gateway.cluster import ClusterPicker
from pilotage_cli.gateway.envoy import EnvoyError
from pilotage_cli.gateway.standalone import Gateway, Picker
from pilotage_cli.gateway.status import status_line
from pilotage_cli.output import Output
from pilotage_extproc.server.accounting import AccountingFault
from pilotage_extproc.server.addresses import AddressError
from pilotage_extproc.server.tls import TlsError
from pilotage_kube.connection import Connection

_STATUS_SECONDS = 1.0


async def serve_gateway(
    folder: Path, settings: GatewaySettings, *, simulate: bool, sim_time_scale: float
) -> None:
    """Envoy, the picker and, if asked for, simulated servers. Raises CommandError."""
    console = Output()

    def told(compiled: Compiled) -> None:
        shown = [one for one in compiled.findings if one.severity is not Severity.INFO]
        print_findings(console, shown)
        console.print(f"following snapshot {compiled.snapshot.version}: {summary(shown)}", highlight=False)

    try:
        gateway = Gateway(
            folder,
            settings,
            simulate=simulate,
            sim_time_scale=sim_time_scale,
            on_compiled=told,
            on_trouble=lambda text: console.print(text, style="red"),
        )
        with StopSignals() as signals:
            ended = await _run(gateway, console, signals)
    except (AddressError, FolderError, EnvoyError, TlsError, AccountingFault) as error:
        raise CommandError(str(error)) from None
    if ended is not None:
        raise CommandError(ended, exit_code=1)
    console.print("stopped")


async def _run(gateway: Gateway, console: Output, signals: StopSignals) -> str | None:
    """Until asked to stop (None) or something ends it; leaves nothing behind, whatever happens."""
    try:
        await until(signals.stop, gateway.start())
        if signals.stop.is_set():
            return None
        envoy = gateway.envoy.admin_address if gateway.envoy else None
        console.print(f"gateway on {gateway.url}/v1, its Envoy's admin on http://{envoy}", highlight=False)
        console.print(f"admin   on http://{gateway.server.admin_address}", highlight=False)
        ended = await until(signals.stop, gateway.wait(), _show_status(gateway, console))
        under_way = gateway.requests_under_way
        if ended is None and under_way:
            wait = f"at most {gateway.settings.drain_seconds:g} s"
            console.print(
                f"waiting for {under_way} requests, {wait}; Ctrl-C again ends them", highlight=False
            )
        return ended
    finally:
        await gateway.stop(signals.at_once)


async def _show_status(gateway: Gateway, console: Output) -> str:
    """A live line on a terminal; nothing where output is not one."""
    if not console.is_terminal:
        await asyncio.Event().wait()
    with console.status("") as status:
        while True:
            status.update(status_line(gateway.server.runtime))
            await asyncio.sleep(_STATUS_SECONDS)


async def serve_picker(folder: Path, settings: GatewaySettings, process_id: str | None) -> None:
    """The picker alone. Raises CommandError."""
    console = Output(stderr=True)

    def told(compiled: Compiled) -> None:
        print_findings(console, (one for one in compiled.findings if one.severity is not Severity.INFO))

    try:
        picker = Picker(
            folder,
            settings,
            process_id=process_id,
            on_compiled=told,
            on_trouble=lambda text: console.print(text, style="red"),
        )
    except AddressError as error:
        raise CommandError(str(error)) from None
    await _run_picker(picker, console)


async def serve_cluster(connection: Connection, settings: GatewaySettings, replica: str | None) -> None:
    """The picker of a cluster. Raises CommandError."""
    try:
        picker = ClusterPicker(connection, settings, replica=replica)
    except AddressError as error:
        raise CommandError(str(error)) from None
    await _run_picker(picker, Output(stderr=True))


async def _run_picker(picker: Picker | ClusterPicker, console: Output) -> None:
    try:
        await picker.start()
    except (AddressError, FolderError, TlsError, AccountingFault) as error:
        raise CommandError(str(error)) from None
    with StopSignals() as signals:
        try:
            console.print(f"picker on {picker.server.address}, admin on http://{picker.server.admin_address}")
            await until(signals.stop, picker.wait())
        finally:
            await picker.stop(signals.at_once)
