"""Endpoints of a cluster as Envoy reads them, from opaque `ip:port` strings."""

import ipaddress
from collections.abc import Iterable, Mapping, Set
from typing import Final

from envoy.config.endpoint.v3 import endpoint_components_pb2, endpoint_pb2

from pilotage_extproc.envoy import contract as names


class AddressBook:
    """Serialises assignments; keeps what it made of an address, since few of thousands change at a time."""

    def __init__(self) -> None:
        self._known: dict[str, bytes] = {}

    def accepted(self, addresses: Iterable[str]) -> tuple[list[str], list[str]]:
        """The addresses Envoy can use, each once and in order, and those it would refuse.

        One name that is not an IP address makes Envoy refuse a whole update.
        """
        good: list[str] = []
        bad: list[str] = []
        fresh: dict[str, bytes] = {}
        for address in dict.fromkeys(addresses):
            made = self._known.get(address) or _locality(address)
            if made is None:
                bad.append(address)
            else:
                good.append(address)
                fresh[address] = made
        self._known.update(fresh)
        return good, bad

    def learn(self, localities: Mapping[str, bytes]) -> None:
        """Accept these as they are written."""
        self._known.update(localities)

    def assignment(self, cluster: str, addresses: Iterable[str]) -> bytes:
        """A serialised ClusterLoadAssignment of accepted addresses."""
        # messages written one after another read as one with all their members (protobuf's merge rule)
        merged = b"".join([self._known[address] for address in addresses])
        named: bytes = endpoint_pb2.ClusterLoadAssignment(cluster_name=cluster).SerializeToString()
        return b"".join((named, _ENDPOINTS_FIELD, _varint(len(merged)), merged))

    def keep_only(self, addresses: Set[str]) -> None:
        """Forget addresses that are no longer published."""
        for address in self._known.keys() - addresses:
            del self._known[address]


_ENDPOINTS_FIELD: Final = bytes(
    [endpoint_pb2.ClusterLoadAssignment.DESCRIPTOR.fields_by_name["endpoints"].number << 3 | 2]
)
"""Tag of a length-delimited field: of thousands of endpoints none is parsed again."""


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def provider_locality(listener: str) -> bytes:
    """A serialised locality with one endpoint: a listener inside Envoy."""
    locality = endpoint_components_pb2.LocalityLbEndpoints()
    endpoint = locality.lb_endpoints.add()
    endpoint.endpoint.address.envoy_internal_address.server_listener_name = listener
    match = endpoint.metadata.filter_metadata[names.TRANSPORT_MATCH]
    match.update({"internal": True})
    serialised: bytes = locality.SerializeToString()
    return serialised


def _locality(address: str) -> bytes | None:
    host, _, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return None
    if not port.isdecimal() or not 0 < int(port) < 65536:
        return None
    locality = endpoint_components_pb2.LocalityLbEndpoints()
    socket = locality.lb_endpoints.add().endpoint.address.socket_address
    socket.address = host
    socket.port_value = int(port)
    serialised: bytes = locality.SerializeToString()
    return serialised
