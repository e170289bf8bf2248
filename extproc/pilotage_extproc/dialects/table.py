"""The table of all calls that are decided on, and whose error objects a path answers with."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from pilotage_extproc.dialects import (
    anthropic,
    audio,
    chat,
    completions,
    embeddings,
    rerank,
    responses,
    tokens,
)
from pilotage_extproc.dialects.call import Dialect
from pilotage_extproc.domain.head import CallKind
from pilotage_extproc.domain.refusals import ErrorShape

CALLS: Final[tuple[Dialect, ...]] = (
    chat.CHAT,
    completions.COMPLETIONS,
    responses.RESPONSES,
    anthropic.MESSAGES,
    anthropic.COUNT_TOKENS,
    embeddings.EMBEDDINGS,
    rerank.RERANK,
    rerank.SCORE,
    embeddings.CLASSIFY,
    embeddings.POOLING,
    tokens.TOKENIZE,
    tokens.DETOKENIZE,
    audio.TRANSCRIPTIONS,
    audio.TRANSLATIONS,
)
DIALECTS: Final[Mapping[CallKind, Dialect]] = MappingProxyType({call.kind: call for call in CALLS})
BY_PATH: Final[Mapping[str, Dialect]] = MappingProxyType(
    {path: call for call in CALLS for path in call.paths}
)
INFERENCE_KINDS: Final = frozenset(DIALECTS)
"""Calls that are read and decided on."""
ANTHROPIC_PREFIX: Final = "/v1/messages"
"""Paths from here on are Anthropic's, those that are not served too."""
SHARED_PATH: Final = "/v1/models"
"""Two APIs have it: the client's version header says which is meant."""


def error_shape(target: str, headers: Mapping[str, str]) -> ErrorShape:
    """Whose error object the client of a request expects; `target` is its path, with or without query."""
    path = target.partition("?")[0]
    if _is_under(path, ANTHROPIC_PREFIX):
        return ErrorShape.ANTHROPIC
    if _is_under(path, SHARED_PATH) and anthropic.VERSION_HEADER in headers:
        return ErrorShape.ANTHROPIC
    return ErrorShape.OPENAI


def _is_under(path: str, prefix: str) -> bool:
    return path.startswith(prefix) and (len(path) == len(prefix) or path[len(prefix)] == "/")
