"""One text of a streamed answer: what is held back of it, and an event that can carry it."""

from collections.abc import Generator, Iterator
from typing import Final

import orjson

from pilotage_extproc.content.answers.restoring import Restoring
from pilotage_extproc.content.answers.rules import FoundInAnswer
from pilotage_extproc.content.answers.skeleton import checked
from pilotage_extproc.content.answers.text_window import TextWindow
from pilotage_extproc.content.answers.work import AnswerWork
from pilotage_extproc.content.scan import TooMuchToCheckError
from pilotage_extproc.dialects.answers.parts import Part

_MOST_ARGUMENTS: Final = 1 << 20
"""Characters of one call."""


class Channel:
    """A text goes through a window; arguments of a tool are looked at when they are complete."""

    def __init__(self, part: Part, work: AnswerWork, found: FoundInAnswer) -> None:
        self.is_text = is_text = part is Part.TEXT
        self.began = False
        """Whether anything of it has come."""
        self._work = work
        self._found = found
        self._window = (
            TextWindow(work.rules, work.names, found) if is_text and work.rules is not None else None
        )
        self._whole = work.rules is not None and not is_text
        self._restoring = Restoring(work.originals) if is_text and work.originals else None
        self._arguments: list[str] = []
        self._size = 0
        self._carrier: tuple[bytes, bytes] | None = None

    def begin(self) -> None:
        """The first of it comes."""
        self.began = True

    def carried_by(self, before: bytes, after: bytes) -> None:
        """An event that goes it on: what stands before and behind the piece."""
        self._carrier = before, after

    def feed(self, said: str, into: list[str], *, last: bool = False) -> Iterator[None]:
        """Steps that put into `into` what may go on, once.

        Raises AnswerBlockedError, TooMuchToCheckError, StillThereError.
        """
        if self._whole:
            text = yield from self._complete(said, last=last)
        elif self._window is not None:
            released: list[str] = []
            yield from self._window.feed(said, released, last=last)
            text = "".join(released)
        else:
            text = said
        if self._restoring is not None:
            text = yield from self._restoring.steps(text, last=last)
        into.append(text)

    def _complete(self, said: str, *, last: bool) -> Generator[None, None, str]:
        self._arguments.append(said)
        self._size += len(said)
        if self._size > _MOST_ARGUMENTS:
            raise TooMuchToCheckError
        if not last:
            return ""
        text = "".join(self._arguments)
        self._arguments, self._size = [], 0
        rules = self._work.rules
        if not text or rules is None:
            return text
        into: list[bytes] = []
        yield from checked(
            b'{"arguments":%b}' % orjson.dumps(text), rules, self._work.names, self._found, into
        )
        return str(orjson.loads(into[0])["arguments"])

    def flush(self, out: list[bytes]) -> Iterator[None]:
        """Steps that put what is held back into `out`, in an event of its own."""
        into: list[str] = []
        yield from self.feed("", into, last=True)
        if into[0] and self._carrier is not None:
            before, after = self._carrier
            out.append(b"%b%b%b" % (before, orjson.dumps(into[0]), after))

    def given_up(self) -> str:
        """What is held back, as it came; what follows goes on as it comes."""
        held = "".join(self._arguments) + ("" if self._window is None else self._window.given_up())
        self._arguments, self._window, self._whole = [], None, False
        return held
