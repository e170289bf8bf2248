"""A hosted provider as Envoy has it: a listener inside Envoy, its route, and its cluster over TLS.

A request that is sent to a provider's endpoint arrives at that provider's own listener, as a second HTTP
hop: what is done to it there is done for that attempt alone. The listener depends on the pool's name and
its API only, so that an edit of the pool closes none of its streams.
"""

from typing import Final

from envoy_data_plane.envoy.config.cluster.v3 import Cluster
from envoy_data_plane.envoy.config.listener.v3 import Listener
from envoy_data_plane.envoy.config.route.v3 import RouteConfiguration
from envoy_data_plane.envoy.extensions.filters.http.credential_injector.v3 import CredentialInjector
from envoy_data_plane.envoy.extensions.filters.http.ext_proc.v3 import ExternalProcessor
from envoy_data_plane.envoy.extensions.filters.http.router.v3 import Router
from envoy_data_plane.envoy.extensions.filters.http.upstream_codec.v3 import UpstreamCodec
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import HttpConnectionManager
from envoy_data_plane.envoy.extensions.http.injected_credentials.generic.v3 import Generic
from envoy_data_plane.envoy.extensions.transport_sockets.tls.v3 import Secret, UpstreamTlsContext
from envoy_data_plane.envoy.extensions.upstreams.http.v3 import HttpProtocolOptions

from pilotage_api.external_snapshot import CredentialSnapshot, ExternalSnapshot
from pilotage_api.settings import GatewaySettings
from pilotage_extproc.dialects.translation.translator import TRANSLATED_TO
from pilotage_extproc.domain.providers import provider_address, provider_listener
from pilotage_extproc.envoy import contract as names
from pilotage_extproc.envoy.lua.translation_filter import translation_filter
from pilotage_extproc.envoy.xds.answer_headers import of_servers
from pilotage_extproc.envoy.xds.assignment import AddressBook, provider_locality
from pilotage_extproc.envoy.xds.local_replies import provider_reply_config
from pilotage_extproc.envoy.xds.provider_resources import ProviderResources
from pilotage_extproc.envoy.xds.provider_secrets import ProviderSecrets
from pilotage_extproc.envoy.xds.typed import FROM_EXTPROC, Fields, any_of, extension, extproc_service, seconds

_HTTP_OPTIONS: Final = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_IDLE_SECONDS: Final = 55
"""Less than the minute after which balancers before hosted APIs close a connection."""
_ENVOYS_OWN: Final = (
    "x-envoy-attempt-count",
    "x-envoy-expected-rq-timeout-ms",
    "x-envoy-internal",
    "x-envoy-original-host",
    "x-forwarded-for",
    "x-forwarded-proto",
)
"""Headers that Envoy may add by itself."""


def provider_resources(
    pool: str,
    external: ExternalSnapshot,
    addresses: tuple[str, ...],
    secrets: ProviderSecrets,
    settings: GatewaySettings,
) -> ProviderResources:
    """All that Envoys need for a pool's provider. `addresses` are `ip:port`s its name stands for."""
    name = provider_listener(pool)
    book = AddressBook()
    accepted, _ = book.accepted(addresses)
    places = f"{name}/{external.host}:{external.port}"
    cluster = _cluster(name, places, external, secrets, settings)
    return ProviderResources(
        address=provider_address(pool),
        reach=secrets.reach,
        locality=provider_locality(name),
        resources={
            names.CLUSTER_TYPE: {name: bytes(Cluster.from_dict(cluster))},
            names.ENDPOINTS_TYPE: {places: book.assignment(places, accepted)},
            names.LISTENER_TYPE: {name: bytes(Listener.from_dict(_listener(name, pool, external, settings)))},
            names.ROUTE_TYPE: {name: bytes(RouteConfiguration.from_dict(_routes(name, external, settings)))},
            names.SECRET_TYPE: {
                secret: bytes(Secret.from_dict(fields)) for secret, fields in secrets.by_name.items()
            },
        },
    )


def _listener(name: str, pool: str, external: ExternalSnapshot, settings: GatewaySettings) -> Fields:
    manager: Fields = {
        "statPrefix": "provider",
        "rds": {"configSource": FROM_EXTPROC, "routeConfigName": name},
        "httpFilters": [
            _hop(pool, settings),
            translation_filter(TRANSLATED_TO[external.dialect]),
            extension("envoy.filters.http.router", Router, {"suppressEnvoyHeaders": True}),
        ],
        "streamIdleTimeout": seconds(settings.upstream.stream_idle_timeout_seconds),
        # the other side is in this process: by default a provider that breaks off is noticed a second later
        "delayedCloseTimeout": "0s",
        "localReplyConfig": provider_reply_config(),
        # the first hop has done these; here they would add headers, or tell clients of the second hop
        "generateRequestId": False,
        "skipXffAppend": True,
        "serverHeaderTransformation": "PASS_THROUGH",
    }
    connections = "envoy.filters.network.http_connection_manager"
    return {
        "name": name,
        "internalListener": {},
        "perConnectionBufferLimitBytes": settings.body.max_bytes,
        "filterChains": [{"filters": [extension(connections, HttpConnectionManager, manager)]}],
    }


