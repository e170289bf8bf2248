"""The CEL library, loaded when the first condition is, and the environment conditions are typed in."""

import re
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import Any, Final

from pilotage_api.conditions.globs import glob
from pilotage_api.conditions.variables import HEADERS, KEYWORDS, POOL_FUNCTIONS, VARIABLES, ValueType

_PACKAGE: Final = "cel_expr_python"
_ERROR: Final = re.compile(r"ERROR: <input>:(\d+):(\d+): (.*)")
NOT_AVAILABLE: Final = (
    "conditions need the package cel-expr-python, which has no build for this platform "
    "(there are builds for Linux and macOS on x86-64 and arm64, and for Windows on x86-64)"
)


@dataclass(slots=True, frozen=True)
class Complaint:
    """An error as the library words it; line and column count from 1."""

    text: str
    line: int = 1
    column: int = 1


class LibraryError(Exception):
    """The library takes no such expression."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        found = [Complaint(said, int(line), int(column)) for line, column, said in _ERROR.findall(text)]
        self.complaints = found or [Complaint(text.partition(" [")[0])]


def available() -> bool:
    """Whether this platform has the library."""
    return find_spec(_PACKAGE) is not None


@cache
def environment() -> Any:
    """All variables and functions, typed: a `cel.Env`."""
    from cel_expr_python import cel  # noqa: PLC0415 (14 MB that only conditions need)

    types = {
        ValueType.BOOL: cel.Type.BOOL,
        ValueType.INT: cel.Type.INT,
        ValueType.DOUBLE: cel.Type.DOUBLE,
        ValueType.STRING: cel.Type.STRING,
        ValueType.STRINGS: cel.Type.List(cel.Type.STRING),
    }
    text = cel.Type.STRING
    variables = {one.name: types[one.type] for one in VARIABLES.values()}
    variables[HEADERS] = cel.Type.Map(text, text)
    functions = [
        cel.FunctionDecl(
            one.name,
            [cel.Overload(f"{one.name}_pool", return_type=types[one.type], parameters=[text])],
        )
        for one in POOL_FUNCTIONS.values()
    ]
    named = cel.Overload("prompt_keywords_set", return_type=cel.Type.BOOL, parameters=[text])
    functions.append(cel.FunctionDecl(KEYWORDS, [named]))
    matching = cel.Overload("glob_text", return_type=cel.Type.BOOL, parameters=[text, text], impl=glob)
    functions.append(cel.FunctionDecl("glob", [matching]))
    return cel.NewEnv(variables=variables, functions=functions)


def parsed(text: str) -> Any:
    """The `cel.expr.ParsedExpr` of a text; raises `LibraryError` or `UnicodeError`."""
    from cel.expr import syntax_pb2  # noqa: PLC0415

    return _unpacked(_compiled(text, unchecked=True), syntax_pb2.ParsedExpr())


def checked(text: str) -> tuple[Any, str]:
    """The `cel.expr.CheckedExpr` of a text and the name of its type; raises `LibraryError`."""
    from cel.expr import checked_pb2  # noqa: PLC0415

    expression = _compiled(text, unchecked=False)
    return _unpacked(expression, checked_pb2.CheckedExpr()), str(expression.return_type().name())


def packed(expression: Any) -> bytes:
    """A `CheckedExpr` as `program()` takes it."""
    from google.protobuf import any_pb2  # noqa: PLC0415

    whole = any_pb2.Any()
    whole.Pack(expression)
    return bytes(whole.SerializeToString())


def program(serialized: bytes) -> Any:
    """What `packed()` made, ready to be evaluated: a `cel.Expression`."""
    return environment().deserialize(serialized)


def _compiled(text: str, *, unchecked: bool) -> Any:
    text.encode()  # raises UnicodeError
    try:
        return environment().compile(text, unchecked)
    except RuntimeError as error:
        raise LibraryError(str(error)) from None


def _unpacked(expression: Any, message: Any) -> Any:
    from google.protobuf import any_pb2  # noqa: PLC0415

    message.ParseFromString(any_pb2.Any.FromString(expression.serialize()).value)
    return message
