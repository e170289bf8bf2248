"""Token usage and response ids, read by Envoy's own filters as the response passes: no Python per token.

One set of rules serves every API: OpenAI chat, completions and embeddings (`usage.prompt_tokens` …),
Responses (`usage.input_tokens`, in streams under `response`), Anthropic messages (`usage`, in the first
event under `message`). A member that is missing writes nothing, so unknown stays unknown.

Streams are read by a script of the Lua filter and not by `sse_to_metadata`, which ends Envoy 1.40 with a
segmentation fault on an event as plain as `data: null` (docs/decisions/0031).
"""

from pathlib import Path

from envoy_data_plane.envoy.extensions.filters.http.json_to_metadata.v3 import JsonToMetadata
from envoy_data_plane.envoy.extensions.filters.http.lua.v3 import Lua

from pilotage_extproc.xds import names
from pilotage_extproc.xds.typed import Fields, extension

_USAGE_MEMBERS = {
    "input": ("prompt_tokens", "input_tokens"),
    "output": ("completion_tokens", "output_tokens"),
    "cached": (
        "prompt_tokens_details.cached_tokens",
        "input_tokens_details.cached_tokens",
        "cache_read_input_tokens",
    ),
}
_STREAM_SCRIPT = Path(__file__).with_name("stream_usage.lua")


def _rule(path: str, key: str, kind: str) -> Fields:
    return {
        "selectors": [{"key": part} for part in path.split(".")],
        "onPresent": {"metadataNamespace": names.USAGE_NAMESPACE, "key": key, "type": kind},
    }


def json_usage_filter() -> Fields:
    """Reads unstreamed answers. The id is told apart later: only `resp_…` objects are stored."""
    rules = [
        _rule(f"usage.{member}", key, "NUMBER") for key, members in _USAGE_MEMBERS.items() for member in members
    ]
    rules.append(_rule("id", "id", "STRING"))
    return extension(
        "envoy.filters.http.json_to_metadata",
        JsonToMetadata,
        {"responseRules": {"rules": rules, "allowContentTypes": ["application/json"]}},
    )


def stream_usage_filter() -> Fields:
    """Reads streams, event by event; later events overwrite earlier ones."""
    return extension(
        "envoy.filters.http.lua", Lua, {"defaultSourceCode": {"inlineString": _STREAM_SCRIPT.read_text()}}
    )
