"""The listener clients connect to: what happens to a request before and after the picker."""

from pathlib import Path

from envoy_data_plane.envoy.extensions.filters.http.ext_proc.v3 import ExternalProcessor
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import HttpConnectionManager
from envoy_data_plane.envoy.extensions.http.early_header_mutation.header_mutation.v3 import HeaderMutation
from envoy_data_plane.envoy.extensions.request_id.uuid.v3 import UuidRequestIdConfig
from envoy_data_plane.envoy.extensions.retry.host.previous_hosts.v3 import PreviousHostsPredicate
from envoy_data_plane.envoy.extensions.transport_sockets.tls.v3 import DownstreamTlsContext

from pilotage_api.calls import ACCEPT_ENCODING, STEERING_PREFIXES
from pilotage_api.queueing import LONGEST_WAIT_SECONDS
from pilotage_api.settings import DecisionHeaders, GatewaySettings, TlsFiles
from pilotage_api.timeouts import CLIENT_TIMEOUT_HEADER, PASSED_ON_TIMEOUT_HEADER
from pilotage_extproc.envoy import contract as names
from pilotage_extproc.envoy.ext_proc.retry_headers import USUAL_CONDITIONS, USUAL_STATUSES
from pilotage_extproc.envoy.lua.usage_filter import usage_filter
from pilotage_extproc.envoy.xds.access_logs import access_logs
from pilotage_extproc.envoy.xds.cors import cors_filters, cors_policy
from pilotage_extproc.envoy.xds.local_replies import local_reply_config
from pilotage_extproc.envoy.xds.own_routes import BY_HEADER, TRY_NEXT, own_route_is_absent, own_routes
from pilotage_extproc.envoy.xds.token_check import token_filters
from pilotage_extproc.envoy.xds.typed import (
    FROM_EXTPROC,
    Fields,
    any_of,
    extension,
    extproc_service,
    seconds,
    socket_address,
)
from pilotage_extproc.envoy.xds.upstream_log import router

_ASK_ANOTHER_ON = "connect-failure,refused-stream,reset,unavailable"
"""When to ask another picker process, as long as the first has answered nothing."""
_FOREVER_SECONDS = 10 * 365 * 24 * 3600


def listener(settings: GatewaySettings, *, envoy_name: str, host: str, port: int) -> Fields:
    """The gateway's listener."""
    chain: Fields = {
        "filters": [
            extension(
                "envoy.filters.network.http_connection_manager",
                HttpConnectionManager,
                _connection_manager(settings, envoy_name),
            )
        ]
    }
    if settings.tls.gateway is not None:
        chain["transportSocket"] = _tls()
    return {
        "name": "gateway",
        "address": socket_address(host, port),
        "perConnectionBufferLimitBytes": settings.body.max_bytes,
        "enableReusePort": False,  # a second gateway on the port must be an error, not half the traffic
        "filterChains": [chain],
    }


def gateway_secret(files: TlsFiles) -> Fields:
    """The listener's certificate, by file name: Envoy reads the files again when their folder changes."""
    return {
        "name": names.GATEWAY_SECRET,
        "tlsCertificate": {
            "certificateChain": {"filename": files.cert_file},
            "privateKey": {"filename": files.key_file},
            "watchedDirectory": {"path": str(Path(files.cert_file).parent)},
        },
    }


def _tls() -> Fields:
    secret = {"name": names.GATEWAY_SECRET, "sdsConfig": FROM_EXTPROC}
    return extension(
        "envoy.transport_sockets.tls",
        DownstreamTlsContext,
        {
            "commonTlsContext": {
                "alpnProtocols": ["h2", "http/1.1"],
                "tlsCertificateSdsSecretConfigs": [secret],
            }
        },
    )


def _connection_manager(settings: GatewaySettings, envoy_name: str) -> Fields:
    idle = settings.upstream.stream_idle_timeout_seconds
    identity = settings.governance.identity
    return {
        "statPrefix": "gateway",
        "codecType": "AUTO",
        "useRemoteAddress": True,
        "normalizePath": True,
        "mergeSlashes": True,
        "pathWithEscapedSlashesAction": "KEEP_UNCHANGED",  # model names have slashes: /v1/models/org%2Fname
        "generateRequestId": True,
        "preserveExternalRequestId": True,
        # without this Envoy writes its trace decision into the client's id
        "requestIdExtension": {"typedConfig": any_of(UuidRequestIdConfig, {"packTraceReason": False})},
        "alwaysSetRequestIdInResponse": True,
        "streamIdleTimeout": seconds(idle),
        "requestHeadersTimeout": seconds(30),
        "requestTimeout": seconds(settings.body.receive_timeout_seconds),
        "commonHttpProtocolOptions": {"idleTimeout": seconds(3600), "headersWithUnderscoresAction": "ALLOW"},
        # clients of HTTP/1.0 need not name a host (spelt so: the types do not know these in camel case)
        "httpProtocolOptions": {"accept_http_10": True, "default_host_for_http_10": "pilotage"},
        "http2ProtocolOptions": {"maxConcurrentStreams": 1024},
        "accessLog": access_logs(settings, envoy_name),
        "earlyHeaderMutationExtensions": [
            extension(
                "envoy.http.early_header_mutation.header_mutation",
                HeaderMutation,
                {
                    "mutations": [
                        {
                            "append": {
                                "header": {
                                    "key": PASSED_ON_TIMEOUT_HEADER,
                                    "value": f"%REQ({CLIENT_TIMEOUT_HEADER})%",
                                },
                                "appendAction": "OVERWRITE_IF_EXISTS_OR_ADD",
                            }
                        },
                    ]
                    + [
                        {"removeOnMatch": {"keyMatcher": {"prefix": prefix, "ignoreCase": True}}}
                        for prefix in (*STEERING_PREFIXES, ACCEPT_ENCODING)
                    ]
                },
            )
        ],
        "localReplyConfig": local_reply_config(),
        "routeConfig": _routes(settings),
        "httpFilters": [
            *cors_filters(settings.cors),
            usage_filter(),
            *token_filters(None if identity is None else identity.jwt),
            _picker(settings, envoy_name),
            router(envoy_name),
        ],
    }


