"""Names that Envoy and this project must agree on: metadata, headers, roles, clusters, tags.

Used by ext_proc, the access log, xDS and (through `usage_filter`) the Lua scripts, so that none keeps a
copy of its own. What Envoy defines and we use in one place stays there; which request headers are dropped
is in `pilotage_api.calls`, since `pilotage check` knows it too.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from pilotage_extproc.accounting.answers import RATE_LIMIT_HEADERS
from pilotage_extproc.domain.head import OBJECTIVE_HEADERS
from pilotage_extproc.recording.decision_headers import DECISION_HEADER

# Clusters ---------------------------------------------------------------------------------------------

MODELS_CLUSTER: Final = "models"
"""The one cluster with every endpoint of every pool; its host is named by the pick."""
FAIL_OPEN_CLUSTER: Final = "fail-open"
"""Endpoints of the pool that serves requests without a pick, where the settings name one."""
EXTPROC_CLUSTER: Final = "pilotage-extproc"
LOG_CLUSTER: Final = "pilotage-log"
"""The same processes, where each entry of the access log goes to two: nothing else takes turns there."""
ADMIN_CLUSTER: Final = "envoy-admin"
"""Envoy's own admin address, for the two paths that may be seen from outside."""

# The endpoint-picker protocol ---------------------------------------------------------------------------

LB_NAMESPACE: Final = "envoy.lb"
"""Dynamic metadata that names the pick, and the endpoint that answered."""
DESTINATION: Final = "x-gateway-destination-endpoint"
"""Header and `envoy.lb` key of the pick: `ip:port[,ip:port…]`, tried in order."""
DESTINATION_SERVED: Final = "x-gateway-destination-endpoint-served"
"""`envoy.lb` key of the endpoint that in fact answered."""
SUBSET_NAMESPACE: Final = "envoy.lb.subset_hint"
SUBSET_KEY: Final = "x-gateway-destination-endpoint-subset"
"""Key of the endpoints that the gateway allows."""
FAIRNESS_HEADERS: Final = ("x-llm-d-inference-fairness-id", "x-gateway-inference-fairness-id")
SLO_HEADERS: Final = (
    "x-llm-d-slo-ttft-ms",
    "x-llm-d-slo-tpot-ms",
    "x-slo-ttft-ms",
    "x-slo-tpot-ms",
)
PICKER_INPUTS: Final = (*OBJECTIVE_HEADERS, *FAIRNESS_HEADERS, *SLO_HEADERS)
"""Request headers that clients may send to the picker, and no model server sees."""
DECISION_REQUEST_HEADER: Final = "x-pilotage-decision"
"""Request header of a pick: id of the decision, for the log of failed attempts. Model servers see it."""
MOVED_HEADER: Final = "x-pilotage-moved"
"""Request header, where a provider may get messages, blocks or tools that stand elsewhere in the client's
body (`moved_text`): the hop names places as the client counts them. Own servers of the list see it."""
OWN_PREFIX: Final = "x-pilotage-"
"""Request headers that begin so are ours to set: dropped from clients."""

# Headers of Envoy ---------------------------------------------------------------------------------------

MAX_RETRIES: Final = "x-envoy-max-retries"
RETRY_ON: Final = "x-envoy-retry-on"
RETRIABLE_STATUSES: Final = "x-envoy-retriable-status-codes"
RETRIABLE_HEADERS: Final = "x-envoy-retriable-header-names"
PER_TRY_TIMEOUT: Final = "x-envoy-upstream-rq-per-try-timeout-ms"
TOTAL_TIMEOUT: Final = "x-envoy-upstream-rq-timeout-ms"
ATTEMPT_COUNT: Final = "x-envoy-attempt-count"
OVERFLOWS: Final = "x-pilotage-context-overflow"
"""Response header that an upstream filter adds where a server says that the prompt is too long."""
REQUEST_ID: Final = "x-request-id"

# What a pick says to the bundled Envoy -------------------------------------------------------------------

