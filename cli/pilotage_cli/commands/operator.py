"""`pilotage operator`: resources of a cluster into the published snapshot, and statuses onto them."""

from pathlib import Path
from typing import Annotated

import typer

from pilotage_cli.event_loop import StopSignals, run_fast, until
from pilotage_cli.failure import CommandError
from pilotage_cli.options import LogLevel, connection_of, settings_of


def operator(
    settings: Annotated[Path, typer.Option(help="File with the gateway's settings, `pilotage.yaml`.")],
    kubeconfig: Annotated[
        Path | None, typer.Option(help="As kubectl takes it; in a pod its own account when omitted.")
    ] = None,
    context: Annotated[str | None, typer.Option(help="Of the kubeconfig.")] = None,
    log_level: LogLevel = "info",
) -> None:
    """Reconcile ModelPools and RoutePolicies of a cluster, until interrupted."""
    from pilotage_extproc.server.garbage import (  # noqa: PLC0415 - only this command needs it
        tune_garbage_collection,
    )
    from pilotage_extproc.telemetry.logs import configure_logs  # noqa: PLC0415 - the same
    from pilotage_kube.errors import ConfigurationError  # noqa: PLC0415 - the same
    from pilotage_operator.process import OperatorProcess  # noqa: PLC0415 - the same

    # kopf tells of every event it has passed on, with all its settings
    configure_logs(log_level, quiet=("kopf",))
    found = settings_of(settings)
    connection = connection_of(kubeconfig, context)
    # with thousands of resources a full collection holds a reconciliation for a quarter of a second; what the
    # cluster's client has just imported is left out of it
    tune_garbage_collection()

    async def serve() -> None:
        process = OperatorProcess(connection, found)

        async def run() -> str:
            await process.run()
            return "ended"

        with StopSignals() as signals:
            await until(signals.stop, run())

    try:
        run_fast(serve())
    except ConfigurationError as error:
        raise CommandError(str(error)) from None
    except OSError as error:
        raise CommandError(
            f"cannot listen at {found.listen.operator}: {error}; change listen.operator"
        ) from None
