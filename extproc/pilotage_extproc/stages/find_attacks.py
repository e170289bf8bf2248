"""Requests that read like an attack on a prompt: flagged, or blocked where a policy says so."""

from collections.abc import Awaitable, Iterator
from typing import ClassVar, Final

from pilotage_api.content_rules import PROMPT_ATTACK
from pilotage_api.guards_snapshot import Action
from pilotage_extproc.dialects.call import BodyForm
from pilotage_extproc.dialects.spoken_texts import SpokenTexts, TooMuchTextError
from pilotage_extproc.dialects.table import DIALECTS
from pilotage_extproc.domain.refusals import Refusal, RequestRefused
from pilotage_extproc.features.attack_signal import AttackSignal
from pilotage_extproc.request.exchange import Exchange
from pilotage_extproc.request.handled import Handled
from pilotage_extproc.request.stage import Step
from pilotage_extproc.stages.turns import in_turns

_MOST_BYTES: Final = 8 << 20
_MOST_TEXTS: Final = 8
_NOT_ASKED: Final = frozenset(("system", "developer", "tools", "functions", "assistant", "metadata"))
"""Who is believed, or says nothing new."""


def attack_steps(exchange: Exchange, signal: AttackSignal, found: list[str]) -> Iterator[None]:
    """Steps that add `prompt-attack` where one of the last eight texts of users and tools reads like one."""
    if DIALECTS[exchange.call.kind].body is not BodyForm.JSON or exchange.call.forward_pool is not None:
        return
    spoken = SpokenTexts(_MOST_BYTES)
    try:
        yield from spoken.steps(exchange.document.members)
    except (TooMuchTextError, TypeError):
        return
    texts = [one["text"] for one in spoken.texts if one["role"] not in _NOT_ASKED]
    for text in texts[-_MOST_TEXTS:]:
        if signal.is_raised(text.encode()):
            found.append(PROMPT_ATTACK)
            return
        yield


class FindAttacks(Step):
    """Keeps rules on `prompt-attack`."""

    name: ClassVar[str] = "attacks"

    def __init__(self, signal: AttackSignal, action: Action) -> None:
        self._signal = signal
        self._action = action

    def apply(self, exchange: Exchange) -> Awaitable[None] | None:
        """Look at it. Raises RequestRefused (400) where it is to be blocked."""
        found: list[str] = []
        return in_turns(attack_steps(exchange, self._signal, found), lambda: self._take(exchange, found))

    def _take(self, exchange: Exchange, found: list[str]) -> None:
        if not found:
            return
        exchange.checked((*exchange.handled, Handled(PROMPT_ATTACK, self._action, 1, ())))
        if self._action == "block":
            message = f"The request holds what may not be sent: {PROMPT_ATTACK}."
            raise RequestRefused(Refusal.CONTENT_BLOCKED, message)
