"""The authority a client asked for, as a policy matches it by `host`."""

from collections.abc import Mapping
from typing import Final

from pilotage_api.arriving_headers import HOST

_AUTHORITY: Final = ":authority"
"""Where Envoy puts it, whichever version of HTTP the client speaks."""


def authority_fits(headers: Mapping[str, str], wanted: str | None) -> bool:
    """Whether a request's authority is the wanted one; None is any.

    Host names have no case (RFC 9110, section 4.2.3); a wanted one without a port fits any port.
    """
    said = headers.get(_AUTHORITY) or headers.get(HOST)
    if said is None or wanted is None:
        return said is not None
    said, wanted = said.lower(), wanted.lower()
    host, colon, port = said.rpartition(":")
    return said == wanted or (bool(colon) and port.isdigit() and host == wanted)
