"""Clusters: extproc itself (static), and the model servers (served over CDS, endpoints over EDS)."""

import ipaddress
from collections.abc import Sequence

from envoy_data_plane.envoy.extensions.clusters.dns.v3 import DnsCluster
from envoy_data_plane.envoy.extensions.common.matching.v3 import ExtensionWithMatcher
from envoy_data_plane.envoy.extensions.filters.common.matcher.action.v3 import SkipFilter
from envoy_data_plane.envoy.extensions.filters.http.ext_proc.v3 import ExternalProcessor
from envoy_data_plane.envoy.extensions.filters.http.upstream_codec.v3 import UpstreamCodec
from envoy_data_plane.envoy.extensions.load_balancing_policies.least_request.v3 import LeastRequest
from envoy_data_plane.envoy.extensions.load_balancing_policies.override_host.v3 import OverrideHost
from envoy_data_plane.envoy.extensions.load_balancing_policies.round_robin.v3 import RoundRobin
from envoy_data_plane.envoy.extensions.load_balancing_policies.subset.v3 import Subset
from envoy_data_plane.envoy.extensions.matching.common_inputs.network.v3 import DynamicMetadataInput
from envoy_data_plane.envoy.extensions.matching.input_matchers.metadata.v3 import Metadata
from envoy_data_plane.envoy.extensions.transport_sockets.internal_upstream.v3 import InternalUpstreamTransport
from envoy_data_plane.envoy.extensions.transport_sockets.raw_buffer.v3 import RawBuffer
from envoy_data_plane.envoy.extensions.transport_sockets.tls.v3 import UpstreamTlsContext
from envoy_data_plane.envoy.extensions.upstreams.http.v3 import HttpProtocolOptions
from envoy_data_plane.envoy.type.matcher.v3 import HttpRequestHeaderMatchInput

from pilotage_api.settings import GatewaySettings
from pilotage_extproc.domain.providers import ADDRESS_PREFIX
from pilotage_extproc.envoy import contract as names
from pilotage_extproc.envoy.lua.overflow_filter import overflow_filter
from pilotage_extproc.envoy.xds.answer_headers import of_endpoints, of_servers
from pilotage_extproc.envoy.xds.header_hold import header_hold_filter
from pilotage_extproc.envoy.xds.own_identity import by_identity_files
from pilotage_extproc.envoy.xds.typed import (
    FROM_EXTPROC,
    Fields,
    any_of,
    extension,
    extproc_service,
    seconds,
    socket_address,
)

_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_EXTPROC_WINDOW_BYTES = 4 << 20
_UPSTREAM_IDLE_SECONDS = 4
"""Less than uvicorn's five: a request must not meet a connection its model server is about to close."""

_DNS_REFRESH_SECONDS = 1
"""So that a new process is known before the one it replaces has gone."""

_READINESS: Fields = {
    "grpcHealthCheck": {"serviceName": "readiness"},
    "interval": "1s",
    "noTrafficInterval": "1s",
    "unhealthyInterval": "0.250s",
    "timeout": "1s",
    "healthyThreshold": 1,
    "unhealthyThreshold": 1,
}
"""With several processes: one that drains, or has no snapshot yet, is not asked while another can answer."""


