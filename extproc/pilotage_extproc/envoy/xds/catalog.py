"""What Envoys are to have, by type and name, and since when: nothing here knows a stream."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(slots=True, frozen=True)
class Edition:
    """All resources of one type, serialised once."""

    version: int
    resources: Mapping[str, bytes]
    since: Mapping[str, int]
    """By name, the version that brought these bytes."""


class Catalog:
    """The newest edition of each type. A type is not there before its first edition."""

    def __init__(self) -> None:
        self._editions: dict[str, Edition] = {}
        self.address_since: Mapping[str, int] = {}
        """By address of the models cluster, the version of the endpoints that brought it."""

    def edition(self, kind: str) -> Edition | None:
        """The newest of a type."""
        return self._editions.get(kind)

    def put(self, kind: str, resources: Mapping[str, bytes]) -> bool:
        """Replace all of a type; whether anything changed."""
        last = self._editions.get(kind)
        if last is not None and last.resources == resources:
            return False
        version = 1 if last is None else last.version + 1
        before, since = ({}, {}) if last is None else (last.resources, last.since)
        fresh = {
            name: since[name] if before.get(name) == content else version
            for name, content in resources.items()
        }
        self._editions[kind] = Edition(version, dict(resources), fresh)
        return True

    def addresses(self, kind: str, addresses: list[str]) -> None:
        """The endpoints that the newest edition of that type has; those that stay keep their version."""
        version = self._editions[kind].version
        self.address_since = {address: self.address_since.get(address, version) for address in addresses}
