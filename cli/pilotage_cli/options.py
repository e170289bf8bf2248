"""Options several commands share, and how they and `pilotage.yaml` make the settings."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from pydantic import ValidationError

from pilotage_api.findings import Severity, shown
from pilotage_api.load import SETTINGS_KEY
from pilotage_api.settings import GatewaySettings
from pilotage_api.unidentified import is_settings_file
from pilotage_cli.failure import CommandError
from pilotage_cli.folder import load_folder
from pilotage_cli.folder_files import FolderError
from pilotage_kube.connection import Connection, connect
from pilotage_kube.errors import ConfigurationError

Folder = Annotated[Path, typer.Option("--folder", "-f", help="Folder of manifests (or one file).")]
SettingsFile = Annotated[Path, typer.Option("--settings", help="File with the GatewaySettings.")]
OptionalFolder = Annotated[
    Path | None, typer.Option("--folder", "-f", help="Folder of manifests (or one file).")
]
Kubeconfig = Annotated[
    Path | None, typer.Option("--kubeconfig", help="Kubeconfig; found as kubectl finds it when omitted.")
]
Context = Annotated[str | None, typer.Option("--context", help="Context of the kubeconfig.")]
InNamespace = Annotated[
    str | None, typer.Option("--namespace", "-n", help="Namespace of the gateway's pods in the cluster.")
]
TokenFile = Annotated[
    Path | None,
    typer.Option(help="File with the bearer token; the Secret that pickers mount is read when omitted."),
]
Listen = Annotated[str | None, typer.Option("--listen", help="Where clients connect, HOST:PORT.")]
ExtprocListen = Annotated[str | None, typer.Option("--extproc-listen", help="gRPC of the picker, HOST:PORT.")]
Release = Annotated[
    str | None, typer.Option(help="Of the chart, where several run in the namespace; all when omitted.")
]
Admin = Annotated[str | None, typer.Option("--admin", help="Metrics and explanations, HOST:PORT.")]
LogLevel = Annotated[
    Literal["debug", "info", "warning", "error"], typer.Option("--log-level", help="Least that is logged.")
]
_FLAGS = {
    "listen.gateway": "--listen",
    "listen.extproc": "--extproc-listen",
    "listen.admin": "--admin",
    "peers": "--peer",
}
"""By the setting they win over."""


def settings_of(
    folder: Path | None,
    *,
    listen: str | None = None,
    extproc: str | None = None,
    admin: str | None = None,
    **more: Any,
) -> GatewaySettings:
    """The settings of a folder or file, else the defaults, with flags over them. Raises CommandError."""
    settings = GatewaySettings() if folder is None else _settings_in(folder)
    flags = {"gateway": listen, "extproc": extproc, "admin": admin}
    changed = settings.listen.model_copy(update={name: value for name, value in flags.items() if value})
    update = {"listen": changed, **{name: value for name, value in more.items() if value is not None}}
    try:
        return GatewaySettings.model_validate(settings.model_copy(update=update).model_dump())
    except ValidationError as error:
        detail = error.errors()[0]
        place = ".".join(str(part) for part in detail["loc"])
        reason = detail["msg"].removeprefix("Value error, ")
        raise CommandError(f"{_FLAGS.get(place, place)} {shown(detail['input'])}: {reason}") from None


def _settings_in(folder: Path) -> GatewaySettings:
    try:
        loaded = load_folder(folder)
    except FolderError as error:
        raise CommandError(str(error)) from None
    if loaded.settings is not None:
        return loaded.settings
    wrong = [
        one
        for one in loaded.findings
        if one.severity is Severity.ERROR and (one.resource == SETTINGS_KEY or is_settings_file(one.file))
    ]
    if wrong:
        place = " ".join(part for part in (wrong[0].source, wrong[0].path) if part)
        raise CommandError(f"{place}: {wrong[0].message}; {wrong[0].fix}")
    return GatewaySettings()


def connection_of(kubeconfig: Path | None, context: str | None) -> Connection:
    """The cluster that is meant. Raises CommandError."""
    try:
        return connect(kubeconfig, context)
    except ConfigurationError as error:
        raise CommandError(str(error)) from None


def token_in(path: Path) -> str:
    """The token in a file. Raises CommandError."""
    try:
        token = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"cannot read the token in {path}: {error}") from None
    if not token:
        raise CommandError(f"the token file {path} is empty")
    return token
