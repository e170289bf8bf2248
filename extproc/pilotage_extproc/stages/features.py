"""What scheduling may know of a request: computed only as far as its profile asks."""

from typing import Any, Final

import xxhash

from pilotage_extproc.dialects.prompt_text import prompt_text
from pilotage_extproc.domain.features import NO_FEATURES, RequestFeatures
from pilotage_extproc.domain.prompt_blocks import PromptBlocks, prompt_blocks
from pilotage_extproc.request.call import Call
from pilotage_extproc.rules.routing_index import Route
from pilotage_extproc.stages.parse import ParsedBody
from pilotage_extproc.state.calibration import TokenCalibration

SESSION_HEADER: Final = "x-session-id"
_SESSION_FIELDS: Final = ("prompt_cache_key", "user")
"""Body members that name a session where the header does not: OpenAI's cache key, then its user."""


def features_of(
    call: Call, parsed: ParsedBody, route: Route, calibration: TokenCalibration
) -> RequestFeatures:
    """The features of a parsed request for its route's profile."""
    profile = route.profile
    if not profile.reads_prompt and not profile.reads_session:
        return NO_FEATURES
    targets = route.candidates.targets
    model = targets[0].upstream_model if targets else parsed.model
    prompt: PromptBlocks | None = None
    skipped: tuple[str, ...] = ()
    if profile.reads_prompt:
        prompt, skipped = _prompt_of(call, parsed)
    return RequestFeatures(
        prompt=prompt,
        bytes_per_token=calibration.bytes_per_token(model),
        session=session_of(call, parsed.members) if profile.reads_session else None,
        skipped=skipped,
    )


def _prompt_of(call: Call, parsed: ParsedBody) -> tuple[PromptBlocks | None, tuple[str, ...]]:
    """The prompt's blocks, or why there are none: a request can be placed without them."""
    members = parsed.members
    try:
        return prompt_blocks(prompt_text(call.kind, members), _salt_of(members)), ()
    except Exception as error:  # noqa: BLE001 - told in the record; deep JSON cannot be written, for one
        return None, (f"prompt: raised {type(error).__name__}",)


def _salt_of(members: dict[str, Any]) -> int:
    """vLLM keeps the caches of different `cache_salt`s apart."""
    salt = members.get("cache_salt")
    if not isinstance(salt, str) or not salt:
        return 0
    return xxhash.xxh3_64_intdigest(salt.encode("utf-8", "surrogatepass"))


def session_of(call: Call, members: dict[str, Any]) -> int | None:
    """Hash of what the client calls its session, or None."""
    name = call.head.headers.get(SESSION_HEADER)
    if not name:
        name = next((value for field in _SESSION_FIELDS if (value := members.get(field))), None)
    if not isinstance(name, str) or not name:
        return None
    return xxhash.xxh3_64_intdigest(name.encode("utf-8", "surrogatepass"))
