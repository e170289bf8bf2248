"""What scheduling may know of a request: computed only as far as its rule's profile asks."""

from typing import Any, Final

import xxhash

from pilotage_extproc.dialects.context_tokens import text_tokens
from pilotage_extproc.dialects.prompt_text import read_prompt
from pilotage_extproc.domain.features import RequestFeatures
from pilotage_extproc.domain.prompt_blocks import PromptBlocks, prompt_blocks
from pilotage_extproc.request.exchange import Exchange
from pilotage_extproc.request.prompt_tokens import CONTEXT_TOKENS
from pilotage_extproc.request.stage import OnError, Step
from pilotage_extproc.state.calibration import TokenCalibration

SESSION_HEADER: Final = "x-session-id"
_SESSION_FIELDS: Final = ("prompt_cache_key", "user")
"""Body members that name a session where the header does not: OpenAI's cache key, then its user."""


class Describe(Step):
    """Hashes the prompt and finds the session, where a scorer of the profile reads them."""

    name = "describe"
    on_error = OnError.SKIP

    def __init__(self, calibration: TokenCalibration, *, counts: bool = False) -> None:
        """`counts` estimates the prompt's tokens too, where it is read anyway."""
        self._calibration = calibration
        self._counts = counts

    def counting(self) -> "Describe":
        """The same, for requests whose tokens are read later on."""
        return Describe(self._calibration, counts=True)

    def apply(self, exchange: Exchange) -> None:
        """Describe the request to scheduling."""
        route = exchange.route
        profile, groups = route.profile, route.candidates.targets.groups
        reads_prompt = profile.reads_prompt or route.objective is not None
        if not reads_prompt and not profile.reads_session:
            return
        document = exchange.document
        model = groups[0].upstream_model if groups else document.model
        prompt: PromptBlocks | None = None
        skipped: tuple[str, ...] = ()
        if reads_prompt:
            prompt, skipped = self._prompt_of(exchange)
        exchange.described(
            RequestFeatures(
                prompt=prompt,
                bytes_per_token=self._calibration.bytes_per_token(model),
                session=session_of(exchange) if profile.reads_session else None,
                skipped=skipped,
            )
        )

    def _prompt_of(self, exchange: Exchange) -> tuple[PromptBlocks | None, tuple[str, ...]]:
        """The prompt's blocks, or why there are none: a request can be placed without them."""
        members = exchange.document.members
        try:
            read = read_prompt(exchange.call.kind, members)
            if self._counts and not exchange.altered and exchange.known(CONTEXT_TOKENS, None) is None:
                tokens = text_tokens(read)
                if tokens is not None:
                    exchange.learned(CONTEXT_TOKENS, tokens)
            salt = exchange.cache_salt or members.get("cache_salt")
            return prompt_blocks(read.text, _salted(salt) if salt else 0, all_text=read.all_text), ()
        except Exception as error:  # noqa: BLE001 - shown in the record; deep JSON cannot be written, for one
            return None, (f"prompt: raised {type(error).__name__}",)


def _salted(salt: Any) -> int:
    """vLLM keeps the caches of different `cache_salt`s apart."""
    if not isinstance(salt, str):
        return 0
    return xxhash.xxh3_64_intdigest(salt.encode("utf-8", "surrogatepass"))


def session_of(exchange: Exchange) -> int | None:
    """Hash of what the client calls its session, or None."""
    members = exchange.document.members
    name = exchange.head.headers.get(SESSION_HEADER)
    if not name:
        name = next((value for field in _SESSION_FIELDS if (value := members.get(field))), None)
    if not isinstance(name, str) or not name:
        return None
    return xxhash.xxh3_64_intdigest(name.encode("utf-8", "surrogatepass"))
