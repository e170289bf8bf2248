"""OpenAI embeddings, and vLLM's calls for models that pool: classify and pooling.

https://docs.vllm.ai/en/latest/models/pooling_models/
"""

from dataclasses import replace
from typing import Final

from pilotage_extproc.dialects.call import Dialect, Facts, Members, check_any
from pilotage_extproc.dialects.conversation import media_in
from pilotage_extproc.dialects.prompt_parts import Parts, add_content, add_messages, only_prompt
from pilotage_extproc.domain.head import CallKind


def _prompt(members: Members, parts: Parts) -> None:
    given = members.get("input")
    if given is None:
        add_messages(members.get("messages"), parts)
    else:
        add_content(only_prompt(given), parts)


EMBEDDINGS: Final = Dialect(
    kind=CallKind.EMBEDDINGS,
    paths=("/v1/embeddings",),
    check=check_any("input", "messages"),
    prompt=_prompt,
    facts=Facts(media=lambda members: media_in(members.get("messages"))),
)

CLASSIFY: Final = replace(EMBEDDINGS, kind=CallKind.CLASSIFY, paths=("/classify",), model_required=False)

POOLING: Final = replace(
    EMBEDDINGS,
    kind=CallKind.POOLING,
    paths=("/pooling",),
    model_required=False,
    check=check_any("input", "messages", "data"),
)
