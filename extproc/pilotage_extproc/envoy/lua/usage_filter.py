"""Usage, response ids and errors in streams, read inside Envoy as a response passes: no Python per token.

Scripts of the Lua filter read every API: OpenAI chat, completions and embeddings, Responses, Anthropic
messages, whole and streamed. Envoy's `sse_to_metadata` would crash on an event as plain as `data: null`,
and `json_to_metadata` holds whole answers back: docs/decisions/0031.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from envoy_data_plane.envoy.extensions.filters.http.lua.v3 import Lua

from pilotage_extproc.domain.providers import ADDRESS_PREFIX
from pilotage_extproc.domain.refusals import ErrorShape, Refusal, RequestRefused
from pilotage_extproc.envoy import contract
from pilotage_extproc.envoy.lua.names import lua_names
from pilotage_extproc.envoy.xds.typed import Fields, extension

_FOLDER: Final = Path(__file__).parent
_SCRIPTS: Final = (
    "json_scan.lua",
    "usage.lua",
    "events.lua",
    "strip.lua",
    "output.lua",
    "allowance.lua",
    "response.lua",
)
"""In this order one script: each uses what stands before."""
_CREDENTIALS_REFUSED: Final = RequestRefused(
    Refusal.PROVIDER_REFUSED_CREDENTIALS,
    "The provider of this model refused the gateway's own credentials (provider_refused_credentials).",
)
_NOBODY_ANSWERED: Final = RequestRefused(
    Refusal.NO_ENDPOINTS,
    "The servers that can be asked this did not answer, and the provider behind them cannot be asked it.",
)
_NAMES: Final[Mapping[str, int | str | Mapping[str, str | int]]] = {
    "USAGE_NAMESPACE": contract.USAGE_NAMESPACE,
    "METADATA_KEYS": {
        "input": contract.USAGE_INPUT,
        "output": contract.USAGE_OUTPUT,
        "cached": contract.USAGE_CACHED,
        "cache_write": contract.USAGE_CACHE_WRITE,
        "reasoning": contract.USAGE_REASONING,
        "cache_write_hour": contract.USAGE_CACHE_WRITE_HOUR,
        "audio_input": contract.USAGE_AUDIO_INPUT,
        "audio_output": contract.USAGE_AUDIO_OUTPUT,
        "counted": contract.OUTPUT_COUNTED,
        "ended_at": contract.ENDED_AT,
        "id": contract.RESPONSE_ID,
        "error": contract.STREAM_ERROR,
    },
    "BROKEN_OFF": 502,
    "STREAM_ERROR_STATUSES": contract.STREAM_ERROR_STATUSES,
    "PILOTAGE_NAMESPACE": contract.PILOTAGE_NAMESPACE,
    "STRIP_USAGE": contract.STRIP_USAGE,
    "KEEP_LAST_USAGE": contract.KEEP_LAST_USAGE,
    "ANNOUNCE_RESPONSE": contract.ANNOUNCE_RESPONSE,
    "HOLDER": contract.HOLDER,
    "COUNT_OUTPUT": contract.COUNT_OUTPUT,
    "ALLOWANCE": contract.ALLOWANCE,
    "NOT_ASKED": contract.NOT_ASKED,
    "DESTINATION": contract.DESTINATION,
    "NOBODY_ANSWERED": {shape.value: _NOBODY_ANSWERED.body(shape).decode() for shape in ErrorShape},
    "ANTHROPIC_ERRORS": contract.ANTHROPIC_ERRORS,
    "CREDENTIALS_REFUSED": {shape.value: _CREDENTIALS_REFUSED.body(shape).decode() for shape in ErrorShape},
    "FLAG": contract.FLAG,
    "TRANSLATION_HEADER": contract.TRANSLATION_HEADER,
    "TRANSLATION_NOTES": contract.TRANSLATION_NOTES,
    "PROVIDER_PREFIX": ADDRESS_PREFIX,
    "LB_NAMESPACE": contract.LB_NAMESPACE,
    "DESTINATION_SERVED": contract.DESTINATION_SERVED,
    "EXTPROC_CLUSTER": contract.EXTPROC_CLUSTER,
    "ANNOUNCE_PATH": f"/{contract.ANNOUNCE_SERVICE}/{contract.ANNOUNCE_METHOD}",
}


def usage_filter() -> Fields:
    """The filter; values go to dynamic metadata `pilotage.usage`. What an answer lacks is not written."""
    return extension("envoy.filters.http.lua", Lua, {"defaultSourceCode": {"inlineString": usage_script()}})


def usage_script() -> str:
    """The whole script, names of the contract first."""
    return lua_names(_NAMES) + "\n".join((_FOLDER / script).read_text() for script in _SCRIPTS)
