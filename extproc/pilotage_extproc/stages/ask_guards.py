"""Guardrails of one's own over HTTP: asked about a request that local rules have let through."""

import asyncio
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar, Final, Protocol

from pilotage_api.guards_snapshot import RemoteGuardSnapshot
from pilotage_extproc.content.guard import ContentGuard, Kept
from pilotage_extproc.content.placeholders import Placeholders
from pilotage_extproc.content.redaction import StillThereError
from pilotage_extproc.content.repeated_members import repeated_members
from pilotage_extproc.content.scan import TooMuchToCheckError
from pilotage_extproc.dialects.call import BodyForm
from pilotage_extproc.dialects.spoken_texts import SpokenTexts, TooMuchTextError
from pilotage_extproc.dialects.table import DIALECTS
from pilotage_extproc.dialects.token_prompts import given_as_tokens
from pilotage_extproc.domain.refusals import Refusal, RequestRefused
from pilotage_extproc.domain.verdict import NoVerdictError, Verdict
from pilotage_extproc.request.exchange import Exchange, Note
from pilotage_extproc.request.handled import Handled
from pilotage_extproc.request.stage import Step
from pilotage_extproc.stages.conversation import conversation_of
from pilotage_extproc.stages.turns import in_turns

_STEP: Final = "guard"
_RETRY_SECONDS: Final = 1
_Said = dict[tuple[RemoteGuardSnapshot, bytes], Verdict]
_SAID: Final[Note[_Said]] = Note("guards")
"""What guards have said, by a digest of what they were sent: a request that has waited is decided anew, and
they are not asked about it again."""


class Guards(Protocol):
    """Guards that are asked over a network."""

    def problem(self, guard: RemoteGuardSnapshot, required: Mapping[str, str]) -> str:
        """Why it may not be shown requests of a rule that requires labels; empty where it may."""

    async def ask(self, guard: RemoteGuardSnapshot, body: bytes) -> Verdict:
        """What it says of a request, given as JSON. Raises NoVerdictError."""


class _NotAskedError(Exception):
    """A guard that says nothing of a request, and why."""

    def __init__(self, reason: Refusal, why: str) -> None:
        super().__init__(why)
        self.reason = reason


class AskGuards(Step):
    """Asks the guards of a policy, all at the same time, each no longer than its time."""

    name: ClassVar[str] = _STEP

    def __init__(
        self,
        guards: Sequence[RemoteGuardSnapshot],
        required: Mapping[str, str],
        remote: Guards | None,
        hiding: ContentGuard | None,
        key: bytes,
    ) -> None:
        """Without `remote` nobody is asked. `required` are labels of the rule.

        `hiding` replaces values for guards that receive redacted text; `key` keys the placeholders.
        """
        self._guards = tuple(guards)
        self._kept_out = frozenset(
            guard for guard in guards if remote is not None and remote.problem(guard, required)
        )
        self._remote = remote
        self._hiding = hiding
        self._key = key

    async def apply(self, exchange: Exchange) -> None:
        """Ask them.

        Raises RequestRefused: 400 for what one blocks or cannot be sent, 503 where one that must answer does
        not.
        """
        remote = self._remote
        if remote is None:
            exchange.skip(_STEP, "nobody is asked here")
            return
        asked: list[tuple[RemoteGuardSnapshot, bytes]] = []
        for guard in self._guards:
            try:
                asked.append((guard, await self._question(exchange, guard)))
            except _NotAskedError as error:
                _go_on(exchange, guard, error)
        said = exchange.kept(_SAID) or _Said()
        exchange.keep(_SAID, said)
        answers = await asyncio.gather(*(_ask(remote, guard, body, said) for guard, body in asked))
        verdicts: list[Verdict] = []
        for (guard, _), answer in zip(asked, answers, strict=True):
            if isinstance(answer, Verdict):
                verdicts.append(answer)
            else:
                _go_on(exchange, guard, answer)
        _take(exchange, verdicts)

    async def _question(self, exchange: Exchange, guard: RemoteGuardSnapshot) -> bytes:
        """What it is sent. Raises _NotAskedError."""
        if guard in self._kept_out:
            raise _NotAskedError(Refusal.GUARD_AWAY, "a guard may not be asked about requests of its rule")
        call = exchange.call
        if DIALECTS[call.kind].body is not BodyForm.JSON or call.forward_pool is not None:
            raise _NotAskedError(Refusal.CONTENT_NOT_CHECKED, "its body is not JSON of a known call")
        texts = SpokenTexts(guard.max_bytes)
        await _done(_all_read(exchange))
        try:
            await _done(texts.steps(exchange.document.members))
            body = texts.question(call.kind.value, exchange.document.model)
            return await self._redacted(exchange, body) if guard.redacted else body
        except TooMuchTextError:
            why = f"a guard is sent at most {guard.max_bytes} bytes of text"
        except TypeError:
            why = "its text cannot be written as JSON"
        except (TooMuchToCheckError, StillThereError):
            why = "its values cannot be replaced"
        raise _NotAskedError(Refusal.CONTENT_NOT_CHECKED, why)

    async def _redacted(self, exchange: Exchange, body: bytes) -> bytes:
        """What is sent, with placeholders. Raises TooMuchToCheckError, StillThereError."""
        assert self._hiding is not None
        kept = Kept(body)
        tenant = exchange.identity.tenant.encode("utf-8", "surrogatepass")
        conversation = conversation_of(exchange)
        names = Placeholders(self._key, tenant, b"" if conversation is None else b"%d" % conversation)
        await _done(self._hiding.steps(kept, names))
        return kept.body


