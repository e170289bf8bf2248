"""An unstreamed answer: held until it is complete, and looked at as a whole."""

from collections.abc import Callable, Iterator
from typing import Any

import orjson

from pilotage_extproc.content.answers.restoring import Originals, Restoring
from pilotage_extproc.content.answers.skeleton import check_size, checked, is_string, marked, without
from pilotage_extproc.content.answers.work import AnswerWork
from pilotage_extproc.content.redaction import StillThereError
from pilotage_extproc.content.scan import TooMuchToCheckError
from pilotage_extproc.dialects.answers.endings import everything, filtered_answer
from pilotage_extproc.dialects.answers.leaves import Leaf
from pilotage_extproc.dialects.answers.parts import WHOLE, Part
from pilotage_extproc.dialects.splice import Edit, edited
from pilotage_extproc.dialects.table import DIALECTS
from pilotage_extproc.domain.refusals import Refusal, RequestRefused


class WholeAnswer:
    """One answer."""

    def __init__(
        self, work: AnswerWork, http_status: int, room: Callable[[int], bool] = lambda _bytes: True
    ) -> None:
        """`room` says whether so many bytes more may be held."""
        self.found = work.found()
        self._work = work
        self._is_error = http_status >= 400
        self._room = room
        self._held = bytearray()
        self._passes = False
        self._answer: dict[str, Any] = {}

    def feed(self, chunk: bytes, out: list[bytes], *, last: bool) -> Iterator[None]:
        """Hold it, and give it on with the last bytes. Raises AnswerBlockedError."""
        if not self._passes and not self._room(len(chunk)):
            self._cannot()
            self._passes = True
        self._held += chunk
        if self._passes:
            out.append(bytes(self._held))
            self._held.clear()
        if self._passes or not last:
            return
        body = bytes(self._held)
        self._held.clear()
        try:
            yield from self._whole(body, out)
        except (TooMuchToCheckError, StillThereError, ValueError, TypeError, LookupError):
            self._cannot()
            out.append(body)

    def _cannot(self) -> None:
        rules = self._work.rules
        self.found.unread(refuses=rules is not None and rules.refuses)

    def _whole(self, body: bytes, out: list[bytes]) -> Iterator[None]:
        if not body:
            return
        check_size(body)
        answer = orjson.loads(body)
        yield
        if isinstance(answer, dict):
            self._answer = answer
        rules = self._work.rules
        parts = {} if self._is_error else WHOLE[self._work.kind]
        all_marked: list[Leaf] = []
        yield from marked(body, parts, all_marked)
        edits: list[Edit] = []
        if rules is not None:
            echoes = [leaf for leaf in all_marked if parts[leaf.path] is Part.ECHO]
            repeated = [leaf for leaf in all_marked if parts[leaf.path] is Part.REPEATED]
            before = body
            body = without(body, [*echoes, *repeated], parts)
            into: list[bytes] = []
            yield from checked(body, rules, self._work.names, self.found, into)
            body = into[0]
            all_marked = []
            yield from marked(body, parts, all_marked)
            again = [leaf for leaf in all_marked if parts[leaf.path] is Part.ECHO]
            edits = [
                Edit(now.start, now.end, before[was.start : was.end])
                for now, was in zip(again, echoes, strict=True)
            ]
        if self._work.originals:
            for leaf in all_marked:
                if parts[leaf.path] is Part.TEXT:
                    yield from restored(body, leaf, self._work.originals, edits)
        out.append(edited(body, edits) if edits else body)

    def filtered(self) -> bytes:
        """The answer without its text, or an error."""
        kind, rules = self._work.kind, self._work.rules
        if not self._is_error:
            return filtered_answer(kind, self._answer, everything if rules is None else rules.passes)
        told = RequestRefused(Refusal.CONTENT_BLOCKED, "The answer holds what may not be shown.")
        return told.body(DIALECTS[kind].errors)


def restored(text: bytes, leaf: Leaf, originals: Originals, into: list[Edit]) -> Iterator[None]:
    """Steps that add the edit which puts values back in a string that is whole; none where it has none."""
    if not is_string(text, leaf) or text.find(b"[", leaf.start, leaf.end) < 0:
        return
    said = orjson.loads(text[leaf.start : leaf.end])
    with_values = yield from Restoring(originals).steps(said, last=True)
    if with_values != said:
        into.append(Edit(leaf.start, leaf.end, orjson.dumps(with_values)))
