"""JSON web tokens: Envoy verifies them, and hands their claims to the picker where no client can write."""

from envoy_data_plane.envoy.config.cluster.v3 import Cluster
from envoy_data_plane.envoy.extensions.filters.http.jwt_authn.v3 import JwtAuthentication
from envoy_data_plane.envoy.extensions.transport_sockets.tls.v3 import UpstreamTlsContext

from pilotage_api.identity_settings import JwtSettings
from pilotage_extproc.envoy import contract as names
from pilotage_extproc.envoy.xds.typed import Fields, extension, seconds, socket_address

_PROVIDER = "issuer"
_KEYS_SECONDS = 300
"""How long keys of the issuer are used before they are fetched again."""
_FETCH_SECONDS = 5


def token_filters(jwt: JwtSettings | None) -> list[Fields]:
    """The filter before the picker; none where the settings know no issuer.

    It refuses nobody: whose token is missing or wrong has no claims, and the picker answers 401 in the shape
    of the client's API. What stands in `authorization` may be an API key.
    """
    if jwt is None:
        return []
    provider: Fields = {
        "issuer": jwt.issuer,
        "remoteJwks": {
            "httpUri": {
                "uri": jwt.jwks_uri,
                "cluster": names.ISSUER_CLUSTER,
                "timeout": seconds(_FETCH_SECONDS),
            },
            "cacheDuration": seconds(_KEYS_SECONDS),
        },
        "fromHeaders": [{"name": "Authorization", "valuePrefix": "Bearer "}],
        "requireExpiration": True,  # one without would be good for ever
        "forward": True,  # the picker strips it, with every other credential
        "payloadInMetadata": names.CLAIMS,
    }
    if jwt.audiences:
        provider["audiences"] = list(jwt.audiences)
    requirement = {
        "requiresAny": {"requirements": [{"providerName": _PROVIDER}, {"allowMissingOrFailed": {}}]}
    }
    return [
        extension(
            names.CLAIMS_NAMESPACE,
            JwtAuthentication,
            {
                "providers": {_PROVIDER: provider},
                "rules": [{"match": {"prefix": "/"}, "requires": requirement}],
            },
        )
    ]


def issuer_cluster(jwt: JwtSettings) -> bytes:
    """Where the issuer's keys are fetched from."""
    scheme, _, rest = jwt.jwks_uri.partition("://")
    authority = rest.partition("/")[0]
    host, _, port = authority.partition(":")
    encrypted = scheme == "https"
    place = socket_address(host, int(port) if port else 443 if encrypted else 80)
    cluster: Fields = {
        "name": names.ISSUER_CLUSTER,
        "type": "STRICT_DNS",
        "dnsLookupFamily": "V4_PREFERRED",
        "connectTimeout": seconds(_FETCH_SECONDS),
        "loadAssignment": {
            "clusterName": names.ISSUER_CLUSTER,
            "endpoints": [{"lbEndpoints": [{"endpoint": {"address": place}}]}],
        },
    }
    if encrypted:
        verified = {
            "trustedCa": {"filename": jwt.ca_file},
            "matchTypedSubjectAltNames": [{"sanType": "DNS", "matcher": {"exact": host}}],
        }
        cluster["transportSocket"] = extension(
            "envoy.transport_sockets.tls",
            UpstreamTlsContext,
            {"sni": host, "commonTlsContext": {"validationContext": verified}},
        )
    return bytes(Cluster.from_dict(cluster))
