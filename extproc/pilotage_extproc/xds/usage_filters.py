"""Token usage and response ids, read by Envoy's own filters as the response passes: no Python per token.

One set of rules serves every API: OpenAI chat, completions and embeddings (`usage.prompt_tokens` …),
Responses (`usage.input_tokens`, in streams under `response`), Anthropic messages (`usage`, in the first
event under `message`). A member that is missing writes nothing, so unknown stays unknown.
"""

from envoy_data_plane.envoy.extensions.content_parsers.json.v3 import JsonContentParser
from envoy_data_plane.envoy.extensions.filters.http.json_to_metadata.v3 import JsonToMetadata
from envoy_data_plane.envoy.extensions.filters.http.sse_to_metadata.v3 import SseToMetadata

from pilotage_extproc.xds import names
from pilotage_extproc.xds.typed import Fields, any_of, extension

_USAGE_MEMBERS = {
    "input": ("prompt_tokens", "input_tokens"),
    "output": ("completion_tokens", "output_tokens"),
    "cached": (
        "prompt_tokens_details.cached_tokens",
        "input_tokens_details.cached_tokens",
        "cache_read_input_tokens",
    ),
}
_STREAM_PARENTS = ("usage", "response.usage", "message.usage")
_MAX_EVENT_BYTES = 10 << 20
"""Envoy's own maximum; a Responses event may carry the whole answer."""


def _rule(path: str, key: str, kind: str) -> Fields:
    return {
        "selectors": [{"key": part} for part in path.split(".")],
        "onPresent": {"metadataNamespace": names.USAGE_NAMESPACE, "key": key, "type": kind},
    }


def _usage_rules(parents: tuple[str, ...]) -> list[Fields]:
    return [
        _rule(f"{parent}.{member}", key, "NUMBER")
        for parent in parents
        for key, members in _USAGE_MEMBERS.items()
        for member in members
    ]


def json_usage_filter() -> Fields:
    """Reads unstreamed answers. The id is told apart later: only `resp_…` objects are stored."""
    rules = [*_usage_rules(("usage",)), _rule("id", "id", "STRING")]
    return extension(
        "envoy.filters.http.json_to_metadata",
        JsonToMetadata,
        {"responseRules": {"rules": rules, "allowContentTypes": ["application/json"]}},
    )


def sse_usage_filter() -> Fields:
    """Reads streams, event by event; later events overwrite earlier ones."""
    rules = [{"rule": rule} for rule in _usage_rules(_STREAM_PARENTS)]
    rules.append({"rule": _rule("response.id", "id", "STRING")})
    parser = {
        "name": "envoy.content_parsers.json",
        "typedConfig": any_of(JsonContentParser, {"rules": rules}),
    }
    return extension(
        "envoy.filters.http.sse_to_metadata",
        SseToMetadata,
        {"responseRules": {"contentParser": parser, "maxEventSize": _MAX_EVENT_BYTES}},
    )
