"""`pilotage keys`: API keys of tenants. A key is shown once, when it is made; only its hash is kept."""

import hashlib
import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer
from rich.table import Table

from pilotage_cli.failure import CommandError
from pilotage_cli.key_places import KeyPlace, key_place
from pilotage_cli.options import Context, Kubeconfig
from pilotage_cli.output import Output
from pilotage_extproc.sources.api_key_records import KeyFault, KeyRecord

PREFIX: Final = "plt-"
"""How keys begin, so that scanners for leaked secrets can know them."""
_ID_BYTES: Final = 5
_KEY_BYTES: Final = 32
_MOST_DAYS: Final = 36_500

KeyFile = Annotated[
    Path | None, typer.Option("--file", help="Outside of a cluster: governance.identity.apiKeys.file.")
]
Namespace = Annotated[
    str | None, typer.Option("--namespace", "-n", help="In a cluster: where the Secrets of keys are.")
]
Labels = Annotated[
    str, typer.Option("--labels", help="In a cluster: labels that apiKeys.secretSelector names, NAME=VALUE,…")
]
_USUAL_LABELS: Final = "pilotage.dev/api-key=true"


def keys_commands() -> typer.Typer:
    """The commands about API keys."""
    app = typer.Typer(no_args_is_help=True, help="API keys of tenants: made, listed, revoked.")
    app.command("create")(create)
    app.command("list")(list_keys)
    app.command("revoke")(revoke)
    return app


def create(
    tenant: Annotated[str, typer.Option(help="Whose requests it makes: the name of a Tenant.")],
    team: Annotated[str, typer.Option(help="Team of the tenant.")] = "",
    expires_days: Annotated[
        int | None, typer.Option(min=1, max=_MOST_DAYS, help="Days until it expires; never when omitted.")
    ] = None,
    file: KeyFile = None,
    namespace: Namespace = None,
    labels: Labels = _USUAL_LABELS,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> None:
    """Make a key. It is printed now and never again.

    Its id, tenant and expiry go to standard error, the key alone to standard output.
    """
    now = datetime.now(UTC).replace(microsecond=0)
    text = PREFIX + secrets.token_urlsafe(_KEY_BYTES)
    expires = "" if expires_days is None else _written(now + timedelta(days=expires_days))
    record = KeyRecord(
        id=f"key-{secrets.token_hex(_ID_BYTES)}",
        sha256=hashlib.sha256(text.encode()).hexdigest(),
        tenant=tenant,
        team=team,
        expires=expires,
        created=_written(now),
    )
    try:
        record.key()
    except KeyFault as fault:
        raise CommandError(str(fault)) from None
    place = key_place(file, namespace, labels, kubeconfig, context)
    place.add(record)
    whose = f"{tenant}/{team}" if team else tenant
    typer.echo(f"{record.id} of {whose}, expires {expires or 'never'}; the key is not shown again:", err=True)
    typer.echo(text)


def list_keys(
    file: KeyFile = None,
    namespace: Namespace = None,
    labels: Labels = _USUAL_LABELS,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, without hashes.")] = False,
) -> None:
    """Show ids, tenants, teams and expiry; keys themselves are kept nowhere.

    What is wrong with a key's record is said in its place: it is not in force.
    """
    records = sorted(
        key_place(file, namespace, labels, kubeconfig, context).records(), key=lambda one: one.id
    )
    if as_json:
        shown = [_shown(one) for one in records]
        typer.echo(msgspec.json.encode(shown).decode())
        return
    now = datetime.now(UTC).timestamp()
    table = Table("id", "tenant", "team", "created", "expires")
    for one in records:
        table.add_row(one.id, one.tenant, one.team, one.created, _expiry(one, now))
    Output().print(table)


def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="As `pilotage keys list` shows it.")],
    file: KeyFile = None,
    namespace: Namespace = None,
    labels: Labels = _USUAL_LABELS,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> None:
    """Take a key back: new requests with it are refused within 5 s; streams that run finish."""
    place: KeyPlace = key_place(file, namespace, labels, kubeconfig, context)
    if not place.remove(key_id):
        raise CommandError(f"there is no key {key_id}: see pilotage keys list")
    typer.echo(f"{key_id} is revoked", err=True)


def _shown(record: KeyRecord) -> dict[str, Any]:
    """As JSON has it: without its hash, and with what is wrong with it."""
    members = {name: value for name, value in msgspec.to_builtins(record).items() if name != "sha256"}
    problem = _problem(record)
    return {**members, "problem": problem} if problem else members


def _expiry(record: KeyRecord, now: float) -> str:
    if problem := _problem(record):
        return f"not in force: {problem}"
    at, expires = record.key().expires_at, record.expires or "never"
    return f"{expires} (expired)" if at and at <= now else expires


def _problem(record: KeyRecord) -> str:
    try:
        record.key()
    except KeyFault as fault:
        return str(fault)
    return ""


def _written(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
