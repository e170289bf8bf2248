"""The endpoints that a gateway allows: `ip:port`, or an address without a port for any port of it."""

from collections.abc import Collection


def host_of(address: str) -> str:
    """The host of an `ip:port` or `[ipv6]:port`, without brackets."""
    return address.rpartition(":")[0].strip("[]")


def any_port_of(entry: str) -> str | None:
    """The host whose ports an entry allows all, without brackets; None where it names one port."""
    if entry.startswith("["):
        return entry[1:-1] if entry.endswith("]") else None
    return None if entry.count(":") == 1 else entry


def allows(subset: Collection[str] | None, address: str) -> bool:
    """Whether a subset (None is everything) has an endpoint's address."""
    if subset is None or address in subset:
        return True
    host = host_of(address)
    return any(any_port_of(entry) == host for entry in subset)
