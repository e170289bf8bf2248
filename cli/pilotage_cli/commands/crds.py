"""`pilotage crds`: the CustomResourceDefinitions, generated from the resource types."""

from pathlib import Path
from typing import Annotated

import typer
import yaml

from pilotage_api.crd import custom_resource_definitions
from pilotage_cli.failure import CommandError

_HEADER = "# Generated from api/pilotage_api by `make crds`; do not edit.\n"


def crds(
    out: Annotated[Path | None, typer.Option(help="Write one file each into this folder.")] = None,
    check: Annotated[Path | None, typer.Option(help="Fail if this folder's files are not current.")] = None,
) -> None:
    """Print the CRDs, write them to a folder, or check a folder for drift."""
    rendered = {name: _HEADER + text for name, text in render().items()}
    if check is not None:
        stale = [name for name, text in rendered.items() if _read(check / name) != text]
        stale += sorted(path.name for path in check.glob("*.yaml") if path.name not in rendered)
        if stale:
            raise CommandError(f"{', '.join(stale)} in {check} not current: run `make crds`", exit_code=1)
    elif out is not None:
        out.mkdir(parents=True, exist_ok=True)
        for name, text in rendered.items():
            (out / name).write_text(text)
    else:
        typer.echo("---\n".join(rendered.values()))


def render() -> dict[str, str]:
    """YAML by file name."""
    return {
        f"{definition['metadata']['name']}.yaml": yaml.safe_dump(definition, sort_keys=False, width=110)
        for definition in custom_resource_definitions()
    }


def _read(path: Path) -> str | None:
    try:
        return path.read_text()
    except OSError:
        return None
