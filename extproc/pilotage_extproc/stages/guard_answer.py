"""Answers that are looked at or changed: decided with the request, done as they pass."""

from typing import ClassVar, Final

from pilotage_extproc.content.answers.restoring import Originals
from pilotage_extproc.content.answers.rules import AnswerRules
from pilotage_extproc.content.answers.work import AnswerWork
from pilotage_extproc.dialects.answers.parts import WHOLE
from pilotage_extproc.domain.head import CallKind
from pilotage_extproc.domain.refusals import Refusal, RequestRefused
from pilotage_extproc.request.exchange import Exchange
from pilotage_extproc.request.stage import Step
from pilotage_extproc.stages.placeholders import placeholders_of

_STEP: Final = "answer"
_WITH_TEXT: Final = frozenset((*WHOLE, CallKind.TRANSCRIPTIONS, CallKind.TRANSLATIONS))
"""Calls whose answers hold what a model wrote."""
_STORED: Final = CallKind.RESPONSE_OBJECT
"""Reads what a model wrote before: for one whose client left, or before a rule was there."""


class GuardAnswer(Step):
    """Keeps the rules on answers of a request's policy."""

    name: ClassVar[str] = _STEP

    def __init__(self, rules: AnswerRules | None, restored: frozenset[str], key: bytes) -> None:
        """`restored` are detectors whose values come back in the text; `key` keys placeholders."""
        self._rules = rules
        self._restored = restored
        self._key = key

    def apply(self, exchange: Exchange) -> None:
        """Say what is to be done. Raises RequestRefused where the answer could not be looked at."""
        kind, known = exchange.call.kind, exchange.answer
        exchange.answered_by(None)
        unread = exchange.call.forward_pool is not None
        stored = kind is _STORED
        if stored:
            kind = CallKind.RESPONSES
        if kind not in _WITH_TEXT and not unread:
            return
        if kind not in WHOLE or unread:
            self._cannot(exchange, Refusal.CONTENT_NOT_CHECKED, f"of {kind} is not looked at")
            return
        if not exchange.head.answer_passes:
            if exchange.head.envoy is None:
                why = "does not pass the picker: the gateway must send response bodies FULL_DUPLEX_STREAMED"
                self._cannot(exchange, Refusal.CONTENT_NOT_CHECKED, why)
            else:
                self._cannot(exchange, Refusal.OVERLOADED, "is asked for since a moment only")
            return
        if kind is CallKind.RESPONSES and exchange.document.members.get("background") not in (None, False):
            self._cannot(exchange, Refusal.CONTENT_NOT_CHECKED, "of a background response is fetched later")
            return
        names = placeholders_of(exchange, self._key, changes=not stored) if known is None else known.names
        originals = Originals(names.originals(self._restored))
        if self._rules is not None or originals:
            exchange.answered_by(AnswerWork(kind, self._rules, names, originals))

    def _cannot(self, exchange: Exchange, reason: Refusal, why: str) -> None:
        if self._rules is not None and self._rules.refuses:
            retry = 1 if reason is Refusal.OVERLOADED else None
            message = f"The answer cannot be checked: it {why}."
            raise RequestRefused(reason, message, retry_after_seconds=retry)
        exchange.skip(_STEP, f"the answer {why}")
