"""`pilotage check`: what is wrong with manifests, in a folder or a cluster: where, and the fix."""

import asyncio
import re
from pathlib import Path
from typing import Annotated, Literal

import orjson
import typer
from rich.console import Console
from rich.markup import escape

from pilotage_api.compile import Compiled, compile_resources
from pilotage_api.findings import Severity, shown
from pilotage_api.gateways import Gateway
from pilotage_api.resource import DEFAULT_NAMESPACE, DNS_LABEL
from pilotage_api.settings import GatewaySettings
from pilotage_cli.cluster_check import ClusterChecked, asked_by, check_cluster
from pilotage_cli.credential_findings import with_credentials
from pilotage_cli.failure import CommandError
from pilotage_cli.findings import counted, print_findings, summary
from pilotage_cli.folder import load_folder
from pilotage_cli.folder_files import FolderError
from pilotage_cli.options import (
    Context,
    Kubeconfig,
    OptionalFolder,
    TokenFile,
    connection_of,
    token_in,
)
from pilotage_cli.replicas import pools_without_servers, print_replicas
from pilotage_extproc.scheduling.plugins import installed_plugins

_MOST_NAMED = 5


def check(
    folder: OptionalFolder = None,
    context: Context = None,
    namespace: Annotated[
        str | None,
        typer.Option(
            "--namespace",
            "-n",
            help="Namespace of a folder's resources that name none, and of the gateway's pods in a cluster.",
        ),
    ] = None,
    folder_namespace: Annotated[
        str | None,
        typer.Option(help="In a cluster: where FOLDER would be applied, if not where the gateway is."),
    ] = None,
    release: Annotated[
        str | None, typer.Option(help="Of the chart, where several run in the gateway's namespace.")
    ] = None,
    gateway: Annotated[
        Gateway | None, typer.Option(help="What asks the picker, instead of what the settings say.")
    ] = None,
    kubeconfig: Kubeconfig = None,
    token_file: TokenFile = None,
    output: Annotated[Literal["text", "json"], typer.Option(help="text, or json for machines.")] = "text",
) -> None:
    """Check a folder of manifests, or with --context, --kubeconfig or -n alone what a gateway runs.

    A folder and --context: what would be wrong in the cluster if the folder were applied. Exit code 0: it
    takes effect (there may be warnings); 1: some of it does not; 2: it cannot be checked.
    """
    for option, given in (("--namespace", namespace), ("--folder-namespace", folder_namespace)):
        if given is not None and not re.fullmatch(DNS_LABEL, given):
            raise CommandError(f"{option} {shown(given)} is no name of a namespace")
    if context or kubeconfig or (namespace and folder is None):
        token = None if token_file is None else token_in(token_file)
        connection = connection_of(kubeconfig, context)
        checked = asyncio.run(
            check_cluster(connection, namespace, token, folder, folder_namespace, release, gateway)
        )
    elif folder is None:
        raise CommandError("name a --folder of manifests, or a cluster with --context or -n")
    else:
        checked = ClusterChecked(_check_folder(folder, folder_namespace or namespace, gateway), [], "")
    _show(checked, output)
    raise typer.Exit(1 if checked.compiled.has_errors or checked.has_problems else 0)


def _check_folder(folder: Path, namespace: str | None, gateway: Gateway | None) -> Compiled:
    """By its own settings; without them as a gateway that obeys the namespace, as one of the chart does."""
    where = namespace or DEFAULT_NAMESPACE
    try:
        loaded = load_folder(folder, where)
    except FolderError as error:
        raise CommandError(str(error)) from None
    settings = loaded.settings or GatewaySettings(namespaces=(where,))
    settings = asked_by(gateway, settings)
    compiled = compile_resources(loaded, settings, installed=frozenset(installed_plugins()))
    return with_credentials(compiled, settings)


def _show(checked: ClusterChecked, output: str) -> None:
    compiled = checked.compiled
    shown = [one for one in compiled.findings if one.severity is not Severity.INFO or output == "json"]
    if output == "json":
        value = {
            "snapshot": compiled.snapshot.version,
            "findings": [finding.as_dict() for finding in shown],
            "errors": sum(finding.severity is Severity.ERROR for finding in shown),
            "warnings": sum(finding.severity is Severity.WARNING for finding in shown),
            "replicas": checked.replicas,
            "unseen": checked.unseen,
        }
        typer.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())
        return
    console = Console(soft_wrap=True)
    print_findings(console, shown)
    snapshot = compiled.snapshot
    policies = len({route.policy for route in snapshot.routes})
    tenants = [counted(len(snapshot.tenants), "tenant")] if snapshot.tenants else []
    counts = [counted(len(snapshot.pools), "pool"), counted(policies, "policy", "policies"), *tenants]
    console.print(", ".join([*counts, summary(shown)]), highlight=False)
    if checked.unseen:
        named = escape(", ".join(checked.unseen[:_MOST_NAMED]))
        more = len(checked.unseen) - _MOST_NAMED
        also = f" and {more} more" if more > 0 else ""
        told = f"no operator has looked at the newest generation of {named}{also}: is one running?"
        console.print(f"[red]{told}[/]", highlight=False)
    print_replicas(console, checked.replicas)
    for line in pools_without_servers(checked.replicas):
        console.print(f"[yellow]{escape(line)}[/]", highlight=False)
