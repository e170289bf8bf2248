"""YAML text to plain data: bounded, without duplicate keys, each document with its line."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

MAX_TEXT_BYTES = 16 << 20
MAX_NODES = 1_000_000
"""Nodes of all documents of a text after aliases are expanded: a few aliases can name billions."""
_MAX_DEPTH = 64


class YamlError(ValueError):
    """Text that is not usable YAML; the message says where."""


@dataclass(slots=True, frozen=True)
class Document:
    """One document of a text."""

    value: Any
    line: int
    """Where it begins, from 1."""


def read_documents(text: str) -> list[Document]:
    """All documents that are not empty. Raises YamlError."""
    if len(text) > MAX_TEXT_BYTES:
        raise YamlError(f"larger than {MAX_TEXT_BYTES} bytes")
    try:
        return list(_documents(text))
    except yaml.MarkedYAMLError as error:
        at = error.problem_mark
        where = f"line {at.line + 1}, column {at.column + 1}: " if at else ""
        raise YamlError(f"{where}{error.problem or error.context or 'not YAML'}") from None
    except (yaml.YAMLError, RecursionError, ValueError, OverflowError) as error:
        raise YamlError(str(error).partition("\n")[0] or type(error).__name__) from None


def _documents(text: str) -> Iterator[Document]:
    builder = _Builder()
    for node in yaml.compose_all(text, Loader=yaml.SafeLoader):
        if node is not None:
            value = builder.build(node, 0)
            if value is not None:
                yield Document(value, node.start_mark.line + 1)


class _Builder(yaml.constructor.SafeConstructor):
    """Builds plain data from nodes, counting them."""

    def __init__(self) -> None:
        super().__init__()
        self._nodes = 0

    def build(self, node: yaml.Node, depth: int) -> Any:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise YamlError(f"more than {MAX_NODES} values, aliases expanded")
        if depth > _MAX_DEPTH:
            raise YamlError(f"line {node.start_mark.line + 1}: nested deeper than {_MAX_DEPTH}")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, depth)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, depth + 1) for item in node.value]
        return self.construct_object(node)

    def _mapping(self, node: yaml.MappingNode, depth: int) -> dict[str, Any]:
        built: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = self.build(key_node, depth + 1)
            line = key_node.start_mark.line + 1
            if not isinstance(key, str):
                raise YamlError(f"line {line}: the key {key!r} is not a string; quote it")
            if key in built:
                raise YamlError(f"line {line}: the key {key!r} stands twice")
            built[key] = self.build(value_node, depth + 1)
        return built
