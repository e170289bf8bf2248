"""What is done about one request's answer."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Protocol

from pilotage_extproc.content.answers.restoring import Originals
from pilotage_extproc.content.answers.rules import AnswerRules, FoundInAnswer
from pilotage_extproc.content.placeholders import Placeholders
from pilotage_extproc.domain.head import CallKind

NO_ORIGINALS: Final = Originals({})


@dataclass(slots=True, frozen=True)
class AnswerWork:
    """The rules that hold for an answer, and what may come back in it."""

    kind: CallKind
    rules: AnswerRules | None
    names: Placeholders
    originals: Originals = NO_ORIGINALS

    def found(self) -> FoundInAnswer:
        """What will be found in it."""
        return FoundInAnswer({} if self.rules is None else self.rules.actions)


class AnswerCheck(Protocol):
    """Looks at one answer as it passes."""

    found: FoundInAnswer

    def feed(self, chunk: bytes, out: list[bytes], *, last: bool) -> Iterator[None]:
        """Steps that put into `out` what goes on, behind the next bytes of its body.

        Raises AnswerBlockedError, once: then `filtered` is what comes instead of all that would follow.
        """

    def filtered(self) -> bytes:
        """How it ends where it may not go on."""
