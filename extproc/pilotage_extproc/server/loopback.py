"""Which hosts are this machine itself, whatever a resolver says."""

import ipaddress
import re
from typing import Final

_HOST: Final = re.compile(r"(?:\[([^\]]*)\]|([^:\[\]]*))(?::[0-9]*)?")


def is_loopback(host: str) -> bool:
    """Whether a host is `localhost` or an address of loopback: no other name, even if it leads there."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def names_loopback(host_header: str) -> bool:
    """Whether `HOST` or `HOST:PORT` of a request names loopback; what came without one is no browser's."""
    if not host_header:
        return True
    found = _HOST.fullmatch(host_header)
    return found is not None and is_loopback(found[1] or found[2])