def _hop(pool: str, settings: GatewaySettings) -> Fields:
    """Makes the request the provider's. It fails closed: nothing goes out that it has not seen."""
    service = extproc_service(None, timeout_seconds=3600, role=names.PROVIDER_ROLE)
    service["initialMetadata"].append({"key": names.PROVIDER_HEADER, "value": pool})
    return extension(
        "envoy.filters.http.ext_proc",
        ExternalProcessor,
        {
            "grpcService": service,
            "messageTimeout": seconds(settings.message_timeout_seconds),
            "processingMode": {
                "requestHeaderMode": "SEND",
                "requestBodyMode": "BUFFERED",
                "requestTrailerMode": "SKIP",
                "responseHeaderMode": "SKIP",
                "responseTrailerMode": "SKIP",
            },
            "mutationRules": {"allowAllRouting": True, "allowEnvoy": True},
            "allowModeOverride": True,
            "metadataOptions": {"receivingNamespaces": {"untyped": [names.PROVIDER_NAMESPACE]}},
        },
    )


def _routes(name: str, external: ExternalSnapshot, settings: GatewaySettings) -> Fields:
    upstream = settings.upstream
    host = external.host if external.port == 443 else f"{external.host}:{external.port}"
    set_headers = [
        {
            "header": {"key": one.name, "value": one.value.replace("%", "%%")},
            "appendAction": "OVERWRITE_IF_EXISTS_OR_ADD",
        }
        for one in external.headers
    ]
    route = {
        "match": {"prefix": "/"},
        "route": {
            "cluster": name,
            "hostRewriteLiteral": host,
            "timeout": seconds(upstream.request_timeout_seconds),
            "idleTimeout": seconds(upstream.stream_idle_timeout_seconds),
        },
        "requestHeadersToRemove": list(_ENVOYS_OWN),
        "requestHeadersToAdd": set_headers,
    }
    return {
        "name": name,
        "virtualHosts": [{"name": "provider", "domains": ["*"], "routes": [route]}],
        "validateClusters": False,
    }


def _cluster(
    name: str, places: str, external: ExternalSnapshot, secrets: ProviderSecrets, settings: GatewaySettings
) -> Fields:
    codec = extension("envoy.filters.http.upstream_codec", UpstreamCodec)
    injected = [] if external.credential is None else [_injector(external.credential, secrets)]
    upstream = settings.upstream
    options: Fields = {
        # HTTP/2 where the provider offers it
        "autoConfig": {"httpProtocolOptions": {}, "http2ProtocolOptions": {}},
        "commonHttpProtocolOptions": {"idleTimeout": seconds(_IDLE_SECONDS)},
        "httpFilters": [*injected, of_servers(), codec],
    }
    limits = {
        "maxConnections": upstream.max_connections,
        "maxPendingRequests": upstream.max_pending_requests,
        "maxRequests": upstream.max_requests,
        "maxRetries": upstream.max_retries,
    }
    return {
        "name": name,
        "type": "EDS",
        # named by the host: while Envoy takes over an edit, the cluster as it was keeps its own addresses
        "edsClusterConfig": {"edsConfig": FROM_EXTPROC, "serviceName": places},
        "connectTimeout": seconds(upstream.connect_timeout_seconds),
        "perConnectionBufferLimitBytes": settings.body.max_bytes,
        "circuitBreakers": {"thresholds": [limits]},
        "commonLbConfig": {"healthyPanicThreshold": {"value": 0}},
        "transportSocket": _tls(external, secrets, settings),
        "typedExtensionProtocolOptions": {_HTTP_OPTIONS: any_of(HttpProtocolOptions, options)},
    }


def _tls(external: ExternalSnapshot, secrets: ProviderSecrets, settings: GatewaySettings) -> Fields:
    bundle = external.ca_bundle
    trusted = {"filename": settings.providers.ca_file} if bundle is None else {"inlineString": bundle}
    common: Fields = {
        "validationContext": {
            "trustedCa": trusted,
            "matchTypedSubjectAltNames": [
                {"sanType": secrets.name_type(external.host), "matcher": {"exact": external.host}}
            ],
        },
    }
    if secrets.client_certificate is not None:
        common["tlsCertificateSdsSecretConfigs"] = [_served(secrets.client_certificate)]
    return extension(
        "envoy.transport_sockets.tls", UpstreamTlsContext, {"sni": external.host, "commonTlsContext": common}
    )


def _injector(credential: CredentialSnapshot, secrets: ProviderSecrets) -> Fields:
    """Envoy adds the credential as the last thing of all, in the provider's own cluster."""
    generic: Fields = {"credential": _served(secrets.credential), "header": credential.header}
    if credential.prefix:
        generic["headerValuePrefix"] = credential.prefix
    return extension(
        "envoy.filters.http.credential_injector",
        CredentialInjector,
        {
            "overwrite": True,
            "credential": extension("envoy.http.injected_credentials.generic", Generic, generic),
        },
    )


def _served(secret: str | None) -> Fields:
    return {"name": secret, "sdsConfig": FROM_EXTPROC}
