"""`pilotage up`: a whole gateway on this machine."""

from typing import Annotated

import typer

from pilotage_cli.event_loop import run_fast
from pilotage_cli.options import Admin, ExtprocListen, Folder, Listen, LogLevel, settings_of
from pilotage_extproc.telemetry.logs import configure_logs


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
    from pilotage_cli.gateway.foreground import serve_gateway  # noqa: PLC0415 - Envoy's classes take a second

    run_fast(serve_gateway(folder, settings, simulate=sim, sim_time_scale=time_scale))
