"""A condition's text, parsed, restricted and type-checked."""

import re
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from typing import Any, Final

from pilotage_api.conditions import library
from pilotage_api.conditions.problems import NOT_SUPPORTED, ConditionError, ConditionProblem
from pilotage_api.conditions.reader import KeywordsUse, PoolUse, Reader, Reading
from pilotage_api.conditions.rewrite import flatten, joins, same_as
from pilotage_api.conditions.variables import VARIABLES, keywords_read, pool_read

_NO_OVERLOAD: Final = re.compile(r"found no matching overload for '(.+)' applied to '\((.*)\)'")
_OPERATOR: Final = re.compile(r"_?([^_@]+)_?")


@dataclass(slots=True, frozen=True)
class Checked:
    """A condition that can be evaluated."""

    text: str
    """With the full names of pools and of sets of keywords."""
    reads: tuple[str, ...]
    """Sorted: variables, `headers["name"]`, `poolReady("namespace/name")`."""
    pools: tuple[PoolUse, ...]
    keywords: tuple[KeywordsUse, ...]
    program: bytes
    """For `library.program()`; takes a value for each of `reads`, see `rewrite`."""
    constant: bool | None
    """Its value where that depends on nothing it reads, else None."""
    same_as: bytes
    """Equal for conditions that say the same."""
    cost_ns: float
    """Most time an evaluation takes, estimated."""


def check(text: str, namespace: str = "default", policy: str = "policy") -> Checked:
    """Check a text; raises `ConditionError` with positions.

    Pools without a namespace are of that one, sets of keywords without a policy of that policy.
    """
    found = _known(text, namespace, policy)
    if isinstance(found, tuple):
        raise ConditionError(found)
    return found


@lru_cache(maxsize=4096)
def _known(text: str, namespace: str, policy: str) -> Checked | tuple[ConditionProblem, ...]:
    """Resources are compiled again at every edit; what was found of a text stays true."""
    try:
        return _check(text, namespace, policy)
    except ConditionError as error:
        return error.problems


def _check(text: str, namespace: str, policy: str) -> Checked:
    if not library.available():
        raise ConditionError([_unsupported()])

    def resolve(pool: str) -> str:
        return pool if "/" in pool else f"{namespace}/{pool}"

    def resolve_set(name: str) -> str:
        return name if "/" in name else f"{namespace}/{policy}/{name}"

    reader, reading = _read(text)
    checked, kind = _typed(text)
    for node in joins(checked):
        line, column = reader.place(int(checked.source_info.positions.get(node, 0)))
        message, fix = "+ joins no texts and lists here", "compare the parts one by one"
        raise ConditionError([ConditionProblem(message, fix, line, column)])
    if kind != "BOOL":
        message = f"is a value of type {kind.lower()}, not true or false"
        raise ConditionError([ConditionProblem(message, "compare it with something")])
    flatten(checked, resolve, resolve_set)
    program = library.packed(checked)
    reads = reading.reads | {pool_read(one.function, resolve(one.pool)) for one in reading.pools}
    reads |= {keywords_read(resolve_set(one.name)) for one in reading.keywords}
    constant = _constant(program)
    if constant is None and not reads:
        raise ConditionError([ConditionProblem("fails whatever the request is", "compare with a variable")])
    return Checked(
        text=_resolved(
            text,
            [
                *((one.begin, one.pool, resolve(one.pool)) for one in reading.pools),
                *((one.begin, one.name, resolve_set(one.name)) for one in reading.keywords),
            ],
        ),
        reads=tuple(sorted(reads)),
        pools=tuple(reading.pools),
        keywords=tuple(reading.keywords),
        program=program,
        constant=constant,
        same_as=same_as(checked),
        cost_ns=reading.cost_ns,
    )


def _unsupported() -> ConditionProblem:
    fix = "remove `when`, or run on another platform"
    return ConditionProblem(library.NOT_AVAILABLE, fix, code=NOT_SUPPORTED)


def _read(text: str) -> tuple[Reader, Reading]:
    try:
        parsed = library.parsed(text)
    except UnicodeError:
        raise ConditionError([ConditionProblem("is no Unicode text", "correct it")]) from None
    except library.LibraryError as error:
        raise ConditionError([_worded(one) for one in error.complaints[:1]]) from None
    reader = Reader(text, parsed)
    reading = reader.read(parsed.expr)
    if reading.problems:
        raise ConditionError(reading.problems)
    return reader, reading


def _typed(text: str) -> tuple[Any, str]:
    try:
        return library.checked(text)
    except library.LibraryError as error:
        raise ConditionError([_worded(one) for one in error.complaints[:4]]) from None


def _worded(complaint: library.Complaint) -> ConditionProblem:
    place = complaint.line, complaint.column
    overload = _NO_OVERLOAD.match(complaint.text)
    if overload is not None:
        function, types = overload[1], overload[2]
        operator = _OPERATOR.fullmatch(function)
        shown = operator[1] if operator and function[0] in "_!-@" else function
        fix = "compare values of one type"
        if {"double", "int"} <= set(types.split(", ")):
            fix = "write the number as a double, such as 1.0, or convert with double()"
        return ConditionProblem(f"{shown!r} does not take ({types})", fix, *place)
    text = complaint.text.partition(" expecting ")[0]
    if "recursion" in text:
        return ConditionProblem("is nested too deeply", "split it into several rules")
    near = get_close_matches(text.rpartition(" ")[2].strip("'"), VARIABLES, n=1)
    return ConditionProblem(text, f"did you mean {near[0]!r}?" if near else "correct it", *place)


def _constant(program: bytes) -> bool | None:
    """An evaluation without any value has a result only where none matters."""
    result = library.program(program).eval(data={})
    value = result.value()
    return value if isinstance(value, bool) else None


def _resolved(text: str, names: list[tuple[int, str, str]]) -> str:
    """The text with names written in full: (where the literal begins, name, full name)."""
    for literal, name, full in sorted(names, reverse=True):
        begin = literal + 1
        text = text[:begin] + full + text[begin + len(name) :]
    return text