PILOTAGE_NAMESPACE: Final = "pilotage"
"""Dynamic metadata of the pick. It reaches access logs: ids and flags, never text of a request."""
DECISION: Final = "decision"
"""Key: id of the decision."""
OWNER: Final = "owner"
"""Key: id of the process that made it."""
SNAPSHOT: Final = "snapshot"
"""Key: version of the snapshot that the pick's numbers belong to."""
ATTEMPTS: Final = "attempts"
"""Key: number of the attempt by address, where attempts are spoken to differently."""
USAGE_EDIT: Final = "usage_edit"
"""Key: how the first attempt's body was made to ask for usage, as a number."""
TRANSFORM: Final = "transform"
"""Key: there (with `FLAG`) where a policy changes requests differently for the models of the list: the body
is as no model gets it, so the first attempt is rewritten too."""
MODELS_BY_ADDRESS: Final = "rebind"
"""Key, for contract 1: upstream model by address. Read and written for one version, while an Envoy or a
picker of that contract drains: it knows no other key of later attempts."""
STRIP_USAGE: Final = "strip_usage"
"""Key: there (with `FLAG`) where the picker asked for usage in a stream and the client did not: Envoy reads
it and takes it out."""
KEEP_LAST_USAGE: Final = "keep_last_usage"
"""Key: there (with `FLAG`) beside `STRIP_USAGE` where the client asked for usage in the last chunk: there it
stays."""
ANNOUNCE_RESPONSE: Final = "announce_response"
"""Key: there (with `FLAG`) for a background Responses stream: Envoy announces its id with its first event."""
HOLDER: Final = "holder"
"""Key: `Identity.holder` of who asks, where a server may store the answer. An announcement has it too."""
OWN_ROUTE: Final = "route"
"""Key: there where the pick's own headers say which failures lead on: no condition of the usual route holds.
Its value is the longest silence in seconds, one of `timeouts.IDLE_STEPS_SECONDS`, or `USUAL_IDLE`."""
USUAL_IDLE: Final = "0"
READ_OVERFLOW: Final = "read_overflow"
"""Key: there (with `FLAG`) where the next is tried after a prompt that is too long: Envoy looks for it in
answers of 400 and 413."""
ANSWER_CONTENT: Final = "answer"
"""Key, written behind an answer that was looked at: what was found, `detector:action:count`, with commas."""
READS_ANSWER: Final = "reads_answer"
"""Key: there (with `FLAG`) where rules on content look at an answer that may be stored."""
ANSWER_READ: Final = "answer_read"
"""Key, written (with `FLAG`) behind such an answer: they have seen its end."""
COUNT_OUTPUT: Final = "count_output"
"""Key: there (with `FLAG`) where the answer is counted or paid for: Envoy counts the pieces of output in a
stream, for when it is cut before it says its usage."""
ALLOWANCE: Final = "allowance"
"""Key: there for a stream of a hard budget: kind of call, choices, and tokens that all of them may have, with
a space between. Envoy ends the stream past them."""
ANTHROPIC_ERRORS: Final = "anthropic_errors"
"""Key: there (with `FLAG`) where the client expects Anthropic's error objects."""
FLAG: Final = "1"
"""Value of a key that only says yes; one that says no is left out."""
CLAIMS_NAMESPACE: Final = "envoy.filters.http.jwt_authn"
"""Dynamic metadata, and the filter that writes it: what a verified token says."""
CLAIMS: Final = "claims"
"""Its key of the token's payload."""
SOURCE_ADDRESS: Final = "source.address"
"""Request attribute: the address of the client's connection, never what `x-forwarded-for` says."""
ISSUER_CLUSTER: Final = "token-issuer"
"""Where keys of the issuer of tokens are fetched."""
UPSTREAM_ADDRESS: Final = "upstream.address"
"""Request attribute: the endpoint of this attempt."""
EXT_PROC_ATTRIBUTES: Final = "envoy.filters.http.ext_proc"
"""Key under which ext_proc sends request attributes."""

# What Envoy says of a response ---------------------------------------------------------------------------

