"""`pilotage up`: a whole gateway on this machine."""

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from pilotage_cli.event_loop import run_fast
from pilotage_cli.failure import CommandError
from pilotage_cli.options import Admin, ExtprocListen, Listen, LogLevel, OptionalFolder, settings_of
from pilotage_cli.shipped import QUICKSTART, copy_with_free_ports
from pilotage_extproc.telemetry.logs import configure_logs


def up(
    folder: OptionalFolder = None,
    sim: Annotated[bool, typer.Option("--sim", help="Simulate the pools' model servers.")] = False,
    listen: Listen = None,
    extproc_listen: ExtprocListen = None,
    admin: Admin = None,
    time_scale: Annotated[float, typer.Option(min=0.0, help="Speed of simulated servers.")] = 1.0,
    log_level: LogLevel = "warning",
) -> None:
    """Run Envoy, the picker and, with --sim, model servers; follow the folder until interrupted.

    With --sim and no folder: the quickstart's pools and policies, which come with the package.
    """
    if folder is None and not sim:
        raise CommandError("name a --folder of manifests (`pilotage init DIR` writes one), or try --sim")
    configure_logs(log_level)
    with ExitStack() as stack:
        if folder is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pilotage-quickstart-")))
            copy_with_free_ports(QUICKSTART, folder)
        settings = settings_of(folder, listen=listen, extproc=extproc_listen, admin=admin)
        from pilotage_cli.gateway.foreground import serve_gateway  # noqa: PLC0415 - Envoy's classes take a second

        run_fast(serve_gateway(folder, settings, simulate=sim, sim_time_scale=time_scale))
