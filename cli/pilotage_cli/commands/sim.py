"""`pilotage sim`: simulated model servers on their own."""

import asyncio
from typing import Annotated

import typer

from pilotage_cli.event_loop import StopSignals
from pilotage_cli.failure import CommandError
from pilotage_extproc.server.addresses import AddressError, split_address
from pilotage_sim import SimCluster, SimConfig, SimSpec
from pilotage_sim.engine.cost import DEFAULT_PRESET, PRESETS


def sim(
    listen: Annotated[str, typer.Option(help="Address of the first server; the others follow it.")] = (
        "127.0.0.1:18101"
    ),
    count: Annotated[int, typer.Option(min=1, max=1000, help="How many servers.")] = 1,
    model: Annotated[str, typer.Option(help="The model they serve.")] = "sim-model",
    adapters: Annotated[str, typer.Option(help="LoRA adapters, separated by commas.")] = "",
    preset: Annotated[str, typer.Option(help=f"Speed: {', '.join(PRESETS)}.")] = DEFAULT_PRESET,
    time_scale: Annotated[float, typer.Option(min=0.0, help="0.1 is ten times faster.")] = 1.0,
) -> None:
    """Run simulated vLLM servers until interrupted."""
    if preset not in PRESETS:
        raise CommandError(f"--preset {preset!r} is not known; known: {', '.join(PRESETS)}")
    try:
        host, port = split_address(listen)
    except AddressError as error:
        raise CommandError(str(error)) from None
    names = tuple(name for name in adapters.split(",") if name)
    config = SimConfig((model,), names, preset=preset, time_scale=time_scale)
    specs = [SimSpec(host, port + index if port else 0, config) for index in range(count)]
    asyncio.run(_serve(specs))


async def _serve(specs: list[SimSpec]) -> None:
    try:
        cluster = await SimCluster.start(specs)
    except OSError as error:
        raise CommandError(f"cannot listen: {error}") from None
    for server in cluster.servers:
        typer.echo(f"serving on http://{server.address}")
    try:
        with StopSignals() as signals:
            await signals.stop.wait()
    finally:
        await cluster.stop()
