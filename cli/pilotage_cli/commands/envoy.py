"""`pilotage envoy`: the bundled Envoy alone, for pickers that are elsewhere."""

import os
import socket
from typing import Annotated

import typer

from pilotage_api.settings import GatewaySettings
from pilotage_cli.failure import CommandError
from pilotage_cli.options import SettingsFile, settings_of


def envoy(
    settings: SettingsFile,
    extproc: Annotated[
        list[str],
        typer.Option(help="HOST:PORT of a picker, or of a name with all their addresses; repeatable."),
    ],
    name: Annotated[
        str | None,
        typer.Option(help="What pickers call this Envoy; default: $POD_NAME, else the host's."),
    ] = None,
    concurrency: Annotated[
        int | None, typer.Option(min=1, help="Worker threads; Envoy's own choice when omitted.")
    ] = None,
    log_level: Annotated[str, typer.Option("--log-level", help="Envoy's own log level.")] = "warning",
) -> None:
    """Become the bundled Envoy: this process is replaced by it."""
    from pilotage_cli.gateway.envoy import EnvoyError, envoy_binary  # noqa: PLC0415 - heavy

    bootstrap = _bootstrap(
        settings_of(settings), extproc, name or os.environ.get("POD_NAME") or socket.gethostname()
    )
    try:
        binary = str(envoy_binary())
    except EnvoyError as error:
        raise CommandError(str(error)) from None
    command = [binary, "--config-yaml", bootstrap, "--disable-hot-restart", "--log-level", log_level]
    if concurrency is not None:
        command += ["--concurrency", str(concurrency)]
    os.execv(binary, command)  # noqa: S606 - no shell is meant


def _bootstrap(settings: GatewaySettings, pickers: list[str], name: str) -> str:
    from pilotage_cli.gateway.identity import written_identity  # noqa: PLC0415 - heavy
    from pilotage_extproc.envoy.xds.bootstrap import build_bootstrap  # noqa: PLC0415
    from pilotage_extproc.server.addresses import AddressError, split_address  # noqa: PLC0415

    listen = settings.listen
    try:
        first, *peers = (split_address(one) for one in pickers)
        admin = split_address(listen.envoy_admin)
        probes = split_address(listen.envoy_probes) if listen.envoy_probes else None
        if probes is not None and admin[1] == 0:
            raise AddressError("listen.envoyAdmin needs a port of its own where listen.envoyProbes shows it")
        return build_bootstrap(
            settings,
            envoy_name=name,
            extproc=first,
            peers=peers,
            gateway=split_address(listen.gateway),
            admin=admin,
            probes=probes,
            identity=written_identity(settings.tls),
        )
    except AddressError as error:
        raise CommandError(str(error)) from None
    except OSError as error:
        raise CommandError(f"cannot write {error.filename}: {error.strerror}") from None


def envoy_drain(
    settings: SettingsFile,
    notice: Annotated[
        float,
        typer.Option(min=0, help="Seconds for balancers to learn that it stops; it serves on."),
    ] = 5.0,
    longest: Annotated[float, typer.Option(min=0, help="Seconds to wait for requests under way.")] = 600.0,
) -> None:
    """Let an Envoy of this machine end its requests; for a container's preStop hook."""
    from pilotage_cli.gateway.draining import DrainError, drain  # noqa: PLC0415

    listen = settings_of(settings).listen
    try:
        left = drain(listen.envoy_admin, notice_seconds=notice, longest_seconds=longest)
    except DrainError as error:
        raise CommandError(str(error)) from None
    if left:
        raise CommandError(f"{left} requests are still under way after {longest:g} s", exit_code=1)
