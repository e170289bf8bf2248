"""Where requests to hosted providers may go: by the name a pool gives, and again by what it resolves to.

A pool is written by whoever may write in a namespace; without this it would be a way to have the gateway ask
any address of the cluster or the node (server-side request forgery).
"""

import ipaddress
from typing import Final

from pilotage_api.provider_settings import ProviderSettings

_INSIDE: Final = (
    ".local",
    ".internal",
    ".localhost",
    ".localdomain",
    ".svc",
    ".cluster",
    ".home.arpa",
    ".arpa",
)
"""Names below these are of a cluster, a cloud's own services, or a local network."""
_UNICAST: Final = ipaddress.IPv6Network("2000::/3")
"""All of IPv6 that is given to anybody on the internet; Python calls what is not yet given out global too."""
_IPV4_INSIDE: Final = tuple(
    (ipaddress.IPv6Network(network), bits)
    for network, bits in (
        ("64:ff9b::/96", 0),
        ("64:ff9b:1::/48", 0),
        ("::ffff:0:0:0/96", 0),
        ("::/96", 0),
        ("2002::/16", 80),
        ("2001::/32", 0),
    )
)
"""Translated or tunnelled, with where the IPv4 address ends: who they reach is that address's matter.
Teredo's (2001::/32) is inverted."""
_TEREDO: Final = ipaddress.IPv6Network("2001::/32")
_METADATA: Final = frozenset(
    ipaddress.ip_address(address)
    for address in (
        "168.63.129.16",  # Azure, an address of the public internet
        "192.0.0.192",  # Oracle
        "100.100.100.200",  # Alibaba
        "fd00:ec2::254",  # AWS
        "fd20:ce::254",  # Google
    )
)
"""Services of clouds that give credentials of the machine to whoever asks; most others are link-local."""

Ip = ipaddress.IPv4Address | ipaddress.IPv6Address


def host_problem(host: str, settings: ProviderSettings, *, in_cluster: bool) -> str:
    """Why a pool may not name a host, in lower case without a final dot; empty where it may."""
    listed = any(_matches(host, pattern) for pattern in settings.hosts)
    if (settings.hosts or in_cluster) and not listed:
        return f"{host} is not among the gateway's providers.hosts"
    ip = _ip(host)
    if ip is not None:
        return ip_problem(ip, settings, in_cluster=in_cluster)
    local = "." not in host or f".{host}".endswith(_INSIDE)
    if local and (in_cluster or not settings.networks):
        return f"{host} is a name inside a cluster or a local network"
    return ""


def address_problem(address: str, settings: ProviderSettings, *, in_cluster: bool) -> str:
    """Why a request may not go to an IP address that a host's name stands for; empty where it may."""
    ip = _ip(address)
    return f"{address} is no IP address" if ip is None else ip_problem(ip, settings, in_cluster=in_cluster)


def ip_problem(ip: Ip, settings: ProviderSettings, *, in_cluster: bool) -> str:
    """The same for an address."""
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    inner = _inner(ip)
    if in_cluster and (forbidden := _forbidden(ip, inner)):
        return forbidden
    if any(ip in network for network in map(ipaddress.ip_network, settings.networks)):
        return ""
    outside = ip.is_global and not ip.is_multicast and ip not in _METADATA
    if isinstance(ip, ipaddress.IPv6Address):
        outside = outside and ip in _UNICAST
    if inner is not None or not outside:
        return f"{ip} is not an address of the public internet, nor in one of providers.networks"
    return ""


def never_in_cluster(address: str) -> str:
    """Why nothing a cluster's user names may be asked at an IP address; empty where it may, and for names."""
    ip = _ip(address)
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    return "" if ip is None else _forbidden(ip, _inner(ip))


def _forbidden(ip: Ip, inner: ipaddress.IPv4Address | None) -> str:
    for one in (ip, inner or ip):
        if one.is_loopback or one.is_link_local or one.is_unspecified or one.is_multicast:
            return f"{ip} is a loopback or link-local address"
        if one in _METADATA:
            return f"{ip} is a cloud's metadata service"
    return ""


def _inner(ip: Ip) -> ipaddress.IPv4Address | None:
    """The IPv4 address inside one that is translated or tunnelled."""
    if isinstance(ip, ipaddress.IPv4Address):
        return None
    for network, bits in _IPV4_INSIDE:
        if ip in network:
            low = int(ip) >> bits & 0xFFFFFFFF
            return ipaddress.IPv4Address(low ^ 0xFFFFFFFF if network == _TEREDO else low)
    return None


def _matches(host: str, pattern: str) -> bool:
    if pattern.startswith("*."):
        return host.endswith(pattern[1:]) and len(host) > len(pattern) - 1
    return host == pattern


def _ip(text: str) -> Ip | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
