"""What every request looks like by the time a policy is matched: which paths, which headers never."""

from typing import Final

INFERENCE_PATHS: Final = (
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/responses",
    "/v1/messages",
    "/v1/messages/count_tokens",
    "/v1/embeddings",
    "/v1/rerank",
    "/rerank",
    "/v2/rerank",
    "/v1/score",
    "/score",
    "/classify",
    "/pooling",
    "/tokenize",
    "/detokenize",
    "/v1/audio/transcriptions",
    "/v1/audio/translations",
)
"""Of the calls that policies are for, as they are matched: decoded, without query or slash at the end."""
STEERING_HEADERS: Final = (
    "x-gateway-model-name-rewrite",
    "x-llm-d-model-name-rewrite",
    "x-prefiller-host-port",
    "x-encoder-hosts-ports",
    "x-data-parallel-host-port",
    "x-kv-cache-source-host-port",
    "x-data-parallel-rank",
    "x-smg-routing-key",
)
"""Would choose a server or a model behind the picker's back."""
STEERING_PREFIXES: Final = ("x-gateway-destination-", *STEERING_HEADERS, "x-pilotage-", "x-envoy-")
"""Request headers no client may send: they would choose an endpoint or a model, pass for the picker's own, or
set Envoy's retries and timeouts."""
ACCEPT_ENCODING: Final = "accept-encoding"
"""Dropped too: usage cannot be read out of a compressed answer."""
_SET_BY_ENVOY: Final = ("x-envoy-external-address", "x-envoy-internal")
"""A client's are dropped, and then Envoy says them itself."""


def is_dropped(header: str) -> bool:
    """Whether the bundled Envoy drops a request header, given in lower case, before the picker sees it."""
    return header.startswith((*STEERING_PREFIXES, ACCEPT_ENCODING)) and header not in _SET_BY_ENVOY


def is_under(path: str, prefix: str) -> bool:
    """Prefix by whole segments, as in Gateway API: `/v1` covers `/v1/chat` and not `/v10`."""
    trimmed = prefix.rstrip("/")
    return path.startswith(trimmed) and (len(path) == len(trimmed) or path[len(trimmed)] == "/")
