"""`pilotage sim`: simulated model servers on their own."""

import asyncio
import os
import ssl
from pathlib import Path
from typing import Annotated, Final

import typer

from pilotage_cli.event_loop import StopSignals
from pilotage_cli.failure import CommandError
from pilotage_extproc.server.addresses import AddressError, split_address
from pilotage_sim import Provider, ProviderApi, SimCluster, SimConfig, SimSpec, server_tls
from pilotage_sim.engine.cost import DEFAULT_PRESET, PRESETS

_DEFAULTS: Final = SimConfig(models=())


def sim(
    listen: Annotated[str, typer.Option(help="Address of the first server; the others follow it.")] = (
        "127.0.0.1:18101"
    ),
    count: Annotated[int, typer.Option(min=1, max=1000, help="How many servers.")] = 1,
    model: Annotated[str, typer.Option(help="The model they serve.")] = "sim-model",
    adapters: Annotated[str, typer.Option(help="LoRA adapters, separated by commas.")] = "",
    preset: Annotated[str, typer.Option(help=f"Speed: {', '.join(PRESETS)}.")] = DEFAULT_PRESET,
    time_scale: Annotated[float, typer.Option(min=0.0, help="0.1 is ten times faster.")] = 1.0,
    max_num_seqs: Annotated[
        int, typer.Option(min=1, help="Requests that a server runs at once; others wait there.")
    ] = _DEFAULTS.max_running,
    provider: Annotated[
        ProviderApi | None, typer.Option(help="Hosted providers with this API, in place of vLLM.")
    ] = None,
    key_env: Annotated[
        str, typer.Option(help="The environment variable with the key that such a provider demands.")
    ] = "",
    tls: Annotated[
        Path | None, typer.Option(help="Serve TLS; a certificate for localhost is kept in this folder.")
    ] = None,
) -> None:
    """Run simulated vLLM servers, or simulated providers, until interrupted."""
    if preset not in PRESETS:
        raise CommandError(f"--preset {preset!r} is not known; known: {', '.join(PRESETS)}")
    try:
        host, port = split_address(listen)
    except AddressError as error:
        raise CommandError(str(error)) from None
    names = tuple(name for name in adapters.split(",") if name)
    config = SimConfig(
        (model,),
        names,
        preset=preset,
        time_scale=time_scale,
        max_running=max_num_seqs,
        provider=_provider(provider, key_env),
    )
    context = None if tls is None else _context(tls)
    specs = [SimSpec(host, port + index if port else 0, config, context) for index in range(count)]
    asyncio.run(_serve(specs, "http" if tls is None else "https"))


def _provider(api: ProviderApi | None, key_env: str) -> Provider | None:
    if api is None:
        if key_env:
            raise CommandError("--key-env is for providers: name one with --provider openai or anthropic")
        return None
    key = os.environ.get(key_env) if key_env else None
    if key_env and not key:
        raise CommandError(f"--key-env {key_env}: this environment variable is not set, or empty")
    return Provider(api, key)


def _context(folder: Path) -> ssl.SSLContext:
    try:
        return server_tls(folder)
    except (OSError, ssl.SSLError) as error:
        raise CommandError(f"--tls {folder}: {error}") from None


async def _serve(specs: list[SimSpec], scheme: str) -> None:
    try:
        cluster = await SimCluster.start(specs)
    except OSError as error:
        raise CommandError(f"cannot listen: {error}") from None
    for server in cluster.servers:
        typer.echo(f"serving on {scheme}://{server.address}")
    try:
        with StopSignals() as signals:
            await signals.stop.wait()
    finally:
        await cluster.stop()
