"""Facts put into manifests: whole lines are added, and every other line stays as it was."""

from dataclasses import dataclass
from typing import Any, Final

import yaml

_INDENT: Final = 2


@dataclass(slots=True, frozen=True)
class WrittenModel:
    """A model of a ModelPool, and where it stands in its file."""

    pool: str
    names: list[str]
    """What the servers call it, its name, and its aliases."""
    fields: frozenset[str]
    """Those it has."""
    line: int
    """Behind which fields can be added, from 0; -1 where it is not written line by line."""
    column: int

    @property
    def name(self) -> str:
        """As the pool has it."""
        return self.names[-1]


def models_in(text: str) -> list[WrittenModel]:
    """The models of all ModelPools in a file. Raises yaml.YAMLError."""
    found = []
    for document in yaml.compose_all(text, yaml.SafeLoader):
        if _text(_member(document, "kind")) != "ModelPool":
            continue
        pool = _text(_member(_member(document, "metadata"), "name")) or ""
        models = _member(_member(document, "spec"), "models")
        found += [
            _written(pool, model)
            for model in (models.value if isinstance(models, yaml.SequenceNode) else ())
            if isinstance(model, yaml.MappingNode) and _text(_member(model, "name"))
        ]
    return found


def _written(pool: str, model: yaml.MappingNode) -> WrittenModel:
    names = [_text(_member(model, "upstreamName")), _text(_member(model, "name"))]
    flow = bool(model.flow_style) or any(
        value.start_mark.line != key.start_mark.line and isinstance(value, yaml.ScalarNode)
        for key, value in model.value
    )
    last = model.value[-1][1]
    end = last.end_mark
    # the end of a block lies at the beginning of what follows
    line = end.line if end.column or isinstance(last, yaml.ScalarNode) else end.line - 1
    return WrittenModel(
        pool,
        [name for name in names if name],
        frozenset(_text(key) or "" for key, _ in model.value),
        -1 if flow else _last_line(model, line),
        model.value[0][0].start_mark.column,
    )


def _last_line(model: yaml.MappingNode, line: int) -> int:
    """The last line that holds something of it."""
    lines = [model.start_mark.line]
    stack: list[yaml.Node] = [model]
    while stack:
        node = stack.pop()
        if isinstance(node, yaml.MappingNode):
            stack += [part for pair in node.value for part in pair]
        elif isinstance(node, yaml.SequenceNode):
            stack += node.value
        if isinstance(node, yaml.ScalarNode) or (isinstance(node, yaml.CollectionNode) and node.flow_style):
            lines.append(node.end_mark.line)
    return min(max(lines), line)


def _member(node: yaml.Node | None, name: str) -> yaml.Node | None:
    if not isinstance(node, yaml.MappingNode):
        return None
    return next((value for key, value in node.value if _text(key) == name), None)


def _text(node: yaml.Node | None) -> str | None:
    return node.value if isinstance(node, yaml.ScalarNode) else None


def as_yaml(facts: dict[str, Any], column: int) -> list[str]:
    """Facts as lines that stand at a column."""
    written = yaml.dump(facts, Dumper=_Quoting, sort_keys=False, indent=_INDENT, width=110)
    return [" " * column + line for line in written.splitlines()]


def added(text: str, wanted: list[tuple[WrittenModel, dict[str, Any]]]) -> str:
    """The file with facts behind what each model has."""
    lines = text.splitlines(keepends=True)
    for model, facts in sorted(wanted, key=lambda one: one[0].line, reverse=True):
        if not lines[model.line].endswith("\n"):
            lines[model.line] += "\n"
        lines[model.line + 1 : model.line + 1] = [line + "\n" for line in as_yaml(facts, model.column)]
    return "".join(lines)


class _Quoting(yaml.SafeDumper):
    """Writes decimal text in double quotes, and lists of names in one line, as examples do."""


def _string(dumper: yaml.SafeDumper, value: str) -> yaml.Node:
    style = '"' if value[:1].isdigit() else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


def _list(dumper: yaml.SafeDumper, value: list[Any]) -> yaml.Node:
    flow = all(isinstance(one, str) for one in value)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", value, flow_style=flow)


_Quoting.add_representer(str, _string)
_Quoting.add_representer(list, _list)
