"""Who asks: by an API key, by a token that Envoy has verified, or by the word of a trusted proxy."""

import ipaddress
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from pilotage_api.identity_settings import IdentitySettings, JwtSettings, TrustedHeaderSettings
from pilotage_extproc.domain.identity import Identity
from pilotage_extproc.domain.refusals import Refusal, RequestRefused
from pilotage_extproc.domain.vouched import Vouched
from pilotage_extproc.request.exchange import Exchange
from pilotage_extproc.request.stage import Step
from pilotage_extproc.rules.routing_index import CurrentIndex
from pilotage_extproc.state.api_keys import KeyBook

_KEY_HEADERS: Final = ("x-api-key", "api-key")
_BEARER: Final = "bearer "
_LONGEST_KEY: Final = 4096
_LONGEST_NAME: Final = 256
_CHALLENGE: Final = 'Bearer realm="pilotage"'
_INVALID_TOKEN: Final = 'Bearer realm="pilotage", error="invalid_token"'  # noqa: S105 - RFC 6750, section 3.1


class IdentifyCaller(Step):
    """Sets the exchange's identity, or refuses the request."""

    name = "identify"

    def __init__(
        self, settings: IdentitySettings, keys: KeyBook, current: CurrentIndex, utc_now: Callable[[], float]
    ) -> None:
        self._keys = keys if settings.api_keys is not None else None
        self._jwt = settings.jwt
        self._trusted = None if settings.trusted_header is None else _Trusted(settings.trusted_header)
        self._current = current
        self._utc_now = utc_now

    def apply(self, exchange: Exchange) -> None:
        """Find out who asks. Raises RequestRefused: 401 of nobody known, 403 of nobody served."""
        head = exchange.head
        identity = self._identity(head.headers, head.vouched)
        self._check(identity)
        exchange.identified(identity)

    def _identity(self, headers: Mapping[str, str], vouched: Vouched) -> Identity:
        if self._trusted is not None:
            tenant = self._trusted.tenant(headers, vouched.source)
            if tenant is not None:
                return Identity(tenant=tenant)
        if self._jwt is not None and vouched.claims is not None:
            return _of_claims(self._jwt, vouched.claims)
        presented = list(_presented(headers))
        if self._keys is not None:
            if not self._keys.known:
                message = "API keys cannot be checked now."
                raise RequestRefused(Refusal.IDENTITY_AWAY, message, retry_after_seconds=1)
            now = self._utc_now()
            for text in presented:
                key = self._keys.find(text, now)
                if key is not None:
                    return Identity(tenant=key.tenant, team=key.team, key=key.id)
        if presented:
            raise _unauthenticated("The API key or token is not valid, or not any more.", _INVALID_TOKEN)
        raise _unauthenticated("Authenticate with `Authorization: Bearer …`.", _CHALLENGE)

    def _check(self, identity: Identity) -> None:
        """Raises RequestRefused (403, 503) where a tenant is not, or cannot be, served."""
        tenants = self._current.index.tenants
        if not tenants:
            return
        tenant = tenants.get(identity.tenant)
        if tenant is None:
            raise RequestRefused(Refusal.UNKNOWN_TENANT, "The tenant is not served here.")
        if tenant.unenforceable is not None:
            message = f"The tenant {tenant.name} cannot be served: {tenant.unenforceable}."
            raise RequestRefused(Refusal.LIMITS_AWAY, message)
        if not tenant.allows_team(identity.team):
            raise RequestRefused(Refusal.UNKNOWN_TEAM, "The team is not one of its tenant's.")


class _Trusted:
    """A header, and who may set it."""

    def __init__(self, settings: TrustedHeaderSettings) -> None:
        self._name = settings.name
        self._networks = tuple([ipaddress.ip_network(text) for text in settings.from_cidrs])

    def tenant(self, headers: Mapping[str, str], source: str | None) -> str | None:
        """What the header says, where a trusted proxy has set it once; else None."""
        value = headers.get(self._name)
        if not value or source is None:
            return None
        try:
            address = ipaddress.ip_address(source)
        except ValueError:
            return None
        mapped = getattr(address, "ipv4_mapped", None)
        address = mapped or address
        if not any(address in network for network in self._networks):
            return None
        if not _is_name(value) or "," in value:
            raise RequestRefused(Refusal.UNKNOWN_TENANT, f"{self._name} does not name one tenant.")
        return value


def _presented(headers: Mapping[str, str]) -> Iterator[str]:
    """What may be a key, in each API's header."""
    authorization = headers.get("authorization", "")
    if authorization[: len(_BEARER)].lower() == _BEARER:
        yield authorization[len(_BEARER) :].strip()[:_LONGEST_KEY]
    for name in _KEY_HEADERS:
        value = headers.get(name)
        if value:
            yield value[:_LONGEST_KEY]


def _of_claims(settings: JwtSettings, claims: Mapping[str, object]) -> Identity:
    tenant = _claim(claims, settings.tenant_claim)
    if not tenant:
        message = f"The token has no usable claim `{settings.tenant_claim}`."
        raise RequestRefused(Refusal.UNKNOWN_TENANT, message)
    team = "" if settings.team_claim is None else _claim(claims, settings.team_claim)
    return Identity(tenant=tenant, team=team, user=_claim(claims, settings.user_claim))


def _claim(claims: Mapping[str, object], path: str) -> str:
    """A claim's text; empty where there is none that could be a name.

    A claim may have dots in its name, as URLs have: the whole is looked up before its parts.
    """
    value: object = claims.get(path)
    if value is None:
        value = claims
        for part in path.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
    return value if isinstance(value, str) and _is_name(value) else ""


def _is_name(text: str) -> bool:
    return 0 < len(text) <= _LONGEST_NAME and text.isprintable() and text == text.strip()


def _unauthenticated(message: str, challenge: str) -> RequestRefused:
    return RequestRefused(Refusal.UNAUTHENTICATED, message, more_headers={"www-authenticate": challenge})
