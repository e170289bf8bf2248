"""Values of people and secrets in requests: blocked, replaced or shown, before anything else is decided."""

from collections.abc import Awaitable, Iterator
from typing import ClassVar, Final

from pilotage_extproc.content.answers.work import AnswerWork
from pilotage_extproc.content.guard import ContentGuard, Kept
from pilotage_extproc.content.redaction import StillThereError
from pilotage_extproc.content.scan import TooMuchToCheckError
from pilotage_extproc.dialects.call import BodyForm
from pilotage_extproc.dialects.table import DIALECTS
from pilotage_extproc.dialects.token_prompts import given_as_tokens
from pilotage_extproc.domain.head import CallKind
from pilotage_extproc.domain.refusals import Refusal, RequestRefused
from pilotage_extproc.request.exchange import Exchange
from pilotage_extproc.request.handled import MOST_PLACES, Handled
from pilotage_extproc.request.stage import Step
from pilotage_extproc.stages.parse import read_body
from pilotage_extproc.stages.placeholders import placeholders_of
from pilotage_extproc.stages.turns import in_turns

_STEP: Final = "content"


class CheckContent(Step):
    """Keeps the rules on content of a request's rule, and of the gateway."""

    name: ClassVar[str] = _STEP

    def __init__(self, guard: ContentGuard, key: bytes) -> None:
        """`key` keys the placeholders."""
        self._guard = guard
        self._key = key

    @property
    def restored(self) -> frozenset[str]:
        """Detectors whose values come back in the text of the answer."""
        return self._guard.restored

    def apply(self, exchange: Exchange) -> Awaitable[None] | None:
        """Look at all of its text. Raises RequestRefused (400), which says what was found and no more."""
        if exchange.call.kind is CallKind.RESPONSE_OBJECT and not exchange.body:
            return None
        dialect = DIALECTS.get(exchange.call.kind)
        if dialect is None or dialect.body is not BodyForm.JSON or exchange.call.forward_pool is not None:
            self._cannot(exchange, "is not JSON of a known call")
            return None
        kept = Kept(exchange.body)
        return in_turns(self._work(exchange, kept), lambda: self._take(exchange, kept))

    def _work(self, exchange: Exchange, kept: Kept) -> Iterator[None]:
        names = placeholders_of(exchange, self._key, changes=self._guard.changes)
        if self._guard.restored:
            exchange.answered_by(AnswerWork(exchange.call.kind, None, names))
        if (yield from given_as_tokens(exchange.document.members)):
            self._cannot(exchange, "gives its prompt as tokens or embeddings")
        try:
            yield from self._guard.steps(kept, names)
        except TooMuchToCheckError:
            self._cannot(exchange, "has more that looks like a value than is checked")
        except StillThereError:
            self._cannot(exchange, "has values that overlap too often to be replaced")

    def _cannot(self, exchange: Exchange, why: str) -> None:
        if self._guard.refuses:
            raise RequestRefused(
                Refusal.CONTENT_NOT_CHECKED, f"The request cannot be checked: its body {why}."
            )
        exchange.skip(_STEP, f"the body {why}")

    def _take(self, exchange: Exchange, kept: Kept) -> None:
        actions = self._guard.actions
        exchange.checked(
            tuple(
                Handled(kind, actions[kind], len(places), tuple(places[:MOST_PLACES]))
                for kind in dict.fromkeys(one.kind for one in kept.seen)
                if (places := [one.at for one in kept.seen if one.kind == kind])
            )
        )
        if kept.blocked:
            message = f"The request holds what may not be sent: {', '.join(kept.blocked)}."
            raise RequestRefused(Refusal.CONTENT_BLOCKED, message)
        if kept.body is not exchange.body:
            exchange.rewritten(kept.body, read_body(exchange.call.kind, kept.body))
