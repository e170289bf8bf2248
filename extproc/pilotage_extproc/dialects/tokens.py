"""vLLM's tokenize and detokenize: no prefill, no usage."""

from typing import Final

from pilotage_extproc.dialects.call import Dialect, check_any
from pilotage_extproc.dialects.chat_facts import CHAT_FACTS
from pilotage_extproc.domain.head import CallKind

TOKENIZE: Final = Dialect(
    kind=CallKind.TOKENIZE,
    paths=("/tokenize",),
    model_required=False,
    check=check_any("prompt", "messages"),
    facts=CHAT_FACTS,
    usage=(),
)

DETOKENIZE: Final = Dialect(
    kind=CallKind.DETOKENIZE,
    paths=("/detokenize",),
    model_required=False,
    check=check_any("tokens"),
    usage=(),
)
