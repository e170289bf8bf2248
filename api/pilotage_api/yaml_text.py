"""YAML and JSON text to plain data: bounded, without duplicate keys, each document with its lines."""

import json
from collections.abc import Iterator
from typing import Any, NoReturn

import yaml

from pilotage_api.document import MAX_DEPTH, MAX_TEXT_BYTES, MAX_VALUES, Document, TextError
from pilotage_api.findings import shown

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_MAX_SCALAR = 512
"""Of numbers and dates: building very long ones takes quadratic time."""
_STRING_TAG = "tag:yaml.org,2002:str"
_MERGE_TAG = "tag:yaml.org,2002:merge"


def read_documents(text: str, name: str = "") -> list[Document]:
    """All documents that are not empty; JSON when `name` says so. Raises TextError."""
    if len(text) > MAX_TEXT_BYTES:
        raise TextError(f"larger than {MAX_TEXT_BYTES} bytes")
    try:
        return [_json_document(text)] if name.endswith(".json") else list(_yaml_documents(text))
    except yaml.MarkedYAMLError as error:
        at = error.problem_mark or error.context_mark
        raise TextError(error.problem or error.context or "not YAML", at.line + 1 if at else None) from None
    except json.JSONDecodeError as error:
        raise TextError(f"not JSON: {error.msg}", error.lineno) from None
    except RecursionError:
        raise TextError(f"nested deeper than {MAX_DEPTH}") from None
    except TextError:
        raise
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        raise TextError(str(error).partition("\n")[0] or type(error).__name__) from None


def _yaml_documents(text: str) -> Iterator[Document]:
    builder = _Builder()
    for node in yaml.compose_all(text, Loader=_LOADER):
        if node is not None:
            value = builder.build(node, 0)
            if value is not None:
                yield Document(value, node.start_mark.line + 1, node)


class _Builder(yaml.constructor.SafeConstructor):
    """Builds plain data from nodes, counting them."""

    def __init__(self) -> None:
        super().__init__()
        self._values = 0

    def build(self, node: yaml.Node, depth: int) -> Any:
        self._values += 1
        line = node.start_mark.line + 1
        if self._values > MAX_VALUES:
            raise TextError(f"more than {MAX_VALUES} values, aliases expanded", line)
        if depth > MAX_DEPTH:
            raise TextError(f"nested deeper than {MAX_DEPTH}", line)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, depth)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, depth + 1) for item in node.value]
        return self._scalar(node, line)

    def _scalar(self, node: yaml.Node, line: int) -> Any:
        if node.tag == _STRING_TAG:
            if not node.value.isascii():
                _must_be_unicode(node.value, line)
            return node.value
        if len(node.value) > _MAX_SCALAR:
            raise TextError(f"a value of type {node.tag.rpartition(':')[2]} is too long; quote it", line)
        try:
            return self.construct_object(node)
        except (ValueError, OverflowError):
            raise TextError(f"{shown(node.value)} is not usable; quote it if it is text", line) from None

    def _mapping(self, node: yaml.MappingNode, depth: int) -> dict[str, Any]:
        built: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if key_node.tag == _MERGE_TAG:
                raise TextError("merge keys (<<) are not supported; write the fields out", line)
            key = self.build(key_node, depth + 1)
            if not isinstance(key, str):
                raise TextError(f"the key {shown(key)} is not a string; quote it", line)
            if key in built:
                raise TextError(f"the key {shown(key)} stands twice", line)
            built[key] = self.build(value_node, depth + 1)
        return built


def _must_be_unicode(text: str, line: int) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise TextError(f"{shown(text)} has half a surrogate pair", line) from None


def _json_document(text: str) -> Document:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        built: dict[str, Any] = {}
        for key, value in pairs:
            if key in built:
                raise TextError(f"the key {shown(key)} stands twice")
            built[key] = value
        return built

    value = json.loads(text, object_pairs_hook=unique, parse_constant=_no_constant)
    _bounded(value, 0)
    return Document(value, 1)


def _no_constant(name: str) -> NoReturn:
    raise TextError(f"{name} is not JSON")


def _bounded(value: Any, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise TextError(f"nested deeper than {MAX_DEPTH}")
    if isinstance(value, str):
        _must_be_unicode(value, 1)
    elif isinstance(value, dict):
        for key, item in value.items():
            _must_be_unicode(key, 1)
            _bounded(item, depth + 1)
    elif isinstance(value, list):
        for item in value:
            _bounded(item, depth + 1)
