"""`pilotage extproc`: the picker alone, for a gateway that is elsewhere."""

from typing import Annotated

import typer

from pilotage_cli.event_loop import run_fast
from pilotage_cli.options import Admin, ExtprocListen, Folder, LogLevel, settings_of
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
    from pilotage_cli.gateway.foreground import serve_picker  # noqa: PLC0415 - Envoy's classes take a second

    run_fast(serve_picker(folder, settings, process_id))
