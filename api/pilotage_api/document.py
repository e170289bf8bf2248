"""A document of a text: plain data, and the line each part of it stands on."""

from dataclasses import dataclass, field
from typing import Any

import yaml

MAX_TEXT_BYTES = 4 << 20
"""Of one text. A resource the API server takes is under 1.5 MB."""
MAX_VALUES = 1_000_000
"""Of all documents of a text after aliases are expanded: a few aliases can name billions."""
MAX_DEPTH = 64


class TextError(ValueError):
    """Text that is not usable YAML or JSON; the message says what is wrong."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


@dataclass(slots=True, frozen=True)
class Document:
    """One document of a text."""

    value: Any
    line: int
    """Where it begins, from 1."""
    node: yaml.Node | None = field(default=None, repr=False)

    def line_of(self, path: str) -> int:
        """The line of a field such as `spec.models[0].name`, or of the nearest thing above it."""
        node, line = self.node, self.line
        while node is not None and path:
            node, at, path = _step(node, path)
            line = line if at is None else at
        return line


@dataclass(slots=True, frozen=True)
class Origin:
    """Where a resource comes from: a file's document, or an item of its list."""

    file: str = ""
    document: Document | None = None
    prefix: str = ""

    def item(self, index: int) -> "Origin":
        """The origin of an item of a list."""
        return Origin(self.file, self.document, f"{self.prefix}items[{index}].")

    def at(self, path: str = "") -> str:
        """`FILE:LINE` of a field; the file alone where lines are not known."""
        if self.document is None:
            return self.file
        return f"{self.file}:{self.document.line_of((self.prefix + path).rstrip('.'))}"


def _step(node: yaml.Node, path: str) -> tuple[yaml.Node | None, int | None, str]:
    """The node one step down, its line, and the path that is left."""
    if isinstance(node, yaml.SequenceNode) and path.startswith("["):
        index, _, rest = path[1:].partition("]")
        if index.isdigit() and int(index) < len(node.value):
            below = node.value[int(index)]
            return below, below.start_mark.line + 1, rest.removeprefix(".")
    elif isinstance(node, yaml.MappingNode):
        for key, below in node.value:
            # keys may hold dots themselves, such as labels: the path is read by the keys that are there
            name = key.value if isinstance(key, yaml.ScalarNode) else None
            if name and path.startswith(name) and path[len(name) :][:1] in ("", ".", "["):
                return below, key.start_mark.line + 1, path[len(name) :].removeprefix(".")
    return None, None, ""
