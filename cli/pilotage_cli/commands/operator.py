"""`pilotage operator`: resources of a cluster into the published snapshot, and statuses onto them."""

from pathlib import Path
from typing import Annotated

import typer

from pilotage_cli.event_loop import StopSignals, run_fast, until
from pilotage_cli.failure import CommandError
from pilotage_cli.options import LogLevel, settings_of


def operator(
    settings: Annotated[Path, typer.Option(help="File with the gateway's settings, `pilotage.yaml`.")],
    kubeconfig: Annotated[
        Path | None, typer.Option(help="As kubectl takes it; in a pod its own account when left out.")
    ] = None,
    context: Annotated[str | None, typer.Option(help="Of the kubeconfig.")] = None,
    log_level: LogLevel = "info",
) -> None:
    """Reconcile ModelPools and RoutePolicies of a cluster, until interrupted."""
    from pilotage_extproc.server.garbage import (  # noqa: PLC0415 - only this command needs it
        tune_garbage_collection,
    )
    from pilotage_extproc.telemetry.logs import configure_logs  # noqa: PLC0415 - the same
    from pilotage_kube.connection import connect  # noqa: PLC0415 - the same
    from pilotage_kube.errors import ConfigurationError  # noqa: PLC0415 - the same
    from pilotage_operator.process import OperatorProcess  # noqa: PLC0415 - the same

    # kopf tells of every event it has passed on, with all its settings
    configure_logs(log_level, quiet=("kopf",))
    # with thousands of resources a full collection holds a reconciliation for a quarter of a second
    tune_garbage_collection()
    found = settings_of(settings)

    async def serve() -> None:
        process = OperatorProcess(connect(kubeconfig, context), found)

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
