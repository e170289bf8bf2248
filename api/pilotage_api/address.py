"""Where a model server is: an IP address or a DNS name, and the one spelling of it that is used everywhere.

Envoy finds a picked host by its text, so two spellings of one address would be two servers.
"""

import ipaddress
import re
from typing import Annotated, Final

from pydantic import StringConstraints

_LABEL: Final = r"[A-Za-z0-9_]([-A-Za-z0-9_]{0,61}[A-Za-z0-9_])?"
"""At most 63 characters (RFC 1035, section 2.3.4): resolvers do not take longer ones."""
_DNS_NAME = re.compile(rf"{_LABEL}(\.{_LABEL})*\.?")
_LIKE_IPV4 = re.compile(r"[0-9.]+")

Address = Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=r"^[-A-Za-z0-9_.:]+$")]
"""An IP address or DNS name; `address_problem()` says whether it really is one."""

ADDRESS_RULE: Final = (
    "self.address.matches('^[0-9.]+$') || self.address.contains(':') ? isIP(self.address) : "
    r"self.address.matches(r'^\w([-\w]{0,61}\w)?([.]\w([-\w]{0,61}\w)?)*[.]?$')"
)
"""The same in CEL; short, since the API server bounds what a rule may cost over all endpoints."""
ADDRESS_MESSAGE: Final = (
    "address is neither an IP address nor a DNS name (labels of up to 63 characters); the port goes into port"
)


def address_problem(address: str) -> str:
    """What is wrong with an address; empty when nothing is."""
    if ":" in address or _LIKE_IPV4.fullmatch(address):
        try:
            ipaddress.ip_address(address)
        except ValueError:
            return ADDRESS_MESSAGE
        return ""
    return "" if _DNS_NAME.fullmatch(address) else ADDRESS_MESSAGE


def canonical_host(host: str) -> str:
    """The spelling of an address that Envoy uses: IP addresses as RFC 5952 has them, names in lower case.

    An IPv4 address mapped into IPv6 is that IPv4 address. What is neither is left as it is.
    """
    if ":" not in host:
        # an IPv4 address has one spelling only: what has leading zeros is none
        return host if _LIKE_IPV4.fullmatch(host) else host.lower()
    try:
        address = ipaddress.IPv6Address(host)
    except ValueError:
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    low = int(address)
    if 0xFFFF < low <= 0xFFFFFFFF and address.scope_id is None:
        return f"::{ipaddress.IPv4Address(low)}"  # as inet_ntop writes it, and Envoy with it
    return str(address)


def canonical_place(place: str) -> str:
    """`HOST:PORT`, IPv6 in brackets, with the host in its one spelling; also a host alone."""
    host, colon, port = (place, "", "") if place.endswith("]") else place.rpartition(":")
    inner = host.removeprefix("[").removesuffix("]")
    if host == f"[{inner}]":
        if "[" in inner or "]" in inner:
            return place
    elif "[" in host or "]" in host:
        return place  # not an address however it is read
    elif not colon or ":" in host:
        return canonical_host(place)
    return f"{bracketed(canonical_host(inner))}{colon}{port}"


def bracketed(host: str) -> str:
    """A host as it stands before a port."""
    return f"[{host}]" if ":" in host else host
