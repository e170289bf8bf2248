"""`pilotage usage`: what was spent, by whom, from the journals."""

import asyncio
import csv
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.table import Table

from pilotage_api.money import dollars_text
from pilotage_cli.budgets_now import NOW, budget_rows
from pilotage_cli.failure import CommandError
from pilotage_cli.local_admin import DEFAULT_ADMIN, admin_page
from pilotage_cli.options import Admin, TokenFile, token_in
from pilotage_cli.output import Output
from pilotage_extproc.sources.journal import ESTIMATED, UsageLine, read_journals

GROUPS: Final = ("tenant", "team", "key", "user", "policy", "model", "upstream_model")
_FIGURES: Final = (
    "requests",
    "estimated_requests",
    "input_tokens",
    "cached_input_tokens",
    "cache_write_input_tokens",
    "output_tokens",
    "usd",
    "estimated_usd",
)
_GAP: Final = 2
_WIDEST: Final = 1000


def usage(
    journal: Annotated[
        Path | None, typer.Argument(help="Folder of the journals: governance.store.journalDir.")
    ] = None,
    by: Annotated[str, typer.Option(help=f"Comma-separated: {', '.join(GROUPS)}.")] = "tenant,team,model,key",
    since: Annotated[str, typer.Option(help="First day, UTC: YYYY-MM-DD.")] = "1970-01-01",
    until: Annotated[str, typer.Option(help="First day that is left out, UTC.")] = "9999-12-31",
    as_csv: Annotated[bool, typer.Option("--csv", help="Write CSV to standard output.")] = False,
    now: Annotated[
        bool, typer.Option("--now", help="Ask a running gateway what tenants have of their budgets.")
    ] = False,
    admin: Admin = None,
    token: Annotated[
        str | None, typer.Option(envvar="PILOTAGE_ADMIN_TOKEN", help="Bearer token of the admin address.")
    ] = None,
    token_file: TokenFile = None,
) -> None:
    """Show requests, tokens and dollars by tenant, team, model and key.

    Dollars are those of the ledger: settled and estimated; the estimated part is shown by itself, too. With
    --now: what tenants have spent of their budgets, what is held, what remains, and when they are full again.
    """
    if now:
        if journal is not None:
            raise CommandError("--now asks a running gateway: leave out the folder of journals")
        secret = token_in(token_file) if token_file is not None else token
        page = asyncio.run(admin_page(admin or DEFAULT_ADMIN, "/budgets", secret))
        _write(NOW, budget_rows(page), as_csv=as_csv)
        return
    if journal is None:
        raise CommandError("name the folder of journals (governance.store.journalDir), or --now")
    groups = [one.strip() for one in by.split(",") if one.strip()]
    unknown = [one for one in groups if one not in GROUPS]
    if unknown or not groups:
        raise CommandError(f"--by: {', '.join(unknown) or 'nothing'}: name some of {', '.join(GROUPS)}")
    first, end = _moment(since, "--since"), _moment(until, "--until")
    try:
        found = read_journals(journal, first)
    except OSError as error:
        raise CommandError(f"{journal}: {error.strerror}") from None
    if not journal.is_dir():
        raise CommandError(f"{journal} is no folder: name the one of governance.store.journalDir")
    lines = (line for of_process in found.usage.values() for line in of_process)
    rows = summed((line for line in lines if first <= line.at < end), groups)
    _write((*groups, *_FIGURES), rows, as_csv=as_csv)
    if found.damaged:
        typer.echo(f"{found.damaged} damaged lines are left out", err=True)


def summed(lines: Iterable[UsageLine], groups: list[str]) -> list[list[str]]:
    """One row for each group, sorted; figures as text, money exact."""
    sums: dict[tuple[str, ...], list[int]] = {}
    for line in lines:
        row = sums.setdefault(tuple(str(getattr(line, group)) for group in groups), [0] * len(_FIGURES))
        estimated = line.state == ESTIMATED
        figures = (
            1,
            int(estimated),
            line.input_tokens,
            line.cached_input_tokens,
            line.cache_write_input_tokens,
            line.output_tokens,
            line.nano,
            line.nano if estimated else 0,
        )
        for place, figure in enumerate(figures):
            row[place] += figure
    return [
        [*group, *map(str, row[:-2]), dollars_text(row[-2]), dollars_text(row[-1])]
        for group, row in sorted(sums.items())
    ]


def _write(columns: Sequence[str], rows: Iterable[Sequence[str]], *, as_csv: bool) -> None:
    if as_csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([[_no_formula(_printable(cell)) for cell in row] for row in rows])
        return
    table = Table(*columns, box=None, pad_edge=False, padding=(0, _GAP, 0, 0))
    for row in rows:
        table.add_row(*map(_printable, row))
    # figures that are cut are none: wider than a terminal they go on in its next line
    Output(columns=_WIDEST).print(table)


def _printable(cell: str) -> str:
    """Clients choose names of users and, where a policy takes any, of models."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in cell)


def _no_formula(cell: str) -> str:
    """Spreadsheets would run what begins so."""
    return f"'{cell}" if cell.startswith(("=", "+", "-", "@")) else cell


def _moment(day: str, option: str) -> float:
    try:
        return datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC).timestamp()
    except ValueError:
        raise CommandError(f"{option}: {day!r} is no day: write YYYY-MM-DD") from None
