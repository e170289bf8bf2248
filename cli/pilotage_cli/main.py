"""Entry point of the `pilotage` command."""

import os
import sys

import typer

from pilotage_cli.commands.check import check
from pilotage_cli.commands.crds import crds
from pilotage_cli.commands.demo import demo
from pilotage_cli.commands.envoy import envoy, envoy_drain
from pilotage_cli.commands.explain import explain
from pilotage_cli.commands.extproc import extproc
from pilotage_cli.commands.operator import operator
from pilotage_cli.commands.sim import sim
from pilotage_cli.commands.up import up
from pilotage_cli.failure import CommandError


def application() -> typer.Typer:
    """The command line."""
    app = typer.Typer(
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        help="Inference gateway extension: which model and which replica, for every LLM request.",
    )
    for command in (demo, up, extproc, envoy, envoy_drain, operator, check, explain, sim, crds):
        app.command()(command)
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
