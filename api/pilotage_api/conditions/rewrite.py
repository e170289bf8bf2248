"""A checked condition made cheap to evaluate.

Each header and each pool's figure becomes a variable of its own, so that a program is given flat values of
just what it reads: a map of all headers, or a call back into Python for each pool, would cost more than the
rest of the evaluation. Globs that are a prefix, a suffix or a search become just that.
"""

from collections.abc import Callable
from typing import Any, Final

from pilotage_api.conditions.cost import simple
from pilotage_api.conditions.variables import (
    HEADERS,
    KEYWORDS,
    POOL_FUNCTIONS,
    header_read,
    keywords_read,
    pool_read,
)

_LISTS: Final = frozenset({"add_list", "add_string", "add_bytes"})


def presence_of(header: str) -> str:
    """The variable that says whether there is a header."""
    return f'"{header.lower()}" in {HEADERS}'


def flatten(checked: Any, resolve: Callable[[str], str], resolve_set: Callable[[str], str]) -> None:
    """Rewrite in place; `resolve` makes a pool's full name, `resolve_set` that of a set of keywords."""
    for node in reversed(_nodes(checked.expr)):  # what is below first: a glob takes its text along
        if node.WhichOneof("expr_kind") != "call_expr":
            continue
        if node.call_expr.function == "glob":
            _lower(node, checked.reference_map[node.id])
            continue
        name = _flat_name(node.call_expr, resolve, resolve_set)
        if name is not None:
            node.ClearField("call_expr")
            node.ident_expr.name = name
            reference = checked.reference_map[node.id]
            reference.Clear()
            reference.name = name


def joins(checked: Any) -> list[int]:
    """Ids of all calls of + that join texts or lists."""
    references = checked.reference_map
    return [
        node.id
        for node in _nodes(checked.expr)
        if node.call_expr.function == "_+_" and _LISTS.intersection(references[node.id].overload_id)
    ]


def same_as(checked: Any) -> bytes:
    """Equal for two conditions that say the same, however they are spaced."""
    plain = type(checked.expr)()
    plain.CopyFrom(checked.expr)
    for node in _nodes(plain):
        node.id = 0
    return bytes(plain.SerializeToString(deterministic=True))


def _lower(node: Any, reference: Any) -> None:
    """Make a simple glob the function it is."""
    pattern = node.call_expr.args[1].const_expr.string_value
    if not simple(pattern):
        return
    pieces = pattern.split("*")
    if len(pieces) == 1:
        function, overload = "_==_", "equals"
    elif len(pieces) == 3:
        function, overload = "contains", "contains_string"
    elif not pieces[1]:
        function, overload = "startsWith", "starts_with_string"
    else:
        function, overload = "endsWith", "ends_with_string"
    call = node.call_expr
    call.function = function
    call.args[1].const_expr.string_value = "".join(pieces)
    if function != "_==_":
        call.target.CopyFrom(call.args[0])
        del call.args[0]
    reference.Clear()
    reference.overload_id.append(overload)


def _flat_name(call: Any, resolve: Callable[[str], str], resolve_set: Callable[[str], str]) -> str | None:
    if call.function == KEYWORDS:
        return keywords_read(resolve_set(call.args[0].const_expr.string_value))
    if call.function in POOL_FUNCTIONS:
        return pool_read(call.function, resolve(call.args[0].const_expr.string_value))
    if call.function == "_[_]" and call.args[0].ident_expr.name == HEADERS:
        return header_read(call.args[1].const_expr.string_value)
    if call.function == "@in" and call.args[1].ident_expr.name == HEADERS:
        return presence_of(call.args[0].const_expr.string_value)
    return None


def _nodes(expression: Any) -> list[Any]:
    """All nodes, each before those below it."""
    found, rest = [], [expression]
    while rest:
        node = rest.pop()
        found.append(node)
        kind = node.WhichOneof("expr_kind")
        if kind == "call_expr":
            rest += node.call_expr.args
            if node.call_expr.HasField("target"):
                rest.append(node.call_expr.target)
        elif kind == "list_expr":
            rest += node.list_expr.elements
        elif kind == "comprehension_expr":
            loop = node.comprehension_expr
            rest += (loop.iter_range, loop.accu_init, loop.loop_condition, loop.loop_step, loop.result)
        elif kind == "select_expr":
            rest.append(node.select_expr.operand)
    return found
