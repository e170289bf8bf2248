"""Conditions of rules, ready to be evaluated: programs by their text, kept from one snapshot to the next."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, final

from pilotage_api.conditions import library
from pilotage_api.conditions.check import check
from pilotage_api.conditions.problems import ConditionError
from pilotage_api.conditions.rewrite import presence_of
from pilotage_api.conditions.variables import (
    MAX_ITEMS,
    MAX_LIST_TEXT,
    MAX_TEXT,
    VARIABLES,
    ValueType,
    header_of,
)
from pilotage_kube.turns import Turns


class _Unknown(Enum):
    UNKNOWN = "unknown"


UNKNOWN: Final = _Unknown.UNKNOWN
"""What a value is when nobody knows it; of a header, None is that the request has none."""

Values = Callable[[str], object]
"""Gives the value of a reading, such as `request.model` or `headers["x-user"]`, or `UNKNOWN`."""


class Reason(Enum):
    """Why a condition has no result."""

    MISSING_HEADER = "missing_header"
    """The result depends on a header that the request does not have."""
    UNKNOWN_VALUE = "unknown_value"
    TOO_LARGE = "too_large"
    """A value has more than 64 items, or more bytes than conditions read."""
    ERROR = "error"
    """An index out of range, a division by zero."""
    NOT_SUPPORTED = "not_supported"
    """The condition cannot be compiled here."""


@dataclass(slots=True, frozen=True)
class Verdict:
    """What a condition says of a request; holds no text of it."""

    holds: bool
    reason: Reason | None = None
    """Set where there is no result; the rule does not hold then."""
    about: tuple[str, ...] = ()
    """Readings that are to blame."""


HOLDS: Final = Verdict(holds=True)
DOES_NOT_HOLD: Final = Verdict(holds=False)


@final
class Condition:
    """One condition; evaluates in the time that `pilotage_api.conditions.cost` promises."""

    __slots__ = ("_headers", "_plain", "_program", "reads", "text")

    def __init__(self, text: str, reads: Iterable[str] = (), program: Any = None) -> None:
        """Without a program it never holds."""
        self.text = text
        self.reads: frozenset[str] = frozenset(reads)
        """What is asked for: see `Values`."""
        self._program = program
        self._headers = [
            (read, presence_of(header))
            for read in sorted(self.reads)
            if (header := header_of(read)) is not None
        ]
        self._plain = [(read, _check_of(read)) for read in sorted(self.reads) if header_of(read) is None]

    def holds(self, values: Values) -> Verdict:
        """Ask for each value once, and evaluate. Never raises for what the values are."""
        if self._program is None:
            return _NOT_COMPILED
        given: dict[str, object] = {}
        trouble: list[tuple[Reason, str]] = []
        for name, too_large in self._plain:
            value = values(name)
            if value is UNKNOWN:
                trouble.append((Reason.UNKNOWN_VALUE, name))
            elif too_large is not None and too_large(value):
                trouble.append((Reason.TOO_LARGE, name))
            else:
                given[name] = value
        for name, presence in self._headers:
            value = values(name)
            if value is UNKNOWN:
                trouble.append((Reason.UNKNOWN_VALUE, name))
                continue
            given[presence] = value is not None
            if value is None:
                trouble.append((Reason.MISSING_HEADER, name))
            elif _long_text(value):
                trouble.append((Reason.TOO_LARGE, name))
            else:
                given[name] = value
        return self._evaluated(given, trouble)

    def _evaluated(self, given: dict[str, object], trouble: list[tuple[Reason, str]]) -> Verdict:
        try:
            result = self._program.eval(data=given).value()
        except (RuntimeError, TypeError, ValueError):
            result = None  # a value that is no Unicode text
        if result is True:
            return HOLDS
        if result is False:
            return DOES_NOT_HOLD
        if not trouble:
            return Verdict(holds=False, reason=Reason.ERROR)
        reason = trouble[0][0]
        return Verdict(
            holds=False, reason=reason, about=tuple(name for why, name in trouble if why is reason)
        )


_NOT_COMPILED: Final = Verdict(holds=False, reason=Reason.NOT_SUPPORTED)


class Conditions:
    """All conditions of the snapshot in use."""

    def __init__(self) -> None:
        self._kept: dict[str, Condition] = {}

    async def compile(self, texts: Iterable[str]) -> Mapping[str, Condition]:
        """A condition for each text. Those of the call before are kept, what is not asked for is forgotten.

        Compiles in turns and evaluates each new one once: the first evaluation takes ten times as long.
        """
        turns = Turns()
        made: dict[str, Condition] = {}
        for text in texts:
            if text not in made:
                made[text] = self._kept.get(text) or condition_of(text)
                await turns.give()
        self._kept = made
        return made


def condition_of(text: str) -> Condition:
    """Compile one condition of a snapshot; a text that cannot be compiled here gives one that never holds."""
    try:
        checked = check(text)
    except ConditionError:
        return Condition(text)
    program = library.program(checked.program)
    program.eval(data={})
    return Condition(text, checked.reads, program)


def _check_of(read: str) -> "Callable[[Any], bool] | None":
    """What says that a value of this reading is larger than conditions read."""
    variable = VARIABLES.get(read)
    if variable is None:
        return None
    return {ValueType.STRING: _long_text, ValueType.STRINGS: _long_list}.get(variable.type)


def _long_text(text: Any) -> bool:
    return len(text) > MAX_TEXT or (not text.isascii() and len(text.encode(errors="replace")) > MAX_TEXT)


def _long_list(texts: Any) -> bool:
    if len(texts) > MAX_ITEMS or any(map(_long_text, texts)):
        return True
    return _bytes("".join(texts)) > MAX_LIST_TEXT


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode(errors="replace"))
