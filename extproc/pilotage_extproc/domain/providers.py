"""How a hosted provider stands among endpoints: by an address inside Envoy."""

from typing import Final

ADDRESS_PREFIX: Final = "envoy://"
"""No `ip:port` begins so."""


def provider_listener(pool: str) -> str:
    """Name of a pool's listener inside Envoy, and of its cluster and routes; `pool` is `namespace/name`."""
    return f"provider/{pool}"


def provider_address(pool: str) -> str:
    """The one endpoint of a provider's pool, as table, picks and Envoy name it."""
    return internal_address(provider_listener(pool))


def internal_address(listener: str, endpoint_id: str = "") -> str:
    """An address inside Envoy as Envoy writes it."""
    return f"{ADDRESS_PREFIX}{listener}/{endpoint_id}"


def is_provider(address: str) -> bool:
    """Whether an endpoint's address is a provider's."""
    return address.startswith(ADDRESS_PREFIX)
