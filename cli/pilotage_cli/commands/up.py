"""`pilotage up`: a whole gateway on this machine."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from pilotage_api.compile import Compiled
from pilotage_api.findings import Severity
from pilotage_api.settings import GatewaySettings
from pilotage_cli.event_loop import StopSignals, run_fast, until
from pilotage_cli.failure import CommandError
from pilotage_cli.findings import print_findings, summary
from pilotage_cli.folder import FolderError
from pilotage_cli.gateway.envoy import EnvoyError
from pilotage_cli.gateway.standalone import Gateway
from pilotage_cli.gateway.status import status_line
from pilotage_cli.options import Admin, ExtprocListen, Folder, Listen, LogLevel, settings_of
from pilotage_cli.output import Output
from pilotage_extproc.server.addresses import AddressError
from pilotage_extproc.server.tls import TlsError
from pilotage_extproc.telemetry.logs import configure_logs

_STATUS_SECONDS = 1.0


def up(
    folder: Folder,
    sim: Annotated[bool, typer.Option("--sim", help="Simulate the pools' model servers.")] = False,
    listen: Listen = None,
    extproc_listen: ExtprocListen = None,
    admin: Admin = None,
    time_scale: Annotated[float, typer.Option(min=0.0, help="Speed of simulated servers.")] = 1.0,
    log_level: LogLevel = "warning",
) -> None:
    """Run Envoy, the picker and, with --sim, model servers; follow the folder until interrupted."""
    configure_logs(log_level)
    settings = settings_of(folder, listen=listen, extproc=extproc_listen, admin=admin)
    run_fast(_serve(folder, settings, sim, time_scale))


async def _serve(folder: Path, settings: GatewaySettings, sim: bool, time_scale: float) -> None:
    console = Output()

    def told(compiled: Compiled) -> None:
        shown = [one for one in compiled.findings if one.severity is not Severity.INFO]
        print_findings(console, shown)
        console.print(f"following snapshot {compiled.snapshot.version}: {summary(shown)}", highlight=False)

    try:
        gateway = Gateway(
            folder,
            settings,
            simulate=sim,
            sim_time_scale=time_scale,
            on_compiled=told,
            on_trouble=lambda text: console.print(text, style="red"),
        )
        with StopSignals() as signals:
            ended = await _run(gateway, console, signals)
    except (AddressError, FolderError, EnvoyError, TlsError) as error:
        raise CommandError(str(error)) from None
    if ended is not None:
        raise CommandError(ended, exit_code=1)
    console.print("stopped")


async def _run(gateway: Gateway, console: Output, signals: StopSignals) -> str | None:
    """Until told to stop (None) or something ends it; leaves nothing behind, whatever happens."""
    try:
        await until(signals.stop, gateway.start())
        if signals.stop.is_set():
            return None
        console.print(f"gateway on http://{gateway.address}/v1", highlight=False)
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
