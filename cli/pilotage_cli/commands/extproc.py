"""`pilotage extproc`: the picker alone, for a gateway that is elsewhere."""

from pathlib import Path
from typing import Annotated

import typer

from pilotage_api.compile import Compiled
from pilotage_api.findings import Severity
from pilotage_api.settings import GatewaySettings
from pilotage_cli.event_loop import StopSignals, run_fast, until
from pilotage_cli.failure import CommandError
from pilotage_cli.findings import print_findings
from pilotage_cli.folder import FolderError
from pilotage_cli.gateway.standalone import Picker
from pilotage_cli.options import Admin, ExtprocListen, Folder, LogLevel, settings_of
from pilotage_cli.output import Output
from pilotage_extproc.server.addresses import AddressError
from pilotage_extproc.server.tls import TlsError
from pilotage_extproc.telemetry.logs import configure_logs


def extproc(
    folder: Folder,
    extproc_listen: ExtprocListen = None,
    admin: Admin = None,
    peer: Annotated[
        list[str] | None,
        typer.Option(help="HOST:PORT of another picker behind the same gateway; repeatable."),
    ] = None,
    process_id: Annotated[
        str | None, typer.Option(help="Name of this process in decision ids; random when left out.")
    ] = None,
    log_level: LogLevel = "info",
) -> None:
    """Serve the endpoint-picker protocol for a folder of manifests, until interrupted."""
    configure_logs(log_level)
    settings = settings_of(folder, extproc=extproc_listen, admin=admin, peers=tuple(peer) if peer else None)
    run_fast(_serve(folder, settings, process_id))


async def _serve(folder: Path, settings: GatewaySettings, process_id: str | None) -> None:
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
        await picker.start()
    except (AddressError, FolderError, TlsError) as error:
        raise CommandError(str(error)) from None
    with StopSignals() as signals:
        try:
            console.print(f"picker on {picker.server.address}, admin on http://{picker.server.admin_address}")
            await until(signals.stop, picker.wait())
        finally:
            await picker.stop(signals.at_once)
