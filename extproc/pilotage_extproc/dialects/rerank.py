"""Rerank (Jina's and Cohere's) and score, as vLLM serves them.

https://docs.vllm.ai/en/latest/models/pooling_models/scoring/
"""

from typing import Final

from pilotage_extproc.dialects.call import Dialect, Members, check_any, missing
from pilotage_extproc.dialects.prompt_parts import Parts, add_content
from pilotage_extproc.domain.head import CallKind

_QUERIES: Final = ("query", "queries", "text_1", "data_1")
_DOCUMENTS: Final = ("documents", "items", "text_2", "data_2")
"""In the order of their coming into use; `text_1` and `text_2` are the oldest that still work."""


def _prompt(members: Members, parts: Parts) -> None:
    for name in (*_QUERIES, *_DOCUMENTS):
        given = members.get(name)
        if given is not None:
            add_content(given, parts)


def _check_rerank(members: Members) -> None:
    for field in ("query", "documents"):
        if members.get(field) is None:
            raise missing(field)


RERANK: Final = Dialect(
    kind=CallKind.RERANK,
    paths=("/v1/rerank", "/rerank", "/v2/rerank"),
    model_required=False,
    check=_check_rerank,
    prompt=_prompt,
)

_check_first = check_any("text_1", *(name for name in _QUERIES if name != "text_1"))
_check_second = check_any("text_2", *(name for name in _DOCUMENTS if name != "text_2"))


def _check_score(members: Members) -> None:
    _check_first(members)
    _check_second(members)


SCORE: Final = Dialect(
    kind=CallKind.SCORE,
    paths=("/v1/score", "/score"),
    model_required=False,
    check=_check_score,
    prompt=_prompt,
)
