"""`pilotage check`: what is wrong with a folder of manifests, where, and the fix."""

from typing import Annotated, Literal

import orjson
import typer
from rich.console import Console

from pilotage_api.compile import compile_resources
from pilotage_api.findings import Severity
from pilotage_api.settings import GatewaySettings
from pilotage_cli.failure import CommandError
from pilotage_cli.findings import print_findings, summary
from pilotage_cli.folder import FolderError, load_folder
from pilotage_cli.options import Folder


def check(
    folder: Folder,
    output: Annotated[Literal["text", "json"], typer.Option(help="text, or json for machines.")] = "text",
) -> None:
    """Check a folder of manifests.

    Exit code 0: it takes effect (there may be warnings); 1: some of it does not; 2: there is no such folder.
    """
    try:
        loaded = load_folder(folder)
    except FolderError as error:
        raise CommandError(str(error)) from None
    compiled = compile_resources(loaded, loaded.settings or GatewaySettings())
    shown = [one for one in compiled.findings if one.severity is not Severity.INFO or output == "json"]
    if output == "json":
        value = {
            "snapshot": compiled.snapshot.version,
            "findings": [finding.as_dict() for finding in shown],
            "errors": sum(finding.severity is Severity.ERROR for finding in shown),
            "warnings": sum(finding.severity is Severity.WARNING for finding in shown),
        }
        typer.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())
    else:
        console = Console(soft_wrap=True)
        print_findings(console, shown)
        snapshot = compiled.snapshot
        console.print(
            f"{len(snapshot.pools)} pools, {len({route.policy for route in snapshot.routes})} policies, "
            f"{summary(shown)}",
            highlight=False,
        )
    raise typer.Exit(1 if compiled.has_errors else 0)
