"""IP addresses of hosts: not those of the host itself, of everyone or of nobody."""

import ipaddress
from typing import Final

from pilotage_extproc.content.patterns import PatternDetector
from pilotage_extproc.content.spans import Span

_V4: Final = r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}"
_V6: Final = r"[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}"
_PATTERN: Final = rf"[0-9A-Fa-f:]{{0,24}}:{_V4}|{_V4}|{_V6}"
"""The first is IPv6 that ends as IPv4 does, or something with a colon in front of IPv4."""
_BESIDE: Final = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_.-"
"""A colon may stand in front."""


def _host(text: bytes, start: int, end: int) -> Span | None:
    colon = text.rfind(b":", start, end)
    if colon >= 0 and b"." in text[colon:end]:
        return _confirmed(text, start, end) or _confirmed(text, colon + 1, end)
    return _confirmed(text, start, end)


def _confirmed(text: bytes, start: int, end: int) -> Span | None:
    before, after = text[max(0, start - 1) : start], text[end : end + 2]
    if before and before in _BESIDE:
        return None
    if after[:1].isalnum() or after[:1] in (b"_", b"-") or (after[:1] == b"." and after[1:].isdigit()):
        return None
    written = text[start:end].decode("latin-1")
    if ":" in written and "." not in written and (len(written) < 7 or sum(map(bool, written.split(":"))) < 3):
        return None
    return Span(start, end) if _is_hosts(written) else None


def _is_hosts(written: str) -> bool:
    try:
        address = ipaddress.ip_address(written)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    is_nobodys = address.is_loopback or address.is_unspecified or address.is_multicast
    return not is_nobodys and str(address) != "255.255.255.255"


def ip_address() -> PatternDetector:
    """The detector."""
    return PatternDetector("ip-address", _PATTERN, _host, hint=r"[0-9]\.[0-9]{1,3}\.[0-9]|:[0-9A-Fa-f]{0,4}:")