def _all_read(exchange: Exchange) -> Iterator[None]:
    """Raises _NotAskedError where a parser may read another text than this one has."""
    if (yield from repeated_members(exchange.body, exchange.document.members)):
        raise _NotAskedError(Refusal.CONTENT_NOT_CHECKED, "a member of its body stands twice")
    if (yield from given_as_tokens(exchange.document.members)):
        raise _NotAskedError(Refusal.CONTENT_NOT_CHECKED, "its prompt is given as tokens or embeddings")


async def _ask(
    remote: Guards, guard: RemoteGuardSnapshot, body: bytes, said: _Said
) -> Verdict | _NotAskedError:
    """Its verdict, or why there is none."""
    key = (guard, hashlib.blake2b(body, digest_size=16).digest())
    known = said.get(key)
    if known is None:
        try:
            known = said[key] = await remote.ask(guard, body)
        except NoVerdictError as error:
            return _NotAskedError(Refusal.GUARD_AWAY, f"a guard {error}")
    return known


def _go_on(exchange: Exchange, guard: RemoteGuardSnapshot, without: _NotAskedError) -> None:
    """Go on without what it would say. Raises RequestRefused where that may not be."""
    if guard.refuses:
        retry = _RETRY_SECONDS if without.reason is Refusal.GUARD_AWAY else None
        message = f"The request cannot be checked: {without}."
        raise RequestRefused(without.reason, message, retry_after_seconds=retry) from without
    exchange.skip(_STEP, str(without))


def _take(exchange: Exchange, verdicts: Sequence[Verdict]) -> None:
    blocked: list[str] = []
    handled = list(exchange.handled)
    for verdict in verdicts:
        if verdict.action != "allow":
            names = [f"remote/{kind}" for kind in verdict.kinds] or ["remote"]
            handled += [Handled(name, verdict.action, 1, ()) for name in names]
            if verdict.action == "block":
                blocked += names
    exchange.checked(tuple(handled))
    if blocked:
        message = f"The request holds what may not be sent: {', '.join(dict.fromkeys(blocked))}."
        raise RequestRefused(Refusal.CONTENT_BLOCKED, message)


async def _done(work: Iterator[None]) -> None:
    """Do some work in turns."""
    waits = in_turns(work, lambda: None)
    if waits is not None:
        await waits