USAGE_NAMESPACE: Final = "pilotage.usage"
"""Dynamic metadata that the scripts fill from responses: the keys below, each only where it is known."""
USAGE_INPUT: Final = "input"
USAGE_OUTPUT: Final = "output"
USAGE_CACHED: Final = "cached"
USAGE_CACHE_WRITE: Final = "cache_write"
USAGE_REASONING: Final = "reasoning"
USAGE_CACHE_WRITE_HOUR: Final = "cache_write_hour"
USAGE_AUDIO_INPUT: Final = "audio_input"
USAGE_AUDIO_OUTPUT: Final = "audio_output"
OUTPUT_COUNTED: Final = "counted"
"""Pieces of output in a stream so far; an engine sends one a token."""
ENDED_AT: Final = "ended_at"
"""Pieces of output that a client got of a stream that Envoy ended at its `ALLOWANCE`."""
RESPONSE_ID: Final = "id"
"""Id of a stored Responses object."""
TRANSLATION_NOTES: Final = "translation"
"""What a translation for the provider that answered left out."""
TRY_NEXT: Final = "x-pilotage-try-next"
"""Response header of a provider's hop: nothing was sent, the next of the list may be; no client gets it.

`UNREACHABLE`, or else the provider cannot be asked what the request says."""
UNREACHABLE: Final = "unreachable"
NOT_ASKED: Final = "x-pilotage-not-asked"
"""The same for the first hop's filters, which no longer see `TRY_NEXT`: a provider cannot be asked; no client
gets it."""
TRANSLATION_HEADER: Final = "x-pilotage-translation"
"""Response header by which a provider's hop tells the first hop so; no client gets it."""
STREAM_ERROR: Final = "error"
"""HTTP status that an error event in a stream stands for: 400 to 599."""
STREAM_ERROR_STATUSES: Final[Mapping[str, int]] = MappingProxyType(
    {
        "invalid_request_error": 400,
        "invalid_prompt": 400,
        "BadRequestError": 400,
        "authentication_error": 401,
        "permission_error": 403,
        "not_found_error": 404,
        "NotFoundError": 404,
        "request_too_large": 413,
        "rate_limit_error": 429,
        "rate_limit_exceeded": 429,
        "overloaded_error": 529,
    }
)
"""HTTP status by the `code` or `type` of an error event; any other is a server's own: 500."""
ATTEMPT_TTFT_TAG: Final = "attempt_ttft_us"
"""Tag: of the attempt that answered, from the request's last byte to the first byte of the response body."""
ATTEMPT_BODY_TAG: Final = "attempt_body_us"
"""Tag: of that attempt, from there to the response's last byte."""
TTFT_TAG: Final = "ttft_us"
"""Access-log tag: microseconds to the first byte of the response's body; a dash where there was none."""

# gRPC between Envoy and extproc --------------------------------------------------------------------------

ENVOY_HEADER: Final = "x-pilotage-envoy"
"""gRPC initial metadata: the Envoy's name."""
CONTRACT_HEADER: Final = "x-pilotage-contract"
"""gRPC initial metadata: the version of these names that the Envoy's bootstrap was made for; absent is 1."""
CONTRACT: Final = "2"
ROLE_HEADER: Final = "x-pilotage-role"
REWRITE_ROLE: Final = "rebind"
"""Role of the upstream ext_proc filter, which shares port and service with the picker."""
PROVIDER_ROLE: Final = "provider"
"""Role of the ext_proc filter of a provider's listener inside Envoy, on the same port."""
COPY_ROLE: Final = "copy"
"""Role of the stream of an access log's second copy."""
PROVIDER_HEADER: Final = "x-pilotage-provider"
"""gRPC initial metadata of that role: the provider's pool, `namespace/name`."""
PROVIDER_NAMESPACE: Final = "pilotage.provider"
"""Dynamic metadata of a provider's hop: what its answer is read with, flags and numbers only."""
TRANSPORT_MATCH: Final = "envoy.transport_socket_match"
"""Metadata of an endpoint by which its cluster chooses how to connect."""
ANNOUNCE_SERVICE: Final = "pilotage.envoy.v1.Responses"
ANNOUNCE_METHOD: Final = "Announce"
"""Unary call with JSON: a stored response has begun, and where."""
CLUSTER_TYPE: Final = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
ENDPOINTS_TYPE: Final = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
LISTENER_TYPE: Final = "type.googleapis.com/envoy.config.listener.v3.Listener"
ROUTE_TYPE: Final = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
SECRET_TYPE: Final = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"  # noqa: S105 - a name
GATEWAY_SECRET: Final = "gateway"  # noqa: S105 - a name
"""The listener's certificate: served as file names, since Envoy watches only files of served secrets."""

# What clients see ----------------------------------------------------------------------------------------

DECISION_RESPONSE_HEADER: Final = DECISION_HEADER
LIMIT_RESPONSE_HEADERS: Final = RATE_LIMIT_HEADERS
OWN_ANSWER_DETAILS: Final = "pilotage_"
"""Prefix of the details of immediate responses, which Envoy must not reshape."""
