"""`pilotage explain`: why a request went where it went."""

import asyncio
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote

import orjson
import typer
from rich.console import Console

from pilotage_api.compile import compile_resources
from pilotage_api.settings import GatewaySettings
from pilotage_cli.cluster_admin import ClusterAdmin, PickerUnreachable, cluster_admin
from pilotage_cli.explanation import print_explanation
from pilotage_cli.failure import CommandError
from pilotage_cli.folder import load_folder
from pilotage_cli.folder_files import FolderError
from pilotage_cli.local_admin import DEFAULT_ADMIN, admin_page
from pilotage_cli.options import (
    Admin,
    Context,
    InNamespace,
    Kubeconfig,
    OptionalFolder,
    Release,
    TokenFile,
    connection_of,
    token_in,
)
from pilotage_kube.connection import Connection

LAST_DECISION = "/decisions?limit=1"


def explain(
    decision: Annotated[
        str | None, typer.Argument(help="Decision id; the last decision when omitted.")
    ] = None,
    admin: Admin = None,
    context: Context = None,
    namespace: InNamespace = None,
    release: Release = None,
    kubeconfig: Kubeconfig = None,
    request: Annotated[
        Path | None,
        typer.Option(help='Offline: a JSON file {"path": …, "headers": …, "body": {…}}, with --folder.'),
    ] = None,
    folder: OptionalFolder = None,
    token: Annotated[
        str | None, typer.Option(envvar="PILOTAGE_ADMIN_TOKEN", help="Bearer token of the admin address.")
    ] = None,
    token_file: TokenFile = None,
    failed: Annotated[
        bool, typer.Option("--failed", help="The last decision of which an attempt failed.")
    ] = False,
    output: Annotated[Literal["text", "json"], typer.Option(help="text, or json for machines.")] = "text",
) -> None:
    """Explain a decision of a running gateway, or what would be decided for a request file.

    With --context, -n or --kubeconfig the gateway is in a cluster: its pickers are asked by port-forward,
    with your own rights.
    """
    token = token_in(token_file) if token_file is not None else token
    if failed and (decision or request):
        raise CommandError("--failed finds a decision: leave out its id, and --request")
    if request is not None:
        if folder is None:
            raise CommandError("--request needs --folder: the manifests to decide by")
        explanation = asyncio.run(_offline(folder, request))
    elif context or namespace or kubeconfig:
        if admin is not None:
            raise CommandError("--admin names a gateway here: leave it out, or what names a cluster")
        connection = connection_of(kubeconfig, context)
        explanation = asyncio.run(_in_cluster(connection, namespace, release, _path(decision, failed), token))
    else:
        explanation = asyncio.run(_live(admin or DEFAULT_ADMIN, _path(decision, failed), token))
    if output == "json":
        typer.echo(orjson.dumps(explanation, option=orjson.OPT_INDENT_2).decode())
    else:
        print_explanation(Console(soft_wrap=True), explanation)
    if "refused" in explanation:
        raise typer.Exit(1)


async def _in_cluster(
    connection: Connection,
    namespace: str | None,
    release: str | None,
    path: str,
    token: str | None,
) -> dict[str, Any]:
    async with cluster_admin(connection, namespace, token, release) as admin:
        return await explain_in_cluster(admin, path)


def _path(decision: str | None, failed: bool = False) -> str:
    """The page with a decision, or with the last one."""
    if decision is not None:
        return f"/decisions/{quote(decision, safe='')}"
    return "/decisions?limit=1&failed=true" if failed else LAST_DECISION


async def explain_in_cluster(admin: ClusterAdmin, path: str) -> dict[str, Any]:
    """The decision, or the last of those, of an admin page, by the pickers that can be reached.

    Raises CommandError.
    """
    last: list[dict[str, Any]] = []
    unasked: list[PickerUnreachable] = []
    refusal: str | None = None
    # pickers ask each other for a decision: the first that can be reached knows, unless its peers could not
    async for told in admin.ask(path):
        if isinstance(told, PickerUnreachable):
            unasked.append(told)
        elif told.status != 200:
            refusal = refusal or str(told.body.get("error", told.status))
        elif "decisions" not in told.body:
            found: dict[str, Any] = told.body
            return found
        else:
            last += told.body["decisions"]
    if last:
        for one in unasked:
            typer.echo(f"{one}: a later decision may be there", err=True)
        return _latest(last, path)
    refusal = refusal or _none_yet(path)
    raise CommandError("; ".join((refusal, *map(str, unasked))), exit_code=1)


def _none_yet(path: str) -> str:
    if path == LAST_DECISION:
        return "the gateway has made no decision yet: send it a request first"
    return "no attempt has failed of the decisions that the gateway still knows"


def _latest(decisions: list[dict[str, Any]], path: str) -> dict[str, Any]:
    if not decisions:
        raise CommandError(_none_yet(path), exit_code=1)
    return max(decisions, key=lambda one: str(one["decidedAt"]))


async def _offline(folder: Path, request: Path) -> dict[str, Any]:
    try:
        described = request.read_bytes()  # noqa: ASYNC240 - nothing else runs
        loaded = load_folder(folder)
    except (OSError, FolderError) as error:
        raise CommandError(str(error)) from None
    settings = loaded.settings or GatewaySettings()
    from pilotage_extproc.server.offline import explain_offline  # noqa: PLC0415 - Envoy's classes take a second

    try:
        return await explain_offline(compile_resources(loaded, settings).snapshot, settings, described)
    except ValueError as error:
        raise CommandError(f"{request}: {error}") from None


async def _live(admin: str, path: str, token: str | None) -> dict[str, Any]:
    body = await admin_page(admin, path, token)
    return _latest(body["decisions"], path) if "decisions" in body else body
