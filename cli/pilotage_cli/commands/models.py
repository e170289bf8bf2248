"""`pilotage models`: facts of models."""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from pilotage_cli.failure import CommandError
from pilotage_cli.model_yaml import WrittenModel, added, as_yaml, models_in
from pilotage_cli.price_file import Facts, entry_of, facts_of, read_price_file


def models_commands() -> typer.Typer:
    """The commands about models."""
    app = typer.Typer(no_args_is_help=True, help="Facts of models: bounds, capabilities, prices.")
    app.command("import")(import_facts)
    return app


def import_facts(
    prices: Annotated[Path, typer.Argument(help="A price file: model_prices_and_context_window.json.")],
    manifests: Annotated[list[Path], typer.Argument(help="YAML files or folders with ModelPools.")],
    same: Annotated[
        list[str] | None,
        typer.Option("--as", metavar="MODEL=ENTRY", help="Which entry of the price file a model is."),
    ] = None,
    write: Annotated[
        bool, typer.Option("--write", help="Add what is missing to the files instead of printing it.")
    ] = False,
) -> None:
    """Fill facts of ModelPools from a price file in the common community format.

    Facts a model has already are never changed. Quality is in no price file: state it yourself.
    """
    entries, named = read_price_file(prices), _named(same or [])
    for name, entry in named.items():
        if entry not in entries:
            near = difflib.get_close_matches(entry, entries, n=1)
            raise CommandError(
                f"--as {name}={entry}: the price file has no entry {entry!r}"
                + (f"; did you mean {near[0]!r}?" if near else "")
            )
    unused = set(named)
    told: list[str] = []
    texts: dict[Path, str] = {}
    for path in _files(manifests):
        text = _read(path)
        wanted: list[tuple[WrittenModel, Facts]] = []
        for model in _models(path, text):
            unused -= set(model.names)
            told += _told(path, model, entries, named, wanted if write else None)
        if wanted:
            texts[path] = added(text, wanted)
    if unused:
        raise CommandError(f"--as names a model that no ModelPool has: {', '.join(sorted(unused))}")
    # nothing is written where anything is wrong
    for path, text in texts.items():
        _write(path, text)
    typer.echo("\n".join(told) if told else "# no ModelPool has models there")


def _told(
    path: Path,
    model: WrittenModel,
    entries: Mapping[str, Mapping[str, Any]],
    named: Mapping[str, str],
    wanted: list[tuple[WrittenModel, Facts]] | None,
) -> list[str]:
    """What to say of one model. What is to be written goes to `wanted`; None prints it instead."""
    asked = [named[name] for name in model.names if name in named]
    entry = entry_of(entries, asked or model.names)
    where = f"{path}: {model.pool}: {model.name}"
    if entry is None:
        return [f"# {where}: no entry in the price file; name it by --as {model.name}=ENTRY"]
    known = facts_of(entry, entries[entry])
    facts = {name: fact for name, fact in known.items() if name not in model.fields}
    if not facts:
        return [f"# {where}: nothing is missing that the entry {entry!r} has"]
    if wanted is None:
        return [f"# {where}, from the entry {entry!r}", *as_yaml(facts, 0)]
    if model.line < 0:
        return [f"# {where}: written in one line; add these by hand", *as_yaml(facts, 0)]
    wanted.append((model, facts))
    return [f"# {where}: {', '.join(facts)} added, from the entry {entry!r}"]


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror}") from None


def _named(same: list[str]) -> dict[str, str]:
    found = {}
    for one in same:
        model, equals, entry = one.partition("=")
        if not equals or not model or not entry:
            raise CommandError(f"--as {one}: write MODEL=ENTRY")
        found[model] = entry
    return found


def _files(paths: list[Path]) -> list[Path]:
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += sorted(one for one in path.iterdir() if one.suffix in (".yaml", ".yml"))
        else:
            found.append(path)
    return found


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{path} cannot be read: {error}") from None


def _models(path: Path, text: str) -> list[WrittenModel]:
    try:
        return models_in(text)
    except (yaml.YAMLError, RecursionError) as error:
        raise CommandError(f"{path} is not YAML: {error}") from None