def extproc_cluster(
    settings: GatewaySettings,
    addresses: Sequence[tuple[str, int]],
    identity: str | None = None,
    name: str = names.EXTPROC_CLUSTER,
) -> Fields:
    """Where extproc processes are, `(host, port)`; static, since all else comes from there.

    `identity` is the folder of Envoy's identity files. Without it the picker's certificate is not verified:
    self-signed ones are allowed, as the endpoint-picker protocol does.
    """
    hosts = [{"endpoint": {"address": socket_address(host, port)}} for host, port in addresses]
    made: Fields = {
        "name": name,
        # all addresses of a name; also right for an address
        "clusterType": extension(
            "envoy.cluster.dns",
            DnsCluster,
            {"dnsRefreshRate": seconds(_DNS_REFRESH_SECONDS), "dnsLookupFamily": "V4_PREFERRED"},
        ),
        "connectTimeout": seconds(1),
        "perConnectionBufferLimitBytes": settings.body.max_bytes,
        "circuitBreakers": _limits(settings),
        "loadAssignment": {
            "clusterName": name,
            "endpoints": [{"lbEndpoints": hosts}],
        },
        "typedExtensionProtocolOptions": {
            _HTTP_OPTIONS: any_of(
                HttpProtocolOptions,
                {
                    "explicitHttpConfig": {
                        "http2ProtocolOptions": {
                            "initialStreamWindowSize": _EXTPROC_WINDOW_BYTES,
                            "initialConnectionWindowSize": 4 * _EXTPROC_WINDOW_BYTES,
                            "connectionKeepalive": {"interval": seconds(30), "timeout": seconds(5)},
                        }
                    }
                },
            )
        },
    }
    if len(addresses) > 1 or not _is_ip(addresses[0][0]):
        made["healthChecks"] = [_READINESS]
        # one that left the name is stopping: its health does not keep it
        made["ignoreHealthOnHostRemoval"] = True
    if settings.tls.extproc is not None:
        made["transportSocket"] = extension(
            "envoy.transport_sockets.tls",
            UpstreamTlsContext,
            {
                "commonTlsContext": {
                    "alpnProtocols": ["h2"],
                    **({} if identity is None else by_identity_files(identity)),
                }
            },
        )
    return made


def models_cluster(settings: GatewaySettings, *, providers: bool = True) -> Fields:
    """Every endpoint of every pool. The pick names the host; without a known one there is none.

    Without `providers` it is for an Envoy that has no listeners inside.
    """
    fallback = extension(
        "envoy.load_balancing_policies.subset",
        Subset,
        {
            "fallbackPolicy": "NO_FALLBACK",
            "subsetSelectors": [{"keys": ["never"]}],
            "subsetLbPolicy": _policies(extension("envoy.load_balancing_policies.round_robin", RoundRobin)),
        },
    )
    source = {"metadata": {"key": names.LB_NAMESPACE, "path": [{"key": names.DESTINATION}]}}
    override = extension(
        "envoy.load_balancing_policies.override_host",
        OverrideHost,
        {
            "overrideHostSources": [source],
            "selectedHostKey": {"key": names.LB_NAMESPACE, "path": [{"key": names.DESTINATION_SERVED}]},
            "fallbackPolicy": _policies(fallback),
        },
    )
    codec = extension("envoy.filters.http.upstream_codec", UpstreamCodec)
    # the id of a background response is in its first event, and clients need it at once
    hold = _skipped(header_hold_filter(), _with(names.ANNOUNCE_RESPONSE))
    held = [hold] if settings.upstream.hold_headers else []
    overflow = _skipped(overflow_filter(), _without(names.READ_OVERFLOW))
    answered = [of_endpoints(), _skipped(of_servers(), _is_hop())]
    filters = [_attempt_rewrite(settings), overflow, *held, *answered, codec]
    cluster = _eds_cluster(settings, names.MODELS_CLUSTER, _policies(override), filters)
    if providers:
        cluster["transportSocketMatches"] = [_to_listener_inside()]
    return cluster


def _to_listener_inside() -> Fields:
    """How Envoy connects to an endpoint that is a listener of its own."""
    raw = extension("envoy.transport_sockets.raw_buffer", RawBuffer)
    return {
        "name": "internal",
        "match": {"internal": True},
        "transportSocket": extension(
            "envoy.transport_sockets.internal_upstream", InternalUpstreamTransport, {"transportSocket": raw}
        ),
    }


def fail_open_cluster(settings: GatewaySettings) -> Fields:
    """Endpoints of the one pool that serves requests without a pick."""
    least = extension("envoy.load_balancing_policies.least_request", LeastRequest)
    codec = extension("envoy.filters.http.upstream_codec", UpstreamCodec)
    return _eds_cluster(settings, names.FAIL_OPEN_CLUSTER, _policies(least), [of_servers(), codec])


