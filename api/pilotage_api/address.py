"""Where a model server is: an IP address or a DNS name."""

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
