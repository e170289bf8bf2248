"""IP addresses of hosts: not those of the host itself, of everyone or of nobody."""

import ipaddress
from typing import Final

from pilotage_extproc.content.patterns import PatternDetector
from pilotage_extproc.content.spans import Span

_PATTERN: Final = r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}|[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}"
_BESIDE: Final = frozenset(b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_:.-")


def _host(text: bytes, start: int, end: int) -> Span | None:
    if start and text[start - 1] in _BESIDE and text[start - 1 : start] != b":":
        return None
    after = text[end : end + 2]
    if after[:1].isalnum() or after[:1] in (b"_", b"-") or (after[:1] == b"." and after[1:].isdigit()):
        return None
    written = text[start:end].decode("latin-1")
    if ":" in written and (len(written) < 7 or sum(map(bool, written.split(":"))) < 3):
        return None
    try:
        address = ipaddress.ip_address(written)
    except ValueError:
        return None
    if address.is_loopback or address.is_unspecified or address.is_multicast or written == "255.255.255.255":
        return None
    return Span(start, end)


def ip_address() -> PatternDetector:
    """The detector."""
    return PatternDetector("ip-address", _PATTERN, _host, hint=r"[0-9]\.[0-9]{1,3}\.[0-9]|:[0-9A-Fa-f]{0,4}:")