def _eds_cluster(settings: GatewaySettings, name: str, policies: Fields, filters: list[Fields]) -> Fields:
    options: Fields = {
        "explicitHttpConfig": {"httpProtocolOptions": {}},
        "commonHttpProtocolOptions": {"idleTimeout": seconds(_UPSTREAM_IDLE_SECONDS)},
        "httpFilters": filters,
    }
    return {
        "name": name,
        "type": "EDS",
        "edsClusterConfig": {"edsConfig": FROM_EXTPROC},
        "connectTimeout": seconds(settings.upstream.connect_timeout_seconds),
        "perConnectionBufferLimitBytes": settings.body.max_bytes,
        "circuitBreakers": _limits(settings),
        "loadBalancingPolicy": policies,
        "commonLbConfig": {"healthyPanicThreshold": {"value": 0}},
        "typedExtensionProtocolOptions": {_HTTP_OPTIONS: any_of(HttpProtocolOptions, options)},
    }


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _policies(policy: Fields) -> Fields:
    return {"policies": [{"typedExtensionConfig": policy}]}


def _limits(settings: GatewaySettings) -> Fields:
    upstream = settings.upstream
    return {
        "thresholds": [
            {
                "maxConnections": upstream.max_connections,
                "maxPendingRequests": upstream.max_pending_requests,
                "maxRequests": upstream.max_requests,
                "maxRetries": upstream.max_retries,
            }
        ]
    }


def _attempt_rewrite(settings: GatewaySettings) -> Fields:
    """Rewrites the request for each attempt after the first, where attempts are spoken to differently, and
    for the first too where a policy changes it for each model on its own."""
    processor = extension(
        "envoy.filters.http.ext_proc",
        ExternalProcessor,
        {
            "grpcService": extproc_service(None, timeout_seconds=3600, role=names.REWRITE_ROLE),
            "messageTimeout": seconds(settings.message_timeout_seconds),
            "processingMode": {
                "requestHeaderMode": "SEND",
                "requestBodyMode": "BUFFERED",
                "requestTrailerMode": "SKIP",
                "responseHeaderMode": "SKIP",
                "responseTrailerMode": "SKIP",
            },
            "mutationRules": {"allowAllRouting": True},
            "requestAttributes": [names.UPSTREAM_ADDRESS],
            "metadataOptions": {"forwardingNamespaces": {"untyped": [names.PILOTAGE_NAMESPACE]}},
        },
    )
    alike = {"andMatcher": {"predicate": [_without(names.ATTEMPTS), _without(names.MODELS_BY_ADDRESS)]}}
    as_picked = {"andMatcher": {"predicate": [_first_attempt(), _without(names.TRANSFORM)]}}
    skipped = {"orMatcher": {"predicate": [as_picked, alike]}}
    return _skipped(processor, skipped)


def _skipped(made: Fields, predicate: Fields) -> Fields:
    """A filter that is left out where this holds."""
    skip = {"action": extension("skip", SkipFilter)}
    return extension(
        made["name"],
        ExtensionWithMatcher,
        {
            "extensionConfig": made,
            "xdsMatcher": {"matcherList": {"matchers": [{"predicate": predicate, "onMatch": skip}]}},
        },
    )


def _first_attempt() -> Fields:
    attempt = extension(
        "envoy.matching.inputs.request_headers",
        HttpRequestHeaderMatchInput,
        {"headerName": "x-envoy-attempt-count"},
    )
    return {"singlePredicate": {"input": attempt, "valueMatch": {"exact": "1"}}}


def _with(key: str) -> Fields:
    """The pick has this key."""
    return _key(key, {"value": {"presentMatch": True}})


def _without(key: str) -> Fields:
    """The pick does not have this key: there is nothing to ask."""
    return _key(key, {"value": {"presentMatch": True}, "invert": True})


def _is_hop() -> Fields:
    """The endpoint that was chosen for this attempt is a provider's hop."""
    fits = {"value": {"stringMatch": {"prefix": ADDRESS_PREFIX}}}
    return _key(names.DESTINATION_SERVED, fits, namespace=names.LB_NAMESPACE)


def _key(key: str, fits: Fields, namespace: str = names.PILOTAGE_NAMESPACE) -> Fields:
    value = extension(
        "envoy.matching.inputs.dynamic_metadata",
        DynamicMetadataInput,
        {"filter": namespace, "path": [{"key": key}]},
    )
    matched = extension("envoy.matching.matchers.metadata_matcher", Metadata, fits)
    return {"singlePredicate": {"input": value, "customMatch": matched}}
