"""Answers of providers in the API of the caller, translated inside Envoy as they pass: no Python per token.

One script a provider's API: its decoder, and an encoder for each API that callers may use.
"""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from envoy_data_plane.envoy.extensions.filters.http.lua.v3 import Lua

from pilotage_extproc.dialects.transform.moved import LISTS
from pilotage_extproc.dialects.translation import answers
from pilotage_extproc.domain.head import CallKind
from pilotage_extproc.domain.refusals import ANTHROPIC_ERROR_TYPES
from pilotage_extproc.envoy import contract
from pilotage_extproc.envoy.lua.names import lua_names
from pilotage_extproc.envoy.xds.typed import Fields, extension

_FOLDER: Final = Path(__file__).parent / "translation"
_BEFORE: Final = ("json.lua", "sse.lua", "errors.lua", "collect.lua")
_AFTER: Final = ("answer.lua", "moved.lua")
_BY_PROVIDER: Final[Mapping[CallKind, tuple[str, ...]]] = {
    CallKind.CHAT: ("decode_chat.lua", "encode_messages.lua", "encode_responses.lua"),
    CallKind.MESSAGES: ("decode_messages.lua", "encode_chat.lua", "encode_responses.lua"),
}
PASSED_HEADERS: Final[Mapping[str, int]] = MappingProxyType(
    dict.fromkeys(
        (
            ":status",
            "apim-request-id",
            "cache-control",
            "content-disposition",
            "content-encoding",
            "content-length",
            "content-type",
            "date",
            "request-id",
            "retry-after",
            "retry-after-ms",
            "transfer-encoding",
            "vary",
            "x-request-id",
            "x-should-retry",
        ),
        1,
    )
)
"""Of a provider's answer those headers that the client gets, and those that begin as `PASSED_PREFIXES`."""
PASSED_PREFIXES: Final[Mapping[str, int]] = MappingProxyType(
    dict.fromkeys(("anthropic-", "openai-", "ratelimit", "x-ms-", "x-pilotage-", "x-ratelimit-"), 1)
)
"""Our own are of the hop: a provider's are gone before (`xds/answer_headers.py`)."""


def translation_filter(provider: CallKind) -> Fields:
    """The filter of a provider whose own API is chat or messages.

    Of any answer it lets through known headers only, and no redirect. Else it leaves an answer alone unless
    metadata `pilotage.provider` says in which API the caller wants it, or how the caller counts places.
    """
    script = translation_script(provider) + (_FOLDER / "response.lua").read_text()
    return extension("envoy.filters.http.lua", Lua, {"defaultSourceCode": {"inlineString": script}})


def translation_script(provider: CallKind) -> str:
    """All of the script but Envoy's side, names of the contract first."""
    names = {
        "DIALECT": provider.value,
        "STREAM_ERROR_STATUSES": contract.STREAM_ERROR_STATUSES,
        "ANTHROPIC_ERROR_TYPES": ANTHROPIC_ERROR_TYPES,
        "PROVIDER_NAMESPACE": contract.PROVIDER_NAMESPACE,
        "TRANSLATION_HEADER": contract.TRANSLATION_HEADER,
        "ANSWER_AS": answers.ANSWER_AS,
        "USAGE_WANTED": answers.USAGE_WANTED,
        "THINKING_WANTED": answers.THINKING_WANTED,
        "STREAM_WANTED": answers.STREAM_WANTED,
        "NOTES": answers.NOTES,
        "MOVED": answers.MOVED,
        "MOVED_LISTS": dict.fromkeys(LISTS, 1),
        "YES": answers.YES,
        "PASSED_ANSWER_HEADERS": PASSED_HEADERS,
        "PASSED_ANSWER_PREFIXES": PASSED_PREFIXES,
    }
    scripts = (*_BEFORE, *_BY_PROVIDER[provider], *_AFTER)
    body = "\n".join((_FOLDER / script).read_text() for script in scripts)
    return lua_names(names) + "local ENCODERS = {}\n" + body
