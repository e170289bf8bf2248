"""`pilotage init`: a first folder of manifests."""

from pathlib import Path
from typing import Annotated

import typer

from pilotage_cli.failure import CommandError
from pilotage_cli.shipped import STARTER


def init(
    folder: Annotated[Path, typer.Argument(help="Folder to write into; made where there is none.")],
) -> None:
    """Write a first pool, policy and settings, with comments; nothing that exists is overwritten."""
    texts = {folder / path.name: path.read_bytes() for path in sorted(STARTER.glob("*.yaml"))}
    present = [path.name for path in texts if path.exists() or path.is_symlink()]
    if present:
        raise CommandError(f"{folder} has {', '.join(present)} already: name another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, text in texts.items():
            with path.open("xb") as file:  # one that came in the meantime stays as it is
                file.write(text)
    except OSError as error:
        raise CommandError(f"cannot write to {folder}: {error.strerror}") from None
    for path in texts:
        typer.echo(f"wrote {path}")
    typer.echo(f"next: pilotage check -f {folder}, then pilotage up -f {folder} --sim")
