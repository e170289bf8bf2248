"""`pilotage demo`: the main job once, by itself."""

from pathlib import Path

from rich.console import Console

from pilotage_cli.event_loop import run_fast
from pilotage_cli.failure import CommandError
from pilotage_extproc.telemetry.logs import configure_logs

_EXAMPLE = Path(__file__).parents[3] / "examples" / "quickstart"


def demo() -> None:
    """Answer, stream and explain a request on a gateway that lives as long as this command."""
    configure_logs("error")
    if not _EXAMPLE.is_dir():
        raise CommandError("run the demo from a checkout: it uses examples/quickstart")
    from pilotage_cli.gateway.demonstration import show_gateway  # noqa: PLC0415 - Envoy's classes take a second

    run_fast(show_gateway(Console(soft_wrap=True), _EXAMPLE))
