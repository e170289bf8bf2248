"""`pilotage extproc`: the picker alone, for a gateway that is elsewhere."""

from pathlib import Path
from typing import Annotated

import typer

from pilotage_cli.event_loop import run_fast
from pilotage_cli.failure import CommandError
from pilotage_cli.options import (
    Admin,
    Context,
    ExtprocListen,
    Kubeconfig,
    LogLevel,
    OptionalFolder,
    connection_of,
    settings_of,
)
from pilotage_extproc.telemetry.logs import configure_logs


def extproc(
    folder: OptionalFolder = None,
    kubernetes: Annotated[
        bool, typer.Option("--kubernetes", help="Follow a cluster instead of a folder.")
    ] = False,
    settings_file: Annotated[
        Path | None, typer.Option("--settings", help="With --kubernetes: file with the GatewaySettings.")
    ] = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    extproc_listen: ExtprocListen = None,
    admin: Admin = None,
    peer: Annotated[
        list[str] | None,
        typer.Option(help="HOST:PORT of another picker behind the same gateway; repeatable."),
    ] = None,
    process_id: Annotated[
        str | None,
        typer.Option(help="Name of this process in decision ids; the pod's, or random, when omitted."),
    ] = None,
    log_level: LogLevel = "info",
) -> None:
    """Serve the endpoint-picker protocol for a folder of manifests, or for a cluster, until interrupted."""
    if kubernetes == (folder is not None):
        raise CommandError("name a --folder of manifests, or a cluster with --kubernetes")
    source = settings_file if kubernetes else folder
    configure_logs(log_level)
    from pilotage_cli.gateway.foreground import serve_cluster, serve_picker  # noqa: PLC0415 - a second

    settings = settings_of(source, extproc=extproc_listen, admin=admin, peers=tuple(peer) if peer else None)
    if folder is not None:
        run_fast(serve_picker(folder, settings, process_id))
    else:
        run_fast(serve_cluster(connection_of(kubeconfig, context), settings, process_id))
