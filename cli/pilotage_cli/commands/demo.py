"""`pilotage demo`: the main job once, by itself."""

from rich.console import Console

from pilotage_cli.event_loop import run_fast
from pilotage_cli.shipped import QUICKSTART
from pilotage_extproc.telemetry.logs import configure_logs


def demo() -> None:
    """Answer, stream and explain a request on a gateway that lives as long as this command."""
    configure_logs("error")
    from pilotage_cli.gateway.demonstration import show_gateway  # noqa: PLC0415 - Envoy's classes take a second

    run_fast(show_gateway(Console(soft_wrap=True), QUICKSTART))
