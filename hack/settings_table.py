"""Print the settings table of docs/settings.md: hack/settings_table.py."""

import json
from collections.abc import Iterator
from enum import Enum
from typing import Any

from pydantic import BaseModel

from pilotage_api.settings import GatewaySettings

HEAD = "| setting | default | meaning |\n|---|---|---|\n"


def rows(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str, str]]:
    """Name, default and meaning of every setting."""
    for attribute, field in model.model_fields.items():
        name = prefix + (field.alias or attribute)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from rows(field.annotation, f"{name}.")
            continue
        default: Any = field.default.value if isinstance(field.default, Enum) else field.default
        shown = "" if default is None else f"`{json.dumps(default)}`"
        meaning = (field.description or "").replace("\n", " ").replace("|", "\\|")
        yield f"`{name}`", shown, meaning


def table() -> str:
    """The whole table in Markdown."""
    return HEAD + "".join(f"| {' | '.join(row)} |\n" for row in rows(GatewaySettings))


if __name__ == "__main__":
    print(table(), end="")
