"""Entry point of the `pilotage` command."""

import os
import sys
from importlib.metadata import version
from typing import Annotated

import typer

from pilotage_cli.commands.check import check
from pilotage_cli.commands.crds import crds
from pilotage_cli.commands.demo import demo
from pilotage_cli.commands.envoy import envoy, envoy_drain
from pilotage_cli.commands.eval import eval_commands
from pilotage_cli.commands.explain import explain
from pilotage_cli.commands.extproc import extproc
from pilotage_cli.commands.init import init
from pilotage_cli.commands.keys import keys_commands
from pilotage_cli.commands.models import models_commands
from pilotage_cli.commands.operator import operator
from pilotage_cli.commands.sim import sim
from pilotage_cli.commands.up import up
from pilotage_cli.commands.usage import usage
from pilotage_cli.failure import CommandError


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"pilotage {version('pilotage')}")
        raise typer.Exit


def options(
    _version: Annotated[
        bool,
        typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True),
    ] = False,
) -> None:
    """Inference gateway extension: which model and which replica, for every LLM request."""


def application() -> typer.Typer:
    """The command line."""
    app = typer.Typer(
        no_args_is_help=True,
        pretty_exceptions_enable=False,
    )
    app.callback()(options)
    for command in (demo, init, up, extproc, envoy, envoy_drain, operator, check, explain, usage, sim, crds):
        app.command()(command)
    app.add_typer(keys_commands(), name="keys")
    app.add_typer(models_commands(), name="models")
    app.add_typer(eval_commands(), name="eval")
    return app


def run() -> None:
    """Run the command line; what a user can mend is one line on standard error and exit code 2."""
    # nothing forks without an exec here, and gRPC's handlers for it print a line whenever Envoy is started
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
    try:
        application()()
    except CommandError as error:
        print(f"pilotage: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
