"""OpenAI chat completions.

https://platform.openai.com/docs/api-reference/chat
"""

from typing import Final

from pilotage_extproc.dialects.call import Dialect, Members, check_messages
from pilotage_extproc.dialects.chat_facts import CHAT_FACTS
from pilotage_extproc.dialects.prompt_parts import Parts, add_messages
from pilotage_extproc.domain.head import CallKind


def _prompt(members: Members, parts: Parts) -> None:
    add_messages(members.get("messages"), parts)


CHAT: Final = Dialect(
    kind=CallKind.CHAT,
    paths=("/v1/chat/completions",),
    check=check_messages,
    prompt=_prompt,
    facts=CHAT_FACTS,
    streams=True,
    usage_when_asked=True,
    output_limits=("max_completion_tokens", "max_tokens"),
)
