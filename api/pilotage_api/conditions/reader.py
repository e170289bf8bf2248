"""Reads a parsed condition: what it uses, what it costs, and what of it is refused."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Final

from pilotage_api.conditions import cost
from pilotage_api.conditions.globs import MAX_GLOB, glob_problem
from pilotage_api.conditions.problems import CREDENTIAL, INVALID, ConditionProblem
from pilotage_api.conditions.variables import (
    HEADERS,
    KEYWORDS,
    MAX_ITEMS,
    MAX_TEXT,
    POOL_FUNCTIONS,
    VARIABLES,
    ValueType,
    header_read,
)
from pilotage_api.credentials import is_credential

MAX_NODES: Final = 400
MAX_DEPTH: Final = 40
MAX_READS: Final = 24
_MAX_PROBLEMS: Final = 8
_MAX_WANTED: Final = MAX_GLOB

_COMPARISONS: Final = frozenset({"_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_"})
_ARITHMETIC: Final = frozenset({"_+_", "_-_", "_*_", "_/_", "_%_", "-_"})
_LOGIC: Final = frozenset({"_&&_", "_||_", "!_", "_?_:_"})
_OPERATORS: Final = _COMPARISONS | _ARITHMETIC | _LOGIC | {"@in", "_[_]"}
_FUNCTIONS: Final = {
    "size": "size(text or list)",
    "startsWith": "text.startsWith('…')",
    "endsWith": "text.endsWith('…')",
    "contains": "text.contains('…')",
    "int": "int(double)",
    "double": "double(int)",
    "glob": "glob(text, 'pattern')",
    KEYWORDS: f"{KEYWORDS}('set')",
    **{name: f"{name}('pool')" for name in POOL_FUNCTIONS},
}
_METHODS: Final = frozenset({"startsWith", "endsWith", "contains"})
_INSTEAD: Final = {
    "matches": "regular expressions are not available: use glob(text, 'pattern'), startsWith or endsWith",
    "map": "use exists, all or exists_one",
    "filter": "use exists, all or exists_one",
    "has": f'write "name" in {HEADERS}',
}
_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,256}")
_KEYWORDS_NAME: Final = re.compile(
    r"([a-z0-9]([-a-z0-9]*[a-z0-9])?/[a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[a-z0-9]([-a-z0-9]*[a-z0-9])?"
)
_POOL_NAME: Final = re.compile(r"([a-z0-9]([-a-z0-9]*[a-z0-9])?/)?[a-z0-9]([-a-z0-9.]*[a-z0-9])?")


@dataclass(slots=True, frozen=True)
class PoolUse:
    """A pool that a condition names."""

    function: str
    pool: str
    """As written: `name` or `namespace/name`."""
    line: int
    column: int
    begin: int
    """Where the literal begins in the text, in characters; its quote included."""


@dataclass(slots=True, frozen=True)
class KeywordsUse:
    """A set of keywords that a condition names."""

    name: str
    """As written: `set`, or `namespace/policy/set`."""
    line: int
    column: int
    begin: int
    """As `PoolUse.begin`."""


@dataclass(slots=True)
class Reading:
    """What was found in one condition."""

    reads: set[str] = field(default_factory=set)
    """Variables and headers; of pools see `pools`."""
    pools: list[PoolUse] = field(default_factory=list)
    keywords: list[KeywordsUse] = field(default_factory=list)
    problems: list[ConditionProblem] = field(default_factory=list)
    cost_ns: float = 0.0


@dataclass(slots=True, frozen=True)
class _Loop:
    variable: str
    text: int
    """Bytes of an item, on average."""
    turns: int


@dataclass(slots=True, frozen=True)
class _Size:
    """Most bytes a text has; of a list, its items."""

    text: int = 0
    items: int = 0


class Reader:
    """Walks one parsed expression."""

    def __init__(self, text: str, parsed: Any) -> None:
        self._text = text
        self._positions = dict(parsed.source_info.positions)
        self._loop: _Loop | None = None
        self._times = 1
        self._nodes = 0
        self._depth = 0
        self._visits: dict[str, Callable[[Any], _Size]] = {
            "const_expr": self._literal,
            "ident_expr": self._name,
            "select_expr": self._name,
            "call_expr": self._call,
            "list_expr": self._list,
            "comprehension_expr": self._comprehension,
        }
        self.found = Reading(cost_ns=cost.START_NS)

    def read(self, expression: Any) -> Reading:
        """All that is in the expression."""
        self._visit(expression)
        found = self.found
        if self._nodes > MAX_NODES:
            self._refuse(0, f"has more than {MAX_NODES} parts", "split it into several rules")
        named = {(one.function, one.pool) for one in found.pools} | {one.name for one in found.keywords}
        if len(found.reads) + len(named) > MAX_READS:
            self._refuse(0, f"reads more than {MAX_READS} values", "split it into several rules")
        lists = {name for name in found.reads if _is_list(name)}
        found.cost_ns += len(lists) * cost.BIND_LIST_NS
        found.cost_ns += (len(found.reads) + len(found.pools) + len(found.keywords)) * cost.BIND_NS
        if not found.problems and found.cost_ns > cost.LIMIT_NS:
            message = (
                f"could take {found.cost_ns / 1000:.0f} µs for one request; the most is "
                f"{cost.LIMIT_NS / 1000:.0f} µs"
            )
            self._refuse(0, message, "use fewer loops and searches, or split it into several rules")
        return found

    def place(self, offset: int) -> tuple[int, int]:
        """Line and column of a character, from 1."""
        before = self._text[:offset]
        return before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1

    def _refuse(self, offset: int, message: str, fix: str, code: str = INVALID) -> _Size:
        if len(self.found.problems) < _MAX_PROBLEMS:
            line, column = self.place(offset)
            self.found.problems.append(ConditionProblem(message, fix, line, column, code))
        return _Size()

    def _charge(self, nanoseconds: float) -> None:
        self.found.cost_ns += nanoseconds * self._times

    def _at(self, node: Any) -> int:
        return int(self._positions.get(node.id, 0))

    def _visit(self, node: Any) -> _Size:
        self._nodes += 1
        self._charge(cost.NODE_NS)
        if self._nodes > MAX_NODES:
            return _Size()  # told once, at the end
        visit = self._visits.get(node.WhichOneof("expr_kind"))
        if visit is None:
            fix = "compare values one by one"
            return self._refuse(self._at(node), "maps and messages are not available", fix)
        if self._depth >= MAX_DEPTH:
            self._nodes = MAX_NODES  # what is below is not looked at
            return self._refuse(self._at(node), "is nested too deeply", "split it into several rules")
        self._depth += 1
        size = visit(node)
        self._depth -= 1
        return size

    def _literal(self, node: Any) -> _Size:
        kind = node.const_expr.WhichOneof("constant_kind")
        if kind == "string_value":
            size = len(node.const_expr.string_value.encode())
            if size > MAX_TEXT:
                fix = "compare with something shorter"
                return self._refuse(self._at(node), f"a text is longer than {MAX_TEXT} bytes", fix)
            return _Size(size)
        if kind not in ("bool_value", "int64_value", "double_value"):
            word = "null" if kind == "null_value" else "a literal of this type"
            return self._refuse(self._at(node), f"nothing is {word}", "compare with text, a number or true")
        return _Size()

    def _name(self, node: Any) -> _Size:
        names, current = [], node
        while current.WhichOneof("expr_kind") == "select_expr":
            if current.select_expr.test_only:
                return self._refuse(self._at(current), "has() is not available", _INSTEAD["has"])
            names.append(current.select_expr.field)
            current = current.select_expr.operand
        if current.WhichOneof("expr_kind") != "ident_expr":
            self._visit(current)
            return self._refuse(self._at(node), f"{names[-1]!r} is no field of this", "remove it")
        name, at = ".".join([current.ident_expr.name, *reversed(names)]), self._at(current)
        loop = self._loop
        if loop is not None and name == loop.variable:
            return _Size(loop.text)
        variable = VARIABLES.get(name)
        if variable is not None:
            self.found.reads.add(name)
            if variable.type is ValueType.STRINGS:
                return _Size(0, MAX_ITEMS)
            return _Size(MAX_TEXT if variable.type is ValueType.STRING else 0)
        return self._unknown(name, at)

    def _unknown(self, name: str, at: int) -> _Size:
        first, _, rest = name.partition(".")
        if first == HEADERS:
            fix = f'write {HEADERS}["{rest or "x-user"}"], or "{rest or "x-user"}" in {HEADERS}'
            return self._refuse(at, f"{HEADERS} are read one by one, by name", fix)
        if name.startswith(f"request.{HEADERS}"):
            return self._refuse(at, f"unknown variable {name!r}", f'write {HEADERS}["…"]')
        near = get_close_matches(name[:64], (*VARIABLES, HEADERS), n=1, cutoff=0.5)
        fix = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(VARIABLES)}"
        return self._refuse(at, f"unknown variable {name[:64]!r}", fix)

    def _call(self, node: Any) -> _Size:
        call = node.call_expr
        if f"{call.target.ident_expr.name}.{call.function}" == KEYWORDS:
            return self._keywords(list(call.args), self._at(node))
        arguments = [call.target, *call.args] if call.HasField("target") else list(call.args)
        if call.function in _OPERATORS:
            header = self._header(call.function, arguments) if call.function in ("_[_]", "@in") else None
            return header or self._operator(call.function, [self._visit(one) for one in arguments])
        return self._function(call.function, arguments, method=call.HasField("target"), at=self._at(node))

    def _function(self, function: str, arguments: list[Any], *, method: bool, at: int) -> _Size:
        at = max(0, at - len(function))  # what is known is the place of the bracket
        if function not in _FUNCTIONS:
            near = get_close_matches(function[:64], (*_FUNCTIONS, "exists", "all", "exists_one"), n=1)
            fix = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(_FUNCTIONS)}"
            return self._refuse(at, f"{function[:64]!r} is not available", _INSTEAD.get(function, fix))
        wanted = 2 if function in _METHODS or function == "glob" else 1
        if len(arguments) != wanted or (method and function != "size") != (function in _METHODS):
            return self._refuse(at, f"{function!r} is not called so", f"write {_FUNCTIONS[function]}")
        if function in POOL_FUNCTIONS:
            return self._pool(function, arguments[0], at)
        if function in ("glob", "contains"):
            return self._pattern(function, arguments[0], arguments[1])
        size = min(self._visit(one).text for one in arguments)
        self._charge(cost.count_ns(size) if function == "size" else cost.compare_ns(size))
        return _Size()

    def _operator(self, function: str, sizes: list[_Size]) -> _Size:
        if function in _COMPARISONS:
            items = min(one.items for one in sizes)
            texts = [one.text for one in sizes]
            self._charge(items * (cost.ITEM_NS + cost.compare_ns(cost.ITEM_TEXT)))
            self._charge(cost.compare_ns(min(texts)))
        elif function == "@in":
            one, among = sizes
            self._charge(among.items * (cost.ITEM_NS + cost.compare_ns(min(one.text, cost.ITEM_TEXT))))
        elif function == "_[_]":
            return _Size(MAX_TEXT)
        elif function == "_?_:_":
            return _Size(max(one.text for one in sizes), max(one.items for one in sizes))
        return _Size()

    def _header(self, function: str, arguments: list[Any]) -> _Size | None:
        """A header by name, or whether there is one; None where something else is meant."""
        holder, name = arguments if function == "_[_]" else reversed(arguments)
        if holder.WhichOneof("expr_kind") != "ident_expr" or holder.ident_expr.name != HEADERS:
            return None
        at = self._at(name)
        if name.const_expr.WhichOneof("constant_kind") != "string_value":
            return self._refuse(at, "the name of a header is a literal", f'write {HEADERS}["x-user"]')
        header = name.const_expr.string_value
        if not _HEADER_NAME.fullmatch(header):
            return self._refuse(at, f"{header[:64]!r} is no header's name", "correct it")
        if is_credential(header.lower()):
            message = f"{header!r} holds credentials, which conditions cannot read"
            return self._refuse(at, message, "use a header of your own", CREDENTIAL)
        self.found.reads.add(header_read(header))
        return _Size(MAX_TEXT)

    def _pool(self, function: str, argument: Any, at: int) -> _Size:
        if argument.const_expr.WhichOneof("constant_kind") != "string_value":
            return self._refuse(at, "the name of a pool is a literal", f"write {function}('pool')")
        pool, begin = argument.const_expr.string_value, self._at(argument)
        literal = self._text[begin : begin + len(pool) + 2]
        if not _POOL_NAME.fullmatch(pool) or literal[1:-1] != pool or literal[0] not in "'\"":
            fix = "write 'name' or 'namespace/name'"
            return self._refuse(begin, f"{pool[:64]!r} is no pool's name", fix)
        self.found.pools.append(PoolUse(function, pool, *self.place(begin), begin))
        return _Size()

    def _keywords(self, arguments: list[Any], at: int) -> _Size:
        """Which set is looked for; whether there is one, the policy knows."""
        at = max(0, at - len(KEYWORDS))
        if len(arguments) != 1 or arguments[0].const_expr.WhichOneof("constant_kind") != "string_value":
            return self._refuse(
                at, "the name of a set of keywords is a literal", f"write {_FUNCTIONS[KEYWORDS]}"
            )
        name, begin = arguments[0].const_expr.string_value, self._at(arguments[0])
        literal = self._text[begin : begin + len(name) + 2]
        if not _KEYWORDS_NAME.fullmatch(name) or literal[1:-1] != name or literal[0] not in "'\"":
            fix = "write the name of a set in `keywords` of the policy"
            return self._refuse(begin, f"{name[:64]!r} is no name of a set of keywords", fix)
        self.found.keywords.append(KeywordsUse(name, *self.place(begin), begin))
        return _Size()

    def _pattern(self, function: str, text: Any, pattern: Any) -> _Size:
        size = self._visit(text)
        at = self._at(pattern)
        if pattern.const_expr.WhichOneof("constant_kind") != "string_value":
            return self._refuse(at, f"{function} takes a literal", f"write {_FUNCTIONS[function]}")
        wanted = pattern.const_expr.string_value
        self._visit(pattern)
        if function == "glob":
            problem = glob_problem(wanted)
            if problem is not None:
                return self._refuse(at, f"the pattern {problem}", "use a simpler one, or several")
            self._charge(cost.glob_ns(size.text, wanted))
        elif len(wanted.encode()) > _MAX_WANTED:
            fix = "search for something shorter"
            return self._refuse(at, f"contains takes at most {_MAX_WANTED} bytes", fix)
        else:
            self._charge(cost.search_ns(size.text, len(wanted.encode())))
        return _Size()

    def _list(self, node: Any) -> _Size:
        items = list(node.list_expr.elements)
        if len(items) > MAX_ITEMS:
            message = f"a list has more than {MAX_ITEMS} items"
            return self._refuse(self._at(node), message, "use a pattern, or several rules")
        kinds = {one.const_expr.WhichOneof("constant_kind") for one in items}
        if len(kinds) > 1 or None in kinds:
            return self._refuse(self._at(node), "a list has literals of one type", "write such literals only")
        return _Size(max((self._visit(one).text for one in items), default=0), len(items))

    def _comprehension(self, node: Any) -> _Size:
        found, at = node.comprehension_expr, self._at(node)
        body = _body(found)
        if body is None:
            return self._refuse(at, "map and filter are not available", _INSTEAD["map"])
        if self._loop is not None:
            message = "loops cannot stand in loops"
            return self._refuse(at, message, "use in for one of them, or several rules")
        over = self._visit(found.iter_range)
        turns = over.items or MAX_ITEMS
        self._loop, self._times = _Loop(found.iter_var, over.text or cost.ITEM_TEXT, turns), turns
        self._charge(cost.TURN_NS)
        self._visit(body)
        self._loop, self._times = None, 1
        return _Size()


def _body(found: Any) -> Any:
    """What exists, all or exists_one ask of each item; None of other macros."""
    step = found.loop_step.call_expr
    kind = found.accu_init.const_expr.WhichOneof("constant_kind")
    if kind == "bool_value" and step.function in ("_||_", "_&&_"):
        return step.args[1]
    if kind == "int64_value" and step.function == "_?_:_":
        return step.args[0]
    return None


def _is_list(name: str) -> bool:
    variable = VARIABLES.get(name)
    return variable is not None and variable.type is ValueType.STRINGS
