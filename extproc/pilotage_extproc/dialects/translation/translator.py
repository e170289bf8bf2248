"""What a provider's hop asks: whether a call can be made to a provider of another API, and its text there."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import orjson

from pilotage_api.external_snapshot import ProviderDialect
from pilotage_api.facts_snapshot import ModelSnapshot
from pilotage_extproc.dialects.provider_call import SPOKEN, Asked, ProviderCall, not_spoken
from pilotage_extproc.dialects.translation.facts import ModelFacts
from pilotage_extproc.dialects.translation.translate import translate, translates
from pilotage_extproc.domain.head import CallKind
from pilotage_extproc.domain.refusals import Refusal, RequestRefused

TRANSLATED_TO: Final[Mapping[ProviderDialect, CallKind]] = {
    ProviderDialect.OPENAI: CallKind.CHAT,
    ProviderDialect.OPENAI_CHAT: CallKind.CHAT,
    ProviderDialect.AZURE: CallKind.CHAT,
    ProviderDialect.ANTHROPIC: CallKind.MESSAGES,
}
"""The call of each API that others are translated to."""
_MOST_STOPS: Final[Mapping[ProviderDialect, int]] = MappingProxyType(
    {ProviderDialect.OPENAI: 4, ProviderDialect.AZURE: 4}
)
"""Stop sequences that a provider takes. Others with chats (`openai-chat`) have bounds of their own."""
_REASONING: Final = "reasoning"
TAKEN: Final[Mapping[ProviderDialect, frozenset[CallKind]]] = MappingProxyType(
    {
        dialect: spoken | {kind for kind in CallKind if translates(kind, TRANSLATED_TO[dialect])}
        for dialect, spoken in SPOKEN.items()
    }
)
"""The calls that a provider of each API can be asked: its own, and those that are translated."""


class ProviderTranslator:
    """Translates chats, messages and stateless Responses for providers that lack them."""

    def translates(self, kind: CallKind, dialect: ProviderDialect) -> bool:
        """Whether a call that the dialect does not speak can be made one that it does."""
        return translates(kind, TRANSLATED_TO[dialect])

    def translate(
        self, asked: Asked, dialect: ProviderDialect, upstream_model: str, facts: ModelSnapshot | None
    ) -> ProviderCall:
        """The call as the provider's API has it.

        Raises RequestRefused: 400 with the field that cannot be said, 503 for a call that has no counterpart.
        """
        target = TRANSLATED_TO[dialect]
        if not translates(asked.kind, target):
            raise not_spoken(asked.kind, dialect)
        try:
            members = orjson.loads(asked.body)
        except orjson.JSONDecodeError as error:
            raise RequestRefused(Refusal.BAD_JSON, "The request body is not valid JSON.") from error
        if not isinstance(members, dict):
            raise RequestRefused(Refusal.BAD_JSON, "The request body is not a JSON object.")
        known = model_facts(upstream_model, facts)._replace(most_stops=_MOST_STOPS.get(dialect))
        translated = translate(asked.kind, target, members, known)
        return ProviderCall(
            path=translated.path,
            kind=target,
            body=translated.body,
            headers={"content-type": "application/json"},
            answer=translated.answer,
        )


def model_facts(upstream_model: str, known: ModelSnapshot | None) -> ModelFacts:
    """What a translation needs of a pool's model."""
    if known is None:
        return ModelFacts(upstream_model)
    reasoning = known.capabilities is not None and _REASONING in known.capabilities
    return ModelFacts(upstream_model, known.max_output_tokens, reasoning)
