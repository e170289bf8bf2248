"""What Envoys are to have of one hosted provider."""

from collections.abc import Mapping
from dataclasses import dataclass

from pilotage_extproc.domain.reach import Reach


@dataclass(slots=True, frozen=True)
class ProviderResources:
    """A provider in xDS. All of it must be acknowledged before a request goes there."""

    address: str
    """Its endpoint of the models cluster."""
    reach: Reach
    """What an Envoy needs to be given it."""
    locality: bytes
    """The endpoint, serialised."""
    resources: Mapping[str, Mapping[str, bytes]]
    """By type URL and name; no other provider has one of these names."""

    def __repr__(self) -> str:
        """Names only: among the resources may be a secret."""
        return f"ProviderResources({self.address!r})"
