"""A response that is looked at as it passes: what of each message goes on, and how it ends."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from pilotage_extproc.content.answers.rules import AnswerBlockedError
from pilotage_extproc.content.answers.stream import StreamedAnswer
from pilotage_extproc.content.answers.whole import WholeAnswer
from pilotage_extproc.content.answers.work import AnswerCheck, AnswerWork
from pilotage_extproc.dialects.table import DIALECTS
from pilotage_extproc.domain.head import CallKind
from pilotage_extproc.domain.refusals import Refusal, RequestRefused
from pilotage_extproc.envoy import contract as names
from pilotage_extproc.envoy.ext_proc import messages
from pilotage_extproc.envoy.ext_proc.wire import field, string_value, struct_entry, struct_value
from pilotage_extproc.stages.turns import in_turns

_EVENTS: Final = "text/event-stream"
_JSON: Final = "application/json"
_DYNAMIC_METADATA: Final = 8
"""Field of ProcessingResponse."""


class AnswerFilter:
    """One response's."""

    def __init__(self, work: AnswerWork, room: Callable[[int], bool]) -> None:
        """`room` says whether so many bytes more may be held."""
        self._work = work
        self._room = room
        self._check: AnswerCheck | None = None
        self.ended = False
        """Whether it has been cut: nothing of the server's answer follows."""

    def begin(self, http_status: int, headers: Mapping[str, str]) -> bytes | None:
        """The headers have come; what the client gets instead of the response, or None."""
        content_type = headers.get("content-type", "").partition(";")[0].strip().lower()
        readable = "content-encoding" not in headers
        if readable and content_type == _EVENTS:
            self._check = StreamedAnswer(self._work)
        elif readable and (content_type == _JSON or content_type.endswith("+json")):
            self._check = WholeAnswer(self._work, http_status, self._room)
        elif self._work.rules is not None and self._work.rules.refuses:
            self.ended = True
            message = "The model server's answer cannot be checked: it is neither JSON nor an event stream."
            refused = RequestRefused(Refusal.ANSWER_NOT_CHECKED, message)
            return messages.immediate(
                refused.body(DIALECTS[self._work.kind].errors),
                http_status=http_status if http_status >= 400 else refused.reason.http_status,
                details=refused.reason.code,
            )
        return None

    def passed(self, chunk: bytes, out: list[bytes], *, last: bool) -> Awaitable[None] | None:
        """Put into `out` what goes on; an awaitable where that takes more than a millisecond."""
        if self._check is None:
            out.append(chunk)
            return None
        try:
            work = in_turns(self._check.feed(chunk, out, last=last), lambda: None)
        except AnswerBlockedError:
            self._cut(self._check, out)
            return None
        return None if work is None else self._finish(self._check, work, out)

    async def _finish(self, check: AnswerCheck, work: Awaitable[None], out: list[bytes]) -> None:
        try:
            await work
        except AnswerBlockedError:
            self._cut(check, out)

    def _cut(self, check: AnswerCheck, out: list[bytes]) -> None:
        out.append(check.filtered())
        self.ended = True

    def said(self) -> tuple[str, ...]:
        """What was found, `detector:action:count`."""
        found = () if self._check is None else self._check.found.said()
        return tuple([f"{kind}:{action}:{times}" for kind, action, times in found])

    def metadata(self) -> bytes:
        """The same, as a part of the last message to Envoy: for the access log; and that there was an end."""
        said = self.said()
        entry = b""
        if said:
            entry = struct_entry(names.ANSWER_CONTENT, string_value(",".join(said)))
        if self._work.kind is CallKind.RESPONSES:
            entry += struct_entry(names.ANSWER_READ, string_value(names.FLAG))
        if not entry:
            return b""
        return field(_DYNAMIC_METADATA, struct_entry(names.PILOTAGE_NAMESPACE, struct_value(entry)))
