"""OpenAI completions.

https://platform.openai.com/docs/api-reference/completions; `prompt_embeds` is vLLM's.
"""

from typing import Final

from pilotage_extproc.dialects.call import Dialect, Facts, Members, check_any
from pilotage_extproc.dialects.conversation import asks_engine_for_json
from pilotage_extproc.dialects.prompt_parts import Parts, add_content, only_prompt
from pilotage_extproc.domain.head import CallKind


def _prompt(members: Members, parts: Parts) -> None:
    add_content(only_prompt(members.get("prompt")), parts)


COMPLETIONS: Final = Dialect(
    kind=CallKind.COMPLETIONS,
    paths=("/v1/completions",),
    check=check_any("prompt", "prompt_embeds"),
    prompt=_prompt,
    stands_for_more=("prompt_embeds",),
    facts=Facts(
        turns=lambda _: 1,
        last_role=lambda _: "user",
        json_schema=asks_engine_for_json,
    ),
    streams=True,
    usage_when_asked=True,
    output_limits=("max_tokens",),
)
