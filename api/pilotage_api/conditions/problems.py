"""What is wrong with a condition, and where."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

INVALID: Final = "invalid-condition"
CREDENTIAL: Final = "credential-header"
NOT_SUPPORTED: Final = "not-supported"


@dataclass(slots=True, frozen=True)
class ConditionProblem:
    """One thing wrong with the text of a condition."""

    message: str
    fix: str
    line: int = 1
    """From 1, in the text of the condition."""
    column: int = 1
    """In characters, from 1."""
    code: str = INVALID

    def __str__(self) -> str:
        return f"line {self.line}, column {self.column}: {self.message}"


class ConditionError(Exception):
    """A text that is no condition; has at least one problem."""

    def __init__(self, problems: Sequence[ConditionProblem]) -> None:
        super().__init__("; ".join(str(one) for one in problems))
        self.problems = tuple(problems)
