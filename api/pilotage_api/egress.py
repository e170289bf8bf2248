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
_IPV4_INSIDE: Final = tuple(
    ipaddress.IPv6Network(network) for network in ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32")
)
"""Translated or tunnelled: who they reach is another address's matter."""

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
    if in_cluster and (ip.is_loopback or ip.is_link_local):
        return f"{ip} is a loopback or link-local address"
    if any(ip in network for network in map(ipaddress.ip_network, settings.networks)):
        return ""
    tunnelled = isinstance(ip, ipaddress.IPv6Address) and any(ip in network for network in _IPV4_INSIDE)
    if tunnelled or not ip.is_global or ip.is_multicast:
        return f"{ip} is not an address of the public internet, nor in one of providers.networks"
    return ""


def _matches(host: str, pattern: str) -> bool:
    if pattern.startswith("*."):
        return host.endswith(pattern[1:]) and len(host) > len(pattern) - 1
    return host == pattern


def _ip(text: str) -> Ip | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
