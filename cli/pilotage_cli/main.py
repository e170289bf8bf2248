"""Entry point of the `pilotage` command."""

import typer

app = typer.Typer(no_args_is_help=True)


def run() -> None:
    """Run the command line."""
    app()
