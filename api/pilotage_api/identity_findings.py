"""What is odd about who the gateway asks its clients to be."""

from pilotage_api.findings import Find, Severity
from pilotage_api.identity_settings import IdentitySettings
from pilotage_api.load import SETTINGS_KEY

_AT = "spec.governance.identity"


def find_in_identity(identity: IdentitySettings | None, *, in_cluster: bool, find: Find) -> None:
    """Keys where none can be read, an issuer's keys that anybody could change, and tokens for others."""
    if identity is None:
        return
    keys, jwt = identity.api_keys, identity.jwt
    if keys is not None and keys.secret_selector is not None and not in_cluster:
        message = "Secrets are read in a cluster only: requests with API keys are answered 503"
        fix = "name a file"
        find(Severity.ERROR, "needs-cluster", message, SETTINGS_KEY, f"{_AT}.apiKeys.secretSelector", fix)
    if jwt is not None and jwt.jwks_uri.startswith("http://"):
        message = "keys of the issuer are fetched without TLS: whoever is between could make tokens"
        find(Severity.WARNING, "no-tls", message, SETTINGS_KEY, f"{_AT}.jwt.jwksUri", "use https")
    if jwt is not None and not jwt.audiences:
        message = "tokens that the issuer made for any other application are taken too"
        fix = "name the audience of this gateway"
        find(Severity.WARNING, "any-audience", message, SETTINGS_KEY, f"{_AT}.jwt.audiences", fix)