def _picker(settings: GatewaySettings, envoy_name: str) -> Fields:
    metadata: Fields = {"receivingNamespaces": {"untyped": [names.LB_NAMESPACE, names.PILOTAGE_NAMESPACE]}}
    identity = settings.governance.identity
    if identity is not None and identity.jwt is not None:
        metadata["forwardingNamespaces"] = {"untyped": [names.CLAIMS_NAMESPACE]}
    trusts = identity is not None and identity.trusted_header is not None
    return extension(
        "envoy.filters.http.ext_proc",
        ExternalProcessor,
        {
            "grpcService": {
                **extproc_service(envoy_name, timeout_seconds=_FOREVER_SECONDS),
                "retryPolicy": {
                    "numRetries": 2,
                    "retryOn": _ASK_ANOTHER_ON,
                    # Envoy's own begins at 1 s: a request would wait as long before it fails open, or fails
                    "retryBackOff": {"baseInterval": seconds(0.02), "maxInterval": seconds(0.1)},
                    # so soon, one that has just died still counts as there: really ask another
                    "retryHostPredicate": [
                        extension("envoy.retry_host_predicates.previous_hosts", PreviousHostsPredicate)
                    ],
                    "hostSelectionRetryMaxAttempts": 5,
                },
            },
            "failureModeAllow": settings.fail_open_pool is not None,
            "messageTimeout": seconds(settings.message_timeout_seconds),
            # of requests that wait for room, whose picker says so: no others wait longer
            "maxMessageTimeout": seconds(LONGEST_WAIT_SECONDS + settings.message_timeout_seconds),
            "processingMode": {
                "requestHeaderMode": "SEND",
                "requestBodyMode": "BUFFERED",
                "requestTrailerMode": "SKIP",
                "responseHeaderMode": "SKIP",
                "responseBodyMode": "NONE",
                "responseTrailerMode": "SKIP",
            },
            "mutationRules": {"allowAllRouting": True, "allowEnvoy": True},
            # of requests whose policy looks at the answer
            "allowModeOverride": True,
            "metadataOptions": metadata,
            **({"requestAttributes": [names.SOURCE_ADDRESS]} if trusts else {}),
        },
    )


def _routes(settings: GatewaySettings) -> Fields:
    routes = [
        {
            "name": "picked",
            "match": {"prefix": "/", "dynamicMetadata": [_pick_is_present(), own_route_is_absent()]},
            "route": _forward(settings, names.MODELS_CLUSTER, retries=settings.max_attempts - 1),
        },
        *own_routes(settings),
    ]
    if settings.fail_open_pool is not None:
        routes.append(
            {
                "name": "fail-open",
                "match": {"prefix": "/"},
                "route": _forward(settings, names.FAIL_OPEN_CLUSTER, retries=1),
                # with a pick the picker strips these: removed by its route they would cost the pick
                "requestHeadersToRemove": list(names.PICKER_INPUTS),
            }
        )
    else:
        # the route a request has before its pick: only one without a pick stays on it
        routes.append(
            {
                "name": "no-pick",
                "match": {"prefix": "/"},
                "route": _forward(settings, names.MODELS_CLUSTER, retries=0),
            }
        )
    host: Fields = {
        "name": "all",
        "domains": ["*"],
        "includeRequestAttemptCount": True,
        "responseHeadersToRemove": [names.OVERFLOWS, names.TRY_NEXT],
        "routes": routes,
    }
    host |= cors_policy(settings.cors)
    shown = [*names.LIMIT_RESPONSE_HEADERS]
    if settings.decision_headers is not DecisionHeaders.OFF:
        shown.append(names.DECISION_RESPONSE_HEADER)
    host["responseHeadersToAdd"] = [_from_pick(name) for name in shown]
    return {"name": "gateway", "virtualHosts": [host], "validateClusters": False}


def _from_pick(name: str) -> Fields:
    """A response header as the pick has it; where it has none the server's own stays."""
    value = f"%DYNAMIC_METADATA({names.PILOTAGE_NAMESPACE}:{name})%"
    return {"header": {"key": name, "value": value}, "appendAction": "OVERWRITE_IF_EXISTS_OR_ADD"}


def _pick_is_present() -> Fields:
    """Dynamic metadata, which only the picker writes: a client cannot forge its way onto this route."""
    return {
        "filter": names.LB_NAMESPACE,
        "path": [{"key": names.DESTINATION}],
        "value": {"presentMatch": True},
    }


def _forward(settings: GatewaySettings, cluster: str, *, retries: int) -> Fields:
    upstream = settings.upstream
    return {
        "cluster": cluster,
        "timeout": seconds(upstream.request_timeout_seconds),
        "idleTimeout": seconds(upstream.stream_idle_timeout_seconds),
        "retryPolicy": {
            "retryOn": ",".join((*USUAL_CONDITIONS, BY_HEADER)),
            "retriableStatusCodes": list(USUAL_STATUSES),
            "retriableHeaders": [TRY_NEXT],
            "numRetries": retries,  # the pick lowers it to its own list's length less one
            "retryBackOff": {"baseInterval": seconds(0.005), "maxInterval": seconds(0.05)},
        },
    }
