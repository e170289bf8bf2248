"""Token usage and response ids, read inside Envoy as the response passes: no Python per token.

A script of the Lua filter reads every API: OpenAI chat, completions and embeddings, Responses, Anthropic
messages, whole and streamed. Envoy's `sse_to_metadata` would crash on an event as plain as `data: null`,
and `json_to_metadata` holds whole answers back: docs/decisions/0031.
"""

from pathlib import Path

from envoy_data_plane.envoy.extensions.filters.http.lua.v3 import Lua

from pilotage_extproc.envoy.xds.typed import Fields, extension

_SCRIPT = Path(__file__).with_name("usage.lua")


def usage_filter() -> Fields:
    """The filter; values go to dynamic metadata `pilotage.usage`. What an answer lacks is not written."""
    return extension(
        "envoy.filters.http.lua", Lua, {"defaultSourceCode": {"inlineString": _SCRIPT.read_text()}}
    )
